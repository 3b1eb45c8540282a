// SPDX-License-Identifier: Apache-2.0
// The write-ahead log of predictions: records as they came from the rings, numbered, in files that are synced
// a batch at a time and later sealed (predlog/seal.h). The monitor writes it; nobody else.
//
//   state/wal/00000000000000000041.wal     named by the number of its first record
//   file: 32 bytes head | schemas that are known | records …
//
// A file is never written again once it was closed, also not after a crash: what is torn or damaged in it
// stays and is told as a gap by whoever reads it (predlog/wal_read.h). One that cannot be opened is set aside
// when it is to be sealed: it keeps its number with WAL_ASIDE behind its name.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "predlog/record.h"

enum {
    WAL_HEAD_BYTES = 32,
    WAL_NAME_SIZE = 25,         // "00000000000000000041.wal" with NUL
    WAL_COMMIT_BYTES = 1 << 20, // a batch is due with so many bytes
    WAL_COMMIT_MS = 10,         // or with its first record so old
    WAL_PENDING_BYTES = 8 << 20,
    WAL_FILE_BYTES = 64 << 20, // a file is due to be closed with so many
    WAL_FILE_SECONDS = 300,    // or so old
};

#define WAL_ASIDE ".unreadable"

struct wal;

// What was found when it was opened, of the files that an earlier life left. All but their number is of the
// newest, the only one that is read: where the others end, the names of those behind them say.
struct wal_found {
    uint32_t n_files;
    uint64_t n_records, last_seq; // 0: none
    uint32_t n_torn, n_damaged;   // places
    uint64_t lost_records;        // as far as their numbers tell
    uint64_t lost_bytes;
};

// Opens the log in dir_fd (state/wal), which it borrows; `next_seq`: the least number to give, 1 at first,
// behind all that was sealed. Reads the newest file, so that it takes no longer the more there are, and
// writes nothing yet. ERR_IO, ERR_NOMEM.
int wal_open(int dir_fd, uint64_t next_seq, struct wal **ret, struct wal_found *ret_found,
             struct err *e) ERR_CHECKED;
// Without committing what is pending.
void wal_free(struct wal *w);

// Makes a schema known: it is in every file from here on. ERR_TOO_LARGE, ERR_NOMEM.
int wal_schema_set(struct wal *w, uint64_t key, struct str json, uint64_t wall_ns, struct err *e) ERR_CHECKED;
// Of a version whose records come no more; later files are without it. Not while a record of it is in the
// batch, which may begin a file.
void wal_schema_drop(struct wal *w, uint64_t key);
// The keys of those that are known: i = 0 … until false. Dropping one moves the last to its place.
bool wal_schema_at(const struct wal *w, size_t i, uint64_t *ret_key);

// Takes a copy of a record into the batch, numbers it and makes its checksum. ERR_BUSY while
// WAL_PENDING_BYTES wait: commit first. mono_ns: of now.
int wal_append(struct wal *w, struct str record, uint64_t mono_ns, uint64_t *ret_seq,
               struct err *e) ERR_CHECKED;
// The same without a copy: 8-aligned room at the end of the batch for a record of up to max_bytes, good until
// the next call of this module; what is written there is nothing until wal_take, with the bytes of what
// record_look accepted, makes it the next record and returns its number. ERR_BUSY, ERR_NOMEM.
int wal_room(struct wal *w, size_t max_bytes, void **ret, struct err *e) ERR_CHECKED;
uint64_t wal_take(struct wal *w, size_t bytes, uint64_t mono_ns);
// A gap of the caller's making (head: model's schema and times, may be zero but sample_weight).
int wal_append_gap(struct wal *w, const struct record_gap *gap, uint64_t schema, uint64_t wall_ns,
                   uint64_t mono_ns, struct err *e) ERR_CHECKED;
// Whether the batch is to be committed now, and when it will be due (UINT64_MAX: nothing waits).
bool wal_is_due(const struct wal *w, uint64_t mono_ns);
uint64_t wal_due_ns(const struct wal *w);
// Writes the batch and syncs it: after 0 every record appended so far is durable. On failure the batch stays,
// and the next call tries again, into another file where the sync failed, because that says nothing of its
// content any more. ERR_NO_SPACE, ERR_IO.
int wal_commit(struct wal *w, uint64_t wall_ns, uint64_t mono_ns, struct err *e) ERR_CHECKED;
// Gives the batch up, where the disk does not take it for too long. Returns how many records that are; the
// caller counts them, and tells them with wal_append_gap.
uint64_t wal_drop_pending(struct wal *w);

// Closes the file, so that it may be sealed, when it is large or old enough, or `now`. Returns the number of
// the first record of the file that is written, or will be: all files named by smaller ones may be sealed.
uint64_t wal_rotate(struct wal *w, bool now, uint64_t mono_ns);
uint64_t wal_next_seq(const struct wal *w);      // of the next record
uint64_t wal_committed_seq(const struct wal *w); // the last one that is durable; 0 none
size_t wal_pending_bytes(const struct wal *w);

void wal_name(uint64_t first_seq, char ret[WAL_NAME_SIZE]);
bool wal_name_read(const char *name, uint64_t *ret_first_seq);
// The files in a folder by their first numbers, ascending; the caller frees *ret. ERR_IO, ERR_NOMEM.
int wal_list(int dir_fd, uint64_t **ret, size_t *ret_n, struct err *e) ERR_CHECKED;
// Opens one of them for reading: *ret_fd -1, with the reason in e, where it is this file that cannot be
// opened. ERR_IO, ERR_NOMEM: no file could be opened now.
int wal_open_file(int dir_fd, uint64_t first_seq, int *ret_fd, struct err *e) ERR_CHECKED;
// Out of the way of the others, durably; and how many were, so far. ERR_IO, ERR_NO_SPACE.
int wal_set_aside(int dir_fd, uint64_t first_seq, struct err *e) ERR_CHECKED;
int wal_count_aside(int dir_fd, uint32_t *ret, struct err *e) ERR_CHECKED;
