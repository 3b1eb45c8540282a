// SPDX-License-Identifier: Apache-2.0
// The queue of records in shared memory. Each slot of the head has one writer; a slot is only written while
// the other one counts, so that who is killed in the middle has said nothing.
#include "os/spool.h"

#include "base/assert.h"

#include <string.h>

enum {
    LINE = 64,
    BEGIN_ANEW = 256 << 10, // an empty ring goes back to its start behind so many bytes, to stay in the cache
    ASK_EVERY = 4 << 10,    // bytes, before the reader is asked again whether it has emptied it
    LOOKS = 64,             // at a slot that changes while it is read
};
static const uint32_t MARK = 0x4b52414d; // instead of a record: go on at the start

struct spool_head {
    _Alignas(LINE) uint64_t write_turn;
    _Alignas(LINE) struct spool_written written[2]; // the one of write_turn % 2 counts
    _Alignas(LINE) uint64_t read_turn;
    _Alignas(LINE) struct spool_settled settled[2];
    _Alignas(LINE) uint32_t sleeps; // the reader
    _Alignas(LINE) uint32_t waits;  // the writer
};
_Static_assert(sizeof(struct spool_head) <= SPOOL_HEAD_BYTES, "the head is one page");

struct prefix {
    uint32_t bytes, mark;
    uint64_t sequence;
};
_Static_assert(sizeof(struct prefix) == SPOOL_PREFIX && SPOOL_PREFIX == SPOOL_ALIGN, "a mark always fits");

static size_t padded(size_t n)
{
    return (n + SPOOL_ALIGN - 1) & ~(size_t)(SPOOL_ALIGN - 1);
}

size_t spool_size(size_t bytes)
{
    size_t size = SPOOL_BYTES_MIN;
    while (size < bytes)
        size *= 2;
    return size;
}

size_t spool_memory_bytes(size_t size)
{
    return SPOOL_HEAD_BYTES + size;
}

// Words of shared memory: relaxed, so that none is torn.
static void copy_words(uint64_t *to, const uint64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        __atomic_store_n(&to[i], __atomic_load_n(&from[i], __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

// A copy of the slot that counts; a writer that changes it all the time may be seen half done.
static uint64_t look(const uint64_t *turn, const void *slots, size_t n_words, void *ret)
{
    uint64_t t = 0;
    for (int i = 0; i < LOOKS; i++) {
        t = __atomic_load_n(turn, __ATOMIC_ACQUIRE);
        copy_words(ret, (const uint64_t *)slots + t % 2 * n_words, n_words);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(turn, __ATOMIC_RELAXED) == t)
            break;
    }
    return t;
}

#define WORDS(type) (sizeof(type) / sizeof(uint64_t))

static void say(uint64_t *turn, void *slots, size_t n_words, const void *what)
{
    uint64_t t = __atomic_load_n(turn, __ATOMIC_RELAXED) + 1;
    // Not before all of the turn before is seen: this slot was the one before that.
    __atomic_thread_fence(__ATOMIC_RELEASE);
    copy_words((uint64_t *)slots + t % 2 * n_words, what, n_words);
    __atomic_store_n(turn, t, __ATOMIC_RELEASE);
}

static void look_at_written(const struct spool_head *h, struct spool_written *ret)
{
    look(&h->write_turn, h->written, WORDS(struct spool_written), ret);
}

static void look_at_settled(const struct spool_head *h, struct spool_settled *ret)
{
    look(&h->read_turn, h->settled, WORDS(struct spool_settled), ret);
}

void spool_numbers(const void *head, struct spool_written *ret_written, struct spool_settled *ret_settled)
{
    const struct spool_head *h = head;
    look_at_written(h, ret_written);
    look_at_settled(h, ret_settled);
}

// The same of the writer, each turn: most of its words seldom change, and stand in both slots already.
static void say_written(struct spool_writer *w)
{
    struct spool_head *h = w->head;
    uint64_t t = __atomic_load_n(&h->write_turn, __ATOMIC_RELAXED) + 1;
    struct spool_written *to = &h->written[t % 2];
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (w->n_whole) {
        w->n_whole--;
        copy_words((uint64_t *)to, (const uint64_t *)&w->now, WORDS(struct spool_written));
    }
    __atomic_store_n(&to->written, w->now.written, __ATOMIC_RELAXED);
    __atomic_store_n(&to->accepted, w->now.accepted, __ATOMIC_RELAXED);
    __atomic_store_n(&h->write_turn, t, __ATOMIC_RELEASE);
}

// Bytes from a position to the end of the memory.
static size_t tail(uint64_t at, size_t size)
{
    return size - (size_t)(at & (size - 1));
}

// ---- the writer ----

// A position that can be none is not believed: the ring then stays full.
static __attribute__((noinline)) void refresh(struct spool_writer *w)
{
    struct spool_settled s;
    look_at_settled(w->head, &s);
    if (s.taken - w->taken <= w->published - w->taken)
        w->taken = s.taken;
}

void spool_writer_attach(struct spool_writer *w, void *memory, size_t size)
{
    ASSERT(size >= SPOOL_BYTES_MIN && (size & (size - 1)) == 0);
    *w = (struct spool_writer){
        .head = memory, .data = (char *)memory + SPOOL_HEAD_BYTES, .size = size, .n_whole = 2};
    struct spool_settled s;
    look_at_written(w->head, &w->now);
    look_at_settled(w->head, &s);
    w->now.written =
        (w->now.written + SPOOL_ALIGN - 1) & ~(uint64_t)(SPOOL_ALIGN - 1); // whatever the reader did
    w->published = w->now.written;
    // Of a reader that said nothing sensible all that is there counts as not taken.
    uint64_t skip = w->now.base - s.taken; // an empty ring that began anew, which the reader has not seen yet
    if (skip <= size)
        s.taken = w->now.base;
    w->taken = w->published - s.taken <= size ? s.taken : w->published - size;
}

size_t spool_used(const struct spool_writer *w)
{
    uint64_t used = w->now.written - w->taken;
    return used < w->size ? (size_t)used : w->size;
}

struct spool_settled spool_told(struct spool_writer *w)
{
    struct spool_settled s;
    refresh(w);
    look_at_settled(w->head, &s);
    return s;
}

// An empty ring that has gone some way goes back to its start.
static __attribute__((noinline)) void begin_anew(struct spool_writer *w)
{
    if (w->taken != w->now.written && w->now.written - w->asked >= ASK_EVERY) {
        w->asked = w->now.written;
        refresh(w);
    }
    if (w->taken != w->now.written)
        return;
    w->now.written += tail(w->now.written, w->size);
    w->now.base = w->taken = w->published = w->now.written;
    w->n_whole = 2;
}

static bool fits(struct spool_writer *w)
{
    uint64_t end = w->start + w->reserved;
    if (end - w->taken <= w->size)
        return true;
    refresh(w);
    return end - w->taken <= w->size;
}

void *spool_reserve(struct spool_writer *w, size_t max_bytes)
{
    w->reserved = 0;
    if (max_bytes > w->size / 2)
        return NULL;
    if ((w->now.written & (w->size - 1)) >= BEGIN_ANEW && w->published == w->now.written)
        begin_anew(w);
    size_t need = SPOOL_PREFIX + padded(max_bytes), to_end = tail(w->now.written, w->size);
    w->start = w->now.written + (need > to_end ? to_end : 0);
    w->reserved = need;
    if (!fits(w)) {
        w->reserved = 0;
        return NULL;
    }
    return w->data + (w->start & (w->size - 1)) + SPOOL_PREFIX;
}

uint64_t spool_next(const struct spool_writer *w)
{
    return w->now.accepted + 1;
}

uint64_t spool_put(struct spool_writer *w, size_t bytes)
{
    ASSERT(SPOOL_PREFIX + padded(bytes) <= w->reserved);
    if (w->start != w->now.written)
        ((struct prefix *)(w->data + (w->now.written & (w->size - 1))))->mark = MARK;
    *(struct prefix *)(w->data + (w->start & (w->size - 1))) =
        (struct prefix){.bytes = (uint32_t)bytes, .sequence = ++w->now.accepted};
    w->now.written = w->start + SPOOL_PREFIX + padded(bytes);
    w->reserved = 0;
    return w->now.accepted;
}

void spool_drop(struct spool_writer *w, unsigned reason)
{
    ASSERT(reason < SPOOL_REASONS);
    w->now.accepted++;
    w->now.dropped[reason]++;
    w->n_whole = 2;
}

// Both sides of the handshake store their own word, then look at the other's; the fence between makes sure
// that at least one of them sees what the other stored.
static void fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool spool_publish(struct spool_writer *w)
{
    say_written(w);
    w->published = w->now.written;
    fence();
    return __atomic_load_n(&w->head->sleeps, __ATOMIC_RELAXED) != 0 &&
           __atomic_exchange_n(&w->head->sleeps, 0, __ATOMIC_RELAXED) != 0;
}

void spool_await(struct spool_writer *w, bool yes)
{
    __atomic_store_n(&w->head->waits, yes, __ATOMIC_RELAXED);
    fence();
}

// ---- the reader ----

static int broken(struct err *e)
{
    return err_set(e, ERR_INVALID, "a spool's contents are not as its writer makes them");
}

int spool_reader_attach(struct spool_reader *r, void *memory, size_t size, struct err *e)
{
    ASSERT(size >= SPOOL_BYTES_MIN && (size & (size - 1)) == 0);
    *r = (struct spool_reader){.head = memory, .data = (const char *)memory + SPOOL_HEAD_BYTES, .size = size};
    look_at_settled(r->head, &r->settled);
    look_at_written(r->head, &r->seen);
    r->at = r->settled.taken;
    return r->at % SPOOL_ALIGN || r->seen.written - r->at >= 2 * (uint64_t)size ? broken(e) : 0;
}

// What lies at r->at: its prefix, or that there is nothing.
static int find(struct spool_reader *r, struct prefix *ret, struct err *e)
{
    if (r->seen.written == r->at)
        look_at_written(r->head, &r->seen);
    uint64_t ready = r->seen.written - r->at, skip = r->seen.base - r->at;
    if (ready == 0)
        return 0;
    // Also where spool_skip went by what the writer said: a prefix must lie within the memory.
    if (ready >= 2 * (uint64_t)r->size || ready % SPOOL_ALIGN || r->at % SPOOL_ALIGN)
        return broken(e);
    if (skip <= ready && skip % SPOOL_ALIGN == 0) {
        r->at += skip;
        ready -= skip;
        if (ready == 0)
            return 0;
    }
    size_t to_end = tail(r->at, r->size);
    memcpy(ret, r->data + (r->size - to_end), sizeof *ret);
    if (ret->mark == MARK) {
        if (ready <= to_end)
            return broken(e);
        r->at += to_end;
        ready -= to_end;
        to_end = r->size;
        memcpy(ret, r->data, sizeof *ret);
    }
    if (ret->mark || ret->bytes > to_end - SPOOL_PREFIX || SPOOL_PREFIX + padded(ret->bytes) > ready)
        return broken(e);
    return 1;
}

int spool_take(struct spool_reader *r, void *to, size_t max_bytes, size_t *ret_bytes, uint64_t *ret_sequence,
               struct err *e)
{
    struct prefix p;
    int rc = find(r, &p, e);
    if (rc <= 0)
        return rc;
    if (p.bytes > max_bytes)
        return broken(e);
    memcpy(to, r->data + (r->at & (r->size - 1)) + SPOOL_PREFIX, p.bytes);
    *ret_bytes = p.bytes;
    *ret_sequence = p.sequence;
    r->at += SPOOL_PREFIX + padded(p.bytes);
    return 1;
}

static void tell(struct spool_reader *r)
{
    say(&r->head->read_turn, r->head->settled, WORDS(struct spool_settled), &r->settled);
}

void spool_settle(struct spool_reader *r, uint64_t n_committed, uint64_t sequence, uint64_t n_dropped)
{
    r->settled.taken = r->at;
    r->settled.committed += n_committed;
    r->settled.dropped += n_dropped;
    if (n_committed)
        r->settled.sequence = sequence;
    tell(r);
}

void spool_skip(struct spool_reader *r)
{
    look_at_written(r->head, &r->seen);
    uint64_t put = r->seen.accepted;
    for (int i = 0; i < SPOOL_REASONS; i++)
        put -= r->seen.dropped[i];
    r->at = r->settled.taken = r->seen.written;
    r->settled.dropped = put - r->settled.committed;
    tell(r);
}

void spool_back(struct spool_reader *r)
{
    r->at = r->settled.taken;
}

bool spool_sleep(struct spool_reader *r)
{
    __atomic_store_n(&r->head->sleeps, 1, __ATOMIC_RELAXED);
    fence();
    look_at_written(r->head, &r->seen);
    return r->seen.written == r->at;
}

void spool_wake(struct spool_reader *r)
{
    __atomic_store_n(&r->head->sleeps, 0, __ATOMIC_RELAXED);
}

bool spool_is_awaited(const struct spool_reader *r)
{
    return __atomic_load_n(&r->head->waits, __ATOMIC_RELAXED) != 0;
}

bool spool_must_tell(struct spool_reader *r)
{
    fence();
    return __atomic_load_n(&r->head->waits, __ATOMIC_RELAXED) != 0 &&
           __atomic_exchange_n(&r->head->waits, 0, __ATOMIC_RELAXED) != 0;
}
