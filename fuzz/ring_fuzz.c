// SPDX-License-Identifier: Apache-2.0
// A reader of a ring over memory that a hostile writer fills: whatever it says, no message lies outside of
// the memory, and the reader ends. The input is the head's first words, where the reader is, and the memory.
#include "fuzz.h"

#include "os/ring.h"

#include <string.h>

enum { SIZE = RING_BYTES_MIN, TAKES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char *memory; // of exactly the ring's size, so that a sanitizer sees what lies outside
    uint64_t at = 0, note[RING_NOTE_MAX];
    if (!memory)
        memory = aligned_alloc(RING_HEAD_BYTES, ring_memory_bytes(SIZE));
    memset(memory, 0, ring_memory_bytes(SIZE));
    struct ring_reader r;
    ring_reader_init(&r, memory, SIZE);
    if (n >= sizeof at) {
        memcpy(&at, data, sizeof at);
        r.at = at & ~(uint64_t)(RING_ALIGN - 1); // ours, always aligned
        data += sizeof at;
        n -= sizeof at;
    }
    // First the head, then messages from where the reader is on.
    size_t head = n < 256 ? n : 256, offset = (size_t)(r.at & (SIZE - 1));
    memcpy(memory, data, head);
    for (size_t i = head; i < n; i++)
        memory[RING_HEAD_BYTES + (offset + i - head) % SIZE] = (char)data[i];
    struct err e;
    const void *p;
    size_t bytes, n_taken = 0;
    while (n_taken++ < TAKES && ring_take(&r, &p, &bytes, &e) == 1) {
        const char *from = p;
        EXPECT(from >= memory + RING_HEAD_BYTES && bytes <= SIZE);
        EXPECT(from + bytes <= memory + ring_memory_bytes(SIZE));
    }
    EXPECT(n_taken < TAKES); // at most one message for each RING_ALIGN bytes, twice around
    EXPECT(ring_noted(&r, note) <= RING_NOTE_MAX);
    struct ring_writer w = {.at = 4096, .freed = 1024, .size = SIZE};
    uint64_t read = ring_told_read(&r, &w);
    EXPECT(read >= w.freed && read <= w.at);
    return 0;
}
