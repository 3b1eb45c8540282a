// SPDX-License-Identifier: Apache-2.0
// alpha_fail is divided evenly among guardrails and arms (Bonferroni: their evidence is dependent, and the
// mean of e-values does not test "any of them"). alpha_pass is halved where there are two ways to pass.
#include "rollout/judge.h"

#include "base/assert.h"
#include "rollout/evidence.h"
#include "stats/special.h"

#include <math.h>

static double rate(uint64_t events, uint64_t requests)
{
    return requests ? (double)events / (double)requests : 0;
}

// What keeps a canary whose evidence suffices from failing. These only take away, so alpha still holds.
static enum verdict_reason filter(const struct judge_rules *rules, const struct guard *g,
                                  const struct finding *f, double seconds)
{
    if (f->events[ARM_CANARY] + f->events[ARM_STABLE] < rules->min_events)
        return REASON_FEW_EVENTS;
    double effect = rate(f->events[ARM_CANARY], f->requests[ARM_CANARY]) -
                    rate(f->events[ARM_STABLE], f->requests[ARM_STABLE]);
    if ((g->metric == GUARD_DISTRIBUTION ? fabs(effect) : effect) < rules->min_effect_abs)
        return REASON_SMALL_EFFECT;
    return seconds < rules->min_seconds ? REASON_TOO_EARLY : REASON_WORSE;
}

static void set_thresholds(const struct judge_rules *rules, const struct guard *g, struct finding *f)
{
    double ways = g->slo > 0 ? 2 : 1;
    f->fail_at = log(rules->n_guards * rules->n_arms / rules->alpha_fail);
    f->pass_at = log(ways / rules->alpha_pass);
}

static void weigh(const struct judge_rules *rules, const struct guard *g, const struct tally *t,
                  struct finding *f)
{
    set_thresholds(rules, g, f);
    evidence_tests(&t->events, g->fail_ratio, g->pass_ratio, &f->log_fail, &f->log_pass);
    if (g->slo > 0)
        f->log_rate = evidence_log_rate_below(f->events[ARM_CANARY], f->requests[ARM_CANARY], g->slo);
}

static void conclude(const struct judge_rules *rules, const struct guard *g, const struct tally *t,
                     double seconds, struct finding *f)
{
    f->reason = REASON_NOT_SHOWN;
    if (g->metric == GUARD_WRONG_PREDICTION &&
        evidence_log_unbalanced(&t->requests) >= log(1 / rules->alpha_ratio)) {
        f->reason = REASON_LABELS_UNEVEN;
    } else if (f->log_fail >= f->fail_at) {
        f->reason = filter(rules, g, f, seconds);
        if (f->reason == REASON_WORSE)
            f->verdict = VERDICT_FAIL;
    } else if (f->log_pass >= f->pass_at || (g->slo > 0 && f->log_rate >= f->pass_at)) {
        f->reason = f->log_pass >= f->pass_at ? REASON_RATIO_BELOW : REASON_RATE_BELOW;
        f->verdict = VERDICT_PASS;
    }
}

static struct finding nothing_found(void)
{
    return (struct finding){.reason = REASON_NO_DATA, .ratio = nan(""), .ratio_hi = HUGE_VAL};
}

void judge_guard(const struct judge_rules *rules, const struct guard *guard, const struct tally *tally,
                 double seconds, struct finding *ret)
{
    *ret = nothing_found();
    for (int arm = 0; arm < ARMS; arm++) {
        ret->requests[arm] = counts_of(&tally->requests, arm);
        ret->events[arm] = counts_of(&tally->events, arm);
    }
    // More events than requests is possible where both come in ticks of their own; then the rate is one.
    if (ret->requests[ARM_CANARY] < ret->events[ARM_CANARY])
        ret->requests[ARM_CANARY] = ret->events[ARM_CANARY];
    if (ret->requests[ARM_STABLE] < ret->events[ARM_STABLE])
        ret->requests[ARM_STABLE] = ret->events[ARM_STABLE];
    weigh(rules, guard, tally, ret);
    if (ret->requests[ARM_CANARY] > 0)
        conclude(rules, guard, tally, seconds, ret);
}

// That the share of a range differs: the mean of both directions, which is an e-value like each of them. That
// it does not: the lesser of both.
static void weigh_range(const struct guard *g, const struct counts *events, double *ret_fail,
                        double *ret_pass)
{
    double differs[2], above, below;
    evidence_tests(events, g->fail_ratio, 1 / g->fail_ratio, &differs[0], &differs[1]);
    evidence_tests(events, 1 / g->pass_ratio, g->pass_ratio, &above, &below);
    *ret_fail = stats_log_mean_exp(differs, 2);
    *ret_pass = above < below ? above : below;
}

void judge_ranges(const struct judge_rules *rules, const struct guard *guard,
                  const struct counts ranges[SCORE_RANGES], double seconds, struct finding *ret)
{
    static const struct tally NONE;
    double fail[SCORE_RANGES] = {0}, pass, least = HUGE_VAL;
    *ret = nothing_found();
    set_thresholds(rules, guard, ret);
    for (uint32_t i = 0; i < SCORE_RANGES; i++) {
        uint64_t canary = counts_of(&ranges[i], ARM_CANARY), stable = counts_of(&ranges[i], ARM_STABLE);
        ret->requests[ARM_CANARY] += canary;
        ret->requests[ARM_STABLE] += stable;
        if (canary + stable == 0)
            continue;
        weigh_range(guard, &ranges[i], &fail[i], &pass);
        least = pass < least ? pass : least;
        ret->range = fail[i] > fail[ret->range] ? i : ret->range;
    }
    for (int arm = 0; arm < ARMS; arm++)
        ret->events[arm] = counts_of(&ranges[ret->range], arm);
    // Each request is in one range, so that the mean over them is an e-value that no range differs.
    ret->log_fail = stats_log_mean_exp(fail, SCORE_RANGES);
    ret->log_pass = ret->requests[ARM_CANARY] > 0 ? least : 0;
    if (ret->requests[ARM_CANARY] > 0)
        conclude(rules, guard, &NONE, seconds, ret);
}

uint32_t judge_distribution_at(const struct judge_rules *rules)
{
    uint32_t i = 0;
    while (i < rules->n_guards && rules->guards[i].metric != GUARD_DISTRIBUTION)
        i++;
    return i;
}

void judge_all(const struct judge_rules *rules, const struct tally *tallies, const struct counts *ranges,
               const struct counts *drawn, double seconds, struct judgement *ret)
{
    ASSERT(rules->n_guards > 0 && rules->n_guards <= GUARDS_MAX && rules->n_arms > 0);
    *ret = (struct judgement){.n_findings = rules->n_guards, .verdict = VERDICT_PASS};
    for (uint32_t i = 0; i < rules->n_guards; i++) {
        struct finding *f = &ret->findings[i];
        if (rules->guards[i].metric == GUARD_DISTRIBUTION)
            judge_ranges(rules, &rules->guards[i], ranges, seconds, f);
        else
            judge_guard(rules, &rules->guards[i], &tallies[i], seconds, f);
        if (f->verdict == VERDICT_FAIL || (f->verdict == VERDICT_UNDECIDED && ret->verdict == VERDICT_PASS))
            ret->verdict = f->verdict;
    }
    ret->log_unbalanced = evidence_log_unbalanced(drawn);
    ret->unbalanced_at = log(1 / rules->alpha_ratio);
    ret->unbalanced = ret->log_unbalanced >= ret->unbalanced_at;
}

void judge_estimate(const struct judge_rules *rules, const struct tally *tallies, const struct counts *ranges,
                    struct judgement *j)
{
    for (uint32_t i = 0; i < rules->n_guards; i++) {
        struct finding *f = &j->findings[i];
        bool is_spread = rules->guards[i].metric == GUARD_DISTRIBUTION;
        const struct counts *events = is_spread ? &ranges[f->range] : &tallies[i].events;
        f->ratio = evidence_best(events);
        evidence_interval(events, rules->alpha_pass, &f->ratio_lo, &f->ratio_hi);
    }
}

const char *guard_metric_name(enum guard_metric m)
{
    static const char *const NAMES[GUARD_METRICS] = {"errors", "latency", "invalid_output",
                                                     "wrong_prediction", "distribution"};
    return NAMES[m];
}

const char *verdict_name(enum verdict v)
{
    static const char *const NAMES[] = {"undecided", "pass", "fail"};
    return NAMES[v];
}

const char *verdict_reason_name(enum verdict_reason r)
{
    static const char *const NAMES[REASONS] = {"no_data",     "not_shown",    "worse",
                                               "few_events",  "small_effect", "too_early",
                                               "ratio_below", "rate_below",   "labels_uneven"};
    return NAMES[r];
}
