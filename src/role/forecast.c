// SPDX-License-Identifier: Apache-2.0
// The forecast: each guardrail alone, with the real judge.
#include "role/forecast.h"

#include "base/num.h"
#include "os/file.h"
#include "os/proc.h"
#include "role/helper_report.h"
#include "rollout/planner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static const double ERROR_RATE = 0.01;     // where none was given or seen
static const double FORECAST_RANGE = 0.05; // of the scores, the least that is looked at
static const double HARM = 3;

static int wrong(const char *name, const char *expected, struct err *e)
{
    err_set(e, ERR_OUT_OF_RANGE, "expected %s", expected);
    err_at(e, "$.%s", name);
    return ERR_OUT_OF_RANGE;
}

static int read_number(yyjson_val *root, const char *name, double above, double most, const char *expected,
                       double *ret, struct err *e)
{
    yyjson_val *v = yyjson_obj_get(root, name);
    double x = yyjson_get_num(v);
    if (!v)
        return 0;
    if (!yyjson_is_num(v) || !(x > above && x <= most))
        return wrong(name, expected, e);
    *ret = x;
    return 0;
}

static int check_fields(yyjson_val *root, struct err *e)
{
    static const char *const KNOWN[] = {"rollout", "requests_per_second", "error_rate", "harm", "runs"};
    yyjson_val *key, *value;
    size_t i, max;
    if (!yyjson_is_obj(root))
        return err_set(e, ERR_BAD_JSON, "the question is no JSON object");
    yyjson_obj_foreach(root, i, max, key, value)
    {
        bool known = false;
        for (size_t k = 0; k < sizeof KNOWN / sizeof KNOWN[0]; k++)
            known |= yyjson_equals_str(key, KNOWN[k]);
        if (!known) {
            err_set(e, ERR_UNKNOWN_FIELD, "the field '%.80s' is not understood here", yyjson_get_str(key));
            err_hint(e, "Known: rollout, requests_per_second, error_rate, harm, runs.");
            return ERR_UNKNOWN_FIELD;
        }
    }
    return 0;
}

static int read_rollout(yyjson_val *root, struct forecast_question *q, struct err *e)
{
    yyjson_val *rollout = yyjson_obj_get(root, "rollout");
    size_t n = 0;
    char *text = rollout ? yyjson_val_write(rollout, 0, &n) : NULL;
    if (!rollout)
        return wrong("rollout", "the rollout that is meant, as it would be started", e);
    if (!text)
        return err_set(e, ERR_NOMEM, "no memory to read a question");
    int rc = rollout_request_decode((struct str){text, n}, &q->spec, e);
    free(text);
    if (!rc && q->spec.strategy == STRATEGY_SHADOW)
        rc = wrong("rollout.strategy", "canary or ab: mirrored requests are compared one by one", e);
    return rc;
}

int forecast_read(struct str json, struct forecast_question *ret, yyjson_doc **ret_doc, struct err *e)
{
    yyjson_read_err why;
    double runs = FORECAST_RUNS;
    *ret = (struct forecast_question){.harm = HARM};
    // Without YYJSON_READ_INSITU the bytes are only read.
    yyjson_doc *doc = *ret_doc = yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, NULL, &why);
    if (!doc)
        return err_set(e, ERR_BAD_JSON, "not JSON at byte %zu: %s", why.pos, why.msg);
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc;
    if ((rc = check_fields(root, e)) || (rc = read_rollout(root, ret, e)) ||
        (rc = read_number(root, "requests_per_second", 0, 1e8, "a number above 0", &ret->requests_per_second,
                          e)) ||
        (rc =
             read_number(root, "error_rate", 0, 0.5, "a number above 0, at most 0.5", &ret->error_rate, e)) ||
        (rc = read_number(root, "harm", 1, 1000, "a number above 1, at most 1000", &ret->harm, e)) ||
        (rc = read_number(root, "runs", 0.5, PLANNER_RUNS_MAX, "a number from 1 to 1000", &runs, e)))
        return rc;
    ret->runs = (uint32_t)runs;
    return 0;
}

static void put_quantiles(const char *name, const struct planner_quantiles *q, double per_second,
                          struct buf *out)
{
    char text[NUM_TEXT_MAX];
    buf_printf(out, ",\"%s\":{\"share\":", name);
    buf_put(out, text, num_write_double(q->share < 1 ? q->share : 1, text));
    buf_put_json_number(out, "n50", q->n50);
    buf_put_json_number(out, "n95", q->n95);
    buf_put_json_number(out, "seconds50", ceil(q->n50 / per_second));
    buf_put_json_number(out, "seconds95", ceil(q->n95 / per_second));
    buf_putc(out, '}');
}

static void put_answer(const struct planner_question *q, const struct planner_answer *a, struct buf *out)
{
    const struct guard *g = &q->spec->rules.guards[q->guard];
    buf_printf(out, "{\"metric\":\"%s\"", guard_metric_name(g->metric));
    if (g->metric == GUARD_LATENCY)
        buf_put_json_number(out, "q", g->q);
    buf_put_json_number(out, "base_rate", q->base_rate);
    put_quantiles("detect", &a->detect, q->requests_per_second, out);
    put_quantiles("promote", &a->promote, q->requests_per_second, out);
    buf_put_json_number(out, "exposed50", a->exposed50);
    buf_put_json_number(out, "exposed95", a->exposed95);
    buf_put_json_number(out, "held", a->held);
    buf_puts(out, ",\"steps\":[");
    for (uint32_t i = 0; i < a->n_steps; i++) {
        const struct planner_step *s = &a->steps[i];
        buf_printf(out, "%s{\"weight\":%g", i ? "," : "", s->weight_bp / 100.0);
        buf_put_json_number(out, "requests_max", s->requests_max);
        put_quantiles("detect", &s->detect, q->requests_per_second, out);
        put_quantiles("pass", &s->pass, q->requests_per_second, out);
        buf_printf(out, ",\"never_detects\":%s,\"never_passes\":%s}", s->never_detects ? "true" : "false",
                   s->never_passes ? "true" : "false");
    }
    buf_puts(out, "]}");
}

static int answer(const struct forecast_question *f, struct buf *out, struct err *e)
{
    struct planner_answer *a = malloc(sizeof *a);
    if (!a)
        return err_set(e, ERR_NOMEM, "no memory for a forecast");
    int rc = 0;
    buf_puts(out, "{\"model\":");
    buf_put_json_str(out, str_of(f->spec.model));
    buf_put_json_number(out, "requests_per_second", f->requests_per_second);
    buf_put_json_number(out, "harm", f->harm);
    buf_printf(out, ",\"runs\":%u,\"guardrails\":[", f->runs);
    for (uint32_t i = 0; !rc && i < f->spec.rules.n_guards; i++) {
        const struct guard *g = &f->spec.rules.guards[i];
        const struct planner_question q = {.spec = &f->spec,
                                           .guard = i,
                                           .base_rate = g->metric == GUARD_LATENCY        ? 1 - g->q
                                                        : g->metric == GUARD_DISTRIBUTION ? FORECAST_RANGE
                                                        : f->error_rate > 0               ? f->error_rate
                                                                                          : ERROR_RATE,
                                           .harm = f->harm,
                                           .requests_per_second = f->requests_per_second,
                                           .seed = i + 1,
                                           .runs = f->runs};
        rc = planner_ask(&q, a, e);
        buf_puts(out, i ? "," : "");
        if (!rc)
            put_answer(&q, a, out);
    }
    buf_puts(out, "]}");
    free(a);
    return rc;
}

static int read_question(struct buf *text, struct err *e)
{
    char *to = buf_reserve(text, FORECAST_QUESTION_MAX);
    size_t n = 0;
    if (!to)
        return err_set(e, ERR_NOMEM, "no memory for a forecast");
    int rc = file_read_at(FORECAST_FD_QUESTION, to, FORECAST_QUESTION_MAX, 0, &n, e);
    buf_advance(text, rc ? 0 : n);
    return rc;
}

int forecast_main(int argc, char *const *argv)
{
    struct forecast_question q;
    yyjson_doc *doc = NULL;
    struct buf text, report;
    struct err e = {0}, ignored;
    if (argc != FORECAST_ARGS || strcmp(argv[FORECAST_ARG_ROLE], FORECAST_ROLE) != 0)
        return 2;
    proc_give_way();
    buf_init(&text, FORECAST_QUESTION_MAX);
    buf_init(&report, HELPER_REPORT_MAX);
    int rc = read_question(&text, &e);
    if (!rc)
        rc = forecast_read(buf_str(&text), &q, &doc, &e);
    if (!rc)
        rc = answer(&q, &report, &e);
    if (rc) {
        buf_clear(&report);
        helper_report_error(&e, &report);
    }
    int failed = report.failed || file_write_all(FORECAST_FD_RESULT, report.p, report.n, &ignored);
    yyjson_doc_free(doc);
    buf_done(&text);
    buf_done(&report);
    return failed;
}
