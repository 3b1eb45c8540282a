// SPDX-License-Identifier: Apache-2.0
#include "scenarios.h"

#include "base/assert.h"
#include "rollout/cohorts.h"
#include "rollout/entities.h"
#include "rollout/judge.h"
#include "rollout/latency.h"
#include "rollout/split.h"
#include "stats/random.h"
#include "stats/special.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PPM_10_PERCENT = 100000 };

static struct judge_rules rules_of(int n_guards, double fail_ratio)
{
    struct judge_rules r = {
        .alpha_fail = 0.05,
        .alpha_pass = 0.05,
        .alpha_ratio = 0.001,
        .min_effect_abs = 0.0005,
        .min_events = 5,
        .n_arms = 1,
        .n_guards = (uint32_t)n_guards,
    };
    for (int i = 0; i < n_guards; i++)
        r.guards[i] = (struct guard){.metric = GUARD_ERRORS, .fail_ratio = fail_ratio, .pass_ratio = 1.5};
    return r;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// stopped_at: requests, or HUGE_VAL.
static struct outcome summarize(double *stopped_at, int runs)
{
    struct outcome o = {.runs = runs};
    qsort(stopped_at, (size_t)runs, sizeof *stopped_at, ascending);
    for (int i = 0; i < runs; i++)
        o.stopped += !isinf(stopped_at[i]);
    o.n50 = stopped_at[(int)(runs * 0.5)];
    o.n95 = stopped_at[(int)(runs * 0.95)];
    o.n99 = stopped_at[(int)(runs * 0.99)];
    o.most = stopped_at[runs - 1];
    return o;
}

static bool fails(const struct judge_rules *rules, const struct tally *t)
{
    struct finding f;
    judge_guard(rules, &rules->guards[0], t, 1e9, &f);
    return f.verdict == VERDICT_FAIL;
}

// The four metrics of both arms in one tick: errors, slower than q .95, of these slower than q .99, invalid.
static void tick_of_four(struct stats_random *r, struct tally t[4], uint32_t weight, double error_rate)
{
    uint64_t n[ARMS], k[4][ARMS];
    n[ARM_CANARY] = stats_random_binomial(r, 1000, weight / (double)WEIGHT_ONE);
    n[ARM_STABLE] = 1000 - n[ARM_CANARY];
    for (int arm = 0; arm < ARMS; arm++) {
        k[0][arm] = stats_random_binomial(r, n[arm], error_rate);
        k[1][arm] = stats_random_binomial(r, n[arm], 0.05);
        k[2][arm] = stats_random_binomial(r, k[1][arm], 0.2);
        k[3][arm] = stats_random_binomial(r, n[arm], 0.002);
    }
    for (int m = 0; m < 4; m++) {
        counts_add(&t[m].requests, weight, n[ARM_CANARY], n[ARM_STABLE]);
        counts_add(&t[m].events, weight, k[m][ARM_CANARY], k[m][ARM_STABLE]);
    }
}

struct outcome scenario_no_regression(int runs, uint64_t seed, int bursts)
{
    static double at[SCENARIO_RUNS_MAX];
    static const uint32_t WEIGHTS[] = {10000, 50000, 100000, 250000, 500000};
    enum { TICKS = 760 };
    struct judge_rules rules = rules_of(4, 1.1);
    struct stats_random r;
    rules.guards[1].fail_ratio = rules.guards[2].fail_ratio = 1;
    stats_random_init(&r, seed);
    for (int run = 0; run < runs; run++) {
        static struct tally t[4];
        struct judgement j = {0};
        memset(t, 0, sizeof t);
        at[run] = HUGE_VAL;
        for (int tick = 0; tick < TICKS; tick++) {
            // The adversary's controller: all the traffic it may have while the canary looks bad, else any
            // weight.
            int step = !bursts                        ? tick * 5 / TICKS
                       : j.findings[0].log_fail > 0.5 ? 4
                                                      : (int)(stats_random_u64(&r) % 5);
            double rate = bursts && stats_random_unit(&r) < 0.05 ? 0.2 : 0.01;
            tick_of_four(&r, t, WEIGHTS[step], rate);
            judge_all(&rules, t, NULL, &t[0].requests, 1e9, &j);
            if (j.verdict == VERDICT_FAIL) {
                at[run] = 1000.0 * (tick + 1);
                break;
            }
        }
    }
    return summarize(at, runs);
}

// Requests until the next event are drawn at once; the rates of the filter see all of them.
static double run_of_errors(struct stats_random *r, const struct judge_rules *rules, double canary,
                            double stable, double w, double most)
{
    static struct tally t;
    uint32_t weight = (uint32_t)(w * WEIGHT_ONE + 0.5);
    double bad = w * canary + (1 - w) * stable, share = w * canary / bad;
    double n = 0;
    memset(&t, 0, sizeof t);
    for (;;) {
        uint64_t gap = stats_random_tries(r, bad), to_canary = stats_random_binomial(r, gap - 1, w);
        int is_canary = stats_random_unit(r) < share;
        n += (double)gap;
        if (n > most)
            return HUGE_VAL;
        counts_add(&t.requests, weight, to_canary + is_canary, gap - to_canary - is_canary);
        counts_add(&t.events, weight, is_canary, !is_canary);
        if (is_canary && fails(rules, &t))
            return n;
    }
}

struct outcome scenario_errors(int runs, uint64_t seed, double canary, double stable, double w, int n_guards,
                               double most)
{
    static double at[SCENARIO_RUNS_MAX];
    struct judge_rules rules = rules_of(n_guards, 1.1);
    struct stats_random r;
    stats_random_init(&r, seed);
    for (int run = 0; run < runs; run++)
        at[run] = run_of_errors(&r, &rules, canary, stable, w, most);
    return summarize(at, runs);
}

static const double SIGMA = 0.5;

static double slower_than(double limit_ns, double factor)
{
    return stats_normal_cdf(-log(limit_ns / 1e6 / factor) / SIGMA);
}

struct outcome scenario_latency(int runs, uint64_t seed, double slower, double tolerance, double most)
{
    static double at[SCENARIO_RUNS_MAX];
    struct judge_rules rules = rules_of(1, 1);
    struct stats_random r;
    rules.guards[0].metric = GUARD_LATENCY;
    stats_random_init(&r, seed);
    for (int run = 0; run < runs; run++) {
        static struct hist recent;
        struct latency_gate g;
        memset(&recent, 0, sizeof recent);
        for (int i = 0; i < 20000; i++) // a median of 1 ms
            hist_add(&recent, (uint64_t)(1e6 * exp(SIGMA * stats_random_normal(&r))));
        bool frozen = latency_freeze(&recent, 0.95, tolerance, &g);
        ASSERT(frozen);
        at[run] = run_of_errors(&r, &rules, slower_than((double)g.limit_ns[ARM_CANARY], slower),
                                slower_than((double)g.limit_ns[ARM_STABLE], 1), 0.1, most);
    }
    return summarize(at, runs);
}

enum { STICKY_GATEWAYS = 8 };

static bool is_counted(enum sticky_rule rule, struct stats_random *r, struct entities seen[STICKY_GATEWAYS],
                       uint64_t entity)
{
    uint64_t gateway = rule == STICKY_BY_GATEWAY ? stats_random_u64(r) % STICKY_GATEWAYS : 0;
    return rule == STICKY_EVERY || entities_first(&seen[gateway], entity);
}

struct outcome scenario_sticky(int runs, uint64_t seed, enum sticky_rule rule)
{
    static double at[SCENARIO_RUNS_MAX];
    enum { ENTITIES = 2000, REQUESTS = 40000 };
    struct judge_rules rules = rules_of(1, 1);
    struct stats_random r;
    stats_random_init(&r, seed);
    for (int run = 0; run < runs; run++) {
        static struct tally t;
        uint64_t k0 = stats_random_u64(&r), k1 = stats_random_u64(&r);
        struct siphash_key salt = {k0, k1};
        uint64_t n_bad = stats_random_binomial(&r, ENTITIES, 0.02), n = 0;
        struct entities seen[STICKY_GATEWAYS];
        struct err e;
        for (int i = 0; i < STICKY_GATEWAYS; i++) {
            int rc = entities_init(&seen[i], 256, &e);
            ASSERT(rc == 0);
        }
        memset(&t, 0, sizeof t);
        at[run] = HUGE_VAL;
        // The bad entities are the first ones; where they go is the hash's choice.
        while (n_bad > 0 && isinf(at[run])) {
            char key[24];
            uint64_t gap = stats_random_tries(&r, (double)n_bad / ENTITIES),
                     who = stats_random_u64(&r) % n_bad;
            int length = snprintf(key, sizeof key, "%llu", (unsigned long long)who);
            struct str name = {key, (size_t)length};
            uint32_t weight_bp = 1000;
            int canary = split_arm(split_bucket(salt, name), &weight_bp, 1) == 0;
            uint64_t others = stats_random_binomial(&r, gap - 1, 0.1);
            n += gap;
            if (n > REQUESTS)
                break;
            counts_add(&t.requests, PPM_10_PERCENT, others + canary, gap - others - canary);
            if (!is_counted(rule, &r, seen, siphash((struct siphash_key){~salt.k0, salt.k1}, name)))
                continue;
            counts_add(&t.events, PPM_10_PERCENT, canary, !canary);
            if (fails(&rules, &t))
                at[run] = (double)n;
        }
        for (int i = 0; i < STICKY_GATEWAYS; i++)
            entities_done(&seen[i]);
    }
    return summarize(at, runs);
}

enum { ORDER_SECONDS = 300, ORDER_RATE = 100, ORDER_TIMEOUT = 30 };
static const uint64_t SECOND = 1000000000;

// One second of arrivals. Stable errors never end before their timeout; the rest at once.
static void arrive(struct stats_random *r, struct cohorts *c, int second, struct tally *naive,
                   uint64_t late[ORDER_SECONDS])
{
    for (int i = 0; i < ORDER_RATE; i++) {
        uint64_t cohort;
        enum arm arm = stats_random_unit(r) < 0.1 ? ARM_CANARY : ARM_STABLE;
        bool bad = stats_random_unit(r) < 0.01, counted;
        counted = cohorts_arrive(c, (uint64_t)second * SECOND + (uint64_t)i, PPM_10_PERCENT, arm, &cohort);
        ASSERT(counted);
        counts_add(&naive->requests, PPM_10_PERCENT, arm == ARM_CANARY, arm == ARM_STABLE);
        if (bad && arm == ARM_STABLE) {
            late[second]++;
            continue;
        }
        cohorts_finish(c, cohort, arm, bad, 0);
        counts_add(&naive->events, PPM_10_PERCENT, bad, 0);
    }
    if (second >= ORDER_TIMEOUT)
        counts_add(&naive->events, PPM_10_PERCENT, 0, late[second - ORDER_TIMEOUT]);
}

struct outcome scenario_order(int runs, uint64_t seed, int by_cohort)
{
    static double at[SCENARIO_RUNS_MAX];
    struct judge_rules rules = rules_of(1, 1);
    struct stats_random r;
    stats_random_init(&r, seed);
    for (int run = 0; run < runs; run++) {
        static struct tally ordered, naive;
        uint64_t late[ORDER_SECONDS] = {0};
        struct cohorts *c;
        struct cohort_tick tick;
        struct err e;
        int rc = cohorts_new(SECOND, ORDER_TIMEOUT * SECOND, 1, 0, &c, &e);
        ASSERT(rc == 0);
        memset(&ordered, 0, sizeof ordered);
        memset(&naive, 0, sizeof naive);
        at[run] = HUGE_VAL;
        for (int s = 0; s < ORDER_SECONDS && isinf(at[run]); s++) {
            arrive(&r, c, s, &naive, late);
            while (cohorts_close(c, (uint64_t)(s + 1) * SECOND, &tick)) {
                counts_add(&ordered.requests, tick.weight, tick.requests[ARM_CANARY],
                           tick.requests[ARM_STABLE]);
                counts_add(&ordered.events, tick.weight, tick.events[0][ARM_CANARY],
                           tick.events[0][ARM_STABLE]);
                if (by_cohort && fails(&rules, &ordered))
                    at[run] = (double)(s + 1) * ORDER_RATE;
            }
            if (!by_cohort && fails(&rules, &naive))
                at[run] = (double)(s + 1) * ORDER_RATE;
        }
        cohorts_free(c);
    }
    return summarize(at, runs);
}

struct outcome scenario_batches(int runs, uint64_t seed, int by_execution)
{
    static double at[SCENARIO_RUNS_MAX];
    enum { TICKS = 500, TICK_REQUESTS = 2000, BATCH = 16 };
    struct judge_rules rules = rules_of(1, 1);
    struct stats_random r;
    stats_random_init(&r, seed);
    for (int run = 0; run < runs; run++) {
        static struct tally t;
        memset(&t, 0, sizeof t);
        at[run] = HUGE_VAL;
        for (int tick = 0; tick < TICKS && isinf(at[run]); tick++) {
            uint64_t canary = stats_random_binomial(&r, TICK_REQUESTS, 0.1), stable = TICK_REQUESTS - canary;
            uint64_t runs_canary = (canary + BATCH - 1) / BATCH, runs_stable = (stable + BATCH - 1) / BATCH;
            uint64_t bad_canary = stats_random_binomial(&r, runs_canary, 0.01);
            uint64_t bad_stable = stats_random_binomial(&r, runs_stable, 0.01);
            if (by_execution) {
                uint32_t share = (uint32_t)(runs_canary * WEIGHT_ONE / (runs_canary + runs_stable));
                counts_add(&t.requests, share, runs_canary, runs_stable);
                counts_add(&t.events, share, bad_canary, bad_stable);
            } else {
                counts_add(&t.requests, PPM_10_PERCENT, canary, stable);
                counts_add(&t.events, PPM_10_PERCENT, bad_canary * BATCH, bad_stable * BATCH);
            }
            if (fails(&rules, &t))
                at[run] = TICK_REQUESTS * (tick + 1.0);
        }
    }
    return summarize(at, runs);
}

struct outcome scenario_pairs(int runs, uint64_t seed, double canary, double stable, double most)
{
    static double at[SCENARIO_RUNS_MAX];
    struct judge_rules rules = rules_of(1, 1);
    struct stats_random r;
    rules.guards[0].metric = GUARD_WRONG_PREDICTION;
    stats_random_init(&r, seed);
    for (int run = 0; run < runs; run++) {
        static struct tally t;
        double n = 0;
        memset(&t, 0, sizeof t);
        at[run] = HUGE_VAL;
        for (;;) {
            uint64_t gap = stats_random_tries(&r, canary + stable);
            int worse = stats_random_unit(&r) < canary / (canary + stable);
            n += (double)gap;
            if (n > most)
                break;
            counts_add(&t.requests, WEIGHT_ONE / 2, gap, gap);
            counts_add(&t.events, WEIGHT_ONE / 2, worse, !worse);
            if (worse && fails(&rules, &t)) {
                at[run] = n;
                break;
            }
        }
    }
    return summarize(at, runs);
}
