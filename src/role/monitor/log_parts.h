// SPDX-License-Identifier: Apache-2.0
// What the files of the prediction log share: log.c (rings and commits), log_seal.c (the process that seals),
// log_query.c (what is asked for).
#pragma once

#include "os/proc.h"
#include "os/spool.h"
#include "predlog/wal.h"
#include "role/log_memory.h"
#include "role/monitor/log.h"

struct log_ring {
    struct spool_reader spool;
    void *memory;            // mapped
    struct peer *peer;       // of its gateway; NULL: not connected
    uint64_t last;           // sequence number read last
    uint64_t n_open, n_lost; // read and not settled: in the batch; no records
    uint64_t told_open;      // gaps of this ring in the batch: records
    uint64_t told;           // of the records that its gateway had no room for, those that the log tells of
};

// The sealer's last start.
struct log_sealing {
    uint64_t before_seq;                // it was to seal all files below this number
    uint64_t mono_ns;                   // when; of one that failed: its end; 0: there was none
    uint32_t n_failed;                  // starts in a row
    uint64_t retain_days, retain_bytes; // the settings it was given
};

struct log_state {
    struct monitor *m;
    struct log_ring *rings; // (n)
    unsigned n;
    size_t ring_size;
    uint32_t stream;
    struct log_stats *stats; // mapped
    struct wal *wal;         // NULL while it cannot be opened
    int wal_fd, log_fd, lock_fd;
    struct timer look; // at the rings, while there is load
    bool is_looking;
    uint64_t busy_mono_ns;   // when something was there last
    uint64_t oldest_mono_ns; // of the batch; 0: it is empty
    uint64_t untold_disk,
        untold_overflow; // records of gaps that are to be told when the disk takes them again
    uint64_t telling_disk, telling_overflow; // those that the batch tells of
    uint64_t failed_mono_ns;                 // when the disk refused first; 0: it did not
    uint64_t unknown_mono_ns;                // since when a record waits for its version
    bool are_schemas_stale;                  // versions may have gone whose schemas the log still has
    uint32_t n_aside;                        // files that could not be opened (predlog/wal.h)
    // Sealing
    struct proc sealer;
    struct watch sealer_ended;
    struct log_sealing sealing;
};

enum { LOG_RECORD_BYTES = 2 << 20 }; // of one record in a ring

// log_seal.c: seals all files below this number and removes what may not stay, in a process of its own: when
// there are files that the last one had not to seal, when the settings of what may stay have changed, and
// once an hour, because files grow old by themselves. Nothing while one runs; after one that failed the next
// comes later and later. now: mono_ns.
void log_seal_step(struct log_state *l, uint64_t before_seq, uint64_t now);
// Counts the files that were set aside.
void log_seal_count_aside(struct log_state *l);
void log_seal_stop(struct log_state *l); // kills it: it is repeated at the next start
