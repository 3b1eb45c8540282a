// SPDX-License-Identifier: Apache-2.0
#include "role/log_memory.h"

#include "base/buf.h"
#include "unit.h"

#include <string.h>
#include <unistd.h>

static struct log_stats *owned(int fd)
{
    struct log_stats *s;
    struct err e;
    ck_assert_int_eq(log_memory_own_stats(fd, 2, &s, &e), 0);
    return s;
}

// The memory of the log stays in an upgrade, also to a program whose histograms are others.
START_TEST(a_histogram_of_another_layout_begins_at_zero_and_ones_own_goes_on)
{
    struct err e;
    int fd;
    ck_assert_int_eq(log_memory_new(2, SPOOL_BYTES_MIN, &fd, &e), 0);
    struct log_stats *s = owned(fd);
    uint64_t stream = s->stream;
    ck_assert(stream != 0);
    hist_add(&s->commit, 1000000);
    log_memory_unmap_stats(s);
    s = owned(fd);
    ck_assert_uint_eq(s->commit.count, 1);
    s->layout--;
    log_memory_unmap_stats(s);
    s = owned(fd);
    ck_assert(s->commit.count == 0 && s->commit.sum_ns == 0 && s->stream == stream);
    hist_add(&s->commit, 1000000);
    log_memory_unmap_stats(s);
    s = owned(fd);
    ck_assert_uint_eq(s->commit.count, 1);
    log_memory_unmap_stats(s);
    close(fd);
}
END_TEST

START_TEST(the_page_has_both_kinds_of_buckets)
{
    struct err e;
    struct buf out;
    int fd;
    ck_assert_int_eq(log_memory_new(2, SPOOL_BYTES_MIN, &fd, &e), 0);
    struct log_stats *s = owned(fd);
    hist_add_n(&s->commit, 1953125, 4); // 2^-9 s
    hist_add(&s->commit, 1953126);
    buf_init(&out, 1 << 16);
    ck_assert_int_eq(log_metrics_put(fd, 2, &out, &e), 0);
    buf_putc(&out, '\0');
    ck_assert_ptr_ne(
        strstr(out.p, "\n# NATIVE 3 0 -72:4 -71:1\nslipway_log_commit_seconds_bucket{le=\"1e-05\"} 0\n"),
        NULL);
    ck_assert_ptr_ne(strstr(out.p, "slipway_log_commit_seconds_count 5\n"), NULL);
    buf_done(&out);
    log_memory_unmap_stats(s);
    close(fd);
}
END_TEST

UNIT_MAIN("role/log_memory", a_histogram_of_another_layout_begins_at_zero_and_ones_own_goes_on,
          the_page_has_both_kinds_of_buckets)
