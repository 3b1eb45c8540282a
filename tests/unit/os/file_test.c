// SPDX-License-Identifier: Apache-2.0
// Files under their names, on a disk that fails as told.
#include "os/file.h"

#include "../../faults/io_shim.h"
#include "tempdir.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static char dir[TEMPDIR_SIZE];
static int dir_fd;
static struct io_plan plan;

static void put(const char *name, const char *text)
{
    struct err e;
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(file_write_all(fd, text, strlen(text), &e), 0);
    close(fd);
}

// "" where there is none.
static const char *text_of(const char *name)
{
    static char text[16];
    struct err e;
    size_t n = 0;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ck_assert_int_eq(file_read_at(fd, text, sizeof text - 1, 0, &n, &e), 0);
        close(fd);
    }
    text[n] = '\0';
    return text;
}

static void set_up(uint32_t failing)
{
    tempdir_new(dir);
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    put("new", "new");
    plan = (struct io_plan){.action = IO_ACTION_FAIL,
                            .kinds = failing,
                            .files = UINT32_MAX & ~(uint32_t)IO_FILE_SOCKET,
                            .error = EIO,
                            .at = 1};
    plan.is_armed = 1;
    io_shim_attach(&plan, dir, -1);
}

static void tear_down(void)
{
    io_shim_detach();
    close(dir_fd);
    tempdir_remove(dir);
}

START_TEST(a_replaced_file_is_the_old_or_the_new_one_whatever_fails)
{
    struct err e;
    set_up(IO_KIND_NAME);
    plan.is_armed = 0;
    put("file", "old");
    plan.is_armed = 1;
    ck_assert_int_eq(file_replace(dir_fd, "new", dir_fd, "file", &e), ERR_IO);
    ck_assert_str_eq(text_of("file"), "old");
    plan.kinds = IO_KIND_SYNC;
    plan.count = 0;
    ck_assert_int_eq(file_replace(dir_fd, "new", dir_fd, "file", &e), ERR_IO);
    ck_assert_str_eq(text_of("file"), "new");
    put("new", "newer");
    ck_assert_int_eq(file_replace(dir_fd, "new", dir_fd, "file", &e), 0);
    ck_assert_str_eq(text_of("file"), "newer");
    tear_down();
}
END_TEST

START_TEST(a_new_name_that_may_vanish_is_not_left)
{
    struct err e;
    set_up(IO_KIND_SYNC);
    ck_assert_int_eq(file_publish(dir_fd, "new", dir_fd, "file", &e), ERR_IO);
    ck_assert_str_eq(text_of("file"), "");
    put("new", "new");
    ck_assert_int_eq(file_publish(dir_fd, "new", dir_fd, "file", &e), 0);
    ck_assert_str_eq(text_of("file"), "new");
    tear_down();
}
END_TEST

UNIT_MAIN("os/file", a_replaced_file_is_the_old_or_the_new_one_whatever_fails,
          a_new_name_that_may_vanish_is_not_left)
