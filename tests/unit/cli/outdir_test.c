// SPDX-License-Identifier: Apache-2.0
// Directories read and written: nothing outside of them, nothing overwritten, nothing left behind.
#include "cli/folder.h"
#include "cli/outdir.h"

#include "tempdir.h"
#include "unit.h"

#include <string.h>
#include <sys/stat.h>

static struct err e;
static char dir[TEMPDIR_SIZE], path[TEMPDIR_SIZE + 32];

static const char *in(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

START_TEST(a_failed_export_leaves_nothing)
{
    struct outdir o;
    int fd;
    tempdir_new(dir);
    ck_assert_int_eq(outdir_open(&o, in("out"), false, &e), 0);
    ck_assert_int_eq(outdir_write(&o, "a/b/c", STR("x"), &e), 0);
    ck_assert_int_eq(outdir_create(&o, "half", &fd, &e), 0);
    close(fd);
    outdir_close(&o, false);
    ck_assert_int_ne(access(in("out"), F_OK), 0);

    ck_assert_int_eq(mkdir(in("mine"), 0700), 0);
    ck_assert_int_eq(outdir_open(&o, in("mine"), false, &e), 0);
    ck_assert_int_eq(outdir_write(&o, "a", STR("x"), &e), 0);
    outdir_close(&o, false);
    ck_assert_int_eq(rmdir(in("mine")), 0); // is there, and empty
    tempdir_remove(dir);
}
END_TEST

START_TEST(what_is_there_stays_unless_asked)
{
    struct outdir o;
    struct folder_local f;
    struct buf b;
    tempdir_new(dir);
    ck_assert_int_eq(outdir_open(&o, in("out"), false, &e), 0);
    ck_assert_int_eq(outdir_write(&o, "a", STR("old"), &e), 0);
    outdir_close(&o, true);
    ck_assert_int_eq(outdir_open(&o, in("out"), false, &e), ERR_CONFLICT);
    outdir_close(&o, false);
    ck_assert_int_eq(outdir_open(&o, in("out"), true, &e), 0);
    ck_assert_int_eq(outdir_write(&o, "a", STR("new"), &e), 0);
    outdir_close(&o, false); // what was replaced is not removed
    ck_assert_int_eq(folder_local_open(&f, in("out"), &e), 0);
    buf_init(&b, 100);
    ck_assert_int_eq(folder_read(&f.folder, "a", 10, &b, &e), 0);
    ck_assert(str_eq(buf_str(&b), STR("new")));
    ck_assert_int_eq(folder_read(&f.folder, "a", 2, &b, &e), ERR_TOO_LARGE);
    ck_assert_int_eq(folder_read(&f.folder, "nothing", 2, &b, &e), ERR_NOT_FOUND);
    buf_done(&b);
    folder_local_close(&f);
    tempdir_remove(dir);
}
END_TEST

START_TEST(no_way_leads_out)
{
    struct outdir o;
    struct folder_local f;
    int fd;
    static const char *const OUT[] = {"../x", "/x", "a/../../x", "..", "a/./b", "a//b", "x/", ""};
    tempdir_new(dir);
    ck_assert_int_eq(outdir_open(&o, in("out"), false, &e), 0);
    ck_assert_int_eq(folder_local_open(&f, path, &e), 0);
    for (size_t i = 0; i < sizeof OUT / sizeof OUT[0]; i++) {
        ck_assert_int_eq(outdir_create(&o, OUT[i], &fd, &e), ERR_REFUSED);
        ck_assert_int_eq(f.folder.ops->open(&f.folder, OUT[i], &fd, &e), ERR_REFUSED);
    }
    ck_assert_int_eq(mkdir(in("beside"), 0700), 0);
    ck_assert_int_eq(symlinkat("../beside", o.fd, "link"), 0);
    ck_assert_int_lt(outdir_create(&o, "link/escape", &fd, &e), 0);
    ck_assert_int_eq(rmdir(in("beside")), 0); // is empty
    ck_assert_int_eq(unlinkat(o.fd, "link", 0), 0);
    ck_assert_int_eq(symlinkat("/etc/hostname", o.fd, "host"), 0);
    ck_assert_int_eq(f.folder.ops->open(&f.folder, "host", &fd, &e), ERR_REFUSED);
    ck_assert_int_eq(symlinkat("inner", o.fd, "link"), 0);
    ck_assert_int_eq(outdir_write(&o, "inner", STR("x"), &e), 0);
    ck_assert_int_eq(f.folder.ops->open(&f.folder, "link", &fd, &e), 0); // a link that stays inside is fine
    close(fd);
    folder_local_close(&f);
    outdir_close(&o, true);
    tempdir_remove(dir);
}
END_TEST

UNIT_MAIN("cli/outdir", a_failed_export_leaves_nothing, what_is_there_stays_unless_asked, no_way_leads_out)
