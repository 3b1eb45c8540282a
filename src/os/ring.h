// SPDX-License-Identifier: Apache-2.0
// A stream of messages from one process to one other through shared memory. One side writes messages in
// place and commits them, the other reads them in place; neither calls the kernel. The writer's mapping is
// the only writable one, so a message cannot change by the reader's hand; the reader trusts no number that it
// finds in the memory.
//
//   memory:  struct ring_head (one page) | size bytes, a power of two
//   message: u64 bytes | payload, RING_ALIGN-aligned; never wraps: a mark sends the reader to the start
//
// Two rings, one each way, make a link; the head of each also carries what its writer has to say about the
// other ring: how far it has read, and whether it sleeps.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_ALIGN = 64, RING_HEAD_BYTES = 4096, RING_BYTES_MIN = 1 << 16 };

struct ring_head; // written by the ring's writer only

struct ring_writer {
    struct ring_head *head;
    char *data;
    size_t size;
    uint64_t at;       // bytes committed since the beginning
    uint64_t freed;    // bytes that may be written over: what the writer itself gave back by ring_free_to
    size_t reserved;   // bytes of the message being written, with its prefix
    size_t high_water; // bytes from the start that were ever touched since ring_trim
};

struct ring_reader {
    const struct ring_head *head;
    const char *data;
    size_t size;
    uint64_t at; // bytes taken
};

// Memory that a ring with `size` bytes of data takes.
size_t ring_memory_bytes(size_t size);
// Over zeroed memory that stays mapped. Asserts that size is a power of two of at least RING_BYTES_MIN.
void ring_writer_init(struct ring_writer *w, void *memory, size_t size);
void ring_reader_init(struct ring_reader *r, const void *memory, size_t size);

// Room for a message of up to max_bytes; NULL while there is none (free some, or the message is larger than
// the ring). A second call replaces the first. An empty ring begins at its start again, so that a light load
// stays in the cache.
void *ring_reserve(struct ring_writer *w, size_t max_bytes);
size_t ring_room(const struct ring_writer *w); // the largest max_bytes that ring_reserve would grant now
// Publishes the first `bytes` of what was reserved. Returns the position behind it: ring_free_to(w, that)
// gives back this message and all before it.
uint64_t ring_commit(struct ring_writer *w, size_t bytes);
void ring_free_to(struct ring_writer *w, uint64_t position);
// Gives pages back to the system when the ring is empty and was large; call it when idle.
void ring_trim(struct ring_writer *w);

// The next message: 1 with *ret and *ret_bytes, valid until the writer frees it; 0 none; ERR_INVALID when the
// memory is not a ring's (a hostile or broken writer): stop using it.
int ring_take(struct ring_reader *r, const void **ret, size_t *ret_bytes, struct err *e) ERR_CHECKED;
// How far was read, for ring_free_to of the writer, and the reader's word that it sleeps: both travel in the
// head of the ring that goes the other way.
void ring_tell_read(struct ring_writer *other_way, const struct ring_reader *r);
// What the other side said: position up to which it has read our ring; never beyond what we wrote.
uint64_t ring_told_read(const struct ring_reader *other_way, const struct ring_writer *w);

// Sleeping without losing a wake-up: the reader says that it will sleep, and sleeps only if this returns
// true (no message came meanwhile); awake, it takes its word back.
bool ring_sleep(struct ring_writer *other_way, const struct ring_reader *r);
void ring_wake(struct ring_writer *other_way);
// After a commit: whether the other side sleeps and must be woken by a system call.
bool ring_must_wake(const struct ring_reader *other_way);
