// SPDX-License-Identifier: Apache-2.0
// Any file is read to its end as records and gaps that lie in it one behind the other. Records in the input
// have their checksums made right: its first byte says how many bytes at its start those of a file are.
#include "fuzz.h"

#include "base/crc32c.h"
#include "predlog/wal_read.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ITEMS_MAX = 100000 };

static void mend(char *p, size_t n)
{
    uint32_t bytes;
    for (size_t at = 32; at + RECORD_HEAD_BYTES <= n; at += 8) {
        memcpy(&bytes, p + at, sizeof bytes);
        if (!record_is_likely(p + at) || bytes > n - at)
            continue;
        uint32_t crc = crc32c(0, p + at + 8, bytes - 8);
        memcpy(p + at + 4, &crc, sizeof crc);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static int fd = -1;
    static char copy[1 << 20];
    struct wal_reader *r;
    struct record record;
    enum wal_item item;
    struct err e;
    size_t n_items = 0;
    uint64_t last = 0, end = n % 3 == 0 ? 0 : n % 3 == 1 ? WAL_END_UNKNOWN : 40;
    if (n > sizeof copy)
        return 0;
    if (fd < 0)
        fd = memfd_create("wal", MFD_CLOEXEC);
    memcpy(copy, data, n);
    mend(copy, n);
    EXPECT(ftruncate(fd, 0) == 0 && pwrite(fd, copy, n, 0) == (ssize_t)n);
    EXPECT(wal_read_open(fd, 1, end, &r, &e) == 0);
    while (wal_read_next(r, &item, &record, &e) == 0 && item != WAL_END) {
        EXPECT(n_items++ < ITEMS_MAX);
        if (item == WAL_GAP || record.head.kind == RECORD_SCHEMA)
            continue;
        EXPECT(record.bytes.n <= n);
        EXPECT(end == 0 || end == WAL_END_UNKNOWN || record.head.log_seq < end);
        last = record.head.log_seq;
    }
    (void)last;
    wal_read_close(r);
    return 0;
}
