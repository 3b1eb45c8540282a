// SPDX-License-Identifier: Apache-2.0
// The ring of messages. Each word of the head has one writer. What one side polls lies in a line of its own,
// so that the other's progress does not take it out of the cache.
#include "os/ring.h"

#include "base/assert.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

struct ring_head {
    _Alignas(RING_ALIGN) uint64_t committed; // position behind the last message
    uint64_t base;                      // where an empty ring began anew: nothing before it is to be read
    _Alignas(RING_ALIGN) uint64_t read; // of the other ring
    uint32_t sleeping;                  // as its reader
    uint32_t waits_for_room;            // in this ring
    _Alignas(RING_ALIGN) uint64_t n_noted;
    uint64_t note[RING_NOTE_MAX];
};
_Static_assert(sizeof(struct ring_head) <= RING_HEAD_BYTES, "the head is one page");

enum { PREFIX = RING_ALIGN };
static const uint64_t MARK = UINT64_MAX; // instead of a message's size: go on at the start

static uint64_t load(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void store(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static size_t padded(size_t n)
{
    return (n + RING_ALIGN - 1) & ~(size_t)(RING_ALIGN - 1);
}

size_t ring_memory_bytes(size_t size)
{
    return RING_HEAD_BYTES + size;
}

void ring_writer_init(struct ring_writer *w, void *memory, size_t size)
{
    ASSERT(size >= RING_BYTES_MIN && (size & (size - 1)) == 0);
    *w = (struct ring_writer){.head = memory, .data = (char *)memory + RING_HEAD_BYTES, .size = size};
}

void ring_reader_init(struct ring_reader *r, const void *memory, size_t size)
{
    ASSERT(size >= RING_BYTES_MIN && (size & (size - 1)) == 0);
    *r = (struct ring_reader){.head = memory, .data = (const char *)memory + RING_HEAD_BYTES, .size = size};
}

// Bytes from `at` to the end of the memory.
static size_t tail(uint64_t at, size_t size)
{
    return size - (size_t)(at & (size - 1));
}

static size_t unused(const struct ring_writer *w)
{
    return w->size - (size_t)(w->at - w->freed);
}

// The largest message with its prefix that there is room for; 0 none.
static size_t whole_room(const struct ring_writer *w)
{
    size_t free = unused(w), to_end = tail(w->at, w->size);
    if (free == w->size || free <= to_end)
        return free;
    return to_end > free - to_end ? to_end : free - to_end;
}

size_t ring_room(const struct ring_writer *w)
{
    size_t whole = whole_room(w);
    return whole > PREFIX ? whole - PREFIX : 0;
}

void *ring_reserve(struct ring_writer *w, size_t max_bytes)
{
    w->reserved = 0;
    if (max_bytes > w->size || PREFIX + padded(max_bytes) > whole_room(w))
        return NULL;
    size_t to_end = tail(w->at, w->size);
    bool empty = w->at == w->freed, at_start = to_end == w->size;
    w->reserved = PREFIX + padded(max_bytes);
    w->reserved_at = (empty && !at_start) || w->reserved > to_end ? w->at + to_end : w->at;
    return w->data + (w->reserved_at & (w->size - 1)) + PREFIX;
}

static void touched(struct ring_writer *w, size_t end)
{
    if (end > w->high_water)
        w->high_water = end;
}

// Skips the rest of the memory. Only behind messages that are still there a mark may tell so: in an empty
// ring its place could be written over before the reader comes by.
static void go_to_start(struct ring_writer *w)
{
    size_t offset = (size_t)(w->at & (w->size - 1));
    if (w->at == w->freed) {
        w->freed = w->reserved_at;
        store(&w->head->base, w->reserved_at);
    } else {
        store((uint64_t *)(w->data + offset), MARK);
        touched(w, offset + PREFIX);
    }
    w->at = w->reserved_at;
}

uint64_t ring_commit(struct ring_writer *w, size_t bytes)
{
    size_t whole = PREFIX + padded(bytes);
    ASSERT(bytes < w->size && whole <= w->reserved);
    if (w->at != w->reserved_at)
        go_to_start(w);
    size_t offset = (size_t)(w->at & (w->size - 1));
    store((uint64_t *)(w->data + offset), bytes);
    touched(w, offset + whole);
    w->reserved = 0;
    w->at += whole;
    __atomic_store_n(&w->head->committed, w->at, __ATOMIC_RELEASE);
    return w->at;
}

void ring_free_to(struct ring_writer *w, uint64_t position)
{
    if (position - w->freed <= w->at - w->freed)
        w->freed = position;
}

void ring_trim(struct ring_writer *w)
{
    if (w->at != w->freed || w->high_water <= RING_BYTES_MIN)
        return;
    size_t bytes = (w->high_water + RING_HEAD_BYTES - 1) & ~(size_t)(RING_HEAD_BYTES - 1);
    if (bytes > w->size)
        bytes = w->size;
    (void)madvise(w->data + RING_BYTES_MIN, bytes - RING_BYTES_MIN, MADV_REMOVE);
    w->high_water = RING_BYTES_MIN;
}

static int broken(struct err *e)
{
    return err_set(e, ERR_INVALID, "a ring's contents are not as its writer makes them");
}

int ring_take(struct ring_reader *r, const void **ret, size_t *ret_bytes, struct err *e)
{
    uint64_t ready = __atomic_load_n(&r->head->committed, __ATOMIC_ACQUIRE) - r->at;
    if (ready == 0)
        return 0;
    // At most a whole ring of messages behind the rest that was skipped.
    uint64_t at = r->at, skip = load(&r->head->base) - at;
    if (ready >= 2 * (uint64_t)r->size || ready % RING_ALIGN)
        return broken(e);
    if (skip < ready && skip % RING_ALIGN == 0) {
        at += skip;
        ready -= skip;
    }
    size_t to_end = tail(at, r->size);
    uint64_t bytes = load((const uint64_t *)(r->data + (r->size - to_end)));
    if (bytes == MARK) {
        if (ready <= to_end)
            return broken(e);
        at += to_end;
        ready -= to_end;
        to_end = r->size;
        bytes = load((const uint64_t *)r->data);
    }
    if (bytes > to_end - PREFIX || PREFIX + padded((size_t)bytes) > ready)
        return broken(e);
    *ret = r->data + (r->size - to_end) + PREFIX;
    *ret_bytes = (size_t)bytes;
    r->at = at + PREFIX + padded((size_t)bytes);
    return 1;
}

void ring_tell_read(struct ring_writer *other_way, const struct ring_reader *r)
{
    // Release: the memory is written over only after it was read.
    __atomic_store_n(&other_way->head->read, r->at, __ATOMIC_RELEASE);
}

uint64_t ring_told_read(const struct ring_reader *other_way, const struct ring_writer *w)
{
    uint64_t read = __atomic_load_n(&other_way->head->read, __ATOMIC_ACQUIRE);
    return read - w->freed <= w->at - w->freed && read % RING_ALIGN == 0 ? read : w->freed;
}

// Both sides of each handshake store their own word, then look at the other's; the fence between makes sure
// that at least one of them sees what the other stored.
static void fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool ring_sleep(struct ring_writer *other_way, const struct ring_reader *r)
{
    uint32_t last = __atomic_load_n(&other_way->head->sleeping, __ATOMIC_RELAXED);
    __atomic_store_n(&other_way->head->sleeping, last + (last % 2 ? 2 : 1), __ATOMIC_RELAXED);
    fence();
    return load(&r->head->committed) == r->at;
}

void ring_wake(struct ring_writer *other_way)
{
    uint32_t last = __atomic_load_n(&other_way->head->sleeping, __ATOMIC_RELAXED);
    __atomic_store_n(&other_way->head->sleeping, last + last % 2, __ATOMIC_RELAXED);
}

// Whoever was woken looks for messages before it sleeps again, under another number.
bool ring_must_wake(struct ring_reader *other_way)
{
    fence();
    uint32_t sleeping = __atomic_load_n(&other_way->head->sleeping, __ATOMIC_RELAXED);
    if (sleeping % 2 == 0 || sleeping == other_way->woken)
        return false;
    other_way->woken = sleeping;
    return true;
}

bool ring_wait_room(struct ring_writer *w, const struct ring_reader *other_way)
{
    __atomic_store_n(&w->head->waits_for_room, 1, __ATOMIC_RELAXED);
    fence();
    return ring_told_read(other_way, w) == w->freed;
}

void ring_stop_waiting(struct ring_writer *w)
{
    __atomic_store_n(&w->head->waits_for_room, 0, __ATOMIC_RELAXED);
}

bool ring_must_wake_writer(const struct ring_reader *r)
{
    fence();
    return __atomic_load_n(&r->head->waits_for_room, __ATOMIC_RELAXED) != 0;
}

void ring_note(struct ring_writer *w, const uint64_t *words, size_t n)
{
    ASSERT(n <= RING_NOTE_MAX);
    for (size_t i = 0; i < n; i++)
        store(&w->head->note[i], words[i]);
    // The compiler keeps the order, and a killed process loses no store that it has made.
    __atomic_store_n(&w->head->n_noted, n, __ATOMIC_RELEASE);
}

size_t ring_noted(const struct ring_reader *r, uint64_t ret[RING_NOTE_MAX])
{
    uint64_t n = __atomic_load_n(&r->head->n_noted, __ATOMIC_ACQUIRE);
    if (n > RING_NOTE_MAX)
        n = RING_NOTE_MAX;
    for (size_t i = 0; i < n; i++)
        ret[i] = load(&r->head->note[i]);
    return (size_t)n;
}
