// SPDX-License-Identifier: Apache-2.0
// Versions from the registry become deployments: LOADING, then READY or FAILED.
#include "role/controller/startup.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "role/controller/agreement.h"
#include "role/controller/compile_job.h"
#include "role/controller/deploying.h"
#include "role/controller/gateways.h"
#include "role/controller/image.h"
#include "role/controller/image_cache.h"
#include "role/controller/replace.h"
#include "role/controller/replicas.h"
#include "role/controller/rollouts.h"
#include "role/controller/scaling.h"
#include "role/metrics.h"
#include "role/model_files.h"

#include <stdlib.h>
#include <unistd.h>
#include <yyjson.h>

enum {
    READ_ARENA_BYTES = 256 << 20,
    VERSIONS_PAGE = 1000,
    SIGNATURE_MAX = 64 << 20,
    SLICE_NS = 2000000, // of reading images, between other events
};

// One version being brought back.
struct revival {
    struct compile_job job;
    struct registry_digest golden; // the job's, where it has any
    struct buf told;               // with golden rows, which are read by it: of the version's signature
    struct version_settings settings;
    struct deployment *deployment;
    bool is_kept; // its image may be on the disk, and was not read yet
    struct revival *next;
};

static void revival_free(struct controller *c, struct revival *v)
{
    struct revival **at = &c->revivals;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    compile_job_done(&v->job);
    buf_done(&v->told);
    free(v);
}

static void failed(struct controller *c, struct deployment *d, const struct err *why)
{
    d->state = DEPLOYMENT_FAILED;
    d->why = *why;
    log_event(&c->log, LOG_LEVEL_ERROR, "version_failed", LOG_Z("model", d->model),
              LOG_INT("version", d->version), LOG_Z("code", err_name(why->code)), LOG_Z("message", why->msg));
}

static int take_image(struct controller *c, struct compile_job *j, struct deployment *d, struct err *e)
{
    struct buf signature; // the registry has the one that was agreed at the push
    buf_init(&signature, SIGNATURE_MAX);
    int rc = image_take(j, d, &signature, e);
    if (!rc)
        rc = agreement_restore(c, d, buf_str(&signature), e);
    buf_done(&signature);
    if (rc)
        image_forget(d);
    return rc;
}

static void models_loaded(struct controller *c)
{
    log_event(&c->log, LOG_LEVEL_INFO, "models_loaded", LOG_INT("kept_images", c->n_images_read));
    image_cache_sweep(c);
}

// After a version became READY or FAILED.
static void tell(struct controller *c, const struct deployment *d)
{
    gateways_publish(c);
    if (d->is_on_demand || !routing_is_complete(&c->routing))
        return;
    models_loaded(c);
}

// Compiled, or only tried by the image that was kept. Where there are golden rows they hold now.
static void on_compiled(struct compile_job *j, const struct err *why)
{
    struct revival *v = (struct revival *)((char *)j - offsetof(struct revival, job));
    struct controller *c = j->c;
    struct deployment *d = v->deployment;
    struct err e;
    if (!why && j->is_rejected)
        why = &j->why;
    if (!why && !j->given_image && take_image(c, j, d, &e))
        why = &e;
    if (j->image_fd >= 0) // of one that is rejected
        close(j->image_fd);
    if (why) {
        image_cache_drop(c, d);
        failed(c, d, why);
    } else {
        d->state = DEPLOYMENT_READY;
        image_cache_put(c, d);
    }
    revival_free(c, v);
    tell(c, d);
}

// What can be used of the disk serves at once; with golden rows a process tries it first.
static void read_image(struct controller *c, struct revival *v)
{
    struct deployment *d = v->deployment;
    struct compile_job *j = &v->job;
    struct err e;
    v->is_kept = false;
    j->c = c;
    j->image_fd = -1;
    if (image_cache_get(c, d, j, &e) || take_image(c, j, d, &e)) {
        image_cache_drop(c, d);
    } else {
        c->n_images_read++;
        j->given_image = &d->image_fd;
    }
    if (j->given_image && !j->golden) {
        d->state = DEPLOYMENT_READY;
    } else if (compile_job_start(c, j, &e) == 0) {
        return;
    } else {
        failed(c, d, &e);
    }
    revival_free(c, v);
}

// Of those whose image is to be read: one that somebody waits for, else the first that was listed.
static struct revival *next_kept(const struct controller *c)
{
    struct revival *best = NULL;
    for (struct revival *v = c->revivals; v; v = v->next)
        if (v->is_kept && (!best || !best->job.is_urgent))
            best = v;
    return best;
}

static void read_images_at(struct controller *c, uint64_t at_ns)
{
    struct err e;
    if (loop_timer_set(c->loop, &c->revival_due, at_ns, &e))
        log_event(&c->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
}

static void on_revival_due(struct timer *t)
{
    struct controller *c = (struct controller *)((char *)t - offsetof(struct controller, revival_due));
    uint64_t until = clock_mono_ns() + SLICE_NS;
    bool was_complete = routing_is_complete(&c->routing);
    struct revival *v = NULL;
    for (bool more = true; more && (v = next_kept(c)); more = clock_mono_ns() < until)
        read_image(c, v);
    gateways_publish(c);
    if (next_kept(c))
        read_images_at(c, clock_mono_ns());
    if (was_complete || !routing_is_complete(&c->routing))
        return;
    models_loaded(c);
}

// The interface that was agreed at the push.
static int interface_image(struct deployment *d, struct str json, struct err *e)
{
    int rc = image_of_text("slipway-interface", json, &d->image_fd, e);
    d->image_bytes = json.n;
    return rc ? rc : image_describe_interface(d, json, e);
}

// After a restart of this process alone all that runs goes on, whatever made it so many.
static uint32_t n_to_begin_with(const struct controller *c, const struct deployment *d)
{
    uint32_t min = d->settings.min_replicas, max = d->settings.max_replicas, n = replicas_running(c, d);
    return n < min ? min : n > max ? max : n;
}

static int list_files(struct deployment *d, const struct registry_version *v, struct err *e)
{
    struct buf list;
    buf_init(&list, LIMIT_MODEL_FILES_BYTES);
    model_files_put(v->artifacts, v->n_artifacts, &list);
    int rc = list.n && !(d->files = str_dup(buf_str(&list)))
                 ? err_set(e, ERR_NOMEM, "no memory for the names of files")
                 : 0;
    buf_done(&list);
    return rc;
}

static int serve_in_replicas(struct controller *c, struct deployment *d, struct err *e)
{
    int rc = replicas_serve(c, d, n_to_begin_with(c, d), e);
    if (!rc && d->n_wanted == 0)
        d->state = DEPLOYMENT_READY; // it was loaded when it was pushed; a request starts it
    return rc;
}

// The golden rows of what runs in replicas were computed again: by the library and the program that are there
// now. What ran on meanwhile, since before this process was started, is ended when they do not hold.
static void on_checked(struct compile_job *j, const struct err *why)
{
    struct revival *v = (struct revival *)((char *)j - offsetof(struct revival, job));
    struct controller *c = j->c;
    struct deployment *d = v->deployment;
    struct err e;
    if (!why && j->is_rejected)
        why = &j->why;
    if (j->image_fd >= 0)
        close(j->image_fd);
    if (!why && !d->is_declared && serve_in_replicas(c, d, &e))
        why = &e;
    if (why) {
        replicas_withdraw(c, d);
        d->is_declared = false;
        failed(c, d, why);
    }
    revival_free(c, v);
    gateways_publish(c);
}

// How many rows may be together, as the interface says.
static uint32_t batch_rows(struct str interface)
{
    yyjson_doc *doc = yyjson_read(interface.p, interface.n, 0);
    uint64_t n = yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(doc), "max_batch_rows"));
    yyjson_doc_free(doc);
    return n < UINT32_MAX ? (uint32_t)n : 0;
}

// Golden rows are read by the signature that was agreed.
static int tell_signature(struct controller *c, struct revival *r, struct err *e)
{
    const struct deployment *d = r->deployment;
    buf_init(&r->told, 2 * SIGNATURE_MAX);
    int rc = agreement_tell_kept(c, str_of(d->model), d->version, &r->told, e);
    r->job.signature = buf_str(&r->told);
    return rc;
}

static int check_golden(struct controller *c, struct deployment *d, const struct registry_version *v,
                        const struct registry_artifact *golden, struct err *e)
{
    struct revival *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_NOMEM, "no memory to check the golden rows");
    *r = (struct revival){.job = {.digest = d->digest,
                                  .settings = &r->settings,
                                  .files = d->files,
                                  .golden = &r->golden,
                                  .is_known = true,
                                  .batch_rows = batch_rows(v->signature_json),
                                  .on_done = on_checked},
                          .golden = golden->digest,
                          .settings = d->settings,
                          .deployment = d,
                          .next = c->revivals};
    c->revivals = r;
    int rc = tell_signature(c, r, e);
    if (!rc)
        rc = compile_job_start(c, &r->job, e);
    if (rc)
        revival_free(c, r);
    return rc;
}

// What runs in replicas is not compiled again: they load the model, the registry has its interface.
static int revive_in_replicas(struct controller *c, struct deployment *d,
                              const struct registry_version *listed, struct err *e)
{
    const struct registry_artifact *golden = registry_version_artifact(listed, REGISTRY_ROLE_GOLDEN);
    struct arena a;
    struct registry_version v;
    int rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    rc = registry_version_find(c->registry, listed->model, listed->number, &a, &v, e);
    if (!rc)
        rc = version_settings_decode(v.settings_json, &d->settings, e);
    if (!rc)
        rc = interface_image(d, v.signature_json, e);
    d->engine = engine_find(listed->engine);
    d->digest = registry_version_artifact(listed, REGISTRY_ROLE_MODEL)->digest;
    if (!rc)
        rc = list_files(d, listed, e);
    if (!rc && golden)
        rc = check_golden(c, d, &v, golden, e);
    arena_done(&a);
    return rc;
}

static bool is_being_checked(const struct controller *c, const struct deployment *d)
{
    for (const struct revival *v = c->revivals; v; v = v->next)
        if (v->deployment == d)
            return true;
    return false;
}

// When all are known, because which of them are loaded depends on the others.
static void declare_replicas(struct controller *c)
{
    replace_mark(c);
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = c->routing.slots[i];
        struct err why;
        if (!d || d->state != DEPLOYMENT_LOADING || !d->engine || !d->engine->runtime)
            continue;
        if (is_being_checked(c, d) && replicas_running(c, d) == 0)
            continue; // its golden rows first
        if (serve_in_replicas(c, d, &why))
            failed(c, d, &why);
    }
}

enum haste { FIRST, LATER, ASKED }; // readiness waits for it; nothing does; somebody does

// What gateways compute, by its model file.
static int revival_new(struct controller *c, struct deployment *d, const struct registry_version *v,
                       bool is_urgent, struct revival **ret, struct err *e)
{
    const struct registry_artifact *file = registry_version_artifact(v, REGISTRY_ROLE_MODEL),
                                   *golden = registry_version_artifact(v, REGISTRY_ROLE_GOLDEN);
    struct revival *r = file ? calloc(1, sizeof *r) : NULL;
    if (!r)
        return err_set(e, file ? ERR_NOMEM : ERR_INTERNAL, "the version cannot be loaded");
    *r = (struct revival){.job = {.digest = file->digest,
                                  .golden = golden ? &r->golden : NULL,
                                  .is_known = true,
                                  .engine = engine_find(v->engine),
                                  .is_urgent = is_urgent,
                                  .on_done = on_compiled},
                          .deployment = d,
                          .next = c->revivals};
    c->revivals = *ret = r;
    if (!golden)
        return 0;
    r->golden = golden->digest;
    int rc = tell_signature(c, r, e);
    if (rc)
        revival_free(c, r);
    return rc;
}

static int revive(struct controller *c, const struct registry_version *v, uint32_t slot, enum haste haste,
                  struct deployment **ret, struct err *e)
{
    struct revival *r = NULL;
    struct err why;
    struct deployment *d;
    int rc = routing_restore(&c->routing, v->model, v->id, v->number, slot, &d, e);
    if (rc)
        return rc;
    *ret = d;
    d->is_newest = v->is_newest;
    d->is_on_demand = haste != FIRST;
    if (haste == ASKED || slot < LIMIT_DEPLOYMENTS) // after a start nothing is in use yet
        deploying_named(c, d);
    const struct engine *engine = engine_find(v->engine);
    if (registry_version_artifact(v, REGISTRY_ROLE_MODEL) && engine && engine->runtime) {
        if (revive_in_replicas(c, d, v, &why))
            failed(c, d, &why);
        return 0;
    }
    if (revival_new(c, d, v, haste == ASKED, &r, &why)) {
        failed(c, d, &why);
        return 0;
    }
    image_cache_name(c, d, &r->job.digest);
    r->is_kept = engine && image_cache_has(c, d);
    if (r->is_kept) {
        c->revival_due.on_due = on_revival_due;
        read_images_at(c, clock_mono_ns());
        return 0;
    }
    rc = compile_job_start(c, &r->job, e);
    if (rc)
        startup_forget(c, d);
    return rc;
}

int startup_load(struct controller *c, const struct registry_version *v, struct deployment **ret,
                 struct err *e)
{
    int rc = revive(c, v, LIMIT_DEPLOYMENTS, ASKED, ret, e);
    if (rc)
        return rc;
    struct deployment *d = *ret;
    struct err why;
    if (d->state == DEPLOYMENT_LOADING && d->engine && d->engine->runtime && !is_being_checked(c, d) &&
        serve_in_replicas(c, d, &why))
        failed(c, d, &why);
    gateways_publish(c);
    return 0;
}

static int restore_aliases(struct controller *c, struct arena *a, struct err *e)
{
    struct registry_alias *list;
    size_t n;
    int rc = c->registry->ops->aliases(c->registry, STR(""), a, &list, &n, e);
    for (size_t i = 0; !rc && i < n; i++) {
        rc = routing_alias_reserve(&c->routing, e);
        if (!rc)
            routing_alias_set(&c->routing, list[i].model, list[i].name, list[i].version);
    }
    return rc;
}

// Slots as the gateways have them, whose counters go on.
struct known_slots {
    uint64_t keys[LIMIT_DEPLOYMENTS];
    size_t n_left; // that nobody took
};

static uint32_t slot_of(const struct known_slots *k, const struct registry_version *v)
{
    uint64_t key = metrics_key(v->model, v->number);
    uint32_t i = 0;
    while (i < LIMIT_DEPLOYMENTS && k->keys[i] != key)
        i++;
    return i;
}

// Readiness waits for what a name or the model alone leads to, and for what the gateways serve: the requests
// for it go on.
static enum haste haste_of(const struct controller *c, const struct registry_version *v, uint32_t slot)
{
    bool is_default = v->is_newest && routing_alias_target(&c->routing, v->model, STR("champion")) == 0;
    const struct engine *engine = engine_find(v->engine);
    return is_default || slot < LIMIT_DEPLOYMENTS || (engine && engine->runtime) ||
                   routing_has_alias(&c->routing, v->model, v->number)
               ? FIRST
               : LATER;
}

static int load(struct controller *c, struct known_slots *k, const struct registry_version *v, struct err *e)
{
    struct deployment *d;
    uint32_t slot = slot_of(k, v);
    if (slot < LIMIT_DEPLOYMENTS) {
        k->keys[slot] = 0;
        k->n_left--;
    }
    return revive(c, v, slot, haste_of(c, v, slot), &d, e);
}

// Those of a page that the gateways had. *ret_n: how long the page was.
static int load_page_again(struct controller *c, struct known_slots *k, uint64_t *after_id, struct arena *a,
                           size_t *ret_n, struct err *e)
{
    const struct registry_versions_query page = {.after_id = *after_id, .limit = VERSIONS_PAGE};
    struct registry_version *list;
    int rc = c->registry->ops->versions(c->registry, &page, a, &list, ret_n, e);
    for (size_t i = 0; !rc && i < *ret_n && k->n_left && routing_has_room(&c->routing); i++)
        if (slot_of(k, &list[i]) < LIMIT_DEPLOYMENTS && !registry_version_is_rejected(&list[i]))
            rc = load(c, k, &list[i], e);
    if (!rc && *ret_n)
        *after_id = list[*ret_n - 1].id;
    return rc;
}

// After this process alone was started anew: gateways serve what was asked for before, and should go on. A
// slot has only the hash of a name, so all versions are looked at, a page at a time.
static int load_again(struct controller *c, struct known_slots *k, struct err *e)
{
    struct arena a;
    uint64_t after_id = 0;
    size_t n = VERSIONS_PAGE;
    int rc = arena_init(&a, READ_ARENA_BYTES, e);
    while (!rc && n == VERSIONS_PAGE && k->n_left && routing_has_room(&c->routing)) {
        arena_reset(&a, READ_ARENA_BYTES);
        rc = load_page_again(c, k, &after_id, &a, &n, e);
    }
    arena_done(&a);
    return rc;
}

// What an alias leads to has its place, then what the gateways served, then the newest of each model.
static int load_all(struct controller *c, struct known_slots *k, struct arena *a, struct err *e)
{
    struct registry_version *list;
    size_t n;
    bool all;
    int rc = c->registry->ops->versions_first(c->registry, routing_limit(&c->routing), a, &list, &n, &all, e);
    c->routing.has_more = !rc && !all;
    for (size_t i = 0; !rc && i < n; i++)
        if (all || slot_of(k, &list[i]) < LIMIT_DEPLOYMENTS ||
            routing_has_alias(&c->routing, list[i].model, list[i].number))
            rc = load(c, k, &list[i], e);
    if (!rc && !all)
        rc = load_again(c, k, e);
    for (size_t i = 0; !rc && !all && i < n && routing_has_room(&c->routing); i++)
        if (list[i].is_newest && !routing_find(&c->routing, list[i].model, list[i].number))
            rc = load(c, k, &list[i], e);
    return rc;
}

int startup_begin(struct controller *c, struct err *e)
{
    struct arena a;
    struct known_slots known = {.n_left = 0};
    int rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    known.n_left = scaling_slots(c, known.keys);
    rc = restore_aliases(c, &a, e);
    if (!rc)
        rc = load_all(c, &known, &a, e);
    arena_done(&a);
    if (!rc)
        rc = rollouts_restore(c, e);
    if (!rc)
        declare_replicas(c);
    if (!rc)
        replicas_complete(c);
    if (!rc)
        gateways_publish(c);
    return rc;
}

void startup_forget(struct controller *c, struct deployment *d)
{
    for (struct revival *v = c->revivals; v; v = v->next) {
        if (v->deployment != d)
            continue;
        compile_job_cancel(&v->job);
        revival_free(c, v);
        break;
    }
    routing_drop(&c->routing, d);
}

void startup_cancel(struct controller *c)
{
    loop_timer_clear(c->loop, &c->revival_due);
    c->max_jobs_running = 0; // those that wait are not started in place of those that are stopped
    while (c->revivals) {
        compile_job_cancel(&c->revivals->job);
        revival_free(c, c->revivals);
    }
}
