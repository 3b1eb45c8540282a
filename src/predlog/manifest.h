// SPDX-License-Identifier: Apache-2.0
// log/MANIFEST.jsonl: one line for each sealed file, which counts only once its line is there and synced; and
// a line that adds up what retention removed. A last line that is torn counts for nothing.
//
//   {"file":"model=churn/date=2026-11-22/hour=10/part-…-….jsonl.zst","model":"churn","rows":812,"records":640,
//    "first_seq":41,"last_seq":680,"first_ns":…,"last_ns":…,"bytes":31250,"sha256":"9f…","wal":41,"schemas":[…]}
//   {"removed":{"files":3,"rows":2400,"bytes":99000,"last_seq":40}}
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { MANIFEST_SHA256_SIZE = 65 };

struct predlog_entry {
    struct str file;  // below log/
    struct str model; // PREDLOG_NO_MODEL: gaps that belong to none
    uint64_t rows;    // lines
    uint64_t records;
    uint64_t first_seq, last_seq; // of the log
    uint64_t first_ns, last_ns;   // wall clock
    uint64_t bytes;
    struct str sha256;  // 64 hex digits
    uint64_t wal;       // the file of the write-ahead log it was made of
    struct str schemas; // JSON list
};

#define PREDLOG_NO_MODEL "_"

struct predlog_manifest {
    struct arena arena;
    struct predlog_entry *entries; // (n) in the order they were sealed
    size_t n;
    uint64_t removed_files, removed_rows, removed_bytes, removed_last_seq;
    uint64_t good_bytes;   // of the file, up to the last whole line
    uint32_t n_bad;        // whole lines that cannot be read: which files they name is not known
    struct str *bad_lines; // (n_bad) as they stand there
};

// Reads the manifest in dir_fd (log/); none is an empty one. ERR_IO, ERR_NOMEM, ERR_TOO_LARGE.
int predlog_manifest_read(int dir_fd, struct predlog_manifest *ret, struct err *e) ERR_CHECKED;
void predlog_manifest_done(struct predlog_manifest *m); // zeroed is fine
// The entry of this file, or NULL.
const struct predlog_entry *predlog_manifest_find(const struct predlog_manifest *m, struct str file);
// The number behind all that was sealed or removed.
uint64_t predlog_manifest_next_seq(const struct predlog_manifest *m);
// Appends the line of an entry with its newline.
void predlog_manifest_put(const struct predlog_entry *entry, struct buf *lines);
// Appends lines, behind the last whole one, and syncs. ERR_IO, ERR_NO_SPACE.
int predlog_manifest_append(int dir_fd, const struct predlog_manifest *m, struct str lines,
                            struct err *e) ERR_CHECKED;
// Replaces the manifest by one of the entries for which keep[i], the others added to what was removed. Lines
// that cannot be read stay as they are.
int predlog_manifest_remove(int dir_fd, const struct predlog_manifest *m, const bool *keep,
                            struct err *e) ERR_CHECKED;
