// SPDX-License-Identifier: Apache-2.0
// The memory that the prediction log crosses from gateways to monitor: made and kept by the supervisor, so
// that either may be killed.
//
//   rings of the gateways by their numbers, each spool_memory_bytes(size) | struct log_stats, one page or
//   more
//
// Who counts what: os/spool.h.
#pragma once

#include "base/hist.h"
#include "os/spool.h"

#include <stdint.h>

// Why a gateway drops a record: the reasons of its spool.
enum log_reason {
    LOG_REASON_OVERFLOW,  // no room, or not for so long as the policy `block` waits
    LOG_REASON_SAMPLED,   // no room for all: the policy `sample`
    LOG_REASON_TOO_LARGE, // not even its head fits
    LOG_REASON_MONITOR,   // by the monitor: the disk did not take it, or it was none; counted there
    LOG_REASONS,
};
_Static_assert((int)LOG_REASONS <= (int)SPOOL_REASONS, "each has its counter");
const char *log_reason_name(enum log_reason r); // "overflow"

// Written by the monitor, read by gateways for /metrics.
struct log_stats {
    uint64_t stream;    // of all rings; from the supervisor
    struct hist commit; // from the oldest record of a commit to its end
    uint64_t layout;    // HIST_LAYOUT; of another one, or 0, commit begins at zero
};

// One ring's numbers, or those of several added up.
struct log_counts {
    uint64_t accepted, committed;
    uint64_t dropped[LOG_REASONS];
};

// Bytes of the memory for n gateways with rings for so many bytes.
uint64_t log_memory_bytes(unsigned n_gateways, uint64_t ring_bytes);
// Makes it, sealed. ERR_IO, ERR_NOMEM.
int log_memory_new(unsigned n_gateways, uint64_t ring_bytes, int *ret_fd, struct err *e) ERR_CHECKED;

// Bytes of the data of each ring in the memory `fd`. ERR_INVALID when it is none.
int log_memory_ring_size(int fd, unsigned n_gateways, size_t *ret, struct err *e) ERR_CHECKED;
// Maps ring i for writing; unmap with shm_unmap and *ret_bytes.
int log_memory_map_ring(int fd, unsigned n_gateways, unsigned i, void **ret, size_t *ret_size,
                        struct err *e) ERR_CHECKED;
// Also takes care that commit is a histogram of this program: only by the monitor.
int log_memory_own_stats(int fd, unsigned n_gateways, struct log_stats **ret, struct err *e) ERR_CHECKED;
int log_memory_map_stats(int fd, unsigned n_gateways, struct log_stats **ret, struct err *e) ERR_CHECKED;
void log_memory_unmap_ring(void *ring, size_t size); // NULL is fine
void log_memory_unmap_stats(struct log_stats *s);    // NULL is fine

// What all rings count, added up; of ring i alone. Read without mapping them. ERR_IO, ERR_INVALID.
int log_memory_counts(int fd, unsigned n_gateways, struct log_counts *ret, struct err *e) ERR_CHECKED;
int log_memory_counts_of(int fd, unsigned n_gateways, unsigned i, struct log_counts *ret,
                         struct err *e) ERR_CHECKED;
// Appends slipway_log_accepted_total, slipway_log_committed_total, slipway_log_dropped_total by reason and
// slipway_log_commit_seconds, of one moment. As log_memory_counts.
struct buf;
int log_metrics_put(int fd, unsigned n_gateways, struct buf *out, struct err *e) ERR_CHECKED;
uint64_t log_counts_dropped(const struct log_counts *c); // of all reasons
// In the memory, not settled yet: accepted - committed - dropped.
uint64_t log_counts_waiting(const struct log_counts *c);
