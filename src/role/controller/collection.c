// SPDX-License-Identifier: Apache-2.0
// A run of garbage collection as a walk in slices:
//
//   VERSIONS → BLOBS → TRASH → done
//
// VERSIONS looks at all versions by id and removes those that the retention rules let go, BLOBS at the shards
// of the blobs one by one; TRASH waits for the process that empties it. A dry run says what the same walk
// would do.
#include "role/controller/collection.h"

#include "base/clock.h"
#include "os/file.h"
#include "role/controller/helper.h"
#include "role/controller/housekeeping.h"
#include "role/controller/models.h"
#include "role/sweep.h"
#include "settings/settings.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

enum {
    SLICE_NS = 500000,
    ARENA_BYTES = 256 << 20, // address space, for the files of one shard
    LIST_BYTES = 4 << 20,    // of the answer
    N_SHARDS = 256,
    REASON_BYTES = 160,
    USERS_PAGE = 64,
    ALIASES_BYTES = 4 << 20, // of one model
};

enum phase { VERSIONS, BLOBS, TRASH };

// A list of the answer that is cut off after LIMIT_GC_LISTED entries.
struct listed {
    struct buf json;
    uint64_t n;
};

struct collection {
    struct controller *c;
    struct collection_spec spec;
    enum phase phase;
    struct timer due;
    struct helper *helper;
    int lock_fd;
    uint64_t now_wall_ns;
    struct arena arena; // of a page of versions or a shard of blobs

    uint64_t version_id; // looked at up to this one; 0 at first, and again after the last
    bool versions_begun;
    size_t at;
    struct registry_expired *versions; // (n_versions) of the page, the first `at` are done
    size_t n_versions;
    uint64_t *doomed; // (n_doomed) ids by size, that a dry run would have removed
    size_t n_doomed, cap_doomed;

    unsigned shard;
    struct blob_entry *blobs; // (n_blobs) of the shard, the first `at` are done
    size_t n_blobs;

    struct listed removed, kept, unneeded;
    uint64_t bytes, n_young, n_held, n_seen;
};

static void put_entry(struct listed *l, const char *text, struct str model, uint32_t number,
                      const char *reason)
{
    if (l->n++ >= LIMIT_GC_LISTED)
        return;
    struct buf *b = &l->json;
    buf_puts(b, b->n ? ",{" : "{");
    if (text) {
        buf_puts(b, text);
    } else {
        buf_puts(b, "\"model\":");
        buf_put_json_str(b, model);
        buf_printf(b, ",\"version\":%u", number);
    }
    buf_puts(b, ",\"reason\":");
    buf_put_json_str(b, str_of(reason));
    buf_putc(b, '}');
}

// ---- versions ----

static const struct settings *settings_of(const struct collection *k)
{
    return k->c->args->settings;
}

static struct registry_retention rule_of(const struct collection *k)
{
    uint64_t age_ns = (uint64_t)settings_of(k)->retain_days * 86400 * UINT64_C(1000000000);
    return (struct registry_retention){.newest = settings_of(k)->retain_versions,
                                       .before_wall_ns =
                                           k->now_wall_ns > age_ns ? k->now_wall_ns - age_ns : 0};
}

static void put_rule(const struct collection *k, char ret[REASON_BYTES])
{
    uint32_t newest = settings_of(k)->retain_versions, days = settings_of(k)->retain_days;
    int n = newest ? snprintf(ret, REASON_BYTES, "not among the newest %u", newest) : 0;
    if (days)
        snprintf(ret + n, REASON_BYTES - (size_t)n, "%solder than %u days", n ? " and " : "", days);
}

// Whether the next rollback of an alias goes to the version.
static bool is_way_back(const struct collection *k, const struct registry_expired *v, char ret[REASON_BYTES])
{
    struct registry *reg = k->c->registry;
    struct arena a = {0};
    struct registry_alias *aliases;
    struct err ignored;
    size_t n = 0;
    bool found = arena_init(&a, ALIASES_BYTES, &ignored) != 0 ||
                 reg->ops->aliases(reg, v->model, &a, &aliases, &n, &ignored) != 0; // in doubt it is
    if (found)
        snprintf(ret, REASON_BYTES, "its aliases cannot be looked at now");
    for (size_t i = 0; i < n && !found; i++) {
        uint32_t back;
        found = reg->ops->rollback_find(reg, v->model, aliases[i].name, 0, &back, &ignored) == 0 &&
                back == v->number;
        if (found)
            snprintf(ret, REASON_BYTES, "a rollback of " STR_FMT " would go to it", STR_ARG(aliases[i].name));
    }
    arena_done(&a);
    return found;
}

// Why a version stays although the rule would let it go; false when nothing keeps it.
static bool is_kept(const struct collection *k, const struct registry_expired *v, char ret[REASON_BYTES])
{
    const struct deployment *d = routing_find(&k->c->routing, v->model, v->number);
    if (v->alias.n)
        snprintf(ret, REASON_BYTES, "alias " STR_FMT " names it", STR_ARG(v->alias));
    else if (is_way_back(k, v, ret))
        return true;
    else if (v->is_pinned)
        snprintf(ret, REASON_BYTES, "it has the tag 'pinned'");
    else if (v->is_default)
        snprintf(ret, REASON_BYTES, "it answers requests that name no version");
    else if (d && d->rollout_floor)
        snprintf(ret, REASON_BYTES, "a rollout needs it");
    else if (d && k->spec.is_used(k->spec.ctx, d))
        snprintf(ret, REASON_BYTES, "it answered a request lately");
    else
        return false;
    return true;
}

static int doom(struct collection *k, uint64_t id, struct err *e)
{
    if (k->n_doomed == k->cap_doomed) {
        size_t cap = k->cap_doomed ? k->cap_doomed * 2 : 64;
        uint64_t *grown = realloc(k->doomed, cap * sizeof *grown);
        if (!grown)
            return err_set(e, ERR_NOMEM, "no memory to collect garbage");
        k->doomed = grown;
        k->cap_doomed = cap;
    }
    k->doomed[k->n_doomed++] = id; // they come by size
    return 0;
}

static int remove_version(struct collection *k, const struct registry_expired *v, const char *reason,
                          struct err *e)
{
    struct registry *reg = k->c->registry;
    struct registry_cause cause = {
        .actor = STR("housekeeping"), .wall_ns = clock_wall_ns(), .reason = str_of(reason)};
    int rc = reg->ops->version_remove(reg, &cause, v->model, v->number, false, e);
    if (rc)
        return rc;
    log_event(&k->c->log, LOG_LEVEL_INFO, "version_expired", LOG_STR("model", v->model),
              LOG_INT("version", v->number), LOG_Z("reason", reason));
    models_withdraw(k->c, v->model, v->number);
    return 0;
}

static int visit_version(struct collection *k, const struct registry_expired *v, struct err *e)
{
    char reason[REASON_BYTES] = "";
    if (is_kept(k, v, reason)) {
        put_entry(&k->kept, NULL, v->model, v->number, reason);
        return 0;
    }
    put_rule(k, reason);
    int rc = k->spec.dry_run ? doom(k, v->id, e) : remove_version(k, v, reason, e);
    if (rc == ERR_UNKNOWN_VERSION || rc == ERR_UNKNOWN_MODEL || rc == ERR_CONFLICT)
        return 0; // deleted or named since the page was read
    if (!rc)
        put_entry(&k->removed, NULL, v->model, v->number, reason);
    return rc;
}

// One step; *ret_done when no version is left to look at.
static int step_versions(struct collection *k, bool *ret_done, struct err *e)
{
    const struct registry_retention rule = rule_of(k);
    if (settings_of(k)->retain_versions == 0 && settings_of(k)->retain_days == 0) {
        *ret_done = true;
        return 0;
    }
    if (k->at < k->n_versions)
        return visit_version(k, &k->versions[k->at++], e);
    *ret_done = k->versions_begun && k->version_id == 0;
    if (*ret_done)
        return 0;
    arena_reset(&k->arena, 0);
    k->versions_begun = true;
    k->at = 0;
    return k->c->registry->ops->expired(k->c->registry, &rule, &k->version_id, &k->arena, &k->versions,
                                        &k->n_versions, e);
}

// ---- blobs ----

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

// Whether a version needs the blob that would stay.
static int is_needed(struct collection *k, const struct registry_digest *d, bool *ret, struct err *e)
{
    uint64_t users[USERS_PAGE], after = 0;
    size_t n;
    *ret = false;
    do {
        int rc = k->c->registry->ops->blob_users(k->c->registry, d, after, users, USERS_PAGE, &n, e);
        if (rc)
            return rc;
        for (size_t i = 0; i < n && !*ret; i++)
            *ret = !k->n_doomed || !bsearch(&users[i], k->doomed, k->n_doomed, sizeof users[i], by_size);
        after = n ? users[n - 1] : 0;
    } while (!*ret && n == USERS_PAGE);
    return 0;
}

static int visit_blob(struct collection *k, const struct blob_entry *b, struct err *e)
{
    char text[REGISTRY_DIGEST_TEXT], entry[REGISTRY_DIGEST_TEXT + 64];
    uint64_t grace_ns = settings_of(k)->gc_grace_ms * UINT64_C(1000000);
    bool needed;
    k->n_seen++;
    int rc = is_needed(k, &b->digest, &needed, e);
    if (rc || needed)
        return rc;
    if (b->kept_wall_ns + grace_ns > k->now_wall_ns) { // also of a clock that was set back
        k->n_young++;
        return 0;
    }
    if (housekeeping_is_held(k->c, &b->digest)) {
        k->n_held++;
        return 0;
    }
    if (!k->spec.dry_run)
        rc = k->c->blobs->ops->discard(k->c->blobs, &b->digest, k->now_wall_ns - grace_ns, e);
    if (rc)
        return rc == ERR_NOT_FOUND || rc == ERR_BUSY ? 0 : rc; // somebody asked for it since it was listed
    registry_digest_text(&b->digest, text);
    snprintf(entry, sizeof entry, "\"digest\":\"%s\",\"size\":%llu", text, (unsigned long long)b->size_bytes);
    put_entry(&k->unneeded, entry, STR(""), 0, "no version needs it");
    k->bytes += b->size_bytes;
    return 0;
}

// One step: a blob, or the list of the next shard.
static int step_blobs(struct collection *k, bool *ret_done, struct err *e)
{
    if (k->at < k->n_blobs)
        return visit_blob(k, &k->blobs[k->at++], e);
    *ret_done = k->shard == N_SHARDS;
    if (*ret_done)
        return 0;
    arena_reset(&k->arena, 0);
    k->at = 0;
    return k->c->blobs->ops->list(k->c->blobs, (uint8_t)k->shard++, &k->arena, &k->blobs, &k->n_blobs, e);
}

// ---- the run ----

static void put_list(struct buf *out, const char *name, const struct listed *l)
{
    buf_printf(out, ",\"%s\":{\"count\":%llu,\"list\":[", name, (unsigned long long)l->n);
    buf_put_str(out, buf_str(&l->json));
    buf_puts(out, "]}");
}

static void end(struct collection *k, const struct err *e)
{
    struct buf out;
    char what[96];
    buf_init(&out, 3 * LIST_BYTES + 4096);
    loop_timer_clear(k->c->loop, &k->due);
    if (!e) {
        buf_printf(&out, "{\"dry_run\":%s", k->spec.dry_run ? "true" : "false");
        put_list(&out, "versions", &k->removed);
        put_list(&out, "kept", &k->kept);
        put_list(&out, "blobs", &k->unneeded);
        buf_printf(
            &out,
            ",\"bytes\":%llu,\"blobs_seen\":%llu,\"blobs_young\":%llu,\"blobs_held\":%llu,\"grace_s\":%llu}",
            (unsigned long long)k->bytes, (unsigned long long)k->n_seen, (unsigned long long)k->n_young,
            (unsigned long long)k->n_held, (unsigned long long)settings_of(k)->gc_grace_ms / 1000);
        if (!k->spec.dry_run && (k->removed.n || k->unneeded.n))
            log_event(&k->c->log, LOG_LEVEL_INFO, "garbage_collected", LOG_INT("versions", k->removed.n),
                      LOG_INT("blobs", k->unneeded.n), LOG_INT("bytes", k->bytes));
    }
    snprintf(what, sizeof what, "versions=%llu files=%llu bytes=%llu", (unsigned long long)k->removed.n,
             (unsigned long long)k->unneeded.n, (unsigned long long)k->bytes);
    k->spec.on_done(k->spec.ctx, &(struct collection_end){e, buf_str(&out), str_of(what)});
    buf_done(&out);
}

static void on_swept(void *owner, const struct helper_end *ended)
{
    struct collection *k = owner;
    struct err e = {0};
    k->helper = NULL;
    yyjson_doc *doc = yyjson_read(ended->report.p, ended->report.n, 0);
    int rc = helper_report_take(yyjson_doc_get_root(doc), &e);
    if (!rc && (ended->is_late || ended->status != 0))
        rc = err_set(&e, ERR_IO, "the process that removes collected files ended before it was done");
    yyjson_doc_free(doc);
    end(k, rc ? &e : NULL);
}

static int sweep(struct collection *k, struct err *e)
{
    char program[] = "slipway", role[] = SWEEP_ROLE;
    char *argv[] = {program, role, NULL};
    int trash_fd = k->c->blobs->ops->trash(k->c->blobs);
    return helper_start(k->c,
                        &(struct helper_spec){.argv = argv,
                                              .fds = &trash_fd,
                                              .n_fds = 1,
                                              .timeout_ms = LIMIT_STORE_MS,
                                              .on_end = on_swept,
                                              .owner = k},
                        &k->helper, e);
}

static int step(struct collection *k, struct err *e)
{
    bool done = false;
    int rc = k->phase == VERSIONS ? step_versions(k, &done, e) : step_blobs(k, &done, e);
    if (!rc && done) {
        k->phase++;
        k->at = 0;
    }
    return rc;
}

// Due at once again: the loop gets to it after what else is ready.
static void on_slice(struct timer *t)
{
    struct collection *k = (struct collection *)((char *)t - offsetof(struct collection, due));
    uint64_t until = clock_mono_ns() + SLICE_NS;
    struct err e = {0};
    int rc = 0;
    k->now_wall_ns = clock_wall_ns();
    while (!rc && k->phase != TRASH && clock_mono_ns() < until)
        rc = step(k, &e);
    if (!rc && k->phase != TRASH)
        rc = loop_timer_set(k->c->loop, &k->due, clock_mono_ns(), &e);
    bool sweeps = !rc && k->phase == TRASH && !k->spec.dry_run && k->c->blobs->ops->trash(k->c->blobs) >= 0;
    if (sweeps)
        rc = sweep(k, &e);
    if (rc)
        end(k, &e);
    else if (k->phase == TRASH && !sweeps)
        end(k, NULL);
}

// A backup holds the lock with others of its kind; it is the only one who does.
static int lock(struct collection *k, struct err *e)
{
    int dir_fd = -1, run_fd = -1;
    int rc = file_open_dir(AT_FDCWD, k->c->data_dir, &dir_fd, e);
    if (!rc)
        rc = file_make_dir(dir_fd, "run", &run_fd, e);
    if (!rc)
        rc = file_lock(run_fd, REGISTRY_BLOBS_LOCK, &k->lock_fd, e);
    if (dir_fd >= 0)
        close(dir_fd);
    if (run_fd >= 0)
        close(run_fd);
    if (rc != ERR_CONFLICT)
        return rc;
    err_set(e, ERR_CONFLICT, "a backup is being made, which needs all that is there");
    err_hint(e, "Repeat it when the backup has ended.");
    return ERR_CONFLICT;
}

int collection_start(struct controller *c, const struct collection_spec *s, struct collection **ret,
                     struct err *e)
{
    struct collection *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(e, ERR_NOMEM, "no memory to collect garbage");
    *k = (struct collection){.c = c, .spec = *s, .lock_fd = -1, .due.on_due = on_slice};
    buf_init(&k->removed.json, LIST_BYTES);
    buf_init(&k->kept.json, LIST_BYTES);
    buf_init(&k->unneeded.json, LIST_BYTES);
    int rc = s->dry_run ? 0 : lock(k, e);
    if (!rc)
        rc = arena_init(&k->arena, ARENA_BYTES, e);
    if (!rc)
        rc = loop_timer_set(c->loop, &k->due, clock_mono_ns(), e);
    if (rc)
        collection_free(k);
    else
        *ret = k;
    return rc;
}

void collection_free(struct collection *k)
{
    if (!k)
        return;
    loop_timer_clear(k->c->loop, &k->due);
    helper_cancel(k->helper);
    if (k->lock_fd >= 0)
        close(k->lock_fd);
    arena_done(&k->arena);
    free(k->doomed);
    buf_done(&k->removed.json);
    buf_done(&k->kept.json);
    buf_done(&k->unneeded.json);
    free(k);
}
