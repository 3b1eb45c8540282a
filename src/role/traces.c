// SPDX-License-Identifier: Apache-2.0
// A ring of requests; its front is what is being sent. The collector's refusals and absences are told in the
// log once, and their end.
#include "role/traces.h"

#include "base/clock.h"
#include "base/siphash.h"
#include "role/http_post.h"
#include "wire/exposition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 512,
    BATCH_BYTES = 2 << 20,
    PATIENCE_MS = 1000, // for more to send together
    TIMEOUT_MS = 10000,
    ATTEMPTS = 5,
    RETRY_MS = 500, // doubles
    RATE_WHOLE = 10000,
};

struct entry {
    struct otlp_request r; // model: this one's
    char model[LIMIT_MODEL_NAME_BYTES + 1], arm[16];
};

struct traces {
    struct log *log;
    struct traces_options options;
    struct http_post post;
    struct entry ring[LIMIT_TRACES_WAITING];
    uint64_t first, next;       // of the ring, % LIMIT_TRACES_WAITING
    uint64_t n_sending;         // from first on; 0: nothing is under way
    unsigned n_failed;          // attempts of the front
    uint64_t due_ns;            // not before; of the first that waits, or of the next attempt
    bool has_failed, is_misset; // told in the log
    struct traces_counts counts;
};

static void on_done(struct http_post *p, int status, const struct err *why);

int traces_new(struct loop *l, struct log *log, struct traces **ret, struct err *e)
{
    struct traces *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_NOMEM, "no memory for traces");
    t->log = log;
    t->options.endpoint = "";
    http_post_init(&t->post, l, TIMEOUT_MS, BATCH_BYTES);
    t->post.on_done = on_done;
    *ret = t;
    return 0;
}

void traces_set(struct traces *t, struct traces_options o)
{
    t->options = o;
}

void traces_free(struct traces *t)
{
    if (!t)
        return;
    http_post_done(&t->post);
    free(t);
}

bool traces_are_on(const struct traces *t)
{
    return t->options.endpoint[0] != '\0';
}

static uint64_t n_waiting(const struct traces *t)
{
    return t->next - t->first;
}

static bool is_own(const struct otlp_request *r)
{
    static const uint8_t NONE[16] = {0};
    return memcmp(r->trace, NONE, sizeof NONE) == 0;
}

// The same for each monitor and each time: by the prediction id.
static bool is_drawn(const struct traces *t, const struct otlp_request *r)
{
    static const struct siphash_key KEY = {0x7472616365, 0};
    return siphash(KEY, (struct str){(const char *)r->id, sizeof r->id}) % RATE_WHOLE < t->options.per_10000;
}

void traces_take(struct traces *t, const struct otlp_request *r, bool is_sampled)
{
    bool own = is_own(r);
    if (!traces_are_on(t) || (own ? !is_drawn(t, r) : !is_sampled))
        return;
    t->counts.taken++;
    if (n_waiting(t) == LIMIT_TRACES_WAITING) {
        t->counts.dropped++;
        return;
    }
    if (n_waiting(t) == 0)
        t->due_ns = clock_mono_ns() + PATIENCE_MS * UINT64_C(1000000);
    struct entry *x = &t->ring[t->next++ % LIMIT_TRACES_WAITING];
    x->r = *r;
    if (own)
        memcpy(x->r.trace, r->id, sizeof x->r.trace);
    snprintf(x->model, sizeof x->model, "%s", r->model);
    snprintf(x->arm, sizeof x->arm, "%s", r->arm);
    x->r.model = x->model;
    x->r.arm = x->arm;
}

static void let_go(struct traces *t, uint64_t *counter)
{
    *counter += t->n_sending;
    t->first += t->n_sending;
    t->n_sending = 0;
    t->n_failed = 0;
    t->due_ns = 0; // the rest has waited
}

static void tell_failure(struct traces *t, int status, const char *why)
{
    if (!t->has_failed)
        log_event(t->log, LOG_LEVEL_WARN, "traces_not_sent", LOG_Z("endpoint", t->options.endpoint),
                  LOG_INT("status", status), LOG_Z("reason", why));
    t->has_failed = true;
}

// Those that OTLP says to repeat.
static bool may_repeat(int status)
{
    return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

static void failed(struct traces *t, int status, const char *why)
{
    tell_failure(t, status, why);
    if (!may_repeat(status)) {
        let_go(t, &t->counts.refused);
    } else if (++t->n_failed == ATTEMPTS) {
        let_go(t, &t->counts.dropped);
    } else {
        t->n_sending = 0;
        t->due_ns = clock_mono_ns() + ((uint64_t)RETRY_MS << t->n_failed) * UINT64_C(1000000);
    }
}

static void on_done(struct http_post *p, int status, const struct err *why)
{
    struct traces *t = (struct traces *)((char *)p - offsetof(struct traces, post));
    if (status < 200 || status > 299) {
        failed(t, status, why ? why->msg : "the collector refused them");
        return;
    }
    if (t->has_failed)
        log_event(t->log, LOG_LEVEL_INFO, "traces_sent_again", LOG_INT("dropped", t->counts.dropped));
    t->has_failed = false;
    let_go(t, &t->counts.exported);
    traces_tick(t, clock_mono_ns());
}

static void send_batch(struct traces *t, const struct http_post_url *to)
{
    struct buf body;
    struct err e;
    buf_init(&body, BATCH_BYTES);
    t->n_sending = n_waiting(t) < BATCH ? n_waiting(t) : BATCH;
    otlp_begin(&body, SLIPWAY_VERSION);
    for (uint64_t i = 0; i < t->n_sending; i++)
        otlp_put_request(&body, i == 0, &t->ring[(t->first + i) % LIMIT_TRACES_WAITING].r);
    otlp_end(&body);
    int rc = body.failed
                 ? err_set(&e, ERR_NOMEM, "no memory for a batch of traces")
                 : http_post_begin(&t->post, to, "Content-Type: application/json\r\n", buf_str(&body), &e);
    buf_done(&body);
    if (rc)
        failed(t, 0, e.msg);
}

void traces_tick(struct traces *t, uint64_t now_mono_ns)
{
    struct http_post_url to;
    struct err e;
    uint64_t n = n_waiting(t);
    bool is_retry = t->n_failed > 0;
    if (t->n_sending || n == 0 || (now_mono_ns < t->due_ns && (is_retry || n < BATCH)))
        return;
    if (http_post_url_parse(str_of(t->options.endpoint), "/v1/traces", &to, &e)) {
        if (!t->is_misset)
            log_event(t->log, LOG_LEVEL_ERROR, "traces_not_sent", LOG_Z("reason", e.msg));
        t->is_misset = true;
        t->n_sending = n;
        let_go(t, &t->counts.dropped);
        return;
    }
    t->is_misset = false;
    send_batch(t, &to);
}

struct traces_counts traces_count(const struct traces *t)
{
    struct traces_counts c = t->counts;
    c.waiting = n_waiting(t);
    return c;
}

void traces_metrics_put(const struct traces *t, struct buf *out)
{
    const struct {
        const char *result;
        uint64_t n;
    } rows[] = {
        {"exported", t->counts.exported}, {"dropped", t->counts.dropped}, {"refused", t->counts.refused}};
    exposition_family(out, "slipway_traces_total", "counter", "Predictions whose spans were to be exported.");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct exposition x = exposition_begin(out, "slipway_traces_total", "");
        exposition_label(&x, "result", str_of(rows[i].result));
        exposition_end_u64(&x, rows[i].n);
    }
}
