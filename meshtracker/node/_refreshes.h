/*
 * What both C front ends know of swarms: whether a row says all that an announce says, and which peers it is given.
 *
 * Reads what node/refreshes.py hands over, and writes nothing. Rows are those of swarm/peers.py; which peers are chosen,
 * and with which chances, is swarm/selection.py's to say.
 */
#ifndef MESHTRACKER_REFRESHES_H
#define MESHTRACKER_REFRESHES_H

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

/* The row of swarm/peers.py, and the states of model.py. */
enum { IDENTITY_BYTES = 24, STAMP = 24, STATE = 34, ROW_BYTES = 35, COMPACT_BYTES = 6 };
enum { LEECHER = 0, PARTIAL = 1, SEEDER = 2 };
enum { STOPPED = 3, PAUSED = 4 };

/* Larger ones are for the front end, as is whatever else does not fit. */
#define MAX_PEERS ((65507 - 20) / COMPACT_BYTES)

static PyObject *s_v4, *s_v6, *s_rows, *s_addresses, *s_leechers, *s_live, *s_by_identity,
    *s_partials, *s_downloaded;

/* What `Refreshes` of node/refreshes.py says; borrowed for one call. */
typedef struct {
    PyObject *swarms, *listed;
    int listed_are_served;
    uint64_t due_stamp;
    uint32_t interval, min_interval, jitter;
    int64_t numwant_default, numwant_max;
} Refreshes;

/* A row and the swarm around it. */
typedef struct {
    PyObject *swarm, *pack;
    const unsigned char *rows, *addresses;
    int64_t leechers, live, position;
} Row;

static uint32_t load32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t load64(const unsigned char *p) { return (uint64_t)load32(p) << 32 | load32(p + 4); }

static void store32(unsigned char *p, uint32_t value)
{
    p[0] = value >> 24, p[1] = value >> 16, p[2] = value >> 8, p[3] = value;
}

/* Uniform in [0, bound), xorshift64* (Marsaglia; Vigna 2014); which peers are handed out is no secret. */
static int64_t draw(uint64_t *random, int64_t bound)
{
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    uint64_t word = *random * 0x2545F4914F6CDD1Du;
    return (int64_t)((unsigned __int128)word * (uint64_t)bound >> 64);
}

static unsigned char *copy(unsigned char *to, const Row *row, int64_t start, int64_t stop)
{
    size_t size = (size_t)(stop - start) * COMPACT_BYTES;
    memcpy(to, row->addresses + start * COMPACT_BYTES, size);
    return to + size;
}

/* `start` up to `stop` of a ring from which the asker was taken out. */
static unsigned char *copy_others(unsigned char *to, const Row *row, int64_t start, int64_t stop, int inside)
{
    if (!inside || stop <= row->position)
        return copy(to, row, start, stop);
    if (start >= row->position)
        return copy(to, row, start + 1, stop + 1);
    return copy(copy(to, row, start, row->position), row, row->position + 1, stop + 1);
}

/* _run of swarm/selection.py. */
static unsigned char *copy_run(uint64_t *random, unsigned char *to, const Row *row, int64_t start, int64_t stop,
                               int64_t wanted)
{
    if (wanted <= 0)
        return to;
    int inside = start <= row->position && row->position < stop;
    int64_t size = stop - start - inside, first = draw(random, size), wrapped = first + wanted - size;
    if (wrapped <= 0)
        return copy_others(to, row, start + first, start + first + wanted, inside);
    to = copy_others(to, row, start + first, start + size, inside);
    return copy_others(to, row, start, start + wrapped, inside);
}

/* `choose` of swarm/selection.py; the asker is in the swarm. */
static unsigned char *copy_peers(uint64_t *random, unsigned char *to, const Row *row, int64_t wanted, int seeding)
{
    int64_t border = seeding ? row->leechers : row->live;
    int inside = row->position < border;
    int64_t others = border - inside;
    if (wanted >= others)
        return copy_others(to, row, 0, others, inside);
    if (wanted <= 0)
        return to;
    int64_t seeders = border - row->leechers - (inside && row->position >= row->leechers);
    if (seeders <= 0)
        return copy_run(random, to, row, 0, row->leechers, wanted);
    int64_t share = wanted * seeders / others, rest = wanted * seeders % others;
    share += draw(random, others) < rest;
    to = copy_run(random, to, row, 0, row->leechers, wanted - share);
    return copy_run(random, to, row, row->leechers, row->live, share);
}

/* An attribute that its owner keeps alive; NULL, without an error, unless it is an object of that type. */
static PyObject *borrowed(PyObject *owner, PyObject *name, PyTypeObject *type)
{
    PyObject *value = PyObject_GetAttr(owner, name);
    if (value == NULL) {
        PyErr_Clear();
        return NULL;
    }
    Py_DECREF(value);
    return PyObject_TypeCheck(value, type) ? value : NULL;
}

static int64_t number(PyObject *owner, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(owner, name);
    int64_t result = value != NULL ? PyLong_AsLongLong(value) : -1;
    Py_XDECREF(value);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return -1;
    }
    return result;
}

/* `find` of swarm/peers.py; -1 if there is none. */
static int64_t find(PyObject *pack, PyObject *rows, const unsigned char *identity)
{
    PyObject *index = borrowed(pack, s_by_identity, &PyDict_Type);
    if (index != NULL) {
        PyObject *key = PyBytes_FromStringAndSize((const char *)identity, IDENTITY_BYTES);
        PyObject *found = key != NULL ? PyDict_GetItemWithError(index, key) : NULL;
        Py_XDECREF(key);
        return found != NULL ? PyLong_AsLongLong(found) : -1;
    }
    /* Up to some 64 rows. Peer ids begin alike, so the key and what is before it are looked at first. */
    const unsigned char *row = (const unsigned char *)PyByteArray_AS_STRING(rows);
    Py_ssize_t count = PyByteArray_GET_SIZE(rows) / ROW_BYTES;
    uint64_t last = load64(identity + IDENTITY_BYTES - 8);
    for (Py_ssize_t at = 0; at < count; at++, row += ROW_BYTES)
        if (load64(row + IDENTITY_BYTES - 8) == last && memcmp(row, identity, IDENTITY_BYTES) == 0)
            return at;
    return -1;
}

/* Is it a refresh? Then `row` is its row. `event` is of BEP 15, `key` not 0; a stop is none. */
static int is_refresh(const Refreshes *known, const unsigned char *info_hash, const unsigned char *peer_id, uint32_t key,
                      const unsigned char *address, int seeding, uint32_t event, Row *row)
{
    unsigned char identity[IDENTITY_BYTES];
    PyObject *name = PyBytes_FromStringAndSize((const char *)info_hash, 20);
    if (name == NULL)
        return 0;
    int served = known->listed == NULL || PySet_Contains(known->listed, name) == known->listed_are_served;
    row->swarm = served ? PyDict_GetItemWithError(known->swarms, name) : NULL;
    Py_DECREF(name);
    if (row->swarm == NULL || borrowed(row->swarm, s_v6, Py_TYPE(Py_None)) == NULL)
        return 0;
    row->pack = borrowed(row->swarm, s_v4, &PyBaseObject_Type);
    PyObject *rows = row->pack != NULL ? borrowed(row->pack, s_rows, &PyByteArray_Type) : NULL;
    PyObject *addresses = row->pack != NULL ? borrowed(row->pack, s_addresses, &PyByteArray_Type) : NULL;
    if (rows == NULL || addresses == NULL)
        return 0;
    memcpy(identity, peer_id, 20);
    store32(identity + 20, key & 0x7FFFFFFF);
    row->rows = (const unsigned char *)PyByteArray_AS_STRING(rows);
    row->addresses = (const unsigned char *)PyByteArray_AS_STRING(addresses);
    row->leechers = number(row->pack, s_leechers);
    row->live = number(row->pack, s_live);
    row->position = find(row->pack, rows, identity);
    if (row->position < 0 || row->position >= row->live || row->leechers < 0 || row->leechers > row->live ||
        row->live > PyByteArray_GET_SIZE(rows) / ROW_BYTES || row->live > PyByteArray_GET_SIZE(addresses) / COMPACT_BYTES)
        return 0;
    const unsigned char *at = row->rows + row->position * ROW_BYTES;
    int state = seeding ? SEEDER : event == PAUSED ? PARTIAL : LEECHER;
    return at[STATE] == state && load64(at + STAMP) >= known->due_stamp &&
           memcmp(row->addresses + row->position * COMPACT_BYTES, address, COMPACT_BYTES) == 0;
}

static int64_t wanted_peers(const Refreshes *known, int64_t asked)
{
    return asked < 0 ? known->numwant_default : asked < known->numwant_max ? asked : known->numwant_max;
}

static uint32_t interval(const Refreshes *known, uint64_t *random)
{
    return known->interval + (uint32_t)draw(random, (int64_t)known->jitter + 1);
}

static int read_refreshes(PyObject *given, Refreshes *known)
{
    unsigned long long due;
    long long usual_interval, least_interval, jitter, usual, most;
    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "refreshes is a tuple");
        return 0;
    }
    if (!PyArg_ParseTuple(given, "O!OpKLLLLL", &PyDict_Type, &known->swarms, &known->listed, &known->listed_are_served,
                          &due, &usual_interval, &least_interval, &jitter, &usual, &most))
        return 0;
    if (known->listed == Py_None)
        known->listed = NULL;
    else if (!PyAnySet_Check(known->listed)) {
        PyErr_SetString(PyExc_TypeError, "listed is a set or None");
        return 0;
    }
    if (usual_interval < 0 || usual_interval > INT32_MAX || least_interval < 0 || least_interval > INT32_MAX ||
        jitter < 0 || jitter > INT32_MAX || usual < 0 || usual > MAX_PEERS || most < 0 || most > MAX_PEERS) {
        PyErr_SetString(PyExc_ValueError, "a figure is out of range");
        return 0;
    }
    known->due_stamp = due;
    known->interval = (uint32_t)usual_interval;
    known->min_interval = (uint32_t)least_interval;
    known->jitter = (uint32_t)jitter;
    known->numwant_default = usual;
    known->numwant_max = most;
    return 1;
}

static int intern_names(void)
{
    s_v4 = PyUnicode_InternFromString("v4");
    s_v6 = PyUnicode_InternFromString("v6");
    s_rows = PyUnicode_InternFromString("rows");
    s_addresses = PyUnicode_InternFromString("addresses");
    s_leechers = PyUnicode_InternFromString("leechers");
    s_live = PyUnicode_InternFromString("live");
    s_by_identity = PyUnicode_InternFromString("_by_identity");
    s_partials = PyUnicode_InternFromString("partials");
    s_downloaded = PyUnicode_InternFromString("downloaded");
    return s_v4 && s_v6 && s_rows && s_addresses && s_leechers && s_live && s_by_identity && s_partials && s_downloaded;
}

#endif
