// SPDX-License-Identifier: Apache-2.0
// Who holds blobs, which versions answered requests lately, and when a collection runs.
#include "role/controller/housekeeping.h"

#include "base/clock.h"
#include "role/controller/change.h"
#include "role/controller/collection.h"
#include "role/controller/request.h"
#include "role/controller/scaling.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { TICK_MS = 10000 };

// The requests of the deployment in a slot, as of the last tick.
struct use {
    uint64_t deployment, requests;
    uint64_t used_mono_ns; // 0: not since this process started
};

// Who ordered a run that removes, and under which key: kept beyond the request, because the run goes on when
// its caller has left.
struct order {
    struct registry_cause cause;
    struct registry_once once;
    char *texts; // owned; what both point into. NULL: the run is nobody's order
};

struct housekeeping {
    struct controller *c;
    struct timer due;
    uint64_t ran_mono_ns; // the last run by itself; at first the start
    struct use uses[LIMIT_DEPLOYMENTS];
    struct collection *collection; // NULL: none runs
    struct request *request;       // who waits for it; NULL: nobody
    struct order order;            // of the collection
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

static void order_drop(struct order *o)
{
    free(o->texts);
    *o = (struct order){0};
}

static int order_keep(struct order *o, const struct request *r, struct err *e)
{
    *o = (struct order){.cause = request_cause(r), .once = r->once};
    struct str *texts[] = {&o->cause.request_id, &o->cause.reason, &o->once.key, &o->once.method,
                           &o->once.path};
    size_t n = 1, n_texts = sizeof texts / sizeof texts[0];
    for (size_t i = 0; i < n_texts; i++)
        n += texts[i]->n;
    char *at = o->texts = malloc(n);
    if (!at)
        return err_set(e, ERR_NOMEM, "no memory to collect garbage");
    for (size_t i = 0; i < n_texts; i++) {
        if (texts[i]->n)
            memcpy(at, texts[i]->p, texts[i]->n);
        texts[i]->p = at;
        at += texts[i]->n;
    }
    o->cause.once = r->is_once ? &o->once : NULL;
    return 0;
}

// The order is a change like others: it has its row in the audit, and its answer is kept under its key.
static int order_commit(struct housekeeping *k, const struct collection_end *end, struct err *e)
{
    struct registry *reg = k->c->registry;
    k->order.cause.wall_ns = clock_wall_ns();
    k->order.once.status = 200;
    k->order.once.answer = end->answer;
    int rc = reg->ops->collected(reg, &k->order.cause, end->what, e);
    return rc ? err_wrap(e, "what could go is gone; to write that down") : 0;
}

static void on_done(void *ctx, const struct collection_end *end)
{
    struct housekeeping *k = ctx;
    struct request *r = k->request;
    struct err e;
    const struct err *why = end->why;
    if (!why && k->order.texts && order_commit(k, end, &e))
        why = &e;
    k->request = NULL;
    if (r) {
        r->state = NULL;
        r->state_free = NULL;
    }
    if (r && why) {
        request_fail(r, why);
    } else if (r) {
        buf_put_str(&r->out, end->answer);
        if (k->order.texts)
            change_receipt(r);
        request_answer(r, 200, "application/json");
    } else if (why) {
        log_event(&k->c->log, LOG_LEVEL_ERROR, "collection_failed", LOG_Z("code", err_name(why->code)),
                  LOG_Z("message", why->msg));
    }
    order_drop(&k->order);
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
    order_drop(&k->order);
    collection_free(k->collection);
    loop_timer_clear(c->loop, &k->due);
    free(k);
    c->housekeeping = NULL;
}

// {"dry_run":true,"reason":"…"}, or nothing.
static int parse(struct request *r, bool *ret_dry_run, struct err *e)
{
    struct str body = buf_str(&r->body);
    *ret_dry_run = false;
    if (body.n == 0)
        return 0;
    yyjson_doc *doc = yyjson_read(body.p, body.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *dry_run = yyjson_obj_get(root, "dry_run"),
               *reason = yyjson_obj_get(root, "reason");
    bool good = yyjson_is_obj(root) &&
                yyjson_obj_size(root) == (size_t)(dry_run != NULL) + (reason != NULL) &&
                (!dry_run || yyjson_is_bool(dry_run)) &&
                (!reason || (yyjson_is_str(reason) && yyjson_get_len(reason) <= LIMIT_REASON_BYTES));
    *ret_dry_run = yyjson_is_true(dry_run);
    if (good && reason)
        request_reason(r, (struct str){yyjson_get_str(reason), yyjson_get_len(reason)});
    yyjson_doc_free(doc);
    return good
               ? 0
               : err_set(e, ERR_INVALID,
                         "the body must be an object with \"dry_run\", true or false, and \"reason\", a text "
                         "of at most %d bytes, or empty",
                         LIMIT_REASON_BYTES);
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
    int rc = parse(r, &dry_run, e);
    if (!rc && k->collection && r->is_once && k->order.cause.once && str_eq(k->order.once.key, r->once.key))
        rc = err_set(e, ERR_IN_PROGRESS, "a request with this Idempotency-Key is being worked on");
    if (!rc && !dry_run && !k->collection)
        rc = order_keep(&k->order, r, e);
    if (!rc)
        rc = run(k, dry_run, e);
    if (rc && !k->collection)
        order_drop(&k->order);
    if (rc)
        return rc;
    k->request = r;
    r->state = k;
    r->state_free = forget;
    return 0;
}
