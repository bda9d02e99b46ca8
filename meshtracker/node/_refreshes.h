/*
 * What both C front ends know of swarms: whether a row says all that an announce says, and which peers it is given.
 *
 * Reads what node/refreshes.py hands over, and writes nothing: of what an announce changes the node takes note. Rows are
 * those of swarm/peers.py; which peers are chosen, and with which chances, is swarm/selection.py's to say.
 */
#ifndef MESHTRACKER_REFRESHES_H
#define MESHTRACKER_REFRESHES_H

#define _GNU_SOURCE
#include "../swarm/_peers.h"

enum { COMPACT_BYTES = 6 };
enum { STOPPED = 3, PAUSED = 4, EVENTS };

/* Larger ones are for the front end, as is whatever else does not fit. */
#define MAX_PEERS ((65507 - 20) / COMPACT_BYTES)

/* Of swarms. Compiled, they have a function in C for each attribute, and to find it anew takes longer than to call it. */
typedef struct {
    PyObject *name;
    getter get; /* or NULL */
    void *closure;
} Attribute;

static Attribute v4, v6, downloaded, allowed_mark;
static PyTypeObject *pack_type, *swarm_type;
static Secret secret; /* Of the index of swarm/_peers.c. */

/* What `Refreshes` of node/refreshes.py says; borrowed for one call. */
typedef struct {
    PyObject *swarms, *listed, *allowed_mark, *take;
    int listed_are_served;
    uint64_t due_stamp;
    uint32_t interval, min_interval, jitter;
    int64_t numwant_default, numwant_max;
} Refreshes;

/* Whose announce is to be answered; borrowed until Python is asked for anything. */
typedef struct {
    PyObject *swarm; /* NULL: there is none, and nobody in it */
    const Pack *pack;
    int64_t leechers, partials, live;
    int64_t position; /* -1: not there */
} Asker;

/* Uniform in [0, bound), xorshift64* (Marsaglia; Vigna 2014); which peers are handed out is no secret. */
static int64_t draw(uint64_t *random, int64_t bound)
{
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    uint64_t word = *random * 0x2545F4914F6CDD1Du;
    return (int64_t)((unsigned __int128)word * (uint64_t)bound >> 64);
}

static unsigned char *copy(unsigned char *to, const Asker *asker, int64_t start, int64_t stop)
{
    size_t size = (size_t)(stop - start) * COMPACT_BYTES;
    if (size > 0)
        memcpy(to, address_of(asker->pack, (uint32_t)start), size);
    return to + size;
}

/* `start` up to `stop` of a ring from which the asker was taken out. */
static unsigned char *copy_others(unsigned char *to, const Asker *asker, int64_t start, int64_t stop, int inside)
{
    if (!inside || stop <= asker->position)
        return copy(to, asker, start, stop);
    if (start >= asker->position)
        return copy(to, asker, start + 1, stop + 1);
    return copy(copy(to, asker, start, asker->position), asker, asker->position + 1, stop + 1);
}

/* _run of swarm/selection.py. */
static unsigned char *copy_run(uint64_t *random, unsigned char *to, const Asker *asker, int64_t start, int64_t stop,
                               int64_t wanted)
{
    if (wanted <= 0)
        return to;
    int inside = start <= asker->position && asker->position < stop;
    int64_t size = stop - start - inside, first = draw(random, size), wrapped = first + wanted - size;
    if (wrapped <= 0)
        return copy_others(to, asker, start + first, start + first + wanted, inside);
    to = copy_others(to, asker, start + first, start + size, inside);
    return copy_others(to, asker, start, start + wrapped, inside);
}

/* `choose` of swarm/selection.py. */
static unsigned char *copy_peers(uint64_t *random, unsigned char *to, const Asker *asker, int64_t wanted, int seeding)
{
    int64_t border = seeding ? asker->leechers : asker->live;
    int inside = asker->position >= 0 && asker->position < border;
    int64_t others = border - inside;
    if (wanted >= others)
        return copy_others(to, asker, 0, others, inside);
    if (wanted <= 0)
        return to;
    int64_t seeders = border - asker->leechers - (inside && asker->position >= asker->leechers);
    if (seeders <= 0)
        return copy_run(random, to, asker, 0, asker->leechers, wanted);
    int64_t share = wanted * seeders / others, rest = wanted * seeders % others;
    share += draw(random, others) < rest;
    to = copy_run(random, to, asker, 0, asker->leechers, wanted - share);
    return copy_run(random, to, asker, asker->leechers, asker->live, share);
}

/* The value of a swarm's attribute; NULL with an error. */
static PyObject *value_of(PyObject *swarm, const Attribute *attribute)
{
    if (attribute->get != NULL && Py_TYPE(swarm) == swarm_type)
        return attribute->get(swarm, attribute->closure);
    return PyObject_GetAttr(swarm, attribute->name);
}

/* The same, kept alive by the swarm; NULL, without an error, unless it is an object of that type. */
static PyObject *borrowed(PyObject *swarm, const Attribute *attribute, PyTypeObject *type)
{
    PyObject *value = value_of(swarm, attribute);
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
    PyObject *mark = value_of(swarm, &allowed_mark);
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

/* What an announce says, but for its answer. */
typedef struct {
    const unsigned char *info_hash, *peer_id, *address; /* 20, 20 and 6 bytes */
    uint32_t key, event; /* The key is not 0; the event is of BEP 15. */
    int seeding;
} Announce;

/* The asker's swarm, if it has IPv4 peers alone; 0, which may be with an error, if it has not. */
static int look_at_swarm(PyObject *swarm, Asker *asker)
{
    *asker = (Asker){.swarm = swarm, .position = -1};
    if (swarm == NULL)
        return !PyErr_Occurred();
    asker->pack = (const Pack *)borrowed(swarm, &v4, pack_type);
    if (asker->pack == NULL || borrowed(swarm, &v6, Py_TYPE(Py_None)) == NULL)
        return 0;
    asker->leechers = asker->pack->leechers;
    asker->partials = asker->pack->partials;
    asker->live = asker->pack->live;
    return 1;
}

/* Does a row say all that? Then `asker` has its position. */
static int is_refresh(const Refreshes *known, const Announce *announce, Asker *asker)
{
    unsigned char identity[IDENTITY_BYTES];
    if (asker->pack == NULL || announce->event == STOPPED)
        return 0;
    lay_out_identity(identity, announce->peer_id, announce->key);
    int64_t position = find_identity(&secret, asker->pack, identity);
    if (position < 0 || position >= asker->live)
        return 0;
    const unsigned char *at = row_of(asker->pack, (uint32_t)position);
    int state = announce->seeding ? SEEDER : announce->event == PAUSED ? PARTIAL : LEECHER;
    if (at[STATE] != state || load64(at + STAMP) < known->due_stamp ||
        memcmp(address_of(asker->pack, (uint32_t)position), announce->address, COMPACT_BYTES) != 0)
        return 0;
    asker->position = position;
    return 1;
}

/* `take` of node/node.py. 0, which may be with an error, if the front end is to see to the announce. */
static int take_note(const Refreshes *known, const Announce *announce, PyObject *now, Asker *asker)
{
    PyObject *arguments[] = {
        PyBytes_FromStringAndSize((const char *)announce->info_hash, 20),
        PyBytes_FromStringAndSize((const char *)announce->peer_id, 20),
        PyLong_FromUnsignedLong(announce->key),
        PyBytes_FromStringAndSize((const char *)announce->address, 4),
        PyLong_FromLong(announce->address[4] << 8 | announce->address[5]),
        PyLong_FromUnsignedLong(announce->event < EVENTS ? announce->event : 0),
        PyBool_FromLong(announce->seeding),
        now,
    };
    PyObject *taken = NULL;
    if (!PyErr_Occurred())
        taken = PyObject_Vectorcall(known->take, arguments, 8, NULL);
    for (int i = 0; i < 7; i++)
        Py_XDECREF(arguments[i]);
    if (taken == NULL)
        return 0;
    int is_served = taken != Py_None;
    int64_t position = is_served ? PyLong_AsLongLong(taken) : -1;
    Py_DECREF(taken);
    if (!is_served || PyErr_Occurred() || !look_at_swarm(find_swarm(known, announce->info_hash), asker))
        return 0;
    asker->position = position < asker->live ? position : -1;
    return 1;
}

/* An announce of a batch. */
typedef struct {
    Announce announce;
    int is_announce;
    PyObject *swarm; /* held; NULL: there is none */
} Waiting;

#define WAITING 64 /* at most, at once */
#define CACHE_LINE_BYTES 64

/*
 * Find the swarms of a batch, and ask for the memory that its announces will touch.
 *
 * An announce goes from the swarm to its pack, to its rows: each load waits for the one before, and few are in the cache.
 * Of 64 announces those of one kind can be under way together. What is found is held, or an announce before might end
 * it; a swarm that one has ended is empty, so nothing in it is a refresh, and for the rest it is looked up anew.
 */
static void look_ahead(const Refreshes *known, Waiting *waiting, int count)
{
    const Pack *packs[WAITING];
    const uint32_t *indexed[WAITING];
    for (int i = 0; i < count; i++) {
        waiting[i].swarm = waiting[i].is_announce ? find_swarm(known, waiting[i].announce.info_hash) : NULL;
        __builtin_prefetch(waiting[i].swarm, 1);
    }
    for (int i = 0; i < count; i++) {
        Py_XINCREF(waiting[i].swarm);
        packs[i] = waiting[i].swarm != NULL ? (Pack *)borrowed(waiting[i].swarm, &v4, pack_type) : NULL;
        __builtin_prefetch(packs[i]);
    }
    for (int i = 0; i < count; i++) {
        const Pack *pack = packs[i];
        indexed[i] = NULL;
        if (pack == NULL)
            continue;
        if (pack->index == NULL) {
            for (size_t at = 0; at < (size_t)pack->count * ROW_BYTES; at += CACHE_LINE_BYTES)
                __builtin_prefetch(pack->rows + at);
            __builtin_prefetch(address_of(pack, 0));
        } else {
            unsigned char identity[IDENTITY_BYTES];
            lay_out_identity(identity, waiting[i].announce.peer_id, waiting[i].announce.key);
            indexed[i] = pack->index + ((uint32_t)hash(&secret, identity, IDENTITY_BYTES) & (pack->slots - 1));
            __builtin_prefetch(indexed[i]);
        }
    }
    for (int i = 0; i < count; i++)
        if (indexed[i] != NULL && *indexed[i] != 0) {
            /* Or the row is that of one of the next slots. */
            const unsigned char *row = row_of(packs[i], *indexed[i] - 1);
            __builtin_prefetch(row);
            __builtin_prefetch(row + ROW_BYTES - 1);
            __builtin_prefetch(address_of(packs[i], *indexed[i] - 1));
        }
}

static void let_go(Waiting *waiting, int from, int count)
{
    for (int i = from; i < count; i++)
        Py_CLEAR(waiting[i].swarm);
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
    if (!PyArg_ParseTuple(given, "O!OpOOKLLLLL", &PyDict_Type, &known->swarms, &known->listed, &known->listed_are_served,
                          &known->allowed_mark, &known->take, &due, &usual_interval, &least_interval, &jitter, &usual, &most))
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

static int find_attribute(Attribute *attribute, const char *name)
{
    attribute->name = PyUnicode_InternFromString(name);
    PyObject *described = PyObject_GetAttrString((PyObject *)swarm_type, name);
    if (described != NULL && Py_TYPE(described) == &PyGetSetDescr_Type) {
        attribute->get = ((PyGetSetDescrObject *)described)->d_getset->get;
        attribute->closure = ((PyGetSetDescrObject *)described)->d_getset->closure;
    }
    Py_XDECREF(described);
    return attribute->name != NULL && described != NULL;
}

static PyObject *imported(const char *module, const char *name)
{
    PyObject *found = PyImport_ImportModule(module);
    PyObject *value = found != NULL ? PyObject_GetAttrString(found, name) : NULL;
    Py_XDECREF(found);
    return value;
}

/* What is the same for the life of the process, and kept. */
static int get_ready(void)
{
    pack_type = (PyTypeObject *)imported("meshtracker.swarm._peers", "Pack");
    swarm_type = (PyTypeObject *)imported("meshtracker.swarm.swarm", "Swarm");
    PyObject *shared = imported("meshtracker.swarm._peers", "SECRET");
    if (pack_type == NULL || swarm_type == NULL || shared == NULL)
        return 0;
    memcpy(&secret, PyBytes_AS_STRING(shared), sizeof secret);
    Py_DECREF(shared);
    return find_attribute(&v4, "v4") && find_attribute(&v6, "v6") && find_attribute(&downloaded, "downloaded") &&
           find_attribute(&allowed_mark, "allowed_mark");
}

#endif
