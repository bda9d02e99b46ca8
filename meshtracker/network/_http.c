/*
 * Connections over HTTP between their requests, and announces answered as far as that needs no Python.
 *
 * A connection of which nothing is known but whose it is and until when it may wait has a place in the lobby. What it
 * sends is taken in here, and if that is one whole announce of the usual form it is answered, once the node has taken
 * note of what it changes, if it does (node/_refreshes.h). Anything else - two requests, a header field that matters and
 * is odd, a parameter twice, an escape that is none, a client that says its own address - leaves the lobby with its
 * connection, which http.py and frontends/http_connection.py serve until it is idle again. No swarm is changed here. The
 * oracle is the front end itself: tests/network/test_lobby.py.
 */
#include "../node/_refreshes.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BYTES 4096   /* as in lobby.py */
#define MAX_PARAMETERS 64    /* as in wire/query.py, of which the last may be empty */
#define MAX_FIELD_BYTES 64   /* A Connection field has a word or two. */
#define ROOM_BEFORE_PEERS 512
#define MAX_EVENTS 256
#define ARRIVALS 16 /* at once */

/* One connection of the lobby, at the place that its descriptor says. */
typedef struct {
    double deadline;
    unsigned char address[16];
    unsigned char address_size; /* 4 or 16; 0: nobody is here */
} Seat;

typedef struct {
    unsigned char info_hash[20], peer_id[20], address[COMPACT_BYTES];
    Announce announce; /* points to these */
    int64_t numwant;
    int keep_alive;
} Request;

/* What came on one connection. */
typedef struct {
    int descriptor, error;
    ssize_t received;
    Request request;
    char text[RECEIVE_BYTES];
} Arrival;

typedef struct {
    PyObject_HEAD
    int epoll;
    double head_seconds, idle_seconds;
    uint64_t random;
    Seat *seats;
    int seat_count, taken;
    struct epoll_event events[MAX_EVENTS];
    Arrival arrivals[ARRIVALS];
    Waiting waiting[ARRIVALS];
    unsigned char response[ROOM_BEFORE_PEERS + MAX_PEERS * COMPACT_BYTES + 1];
} Lobby;

typedef struct {
    const char *at;
    size_t size;
} Text;

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

/* A hexadecimal digit's value; -1 for anything else. */
static int hex(char digit)
{
    static const signed char values[256] = {
        ['0'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ['A'] = 11, 12, 13, 14, 15, 16, ['a'] = 11, 12, 13, 14, 15, 16,
    };
    return values[(unsigned char)digit] - 1;
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

static char lower_case(char letter) { return letter >= 'A' && letter <= 'Z' ? (char)(letter | 0x20) : letter; }

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

/* Of BEP 15. */
static uint32_t event(Text value)
{
    static const char *const names[EVENTS] = {"", "completed", "started", "stopped", "paused"};
    uint32_t found = EVENTS - 1;
    while (found > 0 && !is(value, names[found]))
        found--;
    return found;
}

/* `parse_announce` of wire/query.py. */
static int read_query(Text query, Request *request)
{
    enum { INFO_HASH = 1, PEER_ID = 2, PORT = 4, LEFT = 8, EVENT = 16, NUMWANT = 32, KEY = 64, NEEDED = 1 | 2 | 4 | 8 | 64 };
    int seen = 0, parameters = 0;
    request->numwant = -1;
    request->announce = (Announce){.info_hash = request->info_hash, .peer_id = request->peer_id, .address = request->address};
    while (query.size > 0) {
        Text value = take(&query, '&'), name = take(&value, '=');
        int what = 0;
        if (++parameters >= MAX_PARAMETERS)
            return 0;
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
            request->announce.seeding = left == 0;
        } else if (is(name, "event")) {
            what = EVENT;
            request->announce.event = event(value);
        } else if (is(name, "numwant")) {
            what = NUMWANT;
            request->numwant = decimal(value);
            if (request->numwant < 0)
                return 0;
        } else if (is(name, "key")) {
            what = KEY;
            request->announce.key = hexadecimal(value);
            if (request->announce.key == 0)
                return 0;
        } else if (is(name, "ip") || is(name, "ipv4") || is(name, "ipv6") || (is(name, "compact") && is(value, "0")))
            return 0;
        if (seen & what)
            return 0;
        seen |= what;
    }
    return (seen & NEEDED) == NEEDED;
}

/* Not by strncasecmp, for which some languages have no "i" in "CONNECTION". */
static int is_in_any_case(Text text, const char *lower)
{
    if (text.size != strlen(lower))
        return 0;
    for (size_t i = 0; i < text.size; i++)
        if (lower_case(text.at[i]) != lower[i])
            return 0;
    return 1;
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
        if (is_in_any_case(name, "content-length") || is_in_any_case(name, "transfer-encoding"))
            return 0;
        if (is_in_any_case(name, "connection")) {
            char lower[MAX_FIELD_BYTES + 1];
            if (value.size > MAX_FIELD_BYTES || memchr(value.at, '\0', value.size) != NULL)
                return 0;
            for (size_t i = 0; i < value.size; i++)
                lower[i] = lower_case(value.at[i]);
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

/* -1 if it is no whole number. */
static int64_t completed_downloads(PyObject *swarm)
{
    PyObject *value = swarm != NULL ? value_of(swarm, &downloaded) : PyLong_FromLong(0);
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
static int respond(Lobby *self, const Refreshes *known, const Request *request, const Asker *asker, Response *response)
{
    int64_t wanted = request->announce.event == STOPPED ? 0 : wanted_peers(known, request->numwant);
    int64_t completed = completed_downloads(asker->swarm);
    if (completed < 0)
        return 0;
    /* Peers have their place, and what comes before them is laid out before it once its length is known. */
    unsigned char *peers = self->response + ROOM_BEFORE_PEERS, front[ROOM_BEFORE_PEERS / 2], head[ROOM_BEFORE_PEERS / 2];
    unsigned char *end = copy_peers(&self->random, peers, asker, wanted, request->announce.seeding);

    unsigned char *to = put_number(put(front, "d8:completei"), (uint64_t)(asker->live - asker->leechers));
    to = put_number(put(to, "e10:downloadedi"), (uint64_t)completed);
    to = put_number(put(to, "e11:downloadersi"), (uint64_t)(asker->leechers - asker->partials));
    to = put(to, "e11:external ip4:");
    memcpy(to, request->address, 4);
    to = put_number(put(to + 4, "10:incompletei"), (uint64_t)asker->leechers);
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

/* ------------------------------------------------------------ places */

/* Whose place a descriptor is; NULL if nobody's. */
static Seat *seat_of(const Lobby *self, int descriptor)
{
    if (descriptor < 0 || descriptor >= self->seat_count || self->seats[descriptor].address_size == 0)
        return NULL;
    return &self->seats[descriptor];
}

static int take_seat(Lobby *self, int descriptor, const unsigned char *address, size_t size, double deadline)
{
    if (descriptor >= self->seat_count) {
        int count = descriptor + descriptor / 2 + 64;
        Seat *seats = PyMem_Realloc(self->seats, (size_t)count * sizeof(Seat));
        if (seats == NULL) {
            PyErr_NoMemory();
            return 0;
        }
        memset(seats + self->seat_count, 0, (size_t)(count - self->seat_count) * sizeof(Seat));
        self->seats = seats;
        self->seat_count = count;
    }
    Seat *seat = &self->seats[descriptor];
    self->taken += seat->address_size == 0;
    seat->deadline = deadline;
    memcpy(seat->address, address, size);
    seat->address_size = (unsigned char)size;
    return 1;
}

static void leave(Lobby *self, int descriptor)
{
    self->seats[descriptor].address_size = 0;
    self->taken--;
}

static void end(Lobby *self, int descriptor)
{
    leave(self, descriptor);
    close(descriptor);
}

/* ------------------------------------------------------------ what comes */

/* Take in what came from a packed address, and see whether it is an announce and nothing else. */
static void receive(Arrival *arrival, Waiting *waiting, int descriptor, const unsigned char *address, size_t size)
{
    arrival->descriptor = descriptor;
    arrival->received = recv(descriptor, arrival->text, RECEIVE_BYTES, MSG_DONTWAIT);
    arrival->error = errno;
    Text head = {arrival->text, arrival->received > 0 ? (size_t)arrival->received : 0};
    waiting->is_announce = size == 4 && head.size > 0 && read_head(head, &arrival->request);
    if (waiting->is_announce) {
        memcpy(arrival->request.address, address, 4);
        waiting->announce = arrival->request.announce;
    }
}

/* What became of what a connection sent. */
typedef enum { NOTHING_CAME, KEPT, ENDED, GONE, BROKEN, FOR_PYTHON } Fate;

/* Answer what was received if that can be done here. FOR_PYTHON comes with an `outcome`, NULL with an error: bytes that
 * came, or what is left to send and whether the connection is kept after that. Lets go of the swarm. */
static Fate answer(Lobby *self, const Refreshes *known, PyObject *now, const Arrival *arrival, Waiting *waiting,
                   int *answered, PyObject **outcome)
{
    if (arrival->received < 0) {
        int is_early = arrival->error == EAGAIN || arrival->error == EWOULDBLOCK || arrival->error == EINTR;
        return is_early ? NOTHING_CAME : BROKEN;
    }
    if (arrival->received == 0)
        return GONE;
    Asker asker;
    Response response;
    const Announce *announce = &waiting->announce;
    int is_answered = waiting->is_announce && look_at_swarm(waiting->swarm, &asker) &&
                      (is_refresh(known, announce, &asker) || take_note(known, announce, now, &asker)) &&
                      respond(self, known, &arrival->request, &asker, &response);
    Py_CLEAR(waiting->swarm);
    if (!is_answered) {
        *outcome = PyErr_Occurred() ? NULL : PyBytes_FromStringAndSize(arrival->text, arrival->received);
        return FOR_PYTHON;
    }
    ++*answered;
    ssize_t sent = send(arrival->descriptor, response.at, response.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == (ssize_t)response.size)
        return arrival->request.keep_alive ? KEPT : ENDED;
    /* Whoever sends the rest meets the error again. */
    sent = sent < 0 ? 0 : sent;
    *outcome = Py_BuildValue("y#O", (const char *)response.at + sent, (Py_ssize_t)response.size - sent,
                             arrival->request.keep_alive ? Py_True : Py_False);
    return FOR_PYTHON;
}

/* One connection for Python: with what came of what it sent, or NULL, which is None then. Steals `outcome`; 0 with an
 * error. */
static int hand_over(PyObject *list, int descriptor, const unsigned char *address, size_t size, double deadline,
                     PyObject *outcome)
{
    PyObject *item = Py_BuildValue("iy#dN", descriptor, (const char *)address, (Py_ssize_t)size, deadline,
                                   outcome != NULL ? outcome : Py_NewRef(Py_None));
    int is_done = item != NULL && PyList_Append(list, item) == 0;
    Py_XDECREF(item);
    return is_done;
}

/* A list that did not come about: its connections would be nobody's. */
static void close_all_of(PyObject *list, int but_unknown)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        if (!but_unknown || PyBytes_GET_SIZE(PyTuple_GET_ITEM(item, 1)) > 0)
            close((int)PyLong_AsLong(PyTuple_GET_ITEM(item, 0)));
    }
}

/* Serve what arrived in the lobby. May set an error. */
static void serve_one(Lobby *self, const Refreshes *known, PyObject *now, const Arrival *arrival, Waiting *waiting,
                      PyObject *others, int *answered, int *broken)
{
    PyObject *outcome = NULL;
    Fate fate = answer(self, known, now, arrival, waiting, answered, &outcome);
    /* Looked for now: Python may have been asked. */
    Seat *seat = seat_of(self, arrival->descriptor);
    if (seat == NULL) {
        Py_XDECREF(outcome);
        return;
    }
    switch (fate) {
    case NOTHING_CAME:
        return;
    case KEPT:
        seat->deadline = PyFloat_AsDouble(now) + self->idle_seconds;
        return;
    case BROKEN:
        ++*broken;
        /* fall through */
    case ENDED:
    case GONE:
        end(self, arrival->descriptor);
        return;
    case FOR_PYTHON:
        break;
    }
    int is_handed_over = outcome != NULL && hand_over(others, arrival->descriptor, seat->address, seat->address_size,
                                                      seat->deadline, outcome);
    leave(self, arrival->descriptor);
    if (!is_handed_over)
        close(arrival->descriptor);
}

/* Serve descriptors that are ready, each of which may be nobody's here. May set an error. */
static void serve_some(Lobby *self, const Refreshes *known, PyObject *now, const struct epoll_event *events, int count,
                       PyObject *others, int *answered, int *broken)
{
    int came = 0;
    for (int i = 0; i < count; i++) {
        int descriptor = events[i].data.fd;
        const Seat *seat = seat_of(self, descriptor);
        if (seat == NULL)
            hand_over(others, descriptor, (const unsigned char *)"", 0, 0.0, NULL);
        else {
            receive(&self->arrivals[came], &self->waiting[came], descriptor, seat->address, seat->address_size);
            came++;
        }
    }
    look_ahead(known, self->waiting, came);
    int done = 0;
    for (; done < came && !PyErr_Occurred(); done++)
        serve_one(self, known, now, &self->arrivals[done], &self->waiting[done], others, answered, broken);
    let_go(self->waiting, done, came);
}

PyDoc_STRVAR(serve_doc,
    "serve(most, now, refreshes) -> (answered, broken, others)\n\n"
    "Serve up to `most` of the descriptors that are ready in the epoll set. Of `others` each is (descriptor, packed\n"
    "address, deadline, outcome): a connection that has left the lobby with the bytes that it sent, or with (unsent,\n"
    "keep_alive) where those were answered; or (descriptor, b\"\", 0.0, None) for one that was not there. `answered`\n"
    "counts what was answered, `broken` connections that the network ended.");

static PyObject *serve(Lobby *self, PyObject *const *arguments, Py_ssize_t count)
{
    Refreshes known;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "serve takes three arguments");
        return NULL;
    }
    PyObject *now = arguments[1];
    long most = PyLong_AsLong(arguments[0]);
    PyFloat_AsDouble(now);
    if (PyErr_Occurred() || !read_refreshes(arguments[2], &known))
        return NULL;
    PyObject *others = PyList_New(0);
    if (others == NULL)
        return NULL;
    int answered = 0, broken = 0, ready;
    do {
        /* While these were served others became ready, and to be woken for them takes as long as to serve several. */
        ready = epoll_wait(self->epoll, self->events, most < MAX_EVENTS ? (int)most : MAX_EVENTS, 0);
        if (ready < 0 && errno != EINTR)
            PyErr_SetFromErrno(PyExc_OSError);
        for (int i = 0; i < ready && !PyErr_Occurred(); i += ARRIVALS)
            serve_some(self, &known, now, self->events + i, ready - i < ARRIVALS ? ready - i : ARRIVALS, others,
                       &answered, &broken);
        if (PyErr_Occurred()) {
            close_all_of(others, 1);
            Py_DECREF(others);
            return NULL;
        }
        most -= ready;
        /* Until Python has seen to others they stay ready. */
    } while (ready > 0 && most > 0 && PyList_GET_SIZE(others) == 0);
    return Py_BuildValue("iiN", answered, broken, others);
}

/* The packed address of a client: IPv4 ones may come to an IPv6 socket. */
static const unsigned char *packed(const struct sockaddr_storage *source, size_t *size)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    *size = 4;
    if (source->ss_family == AF_INET)
        return (const unsigned char *)&((const struct sockaddr_in *)source)->sin_addr;
    const unsigned char *address = (const unsigned char *)&((const struct sockaddr_in6 *)source)->sin6_addr;
    if (memcmp(address, mapped, sizeof mapped) == 0)
        return address + 12;
    *size = 16;
    return address;
}

PyDoc_STRVAR(accept_doc,
    "accept(listener, most, room, now, refreshes) -> (accepted, answered, broken, error, others)\n\n"
    "Accept up to `most` connections. Those that are idle now go into the epoll set and the lobby, up to `room` of them;\n"
    "the next one is the last, and left to Python, without an outcome if it has sent nothing. `answered`, `broken` and\n"
    "`others` are as for `serve`, but not in the epoll set. `error` is the number of what accept(2) said at last if that\n"
    "is about the system and not one connection, or 0.");

static PyObject *accept_all(Lobby *self, PyObject *const *arguments, Py_ssize_t count)
{
    Refreshes known;
    int accepted = 0, answered = 0, broken = 0, error = 0;
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "accept takes five arguments");
        return NULL;
    }
    int listener = PyObject_AsFileDescriptor(arguments[0]);
    long most = PyLong_AsLong(arguments[1]), room = PyLong_AsLong(arguments[2]);
    double now = PyFloat_AsDouble(arguments[3]);
    if (PyErr_Occurred() || !read_refreshes(arguments[4], &known))
        return NULL;
    PyObject *others = PyList_New(0);
    if (others == NULL)
        return NULL;
    for (; room >= 0 && most > 0; most--) {
        struct sockaddr_storage source;
        socklen_t length = sizeof source;
        int descriptor = accept4(listener, (struct sockaddr *)&source, &length, SOCK_CLOEXEC);
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
        size_t size;
        const unsigned char *address = packed(&source, &size);
        PyObject *outcome = NULL;
        receive(self->arrivals, self->waiting, descriptor, address, size);
        look_ahead(&known, self->waiting, 1);
        Fate fate = answer(self, &known, arguments[3], self->arrivals, self->waiting, &answered, &outcome);
        broken += fate == BROKEN;
        if (fate == ENDED || fate == GONE || fate == BROKEN) {
            close(descriptor);
            continue;
        }
        double deadline = now + (fate == KEPT ? self->idle_seconds : self->head_seconds);
        if (fate != FOR_PYTHON && room > 0) {
            struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
            if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, descriptor, &event) < 0)
                PyErr_SetFromErrno(PyExc_OSError);
            else if (take_seat(self, descriptor, address, size, deadline)) {
                room--;
                continue;
            }
        } else {
            if (fate == KEPT)
                outcome = Py_BuildValue("y#O", "", (Py_ssize_t)0, Py_True);
            room -= fate != FOR_PYTHON;
            if (!PyErr_Occurred() && hand_over(others, descriptor, address, size, deadline, outcome))
                continue;
        }
        close(descriptor);
        close_all_of(others, 0);
        Py_DECREF(others);
        return NULL;
    }
    return Py_BuildValue("iiiiN", accepted, answered, broken, error, others);
}

/* ------------------------------------------------------------ who is there */

PyDoc_STRVAR(add_doc,
    "add(descriptor, address, deadline)\n\n"
    "Take in a connection that is idle; it waits in the epoll set to be read from. The lobby closes it from now on.");

static PyObject *add(Lobby *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3 || !PyBytes_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "add takes a descriptor, bytes and a deadline");
        return NULL;
    }
    int descriptor = (int)PyLong_AsLong(arguments[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(arguments[1]);
    double deadline = PyFloat_AsDouble(arguments[2]);
    if (PyErr_Occurred())
        return NULL;
    if (descriptor < 0 || (size != 4 && size != 16)) {
        PyErr_SetString(PyExc_ValueError, "a descriptor or an address is out of range");
        return NULL;
    }
    if (!take_seat(self, descriptor, (const unsigned char *)PyBytes_AS_STRING(arguments[1]), (size_t)size, deadline))
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(expire_doc,
    "expire(now, most) -> int\n\nClose up to `most` whose deadline has come; returns how many those were.");

static PyObject *expire(Lobby *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "expire takes two arguments");
        return NULL;
    }
    double now = PyFloat_AsDouble(arguments[0]);
    long most = PyLong_AsLong(arguments[1]), closed = 0;
    if (PyErr_Occurred())
        return NULL;
    for (int at = 0; at < self->seat_count && closed < most; at++)
        if (self->seats[at].address_size > 0 && self->seats[at].deadline <= now) {
            end(self, at);
            closed++;
        }
    return PyLong_FromLong(closed);
}

PyDoc_STRVAR(deadlines_doc, "deadlines() -> [(deadline, descriptor)]\n\nOf everybody.");

static PyObject *deadlines(Lobby *self, PyObject *unused)
{
    PyObject *list = PyList_New(0);
    for (int at = 0; list != NULL && at < self->seat_count; at++) {
        if (self->seats[at].address_size == 0)
            continue;
        PyObject *item = Py_BuildValue("di", self->seats[at].deadline, at);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

PyDoc_STRVAR(close_doc, "close(descriptor)\n\nEnd a connection, if it is there.");

static PyObject *close_one(Lobby *self, PyObject *given)
{
    int descriptor = (int)PyLong_AsLong(given);
    if (PyErr_Occurred())
        return NULL;
    if (seat_of(self, descriptor) != NULL)
        end(self, descriptor);
    Py_RETURN_NONE;
}

static void close_everybody(Lobby *self)
{
    for (int at = 0; at < self->seat_count; at++)
        if (self->seats[at].address_size > 0)
            end(self, at);
}

PyDoc_STRVAR(close_all_doc, "close_all()\n\nEnd every connection that is there.");

static PyObject *close_all(Lobby *self, PyObject *unused)
{
    close_everybody(self);
    Py_RETURN_NONE;
}

static Py_ssize_t length(Lobby *self) { return self->taken; }

static int init(Lobby *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"epoll", "seed", "head_seconds", "idle_seconds", NULL};
    unsigned long long seed;
    PyObject *epoll;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OKdd", names, &epoll, &seed, &self->head_seconds,
                                     &self->idle_seconds))
        return -1;
    self->epoll = PyObject_AsFileDescriptor(epoll);
    if (self->epoll < 0)
        return -1;
    self->random = seed | 1;
    return 0;
}

static void dealloc(Lobby *self)
{
    close_everybody(self);
    PyMem_Free(self->seats);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef methods[] = {
    {"serve", (PyCFunction)(void (*)(void))serve, METH_FASTCALL, serve_doc},
    {"accept", (PyCFunction)(void (*)(void))accept_all, METH_FASTCALL, accept_doc},
    {"add", (PyCFunction)(void (*)(void))add, METH_FASTCALL, add_doc},
    {"expire", (PyCFunction)(void (*)(void))expire, METH_FASTCALL, expire_doc},
    {"deadlines", (PyCFunction)deadlines, METH_NOARGS, deadlines_doc},
    {"close", (PyCFunction)close_one, METH_O, close_doc},
    {"close_all", (PyCFunction)close_all, METH_NOARGS, close_all_doc},
    {NULL},
};

static PySequenceMethods as_sequence = {.sq_length = (lenfunc)length};

static PyTypeObject lobby_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "meshtracker.network._http.Lobby",
    .tp_doc = "Lobby(epoll, seed, head_seconds, idle_seconds): connections of an epoll set between their requests.\n\n"
              "A new one may wait `head_seconds` for its first request, and `idle_seconds` for each one after.",
    .tp_basicsize = sizeof(Lobby),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)init,
    .tp_dealloc = (destructor)dealloc,
    .tp_methods = methods,
    .tp_as_sequence = &as_sequence,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_http", "Connections between their requests; see _http.c.", -1};

PyMODINIT_FUNC PyInit__http(void)
{
    if (!get_ready())
        return NULL;
    PyObject *created = PyModule_Create(&module);
    if (created != NULL && PyModule_AddType(created, &lobby_type) < 0)
        Py_CLEAR(created);
    return created;
}
