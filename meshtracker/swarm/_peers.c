/*
 * The pack of peers.py in C: for each method there, one here that does the same.
 *
 * What it gains is memory, of which a swarm of one or two peers takes a third, time, of which a large swarm's index and
 * every announce that changes something take less, and that C front ends read rows without asking Python. The oracle is
 * peers.py: tests/swarm/test_peers.py runs on both, and in the long suite on this one under AddressSanitizer and
 * UndefinedBehaviorSanitizer.
 */
#include "_peers.h"

static Secret secret;

static const unsigned char PARTITION[] = {0, 0, 1, 2};

/* ------------------------------------------------------------ index */

static void set_index(Pack *pack, uint32_t position)
{
    *slot_of(&secret, pack, BY_IDENTITY, row_of(pack, position)) = position + 1;
    if (row_of(pack, position)[STATE] != REMOVED)
        *slot_of(&secret, pack, BY_ADDRESS, address_of(pack, position)) = position + 1;
}

/* Empty a slot; those behind it that were pushed on by it move up. */
static void empty_slot(Pack *pack, Key key, uint32_t *slot)
{
    uint32_t *slots = pack->index + (key == BY_ADDRESS ? pack->slots : 0), mask = pack->slots - 1;
    uint32_t hole = (uint32_t)(slot - slots);
    for (uint32_t at = (hole + 1) & mask; slots[at] != 0; at = (at + 1) & mask) {
        const unsigned char *value = key_of(pack, key, slots[at] - 1);
        uint32_t home = (uint32_t)hash(&secret, value, key_bytes(pack, key)) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            slots[hole] = slots[at];
            hole = at;
        }
    }
    slots[hole] = 0;
}

static void unset_index(Pack *pack, uint32_t position)
{
    if (pack->index == NULL)
        return;
    uint32_t *slot = slot_of(&secret, pack, BY_IDENTITY, row_of(pack, position));
    if (*slot != 0)
        empty_slot(pack, BY_IDENTITY, slot);
    /* Two clients may have claimed one address on two nodes at once: leave the other's entry alone. */
    slot = slot_of(&secret, pack, BY_ADDRESS, address_of(pack, position));
    if (*slot == position + 1)
        empty_slot(pack, BY_ADDRESS, slot);
}

/* An index with room for `count` rows; 0, and everything as it was, if there is no memory for one. */
static int build_index(Pack *pack, uint32_t count)
{
    uint32_t slots = 2 * INDEX_ABOVE;
    while (slots < count + count / 2)
        slots *= 2;
    uint32_t *index = PyMem_Calloc(2 * (size_t)slots, sizeof *index);
    if (index == NULL)
        return 0;
    PyMem_Free(pack->index);
    pack->index = index;
    pack->slots = slots;
    for (uint32_t position = 0; position < pack->count; position++)
        set_index(pack, position);
    return 1;
}

/* ------------------------------------------------------------ room */

static int resize(Pack *pack, uint32_t room)
{
    size_t size = pack->address_bytes, kept = (size_t)pack->count * size;
    unsigned char *rows = pack->rows;
    if (room < pack->room)
        memmove(rows + (size_t)room * ROW_BYTES, address_of(pack, 0), kept);
    rows = PyMem_Realloc(rows, (size_t)room * (ROW_BYTES + size));
    if (rows == NULL) {
        /* Even a smaller piece may be refused: then the rows stay, laid out for it, in the larger one. */
        if (room < pack->room)
            pack->room = room;
        else
            PyErr_NoMemory();
        return 0;
    }
    if (room > pack->room)
        memmove(rows + (size_t)room * ROW_BYTES, rows + (size_t)pack->room * ROW_BYTES, kept);
    pack->rows = rows;
    pack->room = room;
    return 1;
}

/* Room for one row more, in the index too. */
static int reserve(Pack *pack)
{
    uint32_t count = pack->count + 1;
    if (count > INT32_MAX / 2) {
        PyErr_SetString(PyExc_OverflowError, "a pack is full");
        return 0;
    }
    if (count > pack->room && !resize(pack, count + count / 8))
        return 0;
    if (pack->index != NULL ? count + count / 2 > pack->slots : count > INDEX_ABOVE)
        if (!build_index(pack, count + count / 4)) {
            PyErr_NoMemory();
            return 0;
        }
    return 1;
}

/* After many have left. */
static void release(Pack *pack)
{
    if (pack->index != NULL && pack->count <= INDEX_ABOVE / 2) {
        PyMem_Free(pack->index);
        pack->index = NULL;
    } else if (pack->index != NULL && pack->slots > 2 * INDEX_ABOVE && pack->count < pack->slots / 6)
        build_index(pack, pack->count + pack->count / 4);
    if (pack->count == 0) {
        PyMem_Free(pack->rows);
        pack->rows = NULL;
        pack->room = 0;
    } else if (pack->count + pack->count / 2 < pack->room)
        resize(pack, pack->count + pack->count / 8);
}

/* ------------------------------------------------------------ rows */

static void set(Pack *pack, uint32_t position, const unsigned char *row, const unsigned char *address)
{
    memcpy(row_of(pack, position), row, ROW_BYTES);
    memcpy(address_of(pack, position), address, pack->address_bytes);
}

/* Move a row and return the position it left, which the next move may fill. */
static uint32_t move(Pack *pack, uint32_t source, uint32_t target)
{
    if (source != target) {
        set(pack, target, row_of(pack, source), address_of(pack, source));
        if (pack->index != NULL)
            set_index(pack, target);
    }
    return source;
}

/* Move a position of no use into a partition, and return it: at each border one row goes the other way. */
static uint32_t make_way(Pack *pack, uint32_t position, int partition)
{
    if (partition > 0 && position < pack->leechers)
        position = move(pack, --pack->leechers, position);
    if (partition > 1 && position < pack->live)
        position = move(pack, --pack->live, position);
    if (partition < 2 && position >= pack->live)
        position = move(pack, pack->live++, position);
    if (partition < 1 && position >= pack->leechers)
        position = move(pack, pack->leechers++, position);
    return position;
}

/* Its row is of no use from now on. */
static void vacate(Pack *pack, uint32_t position)
{
    unset_index(pack, position);
    pack->partials -= row_of(pack, position)[STATE] == PARTIAL;
}

/* ------------------------------------------------------------ arguments */

static int takes(const char *name, Py_ssize_t given, Py_ssize_t wanted)
{
    if (given != wanted)
        PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, not %zd", name, wanted, given);
    return given == wanted;
}

/* Its bytes, exactly `size` of them; NULL with an error. */
static const unsigned char *fixed(PyObject *given, Py_ssize_t size, const char *what)
{
    if (!PyBytes_Check(given) || PyBytes_GET_SIZE(given) != size) {
        PyErr_Format(PyExc_ValueError, "%s has %zd bytes", what, size);
        return NULL;
    }
    return (const unsigned char *)PyBytes_AS_STRING(given);
}

/* A position of a row; -1 with an error. */
static int64_t position_of(const Pack *pack, PyObject *given)
{
    Py_ssize_t position = PyLong_AsSsize_t(given);
    if (position >= 0 && position < (Py_ssize_t)pack->count)
        return position;
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_IndexError, "no row at %zd", position);
    return -1;
}

/* A stamp; all that is smaller than 0 is as old as 0. */
static int stamp_of(PyObject *given, uint64_t *stamp)
{
    int overflow;
    long long small = PyLong_AsLongLongAndOverflow(given, &overflow);
    if (overflow > 0)
        *stamp = PyLong_AsUnsignedLongLong(given);
    else
        *stamp = overflow < 0 || small < 0 ? 0 : (uint64_t)small;
    return !PyErr_Occurred();
}

/* Lay out a `Row`. */
static int read_row(PyObject *given, unsigned char *row)
{
    if (!PyTuple_Check(given) || PyTuple_GET_SIZE(given) != 4) {
        PyErr_SetString(PyExc_TypeError, "a row is a tuple of four");
        return 0;
    }
    const unsigned char *identity = fixed(PyTuple_GET_ITEM(given, 0), IDENTITY_BYTES, "an identity");
    if (identity == NULL)
        return 0;
    unsigned long long stamp = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(given, 1));
    if (stamp == (unsigned long long)-1 && PyErr_Occurred())
        return 0;
    long origin = PyLong_AsLong(PyTuple_GET_ITEM(given, 2)), state = PyLong_AsLong(PyTuple_GET_ITEM(given, 3));
    if (PyErr_Occurred())
        return 0;
    if (origin < 0 || origin > UINT16_MAX || state < LEECHER || state > REMOVED) {
        PyErr_SetString(PyExc_ValueError, "an origin or a state is out of range");
        return 0;
    }
    memcpy(row, identity, IDENTITY_BYTES);
    store64(row + STAMP, stamp);
    row[ORIGIN] = (unsigned char)(origin >> 8);
    row[ORIGIN + 1] = (unsigned char)origin;
    row[STATE] = (unsigned char)state;
    return 1;
}

static PyObject *bytes_of(const unsigned char *data, size_t size)
{
    return PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
}

/* ------------------------------------------------------------ methods */

static PyObject *pack_find(Pack *pack, PyObject *given)
{
    const unsigned char *identity = fixed(given, IDENTITY_BYTES, "an identity");
    return identity != NULL ? PyLong_FromLongLong(find_identity(&secret, pack, identity)) : NULL;
}

static PyObject *pack_find_address(Pack *pack, PyObject *given)
{
    size_t size = pack->address_bytes;
    const unsigned char *address = fixed(given, (Py_ssize_t)size, "an address of this family");
    if (address == NULL)
        return NULL;
    if (pack->index != NULL)
        return PyLong_FromLong((long)*slot_of(&secret, pack, BY_ADDRESS, address) - 1);
    for (uint32_t position = 0; position < pack->live; position++)
        if (memcmp(address_of(pack, position), address, size) == 0)
            return PyLong_FromLong((long)position);
    return PyLong_FromLong(-1);
}

static PyObject *pack_address(Pack *pack, PyObject *given)
{
    int64_t position = position_of(pack, given);
    return position >= 0 ? bytes_of(address_of(pack, (uint32_t)position), pack->address_bytes) : NULL;
}

static PyObject *pack_identity(Pack *pack, PyObject *given)
{
    int64_t position = position_of(pack, given);
    return position >= 0 ? bytes_of(row_of(pack, (uint32_t)position), IDENTITY_BYTES) : NULL;
}

static PyObject *pack_fields(Pack *pack, PyObject *given)
{
    int64_t position = position_of(pack, given);
    if (position < 0)
        return NULL;
    const unsigned char *row = row_of(pack, (uint32_t)position);
    PyObject *fields = PyTuple_New(3), *stamp = PyLong_FromUnsignedLongLong(load64(row + STAMP));
    if (fields == NULL || stamp == NULL) {
        Py_XDECREF(fields);
        Py_XDECREF(stamp);
        return NULL;
    }
    PyTuple_SET_ITEM(fields, 0, stamp);
    PyTuple_SET_ITEM(fields, 1, PyLong_FromLong(row[ORIGIN] << 8 | row[ORIGIN + 1]));
    PyTuple_SET_ITEM(fields, 2, PyLong_FromLong(row[STATE]));
    if (PyTuple_GET_ITEM(fields, 1) == NULL)
        Py_CLEAR(fields);
    return fields;
}

static PyObject *pack_find_current(Pack *pack, PyObject *const *given, Py_ssize_t count)
{
    uint64_t stamp;
    if (!takes("find_current", count, 4))
        return NULL;
    const unsigned char *identity = fixed(given[0], IDENTITY_BYTES, "an identity");
    long state = identity != NULL ? PyLong_AsLong(given[1]) : -1;
    if (PyErr_Occurred())
        return NULL;
    const unsigned char *address = fixed(given[2], pack->address_bytes, "an address of this family");
    if (address == NULL || !stamp_of(given[3], &stamp))
        return NULL;
    int64_t position = find_identity(&secret, pack, identity);
    if (position >= 0) {
        const unsigned char *row = row_of(pack, (uint32_t)position);
        if (row[STATE] != state || load64(row + STAMP) < stamp ||
            memcmp(address_of(pack, (uint32_t)position), address, pack->address_bytes) != 0)
            position = -1;
    }
    return PyLong_FromLongLong(position);
}

static PyObject *pack_addresses_of(Pack *pack, PyObject *ranges)
{
    size_t size = pack->address_bytes, total = 0;
    if (!PyList_Check(ranges)) {
        PyErr_SetString(PyExc_TypeError, "ranges are a list");
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(ranges), bounds[16][2];
    if (count > 16) {
        PyErr_SetString(PyExc_ValueError, "more ranges than a choice has");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *range = PyList_GET_ITEM(ranges, i);
        if (!PyTuple_Check(range) || PyTuple_GET_SIZE(range) != 2) {
            PyErr_SetString(PyExc_TypeError, "a range is a pair");
            return NULL;
        }
        for (int end = 0; end < 2; end++)
            bounds[i][end] = PyLong_AsSsize_t(PyTuple_GET_ITEM(range, end));
        if (PyErr_Occurred())
            return NULL;
        if (bounds[i][0] < 0 || bounds[i][1] < bounds[i][0] || bounds[i][1] > (Py_ssize_t)pack->count) {
            PyErr_SetString(PyExc_IndexError, "a range goes beyond the rows");
            return NULL;
        }
        total += (size_t)(bounds[i][1] - bounds[i][0]) * size;
    }
    PyObject *addresses = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total);
    if (addresses == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(addresses);
    for (Py_ssize_t i = 0; i < count; i++) {
        size_t length = (size_t)(bounds[i][1] - bounds[i][0]) * size;
        if (length > 0)
            memcpy(to, address_of(pack, (uint32_t)bounds[i][0]), length);
        to += length;
    }
    return addresses;
}

static PyObject *pack_older_than(Pack *pack, PyObject *const *given, Py_ssize_t count)
{
    uint64_t stamp;
    if (!takes("older_than", count, 3) || !stamp_of(given[0], &stamp))
        return NULL;
    Py_ssize_t start = PyLong_AsSsize_t(given[1]), stop = PyLong_AsSsize_t(given[2]);
    if (PyErr_Occurred())
        return NULL;
    if (start < 0 || stop > (Py_ssize_t)pack->count) {
        PyErr_SetString(PyExc_IndexError, "a range goes beyond the rows");
        return NULL;
    }
    PyObject *found = PyList_New(0);
    for (Py_ssize_t position = start; found != NULL && position < stop; position++) {
        if (load64(row_of(pack, (uint32_t)position) + STAMP) >= stamp)
            continue;
        PyObject *old = PyLong_FromSsize_t(position);
        if (old == NULL || PyList_Append(found, old) < 0)
            Py_CLEAR(found);
        Py_XDECREF(old);
    }
    return found;
}

static PyObject *pack_put(Pack *pack, PyObject *const *given, Py_ssize_t count)
{
    static const unsigned char nowhere[18];
    unsigned char row[ROW_BYTES];
    if (!takes("put", count, 3) || !read_row(given[1], row))
        return NULL;
    Py_ssize_t position = PyLong_AsSsize_t(given[0]);
    if (position == -1 && PyErr_Occurred())
        return NULL;
    if (position >= 0 && position_of(pack, given[0]) < 0)
        return NULL;
    const unsigned char *address =
        row[STATE] == REMOVED ? nowhere : fixed(given[2], pack->address_bytes, "an address of this family");
    if (address == NULL)
        return NULL;
    if (position >= 0)
        vacate(pack, (uint32_t)position);
    else if (reserve(pack))
        position = pack->count++;
    else
        return NULL;
    uint32_t at = make_way(pack, (uint32_t)position, PARTITION[row[STATE]]);
    set(pack, at, row, address);
    pack->partials += row[STATE] == PARTIAL;
    if (pack->index != NULL)
        set_index(pack, at);
    return PyLong_FromLong((long)at);
}

static PyObject *pack_drop(Pack *pack, PyObject *given)
{
    int64_t position = position_of(pack, given);
    if (position < 0)
        return NULL;
    vacate(pack, (uint32_t)position);
    move(pack, pack->count - 1, make_way(pack, (uint32_t)position, 2));
    pack->count--;
    release(pack);
    Py_RETURN_NONE;
}

static PyObject *pack_fill(Pack *pack, PyObject *const *given, Py_ssize_t count)
{
    if (!takes("_fill", count, 5))
        return NULL;
    Py_ssize_t rows = PyBytes_Check(given[0]) ? PyBytes_GET_SIZE(given[0]) / ROW_BYTES : -1;
    Py_ssize_t leechers = PyLong_AsSsize_t(given[2]), live = PyLong_AsSsize_t(given[3]),
               partials = PyLong_AsSsize_t(given[4]);
    if (PyErr_Occurred())
        return NULL;
    if (pack->count != 0 || rows < 0 || rows > INT32_MAX / 2 || leechers < 0 || leechers > live || live > rows ||
        partials < 0 || partials > leechers) {
        PyErr_SetString(PyExc_ValueError, "only an empty pack is filled, and with rows");
        return NULL;
    }
    const unsigned char *addresses = fixed(given[1], rows * (Py_ssize_t)pack->address_bytes, "addresses of these rows");
    if (addresses == NULL)
        return NULL;
    if (rows == 0)
        Py_RETURN_NONE;
    if (!resize(pack, (uint32_t)rows))
        return NULL;
    pack->count = (uint32_t)rows;
    pack->leechers = (uint32_t)leechers;
    pack->live = (uint32_t)live;
    pack->partials = (uint32_t)partials;
    memcpy(pack->rows, PyBytes_AS_STRING(given[0]), (size_t)rows * ROW_BYTES);
    memcpy(address_of(pack, 0), addresses, (size_t)rows * pack->address_bytes);
    if (rows > INDEX_ABOVE && !build_index(pack, (uint32_t)rows))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------ type */

static PyObject *pack_new(PyTypeObject *type, PyObject *given, PyObject *keywords)
{
    static char *names[] = {"address_bytes", NULL};
    int address_bytes;
    if (!PyArg_ParseTupleAndKeywords(given, keywords, "i", names, &address_bytes))
        return NULL;
    if (address_bytes != 6 && address_bytes != 18) {
        PyErr_SetString(PyExc_ValueError, "compact addresses have 6 or 18 bytes");
        return NULL;
    }
    Pack *pack = (Pack *)type->tp_alloc(type, 0);
    if (pack != NULL)
        pack->address_bytes = (uint32_t)address_bytes;
    return (PyObject *)pack;
}

static void pack_dealloc(Pack *pack)
{
    PyMem_Free(pack->rows);
    PyMem_Free(pack->index);
    PyTypeObject *type = Py_TYPE(pack);
    type->tp_free((PyObject *)pack);
    Py_DECREF(type);
}

static Py_ssize_t pack_length(Pack *pack) { return pack->count; }

static PyObject *get_rows(Pack *pack, void *unused) { return bytes_of(pack->rows, (size_t)pack->count * ROW_BYTES); }

static PyObject *get_addresses(Pack *pack, void *unused)
{
    return pack->count > 0 ? bytes_of(address_of(pack, 0), (size_t)pack->count * pack->address_bytes) : bytes_of(NULL, 0);
}

static PyObject *get_address_bytes(Pack *pack, void *unused) { return PyLong_FromLong((long)pack->address_bytes); }

static PyObject *get_leechers(Pack *pack, void *unused) { return PyLong_FromLong((long)pack->leechers); }

static PyObject *get_live(Pack *pack, void *unused) { return PyLong_FromLong((long)pack->live); }

static PyObject *get_partials(Pack *pack, void *unused) { return PyLong_FromLong((long)pack->partials); }

static PyGetSetDef getters[] = {
    {"rows", (getter)get_rows, NULL, "A copy of all rows.", NULL},
    {"addresses", (getter)get_addresses, NULL, "A copy of all addresses.", NULL},
    {"address_bytes", (getter)get_address_bytes, NULL, NULL, NULL},
    {"leechers", (getter)get_leechers, NULL, NULL, NULL},
    {"live", (getter)get_live, NULL, NULL, NULL},
    {"partials", (getter)get_partials, NULL, NULL, NULL},
    {NULL},
};

#define FAST(function) (PyCFunction)(void (*)(void))function, METH_FASTCALL

static PyMethodDef methods[] = {
    {"find", (PyCFunction)pack_find, METH_O, NULL},
    {"find_address", (PyCFunction)pack_find_address, METH_O, NULL},
    {"address", (PyCFunction)pack_address, METH_O, NULL},
    {"identity", (PyCFunction)pack_identity, METH_O, NULL},
    {"fields", (PyCFunction)pack_fields, METH_O, NULL},
    {"find_current", FAST(pack_find_current), NULL},
    {"addresses_of", (PyCFunction)pack_addresses_of, METH_O, NULL},
    {"older_than", FAST(pack_older_than), NULL},
    {"put", FAST(pack_put), NULL},
    {"drop", (PyCFunction)pack_drop, METH_O, NULL},
    {"_fill", FAST(pack_fill), NULL},
    {NULL},
};

/* No subclass: that would have the collector look at each, though a pack refers to nothing. */
static PyType_Slot slots[] = {
    {Py_tp_doc, "Pack(address_bytes): PeerPack of peers.py, which adds what is not of one piece, where this was compiled."},
    {Py_tp_new, pack_new},
    {Py_tp_dealloc, pack_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getters},
    {Py_sq_length, pack_length},
    {0, NULL},
};

static PyType_Spec specification = {
    .name = "meshtracker.swarm._peers.Pack",
    .basicsize = sizeof(Pack),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_peers", "Peers, packed; see _peers.c.", -1};

PyMODINIT_FUNC PyInit__peers(void)
{
    /* The interpreter hashes bytes with a secret of its own. */
    for (int i = 0; i < 2; i++) {
        PyObject *name = PyBytes_FromFormat("meshtracker secret %d", i);
        if (name == NULL)
            return NULL;
        secret.words[i] = (uint64_t)PyObject_Hash(name);
        Py_DECREF(name);
    }
    PyObject *created = PyModule_Create(&module);
    PyObject *shared = PyBytes_FromStringAndSize((const char *)&secret, sizeof secret);
    PyObject *type = PyType_FromSpec(&specification);
    if (created != NULL && (shared == NULL || type == NULL || PyModule_AddObjectRef(created, "SECRET", shared) < 0 ||
                            PyModule_AddObjectRef(created, "Pack", type) < 0))
        Py_CLEAR(created);
    Py_XDECREF(shared);
    Py_XDECREF(type);
    return created;
}
