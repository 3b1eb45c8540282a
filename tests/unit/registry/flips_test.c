// SPDX-License-Identifier: Apache-2.0
// Bytes of the registry's files that the disk changed, one at a time, anywhere: each is found or harmless.
// Whatever the registry still tells is what was written, or an error; nothing of it is ever wrong.
#include "registry/check.h"

#include "filled.h"
#include "unit.h"

#include <ftw.h>
#include <stdarg.h>

enum {
    FILES = 8,
    FLIPS = 250,
    PATHS_MAX = 64,
    SHOWN_MAX = 1 << 20,
    FILE_MAX = 1 << 20,
};

static char dir[TEMPDIR_SIZE], template[TEMPDIR_SIZE];
static char paths[PATHS_MAX][1024]; // of the files that are damaged, below the template
static long sizes[PATHS_MAX];
static unsigned n_paths;
static char truth[SHOWN_MAX], shown[SHOWN_MAX];
static struct err e;
static unsigned n_findings;

static bool is_ours(const char *path)
{
    return strstr(path, "/blobs/sha256/") || strstr(path, "/registry.db") || strstr(path, "/audit.head");
}

static int note_path(const char *path, const struct stat *st, int what, struct FTW *at)
{
    (void)at;
    if (what == FTW_F && is_ours(path) && st->st_size > 0 && !strstr(path, "-shm")) {
        ck_assert_uint_lt(n_paths, PATHS_MAX);
        sizes[n_paths] = (long)st->st_size;
        snprintf(paths[n_paths++], sizeof paths[0], "%s", path + strlen(template) + 1);
    }
    return 0;
}

static int copy_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
    static char bytes[FILE_MAX], to[TEMPDIR_SIZE + 1024];
    (void)at;
    snprintf(to, sizeof to, "%s%s", dir, path + strlen(template));
    if (what == FTW_D)
        return mkdir(to, 0750) && strcmp(to, dir) != 0;
    if (strstr(path, "/registry.reserve") || strstr(path, "-shm"))
        return 0;
    ck_assert_int_lt(st->st_size, FILE_MAX);
    int from_fd = open(path, O_RDONLY), to_fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    ck_assert(from_fd >= 0 && to_fd >= 0);
    ssize_t n = read(from_fd, bytes, sizeof bytes);
    ck_assert_int_eq(write(to_fd, bytes, (size_t)n), n);
    close(from_fd);
    close(to_fd);
    return 0;
}

static void copy_template(void)
{
    tempdir_new(dir);
    ck_assert_int_eq(nftw(template, copy_one, 16, FTW_PHYS), 0);
}

// Appends to what the registry says; "?" stands for an error.
static void put(size_t *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(size_t *n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    *n += (size_t)vsnprintf(shown + *n, sizeof shown - *n, fmt, ap);
    va_end(ap);
    ck_assert_uint_lt(*n, sizeof shown);
}

// The bytes of a file are read as all their readers do: hashed, and not used when they are others.
static void put_file(struct blobs *b, const struct registry_artifact *f, size_t *n)
{
    struct registry_digest is;
    char hex[REGISTRY_DIGEST_HEX];
    int fd = -1;
    if (b->ops->open(b, &f->digest, &fd, &e) || registry_digest_file(fd, &is, &e) ||
        !registry_digest_eq(&is, &f->digest)) {
        put(n, " ?");
    } else {
        registry_digest_hex(&is, hex);
        put(n, " " STR_FMT "=%s:%llu:%d", STR_ARG(f->name), hex, (unsigned long long)f->size_bytes, f->role);
    }
    if (fd >= 0)
        close(fd);
}

static void put_version(struct registry *r, struct blobs *b, const char *model, const char *which,
                        struct arena *a, size_t *n)
{
    struct registry_version v;
    put(n, "%s/%s", model, which);
    if (r->ops->version_find(r, str_of(model), str_of(which), a, &v, &e)) {
        put(n, " ?\n");
        return;
    }
    put(n, " %llu " STR_FMT " %u " STR_FMT " " STR_FMT " " STR_FMT " " STR_FMT " " STR_FMT " " STR_FMT,
        (unsigned long long)v.id, STR_ARG(v.model), v.number, STR_ARG(v.state), STR_ARG(v.engine),
        STR_ARG(v.format), STR_ARG(v.signature_json), STR_ARG(v.tags_json), STR_ARG(v.settings_json));
    for (size_t i = 0; i < v.n_artifacts; i++)
        put_file(b, &v.artifacts[i], n);
    put(n, "\n");
}

static void put_lists(struct registry *r, struct arena *a, size_t *n)
{
    struct registry_model *models;
    struct registry_alias *aliases;
    struct registry_alias_change *moves;
    size_t count;
    uint32_t back = 0;
    if (r->ops->models(r, a, &models, &count, &e))
        put(n, "models ?\n");
    else
        for (size_t i = 0; i < count; i++)
            put(n, "model " STR_FMT " %u %u %u\n", STR_ARG(models[i].name), models[i].n_versions,
                models[i].latest_ready, models[i].champion);
    if (r->ops->aliases(r, STR(""), a, &aliases, &count, &e))
        put(n, "aliases ?\n");
    else
        for (size_t i = 0; i < count; i++)
            put(n, "alias " STR_FMT " " STR_FMT " %u\n", STR_ARG(aliases[i].model), STR_ARG(aliases[i].name),
                aliases[i].version);
    if (r->ops->alias_history(r, &(struct registry_history_query){0}, a, &moves, &count, &e))
        put(n, "history ?\n");
    else
        for (size_t i = 0; i < count; i++)
            put(n, "move " STR_FMT " " STR_FMT " %u %u " STR_FMT "\n", STR_ARG(moves[i].model),
                STR_ARG(moves[i].alias), moves[i].version, moves[i].previous, STR_ARG(moves[i].kind));
    if (r->ops->rollback_find(r, STR("churn"), STR("champion"), 0, &back, &e))
        put(n, "back ?\n");
    else
        put(n, "back %u\n", back);
}

// All that is served goes by these; false when the registry does not open.
static bool show(void)
{
    static const char *const WHICH[] = {"1", "2", "3", "4", "champion", "blue", ""};
    struct registry *r;
    struct blobs *b;
    struct arena a;
    size_t n = 0;
    shown[0] = '\0';
    if (registry_sqlite_open(dir, &r, &e))
        return false;
    ck_assert_int_eq(blobs_dir_open(dir, false, &b, &e), 0);
    ck_assert_int_eq(arena_init(&a, 16 << 20, &e), 0);
    put_lists(r, &a, &n);
    for (size_t i = 0; i < sizeof WHICH / sizeof WHICH[0]; i++) {
        put_version(r, b, "churn", WHICH[i], &a, &n);
        put_version(r, b, "price", WHICH[i], &a, &n);
    }
    arena_done(&a);
    b->ops->close(b);
    r->ops->close(r);
    return true;
}

// Line by line: what is shown is true, or says that it is not known.
static void expect_nothing_wrong(const char *where)
{
    const char *is = shown, *should = truth;
    while (*is && *should) {
        size_t n_is = strcspn(is, "\n"), n_should = strcspn(should, "\n");
        bool same = n_is == n_should && memcmp(is, should, n_is) == 0;
        bool unknown = n_is >= 1 && memchr(is, '?', n_is) && strncmp(is, should, strcspn(should, " ")) == 0;
        ck_assert_msg(same || unknown, "%s: '%.*s' instead of '%.*s'", where, (int)n_is, is, (int)n_should,
                      should);
        is += n_is + (is[n_is] == '\n');
        should += n_should + (should[n_should] == '\n');
    }
    ck_assert_msg(!*is && !*should, "%s: something is missing, or is too much", where);
}

static void on_finding(void *ctx, const struct registry_finding *f)
{
    (void)ctx;
    n_findings += f->is_error;
}

// Whether fsck sees it. It may change nothing, so it comes first.
static bool is_found(void)
{
    struct registry_check_sum sum;
    n_findings = 0;
    int rc = registry_check(&(struct registry_check_spec){.dir = dir, .on_finding = on_finding}, &sum, &e);
    return rc != 0 || n_findings > 0;
}

static void move(struct registry *r, const char *model, const char *alias, uint32_t version)
{
    ck_assert_int_eq(r->ops->alias_set(r, &FILLED_CAUSE, str_of(model), str_of(alias), version, &e), 0);
}

// Versions, aliases that moved to and fro, a key, a rollout; with its log when `open` is not NULL.
static void make(struct registry **open)
{
    struct registry *r;
    const struct registry_once once = {
        .key = STR("k1"), .method = STR("PUT"), .path = STR("/x"), .status = 200, .answer = STR("{\"a\":1}")};
    const struct registry_rollout rollout = {.id = 1,
                                             .model = STR("churn"),
                                             .candidates = STR("2"),
                                             .attempt = 1,
                                             .salt = STR("00112233445566778899aabbccddeeff")};
    const struct registry_rollout_move first = {.number = 1, .event = STR("start"), .state = STR("warming")};
    struct registry_cause cause = FILLED_CAUSE;
    cause.once = &once;
    tempdir_new(template);
    filled_new(template, FILES);
    ck_assert_int_eq(registry_sqlite_open(template, &r, &e), 0);
    move(r, "churn", "blue", 1);
    move(r, "churn", "champion", 2);
    move(r, "price", "blue", 3);
    ck_assert_int_eq(r->ops->alias_set(r, &cause, STR("churn"), STR("green"), 3, &e), 0);
    ck_assert_int_eq(r->ops->rollout_add(r, &FILLED_CAUSE, &rollout, &first, &e), 0);
    if (open)
        *open = r;
    else
        r->ops->close(r);
    n_paths = 0;
    nftw(template, note_path, 16, FTW_PHYS);
    snprintf(dir, sizeof dir, "%s", template);
    if (open)
        copy_template();
    ck_assert_msg(show(), "%s", e.msg);
    memcpy(truth, shown, sizeof truth);
    if (open)
        tempdir_remove(dir);
}

// The next file to be damaged: half of the time the database, which is most of what there is.
static unsigned next_path(const char *often)
{
    unsigned i = (unsigned)random() % n_paths;
    if (random() % 2)
        for (i = 0; i + 1 < n_paths && strcmp(paths[i], often) != 0;)
            i++;
    return i;
}

static void flip(unsigned i, char where[256])
{
    char path[TEMPDIR_SIZE + 1024];
    unsigned char byte;
    long at = random() % sizes[i];
    unsigned mask = 1 + (unsigned)random() % 255;
    snprintf(path, sizeof path, "%s/%s", dir, paths[i]);
    ck_assert_int_eq(chmod(path, 0600), 0);
    int fd = open(path, O_RDWR);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    snprintf(where, 256, "%.180s at %ld, %02x to %02x", paths[i], at, byte, byte ^ mask);
    byte ^= (unsigned char)mask;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static unsigned n_flips(void)
{
    const char *wanted = getenv("FLIPS"); // tests/slow makes more
    return wanted ? (unsigned)strtoul(wanted, NULL, 10) : FLIPS;
}

START_TEST(a_flipped_byte_anywhere_is_found_or_harmless)
{
    char where[256];
    unsigned n_seen = 0, n_refused = 0, n = n_flips();
    make(NULL);
    srandom(4711);
    for (unsigned i = 0; i < n; i++) {
        copy_template();
        flip(next_path("registry.db"), where);
        bool found = is_found(), opens = show();
        if (opens)
            expect_nothing_wrong(where);
        ck_assert_msg(opens || found, "%s: %s, and fsck finds nothing", where, e.msg);
        // What was not found changed nothing that can be seen.
        ck_assert_msg(found || strcmp(shown, truth) == 0, "%s: not found", where);
        n_seen += found;
        n_refused += !opens;
        tempdir_remove(dir);
    }
    ck_assert_uint_gt(n_seen, n / 4); // blobs and most of the rest
    ck_assert_uint_gt(n_refused, 0);
    tempdir_remove(template);
}
END_TEST

// A server that was killed leaves its write-ahead log: what is damaged there, and all behind it, is lost.
// What is told then was true once, and the audit says that later rows are missing.
START_TEST(a_flipped_byte_of_the_log_takes_back_changes_and_is_found)
{
    char where[256];
    struct registry *r;
    struct registry_audit_report report;
    struct arena a;
    unsigned n_found = 0, n = n_flips() / 5, log = 0;
    make(&r);
    srandom(815);
    while (strcmp(paths[log], "registry.db-wal") != 0)
        ck_assert_uint_lt(++log, n_paths);
    for (unsigned i = 0; i < n; i++) {
        copy_template();
        flip(log, where);
        ck_assert_int_eq(arena_init(&a, 64 << 20, &e), 0);
        bool opens = show();
        int rc = opens ? registry_sqlite_audit_verify(dir, NULL, &a, &report, &e) : 0;
        ck_assert_msg(rc == 0, "%s: %s", where, e.msg);
        bool found = !opens || report.n_findings > 0;
        ck_assert_msg(found || strcmp(shown, truth) == 0, "%s: not found", where);
        n_found += found;
        arena_done(&a);
        tempdir_remove(dir);
    }
    ck_assert_uint_gt(n_found, n / 4);
    r->ops->close(r);
    tempdir_remove(template);
}
END_TEST

UNIT_MAIN("registry/flips", a_flipped_byte_anywhere_is_found_or_harmless,
          a_flipped_byte_of_the_log_takes_back_changes_and_is_found)
