// SPDX-License-Identifier: Apache-2.0
// Blobs: stored once, under the digest of their bytes, wholly or not at all; damage is found.
#include "registry/registry.h"

#include "tempdir.h"
#include "unit.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

static char dir[TEMPDIR_SIZE];
static struct blobs *blobs;
static struct err e;
// SHA-256 of "abc", from FIPS 180-2, appendix B.1.
static const struct str ABC = STR("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

static void start(void)
{
    tempdir_new(dir);
    ck_assert_int_eq(blobs_dir_open(dir, false, &blobs, &e), 0);
}

static void stop(void)
{
    blobs->ops->close(blobs);
    tempdir_remove(dir);
}

static struct registry_digest abc(void)
{
    struct registry_digest d;
    ck_assert(registry_digest_parse(ABC, &d));
    return d;
}

static int put(const char *text, uint64_t max, const struct registry_digest *want, bool *ret_stored)
{
    struct blob_writer *w;
    ck_assert_int_eq(blobs->ops->writer_open(blobs, max, &w, &e), 0);
    for (size_t i = 0; i < strlen(text); i++) {
        int rc = blobs->ops->write(w, text + i, 1, &e);
        if (rc) {
            blobs->ops->abort(w);
            return rc;
        }
    }
    struct registry_digest d;
    struct blob_parts parts;
    blobs->ops->parts(blobs, w, &parts);
    ck_assert_int_eq(registry_digest_file(parts.file_fd, &d, &e), 0);
    ck_assert_uint_eq(blobs->ops->size(w), strlen(text));
    int rc = blob_store(&parts, want ? want : &d, ret_stored, &e);
    blobs->ops->abort(w);
    return rc;
}

static unsigned count_files(const char *below)
{
    char path[TEMPDIR_SIZE + 64];
    snprintf(path, sizeof path, "%s/%s", dir, below);
    DIR *d = opendir(path);
    unsigned n = 0;
    for (struct dirent *entry; d && (entry = readdir(d));)
        n += entry->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

START_TEST(the_same_bytes_are_stored_once)
{
    start();
    struct registry_digest want = abc();
    bool stored;
    ck_assert_int_eq(put("abc", 3, &want, &stored), 0);
    ck_assert(stored);
    struct stat first, second;
    char path[TEMPDIR_SIZE + 128];
    snprintf(path, sizeof path, "%s/blobs/sha256/ba/%s", dir, ABC.p + 7);
    ck_assert_int_eq(stat(path, &first), 0);
    ck_assert_int_eq(put("abc", 3, NULL, &stored), 0);
    ck_assert(!stored);
    ck_assert_int_eq(stat(path, &second), 0);
    ck_assert_uint_eq(first.st_ino, second.st_ino);
    ck_assert_uint_eq(first.st_mode & 0222, 0); // nobody writes to it
    ck_assert_uint_eq(count_files("blobs/sha256/ba"), 1);
    ck_assert_uint_eq(count_files("blobs/tmp"), 0);
    stop();
}
END_TEST

START_TEST(other_bytes_than_announced_leave_nothing)
{
    start();
    struct registry_digest want = abc();
    bool stored;
    uint64_t size;
    ck_assert_int_eq(put("abd", 3, &want, &stored), ERR_DIGEST);
    ck_assert_ptr_nonnull(strstr(e.msg, ABC.p));
    ck_assert_int_eq(blobs->ops->find(blobs, &want, &size, &e), ERR_NOT_FOUND);
    ck_assert_uint_eq(count_files("blobs/tmp") + count_files("blobs/sha256"), 0);
    stop();
}
END_TEST

START_TEST(a_blob_over_the_limit_is_refused)
{
    start();
    bool stored;
    ck_assert_int_eq(put("abcd", 3, NULL, &stored), ERR_TOO_LARGE);
    ck_assert_int_eq(put("abc", 3, NULL, &stored), 0);
    ck_assert_uint_eq(count_files("blobs/tmp"), 0);
    stop();
}
END_TEST

START_TEST(a_half_written_blob_is_gone_after_reopening)
{
    start();
    struct blob_writer *w;
    ck_assert_int_eq(blobs->ops->writer_open(blobs, 100, &w, &e), 0);
    ck_assert_int_eq(blobs->ops->write(w, "abc", 3, &e), 0);
    ck_assert_uint_eq(count_files("blobs/tmp"), 1);
    struct blobs *second;
    ck_assert_int_eq(blobs_dir_open(dir, true, &second, &e), 0); // a reader leaves it alone
    ck_assert_uint_eq(count_files("blobs/tmp"), 1);
    struct blob_writer *none;
    ck_assert_int_eq(second->ops->writer_open(second, 100, &none, &e), ERR_REFUSED);
    second->ops->close(second);
    ck_assert_int_eq(blobs_dir_open(dir, false, &second, &e), 0); // the writer died: its successor cleans up
    ck_assert_uint_eq(count_files("blobs/tmp"), 0);
    second->ops->close(second);
    blobs->ops->abort(w);
    stop();
}
END_TEST

// Opens the blob and compares its bytes with `text`.
static int open_as(const struct registry_digest *d, const char *text)
{
    int fd;
    char bytes[64] = "";
    ck_assert_int_eq(blobs->ops->open(blobs, d, &fd, &e), 0);
    ck_assert_int_eq(read(fd, bytes, sizeof bytes - 1), (ssize_t)strlen(text));
    ck_assert_str_eq(bytes, text);
    return fd;
}

static void damage(void)
{
    char path[TEMPDIR_SIZE + 128];
    snprintf(path, sizeof path, "%s/blobs/sha256/ba/%s", dir, ABC.p + 7);
    ck_assert_int_eq(chmod(path, 0600), 0);
    FILE *f = fopen(path, "w");
    fputs("abb", f);
    fclose(f);
}

START_TEST(a_damaged_blob_is_set_aside_and_can_be_stored_again)
{
    start();
    struct registry_digest d = abc();
    bool stored;
    int fd;
    ck_assert_int_eq(put("abc", 3, &d, &stored), 0);
    close(open_as(&d, "abc"));
    damage();
    int bad = open_as(&d, "abb");
    ck_assert_int_eq(blobs->ops->set_aside(blobs, &d, bad, &e), ERR_DIGEST);
    ck_assert_int_eq(blobs->ops->open(blobs, &d, &fd, &e), ERR_NOT_FOUND);
    ck_assert_int_eq(put("abc", 3, &d, &stored), 0);
    ck_assert(stored);
    ck_assert_int_eq(blobs->ops->set_aside(blobs, &d, bad, &e), ERR_DIGEST); // another found it out late
    close(bad);
    close(open_as(&d, "abc"));
    stop();
}
END_TEST

START_TEST(a_blob_that_is_there_is_made_durable_without_its_bytes)
{
    start();
    struct registry_digest d = abc();
    struct blob_parts parts;
    bool stored;
    blobs->ops->parts(blobs, NULL, &parts);
    ck_assert_int_eq(blob_store(&parts, &d, &stored, &e), ERR_NOT_FOUND);
    ck_assert_uint_eq(count_files("blobs/sha256"), 0);
    ck_assert_int_eq(put("abc", 3, &d, &stored), 0);
    ck_assert_int_eq(blob_store(&parts, &d, &stored, &e), 0);
    ck_assert(!stored);
    stop();
}
END_TEST

START_TEST(a_digest_in_steps_is_that_of_the_whole_file)
{
    start();
    struct registry_digest d = abc(), is;
    struct digest_check *c;
    bool done = false;
    unsigned steps = 0;
    ck_assert_int_eq(put("abc", 3, &d, &done), 0);
    int fd = open_as(&d, "abc");
    ck_assert_int_eq(digest_check_new(&c, &e), 0);
    for (done = false; !done; steps++)
        ck_assert_int_eq(digest_check_step(c, fd, 1, &done, &is, &e), 0);
    ck_assert(registry_digest_eq(&is, &d));
    ck_assert_uint_eq(steps, 4);
    digest_check_free(c);
    close(fd);
    stop();
}
END_TEST

START_TEST(names_follow_the_rules)
{
    static const char *const good[] = {"churn", "a", "0", "A.b_c-d", "model.v1"};
    static const char *const bad[] = {"", ".", "..", "-a", "_a", "a b", "a/b", "a:b", "\xc3\xa9", "a\n"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_int_eq(registry_model_name_check(str_of(good[i]), &e), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(registry_model_name_check(str_of(bad[i]), &e), ERR_INVALID);
    char name[130];
    memset(name, 'a', sizeof name);
    ck_assert_int_eq(registry_model_name_check((struct str){name, 128}, &e), 0);
    ck_assert_int_eq(registry_model_name_check((struct str){name, 129}, &e), ERR_INVALID);
    ck_assert_int_eq(registry_alias_check((struct str){name, 64}, &e), 0);
    ck_assert_int_eq(registry_alias_check((struct str){name, 65}, &e), ERR_INVALID);
    ck_assert_int_eq(registry_alias_check(STR("3"), &e), ERR_INVALID);
    ck_assert_int_eq(registry_alias_check(STR("3a"), &e), 0);
    ck_assert_int_eq(registry_artifact_name_check(STR("golden/rows.json"), &e), 0);
    static const char *const bad_path[] = {"", "/a", "a/", "a//b", "../a", "a/..", "a/.b"};
    for (size_t i = 0; i < sizeof bad_path / sizeof bad_path[0]; i++)
        ck_assert_int_eq(registry_artifact_name_check(str_of(bad_path[i]), &e), ERR_INVALID);
    struct registry_digest d;
    ck_assert(!registry_digest_parse(STR("sha256:"), &d));
    ck_assert(!registry_digest_parse((struct str){ABC.p, ABC.n - 1}, &d));
    ck_assert(!registry_digest_parse(
        STR("sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), &d));
}
END_TEST

UNIT_MAIN("registry/blob_dir", the_same_bytes_are_stored_once, other_bytes_than_announced_leave_nothing,
          a_blob_over_the_limit_is_refused, a_half_written_blob_is_gone_after_reopening,
          a_damaged_blob_is_set_aside_and_can_be_stored_again,
          a_blob_that_is_there_is_made_durable_without_its_bytes, a_digest_in_steps_is_that_of_the_whole_file,
          names_follow_the_rules)
