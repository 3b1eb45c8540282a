// SPDX-License-Identifier: Apache-2.0
// The operations of power_work.h.
#include "power_work.h"

#include "base/arena.h"
#include "base/buf.h"
#include "os/file.h"

#include <err.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATE_BYTES_MAX = 1 << 20 };
static const char *const MODELS[] = {"churn", "price", "fraud"}, *const ALIASES[] = {"champion",
                                                                                     "challenger"};
static const struct registry_cause CAUSE = {
    .actor = STR("tester"), .request_id = STR("req-1"), .wall_ns = 1700000000000000000u};

static uint64_t roll(struct work *w, uint64_t n)
{
    return dice_roll(&w->dice, n);
}

static void pool_fill(struct work *w)
{
    for (size_t i = 0; i < WORK_POOL; i++) {
        w->pool[i].n = 1 + roll(w, roll(w, 4) ? 600 : WORK_BLOB_BYTES_MAX);
        for (size_t at = 0; at < w->pool[i].n; at++)
            w->pool[i].bytes[at] = (uint8_t)roll(w, 256);
        SHA256(w->pool[i].bytes, w->pool[i].n, w->pool[i].digest.bytes);
    }
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
    buf_printf(out, " %u[%llu " STR_FMT " " STR_FMT, v.number, (unsigned long long)v.id, STR_ARG(v.state),
               STR_ARG(v.description));
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

// The last row of the audit stands for all of them: its hash covers them.
static int put_history(struct registry *r, struct arena *a, struct buf *out, struct err *e)
{
    struct registry_alias_change *list;
    struct registry_audit head;
    size_t n = 0;
    char hex[REGISTRY_DIGEST_HEX];
    int rc = r->ops->alias_history(r, &(struct registry_history_query){0}, a, &list, &n, e);
    for (size_t i = 0; !rc && i < n; i++)
        buf_printf(out, STR_FMT "/" STR_FMT " " STR_FMT " %u to %u, ", STR_ARG(list[i].model),
                   STR_ARG(list[i].alias), STR_ARG(list[i].kind), list[i].previous, list[i].version);
    if (!rc)
        rc = r->ops->audit_head(r, &head, e);
    if (rc)
        return rc;
    registry_digest_hex(&head.hash, hex);
    buf_printf(out, "audit %llu %s\n", (unsigned long long)head.id, hex);
    return 0;
}

char *work_state(struct registry *r, struct err *e)
{
    struct arena a;
    struct buf out;
    int rc = arena_init(&a, WORK_ARENA_BYTES, e);
    if (rc)
        return NULL;
    buf_init(&out, STATE_BYTES_MAX);
    for (size_t i = 0; !rc && i < sizeof MODELS / sizeof MODELS[0]; i++)
        rc = put_model(r, &a, str_of(MODELS[i]), &out, e);
    if (!rc)
        rc = put_history(r, &a, &out, e);
    char *text = rc ? NULL : str_dup(buf_str(&out));
    buf_done(&out);
    arena_done(&a);
    return text;
}

size_t work_recorded(const struct work *w)
{
    struct stat st;
    if (fstat(w->log_fd, &st) < 0)
        err(1, "look at the records");
    return (size_t)st.st_size; // any number that grows will do: the offset
}

static void must(const struct work *w, int rc, const struct err *e, const char *what)
{
    if (rc)
        errx(1, "%s: %s (seed %llu)", what, e->msg, (unsigned long long)w->seed);
}

static void open_both(struct work *w)
{
    struct err e;
    must(w, registry_sqlite_open(w->dir, &w->registry, &e), &e, "open the registry");
    must(w, blobs_dir_open(w->dir, false, &w->store, &e), &e, "open the blobs");
}

void work_close(struct work *w)
{
    w->registry->ops->close(w->registry);
    w->store->ops->close(w->store);
}

static const char *reopen(struct work *w)
{
    work_close(w);
    open_both(w);
    return "reopen";
}

// As the controller does it: one that is there is only made durable.
static void put_blob(struct work *w, size_t i)
{
    struct blobs *b = w->store;
    struct blob_writer *writer = NULL;
    struct blob_parts parts;
    struct err e;
    bool stored;
    uint64_t size;
    if (b->ops->find(b, &w->pool[i].digest, &size, &e) == ERR_NOT_FOUND) {
        must(w, b->ops->writer_open(b, WORK_BLOB_BYTES_MAX, &writer, &e), &e, "write a blob");
        size_t half = w->pool[i].n / 2;
        must(w, b->ops->write(writer, w->pool[i].bytes, half, &e), &e, "write a blob");
        must(w, b->ops->write(writer, w->pool[i].bytes + half, w->pool[i].n - half, &e), &e, "write a blob");
    }
    b->ops->parts(b, writer, &parts);
    must(w, blob_store(&parts, &w->pool[i].digest, &stored, &e), &e, "store a blob");
    b->ops->abort(writer);
    w->steps[w->n_steps].blobs |= UINT32_C(1) << i;
}

static const char *upload(struct work *w)
{
    put_blob(w, roll(w, WORK_POOL));
    return "upload";
}

// What a store process leaves that dies before its last call. Nothing is acknowledged.
static const char *store_dies(struct work *w)
{
    char hex[REGISTRY_DIGEST_HEX];
    struct blob_writer *writer;
    struct blob_parts parts;
    struct err e;
    size_t i = roll(w, WORK_POOL);
    int shard_fd = -1;
    registry_digest_hex(&w->pool[i].digest, hex);
    char shard[] = {hex[0], hex[1], '\0'};
    must(w, w->store->ops->writer_open(w->store, WORK_BLOB_BYTES_MAX, &writer, &e), &e, "write a blob");
    must(w, w->store->ops->write(writer, w->pool[i].bytes, w->pool[i].n, &e), &e, "write a blob");
    w->store->ops->parts(w->store, writer, &parts);
    must(w, file_sync(parts.file_fd, &e), &e, "sync a blob");
    must(w, file_make_dir(parts.sha256_fd, shard, &shard_fd, &e), &e, "make a shard");
    if (renameat(parts.tmp_fd, parts.tmp_name, shard_fd, hex) < 0)
        err(1, "rename a blob");
    close(shard_fd);
    w->store->ops->abort(writer);
    return "death of a store process";
}

static struct str any_model(struct work *w)
{
    return str_of(MODELS[roll(w, sizeof MODELS / sizeof MODELS[0])]);
}

static struct str any_alias(struct work *w)
{
    return str_of(ALIASES[roll(w, sizeof ALIASES / sizeof ALIASES[0])]);
}

// Its blobs were acknowledged in this step or before.
static const char *push(struct work *w)
{
    struct registry_artifact file = {.name = STR("model.json")};
    size_t i = roll(w, WORK_POOL);
    char *description = malloc(8192);
    if (!description)
        errx(1, "no memory for a description");
    memset(description, 'x', 8192);
    put_blob(w, i);
    file.digest = w->pool[i].digest;
    file.size_bytes = w->pool[i].n;
    struct registry_version v = {.model = any_model(w),
                                 .engine = STR("trees"),
                                 .format = STR("xgboost_json"),
                                 .signature_json = STR("{}"),
                                 .description = {description, roll(w, 8192)},
                                 .tags_json = STR("{}"),
                                 .settings_json = STR("{}"),
                                 .artifacts = &file,
                                 .n_artifacts = 1};
    struct err e;
    uint64_t id;
    uint32_t number;
    must(w,
         w->registry->ops->version_add(w->registry, &CAUSE, &v, roll(w, 2) ? any_alias(w) : STR(""), &id,
                                       &number, &e),
         &e, "add a version");
    free(description);
    return "push";
}

// A version of the model that exists, or 0.
static uint32_t any_version(struct work *w, struct str model)
{
    struct arena a;
    struct err e;
    struct registry_version *list;
    size_t n = 0;
    must(w, arena_init(&a, WORK_ARENA_BYTES, &e), &e, "list versions");
    must(w,
         w->registry->ops->versions(w->registry, &(struct registry_versions_query){.model = model}, &a, &list,
                                    &n, &e),
         &e, "list versions");
    uint32_t number = n ? list[roll(w, n)].number : 0;
    arena_done(&a);
    return number;
}

// The pool's blobs that versions need.
static uint32_t needed(struct work *w)
{
    struct arena a;
    struct err e;
    struct registry_version *list;
    size_t n = 0;
    uint32_t mask = 0;
    const struct registry_versions_query all = {0};
    must(w, arena_init(&a, WORK_ARENA_BYTES, &e), &e, "list versions");
    must(w, w->registry->ops->versions(w->registry, &all, &a, &list, &n, &e), &e, "list versions");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < WORK_POOL; k++)
            if (registry_digest_eq(&list[i].artifacts[0].digest, &w->pool[k].digest))
                mask |= UINT32_C(1) << k;
    arena_done(&a);
    return mask;
}

static const char *collect(struct work *w)
{
    struct blobs *b = w->store;
    struct err e;
    uint32_t kept = needed(w);
    for (size_t i = 0; i < WORK_POOL; i++) {
        int rc = kept >> i & 1 ? ERR_NOT_FOUND : b->ops->discard(b, &w->pool[i].digest, UINT64_MAX, &e);
        if (rc != ERR_NOT_FOUND)
            must(w, rc, &e, "discard a blob");
    }
    w->steps[w->n_steps].blobs &= kept;
    if (roll(w, 2) && b->ops->trash(b) >= 0)
        must(w, blob_trash_empty(b->ops->trash(b), &e), &e, "empty the trash");
    return "garbage collection";
}

static const char *promote(struct work *w)
{
    struct str model = any_model(w);
    struct err e;
    uint32_t number = any_version(w, model);
    if (number)
        must(w, w->registry->ops->alias_set(w->registry, &CAUSE, model, any_alias(w), number, &e), &e,
             "move an alias");
    return "promote";
}

static const char *roll_back(struct work *w)
{
    struct registry *r = w->registry;
    struct str model = any_model(w), alias = any_alias(w);
    struct err e;
    uint32_t to = 0;
    if (!r->ops->rollback_find(r, model, alias, 0, &to, &e))
        must(w, r->ops->rollback(r, &CAUSE, model, alias, 0, to, &e), &e, "roll back");
    return "rollback";
}

static const char *remove_alias(struct work *w)
{
    struct registry *r = w->registry;
    struct err e;
    uint32_t was;
    int rc = r->ops->alias_remove(r, &CAUSE, any_model(w), any_alias(w), &was, &e);
    if (rc != ERR_UNKNOWN_MODEL && rc != ERR_NOT_FOUND)
        must(w, rc, &e, "remove an alias");
    return "removal of an alias";
}

static const char *delete_version(struct work *w)
{
    struct str model = any_model(w);
    struct err e;
    uint32_t number = any_version(w, model);
    if (number)
        must(w, w->registry->ops->version_remove(w->registry, &CAUSE, model, number, true, &e), &e,
             "delete a version");
    return "delete a version";
}

static const char *delete_model(struct work *w)
{
    struct str model = any_model(w);
    struct err e;
    if (any_version(w, model))
        must(w, w->registry->ops->model_remove(w->registry, &CAUSE, model, &e), &e, "delete a model");
    return "delete a model";
}

// Each as often as it stands here.
static const char *(*const OPERATIONS[])(struct work *w) = {
    store_dies, store_dies,   upload,  upload,  upload,         push,         push,      push,
    push,       promote,      promote, promote, promote,        promote,      roll_back, roll_back,
    roll_back,  remove_alias, collect, collect, delete_version, delete_model, reopen};

static void begin_step(struct work *w)
{
    struct work_step *s = &w->steps[w->n_steps];
    *s = (struct work_step){.begin = work_recorded(w), .blobs = w->n_steps ? s[-1].blobs : 0};
}

static void end_step(struct work *w, const char *what)
{
    struct work_step *s = &w->steps[w->n_steps++];
    s->end = work_recorded(w);
    s->what = what;
    struct err e;
    s->state = work_state(w->registry, &e);
    must(w, !s->state, &e, "read the registry");
}

// steps[0] is to open it: what was there stays there.
void work_run(struct work *w, const char *state, uint32_t blobs)
{
    size_t n = 1 + roll(w, roll(w, 8) ? WORK_STEPS_FEW : WORK_STEPS_MAX);
    w->n_steps = 0;
    begin_step(w);
    w->steps[0].blobs = blobs;
    open_both(w);
    end_step(w, "open");
    if (state && strcmp(state, w->steps[0].state) != 0)
        errx(1, "opening it again changed it:\n%s\n%s", state, w->steps[0].state);
    while (w->n_steps < n) {
        begin_step(w);
        const char *what = OPERATIONS[roll(w, sizeof OPERATIONS / sizeof OPERATIONS[0])](w);
        end_step(w, what);
    }
}

void work_init(struct work *w, uint64_t seed)
{
    w->seed = w->dice.state = seed;
    w->log_fd = memfd_create("records", MFD_CLOEXEC);
    if (w->log_fd < 0 || fcntl(w->log_fd, F_SETFL, O_APPEND) < 0)
        err(1, "make a file for the records");
    pool_fill(w);
}
