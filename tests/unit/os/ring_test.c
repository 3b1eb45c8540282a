// SPDX-License-Identifier: Apache-2.0
#include "os/ring.h"

#include "base/clock.h"
#include "os/shm.h"
#include "unit.h"

#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = RING_BYTES_MIN };

static void *new_memory(size_t size)
{
    void *p = mmap(NULL, ring_memory_bytes(size), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(p != MAP_FAILED);
    return p;
}

// Both ends of one ring in one process, at a position shortly before it passes 2^64.
static void open_ring(struct ring_writer *w, struct ring_reader *r, size_t size, uint64_t from)
{
    void *memory = new_memory(size);
    ring_writer_init(w, memory, size);
    ring_reader_init(r, memory, size);
    w->at = w->freed = r->at = from;
    // The head's first words: what was committed, and where an empty ring began.
    memcpy(memory, (const uint64_t[]){from, from}, 2 * sizeof from);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static uint64_t put(struct ring_writer *w, const char *text)
{
    char *p = ring_reserve(w, strlen(text) + 1);
    ck_assert_ptr_nonnull(p);
    memcpy(p, text, strlen(text) + 1);
    return ring_commit(w, strlen(text) + 1);
}

static void check_next(struct ring_reader *r, const char *want)
{
    struct err e;
    const void *p;
    size_t n;
    ck_assert_int_eq(ring_take(r, &p, &n, &e), 1);
    ck_assert_uint_eq(n, strlen(want) + 1);
    ck_assert_str_eq(p, want);
    ck_assert_uint_eq((uintptr_t)p % RING_ALIGN, 0);
}

static void check_none(struct ring_reader *r)
{
    struct err e;
    const void *p;
    size_t n;
    ck_assert_int_eq(ring_take(r, &p, &n, &e), 0);
}

START_TEST(messages_come_in_order_and_only_when_committed)
{
    struct ring_writer w;
    struct ring_reader r;
    open_ring(&w, &r, SIZE, 0);
    check_none(&r);
    put(&w, "one");
    put(&w, "");
    ck_assert_ptr_nonnull(ring_reserve(&w, 100));
    check_next(&r, "one");
    check_next(&r, "");
    check_none(&r);
    ring_commit(&w, 0); // less than reserved
    const void *p;
    size_t n;
    struct err e;
    ck_assert_int_eq(ring_take(&r, &p, &n, &e), 1);
    ck_assert_uint_eq(n, 0);
    check_none(&r);
}
END_TEST

START_TEST(an_empty_ring_begins_at_its_start)
{
    struct ring_writer w;
    struct ring_reader r;
    open_ring(&w, &r, SIZE, 0);
    for (int i = 0; i < 10000; i++) {
        char *p = ring_reserve(&w, 1000);
        ck_assert_ptr_eq(p, w.data + RING_ALIGN);
        strcpy(p, "again");
        ring_commit(&w, 6);
        check_next(&r, "again");
        check_none(&r);
        ring_free_to(&w, r.at);
    }
    ck_assert_uint_eq(w.high_water, 2 * RING_ALIGN);
    // One that is not yet freed keeps its place, whatever comes and goes behind it.
    uint64_t first = put(&w, "stays");
    put(&w, "second");
    ring_free_to(&w, first);
    put(&w, "third");
    check_next(&r, "stays");
    check_next(&r, "second");
    check_next(&r, "third");
}
END_TEST

START_TEST(a_reservation_that_is_given_up_takes_nothing)
{
    struct ring_writer w;
    struct ring_reader r;
    open_ring(&w, &r, SIZE, 0);
    uint64_t first = put(&w, "one");
    char *half = ring_reserve(&w, SIZE / 2);
    ring_commit(&w, SIZE / 2);
    ck_assert_ptr_nonnull(half);
    ring_free_to(&w, first);
    ck_assert_ptr_null(ring_reserve(&w, SIZE / 2));
    check_next(&r, "one");
    const void *p;
    size_t n;
    struct err e;
    ck_assert_int_eq(ring_take(&r, &p, &n, &e), 1);
    ck_assert_uint_eq(n, SIZE / 2);
    ring_free_to(&w, r.at);
    ck_assert_uint_eq(ring_room(&w), SIZE - RING_ALIGN);
    // Would begin at the start, but is never committed.
    ck_assert_ptr_nonnull(ring_reserve(&w, 100));
    ck_assert_ptr_nonnull(ring_reserve(&w, SIZE - RING_ALIGN));
    ck_assert_ptr_null(ring_reserve(&w, SIZE - RING_ALIGN + 1));
    check_none(&r);
    put(&w, "two");
    check_next(&r, "two");
}
END_TEST

// Random messages against a plain queue of what must come; frees lag behind reads.
START_TEST(random_use_is_a_queue)
{
    enum { KEPT = 4096 };
    struct ring_writer w;
    struct ring_reader r;
    uint32_t seed = (uint32_t)_i + 1;
    open_ring(&w, &r, SIZE, (uint64_t) - (int64_t)(SIZE * (unsigned)_i)); // passes 2^64 early on
    static uint64_t positions[KEPT];
    static uint32_t sizes[KEPT];
    uint64_t put_n = 0, got_n = 0, freed_n = 0;
    struct err e;
    for (int step = 0; step < 200000; step++) {
        uint32_t what = next_random(&seed) % 3;
        if (what == 0 && put_n - freed_n < KEPT) {
            uint32_t most = 1u << next_random(&seed) % 17, n = next_random(&seed) % most;
            size_t room = ring_room(&w);
            unsigned char *p = ring_reserve(&w, n);
            ck_assert(p ? n <= room : n > room || room == 0);
            if (!p || next_random(&seed) % 8 == 0)
                continue;
            memset(p, (int)(put_n & 0xff), n);
            sizes[put_n % KEPT] = n;
            positions[put_n++ % KEPT] = ring_commit(&w, n);
        } else if (what == 1) {
            const void *p;
            size_t n;
            int taken = ring_take(&r, &p, &n, &e);
            ck_assert(taken == (got_n < put_n));
            if (!taken)
                continue;
            ck_assert(n == sizes[got_n % KEPT]);
            for (size_t k = 0; k<n; k += n> 100 ? 97 : 1)
                ck_assert(((const unsigned char *)p)[k] == (got_n & 0xff));
            got_n++;
        } else if (what == 2 && freed_n < got_n) {
            freed_n += 1 + next_random(&seed) % (got_n - freed_n);
            ring_free_to(&w, positions[(freed_n - 1) % KEPT]);
        }
    }
    ck_assert(got_n > 10000);
}
END_TEST

START_TEST(what_was_read_travels_the_other_way)
{
    struct ring_writer there, back;
    struct ring_reader there_r, back_r;
    open_ring(&there, &there_r, SIZE, 0);
    open_ring(&back, &back_r, SIZE, 0);
    put(&there, "one");
    uint64_t second = put(&there, "two");
    ck_assert_uint_eq(ring_told_read(&back_r, &there), 0);
    check_next(&there_r, "one");
    check_next(&there_r, "two");
    ring_tell_read(&back, &there_r);
    ck_assert_uint_eq(ring_told_read(&back_r, &there), second);
    ring_free_to(&there, second);
    // Words that cannot be true are not believed.
    there_r.at = second + RING_ALIGN;
    ring_tell_read(&back, &there_r);
    ck_assert_uint_eq(ring_told_read(&back_r, &there), second);
    there_r.at = 0;
    ring_tell_read(&back, &there_r);
    ck_assert_uint_eq(ring_told_read(&back_r, &there), second);
}
END_TEST

START_TEST(a_sleeper_is_woken_once_for_each_sleep)
{
    struct ring_writer there, back;
    struct ring_reader there_r, back_r;
    open_ring(&there, &there_r, SIZE, 0);
    open_ring(&back, &back_r, SIZE, 0);
    ck_assert(!ring_must_wake(&back_r));
    for (int i = 0; i < 3; i++) {
        ck_assert(ring_sleep(&back, &there_r));
        ck_assert(ring_must_wake(&back_r));
        ck_assert(!ring_must_wake(&back_r));
    }
    ck_assert(ring_sleep(&back, &there_r)); // and never woken
    ring_wake(&back);
    ck_assert(!ring_must_wake(&back_r));
    put(&there, "one");
    ck_assert(!ring_sleep(&back, &there_r));
    ring_wake(&back);
    ring_wake(&back);
    ck_assert(!ring_must_wake(&back_r));
    check_next(&there_r, "one");
    ck_assert(ring_sleep(&back, &there_r));
    ck_assert(ring_must_wake(&back_r));
}
END_TEST

START_TEST(a_writer_without_room_is_woken)
{
    struct ring_writer there, back;
    struct ring_reader there_r, back_r;
    open_ring(&there, &there_r, SIZE, 0);
    open_ring(&back, &back_r, SIZE, 0);
    ck_assert_ptr_nonnull(ring_reserve(&there, SIZE / 2));
    ring_commit(&there, SIZE / 2);
    ck_assert(!ring_must_wake_writer(&there_r));
    ck_assert(ring_wait_room(&there, &back_r));
    ck_assert(ring_must_wake_writer(&there_r));
    const void *p;
    size_t n;
    struct err e;
    ck_assert_int_eq(ring_take(&there_r, &p, &n, &e), 1);
    ring_tell_read(&back, &there_r);
    ck_assert(!ring_wait_room(&there, &back_r)); // it was read meanwhile
    ring_stop_waiting(&there);
    ck_assert(!ring_must_wake_writer(&there_r));
}
END_TEST

START_TEST(a_note_outlives_its_writer)
{
    struct ring_writer w;
    struct ring_reader r;
    open_ring(&w, &r, SIZE, 0);
    uint64_t got[RING_NOTE_MAX];
    ck_assert_uint_eq(ring_noted(&r, got), 0);
    int pid = fork();
    if (pid == 0) {
        ring_note(&w, (const uint64_t[]){7, 8, 9}, 3);
        ring_note(&w, (const uint64_t[]){70, UINT64_MAX}, 2);
        abort();
    }
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_uint_eq(ring_noted(&r, got), 2);
    ck_assert_uint_eq(got[0], 70);
    ck_assert_uint_eq(got[1], UINT64_MAX);
}
END_TEST

static size_t resident(const void *p, size_t size)
{
    unsigned char pages[1 << 12];
    ck_assert_uint_le(size / 4096, sizeof pages);
    ck_assert_int_eq(mincore((void *)(uintptr_t)p, size, pages), 0);
    size_t n = 0;
    for (size_t i = 0; i < size / 4096; i++)
        n += pages[i] & 1;
    return n * 4096;
}

START_TEST(an_idle_ring_gives_its_memory_back)
{
    enum { BIG = 8 << 20 };
    struct ring_writer w;
    struct ring_reader r;
    struct err e;
    int fd;
    void *memory;
    ck_assert_int_eq(shm_new_mapped("ring", ring_memory_bytes(BIG), &fd, &memory, &e), 0);
    ck_assert_int_eq(shm_seal(fd, SHM_SEAL_SIZE, &e), 0);
    ring_writer_init(&w, memory, BIG);
    ring_reader_init(&r, memory, BIG);
    put(&w, "small");
    memset(ring_reserve(&w, 4 << 20), 'x', 4 << 20);
    uint64_t all = ring_commit(&w, 4 << 20);
    ring_trim(&w); // not empty: nothing happens
    ck_assert_uint_ge(resident(memory, ring_memory_bytes(BIG)), 4 << 20);
    check_next(&r, "small");
    const void *p;
    size_t n;
    ck_assert_int_eq(ring_take(&r, &p, &n, &e), 1);
    ring_free_to(&w, all);
    ring_trim(&w);
    ck_assert_uint_le(resident(memory, ring_memory_bytes(BIG)), RING_BYTES_MIN + RING_HEAD_BYTES);
    put(&w, "and goes on");
    check_next(&r, "and goes on");
    ck_assert_uint_le(resident(memory, ring_memory_bytes(BIG)), RING_BYTES_MIN + RING_HEAD_BYTES);
    close(fd);
}
END_TEST

static const struct hostile {
    const char *why;
    uint64_t committed, first, at; // the first word of the memory; where the reader is
} HOSTILE[] = {
    {"more than a ring", 2 * SIZE, 8, 0},
    {"before what was read", 64, 8, 128},
    {"not aligned", 100, 8, 0},
    {"a message over the end", SIZE, SIZE - RING_ALIGN + 1, 0},
    {"a message of 2^63 bytes", SIZE, 1ull << 63, 0},
    {"a message whose padding passes 2^64", SIZE, UINT64_MAX - 1, 0},
    {"a message beyond what was committed", 128, 65, 0},
    {"a mark without a message", SIZE, UINT64_MAX, 0},
    {"a mark that leads to itself", SIZE + 128, UINT64_MAX, 0},
};

START_TEST(hostile_memory_is_refused)
{
    const struct hostile *h = &HOSTILE[_i];
    char *memory = new_memory(SIZE);
    struct ring_reader r;
    struct err e;
    const void *p;
    size_t n;
    ring_reader_init(&r, memory, SIZE);
    r.at = h->at;
    memcpy(memory, &h->committed, 8);
    for (size_t i = 0; i < SIZE; i += RING_ALIGN)
        memcpy(memory + RING_HEAD_BYTES + i, &h->first, 8);
    ck_assert_msg(ring_take(&r, &p, &n, &e) == ERR_INVALID, "%s", h->why);
    ck_assert_msg(r.at == h->at, "%s", h->why);
}
END_TEST

// Two processes that send each other's messages back, each sleeping whenever it has nothing to do. A wake-up
// that is lost stops both, and the test's time limit ends it.
enum { STRESS = 200000, WINDOW = 256, IN_STEP = 4000 };

struct side {
    struct ring_writer w;
    struct ring_reader r;
    int own_event, other_event;
    uint64_t n_sleeps;
};

static void doze(struct side *s)
{
    s->n_sleeps++;
    if (ring_sleep(&s->w, &s->r)) {
        uint64_t ignored;
        ck_assert(read(s->own_event, &ignored, sizeof ignored) == sizeof ignored);
    }
    ring_wake(&s->w);
}

static void wake(struct side *s)
{
    uint64_t one = 1;
    ck_assert(write(s->other_event, &one, sizeof one) == sizeof one);
}

static void rouse(struct side *s)
{
    if (ring_must_wake(&s->r))
        wake(s);
}

static size_t stress_bytes(uint64_t i)
{
    uint32_t seed = (uint32_t)i * 2654435761u;
    uint32_t r = next_random(&seed);
    return 8 + (r % 64 == 0 ? r / 64 % 20000 : r / 64 % 200);
}

static void fill(unsigned char *p, size_t n, uint64_t i)
{
    memcpy(p, &i, 8);
    memset(p + 8, (int)(i * 31 & 0xff), n - 8);
}

static void check_filled(const unsigned char *p, size_t n, uint64_t i)
{
    uint64_t got;
    memcpy(&got, p, 8);
    ck_assert(got == i);
    ck_assert(n == stress_bytes(i));
    for (size_t k = 8; k<n; k += n> 1000 ? 251 : 1)
        ck_assert(p[k] == (i * 31 & 0xff));
    ck_assert(n == 8 || p[n - 1] == (i * 31 & 0xff));
}

// The other process: copies each message into its own ring; waits for room where there is none. At the end it
// answers only who sleeps, so that there are many wake-ups whatever the scheduler does.
static void echo(struct side *s, uint64_t n_messages)
{
    struct err e;
    for (uint64_t i = 0; i < n_messages;) {
        const void *p;
        size_t n;
        int taken = ring_take(&s->r, &p, &n, &e);
        ck_assert(taken >= 0);
        if (!taken) {
            doze(s);
            continue;
        }
        void *to;
        while (!(to = ring_reserve(&s->w, n))) {
            rouse(s);
            uint64_t ignored;
            if (ring_wait_room(&s->w, &s->r))
                ck_assert(read(s->own_event, &ignored, sizeof ignored) == sizeof ignored);
            ring_stop_waiting(&s->w);
            ring_free_to(&s->w, ring_told_read(&s->r, &s->w));
        }
        memcpy(to, p, n);
        bool in_step = i >= n_messages - IN_STEP;
        while (in_step && !ring_must_wake(&s->r))
            sched_yield();
        ring_commit(&s->w, n);
        ring_tell_read(&s->w, &s->r);
        ring_free_to(&s->w, ring_told_read(&s->r, &s->w));
        if (in_step)
            wake(s);
        else
            rouse(s);
        i++;
    }
}

// Our own: keeps a random number of messages in flight and checks what comes back.
static void drive(struct side *s, uint64_t n_messages)
{
    struct err e;
    uint32_t seed = 5;
    uint64_t sent = 0, got = 0;
    while (got < n_messages) {
        uint32_t most = next_random(&seed) % 4 ? WINDOW : 4;
        uint64_t window = n_messages - sent <= IN_STEP ? 1 : 1 + next_random(&seed) % most;
        while (sent < n_messages && sent - got < window) {
            size_t n = stress_bytes(sent);
            unsigned char *to = ring_reserve(&s->w, n);
            if (!to)
                break;
            fill(to, n, sent++);
            ring_commit(&s->w, n);
        }
        rouse(s);
        const void *p;
        size_t n;
        int taken;
        while ((taken = ring_take(&s->r, &p, &n, &e)) == 1)
            check_filled(p, n, got++);
        ck_assert(taken == 0);
        ring_tell_read(&s->w, &s->r);
        if (ring_must_wake_writer(&s->r))
            wake(s);
        ring_free_to(&s->w, ring_told_read(&s->r, &s->w));
        if (got < sent)
            doze(s);
    }
}

START_TEST(two_processes_lose_no_message_and_no_wake_up)
{
    void *a = new_memory(SIZE), *b = new_memory(SIZE);
    int events[2] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
    struct side s[2] = {{.own_event = events[0], .other_event = events[1]},
                        {.own_event = events[1], .other_event = events[0]}};
    ring_writer_init(&s[0].w, a, SIZE);
    ring_reader_init(&s[0].r, b, SIZE);
    ring_writer_init(&s[1].w, b, SIZE);
    ring_reader_init(&s[1].r, a, SIZE);
    int pid = fork();
    if (pid == 0) {
        echo(&s[1], STRESS);
        _exit(0);
    }
    drive(&s[0], STRESS);
    ck_assert_uint_ge(s[0].n_sleeps, IN_STEP);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

// Both sides take their step of the handshake at the same moment, again and again: it must not happen that
// the reader sleeps and the writer does not wake it. Where the two seldom run at once the time is the end.
enum { MEETINGS = 300000, MEETINGS_MIN = 1000 };
static const uint64_t MEETING_NS = 4000000000;

static void meet(uint32_t *arrived, uint32_t round)
{
    __atomic_fetch_add(arrived, 1, __ATOMIC_SEQ_CST);
    for (uint32_t spins = 0; __atomic_load_n(arrived, __ATOMIC_ACQUIRE) < 2 * round; spins++)
        if (spins % 200 == 199)
            sched_yield(); // there may be one core only
}

START_TEST(sleep_and_commit_at_the_same_moment)
{
    struct ring_writer there, back;
    struct ring_reader there_r, back_r;
    open_ring(&there, &there_r, SIZE, 0);
    open_ring(&back, &back_r, SIZE, 0);
    struct {
        _Alignas(64) uint32_t arrived;
        _Alignas(64) uint32_t sleeps;
        _Alignas(64) uint32_t is_last; // written before the first and read before the second of a round
    } *shared = new_memory(SIZE);
    int pid = fork();
    struct err e;
    const void *p;
    size_t n;
    uint32_t lost = 0;
    uint64_t end = clock_mono_ns() + MEETING_NS;
    bool is_last = false;
    for (uint32_t i = 0; !is_last; i++) {
        if (pid) {
            shared->is_last = is_last = i + 1 == MEETINGS || (i >= MEETINGS_MIN && clock_mono_ns() >= end);
            char *to = ring_reserve(&there, 1);
            *to = 1;
            meet(&shared->arrived, 2 * i + 1);
            ring_commit(&there, 1);
            bool wakes = ring_must_wake(&back_r);
            meet(&shared->arrived, 2 * i + 2);
            lost += shared->sleeps && !wakes;
            ring_free_to(&there, there.at);
        } else {
            meet(&shared->arrived, 2 * i + 1);
            is_last = shared->is_last;
            for (volatile uint32_t wait = i % 64; wait > 0; wait--)
                ; // the two are not equally long
            shared->sleeps = ring_sleep(&back, &there_r);
            meet(&shared->arrived, 2 * i + 2);
            ring_wake(&back);
            ck_assert(ring_take(&there_r, &p, &n, &e) == 1);
        }
    }
    if (pid == 0)
        _exit(0);
    ck_assert_uint_eq(lost, 0);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("os/ring");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    tcase_add_test(c, messages_come_in_order_and_only_when_committed);
    tcase_add_test(c, an_empty_ring_begins_at_its_start);
    tcase_add_test(c, a_reservation_that_is_given_up_takes_nothing);
    tcase_add_loop_test(c, random_use_is_a_queue, 0, 8);
    tcase_add_test(c, what_was_read_travels_the_other_way);
    tcase_add_test(c, a_sleeper_is_woken_once_for_each_sleep);
    tcase_add_test(c, a_writer_without_room_is_woken);
    tcase_add_test(c, a_note_outlives_its_writer);
    tcase_add_test(c, an_idle_ring_gives_its_memory_back);
    tcase_add_loop_test(c, hostile_memory_is_refused, 0, sizeof HOSTILE / sizeof HOSTILE[0]);
    tcase_add_test(c, sleep_and_commit_at_the_same_moment);
    tcase_add_test(c, two_processes_lose_no_message_and_no_wake_up);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
