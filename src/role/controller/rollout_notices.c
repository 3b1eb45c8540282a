// SPDX-License-Identifier: Apache-2.0
// One line for each move of a rollout, to the webhook of the setting rollout_webhook: in order, one at a
// time, each tried a few times. The queue is short; what does not fit is dropped, oldest first, and said in
// the log. Rollouts never wait for it.
#include "role/controller/helper.h"
#include "role/controller/image.h"
#include "role/controller/rollout_state.h"
#include "role/notify.h"
#include "settings/settings.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

enum { QUEUE = 64, TRIES = 6, FIRST_PAUSE_MS = 500 };

struct notices {
    struct rollouts *all;
    char *queue[QUEUE]; // owned; a ring
    unsigned first, n;
    unsigned tries; // of the first
    struct helper *helper;
    struct timer due;
};

static void send_first(struct notices *s);

static void drop_first(struct notices *s)
{
    free(s->queue[s->first]);
    s->first = (s->first + 1) % QUEUE;
    s->n--;
    s->tries = 0;
}

static void on_due(struct timer *t)
{
    send_first((struct notices *)((char *)t - offsetof(struct notices, due)));
}

static void failed(struct notices *s, const char *why)
{
    struct controller *c = s->all->c;
    struct err e;
    if (++s->tries < TRIES) {
        uint64_t pause_ns = (uint64_t)FIRST_PAUSE_MS << (s->tries - 1);
        pause_ns *= 1000000;
        if (!loop_timer_set(c->loop, &s->due, loop_now_ns(c->loop) + pause_ns, &e))
            return;
    }
    log_event(&c->log, LOG_LEVEL_WARN, "webhook_failed", LOG_INT("tries", s->tries), LOG_Z("message", why));
    drop_first(s);
    send_first(s);
}

static void on_end(void *owner, const struct helper_end *end)
{
    struct notices *s = owner;
    struct err e = {0};
    char why[ERR_MSG_MAX];
    s->helper = NULL;
    yyjson_doc *doc = end->report.n ? yyjson_read(end->report.p, end->report.n, 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    uint64_t status = yyjson_get_uint(yyjson_obj_get(root, "status"));
    bool done = !end->is_late && end->status == 0 && status >= 200 && status < 300;
    if (helper_report_take(root, &e))
        snprintf(why, sizeof why, "%s", e.msg);
    else
        snprintf(why, sizeof why, status ? "the webhook answered %llu" : "the process that tells it failed",
                 (unsigned long long)status);
    yyjson_doc_free(doc);
    if (done) {
        drop_first(s);
        send_first(s);
    } else {
        failed(s, why);
    }
}

static int notice_fd(const struct notices *s, int *ret_fd, struct err *e)
{
    struct buf text;
    buf_init(&text, NOTIFY_URL_MAX + 1 + NOTIFY_BODY_MAX);
    buf_puts(&text, s->all->c->args->settings->rollout_webhook);
    buf_putc(&text, '\n');
    buf_puts(&text, s->queue[s->first]);
    int rc = text.failed ? err_set(e, ERR_NOMEM, "no memory to tell the webhook")
                         : image_of_text("slipway-notice", buf_str(&text), ret_fd, e);
    buf_done(&text);
    return rc;
}

static void send_first(struct notices *s)
{
    struct controller *c = s->all->c;
    char program[] = "slipway", role[] = NOTIFY_ROLE;
    char *argv[] = {program, role, NULL};
    struct err e;
    int fd;
    while (s->n && !c->args->settings->rollout_webhook[0]) // it was taken away meanwhile
        drop_first(s);
    if (s->n == 0 || s->helper)
        return;
    int rc = notice_fd(s, &fd, &e);
    if (!rc) {
        const struct helper_spec spec = {.argv = argv,
                                         .fds = &fd,
                                         .n_fds = 1,
                                         .timeout_ms = NOTIFY_TIMEOUT_MS + 2000,
                                         .on_end = on_end,
                                         .owner = s};
        rc = helper_start(c, &spec, &s->helper, &e);
        close(fd);
    }
    if (rc)
        failed(s, e.msg);
}

// "rollout 12 of fraud: version 7 is rolling_back (was running at 5 %): errors of version 7: …"
static void put_text(const struct rollout *r, enum plan_state from, struct buf *out)
{
    struct buf text;
    buf_init(&text, NOTIFY_BODY_MAX / 2);
    buf_printf(&text, "rollout %llu of %s: version %u is %s at %g %% (was %s)", (unsigned long long)r->id,
               r->spec.model, r->candidates[0], plan_state_name(r->plan.state),
               plan_weight_bp(&r->spec, &r->plan) / 100.0, plan_state_name(from));
    if (r->last_note[0])
        buf_printf(&text, ": %s", r->last_note);
    buf_put_json_str(out, buf_str(&text));
    buf_done(&text);
}

void notices_add(struct rollout *r, enum plan_state from)
{
    struct notices *s = r->all->notices;
    struct controller *c = r->all->c;
    char at[CLOCK_RFC3339_SIZE];
    struct buf line;
    if (!c->args->settings->rollout_webhook[0])
        return;
    buf_init(&line, NOTIFY_BODY_MAX);
    clock_rfc3339(r->plan.entered_ns, at);
    buf_puts(&line, "{\"text\":");
    put_text(r, from, &line);
    buf_printf(
        &line,
        ",\"rollout\":%llu,\"model\":\"%s\",\"version\":%u,\"event\":\"%s\",\"from\":\"%s\",\"to\":\"%s\","
        "\"weight\":%g,\"at\":\"%s\"}",
        (unsigned long long)r->id, r->spec.model, r->candidates[0], plan_event_name(r->last_event),
        plan_state_name(from), plan_state_name(r->plan.state), plan_weight_bp(&r->spec, &r->plan) / 100.0,
        at);
    char *text = line.failed ? NULL : str_dup(buf_str(&line));
    buf_done(&line);
    if (!text || s->n == QUEUE)
        log_event(&c->log, LOG_LEVEL_WARN, "webhook_failed", LOG_Z("message", "too many notices wait"));
    if (!text)
        return;
    if (s->n == QUEUE && s->helper) { // the one that is being sent stays the first
        free(text);
        return;
    }
    if (s->n == QUEUE)
        drop_first(s);
    s->queue[(s->first + s->n++) % QUEUE] = text;
    send_first(s);
}

int notices_open(struct rollouts *all, struct err *e)
{
    all->notices = calloc(1, sizeof *all->notices);
    if (!all->notices)
        return err_set(e, ERR_NOMEM, "no memory to start");
    *all->notices = (struct notices){.all = all, .due.on_due = on_due};
    return 0;
}

void notices_close(struct rollouts *all)
{
    struct notices *s = all->notices;
    if (!s)
        return;
    helper_cancel(s->helper);
    if (all->c->loop)
        loop_timer_clear(all->c->loop, &s->due);
    while (s->n)
        drop_first(s);
    free(s);
    all->notices = NULL;
}
