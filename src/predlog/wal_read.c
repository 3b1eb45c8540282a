// SPDX-License-Identifier: Apache-2.0
// A window of the file moves over it, as large as the largest record met. Where a record is not whole, the
// next good one is looked for at each multiple of eight: its length, sizes and checksum must agree. Where the
// disk gives no more of the file, the rest of it is damage.
#include "predlog/wal_read.h"

#include "base/crc32c.h"
#include "os/file.h"
#include "predlog/wal.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW_BYTES = 1 << 20 };

struct wal_reader {
    int fd;
    bool at_end;        // the window reaches the end of the file
    uint64_t first_seq; // of its name
    uint64_t end_seq;   // what begins here stands in the next file; 0: there is none yet
    char *window;
    size_t cap, n, at; // bytes, of which read, of which taken
    uint64_t offset;   // of the window in the file
    uint64_t next_seq; // expected; 0 before the first record
    uint64_t wall_ns;  // of the last record
    bool torn;         // and that was told
    bool is_unread;    // the disk did not give what is behind the window
    uint64_t unread;   // bytes of that, as far as the file's size tells
    bool gap_pending;  // `found` stands behind a gap that was just told
    struct record found;
};

int wal_read_open(int fd, uint64_t first_seq, uint64_t end_seq, struct wal_reader **ret, struct err *e)
{
    char head[WAL_HEAD_BYTES];
    size_t n;
    int rc = file_read_at(fd, head, sizeof head, 0, &n, e);
    if (rc && rc != ERR_IO)
        return rc;
    struct wal_reader *r = calloc(1, sizeof *r);
    char *window = aligned_alloc(8, WINDOW_BYTES);
    if (!r || !window) {
        free(r);
        free(window);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    // Of a head that is damaged or torn only the time is missed.
    uint64_t wall_ns = 0;
    uint32_t crc = 0;
    memcpy(&crc, head + WAL_HEAD_BYTES - 8, sizeof crc);
    if (n == sizeof head && crc == crc32c(0, head, WAL_HEAD_BYTES - 8))
        memcpy(&wall_ns, head + 16, sizeof wall_ns);
    *r = (struct wal_reader){.fd = fd,
                             .first_seq = first_seq,
                             .end_seq = end_seq,
                             .window = window,
                             .cap = WINDOW_BYTES,
                             .wall_ns = wall_ns,
                             .offset = WAL_HEAD_BYTES};
    *ret = r;
    return 0;
}

void wal_read_close(struct wal_reader *r)
{
    if (r)
        free(r->window);
    free(r);
}

static void leave_rest(struct wal_reader *r)
{
    uint64_t size, end = r->offset + r->n;
    struct err ignored;
    r->is_unread = r->at_end = true;
    if (file_size(r->fd, &size, &ignored) == 0 && size > end)
        r->unread = size - end;
}

// Makes the window hold at least `need` bytes from where the reader is, or all that there are.
static int fill(struct wal_reader *r, size_t need, struct err *e)
{
    if (r->n - r->at >= need || r->at_end)
        return 0;
    memmove(r->window, r->window + r->at, r->n - r->at);
    r->offset += r->at;
    r->n -= r->at;
    r->at = 0;
    if (need > r->cap) {
        char *grown = aligned_alloc(8, (need + 7) & ~(size_t)7);
        if (!grown)
            return err_set(e, ERR_NOMEM, "out of memory for a record of %zu bytes", need);
        memcpy(grown, r->window, r->n);
        free(r->window);
        r->window = grown;
        r->cap = (need + 7) & ~(size_t)7;
    }
    size_t got, room = r->cap - r->n;
    int rc = file_read_at(r->fd, r->window + r->n, room, r->offset + r->n, &got, e);
    if (rc && rc != ERR_IO)
        return rc;
    r->at_end = got < room;
    r->n += got;
    if (rc)
        leave_rest(r);
    return 0;
}

// The record at the reader's place: 1, 0 none, negative: an error of the disk.
static int record_here(struct wal_reader *r, struct record *ret, struct err *e)
{
    uint32_t bytes;
    int rc = fill(r, RECORD_HEAD_BYTES, e);
    if (rc || r->n - r->at < RECORD_HEAD_BYTES)
        return rc;
    memcpy(&bytes, r->window + r->at, sizeof bytes);
    if (bytes > RECORD_BYTES_MAX || !record_is_likely(r->window + r->at))
        return 0;
    rc = fill(r, bytes, e);
    return rc ? rc : record_read(r->window + r->at, r->n - r->at, ret, NULL) == 0;
}

// Looks for the next record behind bytes that are none. *ret_lost: bytes passed over.
static int search(struct wal_reader *r, struct record *ret, uint64_t *ret_lost, struct err *e)
{
    uint64_t from = r->offset + r->at;
    int found = 0;
    while (!found) {
        size_t step = r->n - r->at < 8 ? r->n - r->at : 8;
        if (step == 0)
            break;
        r->at += step;
        found = record_here(r, ret, e);
    }
    *ret_lost = r->offset + r->at - from;
    return found;
}

static void take(struct wal_reader *r, const struct record *record)
{
    r->at += record->bytes.n;
    if (record->head.kind == RECORD_SCHEMA)
        return;
    r->next_seq = record->head.log_seq + 1;
    r->wall_ns = record->head.wall_ns;
}

// What stands between the last record and the next, or the end of the file.
static void tell_gap(struct wal_reader *r, bool at_end, uint64_t bytes, struct record *ret)
{
    bool torn = at_end && !r->is_unread;
    uint64_t known_end = r->end_seq == WAL_END_UNKNOWN ? 0 : r->end_seq;
    uint64_t next = at_end ? known_end : r->found.head.kind == RECORD_SCHEMA ? 0 : r->found.head.log_seq;
    uint64_t expected = r->next_seq ? r->next_seq : r->first_seq;
    struct record_gap gap = {.reason = torn ? RECORD_GAP_TORN : RECORD_GAP_DAMAGED, .bytes = bytes};
    if (expected && next > expected) {
        gap.first_seq = expected;
        gap.last_seq = next - 1;
        gap.n_records = torn ? 0 : next - expected;
    }
    *ret = (struct record){.head = {.kind = RECORD_GAP,
                                    .sample_weight = 1,
                                    .log_seq = expected,
                                    .wall_ns = r->wall_ns ? r->wall_ns : r->found.head.wall_ns},
                           .gap = gap};
}

int wal_read_next(struct wal_reader *r, enum wal_item *ret_item, struct record *ret, struct err *e)
{
    uint64_t lost = 0;
    *ret_item = WAL_RECORD;
    if (r->gap_pending) {
        r->gap_pending = false;
        *ret = r->found;
        take(r, ret);
        return 0;
    }
    int found = record_here(r, &r->found, e);
    if (found == 0)
        found = search(r, &r->found, &lost, e);
    if (found < 0)
        return found;
    const struct record_head *h = &r->found.head;
    if (found && r->end_seq && h->log_seq >= r->end_seq)
        found = 0; // a batch whose sync failed: it stands in the next file
    if (found && lost == 0) {
        // Numbers that do not follow one another: something is missing between two good ones.
        if (h->kind == RECORD_SCHEMA || r->next_seq == 0 || h->log_seq == r->next_seq) {
            *ret = r->found;
            take(r, ret);
            return 0;
        }
    }
    bool whole = r->next_seq == 0 || r->end_seq == WAL_END_UNKNOWN;
    bool ends_well = !r->is_unread && (r->end_seq == 0 || (lost == 0 && whole));
    if (!found && (r->torn || ends_well || (r->end_seq && r->next_seq == r->end_seq))) {
        *ret_item = WAL_END;
        return 0;
    }
    *ret_item = WAL_GAP;
    r->gap_pending = found;
    r->torn = !found;
    tell_gap(r, !found, found ? lost : lost + r->unread, ret);
    return 0;
}
