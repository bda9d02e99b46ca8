/*
 * A pack of peers as C sees it: the rows and partitions of peers.py in one piece of memory, and an index over them.
 *
 * Whoever includes this reads packs; only _peers.c changes them.
 */
#ifndef MESHTRACKER_PEERS_H
#define MESHTRACKER_PEERS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

/* The row of peers.py, and the states of model.py. */
enum { IDENTITY_BYTES = 24, STAMP = 24, ORIGIN = 32, STATE = 34, ROW_BYTES = 35 };
enum { LEECHER = 0, PARTIAL = 1, SEEDER = 2, REMOVED = 3 };

enum { INDEX_ABOVE = 64 };

typedef enum { BY_IDENTITY, BY_ADDRESS } Key;

typedef struct {
    PyObject_HEAD
    unsigned char *rows; /* `room` rows, then as many addresses */
    uint32_t *index;     /* `slots` by identity, then as many by address: a position + 1, or 0; NULL: too few rows */
    uint32_t count, room, leechers, live, partials, slots;
    uint32_t address_bytes;
} Pack;

/* Of SipHash: drawn with the interpreter's own, by _peers.c. */
typedef struct {
    uint64_t words[2];
} Secret;

static inline uint32_t load32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t load64(const unsigned char *p) { return (uint64_t)load32(p) << 32 | load32(p + 4); }

static inline void store32(unsigned char *p, uint32_t value)
{
    p[0] = value >> 24, p[1] = value >> 16, p[2] = value >> 8, p[3] = value;
}

static inline void store64(unsigned char *p, uint64_t value)
{
    store32(p, value >> 32), store32(p + 4, (uint32_t)value);
}

static inline unsigned char *row_of(const Pack *pack, uint32_t position)
{
    return pack->rows + (size_t)position * ROW_BYTES;
}

static inline unsigned char *address_of(const Pack *pack, uint32_t position)
{
    return pack->rows + (size_t)pack->room * ROW_BYTES + (size_t)position * pack->address_bytes;
}

static inline const unsigned char *key_of(const Pack *pack, Key key, uint32_t position)
{
    return key == BY_IDENTITY ? row_of(pack, position) : address_of(pack, position);
}

static inline size_t key_bytes(const Pack *pack, Key key)
{
    return key == BY_IDENTITY ? IDENTITY_BYTES : pack->address_bytes;
}

#define ROTATE(word, bits) ((word) << (bits) | (word) >> (64 - (bits)))
#define ROUND(a, b, c, d)                                                              \
    (a += b, b = ROTATE(b, 13), b ^= a, a = ROTATE(a, 32), c += d, d = ROTATE(d, 16), d ^= c, \
     a += d, d = ROTATE(d, 21), d ^= a, c += b, b = ROTATE(b, 17), b ^= c, c = ROTATE(c, 32))

/* SipHash-1-3 (Aumasson, Bernstein 2012): peers choose their ids, and must not choose where they collide. */
static inline uint64_t hash(const Secret *secret, const unsigned char *data, size_t size)
{
    uint64_t a = secret->words[0] ^ 0x736f6d6570736575u, b = secret->words[1] ^ 0x646f72616e646f6du,
             c = secret->words[0] ^ 0x6c7967656e657261u, d = secret->words[1] ^ 0x7465646279746573u;
    uint64_t last = (uint64_t)size << 56;
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        d ^= word;
        ROUND(a, b, c, d);
        a ^= word;
    }
    for (size_t i = 0; i < size; i++)
        last |= (uint64_t)data[i] << (8 * i);
    d ^= last;
    ROUND(a, b, c, d);
    a ^= last;
    c ^= 0xff;
    ROUND(a, b, c, d);
    ROUND(a, b, c, d);
    ROUND(a, b, c, d);
    return a ^ b ^ c ^ d;
}

/* The slot that holds a key, or the empty one where it would be put. */
static inline uint32_t *slot_of(const Secret *secret, const Pack *pack, Key key, const unsigned char *value)
{
    size_t size = key_bytes(pack, key);
    uint32_t *slots = pack->index + (key == BY_ADDRESS ? pack->slots : 0), mask = pack->slots - 1;
    uint32_t at = (uint32_t)hash(secret, value, size) & mask;
    while (slots[at] != 0 && memcmp(key_of(pack, key, slots[at] - 1), value, size) != 0)
        at = (at + 1) & mask;
    return slots + at;
}

/* `find` of peers.py: -1 if there is none. */
static inline int64_t find_identity(const Secret *secret, const Pack *pack, const unsigned char *identity)
{
    if (pack->index != NULL)
        return (int64_t)*slot_of(secret, pack, BY_IDENTITY, identity) - 1;
    /* Peer ids begin alike, so the key and what is before it are looked at first. */
    uint64_t last = load64(identity + IDENTITY_BYTES - 8);
    const unsigned char *row = pack->rows;
    for (uint32_t at = 0; at < pack->count; at++, row += ROW_BYTES)
        if (load64(row + IDENTITY_BYTES - 8) == last && memcmp(row, identity, IDENTITY_BYTES) == 0)
            return at;
    return -1;
}

#endif
