// SPDX-License-Identifier: Apache-2.0
#include "os/spool.h"

#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = SPOOL_BYTES_MIN, RECORD_MAX = 4096 };

static void *new_memory(size_t size)
{
    void *p = mmap(NULL, spool_memory_bytes(size), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(p != MAP_FAILED);
    return p;
}

static void attach(void *memory, size_t size, struct spool_writer *w, struct spool_reader *r)
{
    struct err e;
    if (w)
        spool_writer_attach(w, memory, size);
    if (r)
        ck_assert_int_eq(spool_reader_attach(r, memory, size, &e), 0);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static uint64_t put(struct spool_writer *w, const char *text)
{
    char *p = spool_reserve(w, strlen(text) + 1);
    ck_assert_ptr_nonnull(p);
    memcpy(p, text, strlen(text) + 1);
    return spool_put(w, strlen(text) + 1);
}

static void check_next(struct spool_reader *r, const char *want, uint64_t want_sequence)
{
    char text[RECORD_MAX];
    size_t n;
    uint64_t sequence;
    struct err e;
    ck_assert_int_eq(spool_take(r, text, sizeof text, &n, &sequence, &e), 1);
    ck_assert_uint_eq(n, strlen(want) + 1);
    ck_assert_str_eq(text, want);
    ck_assert_uint_eq(sequence, want_sequence);
}

static void check_none(struct spool_reader *r)
{
    char text[RECORD_MAX];
    size_t n;
    uint64_t sequence;
    struct err e;
    ck_assert_int_eq(spool_take(r, text, sizeof text, &n, &sequence, &e), 0);
}

START_TEST(positions_that_can_be_none_are_not_believed)
{
    enum { WRITTEN = 8 + 7 }; // the word, in the slot that counts after one turn
    char text[RECORD_MAX];
    size_t n;
    uint64_t sequence;
    struct err e;
    struct spool_writer w;
    struct spool_reader r;
    char *memory = new_memory(SIZE);
    attach(memory, SIZE, &w, &r);
    put(&w, "one");
    spool_publish(&w);
    ((uint64_t *)(void *)memory)[WRITTEN] = SIZE - 3;
    ck_assert_int_eq(spool_take(&r, text, sizeof text, &n, &sequence, &e), ERR_INVALID);
    spool_skip(&r);
    check_none(&r);
    ((uint64_t *)(void *)memory)[WRITTEN] = 2 * SIZE - 3; // a prefix would end behind the memory
    ck_assert_int_eq(spool_take(&r, text, sizeof text, &n, &sequence, &e), ERR_INVALID);
    spool_writer_attach(&w, memory, SIZE); // who writes on does so within it
    ck_assert_uint_eq(w.now.written % SPOOL_ALIGN, 0);
    munmap(memory, spool_memory_bytes(SIZE));
}
END_TEST

// accepted = committed + dropped by either + still there.
static uint64_t waiting(const void *memory)
{
    struct spool_written w;
    struct spool_settled s;
    spool_numbers(memory, &w, &s);
    uint64_t n = w.accepted - s.committed - s.dropped;
    for (int i = 0; i < SPOOL_REASONS; i++)
        n -= w.dropped[i];
    return n;
}

// Of records dropped for reason 2, and all.
static void check_numbers(const void *memory, uint64_t accepted, uint64_t dropped)
{
    struct spool_written w;
    struct spool_settled s;
    spool_numbers(memory, &w, &s);
    ck_assert_uint_eq(w.accepted, accepted);
    ck_assert_uint_eq(w.dropped[2], dropped);
    ck_assert_uint_eq(w.dropped[0] + w.dropped[1] + w.dropped[3], 0);
}

// What seldom changes stands in both slots, also of a writer who was killed while it wrote one.
START_TEST(each_publication_tells_all_numbers)
{
    enum { SLOT = 8, WORDS = 7 };
    struct spool_writer w;
    uint64_t accepted = 0, dropped = 0;
    char *m = new_memory(SIZE);
    for (int life = 0; life < 4; life++) {
        uint64_t *words = (uint64_t *)(void *)m;
        memset(words + SLOT + (words[0] + 1) % 2 * WORDS, 0xa5, WORDS * sizeof *words);
        attach(m, SIZE, &w, NULL);
        for (int i = 0; i < 12; i++) {
            if (i % 5 == life) {
                spool_drop(&w, 2);
                dropped++;
            } else {
                put(&w, "x");
            }
            spool_publish(&w);
            check_numbers(m, ++accepted, dropped);
        }
    }
    munmap(m, spool_memory_bytes(SIZE));
}
END_TEST

START_TEST(records_come_in_order_and_only_after_they_were_published)
{
    struct spool_writer w;
    struct spool_reader r;
    void *m = new_memory(SIZE);
    attach(m, SIZE, &w, &r);
    ck_assert_uint_eq(spool_next(&w), 1);
    ck_assert_uint_eq(put(&w, "one"), 1);
    ck_assert_uint_eq(put(&w, "two"), 2);
    check_none(&r);
    ck_assert(!spool_publish(&w));
    check_next(&r, "one", 1);
    check_next(&r, "two", 2);
    check_none(&r);
    ck_assert_uint_eq(waiting(m), 2);
    spool_settle(&r, 2, 2, 0);
    ck_assert_uint_eq(waiting(m), 0);
    struct spool_settled s = spool_told(&w);
    ck_assert_uint_eq(s.sequence, 2);
    ck_assert_uint_eq(s.committed, 2);
    ck_assert_uint_eq(spool_used(&w), 0);
}
END_TEST

START_TEST(what_was_read_and_not_settled_is_read_again_by_the_next_reader)
{
    struct spool_writer w;
    struct spool_reader r, next;
    void *m = new_memory(SIZE);
    attach(m, SIZE, &w, &r);
    put(&w, "a");
    put(&w, "b");
    put(&w, "c");
    spool_publish(&w);
    check_next(&r, "a", 1);
    spool_settle(&r, 1, 1, 0);
    check_next(&r, "b", 2);
    attach(m, SIZE, NULL, &next);
    check_next(&next, "b", 2);
    check_next(&next, "c", 3);
    spool_back(&next);
    check_next(&next, "b", 2);
}
END_TEST

START_TEST(the_next_writer_goes_on_where_the_last_had_published)
{
    struct spool_writer w, next;
    struct spool_reader r;
    void *m = new_memory(SIZE);
    attach(m, SIZE, &w, &r);
    put(&w, "a");
    spool_publish(&w);
    put(&w, "was lost with its writer");
    attach(m, SIZE, &next, NULL);
    ck_assert_uint_eq(put(&next, "b"), 2);
    spool_drop(&next, 1);
    spool_publish(&next);
    check_next(&r, "a", 1);
    check_next(&r, "b", 2);
    check_none(&r);
    spool_settle(&r, 2, 2, 0);
    ck_assert_uint_eq(waiting(m), 0);
}
END_TEST

START_TEST(a_full_ring_takes_nothing_until_something_was_settled)
{
    struct spool_writer w;
    struct spool_reader r;
    void *m = new_memory(SIZE);
    attach(m, SIZE, &w, &r);
    uint64_t n = 0;
    while (spool_reserve(&w, 1000)) {
        spool_put(&w, 1000);
        n++;
    }
    ck_assert_uint_ge(n, SIZE / 1024 - 1);
    spool_drop(&w, 0);
    spool_publish(&w);
    char text[RECORD_MAX];
    size_t bytes;
    uint64_t sequence;
    struct err e;
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(spool_take(&r, text, sizeof text, &bytes, &sequence, &e), 1);
    ck_assert_ptr_null(spool_reserve(&w, 1000)); // read, but not done with
    spool_settle(&r, 7, 7, 3);
    ck_assert_ptr_nonnull(spool_reserve(&w, 1000));
    ck_assert_uint_eq(spool_put(&w, 1000), n + 2);
    spool_publish(&w);
    ck_assert_uint_eq(waiting(m), n + 2 - 10 - 1);
}
END_TEST

START_TEST(an_empty_ring_goes_back_to_its_start)
{
    enum { LARGE = 1 << 20 };
    struct spool_writer w;
    struct spool_reader r;
    void *m = new_memory(LARGE);
    attach(m, LARGE, &w, &r);
    char text[RECORD_MAX], *first = spool_reserve(&w, RECORD_MAX), *highest = first;
    for (uint64_t i = 1; i < 2000; i++) {
        char *p = spool_reserve(&w, RECORD_MAX);
        ck_assert_ptr_nonnull(p);
        highest = p > highest ? p : highest;
        ck_assert_uint_eq(spool_put(&w, RECORD_MAX), i);
        spool_publish(&w);
        size_t n;
        uint64_t sequence;
        struct err e;
        ck_assert_int_eq(spool_take(&r, text, sizeof text, &n, &sequence, &e), 1);
        ck_assert_uint_eq(sequence, i);
        spool_settle(&r, 1, i, 0);
        struct spool_writer again; // a successor finds the same
        attach(m, LARGE, &again, NULL);
        ck_assert_uint_eq(spool_used(&again), 0);
    }
    ck_assert_int_lt(highest - first, 300 << 10);
    ck_assert_uint_eq(waiting(m), 0);
}
END_TEST

START_TEST(a_ring_that_is_not_empty_does_not_go_back_to_its_start)
{
    enum { LARGE = 1 << 20, N = 80 };
    struct spool_writer w;
    struct spool_reader r;
    struct err e;
    size_t n;
    uint64_t sequence;
    void *m = new_memory(LARGE);
    char text[RECORD_MAX];
    attach(m, LARGE, &w, &r);
    for (uint64_t i = 1; i <= N; i++) {
        ck_assert_ptr_nonnull(spool_reserve(&w, RECORD_MAX));
        ck_assert_uint_eq(spool_put(&w, RECORD_MAX), i);
    }
    spool_publish(&w);
    for (uint64_t i = 1; i < N; i++)
        ck_assert_int_eq(spool_take(&r, text, sizeof text, &n, &sequence, &e), 1);
    spool_settle(&r, N - 1, N - 1, 0);
    put(&w, "behind the one that waits");
    spool_publish(&w);
    attach(m, LARGE, NULL, &r); // who has seen nothing of what was there before
    ck_assert_int_eq(spool_take(&r, text, sizeof text, &n, &sequence, &e), 1);
    ck_assert_uint_eq(sequence, N);
    check_next(&r, "behind the one that waits", N + 1);
}
END_TEST

START_TEST(who_sleeps_is_woken_once_and_who_waits_is_told_once)
{
    struct spool_writer w;
    struct spool_reader r;
    void *m = new_memory(SIZE);
    attach(m, SIZE, &w, &r);
    ck_assert(spool_sleep(&r));
    put(&w, "a");
    ck_assert(spool_publish(&w));
    put(&w, "b");
    ck_assert(!spool_publish(&w));
    ck_assert(!spool_sleep(&r)); // there is something
    spool_wake(&r);
    ck_assert(!spool_publish(&w));
    ck_assert(!spool_must_tell(&r));
    spool_await(&w, true);
    ck_assert(spool_must_tell(&r));
    ck_assert(!spool_must_tell(&r));
}
END_TEST

// What the records of the tests with two sides hold: a length and bytes that follow from the number.
static size_t length_of(uint64_t sequence)
{
    uint32_t seed = (uint32_t)sequence * 2654435761u + 1;
    return next_random(&seed) % 3000;
}

static bool is_right(const unsigned char *p, size_t n, uint64_t sequence)
{
    if (n != length_of(sequence))
        return false;
    for (size_t i = 0; i < n; i++)
        if (p[i] != (unsigned char)(sequence + i))
            return false;
    return true;
}

// Puts a record of random length, or drops it without room.
static void write_one(struct spool_writer *w)
{
    uint64_t sequence = spool_next(w);
    size_t n = length_of(sequence);
    unsigned char *p = spool_reserve(w, n);
    if (!p) {
        spool_drop(w, (unsigned)sequence % SPOOL_REASONS);
        return;
    }
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(sequence + i);
    ck_assert(spool_put(w, n) == sequence);
}

enum { WRITTEN_MIN = 200000, READ_MIN = 1000 };
static bool is_written; // all; atomic

// As much as it takes for the reader, which may have no core for long, to have read enough.
static void *write_many(void *memory)
{
    struct spool_writer w;
    uint32_t seed = 7;
    spool_writer_attach(&w, memory, SIZE);
    for (int i = 0; i < WRITTEN_MIN || spool_told(&w).committed < READ_MIN; i++) {
        write_one(&w);
        if (next_random(&seed) % 4 == 0)
            spool_publish(&w);
        if (next_random(&seed) % 64 == 0)
            sched_yield();
    }
    spool_publish(&w);
    __atomic_store_n(&is_written, true, __ATOMIC_RELEASE);
    return NULL;
}

START_TEST(two_threads_lose_nothing_that_is_not_counted)
{
    struct spool_reader r;
    struct spool_written w;
    struct spool_settled s;
    void *m = new_memory(SIZE);
    pthread_t writer;
    bool is_over;
    attach(m, SIZE, NULL, &r);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_many, m), 0);
    unsigned char record[RECORD_MAX];
    uint64_t last = 0, n_read = 0, n_open = 0;
    do {
        size_t n;
        uint64_t sequence;
        struct err e;
        is_over = __atomic_load_n(&is_written, __ATOMIC_ACQUIRE); // before the last look
        int rc = spool_take(&r, record, sizeof record, &n, &sequence, &e);
        ck_assert(rc >= 0);
        if (rc) {
            ck_assert(sequence > last && is_right(record, n, sequence));
            last = sequence;
            n_read++;
            n_open++;
        }
        if (!rc || n_open == 16) {
            spool_settle(&r, n_open, last, 0);
            n_open = 0;
        }
        spool_numbers(m, &w, &s);
        ck_assert(waiting(m) <= SIZE / SPOOL_PREFIX);
    } while (!is_over || waiting(m));
    pthread_join(writer, NULL);
    ck_assert_uint_eq(s.committed, n_read);
    ck_assert_uint_ge(n_read, READ_MIN);
}
END_TEST

// Both sides as processes that are killed again and again; whoever follows goes on.
static pid_t start(void (*run)(void *memory), void *memory)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        run(memory);
        _exit(9);
    }
    return pid;
}

static void run_writer(void *memory)
{
    struct spool_writer w;
    spool_writer_attach(&w, memory, SIZE);
    for (int i = 0;; i++) {
        write_one(&w);
        if (i % 3 == 0)
            spool_publish(&w);
    }
}

static void run_reader(void *memory)
{
    struct spool_reader r;
    struct err e;
    unsigned char record[RECORD_MAX];
    if (spool_reader_attach(&r, memory, SIZE, &e))
        _exit(1);
    for (uint64_t sequence = 0;;) {
        size_t n;
        int rc = spool_take(&r, record, sizeof record, &n, &sequence, &e);
        if (rc < 0 || (rc && !is_right(record, n, sequence)))
            _exit(1);
        if (rc)
            spool_settle(&r, sequence % 5 != 0, sequence, sequence % 5 == 0);
    }
}

static void kill_and_replace(pid_t *pid, void (*run)(void *memory), void *memory)
{
    int status;
    kill(*pid, SIGKILL);
    ck_assert_int_eq(waitpid(*pid, &status, 0), *pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    if (run)
        *pid = start(run, memory);
}

START_TEST(either_side_may_be_killed_at_any_point)
{
    void *m = new_memory(SIZE);
    uint32_t seed = 3;
    pid_t writer = start(run_writer, m), reader = start(run_reader, m);
    struct spool_written w;
    struct spool_settled s;
    bool is_enough = false; // of each; on a busy machine that takes more rounds
    for (int i = 0; i < 200 || !is_enough; i++) {
        usleep(next_random(&seed) % 4000);
        spool_numbers(m, &w, &s);
        is_enough = w.accepted > 10000 && s.committed > 1000 && s.dropped > 100;
        if (next_random(&seed) % 2)
            kill_and_replace(&writer, run_writer, m);
        else
            kill_and_replace(&reader, run_reader, m);
    }
    kill_and_replace(&writer, NULL, m);
    // What is left is read by the last reader, and then everything adds up.
    for (int i = 0; i < 60000 && waiting(m); i++)
        usleep(1000);
    kill_and_replace(&reader, NULL, m);
    ck_assert_uint_eq(waiting(m), 0);
}
END_TEST

START_TEST(what_no_writer_makes_is_refused_and_reading_goes_on_behind_it)
{
    uint32_t seed = 11;
    for (int round = 0; round < 3000; round++) {
        struct spool_writer w;
        struct spool_reader r;
        void *m = new_memory(SIZE);
        attach(m, SIZE, &w, &r);
        for (int i = 0; i < 20; i++)
            write_one(&w);
        spool_publish(&w);
        // The writer may write anywhere: a few words of the head, or the first bytes of the data.
        for (int i = 0; i < 3; i++) {
            size_t at = next_random(&seed) % 2 ? next_random(&seed) % 640
                                               : SPOOL_HEAD_BYTES + next_random(&seed) % 640;
            uint64_t word =
                next_random(&seed) % 3 ? next_random(&seed) : UINT64_MAX - next_random(&seed) % 64;
            memcpy((char *)m + at / 8 * 8, &word, sizeof word);
        }
        unsigned char record[RECORD_MAX];
        size_t n;
        uint64_t sequence;
        struct err e;
        int rc = 1;
        for (int i = 0; i < 100000 && rc == 1; i++)
            rc = spool_take(&r, record, sizeof record, &n, &sequence, &e);
        ck_assert(rc <= 0);
        spool_skip(&r);
        munmap(m, spool_memory_bytes(SIZE));
    }
}
END_TEST

START_TEST(what_was_skipped_counts_as_dropped)
{
    struct spool_writer w;
    struct spool_reader r;
    void *m = new_memory(SIZE);
    attach(m, SIZE, &w, &r);
    put(&w, "a");
    put(&w, "b");
    spool_drop(&w, 2);
    put(&w, "c");
    spool_publish(&w);
    check_next(&r, "a", 1);
    spool_settle(&r, 1, 1, 0);
    memset((char *)m + SPOOL_HEAD_BYTES, 0xff, 256);
    char text[RECORD_MAX];
    size_t n;
    uint64_t sequence;
    struct err e;
    ck_assert_int_eq(spool_take(&r, text, sizeof text, &n, &sequence, &e), ERR_INVALID);
    spool_skip(&r);
    ck_assert_uint_eq(waiting(m), 0);
    put(&w, "d");
    spool_publish(&w);
    check_next(&r, "d", 5);
}
END_TEST

UNIT_MAIN("os/spool", positions_that_can_be_none_are_not_believed, each_publication_tells_all_numbers,
          records_come_in_order_and_only_after_they_were_published,
          what_was_read_and_not_settled_is_read_again_by_the_next_reader,
          the_next_writer_goes_on_where_the_last_had_published,
          a_full_ring_takes_nothing_until_something_was_settled, an_empty_ring_goes_back_to_its_start,
          a_ring_that_is_not_empty_does_not_go_back_to_its_start,
          who_sleeps_is_woken_once_and_who_waits_is_told_once, two_threads_lose_nothing_that_is_not_counted,
          either_side_may_be_killed_at_any_point,
          what_no_writer_makes_is_refused_and_reading_goes_on_behind_it, what_was_skipped_counts_as_dropped)
