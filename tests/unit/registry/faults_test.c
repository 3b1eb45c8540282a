// SPDX-License-Identifier: Apache-2.0
// The Nth write, fsync, rename or allocation of a push fails, once or from then on; then the process dies
// without closing anything. After reopening, everything that was acknowledged is there, everything else is
// wholly absent, and one fault has failed at most one operation.
//
// This program defines the system calls' wrappers itself, so that SQLite and OpenSSL call them too.
#include "registry/registry.h"

#include "tempdir.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/sha.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __has_feature
#define HAS_ASAN __has_feature(address_sanitizer)
#elif defined __SANITIZE_ADDRESS__
#define HAS_ASAN 1
#else
#define HAS_ASAN 0
#endif

enum kind {
    FAULT_NONE,
    FAULT_FULL,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_LOG, // a write of pages, or of the write-ahead log: opening writes only single bytes
    FAULT_SYNC,
    FAULT_NAME,
    FAULT_ALLOC,
    FAULT_OPEN,
};
enum op { OP_OPEN, OP_BLOB, OP_VERSION, OP_ALIAS, OP_TEMP_ADD, OP_TEMP_REMOVE, OPS };

// Shared with the process that dies.
static struct plan {
    enum kind kind;
    int error;
    bool sticky;
    enum op from;   // calls before it do not count
    long countdown; // calls until it fails
    bool fired;
    enum op now, fired_in;
    int result[OPS];   // 0 acknowledged, else the error's code
    bool unknown[OPS]; // the error said that the outcome is open
} * plan;

static bool fails(enum kind kind)
{
    if (!plan || plan->kind != kind || plan->now < plan->from || (plan->fired && !plan->sticky))
        return false;
    if (!plan->fired && --plan->countdown > 0)
        return false;
    if (!plan->fired)
        plan->fired_in = plan->now;
    plan->fired = true;
    errno = plan->error;
    return true;
}

static const char *full_disk; // the data directory on it

// FAULT_FULL: the disk is full while the reserve takes its space, and cannot be filled with it again.
static bool is_full(void)
{
    char path[TEMPDIR_SIZE + 32];
    struct stat st;
    if (!plan || plan->kind != FAULT_FULL)
        return false;
    snprintf(path, sizeof path, "%s/registry.reserve", full_disk);
    bool full = stat(path, &st) == 0 && st.st_size > 0;
    errno = full ? ENOSPC : errno;
    return full;
}

int fault_fallocate(int fd, off_t at, off_t n) __asm__("posix_fallocate64");
int fault_fallocate(int fd, off_t at, off_t n)
{
    if (plan && plan->kind == FAULT_FULL)
        return ENOSPC;
    return syscall(SYS_ftruncate, fd, at + n) < 0 ? errno : 0; // thousands of times: without the space
}

ssize_t write(int fd, const void *p, size_t n)
{
    return fails(FAULT_WRITE) || is_full() ? -1 : syscall(SYS_write, fd, p, n);
}

ssize_t fault_pwrite(int fd, const void *p, size_t n, off_t at) __asm__("pwrite64");
ssize_t fault_pwrite(int fd, const void *p, size_t n, off_t at)
{
    bool failed = fails(FAULT_WRITE) || (n > 1 && fails(FAULT_LOG)) || is_full();
    return failed ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t fault_pread(int fd, void *p, size_t n, off_t at) __asm__("pread64");
ssize_t fault_pread(int fd, void *p, size_t n, off_t at)
{
    return fails(FAULT_READ) ? -1 : syscall(SYS_pread64, fd, p, n, at);
}

int fsync(int fd)
{
    return fails(FAULT_SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return fails(FAULT_SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return fails(FAULT_NAME) ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
    return fails(FAULT_NAME) ? -1 : (int)syscall(SYS_mkdirat, dir, name, mode);
}

// SQLite's.
int fault_open(const char *path, int flags, ...) __asm__("open64");
int fault_open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? (mode_t)va_arg(more, unsigned) : 0;
    va_end(more);
    bool to_write = (flags & O_ACCMODE) != O_RDONLY;
    return to_write && fails(FAULT_OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fault_ftruncate(int fd, off_t size) __asm__("ftruncate64");
int fault_ftruncate(int fd, off_t size)
{
    return fails(FAULT_NAME) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

#if !HAS_ASAN // which has an allocator of its own
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    return fails(FAULT_ALLOC) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails(FAULT_ALLOC) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails(FAULT_ALLOC) ? NULL : __libc_realloc(p, n);
}
#endif

static const struct registry_cause CAUSE = {
    .actor = STR("tester"), .request_id = STR("req-1"), .wall_ns = 1700000000000000000u};
static const char BYTES[] = "the bytes of a model";
static struct registry_digest digest; // of BYTES
static char dir[TEMPDIR_SIZE];

static int put_blob(struct blobs *b, bool *ret_stored, struct err *e)
{
    struct blob_writer *w;
    struct blob_parts parts;
    int rc = b->ops->writer_open(b, 1000, &w, e);
    if (rc)
        return rc;
    for (size_t at = 0; !rc && at < sizeof BYTES; at += 7)
        rc = b->ops->write(w, BYTES + at, sizeof BYTES - at < 7 ? sizeof BYTES - at : 7, e);
    b->ops->parts(b, w, &parts);
    if (!rc)
        rc = blob_store(&parts, &digest, ret_stored, e);
    b->ops->abort(w);
    return rc;
}

static int add(struct registry *r, const char *model, const char *alias, struct err *e)
{
    struct registry_artifact file = {
        .name = STR("model.json"), .digest.bytes = {7}, .size_bytes = sizeof BYTES};
    struct registry_version v = {.model = str_of(model),
                                 .engine = STR("trees"),
                                 .format = STR("xgboost_json"),
                                 .signature_json = STR("{}"),
                                 .tags_json = STR("{}"),
                                 .artifacts = &file,
                                 .n_artifacts = 1};
    uint64_t id;
    uint32_t number;
    return r->ops->version_add(r, &CAUSE, &v, str_of(alias), &id, &number, e);
}

static void note(enum op op, int rc, const struct err *e)
{
    plan->result[op] = rc;
    plan->unknown[op] = rc && strstr(e->hint, "Whether the change was kept");
}

// What the process that dies does. Operations go on after one that failed.
static void work(void)
{
    struct registry *r = NULL;
    struct blobs *b = NULL;
    bool stored;
    struct err e = {0};
    for (int i = 0; i < OPS; i++)
        plan->result[i] = ERR_UNAVAILABLE; // not reached
    plan->now = OP_OPEN;
    int rc = registry_sqlite_open(dir, &r, &e);
    if (!rc)
        rc = blobs_dir_open(dir, false, &b, &e);
    note(OP_OPEN, rc, &e);
    if (rc)
        return;
    plan->now = OP_BLOB;
    note(OP_BLOB, put_blob(b, &stored, &e), &e);
    plan->now = OP_VERSION;
    note(OP_VERSION, add(r, "churn", "champion", &e), &e);
    plan->now = OP_ALIAS;
    note(OP_ALIAS, r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, &e), &e);
    plan->now = OP_TEMP_ADD;
    note(OP_TEMP_ADD, add(r, "temp", "", &e), &e);
    plan->now = OP_TEMP_REMOVE;
    rc = plan->result[OP_TEMP_ADD] ? 0 : r->ops->model_remove(r, &CAUSE, STR("temp"), &e);
    note(OP_TEMP_REMOVE, rc, &e);
}

// Acknowledged: there. Refused: not there. Open: either.
static void expect(enum op op, bool is_there, const char *what, long n)
{
    if (plan->unknown[op])
        return;
    ck_assert_msg(is_there == (plan->result[op] == 0),
                  "%s, fault %d at call %ld%s (in op %d): result %d, but it is %s", what, plan->kind, n,
                  plan->sticky ? " and later" : "", plan->fired_in, plan->result[op],
                  is_there ? "there" : "absent");
}

static void check_registry(struct registry *r, struct arena *a, long n)
{
    struct err e;
    struct registry_version v;
    ck_assert_int_eq(r->ops->version_find(r, STR("churn"), STR("1"), a, &v, &e), 0);
    bool added = r->ops->version_find(r, STR("churn"), STR("2"), a, &v, &e) == 0;
    expect(OP_VERSION, added, "version 2", n);
    if (added)
        ck_assert(v.n_artifacts == 1 && v.artifacts[0].digest.bytes[0] == 7);
    ck_assert_int_eq(r->ops->version_find(r, STR("churn"), STR("champion"), a, &v, &e), 0);
    ck_assert_uint_eq(v.number, added ? 2 : 1); // with its version, or not at all
    expect(OP_ALIAS, r->ops->version_find(r, STR("churn"), STR("blue"), a, &v, &e) == 0, "alias blue", n);
    bool has_temp = r->ops->version_find(r, STR("temp"), STR("1"), a, &v, &e) == 0;
    if (plan->result[OP_TEMP_ADD])
        expect(OP_TEMP_ADD, has_temp, "model temp", n);
    else if (!plan->unknown[OP_TEMP_REMOVE])
        ck_assert_int_eq(has_temp, plan->result[OP_TEMP_REMOVE] != 0);
}

static void check(long n)
{
    struct registry *r;
    struct blobs *b;
    struct arena a;
    struct err e;
    struct registry_digest d;
    int fd = -1;
    ck_assert_msg(registry_sqlite_open(dir, &r, &e) == 0, "%s", e.msg);
    ck_assert_msg(blobs_dir_open(dir, false, &b, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(arena_init(&a, 1 << 20, &e), 0);
    check_registry(r, &a, n);
    bool stored;
    ck_assert_int_eq(put_blob(b, &stored, &e), 0);
    expect(OP_BLOB, !stored, "the blob", n);
    ck_assert_int_eq(b->ops->open(b, &digest, &fd, &e), 0);
    ck_assert_int_eq(registry_digest_file(fd, &d, &e), 0);
    ck_assert(registry_digest_eq(&d, &digest)); // whole
    close(fd);
    b->ops->close(b);
    r->ops->close(r);
    arena_done(&a);
}

// A registry with one version, closed. Making it takes as long as all that is done with it, so the sweeps,
// which need thousands, copy the first.
static void make(char ret[TEMPDIR_SIZE])
{
    struct registry *r;
    struct err e;
    tempdir_new(ret);
    ck_assert_int_eq(registry_sqlite_open(ret, &r, &e), 0);
    ck_assert_int_eq(add(r, "churn", "champion", &e), 0);
    r->ops->close(r);
}

static void copy_file(const char *from_dir, const char *name)
{
    static char bytes[1 << 20];
    char path[TEMPDIR_SIZE + 32];
    snprintf(path, sizeof path, "%s/%s", from_dir, name);
    int from = open(path, O_RDONLY);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int to = open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
    ck_assert(from >= 0 && to >= 0);
    ssize_t n = read(from, bytes, sizeof bytes);
    ck_assert(n >= 0 && n < (ssize_t)sizeof bytes);
    ck_assert_int_eq(write(to, bytes, (size_t)n), n);
    close(from);
    close(to);
}

static void copy(const char *from)
{
    char path[TEMPDIR_SIZE + 32];
    struct stat st;
    tempdir_new(dir);
    snprintf(path, sizeof path, "%s/run", dir);
    ck_assert_int_eq(mkdir(path, 0750), 0);
    copy_file(from, "registry.db");
    copy_file(from, "audit.head");
    copy_file(from, "run/registry.lock");
    snprintf(path, sizeof path, "%s/registry.reserve", from);
    ck_assert_int_eq(stat(path, &st), 0);
    snprintf(path, sizeof path, "%s/registry.reserve", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
    ck_assert_int_eq(ftruncate(fd, st.st_size), 0);
    close(fd);
}

static char original[TEMPDIR_SIZE]; // what copies are made of; "": none

static void prepare(void)
{
    if (access("/dev/shm", W_OK) == 0) // the faults are ours: no need to wait for a disk
        setenv("TMPDIR", "/dev/shm", 1);
    SHA256((const unsigned char *)BYTES, sizeof BYTES, digest.bytes);
    if (original[0])
        copy(original);
    else
        make(dir);
}

// One run; false when there were fewer than n calls to fail.
static bool run(const struct plan *p, long n)
{
    prepare();
    *plan = *p;
    plan->countdown = n;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        work();
        _exit(0); // nothing is closed
    }
    int status;
    pid_t ended = waitpid(pid, &status, 0);
    plan->kind = FAULT_NONE; // before Check allocates
    ck_assert_int_eq(ended, pid);
    ck_assert_msg(status == 0, "fault %d at call %ld ended the process: %d", p->kind, n, status);
    int n_failed = 0;
    for (int i = 0; i < OPS; i++)
        n_failed += plan->result[i] != 0;
    if (plan->fired && !p->sticky && plan->result[OP_OPEN] == 0)
        ck_assert_msg(n_failed <= 1, "fault %d at call %ld failed %d operations", p->kind, n, n_failed);
    if (plan->fired && plan->fired_in == OP_BLOB && p->kind != FAULT_ALLOC)
        ck_assert_msg(plan->result[OP_BLOB] != 0, "fault %d at call %ld was not noticed", p->kind, n);
    if (!plan->fired)
        ck_assert_int_eq(n_failed, 0);
    check(n);
    tempdir_remove(dir);
    return plan->fired;
}

// All n from 1 on; where there are many calls, ever fewer of the later ones. There are more than `least`
// calls that can fail.
static void sweep(struct plan p, long share, long least)
{
    plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(plan, MAP_FAILED);
    long n = 1;
    prepare();
    snprintf(original, sizeof original, "%s", dir);
    while (run(&p, n))
        n += 1 + n / share;
    ck_assert_msg(n > least, "only %ld calls failed", n - 1);
    tempdir_remove(original);
    original[0] = '\0';
    munmap(plan, sizeof *plan);
    plan = NULL;
}

START_TEST(a_write_fails_once)
{
    sweep((struct plan){.kind = FAULT_WRITE, .error = EIO}, 1000, 4);
}
END_TEST

START_TEST(the_disk_is_full_from_some_write_on)
{
    sweep((struct plan){.kind = FAULT_WRITE, .error = ENOSPC, .sticky = true}, 1000, 4);
}
END_TEST

START_TEST(a_sync_fails_once)
{
    sweep((struct plan){.kind = FAULT_SYNC, .error = EIO}, 1000, 4);
}
END_TEST

START_TEST(syncs_fail_from_some_call_on)
{
    sweep((struct plan){.kind = FAULT_SYNC, .error = EIO, .sticky = true}, 1000, 4);
}
END_TEST

START_TEST(a_change_of_names_fails_once)
{
    sweep((struct plan){.kind = FAULT_NAME, .error = EIO}, 1000, 4);
}
END_TEST

START_TEST(an_allocation_fails_once)
{
    if (HAS_ASAN)
        return;
    sweep((struct plan){.kind = FAULT_ALLOC, .error = ENOMEM}, 10, 4);
    sweep((struct plan){.kind = FAULT_ALLOC, .error = ENOMEM, .from = OP_BLOB}, 30, 4);
}
END_TEST

// Whether this process has registry.db open.
static bool is_open(void)
{
    char link[64], name[PATH_MAX];
    for (int fd = 3; fd < 64; fd++) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, name, sizeof name);
        if (n > 12 && memcmp(name + n - 12, "/registry.db", 12) == 0)
            return true;
    }
    return false;
}

// Another program writes, so that what the handle remembers is of no use and it must read.
static void write_from_outside(void)
{
    char path[TEMPDIR_SIZE + 32];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/registry.db", dir);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "UPDATE sqlite_sequence SET seq = seq + 1", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
}

START_TEST(after_an_io_error_the_handle_is_closed_and_opened_anew)
{
    struct registry *r;
    struct registry_model *models;
    struct arena a;
    struct err e;
    size_t n;
    prepare();
    static struct plan here;
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(arena_init(&a, 1 << 20, &e), 0);
    ck_assert_int_eq(r->ops->models(r, &a, &models, &n, &e), 0);
    write_from_outside();
    here = (struct plan){.kind = FAULT_READ, .error = EIO, .countdown = 1};
    plan = &here;
    ck_assert_int_eq(r->ops->models(r, &a, &models, &n, &e), ERR_IO);
    plan = NULL;
    ck_assert(!is_open());
    ck_assert_int_eq(r->ops->models(r, &a, &models, &n, &e), 0);
    ck_assert(is_open() && n == 1);
    r->ops->close(r);
    arena_done(&a);
    tempdir_remove(dir);
}
END_TEST

// SQLite then opens it for reading alone, and would go on so.
START_TEST(a_database_that_cannot_be_opened_for_writing_is_tried_again)
{
    struct registry *r;
    struct registry_model *models;
    struct arena a;
    struct err e;
    size_t n;
    prepare();
    static struct plan here;
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(arena_init(&a, 1 << 20, &e), 0);
    write_from_outside();
    here = (struct plan){.kind = FAULT_READ, .error = EIO, .countdown = 1};
    plan = &here;
    ck_assert_int_eq(r->ops->models(r, &a, &models, &n, &e), ERR_IO); // closes it
    here = (struct plan){.kind = FAULT_OPEN, .error = EIO, .countdown = 1};
    ck_assert_int_eq(r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, &e), ERR_READ_ONLY);
    ck_assert(here.fired);
    plan = NULL;
    ck_assert_msg(r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, &e) == 0, "%s", e.msg);
    r->ops->close(r);
    arena_done(&a);
    tempdir_remove(dir);
}
END_TEST

START_TEST(after_an_error_of_the_disk_only_reading_goes_on_until_it_takes_a_write)
{
    struct registry *r;
    struct registry_model *models;
    struct arena a;
    struct err e;
    size_t n;
    prepare();
    static struct plan here;
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(arena_init(&a, 1 << 20, &e), 0);
    here = (struct plan){.kind = FAULT_SYNC, .error = EIO, .countdown = 1, .sticky = true};
    plan = &here;
    int first = r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, &e);
    int second = r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, &e);
    here.kind = FAULT_NONE; // Check writes, too
    ck_assert_int_eq(first, ERR_IO);
    ck_assert_int_eq(second, ERR_READ_ONLY);
    ck_assert_ptr_nonnull(strstr(e.hint, "Predictions go on"));
    here.kind = FAULT_SYNC;
    int reading = r->ops->models(r, &a, &models, &n, &e);
    here.kind = FAULT_NONE;
    ck_assert_int_eq(reading, 0);
    ck_assert_uint_eq(n, 1);
    plan = NULL;
    ck_assert_int_eq(r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, &e), 0);
    r->ops->close(r);
    arena_done(&a);
    tempdir_remove(dir);
}
END_TEST

static int set_blue_failing(struct registry *r, struct plan *here, struct err *e)
{
    *here = (struct plan){.kind = FAULT_LOG, .error = EIO, .countdown = 1, .sticky = true};
    plan = here;
    int rc = r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, e);
    plan = NULL;
    ck_assert(here->fired);
    return rc;
}

// That the database can be opened, and read, proves nothing: it must have taken a write.
START_TEST(after_an_error_no_change_begins_before_a_write_without_a_change_succeeded)
{
    struct registry *r;
    struct registry_model *models;
    struct arena a;
    struct err e;
    size_t n;
    static struct plan here;
    prepare();
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(arena_init(&a, 1 << 20, &e), 0);
    ck_assert_int_eq(set_blue_failing(r, &here, &e), ERR_IO);
    ck_assert_int_eq(set_blue_failing(r, &here, &e), ERR_READ_ONLY);
    ck_assert_int_eq(r->ops->models(r, &a, &models, &n, &e), 0); // opens it anew
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(set_blue_failing(r, &here, &e), ERR_READ_ONLY);
    ck_assert_int_eq(r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, &e), 0);
    ck_assert_int_eq(r->ops->alias_set(r, &CAUSE, STR("churn"), STR("green"), 1, &e), 0);
    ck_assert_int_eq(set_blue_failing(r, &here, &e), ERR_IO); // it was sound in between
    r->ops->close(r);
    arena_done(&a);
    tempdir_remove(dir);
}
END_TEST

START_TEST(on_a_full_disk_names_can_be_moved_and_nothing_is_added)
{
    struct registry *r;
    struct err e;
    uint32_t was;
    prepare();
    static struct plan here;
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(r->ops->room(r, &e), 0);
    full_disk = dir;
    here = (struct plan){.kind = FAULT_FULL, .error = ENOSPC, .countdown = 1, .sticky = true};
    plan = &here;
    int added = add(r, "churn", "", &e);
    int set = r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, &e);
    int room = r->ops->room(r, &e);
    int removed = r->ops->alias_remove(r, &CAUSE, STR("churn"), STR("blue"), &was, &e);
    plan = NULL;
    ck_assert_int_eq(added, ERR_NO_SPACE);
    ck_assert_msg(set == 0, "%s", e.msg);
    ck_assert_int_eq(room, ERR_NO_SPACE);
    ck_assert_int_eq(removed, 0);
    ck_assert_int_eq(r->ops->room(r, &e), 0); // there is room again
    ck_assert_int_eq(add(r, "churn", "", &e), 0);
    r->ops->close(r);
    tempdir_remove(dir);
}
END_TEST

UNIT_MAIN("registry/faults", after_an_error_of_the_disk_only_reading_goes_on_until_it_takes_a_write,
          after_an_error_no_change_begins_before_a_write_without_a_change_succeeded,
          on_a_full_disk_names_can_be_moved_and_nothing_is_added,
          after_an_io_error_the_handle_is_closed_and_opened_anew,
          a_database_that_cannot_be_opened_for_writing_is_tried_again, a_write_fails_once,
          the_disk_is_full_from_some_write_on, a_sync_fails_once, syncs_fail_from_some_call_on,
          a_change_of_names_fails_once, an_allocation_fails_once)
