// SPDX-License-Identifier: Apache-2.0
// What the gateways counted for a rollout (IPC_COHORTS, role/ipc.h). Seconds are counted in the order in
// which they began, each when all gateways that speak have closed it; one that is silent holds nobody up,
// because what it keeps back, or loses, is kept back of all arms alike.
#include "role/controller/rollout_state.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { SILENT_NS = 2000000000, PARTS_MAX = 1 << 16, MINUTE_S = 60 };
static const uint64_t COUNT_MAX = UINT64_C(1) << 50; // in one message

static int bad(unsigned gateway, const char *what, struct err *e)
{
    return err_set(e, ERR_INVALID, "gateway %u sent counts that are not as agreed: %s", gateway, what);
}

static bool take_number(yyjson_val *v, uint64_t max, uint64_t *ret)
{
    *ret = yyjson_get_uint(v);
    return yyjson_is_uint(v) && *ret <= max;
}

static bool take_pair(yyjson_val *v, uint64_t ret[ARMS])
{
    return yyjson_arr_size(v) == ARMS && take_number(yyjson_arr_get(v, 0), COUNT_MAX, &ret[ARM_CANARY]) &&
           take_number(yyjson_arr_get(v, 1), COUNT_MAX, &ret[ARM_STABLE]);
}

// ---- seconds ----

static bool parts_reserve(struct rollout *r)
{
    if (r->n_parts < r->cap_parts)
        return true;
    size_t cap = r->cap_parts ? 2 * r->cap_parts : 64;
    struct rollout_part *grown = cap > PARTS_MAX ? NULL : realloc(r->parts, cap * sizeof *grown);
    if (!grown)
        return false;
    r->parts = grown;
    r->cap_parts = cap;
    return true;
}

static bool is_counted_for(const struct rollout *r, const struct rollout_part *p, uint32_t guard)
{
    enum guard_metric metric = r->spec.rules.guards[guard].metric;
    // These are of labels and of scores, and of no other requests.
    if (metric == GUARD_WRONG_PREDICTION || metric == GUARD_DISTRIBUTION)
        return false;
    // What came before its limit was known could not be slow.
    return metric != GUARD_LATENCY || p->of_pairs ||
           (r->gate_since_ns[guard] && p->opened_ns >= r->gate_since_ns[guard]);
}

// Whether no gateway has told of it before. Arms are compared apart, and pairs are another test than steps;
// `apart` keeps the two sides of a pair apart. What is sampled must not depend on any of them, so the upper
// bits stay.
static bool is_first(struct entities *s, const struct rollout_part *p, uint64_t entity, uint32_t event,
                     bool apart)
{
    uint64_t variant = p->arm + (uint64_t)GUARD_ARMS_MAX * (p->of_pairs + apart);
    return s->slots && entities_first(s, entities_event(entity, event) ^ variant << 32);
}

static void count_first(struct rollout *r, struct rollout_input *in, const struct rollout_part *p,
                        const struct rollout_first *f)
{
    bool is_own = f->arm == ARM_CANARY;
    for (uint32_t i = 0; i < r->spec.rules.n_guards; i++)
        if (f->events >> i & 1 && is_counted_for(r, p, i) && is_first(&r->erred, p, f->entity, i, false))
            counts_add(&in->tallies[p->arm][i].events, p->weight, is_own, !is_own);
    for (uint32_t i = 0; i < SCORE_RANGES; i++)
        if (f->events >> (GUARDS_MAX + i) & 1 &&
            is_first(&r->scored, p, f->entity, GUARDS_MAX, p->of_pairs && is_own))
            counts_add(&in->ranges[p->arm][i], p->weight, is_own, !is_own);
}

static void count(struct rollout *r, const struct rollout_part *p)
{
    struct rollout_input *in = p->of_pairs ? r->pairs : r->steps;
    for (uint32_t i = 0; in && i < r->spec.rules.n_guards; i++) {
        struct tally *t = &in->tallies[p->arm][i];
        if (!is_counted_for(r, p, i))
            continue;
        counts_add(&t->requests, p->weight, p->requests[ARM_CANARY], p->requests[ARM_STABLE]);
        counts_add(&t->events, p->weight, p->events[i][ARM_CANARY], p->events[i][ARM_STABLE]);
    }
    for (uint32_t i = 0; in && i < SCORE_RANGES; i++)
        counts_add(&in->ranges[p->arm][i], p->weight, p->ranges[i][ARM_CANARY], p->ranges[i][ARM_STABLE]);
    if (in && p->of_pairs) // they are not assigned: each has both
        counts_add(&in->assigned[p->arm], p->weight, p->requests[ARM_CANARY], p->requests[ARM_STABLE]);
    for (size_t i = 0; in && i < p->n_firsts; i++)
        count_first(r, in, p, &p->firsts[i]);
}

// [[entity,arm,events],…]; builds before there were such tell of none.
static int take_firsts(unsigned gateway, yyjson_val *rows, struct rollout_part *p, struct err *e)
{
    yyjson_val *row;
    size_t i, max = yyjson_arr_size(rows);
    if (max == 0)
        return 0;
    p->firsts = calloc(max, sizeof *p->firsts);
    if (!p->firsts)
        return err_set(e, ERR_NOMEM, "no memory for the sticky keys of a rollout");
    yyjson_arr_foreach(rows, i, max, row)
    {
        struct rollout_first *f = &p->firsts[p->n_firsts++];
        uint64_t arm, events;
        if (yyjson_arr_size(row) != 3 || !take_number(yyjson_arr_get(row, 0), UINT64_MAX, &f->entity) ||
            !take_number(yyjson_arr_get(row, 1), ARM_STABLE, &arm) ||
            !take_number(yyjson_arr_get(row, 2), UINT32_MAX, &events))
            return bad(gateway, "the sticky keys of a tick", e);
        f->arm = (enum arm)arm;
        f->events = (uint32_t)events;
    }
    return 0;
}

static void part_done(struct rollout_part *p)
{
    free(p->firsts);
}

static int take_tick(struct rollout *r, unsigned gateway, yyjson_val *v, bool of_pairs, struct err *e)
{
    struct rollout_part p = {.of_pairs = of_pairs};
    yyjson_val *events = yyjson_obj_get(v, "events"), *ranges = yyjson_obj_get(v, "ranges"), *pair;
    uint64_t weight, arm;
    size_t i, max;
    if (!take_number(yyjson_obj_get(v, "opened_ns"), UINT64_MAX, &p.opened_ns) ||
        !take_number(yyjson_obj_get(v, "weight"), WEIGHT_ONE, &weight) ||
        !take_number(yyjson_obj_get(v, "arm"), r->spec.n_arms - 1, &arm) ||
        !take_pair(yyjson_obj_get(v, "requests"), p.requests) ||
        yyjson_arr_size(events) != r->spec.rules.n_guards)
        return bad(gateway, "a tick", e);
    p.weight = (uint32_t)weight;
    p.arm = (uint32_t)arm;
    yyjson_arr_foreach(events, i, max, pair)
    {
        if (!take_pair(pair, p.events[i]))
            return bad(gateway, "the events of a tick", e);
    }
    yyjson_arr_foreach(ranges, i, max, pair)
    {
        if (i == SCORE_RANGES || !take_pair(pair, p.ranges[i]))
            return bad(gateway, "the scores of a tick", e);
    }
    int rc = take_firsts(gateway, yyjson_obj_get(v, "firsts"), &p, e);
    if (!rc && parts_reserve(r)) {
        r->parts[r->n_parts++] = p;
        return 0;
    }
    if (!rc) // in order or not: better than not at all
        count(r, &p);
    part_done(&p);
    return rc;
}

static uint64_t horizon_ns(const struct rollout *r, uint64_t now_ns)
{
    uint64_t horizon = UINT64_MAX;
    for (unsigned i = 0; i < r->all->c->args->n_gateways; i++) {
        const struct rollout_gateway *g = &r->gateways[i];
        if (g->heard_ns && now_ns - g->heard_ns < SILENT_NS && g->closed_until_ns < horizon)
            horizon = g->closed_until_ns;
    }
    return horizon;
}

void rollout_counts_done(struct rollout *r)
{
    for (size_t i = 0; i < r->n_parts; i++)
        part_done(&r->parts[i]);
    free(r->parts);
}

bool rollout_counts_settle(struct rollout *r)
{
    uint64_t horizon = horizon_ns(r, loop_now_ns(r->all->c->loop));
    size_t kept = 0;
    for (size_t i = 0; i < r->n_parts; i++) {
        if (r->parts[i].opened_ns >= horizon) {
            r->parts[kept++] = r->parts[i];
            continue;
        }
        count(r, &r->parts[i]);
        part_done(&r->parts[i]);
    }
    bool any = kept < r->n_parts;
    r->n_parts = kept;
    r->is_unkept |= any;
    return any;
}

// ---- draws ----

// [[arm,weight,canary,stable],…]
static int take_draws(const struct rollout *r, unsigned gateway, yyjson_val *rows, struct counts *into,
                      struct err *e)
{
    yyjson_val *row;
    size_t i, max;
    yyjson_arr_foreach(rows, i, max, row)
    {
        uint64_t arm, weight, canary, stable;
        if (yyjson_arr_size(row) != 4 || !take_number(yyjson_arr_get(row, 0), r->spec.n_arms - 1, &arm) ||
            !take_number(yyjson_arr_get(row, 1), WEIGHT_ONE, &weight) ||
            !take_number(yyjson_arr_get(row, 2), COUNT_MAX, &canary) ||
            !take_number(yyjson_arr_get(row, 3), COUNT_MAX, &stable))
            return bad(gateway, "the draws", e);
        counts_add(&into[arm], (uint32_t)weight, canary, stable);
    }
    return 0;
}

// Of all arms together, for the rate.
static uint64_t n_drawn(yyjson_val *rows)
{
    yyjson_val *row;
    size_t i, max;
    uint64_t n = 0;
    yyjson_arr_foreach(rows, i, max, row)
    {
        // With several arms a request of the baseline stands in each.
        bool first = yyjson_get_uint(yyjson_arr_get(row, 0)) == 0;
        n += yyjson_get_uint(yyjson_arr_get(row, 2)) + (first ? yyjson_get_uint(yyjson_arr_get(row, 3)) : 0);
    }
    return n;
}

// ---- latency ----

// The histogram of this minute; those that are too old are emptied on the way.
static struct hist *minute_of(struct rollout *r)
{
    uint64_t now = loop_now_ns(r->all->c->loop) / UINT64_C(1000000000) / MINUTE_S;
    for (uint64_t i = 0; i < ROLLOUT_MINUTES && r->recent_minute < now; i++) {
        r->recent_minute = i == 0 && now - r->recent_minute > ROLLOUT_MINUTES ? now - ROLLOUT_MINUTES + 1
                                                                              : r->recent_minute + 1;
        memset(&r->recent[r->recent_minute % ROLLOUT_MINUTES], 0, sizeof r->recent[0]);
    }
    return &r->recent[now % ROLLOUT_MINUTES];
}

static int take_hist(struct rollout *r, unsigned gateway, yyjson_val *v, struct err *e)
{
    struct hist *h = minute_of(r);
    yyjson_val *key, *value;
    size_t i, max;
    if (!v)
        return 0;
    yyjson_obj_foreach(v, i, max, key, value)
    {
        struct str name = {yyjson_get_str(key), yyjson_get_len(key)};
        uint64_t bucket, n;
        if (!str_to_u64(name, HIST_BUCKETS - 1, &bucket) || !take_number(value, COUNT_MAX, &n))
            return bad(gateway, "the durations", e);
        hist_add_bucket(h, (unsigned)bucket, n);
    }
    return 0;
}

static bool make_gates(struct rollout *r)
{
    struct hist *sum =
        r->gates_due && rollout_phase(&r->plan) == PLAN_RUNNING ? calloc(1, sizeof *sum) : NULL;
    bool changed = false, all = true;
    if (!sum)
        return false;
    (void)minute_of(r);
    for (int i = 0; i < ROLLOUT_MINUTES; i++)
        hist_merge(sum, &r->recent[i]);
    for (uint32_t i = 0; i < r->spec.rules.n_guards; i++) {
        const struct guard *g = &r->spec.rules.guards[i];
        struct latency_gate gate;
        if (g->metric != GUARD_LATENCY)
            continue;
        if (!latency_freeze(sum, g->q, g->tolerance, &gate)) {
            all &= r->gate_since_ns[i] != 0; // the step before had one
            continue;
        }
        // Until then it goes by the one of the step before, or by none.
        if (r->gate_step[i] == r->plan.step_ns)
            continue;
        r->gates[i] = gate;
        r->gate_step[i] = r->plan.step_ns;
        if (!r->gate_since_ns[i])
            r->gate_since_ns[i] = loop_now_ns(r->all->c->loop);
        changed = true;
    }
    free(sum);
    r->gates_due = !all;
    r->is_gate_new |= changed;
    return changed;
}

// ---- scores ----

static int take_scores(struct rollout *r, unsigned gateway, yyjson_val *list, struct err *e)
{
    yyjson_val *v;
    size_t i, max;
    yyjson_arr_foreach(list, i, max, v)
    {
        if (!yyjson_is_num(v) || !isfinite(yyjson_get_num(v)))
            return bad(gateway, "the scores", e);
        if (r->n_sample < SCORE_SAMPLE_MAX)
            r->sample[r->n_sample++] = yyjson_get_num(v);
    }
    return 0;
}

// Once: all that is counted of scores is counted by the same cuts.
static bool make_cuts(struct rollout *r)
{
    bool wanted = judge_distribution_at(&r->spec.rules) < r->spec.rules.n_guards;
    bool made = wanted && !r->scores.n_cuts && scores_freeze(r->sample, r->n_sample, &r->scores);
    r->is_gate_new |= made;
    return made;
}

bool rollout_gates_update(struct rollout *r)
{
    bool cut = make_cuts(r);
    return make_gates(r) || cut;
}

// ---- what mirrored requests gave ----

static int take_pairs(struct rollout *r, unsigned gateway, yyjson_val *v, struct err *e)
{
    struct pairs *p = v && r->mirrored ? calloc(1, sizeof *p) : NULL;
    if (!v || !r->mirrored)
        return 0;
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for what was mirrored");
    int rc = pairs_read(v, p, e);
    if (rc)
        rc = bad(gateway, "what was mirrored", e);
    else
        pairs_merge(r->mirrored, p);
    free(p);
    return rc;
}

static int take_segments(struct rollout *r, unsigned gateway, yyjson_val *v, struct err *e)
{
    struct segments *s = v && r->segments ? calloc(1, sizeof *s) : NULL;
    if (!v || !r->segments)
        return 0;
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory for what was mirrored");
    int rc = segments_read(v, s, e);
    if (rc)
        rc = bad(gateway, "the segments of what was mirrored", e);
    else
        segments_merge(r->segments, s);
    free(s);
    return rc;
}

// ---- a message ----

static int take_all(struct rollout *r, unsigned gateway, yyjson_val *m, bool of_pairs, struct err *e)
{
    uint64_t overridden = 0, fallbacks = 0;
    yyjson_val *ticks = yyjson_obj_get(m, "ticks"), *assigned = yyjson_obj_get(m, "assigned"), *tick;
    size_t i, max;
    int rc = 0;
    yyjson_arr_foreach(ticks, i, max, tick)
    {
        rc = take_tick(r, gateway, tick, of_pairs, e);
        if (rc)
            return rc;
    }
    if (!of_pairs)
        rc = take_draws(r, gateway, assigned, r->steps->assigned, e);
    if (!rc && !of_pairs)
        rc = take_draws(r, gateway, yyjson_obj_get(m, "drawn"), r->steps->drawn, e);
    if (!rc)
        rc = take_pairs(r, gateway, yyjson_obj_get(m, "pairs"), e);
    if (!rc)
        rc = take_segments(r, gateway, yyjson_obj_get(m, "segments"), e);
    if (!rc)
        rc = take_hist(r, gateway, yyjson_obj_get(m, "stable_hist"), e);
    if (!rc)
        rc = take_scores(r, gateway, yyjson_obj_get(m, "scores"), e);
    if (rc)
        return rc;
    yyjson_val *v = yyjson_obj_get(m, "overridden"), *w = yyjson_obj_get(m, "fallbacks");
    if ((v && !take_number(v, COUNT_MAX, &overridden)) || (w && !take_number(w, COUNT_MAX, &fallbacks)))
        return bad(gateway, "a number", e);
    r->n_overridden += overridden;
    r->n_fallbacks += fallbacks;
    r->n_seen += n_drawn(assigned);
    r->is_unkept |= n_drawn(assigned) || overridden || fallbacks;
    return 0;
}

int rollout_counts_take(struct rollout *r, unsigned gateway, yyjson_val *m, bool *ret_counted, struct err *e)
{
    struct rollout_gateway *g = &r->gateways[gateway];
    uint64_t epoch;
    if (!take_number(yyjson_obj_get(m, "epoch"), UINT32_MAX, &epoch) ||
        !take_number(yyjson_obj_get(m, "closed_until_ns"), UINT64_MAX, &g->closed_until_ns))
        return bad(gateway, "its head", e);
    g->heard_ns = yyjson_is_true(yyjson_obj_get(m, "ended")) ? 0 : loop_now_ns(r->all->c->loop);
    bool of_pairs = r->pairs && (!r->first_split_epoch || epoch < r->first_split_epoch);
    int rc = take_all(r, gateway, m, of_pairs, e);
    // Draws are checked, too, not only what came of them.
    *ret_counted = rollout_counts_settle(r) || yyjson_arr_size(yyjson_obj_get(m, "assigned")) > 0;
    return rc;
}
