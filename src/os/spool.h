// SPDX-License-Identifier: Apache-2.0
// A queue of records from one process to one other in shared memory that outlives both: either side may be
// killed at any instruction and be replaced, and goes on where the one before stood. The writer never waits
// and never calls the kernel: without room the record is dropped, which is counted. What a reader has taken
// for good it says itself, together with what became of it, so that at any moment
//
//   accepted = settled by the reader (committed + dropped) + dropped by the writer + still in the memory
//
// Both sides say all their numbers with one store (two slots each, and a word that names the newer one).
// Several records may be published at once. Neither side trusts what it finds in the memory: the reader
// copies a record, then looks at it.
//
//   memory: struct spool_head (SPOOL_HEAD_BYTES) | size bytes, a power of two
//   record: u32 bytes | u32 mark | u64 sequence number | payload, padded to SPOOL_ALIGN; never wraps: a mark
//           in place of a record sends the reader to the start
//
// Positions count bytes since the beginning; only their differences mean something, as every return to the
// start skips the rest of the memory.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SPOOL_HEAD_BYTES = 4096,
    SPOOL_ALIGN = 16,
    SPOOL_PREFIX = 16,
    SPOOL_BYTES_MIN = 1 << 16,
    SPOOL_REASONS = 4, // for which the writer drops a record; the caller names them
};

struct spool_head;

// What the writer says.
struct spool_written {
    uint64_t written;  // position behind the last record
    uint64_t base;     // nothing before it is to be read
    uint64_t accepted; // records so far, with those that were dropped; also the last one's sequence number
    uint64_t dropped[SPOOL_REASONS];
};

// What the reader says. committed + dropped are the records that it has taken.
struct spool_settled {
    uint64_t taken;    // up to this position the memory may be written over
    uint64_t sequence; // of the last record that was committed
    uint64_t committed, dropped;
};

struct spool_writer {
    struct spool_head *head;
    char *data;
    size_t size;
    struct spool_written now; // not published yet
    uint64_t published;       // now.written as it was published last
    uint64_t taken;           // the reader's, as it was seen last
    uint64_t asked;           // how far it was when the reader was asked last whether the ring is empty
    unsigned n_whole;         // slots that do not have all of `now` but for written and accepted
    uint64_t start;           // where the reserved record begins
    size_t reserved;          // its bytes with prefix; 0: none
};

struct spool_reader {
    struct spool_head *head;
    const char *data;
    size_t size;
    uint64_t at;                  // up to here it was read
    struct spool_written seen;    // what the writer said last
    struct spool_settled settled; // what we said last
};

// The size of a ring for a wish in bytes: a power of two, at least SPOOL_BYTES_MIN.
size_t spool_size(size_t bytes);
// Memory that a ring with `size` bytes of data takes.
size_t spool_memory_bytes(size_t size);

// Over memory that stays mapped, aligned to a page; zeroed, or as another writer left it. Asserts a size as
// spool_size gives it.
void spool_writer_attach(struct spool_writer *w, void *memory, size_t size);
// Room for a record of up to max_bytes, SPOOL_ALIGN-aligned; NULL while there is none. A second call replaces
// the first.
void *spool_reserve(struct spool_writer *w, size_t max_bytes);
// The first `bytes` of what was reserved are a record; published by spool_publish. Returns its sequence
// number, which spool_next told before.
uint64_t spool_put(struct spool_writer *w, size_t bytes);
uint64_t spool_next(const struct spool_writer *w);
// A record that should have been put was not.
void spool_drop(struct spool_writer *w, unsigned reason);
// Shows the reader all that was put or dropped. True: it sleeps and must be woken, once for each sleep.
bool spool_publish(struct spool_writer *w);
// Bytes that are not free, of w->size; by what the reader said last (spool_told refreshes it).
size_t spool_used(const struct spool_writer *w);
// What the reader said last.
struct spool_settled spool_told(struct spool_writer *w);
// The writer waits for the reader to settle something: it is to be told (spool_must_tell), until it says no.
void spool_await(struct spool_writer *w, bool yes);

// Likewise. ERR_INVALID when the memory is not as a writer makes it: read on after spool_skip.
int spool_reader_attach(struct spool_reader *r, void *memory, size_t size, struct err *e) ERR_CHECKED;
// Copies the next record to `to` (max_bytes): 1 with its bytes and sequence number, 0 none, ERR_INVALID when
// what is there is none, or longer than max_bytes.
int spool_take(struct spool_reader *r, void *to, size_t max_bytes, size_t *ret_bytes, uint64_t *ret_sequence,
               struct err *e) ERR_CHECKED;
// Goes on behind all that is written now, whatever it is: what was not settled counts as dropped.
void spool_skip(struct spool_reader *r);
// All that was read has been done with: n_committed of it are kept, up to this sequence number; the others,
// n_dropped, are not.
void spool_settle(struct spool_reader *r, uint64_t n_committed, uint64_t sequence, uint64_t n_dropped);
// Reads again what was read since the last spool_settle.
void spool_back(struct spool_reader *r);
// The reader sleeps only if this returns true: nothing was published meanwhile. Awake, it says so.
bool spool_sleep(struct spool_reader *r);
void spool_wake(struct spool_reader *r);
// Whether the writer waits for what was settled; true once for each wait.
bool spool_must_tell(struct spool_reader *r);
bool spool_is_awaited(const struct spool_reader *r); // whether it waits now

// Both sides' numbers out of a copy of the first SPOOL_HEAD_BYTES of the memory.
void spool_numbers(const void *head, struct spool_written *ret_written, struct spool_settled *ret_settled);
