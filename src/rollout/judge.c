// SPDX-License-Identifier: Apache-2.0
// alpha_fail is divided evenly among guardrails and arms (Bonferroni: their evidence is dependent, and the
// mean of e-values does not test "any of them"). alpha_pass is halved where there are two ways to pass.
#include "rollout/judge.h"

#include "base/assert.h"
#include "rollout/evidence.h"

#include <math.h>

static double rate(uint64_t events, uint64_t requests)
{
    return requests ? (double)events / (double)requests : 0;
}

// What keeps a canary whose evidence suffices from failing. These only take away, so alpha still holds.
static enum verdict_reason filter(const struct judge_rules *rules, const struct finding *f, double seconds)
{
    if (f->events[ARM_CANARY] + f->events[ARM_STABLE] < rules->min_events)
        return REASON_FEW_EVENTS;
    if (rate(f->events[ARM_CANARY], f->requests[ARM_CANARY]) -
            rate(f->events[ARM_STABLE], f->requests[ARM_STABLE]) <
        rules->min_effect_abs)
        return REASON_SMALL_EFFECT;
    return seconds < rules->min_seconds ? REASON_TOO_EARLY : REASON_WORSE;
}

static void weigh(const struct judge_rules *rules, const struct guard *g, const struct tally *t,
                  struct finding *f)
{
    double ways = g->slo > 0 ? 2 : 1;
    f->fail_at = log(rules->n_guards * rules->n_arms / rules->alpha_fail);
    f->pass_at = log(ways / rules->alpha_pass);
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
        f->reason = filter(rules, f, seconds);
        if (f->reason == REASON_WORSE)
            f->verdict = VERDICT_FAIL;
    } else if (f->log_pass >= f->pass_at || (g->slo > 0 && f->log_rate >= f->pass_at)) {
        f->reason = f->log_pass >= f->pass_at ? REASON_RATIO_BELOW : REASON_RATE_BELOW;
        f->verdict = VERDICT_PASS;
    }
}

void judge_guard(const struct judge_rules *rules, const struct guard *guard, const struct tally *tally,
                 double seconds, struct finding *ret)
{
    *ret = (struct finding){.reason = REASON_NO_DATA, .ratio = nan(""), .ratio_hi = HUGE_VAL};
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

void judge_all(const struct judge_rules *rules, const struct tally *tallies, const struct counts *drawn,
               double seconds, struct judgement *ret)
{
    ASSERT(rules->n_guards > 0 && rules->n_guards <= GUARDS_MAX && rules->n_arms > 0);
    *ret = (struct judgement){.n_findings = rules->n_guards, .verdict = VERDICT_PASS};
    for (uint32_t i = 0; i < rules->n_guards; i++) {
        struct finding *f = &ret->findings[i];
        judge_guard(rules, &rules->guards[i], &tallies[i], seconds, f);
        if (f->verdict == VERDICT_FAIL || (f->verdict == VERDICT_UNDECIDED && ret->verdict == VERDICT_PASS))
            ret->verdict = f->verdict;
    }
    ret->log_unbalanced = evidence_log_unbalanced(drawn);
    ret->unbalanced_at = log(1 / rules->alpha_ratio);
    ret->unbalanced = ret->log_unbalanced >= ret->unbalanced_at;
}

void judge_estimate(const struct judge_rules *rules, const struct tally *tallies, struct judgement *j)
{
    for (uint32_t i = 0; i < rules->n_guards; i++) {
        struct finding *f = &j->findings[i];
        f->ratio = evidence_best(&tallies[i].events);
        evidence_interval(&tallies[i].events, rules->alpha_pass, &f->ratio_lo, &f->ratio_hi);
    }
}

const char *guard_metric_name(enum guard_metric m)
{
    static const char *const NAMES[GUARD_METRICS] = {"errors", "latency", "invalid_output",
                                                     "wrong_prediction"};
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
