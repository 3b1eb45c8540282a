// SPDX-License-Identifier: Apache-2.0
// Places in the log's memory.
#include "role/log_memory.h"

#include "base/buf.h"
#include "base/clock.h"
#include "os/file.h"
#include "os/shm.h"
#include "role/metrics.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };
_Static_assert(sizeof(struct log_stats) <= 3 * PAGE, "builds that are upgraded have three pages");

static uint64_t stats_bytes(void)
{
    return (sizeof(struct log_stats) + PAGE - 1) / PAGE * PAGE;
}

uint64_t log_memory_bytes(unsigned n_gateways, uint64_t ring_bytes)
{
    return n_gateways * (uint64_t)spool_memory_bytes(spool_size(ring_bytes)) + stats_bytes();
}

int log_memory_new(unsigned n_gateways, uint64_t ring_bytes, int *ret_fd, struct err *e)
{
    uint64_t bytes = log_memory_bytes(n_gateways, ring_bytes), stream = clock_wall_ns() / 1000;
    int fd, rc = shm_new("slipway-log", bytes, &fd, e);
    if (rc)
        return rc;
    rc = shm_seal(fd, SHM_SEAL_SIZE, e);
    if (rc == 0 && pwrite(fd, &stream, sizeof stream, (off_t)(bytes - stats_bytes())) != sizeof stream)
        rc = err_errno(e, errno, "make the memory of the prediction log");
    if (rc)
        close(fd);
    else
        *ret_fd = fd;
    return rc;
}

int log_memory_ring_size(int fd, unsigned n_gateways, size_t *ret, struct err *e)
{
    uint64_t bytes;
    int rc = file_size(fd, &bytes, e);
    if (rc)
        return rc;
    uint64_t one = bytes > stats_bytes() && n_gateways ? (bytes - stats_bytes()) / n_gateways : 0;
    if (one < spool_memory_bytes(SPOOL_BYTES_MIN) ||
        log_memory_bytes(n_gateways, one - SPOOL_HEAD_BYTES) != bytes)
        return err_set(e, ERR_INVALID, "%llu bytes are no prediction log's memory for %u gateways",
                       (unsigned long long)bytes, n_gateways);
    *ret = one - SPOOL_HEAD_BYTES;
    return 0;
}

static int map(int fd, uint64_t at, size_t bytes, void **ret, struct err *e)
{
    *ret = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);
    return *ret == MAP_FAILED ? err_errno(e, errno, "map the prediction log's memory") : 0;
}

static uint64_t place_of(size_t ring_size, unsigned i)
{
    return i * (uint64_t)spool_memory_bytes(ring_size);
}

int log_memory_map_ring(int fd, unsigned n_gateways, unsigned i, void **ret, size_t *ret_size, struct err *e)
{
    int rc = log_memory_ring_size(fd, n_gateways, ret_size, e);
    return rc ? rc : map(fd, place_of(*ret_size, i), spool_memory_bytes(*ret_size), ret, e);
}

int log_memory_map_stats(int fd, unsigned n_gateways, struct log_stats **ret, struct err *e)
{
    size_t size;
    void *p;
    int rc = log_memory_ring_size(fd, n_gateways, &size, e);
    if (rc == 0)
        rc = map(fd, place_of(size, n_gateways), stats_bytes(), &p, e);
    if (rc == 0)
        *ret = p;
    return rc;
}

int log_memory_own_stats(int fd, unsigned n_gateways, struct log_stats **ret, struct err *e)
{
    int rc = log_memory_map_stats(fd, n_gateways, ret, e);
    if (rc == 0 && (*ret)->layout != HIST_LAYOUT) {
        memset(&(*ret)->commit, 0, sizeof(*ret)->commit);
        (*ret)->layout = HIST_LAYOUT;
    }
    return rc;
}

void log_memory_unmap_ring(void *ring, size_t size)
{
    shm_unmap(ring, spool_memory_bytes(size));
}

void log_memory_unmap_stats(struct log_stats *s)
{
    shm_unmap(s, stats_bytes());
}

int log_memory_counts_of(int fd, unsigned n_gateways, unsigned i, struct log_counts *ret, struct err *e)
{
    _Alignas(64) char head[SPOOL_HEAD_BYTES];
    struct spool_written w;
    struct spool_settled s;
    size_t size, n;
    int rc = log_memory_ring_size(fd, n_gateways, &size, e);
    if (rc == 0)
        rc = file_read_at(fd, head, sizeof head, place_of(size, i), &n, e);
    if (rc)
        return rc;
    spool_numbers(head, &w, &s);
    *ret = (struct log_counts){.accepted = w.accepted, .committed = s.committed};
    for (int k = 0; k < LOG_REASONS; k++)
        ret->dropped[k] = w.dropped[k];
    ret->dropped[LOG_REASON_MONITOR] += s.dropped;
    return 0;
}

int log_memory_counts(int fd, unsigned n_gateways, struct log_counts *ret, struct err *e)
{
    *ret = (struct log_counts){0};
    for (unsigned i = 0; i < n_gateways; i++) {
        struct log_counts c;
        int rc = log_memory_counts_of(fd, n_gateways, i, &c, e);
        if (rc)
            return rc;
        ret->accepted += c.accepted;
        ret->committed += c.committed;
        for (int k = 0; k < LOG_REASONS; k++)
            ret->dropped[k] += c.dropped[k];
    }
    return 0;
}

static void put_commits(const struct hist *h, struct buf *out)
{
    buf_puts(out, "# HELP slipway_log_commit_seconds From the oldest record of a commit to its end.\n"
                  "# TYPE slipway_log_commit_seconds histogram\n");
    metrics_native_put(h, out);
    for (unsigned i = 0; i < HIST_EDGES; i++)
        buf_printf(out, "slipway_log_commit_seconds_bucket{le=\"%.9g\"} %llu\n", (double)hist_edge(i) / 1e9,
                   (unsigned long long)hist_count_at_edge(h, i));
    buf_printf(out,
               "slipway_log_commit_seconds_bucket{le=\"+Inf\"} %llu\nslipway_log_commit_seconds_sum %.9g\n"
               "slipway_log_commit_seconds_count %llu\n",
               (unsigned long long)h->count, (double)h->sum_ns / 1e9, (unsigned long long)h->count);
}

int log_metrics_put(int fd, unsigned n_gateways, struct buf *out, struct err *e)
{
    struct log_counts c;
    struct log_stats *stats;
    int rc = log_memory_counts(fd, n_gateways, &c, e);
    if (rc == 0)
        rc = log_memory_map_stats(fd, n_gateways, &stats, e);
    if (rc)
        return rc;
    buf_printf(
        out,
        "# HELP slipway_log_accepted_total Records for the prediction log: committed, dropped or waiting.\n"
        "# TYPE slipway_log_accepted_total counter\nslipway_log_accepted_total %llu\n"
        "# HELP slipway_log_committed_total Records of the prediction log that are durable.\n"
        "# TYPE slipway_log_committed_total counter\nslipway_log_committed_total %llu\n"
        "# HELP slipway_log_dropped_total Records for the prediction log that were given up.\n"
        "# TYPE slipway_log_dropped_total counter\n",
        (unsigned long long)c.accepted, (unsigned long long)c.committed);
    for (int k = 0; k < LOG_REASONS; k++)
        buf_printf(out, "slipway_log_dropped_total{reason=\"%s\"} %llu\n",
                   log_reason_name((enum log_reason)k), (unsigned long long)c.dropped[k]);
    put_commits(&stats->commit, out);
    log_memory_unmap_stats(stats);
    return 0;
}

uint64_t log_counts_dropped(const struct log_counts *c)
{
    uint64_t n = 0;
    for (int k = 0; k < LOG_REASONS; k++)
        n += c->dropped[k];
    return n;
}

uint64_t log_counts_waiting(const struct log_counts *c)
{
    return c->accepted - c->committed - log_counts_dropped(c);
}

const char *log_reason_name(enum log_reason r)
{
    static const char *const NAMES[LOG_REASONS] = {"overflow", "sampled", "too_large", "monitor"};
    return r < LOG_REASONS ? NAMES[r] : "";
}
