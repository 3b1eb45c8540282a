// SPDX-License-Identifier: Apache-2.0
// Files of a version: what may be one, digests, and the manifest's list.
#include "cli/artifacts.h"

#include "tempdir.h"
#include "unit.h"

#include <string.h>
#include <sys/stat.h>

static struct artifacts a;
static struct err e;

static void add(const char *role, const char *name, const char *content)
{
    int fd;
    ck_assert_int_eq(artifacts_temporary("a test", &fd, &e), 0);
    ck_assert_int_eq(write(fd, content, strlen(content)), strlen(content));
    ck_assert_int_eq(artifacts_add_fd(&a, role, name, fd, name, &e), 0);
}

START_TEST(files_are_hashed_and_listed)
{
    struct buf out;
    buf_init(&out, 4096);
    add("model", "model.json", "abc");
    add("data", "weights/a.bin", "x");
    ck_assert_int_eq(artifacts_hash(&a, &e), 0);
    artifacts_put_json(&a, &out);
    buf_putc(&out, '\0');
    ck_assert_str_eq(
        out.p, "[{\"name\":\"model.json\",\"digest\":"
               "\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":3},"
               "{\"name\":\"weights/a.bin\",\"role\":\"data\",\"digest\":"
               "\"sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\",\"size\":1}]");
    ck_assert_ptr_eq(artifacts_find_name(&a, "weights/a.bin"), &a.items[1]);
    ck_assert_ptr_eq(artifacts_find_role(&a, "golden"), NULL);
    buf_done(&out);
    artifacts_done(&a);
}
END_TEST

START_TEST(a_name_or_role_is_taken_once)
{
    int fd;
    add("model", "m", "abc");
    add("data", "d", "abc");
    ck_assert_int_eq(artifacts_temporary("a test", &fd, &e), 0);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    ck_assert_int_eq(artifacts_add_fd(&a, "data", "d", dup(fd), "d", &e), ERR_INVALID);
    ck_assert_str_eq(e.msg, "two files of the version would be called 'd'");
    ck_assert_int_eq(artifacts_add_fd(&a, "model", "n", dup(fd), "n", &e), ERR_INVALID);
    ck_assert_str_eq(e.msg, "a version has one file as its model, and 'n' would be a second one");
    ck_assert_int_eq(artifacts_add_fd(&a, "data", "n", fd, "n", &e), 0);
    artifacts_done(&a);
}
END_TEST

START_TEST(folders_pipes_and_empty_files_are_refused)
{
    int fd;
    char dir[TEMPDIR_SIZE];
    char path[TEMPDIR_SIZE + 8];
    tempdir_new(dir);
    ck_assert_int_eq(artifacts_add_path(&a, "model", NULL, dir, &e), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(e.msg, "is not a file"));
    snprintf(path, sizeof path, "%s/pipe", dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(artifacts_add_path(&a, "model", NULL, path, &e), ERR_INVALID);
    ck_assert_int_eq(artifacts_temporary("a test", &fd, &e), 0);
    ck_assert_int_eq(artifacts_add_fd(&a, "model", "m", fd, "m.json", &e), ERR_INVALID);
    ck_assert_str_eq(e.msg, "m.json is empty");
    ck_assert_int_eq(artifacts_add_path(&a, "model", NULL, "/nowhere/at/all", &e), ERR_IO);
    ck_assert_uint_eq(a.n, 0);
    artifacts_done(&a);
    tempdir_remove(dir);
}
END_TEST

START_TEST(a_model_gets_a_name_that_the_server_takes)
{
    static const char *const NAMES[][2] = {
        {"model.json", "model.json"},
        {"/a/b/churn 2 (final).json", "churn_2__final_.json"},
        {"./.hidden-1.ubj", "hidden-1.ubj"},
        {"modèle.txt", "mod__le.txt"},
        {"a/...", "model"},
    };
    char got[ARTIFACT_NAME_SIZE], path[400];
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        artifacts_name_of(NAMES[i][0], got);
        ck_assert_str_eq(got, NAMES[i][1]);
    }
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    artifacts_name_of(path, got);
    ck_assert_uint_eq(strlen(got), 200);
}
END_TEST

UNIT_MAIN("cli/artifacts", a_model_gets_a_name_that_the_server_takes, files_are_hashed_and_listed,
          a_name_or_role_is_taken_once, folders_pipes_and_empty_files_are_refused)
