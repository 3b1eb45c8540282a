// SPDX-License-Identifier: Apache-2.0
// Who holds blobs, which versions answered requests lately, and when a collection runs.
#include "role/controller/housekeeping.h"

#include "base/clock.h"
#include "role/controller/collection.h"
#include "role/controller/request.h"
#include "role/controller/scaling.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <yyjson.h>

enum { TICK_MS = 10000 };

// The requests of the deployment in a slot, as of the last tick.
struct use {
    uint64_t deployment, requests;
    uint64_t used_mono_ns; // 0: not since this process started
};

struct housekeeping {
    struct controller *c;
    struct timer due;
    uint64_t ran_mono_ns; // the last run by itself; at first the start
    struct use uses[LIMIT_DEPLOYMENTS];
    struct collection *collection; // NULL: none runs
    struct request *request;       // who waits for it; NULL: nobody
};

// ---- holds ----

void housekeeping_hold(struct controller *c, struct blob_hold *h, const struct registry_artifact *artifacts,
                       size_t n)
{
    *h = (struct blob_hold){.artifacts = artifacts, .n = n, .next = c->blob_holds, .link = &c->blob_holds};
    if (h->next)
        h->next->link = &h->next;
    c->blob_holds = h;
}

void housekeeping_release(struct blob_hold *h)
{
    if (!h->link)
        return;
    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
    h->link = NULL;
}

bool housekeeping_is_held(const struct controller *c, const struct registry_digest *d)
{
    for (const struct blob_hold *h = c->blob_holds; h; h = h->next)
        for (size_t i = 0; i < h->n; i++)
            if (registry_digest_eq(&h->artifacts[i].digest, d))
                return true;
    return false;
}

// ---- uses ----

static void sample(struct housekeeping *k, uint64_t now_ns)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        const struct deployment *d = k->c->routing.slots[i];
        struct use *u = &k->uses[i];
        uint64_t requests = d && d->id ? scaling_requests(k->c, d) : 0;
        if (!d || u->deployment != d->id)
            *u = (struct use){.deployment = d ? d->id : 0, .requests = requests};
        if (requests != u->requests)
            u->used_mono_ns = now_ns;
        u->requests = requests;
    }
}

static bool is_used(void *ctx, const struct deployment *d)
{
    const struct housekeeping *k = ctx;
    const struct use *u = &k->uses[d->slot];
    uint64_t grace_ns = k->c->args->settings->gc_grace_ms * UINT64_C(1000000);
    return u->deployment == d->id && u->used_mono_ns && clock_mono_ns() - u->used_mono_ns < grace_ns;
}

// ---- runs ----

static void on_done(void *ctx, struct str answer, const struct err *e)
{
    struct housekeeping *k = ctx;
    struct request *r = k->request;
    k->request = NULL;
    if (r) {
        r->state = NULL;
        r->state_free = NULL;
    }
    if (r && e) {
        request_fail(r, e);
    } else if (r) {
        buf_put_str(&r->out, answer);
        request_answer(r, 200, "application/json");
    } else if (e) {
        log_event(&k->c->log, LOG_LEVEL_ERROR, "collection_failed", LOG_Z("code", err_name(e->code)),
                  LOG_Z("message", e->msg));
    }
    collection_free(k->collection);
    k->collection = NULL;
}

static int run(struct housekeeping *k, bool dry_run, struct err *e)
{
    if (k->collection) {
        err_set(e, ERR_CONFLICT, "a garbage collection runs already");
        err_hint(e, "Repeat it when that has ended.");
        return ERR_CONFLICT;
    }
    sample(k, clock_mono_ns());
    return collection_start(
        k->c, &(struct collection_spec){.dry_run = dry_run, .is_used = is_used, .on_done = on_done, .ctx = k},
        &k->collection, e);
}

static void on_tick(struct timer *t)
{
    struct housekeeping *k = (struct housekeeping *)((char *)t - offsetof(struct housekeeping, due));
    uint64_t now = clock_mono_ns(), interval_ms = k->c->args->settings->gc_interval_ms;
    uint64_t tick_ms = interval_ms && interval_ms < TICK_MS ? interval_ms : TICK_MS;
    struct err e;
    sample(k, now);
    if (interval_ms && now - k->ran_mono_ns >= interval_ms * UINT64_C(1000000) && !k->collection) {
        int rc = run(k, false, &e);
        if (rc && rc != ERR_CONFLICT)
            log_event(&k->c->log, LOG_LEVEL_ERROR, "collection_failed", LOG_Z("message", e.msg));
        if (rc != ERR_CONFLICT) // else at the next tick
            k->ran_mono_ns = now;
    }
    if (loop_timer_set(k->c->loop, t, now + tick_ms * UINT64_C(1000000), &e))
        log_event(&k->c->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
}

int housekeeping_open(struct controller *c, struct err *e)
{
    struct housekeeping *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(e, ERR_NOMEM, "no memory to start");
    *k = (struct housekeeping){.c = c, .due.on_due = on_tick, .ran_mono_ns = clock_mono_ns()};
    c->housekeeping = k;
    return loop_timer_set(c->loop, &k->due, clock_mono_ns(), e);
}

void housekeeping_close(struct controller *c)
{
    struct housekeeping *k = c->housekeeping;
    if (!k)
        return;
    collection_free(k->collection);
    loop_timer_clear(c->loop, &k->due);
    free(k);
    c->housekeeping = NULL;
}

// {"dry_run":true}, or nothing.
static int parse(struct str body, bool *ret_dry_run, struct err *e)
{
    *ret_dry_run = false;
    if (body.n == 0)
        return 0;
    yyjson_doc *doc = yyjson_read(body.p, body.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *dry_run = yyjson_obj_get(root, "dry_run");
    bool good = yyjson_is_obj(root) && yyjson_obj_size(root) == (dry_run ? 1 : 0) &&
                (!dry_run || yyjson_is_bool(dry_run));
    *ret_dry_run = yyjson_is_true(dry_run);
    yyjson_doc_free(doc);
    return good ? 0 : err_set(e, ERR_INVALID, "the body must be {\"dry_run\":true}, false, or empty");
}

// The run goes on without him.
static void forget(struct request *r)
{
    struct housekeeping *k = r->state;
    k->request = NULL;
}

int garbage_collect(struct request *r, struct err *e)
{
    struct housekeeping *k = r->c->housekeeping;
    bool dry_run;
    int rc = parse(buf_str(&r->body), &dry_run, e);
    if (!rc)
        rc = run(k, dry_run, e);
    if (rc)
        return rc;
    k->request = r;
    r->state = k;
    r->state_free = forget;
    return 0;
}
