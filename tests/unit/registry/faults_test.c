// SPDX-License-Identifier: Apache-2.0
// The Nth write, fsync, rename or allocation of a push fails, once or from then on; then the process dies
// without closing anything. After reopening, everything that was acknowledged is there, everything else is
// wholly absent: all rows and files are those of a registry in which just these operations were done, without
// a fault. One fault has failed at most one operation.
#include "registry/registry.h"

#include "failing_calls.h"
#include "tempdir.h"
#include "unit.h"
#include "whole_state.h"

#include <limits.h>
#include <openssl/sha.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

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

static int do_change(struct registry *r, enum op op, struct err *e)
{
    switch (op) {
    case OP_VERSION:
        return add(r, "churn", "champion", e);
    case OP_ALIAS:
        return r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, e);
    case OP_TEMP_ADD:
        return add(r, "temp", "", e);
    case OP_TEMP_REMOVE:
        return r->ops->model_remove(r, &CAUSE, STR("temp"), e);
    default:
        return err_set(e, ERR_INTERNAL, "no change of the registry");
    }
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
    for (enum op op = OP_VERSION; op < OPS; op++) {
        plan->now = op;
        bool is_void = op == OP_TEMP_REMOVE && plan->result[OP_TEMP_ADD];
        note(op, is_void ? 0 : do_change(r, op, &e), &e);
    }
}

static enum kind swept; // the plan's own is reset before anything is checked

// Acknowledged: there. Refused: not there. Open: either.
static void expect(enum op op, bool is_there, const char *what, long n)
{
    if (plan->unknown[op])
        return;
    ck_assert_msg(is_there == (plan->result[op] == 0),
                  "%s, fault %d at call %ld%s (in op %d): result %d, but it is %s", what, swept, n,
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

enum { CHANGES = OPS - OP_VERSION, STATES = 1 << CHANGES }; // of the registry; a bit for each change
static struct buf states[STATES];                           // after just these; empty: they cannot be

static bool has(unsigned state, enum op op)
{
    return state >> (op - OP_VERSION) & 1;
}

// Acknowledged: done. Refused, or not begun: not done. Open: either.
static bool may_be(unsigned state)
{
    for (enum op op = OP_VERSION; op < OPS; op++) {
        bool is_void = op == OP_TEMP_REMOVE && plan->result[OP_TEMP_ADD];
        bool done = plan->result[op] == 0 && !is_void;
        if (has(state, op) != done && (is_void || !plan->unknown[op]))
            return false;
    }
    return states[state].n > 0;
}

static void check_state(long n)
{
    struct buf now;
    const struct buf *near = NULL;
    bool found = false;
    buf_init(&now, WHOLE_STATE_BYTES);
    whole_state(dir, &now);
    for (unsigned i = 0; i < STATES && !found; i++) {
        if (!may_be(i))
            continue;
        near = &states[i];
        found = str_eq(buf_str(&now), buf_str(near));
    }
    ck_assert_ptr_nonnull(near);
    ck_assert_msg(found, "fault %d at call %ld%s (in op %d) left another state: '%s' in place of '%s'", swept,
                  n, plan->sticky ? " and later" : "", plan->fired_in, whole_state_at(&now, near),
                  whole_state_at(near, &now));
    buf_done(&now);
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
    check_state(n);
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

// What there is after just these changes, and with the blob.
static void make_state(unsigned state)
{
    struct registry *r;
    struct blobs *b;
    struct err e;
    bool stored;
    prepare();
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(blobs_dir_open(dir, false, &b, &e), 0);
    ck_assert_int_eq(put_blob(b, &stored, &e), 0);
    for (enum op op = OP_VERSION; op < OPS; op++)
        if (has(state, op))
            ck_assert_int_eq(do_change(r, op, &e), 0);
    b->ops->close(b);
    r->ops->close(r);
    whole_state(dir, &states[state]);
    tempdir_remove(dir);
}

// All that can be, each unlike the others; that without a change has the rows of the original.
static void make_states(void)
{
    struct buf rows;
    buf_init(&rows, WHOLE_STATE_BYTES);
    whole_state_rows(original, &rows);
    for (unsigned i = 0; i < STATES; i++) {
        buf_init(&states[i], WHOLE_STATE_BYTES);
        if (has(i, OP_TEMP_REMOVE) && !has(i, OP_TEMP_ADD))
            continue;
        make_state(i);
        for (unsigned k = 0; k < i; k++)
            ck_assert(!str_eq(buf_str(&states[i]), buf_str(&states[k])));
    }
    ck_assert(rows.n > 0 && states[0].n > rows.n && memcmp(rows.p, states[0].p, rows.n) == 0);
    buf_done(&rows);
}

// One run; false when there were fewer than n calls to fail.
static bool run(const struct plan *p, long n)
{
    prepare();
    swept = p->kind;
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

// All n from 1 on; where there are many calls, ever fewer of the later ones. At least `least` are failed:
// about half as many as there are with the SQLite of today.
static void sweep(struct plan p, long share, long least)
{
    long n = 1, n_failed = 0;
    prepare();
    snprintf(original, sizeof original, "%s", dir);
    make_states();
    plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(plan, MAP_FAILED);
    for (; run(&p, n); n += 1 + n / share)
        n_failed++;
    ck_assert_msg(n_failed >= least, "only %ld calls failed", n_failed);
    munmap(plan, sizeof *plan);
    plan = NULL;
    for (unsigned i = 0; i < STATES; i++)
        buf_done(&states[i]);
    tempdir_remove(original);
    original[0] = '\0';
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
    ck_assert_int_eq(r->ops->models(r, &a, &models, &n, &e), ERR_READ_ONLY);
    ck_assert_ptr_nonnull(strstr(e.hint, "Predictions go on"));
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

// Reading, too, makes a new log, and SQLite does not say when the name of it does not reach the disk.
START_TEST(after_a_read_opened_it_anew_no_change_begins_before_its_names_are_on_the_disk)
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
    for (int i = 0; i < 2; i++) {
        here = (struct plan){.kind = FAULT_SYNC_DIR, .error = EIO, .countdown = 1, .sticky = true};
        plan = &here;
        int set = r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, &e);
        plan = NULL;
        ck_assert_int_eq(set, ERR_READ_ONLY);
        ck_assert(here.fired);
    }
    ck_assert_int_eq(r->ops->alias_set(r, &CAUSE, STR("churn"), STR("blue"), 1, &e), 0);
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
          after_a_read_opened_it_anew_no_change_begins_before_its_names_are_on_the_disk,
          on_a_full_disk_names_can_be_moved_and_nothing_is_added,
          after_an_io_error_the_handle_is_closed_and_opened_anew,
          a_database_that_cannot_be_opened_for_writing_is_tried_again, a_write_fails_once,
          the_disk_is_full_from_some_write_on, a_sync_fails_once, syncs_fail_from_some_call_on,
          a_change_of_names_fails_once, an_allocation_fails_once)
