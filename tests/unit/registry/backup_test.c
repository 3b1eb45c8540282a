// SPDX-License-Identifier: Apache-2.0
// Backup and restore: one acknowledged state, whole or not at all, whatever is written or dies meanwhile.
#include "registry/backup.h"

#include "filled.h"
#include "os/file.h"
#include "registry/check.h"
#include "unit.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

static char root[TEMPDIR_SIZE], dir[TEMPDIR_SIZE + 16], copy[TEMPDIR_SIZE + 16], again[TEMPDIR_SIZE + 16];
static struct registry_copy_sum sum;
static struct err e;
static unsigned n_found;

static void on_finding(void *ctx, const struct registry_finding *f)
{
    (void)ctx;
    ck_assert(f->is_error && f->what[0]);
    n_found++;
}

static void start(unsigned n)
{
    tempdir_new(root);
    snprintf(dir, sizeof dir, "%s/data", root);
    snprintf(copy, sizeof copy, "%s/copy", root);
    snprintf(again, sizeof again, "%s/again", root);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
    filled_new(dir, n);
    n_found = 0;
}

static int backup(bool verify)
{
    return registry_backup(
        &(struct registry_copy_spec){.from = dir, .to = copy, .verify = verify, .on_finding = on_finding},
        &sum, &e);
}

static int restore(bool partial)
{
    return registry_restore(
        &(struct registry_copy_spec){.from = copy, .to = again, .partial = partial, .on_finding = on_finding},
        &sum, &e);
}

// It is sound, and has versions 1 … n of price and churn in turns, and nothing else.
static unsigned expect_versions(const char *where)
{
    struct registry_check_sum checked;
    struct registry *r;
    struct arena a;
    struct registry_model *models;
    size_t n;
    ck_assert_msg(registry_check(&(struct registry_check_spec){.dir = where}, &checked, &e) == 0, "%s",
                  e.msg);
    ck_assert_uint_eq(checked.n_errors, 0);
    ck_assert_int_eq(registry_sqlite_open(where, &r, &e), 0);
    ck_assert_int_eq(arena_init(&a, 1 << 24, &e), 0);
    ck_assert_int_eq(r->ops->models(r, &a, &models, &n, &e), 0);
    ck_assert_uint_eq(n, 2);
    unsigned churn = models[0].n_versions, price = models[1].n_versions;
    ck_assert_uint_eq(models[0].latest, churn);
    ck_assert_uint_eq(models[1].latest, price);
    ck_assert(price == churn || price == churn + 1);
    arena_done(&a);
    r->ops->close(r);
    return churn + price;
}

START_TEST(a_restored_backup_is_what_was_backed_up)
{
    start(20);
    ck_assert_msg(backup(false) == 0, "%s", e.msg);
    ck_assert_uint_eq(sum.n_copied, 20);
    ck_assert_uint_eq(sum.n_versions, 20);
    ck_assert_uint_eq(sum.n_missing, 0);
    ck_assert_msg(restore(false) == 0, "%s", e.msg);
    ck_assert_uint_eq(sum.n_copied, 20);
    ck_assert_uint_eq(expect_versions(again), 20);
    // Only the two folders: nothing was left beside them.
    unsigned n = 0;
    DIR *d = opendir(root);
    for (struct dirent *entry; (entry = readdir(d));)
        n += entry->d_name[0] != '.';
    closedir(d);
    ck_assert_uint_eq(n, 3);
    tempdir_remove(root);
}
END_TEST

START_TEST(a_second_backup_copies_only_what_is_new_and_drops_the_rest)
{
    struct registry *r;
    struct blobs *b;
    start(20);
    ck_assert_int_eq(backup(false), 0);
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(blobs_dir_open(dir, false, &b, &e), 0);
    filled_version(r, b, "price", 20, "champion");
    filled_version(r, b, "churn", 1, ""); // the file of version 1, which goes
    ck_assert_int_eq(r->ops->version_remove(r, &FILLED_CAUSE, STR("churn"), 1, false, &e), 0);
    ck_assert_int_eq(r->ops->version_remove(r, &FILLED_CAUSE, STR("churn"), 2, false, &e), 0);
    ck_assert_int_eq(backup(false), 0); // while it is open
    ck_assert_uint_eq(sum.n_copied, 1);
    ck_assert_uint_eq(sum.n_removed, 1);
    ck_assert_uint_eq(sum.n_versions, 20);
    struct registry_check_sum checked;
    ck_assert_int_eq(registry_check(&(struct registry_check_spec){.dir = copy}, &checked, &e), 0);
    ck_assert_uint_eq(checked.n_errors + checked.n_notes, 0);
    ck_assert_uint_eq(checked.n_blobs, 20);
    b->ops->close(b);
    r->ops->close(r);
    tempdir_remove(root);
}
END_TEST

START_TEST(damage_is_said_and_not_restored_unless_asked)
{
    start(20);
    struct blobs *b;
    ck_assert_int_eq(blobs_dir_open(dir, false, &b, &e), 0);
    struct registry_artifact bad = filled_blob(b, 5), later = filled_blob(b, 6);
    b->ops->close(b);
    filled_flip(dir, &bad.digest, 7, 3);
    ck_assert_int_eq(backup(false), 0);
    ck_assert_uint_eq(sum.n_missing, 1);
    ck_assert_uint_eq(sum.n_copied, 19);
    ck_assert_uint_eq(n_found, 1);
    ck_assert_int_eq(restore(false), ERR_DIGEST);
    ck_assert_int_ne(access(again, F_OK), 0);
    filled_flip(dir, &bad.digest, 7, 3); // as it was
    ck_assert_int_eq(backup(false), 0);
    ck_assert_uint_eq(sum.n_missing, 0);
    ck_assert_uint_eq(sum.n_copied, 1);
    filled_flip(copy, &later.digest, 7, 3); // now the backup itself
    ck_assert_int_eq(restore(false), ERR_DIGEST);
    ck_assert_int_ne(access(again, F_OK), 0);
    ck_assert_int_eq(restore(true), 0);
    ck_assert_uint_eq(sum.n_missing, 1);
    ck_assert_int_eq(backup(true), 0); // looks, and replaces it
    ck_assert_uint_eq(sum.n_copied, 1);
    tempdir_remove(again);
    ck_assert_int_eq(restore(false), 0);
    ck_assert_uint_eq(expect_versions(again), 20);
    tempdir_remove(root);
}
END_TEST

START_TEST(nothing_is_ever_overwritten)
{
    char path[TEMPDIR_SIZE + 64];
    start(4);
    ck_assert_int_eq(mkdir(copy, 0700), 0);
    snprintf(path, sizeof path, "%s/letter", copy);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    ck_assert_int_eq(backup(false), ERR_CONFLICT);
    ck_assert(e.hint[0]);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(backup(false), 0);
    ck_assert_int_eq(mkdir(again, 0700), 0);
    snprintf(path, sizeof path, "%s/letter", again);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    ck_assert_int_eq(restore(false), ERR_CONFLICT);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(restore(false), 0); // an empty one is fine
    ck_assert_uint_eq(expect_versions(again), 4);
    snprintf(path, sizeof path, "%s/run", copy); // a server was started on the backup
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(backup(false), ERR_CONFLICT);
    tempdir_remove(root);
}
END_TEST

// Shared with the process that writes.
struct shared {
    atomic_uint acked;   // versions
    atomic_uint allowed; // it goes on up to so many
};
enum { WRITES = 20, WRITTEN = 250 };

static pid_t start_writer(struct shared *s)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    struct registry *r;
    struct blobs *b;
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(blobs_dir_open(dir, false, &b, &e), 0);
    for (unsigned i = atomic_load(&s->acked); i < WRITTEN; i++) {
        while (i >= atomic_load(&s->allowed))
            usleep(100);
        filled_version(r, b, i % 2 ? "churn" : "price", i, "champion");
        atomic_store(&s->acked, i + 1);
    }
    _exit(0);
}

START_TEST(a_backup_under_writes_is_a_state_that_was_acknowledged)
{
    struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    start(10);
    atomic_store(&s->acked, 10);
    pid_t writer = start_writer(s);
    unsigned n_during = 0, last = 0;
    for (unsigned i = 1; i <= 12; i++) {
        atomic_store(&s->allowed, 10 + i * WRITES);
        while (atomic_load(&s->acked) <= 10 + (i - 1) * WRITES)
            usleep(100); // until it is at work again
        unsigned before = atomic_load(&s->acked);
        ck_assert_msg(backup(false) == 0, "%s", e.msg);
        unsigned after = atomic_load(&s->acked), n = (unsigned)sum.n_versions;
        ck_assert_uint_eq(sum.n_missing, 0);
        // What was acknowledged before is there; at most one more was committed and not yet said.
        ck_assert_msg(n >= before && n <= after + 1, "%u of %u to %u", n, before, after);
        n_during += n > last;
        last = n;
        ck_assert_int_eq(restore(false), 0);
        ck_assert_uint_eq(expect_versions(again), n);
        tempdir_remove(again);
    }
    ck_assert_uint_eq(n_during, 12);
    int status;
    atomic_store(&s->allowed, WRITTEN);
    ck_assert_int_eq(waitpid(writer, &status, 0), writer);
    ck_assert_int_eq(status, 0);
    tempdir_remove(root);
}
END_TEST

START_TEST(a_backup_that_is_killed_leaves_the_earlier_one_or_the_new_one)
{
    struct registry *r;
    struct blobs *b;
    start(10);
    ck_assert_int_eq(backup(false), 0);
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(blobs_dir_open(dir, false, &b, &e), 0);
    for (unsigned i = 10; i < 60; i++)
        filled_version(r, b, i % 2 ? "churn" : "price", i, "champion");
    b->ops->close(b);
    r->ops->close(r);
    // At each sync in turn; what a killed one copied the next need not, so it comes to its end.
    unsigned old = 0, status = 1;
    for (unsigned at = 1; status; at += 3) {
        ck_assert_uint_lt(at, 1000);
        pid_t pid = fork();
        if (pid == 0) {
            filled_dies_at = at;
            _exit(backup(false) ? 1 : 0);
        }
        int ended;
        ck_assert_int_eq(waitpid(pid, &ended, 0), pid);
        ck_assert(ended == 0 || WIFSIGNALED(ended));
        status = (unsigned)ended;
        ck_assert_msg(restore(false) == 0, "%s", e.msg);
        unsigned n = expect_versions(again);
        ck_assert(n == 60 || (n == 10 && status));
        old += n == 10;
        tempdir_remove(again);
    }
    ck_assert_uint_ge(old, 3);
    ck_assert_int_eq(backup(false), 0);
    ck_assert_int_eq(restore(false), 0);
    ck_assert_uint_eq(expect_versions(again), 60);
    tempdir_remove(root);
}
END_TEST

// Also before the first of two has said that the folder is a backup.
START_TEST(two_backups_at_once_into_a_new_folder_are_refused)
{
    char path[sizeof copy + 32];
    int dir_fd = -1, lock_fd = -1;
    start(3);
    ck_assert_int_eq(file_make_dir_path(copy, &dir_fd, &e), 0);
    ck_assert_int_eq(file_lock(dir_fd, "lock", &lock_fd, &e), 0); // the first of them
    ck_assert_int_eq(backup(false), ERR_CONFLICT);
    ck_assert_msg(strstr(e.msg, "held by process"), "%s", e.msg);
    snprintf(path, sizeof path, "%s/slipway-backup.json", copy);
    ck_assert_int_ne(access(path, F_OK), 0);
    close(lock_fd); // it died
    ck_assert_msg(backup(false) == 0, "%s", e.msg);
    ck_assert_int_eq(restore(false), 0);
    ck_assert_uint_eq(expect_versions(again), 3);
    close(dir_fd);
    tempdir_remove(root);
}
END_TEST

UNIT_MAIN("registry/backup", a_restored_backup_is_what_was_backed_up,
          a_second_backup_copies_only_what_is_new_and_drops_the_rest,
          damage_is_said_and_not_restored_unless_asked, nothing_is_ever_overwritten,
          a_backup_under_writes_is_a_state_that_was_acknowledged,
          a_backup_that_is_killed_leaves_the_earlier_one_or_the_new_one,
          two_backups_at_once_into_a_new_folder_are_refused)
