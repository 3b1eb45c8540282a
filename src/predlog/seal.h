// SPDX-License-Identifier: Apache-2.0
// Sealing: closed files of the write-ahead log become compressed lines by model, day and hour, which never
// change again; then they are removed. And retention: the oldest of those are removed by age and size. Both
// take long and run in a process of their own, one at a time. Whatever moment one is killed at, running it
// again gives the same files with the same names.
//
//   log/model=churn/date=2026-11-22/hour=10/part-<first number>-<last number>.jsonl.zst   one zstd frame
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct seal_done {
    uint32_t n_files; // of the write-ahead log that are sealed and removed
    uint32_t n_parts; // made
    uint64_t rows, records, bytes;
    uint64_t lost_records, lost_bytes; // in the gaps that were met
    uint32_t n_gaps;
    uint32_t n_aside; // files that could not be opened
    uint64_t aside;   // the last of them
    char aside_why[ERR_MSG_MAX];
};

// Seals every file of wal_fd (state/wal) whose number is below before_seq, as wal_rotate returned it, into
// log_fd (log/). One that cannot be opened is told as a gap and set aside (predlog/wal.h); with its old name
// it is sealed like any other. ERR_IO, ERR_NO_SPACE, ERR_NOMEM: what was not finished is as it was.
int predlog_seal(int wal_fd, int log_fd, uint64_t before_seq, struct seal_done *ret,
                 struct err *e) ERR_CHECKED;

struct retain_rule {
    uint64_t max_age_s; // a file whose newest line is older goes; 0: no limit
    uint64_t max_bytes; // of all sealed files together; the oldest go; 0: no limit
};
struct retain_done {
    uint32_t n_files;
    uint64_t rows, bytes; // removed
    uint32_t n_orphans;   // files without a line in the manifest: left by a process that was killed
    uint32_t n_bad;       // lines of the manifest that cannot be read: while there are any, those files stay
};
// ERR_IO, ERR_NOMEM.
int predlog_retain(int log_fd, const struct retain_rule *rule, uint64_t wall_ns, struct retain_done *ret,
                   struct err *e) ERR_CHECKED;
