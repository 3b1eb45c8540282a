// SPDX-License-Identifier: Apache-2.0
// Either side of a spool over memory that the other one, who is hostile, filled: nothing outside of it is
// read or written, and the reader ends. The input is the head's words and the memory from where the reader is
// on.
#include "fuzz.h"

#include "os/spool.h"

#include <string.h>

enum {
    SIZE = SPOOL_BYTES_MIN,
    TAKES = 8 * SIZE / SPOOL_ALIGN,
    RECORD_MAX = 4096,
    PUTS = 64,
    WORDS_BYTES = 512
};

// What is put there may be changed at once by who is hostile; what is said must lie within the memory.
static void write_some(char *memory, const uint8_t *data, size_t n)
{
    struct spool_writer w;
    spool_writer_attach(&w, memory, SIZE);
    for (size_t i = 0; i < PUTS; i++) {
        size_t want = i < n ? (size_t)data[i] * 64 : 40;
        char *p = spool_reserve(&w, want);
        if (!p) {
            spool_drop(&w, 0);
            continue;
        }
        EXPECT(p >= memory + SPOOL_HEAD_BYTES && p + want <= memory + spool_memory_bytes(SIZE));
        memset(p, 1, want);
        uint64_t next = spool_next(&w);
        EXPECT(spool_put(&w, want) == next);
        (void)spool_publish(&w);
    }
    EXPECT(spool_used(&w) <= SIZE);
    (void)spool_told(&w);
}

static void read_all(char *memory)
{
    static char record[RECORD_MAX];
    struct spool_reader r;
    struct err e;
    size_t bytes, n = 0;
    uint64_t sequence = 0;
    if (spool_reader_attach(&r, memory, SIZE, &e))
        spool_skip(&r);
    for (int rounds = 0; rounds < 3; rounds++) {
        int rc = 1;
        while (n++ < TAKES && (rc = spool_take(&r, record, sizeof record, &bytes, &sequence, &e)) > 0)
            EXPECT(bytes <= sizeof record);
        EXPECT(n < TAKES);
        if (rounds == 0)
            spool_back(&r);
        else if (rc < 0)
            spool_skip(&r);
        spool_settle(&r, 1, sequence, 0);
        (void)spool_sleep(&r);
        spool_wake(&r);
        (void)spool_must_tell(&r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char *memory; // of exactly the spool's size, so that a sanitizer sees what lies outside
    uint64_t at = 0;
    if (!memory)
        memory = aligned_alloc(SPOOL_HEAD_BYTES, spool_memory_bytes(SIZE));
    memset(memory, 0, spool_memory_bytes(SIZE));
    if (n >= sizeof at) {
        memcpy(&at, data, sizeof at);
        data += sizeof at;
        n -= sizeof at;
    }
    size_t head = n < WORDS_BYTES ? n : WORDS_BYTES;
    memcpy(memory, data, head);
    for (size_t i = head; i < n; i++)
        memory[SPOOL_HEAD_BYTES + (at + i - head) % SIZE] = (char)data[i];
    if (at & 1 << 20)
        write_some(memory, data, n);
    read_all(memory);
    if (!(at & 1 << 20))
        write_some(memory, data, n);
    return 0;
}
