// SPDX-License-Identifier: Apache-2.0
// A rollout in the admin API, and the words for what it does by itself.
#include "role/controller/rollout_state.h"

#include "base/clock.h"
#include "base/num.h"
#include "role/controller/describe.h"
#include "rollout/evidence.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_arms(const char *name, const uint64_t n[ARMS], struct buf *out)
{
    buf_printf(out, ",\"%s\":{\"canary\":%llu,\"stable\":%llu}", name, (unsigned long long)n[ARM_CANARY],
               (unsigned long long)n[ARM_STABLE]);
}

static double rate_of(const struct finding *f, enum arm arm)
{
    return f->requests[arm] ? (double)f->events[arm] / (double)f->requests[arm] : 0;
}

// Requests of the model until the evidence suffices, if it goes on to grow as it did; NaN when it does not
// grow.
static double to_decide(const struct finding *f)
{
    double n = (double)(f->requests[ARM_CANARY] + f->requests[ARM_STABLE]);
    double pass = f->log_pass > f->log_rate ? f->log_pass : f->log_rate;
    double to_pass = pass > 0 ? n * (f->pass_at / pass - 1) : nan("");
    double to_fail = f->log_fail > 0 ? n * (f->fail_at / f->log_fail - 1) : nan("");
    double least = isnan(to_fail) || to_pass < to_fail ? to_pass : to_fail;
    return f->verdict != VERDICT_UNDECIDED ? 0 : least < 0 ? 0 : least;
}

// From where to where a range of scores goes: above lo, hi at most; infinite at both ends.
static void range_of(const struct rollout *r, uint32_t range, double *ret_lo, double *ret_hi)
{
    *ret_lo = range > 0 ? r->scores.cuts[range - 1] : -HUGE_VAL;
    *ret_hi = range < r->scores.n_cuts ? r->scores.cuts[range] : HUGE_VAL;
}

static void put_range(const struct rollout *r, uint32_t range, const struct counts *n, struct buf *out)
{
    double lo, hi;
    range_of(r, range, &lo, &hi);
    buf_printf(out, "{\"canary\":%llu,\"stable\":%llu", (unsigned long long)counts_of(n, ARM_CANARY),
               (unsigned long long)counts_of(n, ARM_STABLE));
    buf_put_json_number(out, "above", lo);
    buf_put_json_number(out, "to", hi);
    buf_putc(out, '}');
}

// "range": the one that events and relative risk are of, "ranges": all.
static void put_ranges(const struct rollout *r, const struct counts ranges[SCORE_RANGES],
                       const struct finding *f, struct buf *out)
{
    buf_puts(out, ",\"range\":");
    put_range(r, f->range, &ranges[f->range], out);
    buf_puts(out, ",\"ranges\":[");
    for (uint32_t i = 0; i <= r->scores.n_cuts; i++) {
        buf_puts(out, i ? "," : "");
        put_range(r, i, &ranges[i], out);
    }
    buf_putc(out, ']');
}

// Of several arms: how much more or less often than with the baseline, and what the interval says of it. The
// error probability is shared among the arms.
static void put_uplift(const struct rollout *r, const struct counts *events, struct buf *out)
{
    double lo, hi, best = evidence_best(events);
    evidence_interval(events, r->spec.rules.alpha_pass / r->spec.n_arms, &lo, &hi);
    buf_printf(out, ",\"decision\":\"%s\",\"uplift\":{\"lo\":",
               lo > 1   ? "worse"
               : hi < 1 ? "better"
                        : "open");
    char text[NUM_TEXT_MAX];
    buf_put(out, text, num_write_double(lo - 1, text));
    buf_put_json_number(out, "mle", best - 1);
    buf_put_json_number(out, "hi", hi - 1);
    buf_putc(out, '}');
}

static void put_guard(const struct rollout *r, uint32_t i, const struct rollout_input *in, uint32_t arm,
                      const struct finding *f, struct buf *out)
{
    const struct guard *g = &r->spec.rules.guards[i];
    buf_printf(out, "{\"metric\":\"%s\"", guard_metric_name(g->metric));
    if (g->metric == GUARD_LATENCY) {
        buf_put_json_number(out, "q", g->q);
        if (r->gate_since_ns[i])
            buf_put_json_number(out, "limit_ms", (double)r->gates[i].limit_ns[ARM_STABLE] / 1e6);
    }
    if (g->metric == GUARD_DISTRIBUTION && r->scores.n_cuts)
        put_ranges(r, in->ranges[arm], f, out);
    buf_printf(out, ",\"verdict\":\"%s\",\"reason\":\"%s\"", verdict_name(f->verdict),
               verdict_reason_name(f->reason));
    put_arms("requests", f->requests, out);
    put_arms("events", f->events, out);
    buf_puts(out, ",\"rate\":{\"canary\":");
    char text[NUM_TEXT_MAX];
    buf_put(out, text, num_write_double(rate_of(f, ARM_CANARY), text));
    buf_put_json_number(out, "stable", rate_of(f, ARM_STABLE));
    buf_puts(out, "},\"relative_risk\":{\"mle\":");
    if (isfinite(f->ratio))
        buf_put(out, text, num_write_double(f->ratio, text));
    else
        buf_puts(out, "null");
    buf_put_json_number(out, "lo", f->ratio_lo);
    buf_put_json_number(out, "hi", f->ratio_hi);
    buf_putc(out, '}');
    if (r->spec.strategy == STRATEGY_AB)
        put_uplift(r,
                   g->metric == GUARD_DISTRIBUTION ? &in->ranges[arm][f->range] : &in->tallies[arm][i].events,
                   out);
    buf_put_json_number(out, "log_e_fail", f->log_fail);
    buf_put_json_number(out, "fail_at", f->fail_at);
    buf_put_json_number(out, "log_e_pass", f->log_pass);
    buf_put_json_number(out, "pass_at", f->pass_at);
    if (g->slo > 0)
        buf_put_json_number(out, "log_e_rate", f->log_rate);
    double n = to_decide(f);
    buf_put_json_number(out, "requests_to_decide", ceil(n));
    double seconds = r->requests_per_second > 0 ? ceil(n / r->requests_per_second) : nan("");
    buf_put_json_number(out, "seconds_to_decide", seconds);
    buf_putc(out, '}');
}

static void put_exposure(const struct rollout *r, uint32_t arm, struct buf *out)
{
    const struct counts *n = rollout_input_of(r)->assigned;
    uint64_t all = counts_of(&n[0], ARM_STABLE), own = counts_of(&n[arm], ARM_CANARY);
    for (uint32_t a = 0; a < r->spec.n_arms; a++)
        all += counts_of(&n[a], ARM_CANARY);
    buf_printf(out, ",\"exposure\":{\"requests\":%llu", (unsigned long long)own);
    buf_put_json_number(out, "share", all ? (double)own / (double)all : 0);
    buf_putc(out, '}');
}

static void put_judgement(const struct rollout *r, struct buf *out)
{
    struct rollout_input *in = rollout_input_of(r);
    struct judgement arms[GUARD_ARMS_MAX], all;
    rollout_judge(&r->spec, &r->plan, in, arms, &all);
    buf_printf(out, ",\"verdict\":\"%s\",\"arms\":[", verdict_name(all.verdict));
    for (uint32_t a = 0; a < r->spec.n_arms; a++) {
        uint64_t n[ARMS] = {counts_of(&in->assigned[a], ARM_CANARY), counts_of(&in->assigned[a], ARM_STABLE)};
        judge_estimate(&r->spec.rules, in->tallies[a], in->ranges[a], &arms[a]);
        buf_printf(out, "%s{\"version\":%u,\"verdict\":\"%s\"", a ? "," : "", r->candidates[a],
                   verdict_name(arms[a].verdict));
        put_arms("requests", n, out);
        put_exposure(r, a, out);
        buf_puts(out, ",\"guardrails\":[");
        for (uint32_t i = 0; i < r->spec.rules.n_guards; i++) {
            if (i)
                buf_putc(out, ',');
            put_guard(r, i, in, a, &arms[a].findings[i], out);
        }
        buf_printf(out, "],\"sample_ratio\":{\"unbalanced\":%s", arms[a].unbalanced ? "true" : "false");
        buf_put_json_number(out, "log_e", arms[a].log_unbalanced);
        buf_put_json_number(out, "alarm_at", arms[a].unbalanced_at);
        buf_puts(out, "}}");
    }
    buf_putc(out, ']');
}

static void put_limits(const struct rollout_step *s, struct buf *out)
{
    buf_printf(out, "\"min_seconds\":%u,\"max_seconds\":%u,\"min_requests\":%llu,\"on_undecided\":\"%s\"}",
               s->min_seconds, s->max_seconds, (unsigned long long)s->min_requests,
               s->advance_undecided ? "advance" : "wait");
}

// Where shadow is all there is, there are none.
static void put_steps(const struct rollout *r, struct buf *out)
{
    uint32_t n = r->spec.strategy == STRATEGY_SHADOW ? 0 : r->spec.n_steps;
    buf_puts(out, ",\"steps\":[");
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(out, "%s{\"weight\":%g,", i ? "," : "", r->spec.steps[i].weight_bp / 100.0);
        put_limits(&r->spec.steps[i], out);
    }
    buf_putc(out, ']');
    if (r->spec.has_shadow) {
        buf_puts(out, ",\"shadow\":{");
        put_limits(&r->spec.shadow, out);
    }
}

static void put_possible(const struct rollout *r, struct buf *out)
{
    const char *comma = "";
    buf_puts(out, ",\"possible\":[");
    for (enum plan_event v = EVENT_PAUSE; v < EVENT_SUPERSEDE; v++)
        if (plan_allows(&r->spec, &r->plan, v)) {
            buf_printf(out, "%s\"%s\"", comma, plan_event_name(v));
            comma = ",";
        }
    buf_putc(out, ']');
}

// Whole ones; the wall clock may be set back.
static double seconds_since(uint64_t wall_ns)
{
    uint64_t now_ns = clock_wall_ns();
    return now_ns > wall_ns ? floor((double)(now_ns - wall_ns) / 1e9) : 0;
}

static void put_head(const struct rollout *r, struct buf *out)
{
    const struct plan *p = &r->plan;
    buf_printf(out, "{\"id\":%llu,\"model\":", (unsigned long long)r->id);
    buf_put_json_str(out, str_of(r->spec.model));
    buf_printf(out, ",\"strategy\":\"%s\",\"alias\":\"%s\",\"baseline\":%u,\"candidates\":[",
               rollout_strategy_name(r->spec.strategy), r->split.alias, r->baseline);
    for (uint32_t i = 0; i < r->spec.n_arms; i++)
        buf_printf(out, "%s%u", i ? "," : "", r->candidates[i]);
    buf_printf(out, "],\"attempt\":%u,\"state\":\"%s\",\"over\":%s", r->attempt, plan_state_name(p->state),
               plan_is_over(p) ? "true" : "false");
    if (rollout_phase(p) != p->state)
        buf_printf(out, ",\"waits_in\":\"%s\"", plan_state_name(rollout_phase(p)));
    buf_printf(out, ",\"step\":%u,\"weight\":%g,\"next_weight\":%g,\"moves\":%llu", p->step,
               plan_weight_bp(&r->spec, p) / 100.0, plan_next_weight_bp(&r->spec, p) / 100.0,
               (unsigned long long)p->n_moves);
    describe_time("created", r->created_wall_ns, out);
    describe_time("entered", p->entered_ns, out);
    buf_put_json_number(out, "seconds_in_state", seconds_since(p->entered_ns));
    if (p->step_ns)
        buf_put_json_number(out, "seconds_in_step", seconds_since(p->step_ns));
    if (r->last_event != EVENT_NONE) {
        buf_printf(out, ",\"last\":{\"event\":\"%s\",\"note\":", plan_event_name(r->last_event));
        buf_put_json_str(out, str_of(r->last_note));
        buf_putc(out, '}');
    }
}

// Members, the first without a comma.
static void put_pairs(const struct pairs *p, struct buf *out)
{
    static const double QS[] = {0.5, 0.9, 0.99, 1};
    buf_puts(out, "\"quantiles\":{");
    for (size_t i = 0; i < sizeof QS / sizeof QS[0]; i++) {
        char text[NUM_TEXT_MAX];
        double difference = pairs_quantile(p, QS[i]);
        buf_printf(out, "%s\"%g\":", i ? "," : "", QS[i]);
        if (isfinite(difference))
            buf_put(out, text, num_write_double(difference, text));
        else // from NaN, or to it
            buf_puts(out, "null");
    }
    buf_putc(out, '}');
    buf_put_json_number(out, "disagreement", p->rows ? (double)p->disagree / (double)p->rows : nan(""));
    buf_puts(out, ",\"counts\":");
    pairs_encode(p, out);
}

static bool put_segment(const char *name, struct str value, const struct pairs *p, const char *comma,
                        struct buf *out)
{
    if (p->n == 0 && p->dropped == 0)
        return false;
    buf_printf(out, "%s{\"segment\":\"%s\"", comma, name);
    if (value.n) {
        buf_puts(out, ",\"value\":");
        buf_put_json_str(out, value);
    }
    buf_putc(out, ',');
    put_pairs(p, out);
    buf_putc(out, '}');
    return true;
}

static void put_segments(const struct segments *s, struct buf *out)
{
    const struct str none = {0};
    const char *comma = "";
    buf_puts(out, ",\"segments\":[");
    for (uint32_t i = 0; i < s->n; i++)
        if (put_segment("value", str_of(s->of[i].value), &s->of[i].pairs, comma, out))
            comma = ",";
    if (put_segment("absent", none, &s->absent, comma, out))
        comma = ",";
    (void)put_segment("others", none, &s->others, comma, out);
    buf_putc(out, ']');
}

static void put_mirrored(const struct rollout *r, struct buf *out)
{
    if (!r->mirrored)
        return;
    buf_puts(out, ",\"mirrored\":{");
    put_pairs(r->mirrored, out);
    if (r->segments)
        put_segments(r->segments, out);
    buf_putc(out, '}');
}

void rollout_show(const struct rollout *r, struct buf *out)
{
    put_head(r, out);
    put_steps(r, out);
    put_possible(r, out);
    buf_printf(out, ",\"exposure\":{\"requests\":%llu,\"overridden\":%llu,\"fallbacks\":%llu}",
               (unsigned long long)counts_of(&r->steps->assigned[0], ARM_CANARY),
               (unsigned long long)r->n_overridden, (unsigned long long)r->n_fallbacks);
    buf_put_json_number(out, "requests_per_second", r->requests_per_second);
    put_judgement(r, out);
    put_mirrored(r, out);
    buf_puts(out, ",\"request\":");
    buf_puts(out, r->request_json);
    buf_putc(out, '}');
}

void rollout_show_stored(const struct registry_rollout *v, struct buf *out)
{
    buf_printf(out, "{\"id\":%llu,\"model\":", (unsigned long long)v->id);
    buf_put_json_str(out, v->model);
    describe_text("alias", v->alias, out);
    buf_printf(out, ",\"baseline\":%u,\"candidates\":[", v->baseline);
    buf_put_str(out, v->candidates);
    buf_printf(out, "],\"attempt\":%u", v->attempt);
    describe_text("state", v->state, out);
    buf_printf(out, ",\"over\":%s,\"moves\":%llu", v->is_over ? "true" : "false",
               (unsigned long long)v->n_moves);
    describe_time("created", v->created_wall_ns, out);
    describe_time("moved", v->moved_wall_ns, out);
    buf_putc(out, '}');
}

// ---- in words ----

static void range_in_words(const struct rollout *r, uint32_t range, char *ret, size_t size)
{
    double lo, hi;
    range_of(r, range, &lo, &hi);
    if (isinf(lo))
        snprintf(ret, size, " up to %.6g", hi);
    else if (isinf(hi))
        snprintf(ret, size, " above %.6g", lo);
    else
        snprintf(ret, size, " from %.6g to %.6g", lo, hi);
}

static void explain_guard(const struct rollout *r, enum verdict verdict, char *ret, size_t size)
{
    for (uint32_t a = 0; a < r->spec.n_arms; a++)
        for (uint32_t i = 0; i < r->spec.rules.n_guards; i++) {
            const struct finding *f = &r->arms[a].findings[i];
            const struct guard *g = &r->spec.rules.guards[i];
            char q[64] = "";
            if (f->verdict != verdict)
                continue;
            if (g->metric == GUARD_LATENCY)
                snprintf(q, sizeof q, " %g", g->q);
            if (g->metric == GUARD_DISTRIBUTION)
                range_in_words(r, f->range, q, sizeof q);
            snprintf(ret, size,
                     "%s%s of version %u: %llu of %llu requests, against %llu of %llu (evidence %.2f, "
                     "threshold %.2f)",
                     guard_metric_name(g->metric), q, r->candidates[a],
                     (unsigned long long)f->events[ARM_CANARY], (unsigned long long)f->requests[ARM_CANARY],
                     (unsigned long long)f->events[ARM_STABLE], (unsigned long long)f->requests[ARM_STABLE],
                     f->log_fail, f->fail_at);
            return;
        }
}

static void explain_lost(const struct rollout *r, char *ret, size_t size)
{
    for (uint32_t a = 0; a < r->spec.n_arms; a++) {
        const struct deployment *d =
            routing_find(&r->all->c->routing, str_of(r->spec.model), r->candidates[a]);
        if (!d)
            snprintf(ret, size, "version %u was deleted", r->candidates[a]);
        else if (d->state == DEPLOYMENT_FAILED || d->is_given_up)
            snprintf(ret, size, "version %u cannot be kept running: %.200s", r->candidates[a], d->why.msg);
        else
            continue;
        return;
    }
}

void rollout_explain(const struct rollout *r, enum plan_event event, char *ret, size_t size)
{
    const struct judgement *j = &r->arms[0];
    struct err e;
    ret[0] = '\0';
    if (event == EVENT_GUARD_FAILED)
        explain_guard(r, VERDICT_FAIL, ret, size);
    else if (event == EVENT_UNBALANCED)
        snprintf(ret, size, "the shares are not those of the weights (evidence %.2f, threshold %.2f)",
                 j->log_unbalanced, j->unbalanced_at);
    else if (event == EVENT_LOST)
        explain_lost(r, ret, size);
    else if (event == EVENT_FREEZE && rollout_may_promote(r, &e))
        snprintf(ret, size, "%s", e.msg);
    else if (event == EVENT_UNREADY)
        snprintf(ret, size, "the replicas for %g %% were not ready within %u s",
                 plan_next_weight_bp(&r->spec, &r->plan) / 100.0, r->spec.ready_seconds);
    else if (event == EVENT_STEP_TIMEOUT)
        snprintf(ret, size, "nothing was decided within %u s", r->spec.steps[r->plan.step].max_seconds);
}
