/*
 * Datagrams by the batch, and announces answered as far as that needs no Python.
 *
 * BatchedDatagrams of datagrams.py does the same, its calls through ctypes; this module is used instead where it was
 * built. What is answered here: of an announce whose row in the swarm says all that it says, and is not due to be written
 * again, the answer follows from that row, the swarm's two counts and its addresses. That is nine announces in ten; of
 * the tenth the node takes note first. Everything else - any other action, an id not remembered, a swarm with IPv6
 * peers, a bad anything - goes to the front end, which decides; so this file may refuse, but never answers what the
 * front end would not. Nothing is written here.
 *
 * The oracle is the front end itself: tests/network/test_batch.py gives both the same datagrams, and the long suite
 * does so under AddressSanitizer and UndefinedBehaviorSanitizer. What is a refresh is said in node/_refreshes.h.
 */
#include "../node/_refreshes.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define SLOTS WAITING        /* 64, as in mmsg.py */
#define DATAGRAM_BYTES 2048  /* MAX_DATAGRAM_BYTES of wire/udp.py */
#define ANSWER_BYTES 131072  /* as in mmsg.py */
#define NAME_BYTES 28        /* struct sockaddr_in6 */

/* The announce of wire/udp.py. */
enum { ACTION = 8, TRANSACTION = 12, INFO_HASH = 16, PEER_ID = 36, LEFT = 64, EVENT = 80, IP = 84, KEY = 88,
       NUMWANT = 92, PORT = 96, ANNOUNCE_BYTES = 98 };
enum { ANNOUNCE = 1 };
#define ANSWER_HEAD_BYTES 20

typedef struct {
    PyObject_HEAD
    int descriptor, is_ipv6;
    uint64_t random;
    unsigned long long send_failures, receive_failures;
    struct mmsghdr in[SLOTS], out[SLOTS];
    struct iovec in_buffers[SLOTS], out_buffers[SLOTS];
    Waiting waiting[SLOTS];
    unsigned char addresses[SLOTS][COMPACT_BYTES];
    unsigned char names[SLOTS][NAME_BYTES];
    unsigned char received[SLOTS][DATAGRAM_BYTES];
    unsigned char answers[ANSWER_BYTES];
} Batch;

/* What an announce says; `waiting` is none if a datagram is not one that can be answered here. */
static void read_announce(Batch *self, int slot, Waiting *waiting)
{
    const unsigned char *data = self->received[slot];
    const struct sockaddr_in *source = (const struct sockaddr_in *)self->names[slot];
    unsigned char *address = self->addresses[slot];
    waiting->is_announce = 0;
    if (self->in[slot].msg_len < ANNOUNCE_BYTES || load32(data + ACTION) != ANNOUNCE || source->sin_port == 0)
        return;
    memcpy(address, &source->sin_addr, 4);
    memcpy(address + 4, data + PORT, 2);
    waiting->announce = (Announce){data + INFO_HASH, data + PEER_ID, address, load32(data + KEY), load32(data + EVENT),
                                   load64(data + LEFT) == 0};
    waiting->is_announce = address[0] > 0 && address[0] < 224 && (address[4] != 0 || address[5] != 0) &&
                           waiting->announce.key != 0 && load32(data + IP) == 0;
}

/* The length of the answer, or 0 if the front end is to say it. `size` bytes at `to` are free. */
static size_t answer(Batch *self, const Refreshes *known, PyObject *connection_ids, PyObject *now,
                     int slot, unsigned char *to, size_t size)
{
    const Waiting *waiting = &self->waiting[slot];
    const Announce *announce = &waiting->announce;
    const unsigned char *data = self->received[slot];
    if (!waiting->is_announce)
        return 0;

    PyObject *packed = PyBytes_FromStringAndSize((const char *)announce->address, 4);
    PyObject *expected = packed != NULL ? PyDict_GetItemWithError(connection_ids, packed) : NULL;
    Py_XDECREF(packed);
    if (expected == NULL || !PyBytes_CheckExact(expected) || PyBytes_GET_SIZE(expected) != 8 ||
        memcmp(PyBytes_AS_STRING(expected), data, 8) != 0)
        return 0;

    Asker asker;
    int64_t wanted = announce->event == STOPPED ? 0 : wanted_peers(known, (int32_t)load32(data + NUMWANT));
    if (!look_at_swarm(waiting->swarm, &asker))
        return 0;
    if (ANSWER_HEAD_BYTES + (size_t)wanted * COMPACT_BYTES > size)
        return 0;
    if (!is_refresh(known, announce, &asker) && !take_note(known, announce, now, &asker))
        return 0;
    store32(to, ANNOUNCE);
    memcpy(to + 4, data + TRANSACTION, 4);
    store32(to + 8, interval(known, &self->random));
    store32(to + 12, (uint32_t)asker.leechers);
    store32(to + 16, (uint32_t)(asker.live - asker.leechers));
    return (size_t)(copy_peers(&self->random, to + ANSWER_HEAD_BYTES, &asker, wanted, announce->seeding) - to);
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

PyDoc_STRVAR(exchange_doc,
    "exchange(receive_datagram, now, most, connection_ids, refreshes) -> (datagrams, announces)\n\n"
    "Answer up to `most` datagrams that wait (at most 64): usual announces by what the tuple `refreshes`\n"
    "says, if their id is in `connection_ids`, and all others by what `receive_datagram` gives.");

static PyObject *exchange(Batch *self, PyObject *const *arguments, Py_ssize_t count)
{
    Refreshes known;
    if (count != 5 || (arguments[4] != Py_None && !PyDict_Check(arguments[3]))) {
        PyErr_SetString(PyExc_TypeError, "exchange takes 5 arguments, the fourth a dictionary");
        return NULL;
    }
    PyObject *receive = arguments[0], *now = arguments[1], *connection_ids = arguments[3], *given = arguments[4];
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
    int answered = 0, announces = 0, has_refreshes = given != Py_None && !self->is_ipv6;
    size_t used = 0;
    if (has_refreshes) {
        for (int slot = 0; slot < came; slot++)
            read_announce(self, slot, &self->waiting[slot]);
        look_ahead(&known, self->waiting, came);
    }
    for (int slot = 0; slot < came; slot++) {
        size_t length = 0;
        if (has_refreshes) {
            length = answer(self, &known, connection_ids, now, slot, self->answers + used, ANSWER_BYTES - used);
            Py_CLEAR(self->waiting[slot].swarm);
            if (PyErr_Occurred()) {
                let_go(self->waiting, slot + 1, came);
                return NULL;
            }
        }
        if (length > 0)
            announces++;
        else {
            PyObject *answer = ask(self, receive, slot, now);
            if (answer == NULL) {
                let_go(self->waiting, slot + 1, came);
                return NULL;
            }
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
    return Py_BuildValue("ii", came, announces);
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
    if (!get_ready())
        return NULL;
    PyObject *created = PyModule_Create(&module);
    if (created != NULL && PyModule_AddType(created, &batch_type) < 0)
        Py_CLEAR(created);
    return created;
}
