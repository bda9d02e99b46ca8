/*
 * Announces over HTTP that change nothing, answered without Python.
 *
 * Takes what a keep-alive or closing connection sent, if that is one whole request of the usual form; of anything else
 * - two requests, a header field that matters and is odd, a parameter twice, an escape that is none, a client that says
 * its own address - it says None, and frontends/http_connection.py does its work. What a refresh is is said in
 * node/_refreshes.h. Nothing is written here. The oracle is the front end itself: tests/frontends/test_http_refreshes.py.
 */
#include "../node/_refreshes.h"

#include <stdio.h>
#include <strings.h>

#define MAX_HEAD_BYTES 4096  /* RECEIVE_BYTES of network/http.py: what one read brings */
#define MAX_FIELD_BYTES 64   /* A Connection field has a word or two. */

typedef struct {
    PyObject_HEAD
    uint64_t random;
    unsigned char body[MAX_PEERS * COMPACT_BYTES + 512];
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

/* `ok_response` of wire/http_response.py around `encode_announce` of wire/http_answer.py. */
static PyObject *respond(Refresher *self, const Refreshes *known, const Request *request, const Row *row)
{
    int64_t partials = row->pack->partials, downloaded = number(row->swarm, s_downloaded);
    if (downloaded < 0)
        return NULL;
    int64_t wanted = wanted_peers(known, request->numwant);
    unsigned char *peers = self->body + 300;
    size_t peers_size = (size_t)(copy_peers(&self->random, peers, row, wanted, request->seeding) - peers);
    char front[300], head[160];
    int middle = snprintf(front, sizeof front, "d8:completei%llde10:downloadedi%llde11:downloadersi%llde11:external ip4:",
                          (long long)(row->live - row->leechers), (long long)downloaded,
                          (long long)(row->leechers - partials));
    memcpy(front + middle, request->address, 4);
    middle += 4;
    middle += snprintf(front + middle, sizeof front - (size_t)middle,
                       "10:incompletei%llde8:intervali%ue12:min intervali%ue5:peers%zu:", (long long)row->leechers,
                       interval(known, &self->random), known->min_interval, peers_size);
    size_t size = (size_t)middle + peers_size + 1;
    int head_size = snprintf(head, sizeof head,
                             "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: %s\r\nContent-Length: %zu\r\n\r\n",
                             request->keep_alive ? "keep-alive" : "close", size);
    PyObject *response = PyBytes_FromStringAndSize(NULL, head_size + (Py_ssize_t)size);
    if (response == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(response);
    memcpy(to, head, (size_t)head_size);
    memcpy(to + head_size, front, (size_t)middle);
    memcpy(to + head_size + middle, peers, peers_size);
    to[head_size + (int)size - 1] = 'e';
    return response;
}

PyDoc_STRVAR(answer_doc,
    "answer(data, address, refreshes) -> (response, keep_alive) or None\n\n"
    "The response to a request from a packed address, if it is an announce that changes nothing by `refreshes`.");

static PyObject *answer(Refresher *self, PyObject *const *arguments, Py_ssize_t count)
{
    Refreshes known;
    Request request;
    Row row;
    if (count != 3 || !PyBytes_Check(arguments[0]) || !PyBytes_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "answer takes two bytes and a tuple");
        return NULL;
    }
    if (!read_refreshes(arguments[2], &known))
        return NULL;
    Text head = {PyBytes_AS_STRING(arguments[0]), (size_t)PyBytes_GET_SIZE(arguments[0])};
    if (PyBytes_GET_SIZE(arguments[1]) != 4 || head.size > MAX_HEAD_BYTES || !read_head(head, &request))
        Py_RETURN_NONE;
    memcpy(request.address, PyBytes_AS_STRING(arguments[1]), 4);
    PyObject *response = NULL;
    if (is_refresh(&known, request.info_hash, request.peer_id, request.key, request.address, request.seeding,
                   request.event, &row))
        response = respond(self, &known, &request, &row);
    if (response != NULL)
        return Py_BuildValue("NO", response, request.keep_alive ? Py_True : Py_False);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static int init(Refresher *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"seed", NULL};
    unsigned long long seed;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "K", names, &seed))
        return -1;
    self->random = seed | 1;
    return 0;
}

static PyMethodDef methods[] = {
    {"answer", (PyCFunction)(void (*)(void))answer, METH_FASTCALL, answer_doc},
    {NULL},
};

static PyTypeObject refresher_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "meshtracker.frontends._http.Refresher",
    .tp_doc = "Refresher(seed): answers announces over HTTP that change nothing.",
    .tp_basicsize = sizeof(Refresher),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)init,
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
