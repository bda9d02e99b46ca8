/*
 * Datagrams by the batch, and those that change nothing answered without Python.
 *
 * BatchedDatagrams of datagrams.py does the same through ctypes; this module is used instead where it was built.
 * What it adds is `refresh`: of an announce whose row in the swarm says all that it says, and is not due to be written
 * again, the answer follows from that row, the swarm's two counts and its addresses. That is nine announces in ten.
 * Everything else - any other action, an id not remembered, a swarm with IPv6 peers, a bad anything - goes to the front
 * end, which decides; so this file may refuse, but never answers what the front end would not. Nothing is written here.
 *
 * The oracle is the front end itself: tests/network/test_batch.py gives both the same datagrams, and the long suite
 * does so under AddressSanitizer and UndefinedBehaviorSanitizer.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define SLOTS 64             /* as in mmsg.py */
#define DATAGRAM_BYTES 2048  /* MAX_DATAGRAM_BYTES of wire/udp.py */
#define ANSWER_BYTES 131072  /* as in mmsg.py */
#define NAME_BYTES 28        /* struct sockaddr_in6 */

/* The announce of wire/udp.py. */
enum { ACTION = 8, TRANSACTION = 12, INFO_HASH = 16, PEER_ID = 36, LEFT = 64, EVENT = 80, IP = 84, KEY = 88,
       NUMWANT = 92, PORT = 96, ANNOUNCE_BYTES = 98 };
enum { ANNOUNCE = 1, STOPPED = 3, PAUSED = 4 };
#define ANSWER_HEAD_BYTES 20

/* The row of swarm/peers.py, and the states of model.py. */
enum { IDENTITY_BYTES = 24, STAMP = 24, STATE = 34, ROW_BYTES = 35, COMPACT_BYTES = 6 };
enum { LEECHER = 0, PARTIAL = 1, SEEDER = 2 };

static PyObject *s_v4, *s_v6, *s_rows, *s_addresses, *s_leechers, *s_live, *s_by_identity;

typedef struct {
    PyObject_HEAD
    int descriptor, is_ipv6;
    uint64_t random;
    unsigned long long send_failures, receive_failures;
    struct mmsghdr in[SLOTS], out[SLOTS];
    struct iovec in_buffers[SLOTS], out_buffers[SLOTS];
    unsigned char names[SLOTS][NAME_BYTES];
    unsigned char received[SLOTS][DATAGRAM_BYTES];
    unsigned char answers[ANSWER_BYTES];
} Batch;

/* What `Refreshes` of node/refreshes.py says; borrowed for one call. */
typedef struct {
    PyObject *swarms, *connection_ids, *listed;
    int listed_are_served;
    uint64_t due_stamp;
    uint32_t interval, jitter;
    int64_t numwant_default, numwant_max;
} Refreshes;

typedef struct {
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
static int64_t draw(Batch *self, int64_t bound)
{
    self->random ^= self->random >> 12;
    self->random ^= self->random << 25;
    self->random ^= self->random >> 27;
    uint64_t word = self->random * 0x2545F4914F6CDD1Du;
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
static unsigned char *copy_run(Batch *self, unsigned char *to, const Row *row, int64_t start, int64_t stop,
                               int64_t wanted)
{
    if (wanted <= 0)
        return to;
    int inside = start <= row->position && row->position < stop;
    int64_t size = stop - start - inside, first = draw(self, size), wrapped = first + wanted - size;
    if (wrapped <= 0)
        return copy_others(to, row, start + first, start + first + wanted, inside);
    to = copy_others(to, row, start + first, start + size, inside);
    return copy_others(to, row, start, start + wrapped, inside);
}

/* `choose` of swarm/selection.py; the asker is in the swarm. */
static unsigned char *copy_peers(Batch *self, unsigned char *to, const Row *row, int64_t wanted, int seeding)
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
        return copy_run(self, to, row, 0, row->leechers, wanted);
    int64_t share = wanted * seeders / others, rest = wanted * seeders % others;
    share += draw(self, others) < rest;
    to = copy_run(self, to, row, 0, row->leechers, wanted - share);
    return copy_run(self, to, row, row->leechers, row->live, share);
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
    const char *start = PyByteArray_AS_STRING(rows), *at = start, *end = start + PyByteArray_GET_SIZE(rows);
    while ((at = memmem(at, (size_t)(end - at), identity, IDENTITY_BYTES)) != NULL) {
        if ((at - start) % ROW_BYTES == 0)
            return (at - start) / ROW_BYTES;
        at++;
    }
    return -1;
}

/* The length of the answer, or 0 if the front end is to say it. `size` bytes at `to` are free. */
static size_t refresh(Batch *self, const Refreshes *known, const unsigned char *data, size_t length,
                      const struct sockaddr_in *source, unsigned char *to, size_t size)
{
    unsigned char identity[IDENTITY_BYTES], address[COMPACT_BYTES];
    if (length < ANNOUNCE_BYTES || load32(data + ACTION) != ANNOUNCE || source->sin_port == 0)
        return 0;
    memcpy(address, &source->sin_addr, 4);
    memcpy(address + 4, data + PORT, 2);
    if (address[0] == 0 || address[0] >= 224 || (address[4] == 0 && address[5] == 0))
        return 0;
    uint32_t event = load32(data + EVENT), key = load32(data + KEY);
    if (event == STOPPED || key == 0 || load32(data + IP) != 0)
        return 0;

    PyObject *packed = PyBytes_FromStringAndSize((const char *)address, 4);
    PyObject *expected = packed != NULL ? PyDict_GetItemWithError(known->connection_ids, packed) : NULL;
    Py_XDECREF(packed);
    if (expected == NULL || !PyBytes_CheckExact(expected) || PyBytes_GET_SIZE(expected) != 8 ||
        memcmp(PyBytes_AS_STRING(expected), data, 8) != 0)
        return 0;

    PyObject *info_hash = PyBytes_FromStringAndSize((const char *)data + INFO_HASH, 20);
    if (info_hash == NULL)
        return 0;
    int served = known->listed == NULL || PySet_Contains(known->listed, info_hash) == known->listed_are_served;
    PyObject *swarm = served ? PyDict_GetItemWithError(known->swarms, info_hash) : NULL;
    Py_DECREF(info_hash);
    if (swarm == NULL || borrowed(swarm, s_v6, Py_TYPE(Py_None)) == NULL)
        return 0;
    PyObject *pack = borrowed(swarm, s_v4, &PyBaseObject_Type);
    PyObject *rows = pack != NULL ? borrowed(pack, s_rows, &PyByteArray_Type) : NULL;
    PyObject *addresses = pack != NULL ? borrowed(pack, s_addresses, &PyByteArray_Type) : NULL;
    if (rows == NULL || addresses == NULL)
        return 0;

    memcpy(identity, data + PEER_ID, 20);
    store32(identity + 20, key & 0x7FFFFFFF);
    Row row = {
        .rows = (const unsigned char *)PyByteArray_AS_STRING(rows),
        .addresses = (const unsigned char *)PyByteArray_AS_STRING(addresses),
        .leechers = number(pack, s_leechers),
        .live = number(pack, s_live),
        .position = find(pack, rows, identity),
    };
    if (row.position < 0 || row.position >= row.live || row.leechers < 0 || row.leechers > row.live ||
        row.live > PyByteArray_GET_SIZE(rows) / ROW_BYTES || row.live > PyByteArray_GET_SIZE(addresses) / COMPACT_BYTES)
        return 0;
    const unsigned char *at = row.rows + row.position * ROW_BYTES;
    int seeding = load64(data + LEFT) == 0;
    int state = seeding ? SEEDER : event == PAUSED ? PARTIAL : LEECHER;
    if (at[STATE] != state || load64(at + STAMP) < known->due_stamp ||
        memcmp(row.addresses + row.position * COMPACT_BYTES, address, COMPACT_BYTES) != 0)
        return 0;

    int32_t asked = (int32_t)load32(data + NUMWANT);
    int64_t wanted = asked < 0 ? known->numwant_default : asked < known->numwant_max ? asked : known->numwant_max;
    if (ANSWER_HEAD_BYTES + (size_t)wanted * COMPACT_BYTES > size)
        return 0;
    store32(to, ANNOUNCE);
    memcpy(to + 4, data + TRANSACTION, 4);
    store32(to + 8, known->interval + (uint32_t)draw(self, (int64_t)known->jitter + 1));
    store32(to + 12, (uint32_t)row.leechers);
    store32(to + 16, (uint32_t)(row.live - row.leechers));
    return (size_t)(copy_peers(self, to + ANSWER_HEAD_BYTES, &row, wanted, seeding) - to);
}

/* Send the answers laid out; what the system does not take is passed over, as datagrams.py explains. */
static void send_answers(Batch *self, int count)
{
    for (int done = 0, sent; done < count; done += sent) {
        sent = sendmmsg(self->descriptor, self->out + done, (unsigned)(count - done), MSG_DONTWAIT);
        if (sent <= 0) {
            self->send_failures++;
            sent = 1;
        }
    }
}

/* The front end's answer: bytes, None, or NULL with an error. */
static PyObject *ask(Batch *self, PyObject *receive, int slot, PyObject *now)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    const unsigned char *name = self->names[slot], *address = name + (self->is_ipv6 ? 8 : 4);
    int size = self->is_ipv6 ? 16 : 4;
    if (self->is_ipv6 && memcmp(address, mapped, sizeof mapped) == 0) {
        address += 12;
        size = 4;
    }
    PyObject *arguments[] = {
        PyBytes_FromStringAndSize((const char *)self->received[slot], self->in[slot].msg_len),
        PyBytes_FromStringAndSize((const char *)address, size),
        PyLong_FromLong(name[2] << 8 | name[3]),
        now,
    };
    PyObject *answer = NULL;
    if (arguments[0] != NULL && arguments[1] != NULL && arguments[2] != NULL)
        answer = PyObject_Vectorcall(receive, arguments, 4, NULL);
    for (int i = 0; i < 3; i++)
        Py_XDECREF(arguments[i]);
    if (answer != NULL && answer != Py_None && !PyBytes_Check(answer)) {
        PyErr_SetString(PyExc_TypeError, "an answer is bytes or None");
        Py_CLEAR(answer);
    }
    return answer;
}

static int read_refreshes(PyObject *given, Refreshes *known)
{
    unsigned long long due;
    long long interval, jitter, usual, most;
    if (!PyArg_ParseTuple(given, "O!O!OpKLLLL", &PyDict_Type, &known->swarms, &PyDict_Type, &known->connection_ids,
                          &known->listed, &known->listed_are_served, &due, &interval, &jitter, &usual, &most))
        return 0;
    if (known->listed == Py_None)
        known->listed = NULL;
    else if (!PyAnySet_Check(known->listed)) {
        PyErr_SetString(PyExc_TypeError, "listed is a set or None");
        return 0;
    }
    int64_t room = (65507 - ANSWER_HEAD_BYTES) / COMPACT_BYTES;
    if (interval < 0 || interval > INT32_MAX || jitter < 0 || jitter > INT32_MAX || usual < 0 || most < 0 || most > room ||
        usual > room) {
        PyErr_SetString(PyExc_ValueError, "a figure is out of range");
        return 0;
    }
    known->due_stamp = due;
    known->interval = (uint32_t)interval;
    known->jitter = (uint32_t)jitter;
    known->numwant_default = usual;
    known->numwant_max = most;
    return 1;
}

PyDoc_STRVAR(exchange_doc,
    "exchange(receive_datagram, now, most, refreshes) -> (datagrams, refreshed)\n\n"
    "Answer up to `most` datagrams that wait (at most 64): those that change nothing by what the tuple `refreshes`\n"
    "says, unless it is None, and all others by what `receive_datagram` gives.");

static PyObject *exchange(Batch *self, PyObject *const *arguments, Py_ssize_t count)
{
    Refreshes known;
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "exchange takes 4 arguments");
        return NULL;
    }
    PyObject *receive = arguments[0], *now = arguments[1], *given = arguments[3];
    long most = PyLong_AsLong(arguments[2]);
    if ((most == -1 && PyErr_Occurred()) || (given != Py_None && !read_refreshes(given, &known)))
        return NULL;
    if (most < 1 || most > SLOTS)
        most = SLOTS;
    int came = recvmmsg(self->descriptor, self->in, (unsigned)most, MSG_DONTWAIT, NULL);
    if (came < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            self->receive_failures++;
        came = 0;
    }
    int answered = 0, refreshed = 0;
    size_t used = 0;
    for (int slot = 0; slot < came; slot++) {
        size_t length = 0;
        if (given != Py_None && !self->is_ipv6) {
            length = refresh(self, &known, self->received[slot], self->in[slot].msg_len,
                             (const struct sockaddr_in *)self->names[slot], self->answers + used, ANSWER_BYTES - used);
            if (PyErr_Occurred())
                return NULL;
        }
        if (length > 0)
            refreshed++;
        else {
            PyObject *answer = ask(self, receive, slot, now);
            if (answer == NULL)
                return NULL;
            if (answer == Py_None) {
                Py_DECREF(answer);
                continue;
            }
            length = (size_t)PyBytes_GET_SIZE(answer);
            if (used + length > ANSWER_BYTES) {
                send_answers(self, answered);
                answered = 0, used = 0;
            }
            if (length > ANSWER_BYTES) {
                self->send_failures++;
                Py_DECREF(answer);
                continue;
            }
            memcpy(self->answers + used, PyBytes_AS_STRING(answer), length);
            Py_DECREF(answer);
        }
        self->out_buffers[answered] = (struct iovec){self->answers + used, length};
        self->out[answered].msg_hdr.msg_name = self->names[slot];
        used += length;
        answered++;
    }
    send_answers(self, answered);
    return Py_BuildValue("ii", came, refreshed);
}

static int init(Batch *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"descriptor", "is_ipv6", "seed", NULL};
    unsigned long long seed;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "ipK", names, &self->descriptor, &self->is_ipv6, &seed))
        return -1;
    self->random = seed | 1;
    for (int slot = 0; slot < SLOTS; slot++) {
        struct msghdr header = {
            .msg_name = self->names[slot],
            .msg_namelen = self->is_ipv6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in),
            .msg_iovlen = 1,
        };
        self->in_buffers[slot] = (struct iovec){self->received[slot], DATAGRAM_BYTES};
        header.msg_iov = &self->in_buffers[slot];
        self->in[slot].msg_hdr = header;
        header.msg_iov = &self->out_buffers[slot];
        self->out[slot].msg_hdr = header;
    }
    return 0;
}

static PyObject *get_send_failures(Batch *self, void *unused) { return PyLong_FromUnsignedLongLong(self->send_failures); }

static PyObject *get_receive_failures(Batch *self, void *unused)
{
    return PyLong_FromUnsignedLongLong(self->receive_failures);
}

static PyGetSetDef getters[] = {
    {"send_failures", (getter)get_send_failures, NULL, "Answers that the system did not take.", NULL},
    {"receive_failures", (getter)get_receive_failures, NULL, "Errors in place of a datagram.", NULL},
    {NULL},
};

static PyMethodDef methods[] = {
    {"exchange", (PyCFunction)(void (*)(void))exchange, METH_FASTCALL, exchange_doc},
    {NULL},
};

static PyTypeObject batch_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "meshtracker.network._batch.Batch",
    .tp_doc = "Batch(descriptor, is_ipv6, seed): the buffers of one socket.",
    .tp_basicsize = sizeof(Batch),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)init,
    .tp_methods = methods,
    .tp_getset = getters,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_batch", "Datagrams by the batch; see _batch.c.", -1};

PyMODINIT_FUNC PyInit__batch(void)
{
    s_v4 = PyUnicode_InternFromString("v4");
    s_v6 = PyUnicode_InternFromString("v6");
    s_rows = PyUnicode_InternFromString("rows");
    s_addresses = PyUnicode_InternFromString("addresses");
    s_leechers = PyUnicode_InternFromString("leechers");
    s_live = PyUnicode_InternFromString("live");
    s_by_identity = PyUnicode_InternFromString("_by_identity");
    if (!s_v4 || !s_v6 || !s_rows || !s_addresses || !s_leechers || !s_live || !s_by_identity)
        return NULL;
    PyObject *created = PyModule_Create(&module);
    if (created != NULL && PyModule_AddType(created, &batch_type) < 0)
        Py_CLEAR(created);
    return created;
}
