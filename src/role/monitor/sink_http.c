// SPDX-License-Identifier: Apache-2.0
// CloudEvents to an HTTP receiver, one POST at a time: a list of events, its front under way or to be sent
// again. A receiver that is away is asked again after 1, 2, 4 … 60 seconds for as long as it takes.
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "predlog/line.h"
#include "role/http_post.h"
#include "role/monitor/monitor.h"
#include "role/monitor/sink.h"
#include "settings/settings.h"
#include "wire/cloudevents.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BATCH = 500,
    BODY_BYTES = LIMIT_LOG_SINK_EVENT_BYTES + 2, // with the brackets of a list
    PATIENCE_MS = 1000,                          // for more to send together
    TIMEOUT_MS = 10000,
    RETRY_S = 1, // doubles
    RETRY_MAX_S = 60,
    ERRORS_MAX = 8,    // answers of 500 and the like for the same events, which may be their cause
    MALLOC_BYTES = 16, // that it takes for itself
};

struct item {
    struct item *next;
    size_t n;
    char json[]; // (n) one event
};

struct http_sink {
    struct sink base; // to: the URL
    struct http_post post;
    struct http_post_url url;
    bool is_sound; // the URL
    struct item *first, **last;
    uint64_t n_sending;          // from first on; 0: nothing is under way
    unsigned n_failed, n_errors; // in a row
    uint64_t due_ns;             // not before; of the first that waits, or of the next attempt
    struct buf text;             // of one event
    char source[96];
    struct loop *own; // while it finishes
    struct timer end;
};

static void step(struct http_sink *h, uint64_t now_mono_ns);

static struct http_sink *of(struct sink *s)
{
    return (struct http_sink *)((char *)s - offsetof(struct http_sink, base));
}

static uint64_t cost(const struct item *i)
{
    return sizeof *i + i->n + MALLOC_BYTES;
}

static bool is_batched(const struct http_sink *h)
{
    return h->base.m->settings->log_events_mode == SETTINGS_LOG_EVENTS_BATCH;
}

static uint64_t batch_max(const struct http_sink *h)
{
    return is_batched(h) ? BATCH : 1;
}

// ---- events

static void put_event(const struct http_sink *h, const struct sink_event *ev, struct buf *out)
{
    const struct record_head *head = ev->head;
    char time[LINE_TIME_SIZE], id[64], subject[LIMIT_MODEL_NAME_BYTES + 16] = "";
    line_time(head->wall_ns, time);
    if (ev->row)
        snprintf(id, sizeof id, "%s/%u", ev->id, ev->row);
    else
        snprintf(id, sizeof id, "%s", ev->id);
    if (ev->model.n)
        snprintf(subject, sizeof subject, STR_FMT "/%u", STR_ARG(ev->model), head->version);
    bool is_sampled = head->sample_weight > 1.0f && head->sample_weight < 1e9f;
    cloudevent_put(
        &(struct cloudevent){.id = id,
                             .source = h->source,
                             .type = head->kind == RECORD_FAILURE ? "slipway.failure" : "slipway.prediction",
                             .subject = subject,
                             .time = time,
                             .data = ev->line,
                             .trace = head->trace,
                             .span = head->parent,
                             .is_recorded = head->flags & RECORD_TRACED,
                             .rate = is_sampled ? (uint32_t)lrintf(head->sample_weight) : 1},
        out);
}

static enum sink_drop take(struct sink *s, const struct sink_event *ev)
{
    struct http_sink *h = of(s);
    uint64_t room = s->m->settings->log_sink_bytes;
    if (!h->is_sound)
        return SINK_DROP_UNAVAILABLE;
    buf_clear(&h->text);
    put_event(h, ev, &h->text);
    size_t n = h->text.n;
    if (h->text.failed || sizeof(struct item) + n + MALLOC_BYTES > room)
        return SINK_DROP_TOO_LARGE;
    struct item *i =
        s->counts.queued_bytes + sizeof *i + n + MALLOC_BYTES > room ? NULL : malloc(sizeof *i + n);
    if (!i)
        return SINK_DROP_FULL;
    i->next = NULL;
    i->n = n;
    memcpy(i->json, h->text.p, n);
    *h->last = i;
    h->last = &i->next;
    s->counts.queued_bytes += cost(i);
    if (s->counts.queued++ == 0 && h->n_failed == 0)
        h->due_ns = clock_mono_ns() + PATIENCE_MS * UINT64_C(1000000);
    if (s->counts.queued >= batch_max(h) && h->n_failed == 0 && h->n_sending == 0)
        step(h, clock_mono_ns());
    return SINK_TAKEN;
}

// The first n, of which it is known what became.
static void let_go(struct http_sink *h, uint64_t n, enum sink_drop why)
{
    uint64_t bytes = 0;
    for (uint64_t k = 0; k < n; k++) {
        struct item *i = h->first;
        ASSERT(i);
        h->first = i->next;
        bytes += cost(i);
        free(i);
    }
    if (!h->first)
        h->last = &h->first;
    h->n_sending = h->n_failed = h->n_errors = 0;
    h->due_ns = 0; // the rest has waited
    if (why == SINK_TAKEN)
        sink_sent(&h->base, n, bytes);
    else
        sink_dropped(&h->base, why, n, bytes);
}

// ---- outcomes

static void again_later(struct http_sink *h, const char *why)
{
    uint64_t s = RETRY_S;
    for (unsigned i = 0; i < h->n_failed && s < RETRY_MAX_S; i++)
        s *= 2;
    s = s < RETRY_MAX_S ? s : RETRY_MAX_S;
    h->n_failed++;
    h->n_sending = 0;
    h->due_ns = clock_mono_ns() + s * UINT64_C(1000000000);
    sink_failed(&h->base, why);
}

static bool is_away(int status)
{
    return status == 0 || status == 408 || status == 425 || status == 429 || (status >= 502 && status <= 504);
}

static void take_answer(struct http_sink *h, int status, const char *why)
{
    if (status >= 200 && status < 300) {
        let_go(h, h->n_sending, SINK_TAKEN);
    } else if (is_away(status) || (status >= 500 && ++h->n_errors < ERRORS_MAX)) {
        again_later(h, why);
    } else {
        sink_failed(&h->base, why);
        let_go(h, h->n_sending, SINK_DROP_REFUSED);
    }
}

static void on_done(struct http_post *p, int status, const struct err *why)
{
    struct http_sink *h = (struct http_sink *)((char *)p - offsetof(struct http_sink, post));
    char text[ERR_MSG_MAX];
    if (why)
        snprintf(text, sizeof text, "%s", why->msg);
    else
        snprintf(text, sizeof text, "the receiver answered with status %d", status);
    take_answer(h, status, text);
    step(h, clock_mono_ns());
    if (h->own && h->n_sending == 0) // all is sent, or it did not work
        loop_stop(h->own);
}

// ---- sending

// As many from the front as may go together.
static uint64_t put_body(const struct http_sink *h, struct buf *out)
{
    if (!is_batched(h)) {
        buf_put(out, h->first->json, h->first->n);
        return 1;
    }
    uint64_t n = 0;
    for (const struct item *i = h->first; i && n < BATCH && out->n + i->n + 2 <= BODY_BYTES; i = i->next) {
        buf_putc(out, n++ ? ',' : '[');
        buf_put(out, i->json, i->n);
    }
    buf_putc(out, ']');
    return n;
}

static void send_some(struct http_sink *h)
{
    struct buf body;
    struct err e;
    buf_init(&body, BODY_BYTES);
    h->n_sending = put_body(h, &body);
    const char *type = is_batched(h) ? "Content-Type: " CLOUDEVENTS_BATCH_TYPE "\r\n"
                                     : "Content-Type: " CLOUDEVENTS_TYPE "\r\n";
    int rc = body.failed
                 ? err_set(&e, ERR_NOMEM, "no memory for %llu events", (unsigned long long)h->n_sending)
                 : http_post_begin(&h->post, &h->url, type, buf_str(&body), &e);
    buf_done(&body);
    if (rc)
        again_later(h, e.msg);
}

static void step(struct http_sink *h, uint64_t now_mono_ns)
{
    uint64_t n = h->base.counts.queued;
    if (h->n_sending || n == 0 || (now_mono_ns < h->due_ns && (h->n_failed || n < batch_max(h))))
        return;
    send_some(h);
}

// Another receiver is asked at once.
static void take_url(struct http_sink *h)
{
    struct sink *s = &h->base;
    struct err e;
    if (strcmp(s->to, s->m->settings->log_events_url) == 0)
        return;
    snprintf(s->to, sizeof s->to, "%s", s->m->settings->log_events_url);
    s->has_failed = false;
    s->why[0] = '\0';
    s->is_on = s->to[0];
    h->is_sound = s->is_on && http_post_url_parse(str_of(s->to), "/", &h->url, &e) == 0;
    h->n_failed = h->n_errors = 0;
    h->due_ns = 0;
    if (s->is_on && !h->is_sound)
        sink_failed(s, e.msg);
    if (!h->is_sound)
        let_go(h, s->counts.queued, SINK_DROP_UNAVAILABLE);
}

static void tick(struct sink *s, uint64_t now_mono_ns)
{
    struct http_sink *h = of(s);
    if (h->n_sending)
        return;
    take_url(h);
    step(h, now_mono_ns);
}

// ---- its life

static void on_end(struct timer *t)
{
    struct http_sink *h = (struct http_sink *)((char *)t - offsetof(struct http_sink, end));
    loop_stop(h->own);
}

// What is under way goes once more: its answer would come to a loop that has ended, and its ids are the same.
static void finish(struct sink *s, uint64_t until_mono_ns)
{
    struct http_sink *h = of(s);
    struct err e;
    http_post_done(&h->post);
    h->n_sending = h->n_failed = 0;
    h->due_ns = 0;
    if (s->counts.queued && loop_new(&h->own, &e) == 0) {
        http_post_init(&h->post, h->own, TIMEOUT_MS, BODY_BYTES);
        h->end.on_due = on_end;
        if (loop_timer_set(h->own, &h->end, until_mono_ns, &e) == 0)
            step(h, clock_mono_ns());
        if (h->n_sending && loop_run(h->own, &e))
            sink_failed(s, e.msg);
        http_post_done(&h->post);
        loop_free(h->own);
        h->own = NULL;
    }
    let_go(h, s->counts.queued, SINK_DROP_STOPPED);
}

static void sink_free(struct sink *s)
{
    struct http_sink *h = of(s);
    http_post_done(&h->post);
    let_go(h, s->counts.queued, SINK_DROP_STOPPED);
    buf_done(&h->text);
    free(h);
}

int sink_http_new(struct monitor *m, struct sink **ret, struct err *e)
{
    static const struct sink_ops OPS = {"cloudevents", take, tick, finish, sink_free};
    struct http_sink *h = calloc(1, sizeof *h);
    char host[64] = "";
    if (!h)
        return err_set(e, ERR_NOMEM, "no memory for the sink of CloudEvents");
    h->base.ops = &OPS;
    h->base.m = m;
    h->last = &h->first;
    (void)gethostname(host, sizeof host - 1);
    for (char *c = host; *c; c++) // a part of a path
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *c))
            *c = '-';
    snprintf(h->source, sizeof h->source, "/slipway/%s", host);
    http_post_init(&h->post, m->loop, TIMEOUT_MS, BODY_BYTES);
    h->post.on_done = on_done;
    buf_init(&h->text, LIMIT_LOG_SINK_EVENT_BYTES);
    take_url(h);
    *ret = &h->base;
    return 0;
}
