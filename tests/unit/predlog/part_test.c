// SPDX-License-Identifier: Apache-2.0
// One sealed file is read as it was written, whatever its size.
#include "predlog/part.h"

#include "logbook.h"
#include "unit.h"

#include <fcntl.h>
#include <string.h>

enum { LINE_BYTES = 128, BLOCK_BYTES = 128 << 10 }; // what part_read has room for at once

static struct logbook l;

struct sum {
    size_t n, bytes;
};

static int add_up(void *ctx, struct str line, struct err *e)
{
    struct sum *s = ctx;
    (void)e;
    s->n++;
    s->bytes += line.n + 1;
    return 0;
}

// Lines of LINE_BYTES, the last one of what is left.
static struct predlog_entry write_part(size_t bytes, struct part **ret)
{
    struct predlog_entry entry;
    struct err e;
    char line[LINE_BYTES];
    ck_assert_int_eq(part_new(l.log_fd, STR("m"), LOGBOOK_START_NS, 1, ret, &e), 0);
    for (uint64_t seq = 1; bytes; seq++) {
        struct record r = {.head = {.log_seq = seq, .wall_ns = LOGBOOK_START_NS}};
        size_t n = bytes < sizeof line ? bytes : sizeof line;
        memset(line, 'a' + (int)(seq % 7), n);
        line[n - 1] = '\n';
        ck_assert_int_eq(part_add(*ret, &r, (struct str){line, n}, 1, 0, (struct str){0}, &e), 0);
        bytes -= n;
    }
    ck_assert_msg(part_publish(*ret, l.log_fd, &entry, &e) == 0, "%s", e.msg);
    return entry;
}

START_TEST(lines_of_any_size_together_are_read_back)
{
    logbook_init(&l);
    for (size_t blocks = 1; blocks <= 3; blocks++) {
        for (int more = -2; more <= 2; more++) {
            struct part *p;
            struct err e;
            struct sum s = {0};
            size_t bytes = blocks * BLOCK_BYTES + more;
            struct predlog_entry entry = write_part(bytes, &p);
            int fd = openat(l.log_fd, entry.file.p, O_RDONLY | O_CLOEXEC);
            ck_assert_int_ge(fd, 0);
            ck_assert_msg(part_read(fd, add_up, &s, &e) == 0, "%zu bytes: %s", bytes, e.msg);
            ck_assert(s.n == entry.rows && s.bytes == bytes);
            close(fd);
            part_free(p);
        }
    }
    logbook_done(&l);
}
END_TEST

START_TEST(what_is_cut_off_is_missed)
{
    struct part *p;
    struct err e;
    struct sum s = {0};
    logbook_init(&l);
    struct predlog_entry entry = write_part(BLOCK_BYTES, &p);
    int fd = openat(l.log_fd, entry.file.p, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, (off_t)entry.bytes - 1), 0);
    ck_assert_int_eq(part_read(fd, add_up, &s, &e), ERR_DIGEST);
    close(fd);
    part_free(p);
    logbook_done(&l);
}
END_TEST

UNIT_MAIN("predlog/part", lines_of_any_size_together_are_read_back, what_is_cut_off_is_missed)
