// SPDX-License-Identifier: Apache-2.0
// A stream of messages from one process to one other through shared memory. One side writes messages in
// place and commits them, the other reads them in place; neither calls the kernel. The writer's mapping is
// the only writable one, so a message cannot change by the reader's hand; the reader trusts no number that it
// finds in the memory.
//
//   memory:  struct ring_head (one page) | size bytes, a power of two
//   message: RING_ALIGN bytes that begin with u64 bytes | payload, padded to RING_ALIGN; never wraps: a mark
//            in place of a message sends the reader to the start
//
// Positions count bytes since the beginning, modulo 2^64: only their differences mean something, as every
// restart at the start skips the rest of the ring.
//
// Two rings, one each way, make a link; the head of each also carries what its writer has to say: how far it
// has read the other ring, whether it sleeps, whether it waits for room, and a note.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_ALIGN = 64, RING_HEAD_BYTES = 4096, RING_BYTES_MIN = 1 << 16, RING_NOTE_MAX = 256 };

struct ring_head; // written by the ring's writer only

struct ring_writer {
    struct ring_head *head;
    char *data;
    size_t size;
    uint64_t at;          // where the next message begins
    uint64_t freed;       // up to here may be written over: what the writer itself gave back by ring_free_to
    uint64_t reserved_at; // where the message being written begins: at, or the next start
    size_t reserved;      // its bytes, with its prefix; 0 none
    size_t high_water;    // bytes from the start that were ever touched since ring_trim
};

struct ring_reader {
    const struct ring_head *head;
    const char *data;
    size_t size;
    uint64_t at;    // up to here it was read
    uint32_t woken; // the sleep of the other side from which it was woken last
};

// Memory that a ring with `size` bytes of data takes.
size_t ring_memory_bytes(size_t size);
// Over zeroed memory that stays mapped, aligned to a page. Asserts that size is a power of two of at least
// RING_BYTES_MIN.
void ring_writer_init(struct ring_writer *w, void *memory, size_t size);
void ring_reader_init(struct ring_reader *r, const void *memory, size_t size);

// Room for a message of up to max_bytes, RING_ALIGN-aligned; NULL while there is none (free some, or the
// message is larger than the ring). A second call replaces the first. An empty ring begins at its start
// again, so that a light load stays in the cache.
void *ring_reserve(struct ring_writer *w, size_t max_bytes);
size_t ring_room(const struct ring_writer *w); // the largest max_bytes that ring_reserve would grant now
// Publishes the first `bytes` of what was reserved. Returns the position behind it: ring_free_to(w, that)
// gives back this message and all before it.
uint64_t ring_commit(struct ring_writer *w, size_t bytes);
// A position that was given back before is fine and changes nothing.
void ring_free_to(struct ring_writer *w, uint64_t position);
// Gives pages back to the system when the ring is empty and was large; call it when idle. Has no effect on
// memory with SHM_SEAL_WRITERS: the kernel lets nobody free that.
void ring_trim(struct ring_writer *w);

// The next message: 1 with *ret and *ret_bytes, valid until the writer frees it; 0 none; ERR_INVALID when the
// memory is not a ring's (a hostile or broken writer): stop using it.
int ring_take(struct ring_reader *r, const void **ret, size_t *ret_bytes, struct err *e) ERR_CHECKED;
// How far was read, for ring_free_to of the writer: travels in the head of the ring that goes the other way.
void ring_tell_read(struct ring_writer *other_way, const struct ring_reader *r);
// What the other side said: position up to which it has read our ring; never beyond what we wrote, never
// before what we freed.
uint64_t ring_told_read(const struct ring_reader *other_way, const struct ring_writer *w);

// Sleeping without losing a wake-up: the reader says that it will sleep, and sleeps only if this returns
// true (no message came meanwhile). Awake, or when this returned false, it takes its word back, then looks
// for messages.
bool ring_sleep(struct ring_writer *other_way, const struct ring_reader *r);
void ring_wake(struct ring_writer *other_way);
// After commits: whether the other side sleeps and must be woken by a system call; true once for each sleep.
bool ring_must_wake(struct ring_reader *other_way);

// The same for a writer that found no room: it says so, and sleeps only if this returns true (the other side
// has read nothing meanwhile); then, or later, it takes its word back.
bool ring_wait_room(struct ring_writer *w, const struct ring_reader *other_way);
void ring_stop_waiting(struct ring_writer *w);
// After ring_tell_read: whether the writer of r waits for room and must be woken by a system call.
bool ring_must_wake_writer(const struct ring_reader *r);

// A few words that the other side may read at any time, also after the writer was killed; the writer replaces
// them all. Asserts n <= RING_NOTE_MAX. The reader gets how many there are, at most RING_NOTE_MAX; while the
// writer lives they may be a mix of two notes.
void ring_note(struct ring_writer *w, const uint64_t *words, size_t n);
size_t ring_noted(const struct ring_reader *r, uint64_t ret[RING_NOTE_MAX]);
