// SPDX-License-Identifier: Apache-2.0
#include "role/metrics.h"

#include "base/buf.h"
#include "unit.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct metrics_text *text;

static void map_text(void)
{
    text = mmap(NULL, sizeof *text, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(text, MAP_FAILED);
}

START_TEST(a_slot_taken_over_starts_at_zero_and_one_kept_goes_on)
{
    static struct metrics_series s;
    metrics_series_claim(&s, STR("a"), 1);
    ck_assert_uint_eq(s.deployment, metrics_key(STR("a"), 1));
    ck_assert_str_eq(s.model, "a");
    s.requests[2] = 5;
    hist_add(&s.queue, 100);
    metrics_series_claim(&s, STR("a"), 1);
    ck_assert_uint_eq(s.requests[2], 5);
    metrics_series_claim(&s, STR("other"), 2);
    ck_assert_uint_eq(s.requests[2] + s.queue.count, 0);
    ck_assert_str_eq(s.model, "other");
    ck_assert_uint_eq(s.version, 2);
    ck_assert_uint_ne(metrics_key(STR("a"), 1), metrics_key(STR("a"), 2));
}
END_TEST

START_TEST(sizes_are_counted_exactly_at_powers_of_two)
{
    static struct metrics_sizes s, large;
    uint64_t sum = 0;
    metrics_sizes_add(&large, UINT32_MAX, 1);
    metrics_sizes_add(&large, UINT64_C(1) << 31, 1);
    ck_assert(large.n[32] == 1 && large.n[31] == 1);
    for (uint64_t rows = 1; rows <= 20000; rows++, sum += rows - 1)
        metrics_sizes_add(&s, rows, 2);
    ck_assert_uint_eq(s.count, 40000);
    ck_assert_uint_eq(s.sum, 2 * sum);
    for (uint64_t i = 0, n = 0; i < METRICS_SIZES; i++) {
        n += s.n[i];
        ck_assert_uint_eq(n, i < 15 ? UINT64_C(2) << i : 40000);
    }
}
END_TEST

START_TEST(the_monitors_text_is_read_whole_or_not_at_all)
{
    struct buf out;
    buf_init(&out, 8 << 20);
    map_text();
    ck_assert(metrics_text_read(text, &out) && out.n == 0);
    ck_assert(metrics_text_write(text, STR("one 1\n")) && metrics_text_read(text, &out));
    ck_assert(metrics_text_write(text, STR("two 2\n")) && metrics_text_read(text, &out));
    ck_assert(str_eq(buf_str(&out), STR("one 1\ntwo 2\n")));
    text->seq |= 1; // its writer died
    ck_assert(!metrics_text_read(text, &out) && out.n == 12);
    ck_assert(metrics_text_write(text, STR("3")) && metrics_text_read(text, &out) && out.n == 13);
    text->bytes = sizeof text->text + 1; // hostile
    ck_assert(!metrics_text_read(text, &out) && out.n == 13);
    struct str long_text = {malloc(sizeof text->text + 1), sizeof text->text + 1};
    ck_assert(!metrics_text_write(text, long_text));
    free((void *)(uintptr_t)long_text.p);
    buf_done(&out);
}
END_TEST

enum { BYTES = 100000, READS = 300, CHANGES = 10 };

_Noreturn static void write_for_ever(void)
{
    static char bytes[BYTES];
    for (unsigned char c = 0;; c++) {
        memset(bytes, c, sizeof bytes);
        if (!metrics_text_write(text, (struct str){bytes, sizeof bytes - c}))
            _exit(1);
    }
}

START_TEST(a_text_that_changes_while_it_is_read_is_never_mixed)
{
    struct buf out;
    int status;
    buf_init(&out, 8 << 20);
    map_text();
    pid_t pid = fork();
    if (pid == 0)
        write_for_ever();
    unsigned n_changes = 0;
    char last = 0;
    // However many reads fit between two turns of the writer, which may not run for a while.
    for (int i = 0; i < READS || n_changes < CHANGES;) {
        buf_clear(&out);
        if (!metrics_text_read(text, &out) || out.n == 0) {
            sched_yield(); // there may be one core only
            continue;
        }
        ck_assert_uint_eq(out.n, BYTES - (unsigned char)out.p[0]);
        for (size_t k = 0; k < out.n; k++)
            if (out.p[k] != out.p[0])
                ck_abort_msg("mixed at byte %zu", k);
        n_changes += out.p[0] != last;
        last = out.p[0];
        i++;
    }
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status)); // it wrote all the time
    buf_done(&out);
}
END_TEST

UNIT_MAIN("role/metrics", a_slot_taken_over_starts_at_zero_and_one_kept_goes_on,
          sizes_are_counted_exactly_at_powers_of_two, the_monitors_text_is_read_whole_or_not_at_all,
          a_text_that_changes_while_it_is_read_is_never_mixed)
