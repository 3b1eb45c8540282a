// SPDX-License-Identifier: Apache-2.0
// Rollouts in /metrics. Any gateway answers that, so each gets the lines as they are to appear; model names,
// versions and metrics need no escapes.
#include "role/controller/rollout_state.h"
#include "role/ipc.h"
#include "role/peer.h"

#include <math.h>
#include <string.h>

enum { LINES_MAX = 1 << 20 };

static void put_help(const char *name, const char *type, const char *help, struct buf *out)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_value(double x, struct buf *out)
{
    if (isfinite(x))
        buf_printf(out, "} %.9g\n", x);
    else
        buf_printf(out, "} %s\n", isnan(x) ? "NaN" : x > 0 ? "+Inf" : "-Inf");
}

static void put_labels(const char *name, const struct rollout *r, uint32_t arm, struct buf *out)
{
    buf_printf(out, "%s{model=\"%s\",rollout=\"%llu\",version=\"%u\"", name, r->spec.model,
               (unsigned long long)r->id, r->candidates[arm]);
}

static void put_states(const struct rollouts *all, struct buf *out)
{
    put_help("slipway_rollout_state", "gauge", "1 for the state that a rollout is in.", out);
    for (const struct rollout *r = all->list; r; r = r->next) {
        put_labels("slipway_rollout_state", r, 0, out);
        buf_printf(out, ",state=\"%s\"} 1\n", plan_state_name(r->plan.state));
    }
    put_help("slipway_rollout_weight", "gauge", "Share of the traffic that a candidate gets, 0 to 1.", out);
    for (const struct rollout *r = all->list; r; r = r->next)
        for (uint32_t a = 0; a < r->spec.n_arms; a++) {
            bool several = r->spec.strategy == STRATEGY_AB && plan_weight_bp(&r->spec, &r->plan);
            uint32_t bp = several ? r->spec.arms[a].weight_bp : plan_weight_bp(&r->spec, &r->plan);
            put_labels("slipway_rollout_weight", r, a, out);
            put_value(bp / (double)SPLIT_BUCKETS, out);
        }
}

static void put_metric_labels(const char *name, const struct rollout *r, uint32_t arm, uint32_t i,
                              struct buf *out)
{
    const struct guard *g = &r->spec.rules.guards[i];
    put_labels(name, r, arm, out);
    if (g->metric == GUARD_LATENCY)
        buf_printf(out, ",metric=\"latency_%g\"", g->q);
    else
        buf_printf(out, ",metric=\"%s\"", guard_metric_name(g->metric));
}

static void put_test(const struct rollout *r, uint32_t a, uint32_t i, const char *test, double x,
                     struct buf *out)
{
    put_metric_labels("slipway_rollout_log_e", r, a, i, out);
    buf_printf(out, ",test=\"%s\"", test);
    put_value(x, out);
}

static void put_evidence(const struct rollouts *all, struct buf *out)
{
    put_help(
        "slipway_rollout_log_e", "gauge",
        "Evidence as a natural logarithm: that a candidate is worse (fail) or good enough (pass), and where "
        "it suffices.",
        out);
    for (const struct rollout *r = all->list; r; r = r->next)
        for (uint32_t a = 0; a < r->spec.n_arms; a++)
            for (uint32_t i = 0; i < r->arms[a].n_findings; i++) {
                const struct finding *f = &r->arms[a].findings[i];
                put_test(r, a, i, "fail", f->log_fail, out);
                put_test(r, a, i, "fail_at", f->fail_at, out);
                put_test(r, a, i, "pass", f->log_pass, out);
                put_test(r, a, i, "pass_at", f->pass_at, out);
            }
}

static void put_risks(struct rollouts *all, struct buf *out)
{
    static const char *const BOUNDS[] = {"mle", "lo", "hi"};
    put_help(
        "slipway_rollout_relative_risk", "gauge",
        "The candidate's rate of bad events relative to the stable version's, with an interval that holds "
        "at all times.",
        out);
    for (struct rollout *r = all->list; r; r = r->next) {
        struct rollout_input *in = rollout_input_of(r);
        for (uint32_t a = 0; a < r->spec.n_arms; a++) {
            struct judgement j = r->arms[a];
            judge_estimate(&r->spec.rules, in->tallies[a], in->ranges[a], &j);
            for (uint32_t i = 0; i < j.n_findings; i++) {
                const double x[] = {j.findings[i].ratio, j.findings[i].ratio_lo, j.findings[i].ratio_hi};
                for (size_t b = 0; b < sizeof x / sizeof x[0]; b++) {
                    put_metric_labels("slipway_rollout_relative_risk", r, a, i, out);
                    buf_printf(out, ",bound=\"%s\"", BOUNDS[b]);
                    put_value(x[b], out);
                }
            }
        }
    }
}

static void put_totals(const struct rollouts *all, struct buf *out)
{
    put_help("slipway_rollouts_total", "counter", "Rollouts that ended since the controller began.", out);
    for (enum plan_state s = 0; s < PLAN_STATES; s++)
        if (s == PLAN_SETTLED || s == PLAN_ROLLED_BACK || s == PLAN_SUPERSEDED)
            buf_printf(out, "slipway_rollouts_total{result=\"%s\"} %llu\n", plan_state_name(s),
                       (unsigned long long)all->n_ended[s]);
}

static void send(struct controller *c, unsigned gateway)
{
    struct gateway_link *g = &c->gateways[gateway];
    const struct buf *lines = &c->rollouts->metrics;
    // One that has not read what it was sent before gets those of the next second.
    if (g->peer && !msg_conn_pending(&g->peer->conn) && !lines->failed && lines->n <= IPC_PAYLOAD_MAX)
        (void)peer_send(g->peer, IPC_METRICS, buf_str(lines), NULL, 0);
}

void rollout_metrics_send(struct rollouts *all)
{
    struct buf lines;
    buf_init(&lines, LINES_MAX);
    put_states(all, &lines);
    put_evidence(all, &lines);
    put_risks(all, &lines);
    put_totals(all, &lines);
    bool changed = !str_eq(buf_str(&lines), buf_str(&all->metrics));
    buf_done(&all->metrics);
    all->metrics = lines;
    for (unsigned i = 0; changed && i < all->c->args->n_gateways; i++)
        send(all->c, i);
}

void rollouts_gateway_new(struct controller *c, unsigned gateway)
{
    if (c->rollouts && c->rollouts->metrics.n)
        send(c, gateway);
}
