/*
 * Connections over HTTP by the request, and announces that change nothing answered without Python.
 *
 * `receive` and `accept` do what the loop of http.py does through sockets of Python: they take what came, and if that is
 * one whole announce of the usual form which is a refresh (node/_refreshes.h), they send the answer. Anything else - two
 * requests, a header field that matters and is odd, a parameter twice, an escape that is none, a client that says its
 * own address - is handed to the connection in frontends/http_connection.py. No swarm is changed here. The oracle is the
 * front end itself: tests/network/test_http_refreshes.py.
 */
#include "../node/_refreshes.h"

#include <errno.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BYTES 4096   /* as in http.py */
#define MAX_FIELD_BYTES 64   /* A Connection field has a word or two. */
#define ROOM_BEFORE_PEERS 512

typedef struct {
    PyObject_HEAD
    uint64_t random;
    PyObject *kept, *ended; /* (b"", True) and (b"", False): an answer that was sent whole */
    char received[RECEIVE_BYTES];
    unsigned char response[ROOM_BEFORE_PEERS + MAX_PEERS * COMPACT_BYTES + 1];
} Refresher;

typedef struct {
    const char *at;
    size_t size;
} Text;

typedef struct {
    unsigned char info_hash[20], peer_id[20], address[COMPACT_BYTES];
    uint32_t key, event;
    int64_t numwant;
    int seeding, keep_alive;
} Request;

static int is(Text text, const char *word) { return text.size == strlen(word) && memcmp(text.at, word, text.size) == 0; }

/* What comes before the first `mark`; `text` is what comes after it, or empty. */
static Text take(Text *text, char mark)
{
    const char *end = memchr(text->at, mark, text->size);
    Text before = {text->at, end != NULL ? (size_t)(end - text->at) : text->size};
    size_t passed = before.size + (end != NULL);
    text->at += passed;
    text->size -= passed;
    return before;
}

static int hex(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* `percent_decode` of wire/query.py, where the result has just that many bytes. */
static int decode(Text value, unsigned char *to, size_t size)
{
    size_t filled = 0;
    for (size_t i = 0; i < value.size; i++, filled++) {
        if (filled == size)
            return 0;
        unsigned char byte = (unsigned char)value.at[i];
        if (byte == '%') {
            if (value.size - i < 3 || hex(value.at[i + 1]) < 0 || hex(value.at[i + 2]) < 0)
                return 0;
            byte = (unsigned char)(hex(value.at[i + 1]) << 4 | hex(value.at[i + 2]));
            i += 2;
        }
        to[filled] = byte;
    }
    return filled == size;
}

/* Decimal digits, few enough for an int64_t; -1 for anything else. */
static int64_t decimal(Text value)
{
    int64_t result = 0;
    if (value.size == 0 || value.size > 18)
        return -1;
    for (size_t i = 0; i < value.size; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return -1;
        result = result * 10 + (value.at[i] - '0');
    }
    return result;
}

/* `_key` of wire/query.py for eight hexadecimal digits; 0 for anything else. */
static uint32_t hexadecimal(Text value)
{
    uint32_t result = 0;
    if (value.size != 8)
        return 0;
    for (size_t i = 0; i < 8; i++) {
        int digit = hex(value.at[i]);
        if (digit < 0)
            return 0;
        result = result << 4 | (uint32_t)digit;
    }
    return result;
}

/* `parse_announce` of wire/query.py. */
static int read_query(Text query, Request *request)
{
    enum { INFO_HASH = 1, PEER_ID = 2, PORT = 4, LEFT = 8, EVENT = 16, NUMWANT = 32, KEY = 64, NEEDED = 1 | 2 | 4 | 8 | 64 };
    int seen = 0;
    request->numwant = -1;
    request->event = 0;
    while (query.size > 0) {
        Text value = take(&query, '&'), name = take(&value, '=');
        int what = 0;
        if (is(name, "info_hash")) {
            what = INFO_HASH;
            if (!decode(value, request->info_hash, 20))
                return 0;
        } else if (is(name, "peer_id")) {
            what = PEER_ID;
            if (!decode(value, request->peer_id, 20))
                return 0;
        } else if (is(name, "port")) {
            what = PORT;
            int64_t port = decimal(value);
            if (port <= 0 || port > 0xFFFF)
                return 0;
            request->address[4] = (unsigned char)(port >> 8);
            request->address[5] = (unsigned char)port;
        } else if (is(name, "left")) {
            what = LEFT;
            int64_t left = decimal(value);
            if (left < 0)
                return 0;
            request->seeding = left == 0;
        } else if (is(name, "event")) {
            what = EVENT;
            if (is(value, "stopped"))
                return 0;
            request->event = is(value, "paused") ? PAUSED : 0;
        } else if (is(name, "numwant")) {
            what = NUMWANT;
            request->numwant = decimal(value);
            if (request->numwant < 0)
                return 0;
        } else if (is(name, "key")) {
            what = KEY;
            request->key = hexadecimal(value);
            if (request->key == 0)
                return 0;
        } else if (is(name, "ip") || is(name, "ipv4") || is(name, "ipv6") || (is(name, "compact") && is(value, "0")))
            return 0;
        if (seen & what)
            return 0;
        seen |= what;
    }
    return (seen & NEEDED) == NEEDED;
}

static int holds(const char *lower, const char *word) { return strstr(lower, word) != NULL; }

/* `_keep_alive` of wire/http_head.py: the fields up to the empty line, which must end the text. */
static int read_fields(Text fields, int *keep_alive)
{
    while (fields.size > 0) {
        if (memchr(fields.at, '\n', fields.size) == NULL)
            return 0;
        Text line = take(&fields, '\n');
        if (line.size == 0 || is(line, "\r"))
            return fields.size == 0;
        Text value = line, name = take(&value, ':');
        while (name.size > 0 && (name.at[name.size - 1] == ' ' || name.at[name.size - 1] == '\t'))
            name.size--;
        if ((name.size == 14 && strncasecmp(name.at, "content-length", 14) == 0) ||
            (name.size == 17 && strncasecmp(name.at, "transfer-encoding", 17) == 0))
            return 0;
        if (name.size == 10 && strncasecmp(name.at, "connection", 10) == 0) {
            char lower[MAX_FIELD_BYTES + 1];
            if (value.size > MAX_FIELD_BYTES || memchr(value.at, '\0', value.size) != NULL)
                return 0;
            for (size_t i = 0; i < value.size; i++)
                lower[i] = value.at[i] >= 'A' && value.at[i] <= 'Z' ? (char)(value.at[i] | 0x20) : value.at[i];
            lower[value.size] = '\0';
            *keep_alive = !holds(lower, "close") && (*keep_alive || holds(lower, "keep-alive"));
        }
    }
    return 0;
}

/* `parse_head` of wire/http_head.py for "GET /announce?… HTTP/1.1". */
static int read_head(Text head, Request *request)
{
    static const char start[] = "GET /announce?", versions[2][12] = {" HTTP/1.1\r", " HTTP/1.0\r"};
    const size_t start_size = sizeof start - 1, version_size = 10;
    Text line = take(&head, '\n');
    if (line.size < start_size + version_size || memcmp(line.at, start, start_size) != 0)
        return 0;
    const char *version = line.at + line.size - version_size;
    request->keep_alive = memcmp(version, versions[0], version_size) == 0;
    if (!request->keep_alive && memcmp(version, versions[1], version_size) != 0)
        return 0;
    Text query = {line.at + start_size, line.size - start_size - version_size};
    if (memchr(query.at, ' ', query.size) != NULL)
        return 0;
    return read_fields(head, &request->keep_alive) && read_query(query, request);
}

/* A whole number; -1 if it is none. */
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

/* A response to be sent. */
typedef struct {
    const unsigned char *at;
    size_t size;
} Response;

static unsigned char *put(unsigned char *to, const char *text)
{
    size_t size = strlen(text);
    memcpy(to, text, size);
    return to + size;
}

static unsigned char *put_number(unsigned char *to, uint64_t number)
{
    unsigned char digits[20], *first = digits + sizeof digits;
    do
        *--first = (unsigned char)('0' + number % 10);
    while (number /= 10);
    size_t size = (size_t)(digits + sizeof digits - first);
    memcpy(to, first, size);
    return to + size;
}

/* `ok_response` of wire/http_response.py around `encode_announce` of wire/http_answer.py; 0 if Python is to do it. */
static int respond(Refresher *self, const Refreshes *known, const Request *request, const Row *row, Response *response)
{
    int64_t partials = row->pack->partials, downloaded = number(row->swarm, s_downloaded);
    if (downloaded < 0)
        return 0;
    /* Peers have their place, and what comes before them is laid out before it once its length is known. */
    unsigned char *peers = self->response + ROOM_BEFORE_PEERS, front[ROOM_BEFORE_PEERS / 2], head[ROOM_BEFORE_PEERS / 2];
    unsigned char *end = copy_peers(&self->random, peers, row, wanted_peers(known, request->numwant), request->seeding);

    unsigned char *to = put_number(put(front, "d8:completei"), (uint64_t)(row->live - row->leechers));
    to = put_number(put(to, "e10:downloadedi"), (uint64_t)downloaded);
    to = put_number(put(to, "e11:downloadersi"), (uint64_t)(row->leechers - partials));
    to = put(to, "e11:external ip4:");
    memcpy(to, request->address, 4);
    to = put_number(put(to + 4, "10:incompletei"), (uint64_t)row->leechers);
    to = put_number(put(to, "e8:intervali"), interval(known, &self->random));
    to = put_number(put(to, "e12:min intervali"), known->min_interval);
    to = put_number(put(to, "e5:peers"), (uint64_t)(end - peers));
    *to++ = ':';
    *end++ = 'e';
    size_t front_size = (size_t)(to - front), size = front_size + (size_t)(end - peers);

    to = put(head, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: ");
    to = put(to, request->keep_alive ? "keep-alive" : "close");
    to = put(put_number(put(to, "\r\nContent-Length: "), size), "\r\n\r\n");
    size_t head_size = (size_t)(to - head);

    memcpy(peers - front_size, front, front_size);
    memcpy(peers - front_size - head_size, head, head_size);
    *response = (Response){peers - front_size - head_size, head_size + size};
    return 1;
}

/* The response to what a connection from a packed address sent, if that is a refresh. */
static int answer(Refresher *self, const Refreshes *known, size_t received, const unsigned char *address,
                  Request *request, Response *response)
{
    Row row;
    Text head = {self->received, received};
    if (!read_head(head, request))
        return 0;
    memcpy(request->address, address, 4);
    return is_refresh(known, find_swarm(known, request->info_hash), request->peer_id, request->key, request->address,
                      request->seeding, request->event, &row) &&
           respond(self, known, request, &row, response);
}

/* What came on a connection: see `receive`. NULL with an error; EAGAIN is one. */
static PyObject *take_in(Refresher *self, const Refreshes *known, int descriptor, const unsigned char *address)
{
    Request request;
    Response response;
    ssize_t received = recv(descriptor, self->received, RECEIVE_BYTES, MSG_DONTWAIT);
    if (received < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (address == NULL || received == 0 || !answer(self, known, (size_t)received, address, &request, &response)) {
        if (PyErr_Occurred())
            return NULL;
        return PyBytes_FromStringAndSize(self->received, received);
    }
    ssize_t sent = send(descriptor, response.at, response.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == (ssize_t)response.size)
        return Py_NewRef(request.keep_alive ? self->kept : self->ended);
    /* Whoever sends the rest meets the error again. */
    sent = sent < 0 ? 0 : sent;
    return Py_BuildValue("y#O", (const char *)response.at + sent, (Py_ssize_t)response.size - sent,
                         request.keep_alive ? Py_True : Py_False);
}

PyDoc_STRVAR(receive_doc,
    "receive(descriptor, address, refreshes) -> bytes or (unsent, keep_alive)\n\n"
    "What came on a connection from a packed address, or, if that was a refresh, what is left of its answer to send.\n"
    "OSError as of recv(2).");

static PyObject *receive(Refresher *self, PyObject *const *arguments, Py_ssize_t count)
{
    Refreshes known;
    if (count != 3 || !PyBytes_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "receive takes a descriptor, bytes and a tuple");
        return NULL;
    }
    int descriptor = (int)PyLong_AsLong(arguments[0]);
    if (PyErr_Occurred() || !read_refreshes(arguments[2], &known))
        return NULL;
    int is_ipv4 = PyBytes_GET_SIZE(arguments[1]) == 4;
    return take_in(self, &known, descriptor, is_ipv4 ? (unsigned char *)PyBytes_AS_STRING(arguments[1]) : NULL);
}

/* One connection that was accepted: for the list, or NULL without an error if it is over, or with one. */
static PyObject *greet(Refresher *self, const Refreshes *known, int descriptor, const struct sockaddr_storage *source,
                       int *refreshed, int *broken)
{
    const unsigned char *v4 = NULL, *address;
    Py_ssize_t size = 4;
    if (source->ss_family == AF_INET)
        address = v4 = (const unsigned char *)&((const struct sockaddr_in *)source)->sin_addr;
    else {
        address = (const unsigned char *)&((const struct sockaddr_in6 *)source)->sin6_addr;
        size = 16;
    }
    PyObject *outcome = take_in(self, known, descriptor, v4);
    if (outcome == self->ended) {
        Py_DECREF(outcome);
        close(descriptor);
        ++*refreshed;
        return NULL;
    }
    if (outcome == NULL) {
        int waits = PyErr_ExceptionMatches(PyExc_BlockingIOError);
        if (!waits && !PyErr_ExceptionMatches(PyExc_OSError)) {
            close(descriptor);
            return NULL;
        }
        PyErr_Clear();
        if (!waits) {
            close(descriptor);
            ++*broken;
            return NULL;
        }
        outcome = Py_NewRef(Py_None);
    }
    PyObject *stays = Py_BuildValue("iy#N", descriptor, (const char *)address, size, outcome);
    if (stays == NULL)
        close(descriptor);
    return stays;
}

PyDoc_STRVAR(accept_doc,
    "accept(descriptor, most, refreshes) -> (accepted, refreshed, broken, error, connections)\n\n"
    "Accept up to `most` connections. Those whose first request was a refresh that ends them are counted in\n"
    "`refreshed`, those that the network ended in `broken`; the others are (descriptor, packed address, outcome), where\n"
    "an outcome is what `receive` returns, or None if nothing came yet. `error` is the number of what accept(2) said at\n"
    "last if that is about the system and not one connection, or 0.");

static PyObject *accept_all(Refresher *self, PyObject *const *arguments, Py_ssize_t count)
{
    Refreshes known;
    int accepted = 0, refreshed = 0, broken = 0, error = 0;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "accept takes three arguments");
        return NULL;
    }
    int listener = (int)PyLong_AsLong(arguments[0]);
    long most = PyLong_AsLong(arguments[1]);
    if (PyErr_Occurred() || !read_refreshes(arguments[2], &known))
        return NULL;
    PyObject *connections = PyList_New(0);
    for (; connections != NULL && most > 0; most--) {
        struct sockaddr_storage source;
        socklen_t size = sizeof source;
        int descriptor = accept4(listener, (struct sockaddr *)&source, &size, SOCK_CLOEXEC);
        if (descriptor < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK)
                break;
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                error = errno;
                break;
            }
            /* News about this one connection, which is gone (accept(2)). */
            broken++;
            continue;
        }
        accepted++;
        PyObject *stays = greet(self, &known, descriptor, &source, &refreshed, &broken);
        if (stays != NULL && PyList_Append(connections, stays) < 0)
            close(descriptor);
        Py_XDECREF(stays);
        if (PyErr_Occurred()) {
            for (Py_ssize_t i = 0; i < PyList_GET_SIZE(connections); i++)
                close((int)PyLong_AsLong(PyTuple_GET_ITEM(PyList_GET_ITEM(connections, i), 0)));
            Py_CLEAR(connections);
        }
    }
    return connections != NULL ? Py_BuildValue("iiiiN", accepted, refreshed, broken, error, connections) : NULL;
}

static int init(Refresher *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"seed", NULL};
    unsigned long long seed;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "K", names, &seed))
        return -1;
    self->random = seed | 1;
    Py_XSETREF(self->kept, Py_BuildValue("y#O", "", (Py_ssize_t)0, Py_True));
    Py_XSETREF(self->ended, Py_BuildValue("y#O", "", (Py_ssize_t)0, Py_False));
    return self->kept != NULL && self->ended != NULL ? 0 : -1;
}

static void dealloc(Refresher *self)
{
    Py_XDECREF(self->kept);
    Py_XDECREF(self->ended);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef methods[] = {
    {"receive", (PyCFunction)(void (*)(void))receive, METH_FASTCALL, receive_doc},
    {"accept", (PyCFunction)(void (*)(void))accept_all, METH_FASTCALL, accept_doc},
    {NULL},
};

static PyTypeObject refresher_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "meshtracker.network._http.Refresher",
    .tp_doc = "Refresher(seed): answers announces over HTTP that change nothing.",
    .tp_basicsize = sizeof(Refresher),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)init,
    .tp_dealloc = (destructor)dealloc,
    .tp_methods = methods,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_http", "Announces that change nothing; see _http.c.", -1};

PyMODINIT_FUNC PyInit__http(void)
{
    if (!get_ready())
        return NULL;
    PyObject *created = PyModule_Create(&module);
    if (created != NULL && PyModule_AddType(created, &refresher_type) < 0)
        Py_CLEAR(created);
    return created;
}
