// SPDX-License-Identifier: Apache-2.0
// Blobs: stored once, under the digest of their bytes, wholly or not at all; damage is found.
#include "registry/registry.h"

#include "tempdir.h"
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

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

// The age of "abc" in seconds, as who collects it sees it; its file was stored or kept so long ago.
static uint64_t kept_s_ago(void)
{
    struct blob_entry *list;
    struct arena a;
    struct timespec now;
    size_t n;
    ck_assert_int_eq(arena_init(&a, 1 << 20, &e), 0);
    ck_assert_int_eq(blobs->ops->list(blobs, 0xba, &a, &list, &n, &e), 0);
    ck_assert_uint_eq(n, 1);
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t kept_s = list[0].kept_wall_ns / 1000000000u;
    arena_done(&a);
    return (uint64_t)now.tv_sec > kept_s ? (uint64_t)now.tv_sec - kept_s : 0;
}

static const struct timespec LONG_AGO[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
enum { YOUNG_S = 1000 };

static void age(void)
{
    char path[TEMPDIR_SIZE + 128];
    snprintf(path, sizeof path, "%s/blobs/sha256/ba/%s", dir, ABC.p + 7);
    ck_assert_int_eq(utimensat(AT_FDCWD, path, LONG_AGO, 0), 0);
    ck_assert_uint_gt(kept_s_ago(), YOUNG_S);
}

// Its last byte came long ago, or hashing it took long: nobody had the time to use it yet.
START_TEST(the_age_of_a_blob_counts_from_its_end)
{
    struct blob_writer *w;
    struct blob_parts parts;
    struct registry_digest d = abc();
    bool stored;
    start();
    ck_assert_int_eq(blobs->ops->writer_open(blobs, 3, &w, &e), 0);
    ck_assert_int_eq(blobs->ops->write(w, "abc", 3, &e), 0);
    blobs->ops->parts(blobs, w, &parts);
    ck_assert_int_eq(futimens(parts.file_fd, LONG_AGO), 0);
    ck_assert_int_eq(blob_store(&parts, &d, &stored, &e), 0);
    blobs->ops->abort(w);
    ck_assert_uint_le(kept_s_ago(), YOUNG_S);
    age();
    ck_assert_int_eq(put("abc", 3, &d, &stored), 0); // the same bytes again
    ck_assert_uint_le(kept_s_ago(), YOUNG_S);
    age();
    blobs->ops->parts(blobs, NULL, &parts);
    ck_assert_int_eq(blob_store(&parts, &d, &stored, &e), 0); // a version is about to need it
    ck_assert_uint_le(kept_s_ago(), YOUNG_S);
    age();
    ck_assert_int_eq(blobs->ops->keep(blobs, &d, &e), 0);
    ck_assert_uint_le(kept_s_ago(), YOUNG_S);
    stop();
}
END_TEST

START_TEST(a_blob_that_was_kept_since_it_was_listed_is_not_discarded)
{
    struct registry_digest d = abc();
    uint64_t size, hour_ago = ((uint64_t)time(NULL) - 3600) * UINT64_C(1000000000);
    bool stored;
    start();
    ck_assert_int_eq(blobs->ops->discard(blobs, &d, UINT64_MAX, &e), ERR_NOT_FOUND);
    ck_assert_int_eq(put("abc", 3, &d, &stored), 0);
    ck_assert_int_eq(blobs->ops->discard(blobs, &d, hour_ago, &e), ERR_BUSY);
    age();
    ck_assert_int_eq(blobs->ops->keep(blobs, &d, &e), 0);
    ck_assert_int_eq(blobs->ops->discard(blobs, &d, hour_ago, &e), ERR_BUSY);
    ck_assert_int_eq(blobs->ops->find(blobs, &d, &size, &e), 0);
    age();
    ck_assert_int_eq(blobs->ops->discard(blobs, &d, hour_ago, &e), 0);
    ck_assert_int_eq(blobs->ops->find(blobs, &d, &size, &e), ERR_NOT_FOUND);
    ck_assert_uint_eq(count_files("blobs/trash"), 1);
    stop();
}
END_TEST

START_TEST(good_bytes_take_the_place_of_damaged_ones)
{
    struct registry_digest d = abc(), is;
    struct blob_writer *w;
    struct blob_parts parts;
    char path[TEMPDIR_SIZE + 128];
    bool stored, replaced = true;
    start();
    ck_assert_int_eq(put("abc", 3, &d, &stored), 0);
    for (int round = 0; round < 2; round++) { // also when one lies aside already
        damage();
        ck_assert_int_eq(blobs->ops->writer_open(blobs, 3, &w, &e), 0);
        ck_assert_int_eq(blobs->ops->write(w, "abc", 3, &e), 0);
        blobs->ops->parts(blobs, w, &parts);
        parts.ret_replaced = &replaced;
        ck_assert_int_eq(blob_store(&parts, &d, &stored, &e), 0);
        blobs->ops->abort(w);
        ck_assert(stored && replaced);
        close(open_as(&d, "abc"));
        ck_assert_uint_eq(count_files("blobs/damaged"), 1);
        snprintf(path, sizeof path, "%s/blobs/damaged/%s", dir, ABC.p + 7);
        int fd = open(path, O_RDONLY);
        ck_assert_int_eq(registry_digest_file(fd, &is, &e), 0);
        ck_assert(!registry_digest_eq(&is, &d)); // kept, to be looked at
        close(fd);
    }
    ck_assert_int_eq(put("abc", 3, &d, &stored), 0);
    ck_assert(!stored);
    damage();
    ck_assert_int_eq(put("abd", 3, &d, &stored), ERR_DIGEST); // nothing better
    close(open_as(&d, "abb"));
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
          a_damaged_blob_is_set_aside_and_can_be_stored_again, good_bytes_take_the_place_of_damaged_ones,
          the_age_of_a_blob_counts_from_its_end, a_blob_that_was_kept_since_it_was_listed_is_not_discarded,
          a_blob_that_is_there_is_made_durable_without_its_bytes, a_digest_in_steps_is_that_of_the_whole_file,
          names_follow_the_rules)
