// SPDX-License-Identifier: Apache-2.0
// What a rollout would take, asked before it is started: the traffic is the model's present one unless the
// question says another, and a process of its own plays it (role/forecast.h).
#include "role/controller/helper.h"
#include "role/controller/image.h"
#include "role/controller/request.h"
#include "role/forecast.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

enum { TIMEOUT_MS = 120000, FORECASTS_MAX = 2 };

static void forecast_free(struct request *r)
{
    helper_cancel(r->state);
    r->state = NULL;
    r->c->n_forecasts--;
}

static void on_end(void *owner, const struct helper_end *end)
{
    struct request *r = owner;
    struct err e = {0};
    r->state = NULL;
    yyjson_doc *doc = end->report.n ? yyjson_read(end->report.p, end->report.n, 0) : NULL;
    int rc = end->is_late ? err_set(&e, ERR_DEADLINE, "the forecast took more than %d s: ask for fewer runs",
                                    TIMEOUT_MS / 1000)
             : end->status || !doc ? err_set(&e, ERR_INTERNAL, "the process that makes forecasts failed")
                                   : helper_report_take(yyjson_doc_get_root(doc), &e);
    yyjson_doc_free(doc);
    if (rc) {
        request_fail(r, &e);
        return;
    }
    buf_put_str(&r->out, end->report);
    request_answer(r, 200, "application/json");
}

// What the gateways counted lately of the version that the rollout would begin from.
static void add_traffic(const struct controller *c, struct forecast_question *q)
{
    struct str model = str_of(q->spec.model);
    uint32_t version = routing_alias_target(&c->routing, model, str_of(q->spec.baseline));
    const struct deployment *d =
        routing_find(&c->routing, model, version ? version : routing_default(&c->routing, model));
    if (q->requests_per_second <= 0 && d)
        q->requests_per_second = d->requests_per_second;
    if (q->error_rate <= 0 && d && d->requests_per_second > 0)
        q->error_rate = d->errors_per_second / d->requests_per_second;
    if (q->error_rate > 0.5)
        q->error_rate = 0.5;
}

static int start(struct request *r, yyjson_val *rollout, const struct forecast_question *q, struct err *e)
{
    char program[] = "slipway", role[] = FORECAST_ROLE, *argv[] = {program, role, NULL};
    struct helper *helper;
    struct buf text;
    int fd;
    size_t n;
    char *json = yyjson_val_write(rollout, 0, &n);
    if (!json)
        return err_set(e, ERR_NOMEM, "no memory for a forecast");
    buf_init(&text, FORECAST_QUESTION_MAX);
    buf_puts(&text, "{\"rollout\":");
    buf_put(&text, json, n);
    buf_printf(&text, ",\"requests_per_second\":%.17g,\"harm\":%.17g,\"runs\":%u", q->requests_per_second,
               q->harm, q->runs);
    if (q->error_rate >= 1e-6)
        buf_printf(&text, ",\"error_rate\":%.17g", q->error_rate);
    buf_putc(&text, '}');
    free(json);
    int rc = text.failed ? err_set(e, ERR_TOO_LARGE, "the question is too large")
                         : image_of_text("slipway-forecast", buf_str(&text), &fd, e);
    buf_done(&text);
    if (rc)
        return rc;
    const struct helper_spec spec = {
        .argv = argv, .fds = &fd, .n_fds = 1, .timeout_ms = TIMEOUT_MS, .on_end = on_end, .owner = r};
    rc = helper_start(r->c, &spec, &helper, e);
    close(fd);
    if (rc)
        return err_wrap(e, "make a forecast");
    r->c->n_forecasts++;
    r->state = helper;
    r->state_free = forecast_free;
    return 0;
}

int rollout_forecast(struct request *r, struct err *e)
{
    struct forecast_question q;
    yyjson_doc *doc = NULL;
    int rc = forecast_read(buf_str(&r->body), &q, &doc, e);
    if (!rc && r->c->n_forecasts >= FORECASTS_MAX)
        rc = err_set(e, ERR_BUSY, "%d forecasts are being made", FORECASTS_MAX);
    if (!rc) {
        add_traffic(r->c, &q);
        if (q.requests_per_second <= 0) {
            rc = err_set(e, ERR_INVALID, "model '%s' has had no requests of late", q.spec.model);
            err_at(e, "$.requests_per_second");
            err_hint(e, "Say how many requests per second are expected.");
        }
    }
    if (!rc)
        rc = start(r, yyjson_obj_get(yyjson_doc_get_root(doc), "rollout"), &q, e);
    yyjson_doc_free(doc);
    return rc;
}
