// SPDX-License-Identifier: Apache-2.0
// Simulated power cuts. The registry and the blobs do random work while io_shim.h records what the disk is
// asked to do; then the power fails at random moments of it, disk_model.h says what a disk may hold, and the
// registry and the blobs are opened on that. What was acknowledged must be there, what was under way wholly
// there or wholly not, every blob under its name whole, every version with its blobs. Then the work goes on,
// on what a cut left.
//
//   power_cut --cuts N [--seed S] [--ignore FILE] [--expect-violations]
//
// --ignore leaves out all syncs of root, db, wal, blobs, sha256, shard, blob, or db+wal, which is what
// PRAGMA synchronous=OFF does. --expect-violations: succeeds as soon as one is found.
#include "disk_model.h"
#include "io_shim.h"

#include "base/arena.h"
#include "base/buf.h"
#include "os/file.h"
#include "registry/registry.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STEPS_MAX = 300, // of the work between two sets of cuts: enough for SQLite to empty its log now and then
    STEPS_FEW = 40,  // in most of it
    CUTS_PER_WORK = 25,
    POOL = 24, // blobs that may be stored
    BLOB_BYTES_MAX = 20000,
    STATE_BYTES_MAX = 1 << 20,
    ARENA_BYTES = 16 << 20,
    SLOTS = 4096,
};
static const char *const MODELS[] = {"churn", "price", "fraud"}, *const ALIASES[] = {"champion",
                                                                                     "challenger"};
static const struct registry_cause CAUSE = {
    .actor = STR("tester"), .request_id = STR("req-1"), .wall_ns = 1700000000000000000u};

struct blob {
    size_t n;
    uint8_t bytes[BLOB_BYTES_MAX];
    struct registry_digest digest;
};

// One operation, acknowledged at its end.
struct step {
    size_t begin, end; // number of records before and after it
    const char *what;
    char *state;    // of the registry afterwards, as text
    uint32_t blobs; // acknowledged afterwards: bit i is pool[i]
};

static struct {
    struct io_plan plan;
    struct dice dice;
    char base[PATH_MAX]; // folder of the folders
    char dir[PATH_MAX];  // the data directory that is worked on
    int log_fd;
    struct registry *registry;
    struct blobs *store;
    struct step steps[STEPS_MAX + 1]; // [0]: what was there before
    size_t n_steps;
    uint32_t next_slot;
    unsigned long n_cuts, n_violations;
    uint64_t seed;
} world;
static struct blob pool[POOL];

static uint64_t roll(uint64_t n)
{
    return dice_roll(&world.dice, n);
}

static void make_pool(void)
{
    for (size_t i = 0; i < POOL; i++) {
        pool[i].n = 1 + roll(roll(4) ? 600 : BLOB_BYTES_MAX);
        for (size_t at = 0; at < pool[i].n; at++)
            pool[i].bytes[at] = (uint8_t)roll(256);
        SHA256(pool[i].bytes, pool[i].n, pool[i].digest.bytes);
    }
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
    (void)st, (void)what, (void)at;
    return remove(path);
}

static void remove_dir(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int put_version(struct registry *r, struct arena *a, const struct registry_version *listed,
                       struct buf *out, struct err *e)
{
    struct registry_version v;
    char number[16], digest[REGISTRY_DIGEST_HEX];
    snprintf(number, sizeof number, "%u", listed->number);
    int rc = r->ops->version_find(r, listed->model, str_of(number), a, &v, e);
    if (rc)
        return rc;
    buf_printf(out, " %u[%llu slot %u " STR_FMT " " STR_FMT, v.number, (unsigned long long)v.id, v.slot,
               STR_ARG(v.state), STR_ARG(v.description));
    for (size_t i = 0; i < v.n_artifacts; i++) {
        registry_digest_hex(&v.artifacts[i].digest, digest);
        buf_printf(out, " %.8s:%llu", digest, (unsigned long long)v.artifacts[i].size_bytes);
    }
    buf_puts(out, "]");
    return 0;
}

static int put_model(struct registry *r, struct arena *a, struct str model, struct buf *out, struct err *e)
{
    struct registry_version *versions;
    struct registry_alias *aliases;
    size_t n_versions = 0, n_aliases = 0;
    uint64_t id = 0;
    uint32_t number = 0;
    int rc =
        r->ops->versions(r, &(struct registry_versions_query){.model = model}, a, &versions, &n_versions, e);
    if (!rc)
        rc = r->ops->aliases(r, model, a, &aliases, &n_aliases, e);
    if (!rc)
        rc = r->ops->version_next(r, model, &id, &number, e);
    buf_printf(out, STR_FMT " (next %llu, %u):", STR_ARG(model), (unsigned long long)id, number);
    for (size_t i = 0; !rc && i < n_versions; i++)
        rc = put_version(r, a, &versions[i], out, e);
    for (size_t i = 0; !rc && i < n_aliases; i++)
        buf_printf(out, " " STR_FMT "=%u", STR_ARG(aliases[i].name), aliases[i].version);
    buf_putc(out, '\n');
    return rc;
}

// All that callers can see of the registry; NULL when it cannot be read.
static char *state_of(struct registry *r, struct err *e)
{
    struct arena a;
    struct buf out;
    int rc = arena_init(&a, ARENA_BYTES, e);
    if (rc)
        return NULL;
    buf_init(&out, STATE_BYTES_MAX);
    for (size_t i = 0; !rc && i < sizeof MODELS / sizeof MODELS[0]; i++)
        rc = put_model(r, &a, str_of(MODELS[i]), &out, e);
    char *text = rc ? NULL : str_dup(buf_str(&out));
    buf_done(&out);
    arena_done(&a);
    return text;
}

static size_t n_records(void)
{
    struct stat st;
    if (fstat(world.log_fd, &st) < 0)
        err(1, "look at the records");
    return (size_t)st.st_size; // any number that grows will do: the offset
}

static void must(int rc, const struct err *e, const char *what)
{
    if (rc)
        errx(1, "%s: %s (seed %llu)", what, e->msg, (unsigned long long)world.seed);
}

static void open_both(void)
{
    struct err e;
    must(registry_sqlite_open(world.dir, &world.registry, &e), &e, "open the registry");
    must(blobs_dir_open(world.dir, false, &world.store, &e), &e, "open the blobs");
}

static void close_both(void)
{
    world.registry->ops->close(world.registry);
    world.store->ops->close(world.store);
}

static const char *reopen(void)
{
    close_both();
    open_both();
    return "reopen";
}

// As the controller does it: one that is there is only made durable.
static void put_blob(size_t i)
{
    struct blobs *b = world.store;
    struct blob_writer *w = NULL;
    struct blob_parts parts;
    struct err e;
    bool stored;
    uint64_t size;
    if (b->ops->find(b, &pool[i].digest, &size, &e) == ERR_NOT_FOUND) {
        must(b->ops->writer_open(b, BLOB_BYTES_MAX, &w, &e), &e, "write a blob");
        size_t half = pool[i].n / 2;
        must(b->ops->write(w, pool[i].bytes, half, &e), &e, "write a blob");
        must(b->ops->write(w, pool[i].bytes + half, pool[i].n - half, &e), &e, "write a blob");
    }
    b->ops->parts(b, w, &parts);
    must(blob_store(&parts, &pool[i].digest, &stored, &e), &e, "store a blob");
    b->ops->abort(w);
    world.steps[world.n_steps].blobs |= UINT32_C(1) << i;
}

static const char *upload(void)
{
    put_blob(roll(POOL));
    return "upload";
}

// What a store process leaves that dies before its last call. Nothing is acknowledged.
static const char *store_dies(void)
{
    char hex[REGISTRY_DIGEST_HEX];
    struct blob_writer *w;
    struct blob_parts parts;
    struct err e;
    size_t i = roll(POOL);
    int shard_fd = -1;
    registry_digest_hex(&pool[i].digest, hex);
    char shard[] = {hex[0], hex[1], '\0'};
    must(world.store->ops->writer_open(world.store, BLOB_BYTES_MAX, &w, &e), &e, "write a blob");
    must(world.store->ops->write(w, pool[i].bytes, pool[i].n, &e), &e, "write a blob");
    world.store->ops->parts(world.store, w, &parts);
    must(file_sync(parts.file_fd, &e), &e, "sync a blob");
    must(file_make_dir(parts.sha256_fd, shard, &shard_fd, &e), &e, "make a shard");
    if (renameat(parts.tmp_fd, parts.tmp_name, shard_fd, hex) < 0)
        err(1, "rename a blob");
    close(shard_fd);
    world.store->ops->abort(w);
    return "death of a store process";
}

static struct str any_model(void)
{
    return str_of(MODELS[roll(sizeof MODELS / sizeof MODELS[0])]);
}

static struct str any_alias(void)
{
    return str_of(ALIASES[roll(sizeof ALIASES / sizeof ALIASES[0])]);
}

// Its blobs were acknowledged in this step or before.
static const char *push(void)
{
    struct registry_artifact file = {.name = STR("model.json")};
    size_t i = roll(POOL);
    char *description = malloc(8192);
    if (!description)
        errx(1, "no memory for a description");
    memset(description, 'x', 8192);
    put_blob(i);
    file.digest = pool[i].digest;
    file.size_bytes = pool[i].n;
    struct registry_version v = {.model = any_model(),
                                 .slot = world.next_slot++ % SLOTS,
                                 .engine = STR("trees"),
                                 .format = STR("xgboost_json"),
                                 .signature_json = STR("{}"),
                                 .description = {description, roll(8192)},
                                 .tags_json = STR("{}"),
                                 .settings_json = STR("{}"),
                                 .artifacts = &file,
                                 .n_artifacts = 1};
    struct err e;
    uint64_t id;
    uint32_t number;
    must(world.registry->ops->version_add(world.registry, &CAUSE, &v, roll(2) ? any_alias() : STR(""), &id,
                                          &number, &e),
         &e, "add a version");
    free(description);
    return "push";
}

// A version of the model that exists, or 0.
static uint32_t any_version(struct str model)
{
    struct arena a;
    struct err e;
    struct registry_version *list;
    size_t n = 0;
    must(arena_init(&a, ARENA_BYTES, &e), &e, "list versions");
    must(world.registry->ops->versions(world.registry, &(struct registry_versions_query){.model = model}, &a,
                                       &list, &n, &e),
         &e, "list versions");
    uint32_t number = n ? list[roll(n)].number : 0;
    arena_done(&a);
    return number;
}

static const char *promote(void)
{
    struct str model = any_model();
    struct err e;
    uint32_t number = any_version(model);
    if (number)
        must(world.registry->ops->alias_set(world.registry, &CAUSE, model, any_alias(), number, &e), &e,
             "move an alias");
    return "promote";
}

static const char *delete_version(void)
{
    struct str model = any_model();
    struct err e;
    uint32_t number = any_version(model);
    if (number)
        must(world.registry->ops->version_remove(world.registry, &CAUSE, model, number, true, &e), &e,
             "delete a version");
    return "delete a version";
}

static const char *delete_model(void)
{
    struct str model = any_model();
    struct err e;
    if (any_version(model))
        must(world.registry->ops->model_remove(world.registry, &CAUSE, model, &e), &e, "delete a model");
    return "delete a model";
}

// Each as often as it stands here.
static const char *(*const OPERATIONS[])(void) = {
    store_dies, store_dies, upload,  upload,  upload,  push,           push,         push,  push,
    promote,    promote,    promote, promote, promote, delete_version, delete_model, reopen};

static void begin_step(void)
{
    struct step *s = &world.steps[world.n_steps];
    *s = (struct step){.begin = n_records(), .blobs = world.n_steps ? s[-1].blobs : 0};
}

static void end_step(const char *what)
{
    struct step *s = &world.steps[world.n_steps++];
    s->end = n_records();
    s->what = what;
    struct err e;
    s->state = state_of(world.registry, &e);
    must(!s->state, &e, "read the registry");
}

// steps[0] is to open it: what was there stays there.
static void work(const char *state, uint32_t blobs)
{
    size_t n = 1 + roll(roll(8) ? STEPS_FEW : STEPS_MAX);
    world.n_steps = 0;
    begin_step();
    world.steps[0].blobs = blobs;
    open_both();
    end_step("open");
    if (state && strcmp(state, world.steps[0].state) != 0)
        errx(1, "opening it again changed it:\n%s\n%s", state, world.steps[0].state);
    while (world.n_steps < n) {
        begin_step();
        const char *what = OPERATIONS[roll(sizeof OPERATIONS / sizeof OPERATIONS[0])]();
        end_step(what);
    }
}

// A cut whose result is looked at.
struct cut {
    const char *dir;
    size_t at; // records that were made before
    uint64_t seed;
    const struct step *done, *under_way; // the last acknowledged, and the one that the cut hit or NULL
    char *state;                         // found; NULL: none
    uint32_t blobs;                      // found whole
};

static void violation(const struct cut *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void violation(const struct cut *c, const char *format, ...)
{
    va_list args;
    world.n_violations++;
    if (world.plan.ignored_syncs)
        return; // wanted
    printf("violation: cut seed %llu after %zu bytes of records, %s%s: ", (unsigned long long)c->seed, c->at,
           c->under_way ? "during " : "after ", c->under_way ? c->under_way->what : c->done->what);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

// A file below blobs/sha256: whole, or it is a violation.
static void check_blob_file(struct cut *c, int dir_fd, const char *name)
{
    struct registry_digest is;
    struct err e;
    char hex[REGISTRY_DIGEST_HEX];
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || registry_digest_file(fd, &is, &e))
        errx(1, "read a blob");
    close(fd);
    registry_digest_hex(&is, hex);
    if (strcmp(hex, name) != 0) {
        violation(c, "blob %.8s is not whole", name);
        return;
    }
    for (size_t i = 0; i < POOL; i++)
        if (registry_digest_eq(&is, &pool[i].digest))
            c->blobs |= UINT32_C(1) << i;
}

static void check_shard(struct cut *c, int parent_fd, const char *name)
{
    DIR *dir = fdopendir(openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (struct dirent *one; dir && (one = readdir(dir));)
        if (one->d_name[0] != '.')
            check_blob_file(c, dirfd(dir), one->d_name);
    closedir(dir);
}

static void check_blobs(struct cut *c)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/blobs/sha256", c->dir);
    DIR *dir = opendir(path);
    for (struct dirent *one; dir && (one = readdir(dir));)
        if (one->d_name[0] != '.')
            check_shard(c, dirfd(dir), one->d_name);
    closedir(dir);
    uint32_t lost = c->done->blobs & ~c->blobs;
    if (lost)
        violation(c, "blob %d was acknowledged and is not there", __builtin_ctz(lost));
}

static void check_versions(struct cut *c, struct registry *r)
{
    struct arena a;
    struct err e;
    struct registry_version *list;
    size_t n = 0;
    must(arena_init(&a, ARENA_BYTES, &e), &e, "list versions");
    must(r->ops->versions(r, &(struct registry_versions_query){0}, &a, &list, &n, &e), &e, "list versions");
    for (size_t i = 0; i < n; i++) {
        bool is_there = false;
        for (size_t k = 0; k < POOL; k++)
            is_there |=
                c->blobs >> k & 1 && registry_digest_eq(&pool[k].digest, &list[i].artifacts[0].digest);
        if (!is_there)
            violation(c, STR_FMT "/%u is there without its blob", STR_ARG(list[i].model), list[i].number);
    }
    arena_done(&a);
}

// Where nothing was acknowledged, there may be nothing.
static void check(struct cut *c)
{
    struct registry *r = NULL;
    struct blobs *b = NULL;
    struct err e;
    if (registry_sqlite_open(c->dir, &r, &e)) {
        violation(c, "the registry does not open: %s", e.msg);
        return;
    }
    if (blobs_dir_open(c->dir, false, &b, &e)) {
        violation(c, "the blobs do not open: %s", e.msg);
    } else if (!(c->state = state_of(r, &e))) {
        violation(c, "the registry cannot be read: %s", e.msg);
    } else {
        if (strcmp(c->state, c->done->state) != 0 &&
            (!c->under_way || strcmp(c->state, c->under_way->state) != 0))
            violation(c, "there is\n%sacknowledged was\n%s", c->state, c->done->state);
        check_blobs(c);
        check_versions(c, r);
    }
    if (b)
        b->ops->close(b);
    r->ops->close(r);
}

static int by_size(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

// `before`: what was there when the work began.
static void find_steps(struct cut *c, const struct step *before)
{
    c->done = before;
    c->under_way = NULL;
    for (size_t i = 0; i < world.n_steps; i++) {
        const struct step *s = &world.steps[i];
        if (s->end <= c->at)
            c->done = s;
        else if (s->begin < c->at)
            c->under_way = s;
    }
}

// Cuts the power at random moments of the work. What the last cut leaves is what the work goes on with, as
// yet unopened.
static void cut_power(struct disk *disk, const struct step *before, const uint8_t *log, size_t n,
                      size_t n_cuts, struct cut *ret_last)
{
    static char dir[PATH_MAX + 16];
    snprintf(dir, sizeof dir, "%s/cut", world.base);
    size_t at[CUTS_PER_WORK], done = 0;
    for (size_t i = 0; i < n_cuts; i++)
        at[i] = roll(n + 1);
    qsort(at, n_cuts, sizeof at[0], by_size);
    for (size_t i = 0; i < n_cuts; i++) {
        while (done < n) {
            const struct io_record *r = (const struct io_record *)(const void *)(log + done);
            if (done + io_record_size(r) > at[i])
                break;
            disk_apply(disk, r);
            done += io_record_size(r);
        }
        struct cut c = {.dir = dir, .at = done, .seed = roll(UINT64_MAX)};
        find_steps(&c, before);
        disk_cut(disk, c.seed, dir);
        check(&c);
        remove_dir(dir);
        world.n_cuts++;
        free(ret_last->state);
        *ret_last = c;
    }
    disk_cut(disk, ret_last->seed, dir);
}

// A round: work on world.dir, then cuts. *state and *blobs: what is there before, and what the last cut left.
static void round_of(char **state, uint32_t *blobs, size_t n_cuts)
{
    static char nothing[] = "";
    struct step before = {.what = "nothing", .state = *state ? *state : nothing, .blobs = *blobs};
    struct disk *disk = disk_new(world.dir);
    if (ftruncate(world.log_fd, 0) < 0)
        err(1, "empty the records");
    io_shim_attach(&world.plan, world.dir, world.log_fd);
    work(*state, *blobs);
    io_shim_detach();
    if (!*state) // a registry that was never opened is empty
        before.state = world.steps[0].state;
    size_t n = n_records();
    uint8_t *log = mmap(NULL, n, PROT_READ, MAP_PRIVATE, world.log_fd, 0);
    if (log == MAP_FAILED)
        err(1, "read the records");
    struct cut last = {0};
    cut_power(disk, &before, log, n, n_cuts, &last);
    close_both();
    disk_free(disk);
    munmap(log, n);
    for (size_t i = 0; i < world.n_steps; i++)
        free(world.steps[i].state);
    remove_dir(world.dir);
    if (rename(last.dir, world.dir) < 0)
        err(1, "go on with what the cut left");
    free(*state);
    *state = last.state;
    *blobs = last.blobs;
}

static uint32_t file_named(const char *name)
{
    static const struct {
        const char *name;
        uint32_t files;
    } FILES[] = {{"root", IO_FILE_ROOT},     {"db", IO_FILE_DB},
                 {"wal", IO_FILE_WAL},       {"blobs", IO_FILE_BLOBS},
                 {"sha256", IO_FILE_SHA256}, {"shard", IO_FILE_SHARD},
                 {"blob", IO_FILE_BLOB},     {"db+wal", IO_FILE_DB | IO_FILE_WAL}};
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++)
        if (strcmp(FILES[i].name, name) == 0)
            return FILES[i].files;
    errx(2, "--ignore takes root, db, wal, blobs, sha256, shard, blob or db+wal, not '%s'", name);
}

// Starts with nothing every few rounds, and after a violation.
static void run(unsigned long n_cuts, bool until_violation)
{
    char *state = NULL;
    uint32_t blobs = 0;
    unsigned long seen = 0;
    while (world.n_cuts < n_cuts && !(until_violation && world.n_violations)) {
        if (world.n_violations > seen || roll(4) == 0) {
            seen = world.n_violations;
            free(state);
            state = NULL;
            blobs = 0;
            remove_dir(world.dir);
            if (mkdir(world.dir, 0750) < 0)
                err(1, "make '%s'", world.dir);
        }
        unsigned long left = n_cuts - world.n_cuts;
        round_of(&state, &blobs, left < CUTS_PER_WORK ? left : CUTS_PER_WORK);
    }
    free(state);
}

int main(int argc, char **argv)
{
    unsigned long n_cuts = 0;
    bool until_violation = false;
    world.seed = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--expect-violations") == 0)
            until_violation = true;
        else if (i + 1 < argc && strcmp(argv[i], "--cuts") == 0)
            n_cuts = strtoul(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            world.seed = strtoull(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "--ignore") == 0)
            world.plan.ignored_syncs = file_named(argv[++i]);
        else
            errx(2, "usage: power_cut --cuts N [--seed S] [--ignore FILE] [--expect-violations]");
    }
    world.dice.state = world.seed;
    world.plan.is_armed = world.plan.is_recording = 1;
    const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(world.base, sizeof world.base, "%s/slipway-power-XXXXXX", tmp);
    if (!mkdtemp(world.base))
        err(1, "make a folder in %s", tmp);
    snprintf(world.dir, sizeof world.dir, "%.4000s/data", world.base);
    if (mkdir(world.dir, 0750) < 0)
        err(1, "make '%s'", world.dir);
    world.log_fd = memfd_create("records", MFD_CLOEXEC);
    if (world.log_fd < 0 || fcntl(world.log_fd, F_SETFL, O_APPEND) < 0)
        err(1, "make a file for the records");
    make_pool();
    run(n_cuts, until_violation);
    remove_dir(world.base);
    close(world.log_fd);
    printf("%lu power cuts, %lu violations (seed %llu)\n", world.n_cuts, world.n_violations,
           (unsigned long long)world.seed);
    return (world.n_violations > 0) != until_violation;
}
