// SPDX-License-Identifier: Apache-2.0
// Simulated power cuts. The registry and the blobs do random work (power_work.h) while io_shim.h records what
// the disk is asked to do; then the power fails at random moments of it, disk_model.h says what a disk may
// hold, and the registry and the blobs are opened on that. What was acknowledged must be there, what was
// under way wholly there or wholly not, every blob under its name whole, every version with its blobs, the
// audit sound. Then the work goes on, on what a cut left.
//
//   power_cut --cuts N [--seed S] [--ignore FILE] [--expect-violations]
//
// --ignore leaves out all syncs of root, db, wal, blobs, sha256, shard, blob, or db+wal, which is what
// PRAGMA synchronous=OFF does. --expect-violations: succeeds as soon as one is found.
#include "disk_model.h"
#include "io_shim.h"
#include "power_work.h"

#include "base/arena.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CUTS_PER_WORK = 25 };

static struct {
    struct work work;
    struct io_plan plan;
    char base[PATH_MAX]; // folder of the folders
    unsigned long n_cuts, n_violations;
} world;

static uint64_t roll(uint64_t n)
{
    return dice_roll(&world.work.dice, n);
}

static void must(int rc, const struct err *e, const char *what)
{
    if (rc)
        errx(1, "%s: %s (seed %llu)", what, e->msg, (unsigned long long)world.work.seed);
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
// A cut whose result is looked at.
struct cut {
    const char *dir;
    size_t at; // records that were made before
    uint64_t seed;
    const struct work_step *done, *under_way; // the last acknowledged, and the one that the cut hit or NULL
    char *state;                              // found; NULL: none
    uint32_t blobs;                           // found whole
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
    for (size_t i = 0; i < WORK_POOL; i++)
        if (registry_digest_eq(&is, &world.work.pool[i].digest))
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
    if (c->under_way)
        lost &= c->under_way->blobs; // or it was being removed
    if (lost)
        violation(c, "blob %d was acknowledged and is not there", __builtin_ctz(lost));
}

static void check_versions(struct cut *c, struct registry *r)
{
    struct arena a;
    struct err e;
    struct registry_version *list;
    size_t n = 0;
    must(arena_init(&a, WORK_ARENA_BYTES, &e), &e, "list versions");
    must(r->ops->versions(r, &(struct registry_versions_query){0}, &a, &list, &n, &e), &e, "list versions");
    for (size_t i = 0; i < n; i++) {
        bool is_there = false;
        for (size_t k = 0; k < WORK_POOL; k++)
            is_there |= c->blobs >> k & 1 &&
                        registry_digest_eq(&world.work.pool[k].digest, &list[i].artifacts[0].digest);
        if (!is_there)
            violation(c, STR_FMT "/%u is there without its blob", STR_ARG(list[i].model), list[i].number);
    }
    arena_done(&a);
}

static void check_audit(struct cut *c, struct registry *r)
{
    struct registry_audit_report report;
    struct arena a;
    struct err e;
    must(arena_init(&a, WORK_ARENA_BYTES, &e), &e, "verify the audit");
    if (r->ops->audit_verify(r, NULL, &a, &report, &e))
        violation(c, "the audit cannot be verified: %s", e.msg);
    else if (report.n_findings)
        violation(c, "the audit accuses somebody: " STR_FMT, STR_ARG(report.findings[0].text));
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
    } else if (!(c->state = work_state(r, &e))) {
        violation(c, "the registry cannot be read: %s", e.msg);
    } else {
        if (strcmp(c->state, c->done->state) != 0 &&
            (!c->under_way || strcmp(c->state, c->under_way->state) != 0))
            violation(c, "there is\n%sacknowledged was\n%s", c->state, c->done->state);
        check_blobs(c);
        check_versions(c, r);
        check_audit(c, r);
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
static void find_steps(struct cut *c, const struct work_step *before)
{
    c->done = before;
    c->under_way = NULL;
    for (size_t i = 0; i < world.work.n_steps; i++) {
        const struct work_step *s = &world.work.steps[i];
        if (s->end <= c->at)
            c->done = s;
        else if (s->begin < c->at)
            c->under_way = s;
    }
}

// Cuts the power at random moments of the work. What the last cut leaves is what the work goes on with, as
// yet unopened.
static void cut_power(struct disk *disk, const struct work_step *before, const uint8_t *log, size_t n,
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

// A round: work on world.work.dir, then cuts. *state and *blobs: what is there before, and what the last cut
// left.
static void round_of(char **state, uint32_t *blobs, size_t n_cuts)
{
    static char nothing[] = "";
    struct work_step before = {.what = "nothing", .state = *state ? *state : nothing, .blobs = *blobs};
    struct disk *disk = disk_new(world.work.dir);
    if (ftruncate(world.work.log_fd, 0) < 0)
        err(1, "empty the records");
    io_shim_attach(&world.plan, world.work.dir, world.work.log_fd);
    work_run(&world.work, *state, *blobs);
    io_shim_detach();
    if (!*state) // a registry that was never opened is empty
        before.state = world.work.steps[0].state;
    size_t n = work_recorded(&world.work);
    uint8_t *log = mmap(NULL, n, PROT_READ, MAP_PRIVATE, world.work.log_fd, 0);
    if (log == MAP_FAILED)
        err(1, "read the records");
    struct cut last = {0};
    cut_power(disk, &before, log, n, n_cuts, &last);
    work_close(&world.work);
    disk_free(disk);
    munmap(log, n);
    for (size_t i = 0; i < world.work.n_steps; i++)
        free(world.work.steps[i].state);
    remove_dir(world.work.dir);
    if (rename(last.dir, world.work.dir) < 0)
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
            remove_dir(world.work.dir);
            if (mkdir(world.work.dir, 0750) < 0)
                err(1, "make '%s'", world.work.dir);
        }
        unsigned long left = n_cuts - world.n_cuts;
        round_of(&state, &blobs, left < CUTS_PER_WORK ? left : CUTS_PER_WORK);
    }
    free(state);
}

// A folder in memory: the cuts are ours.
static void make_folders(void)
{
    const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(world.base, sizeof world.base, "%s/slipway-power-XXXXXX", tmp);
    if (!mkdtemp(world.base))
        err(1, "make a folder in %s", tmp);
    snprintf(world.work.dir, sizeof world.work.dir, "%.4000s/data", world.base);
    if (mkdir(world.work.dir, 0750) < 0)
        err(1, "make '%s'", world.work.dir);
}

int main(int argc, char **argv)
{
    unsigned long n_cuts = 0;
    bool until_violation = false;
    uint64_t seed = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--expect-violations") == 0)
            until_violation = true;
        else if (i + 1 < argc && strcmp(argv[i], "--cuts") == 0)
            n_cuts = strtoul(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "--ignore") == 0)
            world.plan.ignored_syncs = file_named(argv[++i]);
        else
            errx(2, "usage: power_cut --cuts N [--seed S] [--ignore FILE] [--expect-violations]");
    }
    world.plan.is_armed = world.plan.is_recording = 1;
    work_init(&world.work, seed);
    make_folders();
    run(n_cuts, until_violation);
    remove_dir(world.base);
    close(world.work.log_fd);
    printf("%lu power cuts, %lu violations (seed %llu)\n", world.n_cuts, world.n_violations,
           (unsigned long long)seed);
    return (world.n_violations > 0) != until_violation;
}
