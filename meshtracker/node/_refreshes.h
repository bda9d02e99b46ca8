/*
 * What both C front ends know of swarms: whether a row says all that an announce says, and which peers it is given.
 *
 * Reads what node/refreshes.py hands over, and writes nothing. Rows are those of swarm/peers.py; which peers are chosen,
 * and with which chances, is swarm/selection.py's to say.
 */
#ifndef MESHTRACKER_REFRESHES_H
#define MESHTRACKER_REFRESHES_H

#define _GNU_SOURCE
#include "../swarm/_peers.h"

enum { COMPACT_BYTES = 6 };
enum { STOPPED = 3, PAUSED = 4 };

/* Larger ones are for the front end, as is whatever else does not fit. */
#define MAX_PEERS ((65507 - 20) / COMPACT_BYTES)

static PyObject *s_v4, *s_v6, *s_downloaded, *s_allowed_mark;
static PyTypeObject *pack_type;
static Secret secret; /* Of the index of swarm/_peers.c. */

/* What `Refreshes` of node/refreshes.py says; borrowed for one call. */
typedef struct {
    PyObject *swarms, *listed, *allowed_mark;
    int listed_are_served;
    uint64_t due_stamp;
    uint32_t interval, min_interval, jitter;
    int64_t numwant_default, numwant_max;
} Refreshes;

/* A row and the swarm around it. */
typedef struct {
    PyObject *swarm;
    const Pack *pack;
    int64_t leechers, live, position;
} Row;

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
    if (size > 0)
        memcpy(to, address_of(row->pack, (uint32_t)start), size);
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

/* Is it known to be served? To look for it in a long list would be one more way to wait for memory. */
static int is_marked(const Refreshes *known, PyObject *swarm)
{
    PyObject *mark = PyObject_GetAttr(swarm, s_allowed_mark);
    int marked = mark == known->allowed_mark;
    if (mark == NULL)
        PyErr_Clear();
    Py_XDECREF(mark);
    return marked;
}

/* The swarm that is served under an info-hash, borrowed; NULL, which may be with an error, if there is none. */
static PyObject *find_swarm(const Refreshes *known, const unsigned char *info_hash)
{
    PyObject *name = PyBytes_FromStringAndSize((const char *)info_hash, 20);
    if (name == NULL)
        return NULL;
    PyObject *swarm = PyDict_GetItemWithError(known->swarms, name);
    if (swarm != NULL && known->listed != NULL && !is_marked(known, swarm) &&
        PySet_Contains(known->listed, name) != known->listed_are_served)
        swarm = NULL;
    Py_DECREF(name);
    return swarm;
}

static void lay_out_identity(unsigned char *to, const unsigned char *peer_id, uint32_t key)
{
    memcpy(to, peer_id, 20);
    store32(to + 20, key & 0x7FFFFFFF);
}

/* Is it a refresh in that swarm? Then `row` is its row. `event` is of BEP 15, `key` not 0; a stop is none. */
static int is_refresh(const Refreshes *known, PyObject *swarm, const unsigned char *peer_id, uint32_t key,
                      const unsigned char *address, int seeding, uint32_t event, Row *row)
{
    unsigned char identity[IDENTITY_BYTES];
    if (swarm == NULL || borrowed(swarm, s_v6, Py_TYPE(Py_None)) == NULL)
        return 0;
    row->swarm = swarm;
    row->pack = (const Pack *)borrowed(swarm, s_v4, pack_type);
    if (row->pack == NULL)
        return 0;
    lay_out_identity(identity, peer_id, key);
    row->leechers = row->pack->leechers;
    row->live = row->pack->live;
    row->position = find_identity(&secret, row->pack, identity);
    if (row->position < 0 || row->position >= row->live)
        return 0;
    const unsigned char *at = row_of(row->pack, (uint32_t)row->position);
    int state = seeding ? SEEDER : event == PAUSED ? PARTIAL : LEECHER;
    return at[STATE] == state && load64(at + STAMP) >= known->due_stamp &&
           memcmp(address_of(row->pack, (uint32_t)row->position), address, COMPACT_BYTES) == 0;
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
    if (!PyArg_ParseTuple(given, "O!OpOKLLLLL", &PyDict_Type, &known->swarms, &known->listed, &known->listed_are_served,
                          &known->allowed_mark, &due, &usual_interval, &least_interval, &jitter, &usual, &most))
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

/* What is the same for the life of the process. */
static int get_ready(void)
{
    s_v4 = PyUnicode_InternFromString("v4");
    s_v6 = PyUnicode_InternFromString("v6");
    s_downloaded = PyUnicode_InternFromString("downloaded");
    s_allowed_mark = PyUnicode_InternFromString("allowed_mark");
    PyObject *peers = PyImport_ImportModule("meshtracker.swarm._peers");
    PyObject *type = peers != NULL ? PyObject_GetAttrString(peers, "Pack") : NULL;
    PyObject *shared = type != NULL ? PyObject_GetAttrString(peers, "SECRET") : NULL;
    int is_ready = s_v4 && s_v6 && s_downloaded && s_allowed_mark && shared != NULL;
    if (is_ready) {
        memcpy(&secret, PyBytes_AS_STRING(shared), sizeof secret);
        pack_type = (PyTypeObject *)type; /* kept */
    }
    Py_XDECREF(peers);
    Py_XDECREF(shared);
    return is_ready;
}

#endif
