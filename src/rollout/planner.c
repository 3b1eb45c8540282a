// SPDX-License-Identifier: Apache-2.0
// A run is a walk over the steps; a look adds as many requests as it takes for about one event, and at least
// 3 % of those before.
#include "rollout/planner.h"

#include "rollout/split.h"
#include "stats/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum walk_end { WALK_FAILED, WALK_PASSED, WALK_HELD };

struct walk {
    const struct planner_question *q;
    struct stats_random *random;
    double canary_rate;
    struct tally tally;
    struct counts ranges[SCORE_RANGES]; // of a distribution: the one that differs, and all others
    double requests, exposed;           // of the model, and of the canary
    struct finding finding;
};

static double beyond(double x, double least)
{
    return ceil(x > least ? x : least);
}

static void judge(struct walk *w)
{
    const struct judge_rules *rules = &w->q->spec->rules;
    const struct guard *g = &rules->guards[w->q->guard];
    double seconds = w->requests / w->q->requests_per_second;
    if (g->metric != GUARD_DISTRIBUTION) {
        judge_guard(rules, g, &w->tally, seconds, &w->finding);
        return;
    }
    const struct counts *all = &w->tally.requests, *in = &w->tally.events;
    w->ranges[0] = *in;
    w->ranges[1] = (struct counts){0};
    for (uint32_t i = 0, k = 0; i < all->n_rows; i++) {
        const struct counts_row *row = &all->rows[i];
        while (k < in->n_rows && in->rows[k].weight < row->weight)
            k++;
        bool has = k < in->n_rows && in->rows[k].weight == row->weight;
        counts_add(&w->ranges[1], row->weight, row->n[ARM_CANARY] - (has ? in->rows[k].n[ARM_CANARY] : 0),
                   row->n[ARM_STABLE] - (has ? in->rows[k].n[ARM_STABLE] : 0));
    }
    judge_ranges(rules, g, w->ranges, seconds, &w->finding);
}

static void look(struct walk *w, const struct rollout_step *step, double most)
{
    uint32_t weight = step->weight_bp * (WEIGHT_ONE / SPLIT_BUCKETS);
    double share = weight / (double)WEIGHT_ONE, stable_rate = w->q->base_rate;
    double per_event = 1 / (share * w->canary_rate + (1 - share) * stable_rate);
    uint64_t n = (uint64_t)fmin(beyond(w->requests * 0.03, per_event), fmax(most, 1));
    uint64_t canary = stats_random_binomial(w->random, n, share);
    counts_add(&w->tally.requests, weight, canary, n - canary);
    // Drawn one after the other: the order in which arguments are computed is the compiler's.
    uint64_t stable_events = stats_random_binomial(w->random, n - canary, stable_rate);
    uint64_t canary_events = stats_random_binomial(w->random, canary, w->canary_rate);
    counts_add(&w->tally.events, weight, canary_events, stable_events);
    w->requests += (double)n;
    w->exposed += (double)canary;
    judge(w);
}

// alone: to the end of time, for a verdict only; else as the plan goes on.
static enum walk_end walk_step(struct walk *w, const struct rollout_step *step, bool alone)
{
    double rate = w->q->requests_per_second, most = step->max_seconds * rate, before = w->requests;
    double least =
        fmax(step->min_seconds * rate, (double)step->min_requests * SPLIT_BUCKETS / step->weight_bp);
    while (w->requests - before < most) {
        // A look ends where the step may end.
        double in = w->requests - before;
        look(w, step, (in < least && least < most ? least : most) - in);
        if (w->finding.verdict == VERDICT_FAIL)
            return WALK_FAILED;
        bool passed = w->finding.verdict == VERDICT_PASS || (!alone && step->advance_undecided);
        if (passed && (alone || w->requests - before >= least))
            return WALK_PASSED;
    }
    return !alone && w->q->spec->on_timeout == ON_TIMEOUT_ADVANCE ? WALK_PASSED : WALK_HELD;
}

static enum walk_end walk_all(struct walk *w)
{
    enum walk_end end = WALK_PASSED;
    for (uint32_t i = 0; i < w->q->spec->n_steps && end == WALK_PASSED; i++)
        end = walk_step(w, &w->q->spec->steps[i], false);
    return end;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// at: when it happened in each run, HUGE_VAL where it did not.
static struct planner_quantiles quantiles(double *at, uint32_t n)
{
    struct planner_quantiles ret = {0};
    qsort(at, n, sizeof *at, ascending);
    for (uint32_t i = 0; i < n; i++)
        ret.share += isinf(at[i]) ? 0 : 1.0 / n;
    ret.n50 = at[n / 2];
    ret.n95 = at[(uint32_t)(n * 0.95)];
    return ret;
}

struct results {
    double at[PLANNER_RUNS_MAX], exposed[PLANNER_RUNS_MAX];
    struct walk walk;
};

// Plays until `wanted` and says when; *ret_held counts those that were held. step NULL: the whole plan.
static struct planner_quantiles play(struct results *r, const struct planner_question *q,
                                     struct stats_random *random, double ratio,
                                     const struct rollout_step *step, enum walk_end wanted, double *ret_held)
{
    double held = 0;
    for (uint32_t i = 0; i < q->runs; i++) {
        memset(&r->walk, 0, sizeof r->walk);
        r->walk.q = q;
        r->walk.random = random;
        r->walk.canary_rate = fmin(1, q->base_rate * ratio);
        enum walk_end end = step ? walk_step(&r->walk, step, true) : walk_all(&r->walk);
        r->at[i] = end == wanted ? r->walk.requests : HUGE_VAL;
        r->exposed[i] = end == wanted ? r->walk.exposed : HUGE_VAL;
        held += end == WALK_HELD;
    }
    *ret_held = held / q->runs;
    return quantiles(r->at, q->runs);
}

static void ask_steps(struct results *r, const struct planner_question *q, struct stats_random *random,
                      struct planner_answer *ret)
{
    const double rarely = 0.05;
    double held;
    struct planner_question few = *q; // rough answers: these are for choosing steps
    few.runs = (q->runs + 3) / 4;
    ret->n_steps = q->spec->n_steps;
    for (uint32_t i = 0; i < ret->n_steps; i++) {
        const struct rollout_step *step = &q->spec->steps[i];
        struct planner_step *s = &ret->steps[i];
        *s = (struct planner_step){.weight_bp = step->weight_bp,
                                   .requests_max = step->max_seconds * q->requests_per_second};
        s->detect = play(r, &few, random, q->harm, step, WALK_FAILED, &held);
        s->pass = play(r, &few, random, 1, step, WALK_PASSED, &held);
        s->never_detects = s->detect.share < rarely;
        s->never_passes = s->pass.share < rarely;
    }
}

static int check(const struct planner_question *q, struct err *e)
{
    const char *field = !(q->base_rate > 0 && q->base_rate <= 0.5) ? "base_rate"
                        : !(q->harm > 1 && q->harm <= 1000)        ? "harm"
                        : !(q->requests_per_second > 0 && q->requests_per_second <= 1e8)
                            ? "requests_per_second"
                        : q->guard >= q->spec->rules.n_guards       ? "guard"
                        : q->runs < 1 || q->runs > PLANNER_RUNS_MAX ? "runs"
                                                                    : NULL;
    static const char EXPECTED[] =
        "expected base_rate above 0 to 0.5, harm above 1 to 1000, requests_per_second "
        "above 0 to 1e8, a guard of the rollout, 1 to 1000 runs";
    if (!field)
        return 0;
    err_set(e, ERR_OUT_OF_RANGE, "%s; this %s is not", EXPECTED, field);
    err_at(e, "$.%s", field);
    return ERR_OUT_OF_RANGE;
}

int planner_ask(const struct planner_question *q, struct planner_answer *ret, struct err *e)
{
    struct stats_random random;
    double held;
    int rc = check(q, e);
    if (rc)
        return rc;
    struct results *r = malloc(sizeof *r);
    if (!r)
        return err_set(e, ERR_NOMEM, "no memory to simulate a rollout");
    memset(ret, 0, sizeof *ret);
    stats_random_init(&random, q->seed);
    ret->detect = play(r, q, &random, q->harm, NULL, WALK_FAILED, &held);
    struct planner_quantiles exposed = quantiles(r->exposed, q->runs);
    ret->exposed50 = exposed.n50;
    ret->exposed95 = exposed.n95;
    ret->promote = play(r, q, &random, 1, NULL, WALK_PASSED, &ret->held);
    ask_steps(r, q, &random, ret);
    free(r);
    return 0;
}
