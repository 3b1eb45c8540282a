// SPDX-License-Identifier: Apache-2.0
// What feedback says of the predictions of a rollout (IPC_LABELS of the monitor), for guardrails on wrong
// predictions. Counted in the order in which labels come, by the arm that the router drew and the weight of
// that time, whoever answered. Of those that share a sticky key's bucket the first label and the first wrong
// prediction count; which had one is stored with the counts.
#include "role/controller/rollout_state.h"

#include <yyjson.h>

// What a label says of a prediction of this rollout.
struct rollout_label {
    uint64_t deployment, predicted_wall_ns;
    uint32_t arm, weight_bp, bucket; // arm: 0 the baseline
    bool is_wrong;
};

static bool is_first(uint8_t *seen, uint32_t bucket)
{
    uint8_t bit = (uint8_t)(1u << (bucket % 8));
    bool first = !(seen[bucket / 8] & bit);
    seen[bucket / 8] |= bit;
    return first;
}

static void find_deployments(struct rollout *r)
{
    for (uint32_t a = 0; a <= r->spec.n_arms; a++) {
        uint32_t version = a < r->spec.n_arms ? r->candidates[a] : r->baseline;
        const struct deployment *d = routing_find(&r->all->c->routing, str_of(r->spec.model), version);
        r->deployments[a] = d ? d->id : 0;
    }
}

static bool is_of(const struct rollout *r, const struct rollout_label *l)
{
    bool is_known = false;
    for (uint32_t a = 0; a <= r->spec.n_arms; a++)
        is_known |= r->deployments[a] && r->deployments[a] == l->deployment;
    return is_known && l->arm <= r->spec.n_arms && r->plan.started_ns &&
           l->predicted_wall_ns >= r->plan.started_ns;
}

// The weight of an arm against the baseline, in millionths of both; 0: it cannot be.
static uint32_t pair_weight(const struct rollout *r, const struct rollout_label *l, uint32_t arm)
{
    uint64_t own, baseline = SPLIT_BUCKETS;
    if (r->spec.strategy != STRATEGY_AB)
        return (l->arm ? l->weight_bp : SPLIT_BUCKETS - l->weight_bp) * (WEIGHT_ONE / SPLIT_BUCKETS);
    for (uint32_t a = 0; a < r->spec.n_arms; a++)
        baseline -= r->spec.arms[a].weight_bp;
    own = r->spec.arms[arm].weight_bp;
    return (uint32_t)((own * WEIGHT_ONE + (own + baseline) / 2) / (own + baseline));
}

// False when it is not of this rollout.
static bool take(struct rollout *r, const struct rollout_label *l)
{
    bool is_sticky = r->spec.key != KEY_NONE;
    if (!is_of(r, l))
        return false;
    bool counts = !is_sticky || is_first(r->labelled, l->bucket);
    bool is_wrong = l->is_wrong && (!is_sticky || is_first(r->wrong, l->bucket));
    for (uint32_t a = 0; a < r->spec.n_arms; a++) {
        bool is_own = l->arm == a + 1;
        uint32_t weight = pair_weight(r, l, a);
        if (l->arm && !is_own)
            continue;
        for (uint32_t i = 0; i < r->spec.rules.n_guards; i++) {
            struct tally *t = &r->steps->tallies[a][i];
            if (r->spec.rules.guards[i].metric != GUARD_WRONG_PREDICTION)
                continue;
            counts_add(&t->requests, weight, counts && is_own, counts && !is_own);
            counts_add(&t->events, weight, is_wrong && is_own, is_wrong && !is_own);
        }
    }
    r->is_unkept = true;
    return true;
}

// ---- a message ----

static bool read_label(yyjson_val *row, struct rollout_label *ret)
{
    uint64_t n[6];
    if (yyjson_arr_size(row) != sizeof n / sizeof n[0])
        return false;
    for (size_t i = 0; i < sizeof n / sizeof n[0]; i++) {
        yyjson_val *v = yyjson_arr_get(row, i);
        if (!yyjson_is_uint(v))
            return false;
        n[i] = yyjson_get_uint(v);
    }
    *ret = (struct rollout_label){n[0], n[4], (uint32_t)n[1], (uint32_t)n[2], (uint32_t)n[3], n[5] != 0};
    return n[1] <= GUARD_ARMS_MAX && n[2] > 0 && n[2] < SPLIT_BUCKETS && n[3] < SPLIT_BUCKETS && n[5] <= 1;
}

int rollouts_take_labels(struct controller *c, struct str payload, struct err *e)
{
    yyjson_doc *doc = yyjson_read(payload.p, payload.n, 0);
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "labels"), *row;
    size_t i, n;
    int rc = yyjson_is_arr(list) ? 0 : err_set(e, ERR_INVALID, "the monitor sent labels that are none");
    for (struct rollout *r = c->rollouts ? c->rollouts->list : NULL; r; r = r->next)
        find_deployments(r);
    yyjson_arr_foreach(list, i, n, row)
    {
        struct rollout_label label;
        struct rollout *r = c->rollouts ? c->rollouts->list : NULL;
        if (!read_label(row, &label)) {
            rc = err_set(e, ERR_INVALID, "the monitor sent a label that is not as agreed");
            break;
        }
        while (r && !take(r, &label))
            r = r->next;
    }
    yyjson_doc_free(doc);
    // Judged at the next look, within a second.
    return rc;
}
