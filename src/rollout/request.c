// SPDX-License-Identifier: Apache-2.0
// Defaults first, then each part of the document over them, then what must hold between fields.
#include "rollout/request.h"

#include "rollout/fields.h"
#include "rollout/split.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const STRATEGY_NAMES[STRATEGIES] = {"canary", "shadow", "ab"};
static const char *const ON_FAIL_NAMES[] = {"rollback", "freeze"};
static const char *const ON_TIMEOUT_NAMES[] = {"hold", "rollback", "advance"};
static const char *const ON_UNDECIDED_NAMES[] = {"wait", "advance"};

enum {
    DAY = 86400,
    STEP_MAX_SECONDS = 366 * DAY,
};

static const struct rollout_step STEP = {.min_seconds = 300, .max_seconds = DAY, .min_requests = 1000};

static void set_defaults(struct rollout_spec *s)
{
    static const uint32_t WEIGHTS_BP[] = {100, 500, 1000, 2500, 5000};
    *s = (struct rollout_spec){
        .baseline = "champion",
        .n_arms = 1,
        .shadow = STEP,
        .n_steps = sizeof WEIGHTS_BP / sizeof WEIGHTS_BP[0],
        .holdback_bp = 500,
        .bake_seconds = 1800,
        .ready_seconds = 600,
        .undo_seconds = 3600,
        .rules =
            {.alpha_fail = 0.05,
             .alpha_pass = 0.05,
             .alpha_ratio = 0.001,
             .min_effect_abs = 0.0005,
             .min_events = 5,
             .n_arms = 1,
             .n_guards = 4,
             .guards =
                 {{.metric = GUARD_ERRORS, .fail_ratio = 1.1, .pass_ratio = 1.5},
                  {.metric = GUARD_LATENCY, .fail_ratio = 1, .pass_ratio = 1.5, .q = 0.95, .tolerance = 0.1},
                  {.metric = GUARD_LATENCY, .fail_ratio = 1, .pass_ratio = 1.5, .q = 0.99, .tolerance = 0.1},
                  {.metric = GUARD_INVALID_OUTPUT, .fail_ratio = 1.1, .pass_ratio = 1.5}}},
    };
    for (uint32_t i = 0; i < s->n_steps; i++) {
        s->steps[i] = STEP;
        s->steps[i].weight_bp = WEIGHTS_BP[i];
    }
}

// "range": [lo, hi] of sound outputs.
static int read_bounds(const struct fields *f, struct guard *g, struct err *e)
{
    yyjson_val *range = fields_get(f, "range"), *lo = yyjson_arr_get(range, 0),
               *hi = yyjson_arr_get(range, 1);
    if (!range)
        return 0;
    if (g->metric != GUARD_INVALID_OUTPUT)
        return fields_wrong(f, "range", ERR_INVALID, e, "this field only with the metric invalid_output");
    g->lo = yyjson_get_num(lo);
    g->hi = yyjson_get_num(hi);
    g->has_bounds = yyjson_arr_size(range) == 2 && yyjson_is_num(lo) && yyjson_is_num(hi) &&
                    isfinite(g->lo) && isfinite(g->hi) && g->lo <= g->hi;
    return g->has_bounds ? 0 : fields_wrong(f, "range", ERR_OUT_OF_RANGE, e, "[least, most], two numbers");
}

static int read_guard(yyjson_val *json, size_t i, struct guard *g, struct err *e)
{
    static const char *const KNOWN[] = {"metric", "fail_ratio", "pass_ratio", "slo",
                                        "q",      "tolerance",  "range",      NULL};
    const char *names[GUARD_METRICS];
    struct fields f;
    int metric = 0, rc = fields_open(&f, json, KNOWN, e, "$.guardrails[%zu]", i);
    for (int m = 0; m < GUARD_METRICS; m++)
        names[m] = guard_metric_name(m);
    if (rc || (rc = fields_need(&f, "metric", e)) ||
        (rc = fields_choice(&f, "metric", names, GUARD_METRICS, &metric, e)))
        return rc;
    bool latency = metric == GUARD_LATENCY, spread = metric == GUARD_DISTRIBUTION;
    *g = (struct guard){.metric = metric, .fail_ratio = latency ? 1 : 1.1, .pass_ratio = 1.5};
    if (spread) { // a version that learned anew is never quite the same
        g->fail_ratio = 1.25;
        g->pass_ratio = 2;
    }
    if (latency) {
        g->q = 0.95;
        g->tolerance = 0.1;
    }
    if ((rc = fields_number(&f, "fail_ratio", 1.0 / 16, 16, &g->fail_ratio, e)) ||
        (rc = fields_number(&f, "pass_ratio", 1.0 / 16, 16, &g->pass_ratio, e)) ||
        (rc = fields_number(&f, "slo", 1e-5, 0.5, &g->slo, e)) ||
        (rc = fields_number(&f, "q", 0.5, 0.9999, &g->q, e)) ||
        (rc = fields_number(&f, "tolerance", 0, 10, &g->tolerance, e)))
        return rc;
    if (!latency && (fields_get(&f, "q") || fields_get(&f, "tolerance")))
        return fields_wrong(&f, fields_get(&f, "q") ? "q" : "tolerance", ERR_INVALID, e,
                            "this field only with the metric latency");
    if (spread && fields_get(&f, "slo"))
        return fields_wrong(&f, "slo", ERR_INVALID, e, "no such field with the metric distribution");
    if (spread && g->fail_ratio < 1)
        return fields_wrong(&f, "fail_ratio", ERR_OUT_OF_RANGE, e, "at least 1 with the metric distribution");
    if ((rc = read_bounds(&f, g, e)))
        return rc;
    if (g->pass_ratio < g->fail_ratio)
        return fields_wrong(&f, "pass_ratio", ERR_OUT_OF_RANGE, e, "at least the fail_ratio, %g",
                            g->fail_ratio);
    return 0;
}

static bool is_repeated(const struct judge_rules *r, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (r->guards[k].metric == r->guards[i].metric && r->guards[k].q == r->guards[i].q)
            return true;
    return false;
}

// Scores are cut into ranges once, outputs are sound or not once for all, and what is shown has one name.
static int check_guards(const struct fields *top, const struct judge_rules *r, struct err *e)
{
    uint32_t n_spread = 0, n_bounds = 0;
    for (uint32_t i = 0; i < r->n_guards; i++) {
        n_spread += r->guards[i].metric == GUARD_DISTRIBUTION;
        n_bounds += r->guards[i].metric == GUARD_INVALID_OUTPUT;
    }
    for (uint32_t i = 0; i < r->n_guards; i++)
        if (r->guards[i].metric != GUARD_DISTRIBUTION && is_repeated(r, i))
            return fields_wrong(top, "guardrails", ERR_DUPLICATE_KEY, e,
                                "each metric once; latency once for each q");
    if (n_spread > 1)
        return fields_wrong(top, "guardrails", ERR_OUT_OF_RANGE, e,
                            "at most one with the metric distribution");
    bool bounded = false;
    for (uint32_t i = 0; i < r->n_guards; i++)
        bounded |= r->guards[i].has_bounds;
    if (bounded && n_bounds > 1)
        return fields_wrong(top, "guardrails", ERR_OUT_OF_RANGE, e,
                            "one with the metric invalid_output where it has a range");
    return 0;
}

static int read_guards(const struct fields *top, struct rollout_spec *s, struct err *e)
{
    yyjson_val *array, *json;
    size_t i, max;
    int rc = fields_array(top, "guardrails", GUARDS_MAX, &array, e);
    if (rc || !array)
        return rc;
    s->rules.n_guards = (uint32_t)yyjson_arr_size(array);
    yyjson_arr_foreach(array, i, max, json)
    {
        rc = read_guard(json, i, &s->rules.guards[i], e);
        if (rc)
            return rc;
    }
    return check_guards(top, &s->rules, e);
}

// What a step, the shadow phase and an A/B test have in common.
static int read_limits(const struct fields *f, struct rollout_step *step, struct err *e)
{
    int rc, undecided = step->advance_undecided;
    if ((rc = fields_whole32(f, "min_seconds", 0, STEP_MAX_SECONDS, &step->min_seconds, e)) ||
        (rc = fields_whole32(f, "max_seconds", 1, STEP_MAX_SECONDS, &step->max_seconds, e)) ||
        (rc = fields_whole(f, "min_requests", 0, 1000000000000, &step->min_requests, e)) ||
        (rc = fields_choice(f, "on_undecided", ON_UNDECIDED_NAMES, 2, &undecided, e)))
        return rc;
    step->advance_undecided = undecided;
    if (step->max_seconds < step->min_seconds)
        return fields_wrong(f, "max_seconds", ERR_OUT_OF_RANGE, e, "at least min_seconds, %u",
                            step->min_seconds);
    return 0;
}

static int read_step(yyjson_val *json, size_t i, bool last, struct rollout_step *step, struct err *e)
{
    static const char *const KNOWN[] = {"weight",       "min_seconds",  "max_seconds",
                                        "min_requests", "on_undecided", NULL};
    struct fields f;
    int rc = fields_open(&f, json, KNOWN, e, "$.steps[%zu]", i);
    *step = STEP;
    // Small weights can rarely prove anything: they bound the harm, and the last step has to show the rest.
    step->advance_undecided = !last;
    if (rc || (rc = fields_need(&f, "weight", e)) ||
        (rc = fields_weight(&f, "weight", 1, SPLIT_BUCKETS, &step->weight_bp, e)))
        return rc;
    if (step->weight_bp == SPLIT_BUCKETS && !last)
        return fields_wrong(&f, "weight", ERR_OUT_OF_RANGE, e, "less than 100 in all steps but the last");
    return read_limits(&f, step, e);
}

static int read_steps(const struct fields *top, struct rollout_spec *s, struct err *e)
{
    yyjson_val *array, *json;
    size_t i, max;
    int rc = fields_array(top, "steps", ROLLOUT_STEPS_MAX, &array, e);
    if (rc || !array)
        return rc;
    size_t n = yyjson_arr_size(array);
    // At 100 % nothing is compared: a step of 100 at the end says what baking and promotion do anyway.
    bool to_all = n > 1 && yyjson_get_num(yyjson_obj_get(yyjson_arr_get_last(array), "weight")) >= 100;
    yyjson_arr_foreach(array, i, max, json)
    {
        rc = read_step(json, i, i + 1 + to_all >= n, &s->steps[i], e);
        if (rc)
            return rc;
        if (i > 0 && s->steps[i].weight_bp <= s->steps[i - 1].weight_bp) {
            err_set(e, ERR_OUT_OF_RANGE, "expected more than the weight of the step before, %g",
                    s->steps[i - 1].weight_bp / 100.0);
            err_at(e, "$.steps[%zu].weight", i);
            return ERR_OUT_OF_RANGE;
        }
    }
    s->n_steps = (uint32_t)(n - to_all);
    if (s->steps[0].weight_bp == SPLIT_BUCKETS) {
        err_set(e, ERR_OUT_OF_RANGE, "expected less than 100: without stable traffic nothing is compared");
        err_at(e, "$.steps[0].weight");
        return ERR_OUT_OF_RANGE;
    }
    return 0;
}

// Where a value stands in a request. ret_name: (ROLLOUT_KEY_BYTES + 1)
static int read_place(const struct fields *f, const char *field, enum rollout_key *ret, char *ret_name,
                      struct err *e)
{
    static const struct {
        const char *prefix;
        enum rollout_key key;
        bool keep; // the prefix is part of the name
    } KINDS[] = {{"header:", KEY_HEADER, false}, {"query:", KEY_QUERY, false}, {"$.", KEY_JSON, true}};
    char text[ROLLOUT_KEY_BYTES + 1] = "";
    int rc = fields_text(f, field, text, sizeof text, e);
    if (rc || !text[0])
        return rc;
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        size_t n = strlen(KINDS[i].prefix);
        if (strncmp(text, KINDS[i].prefix, n) == 0 && text[n]) {
            *ret = KINDS[i].key;
            snprintf(ret_name, ROLLOUT_KEY_BYTES + 1, "%s", text + (KINDS[i].keep ? 0 : n));
            return 0;
        }
    }
    return fields_wrong(f, field, ERR_OUT_OF_RANGE, e, "header:NAME, query:NAME or $.FIELD");
}

static int read_shadow(const struct fields *top, struct rollout_spec *s, struct err *e)
{
    static const char *const KNOWN[] = {"min_seconds",  "max_seconds", "min_requests",
                                        "on_undecided", "segment",     NULL};
    struct fields f;
    s->has_shadow = s->strategy == STRATEGY_SHADOW;
    s->shadow.advance_undecided = true;
    if (!fields_get(top, "shadow"))
        return 0;
    s->has_shadow = true;
    int rc = fields_open(&f, fields_get(top, "shadow"), KNOWN, e, "$.shadow");
    if (!rc)
        rc = read_place(&f, "segment", &s->segment, s->segment_name, e);
    return rc ? rc : read_limits(&f, &s->shadow, e);
}

static int read_bake(const struct fields *top, struct rollout_spec *s, struct err *e)
{
    static const char *const KNOWN[] = {"holdback", "seconds", NULL};
    struct fields f;
    if (!fields_get(top, "bake"))
        return 0;
    int rc = fields_open(&f, fields_get(top, "bake"), KNOWN, e, "$.bake");
    if (rc || (rc = fields_weight(&f, "holdback", 0, 5000, &s->holdback_bp, e)))
        return rc;
    return fields_whole32(&f, "seconds", 0, STEP_MAX_SECONDS, &s->bake_seconds, e);
}

static int read_arms(const struct fields *top, struct rollout_spec *s, struct err *e)
{
    static const char *const KNOWN[] = {"version", "weight", NULL};
    yyjson_val *array, *json;
    size_t i, max;
    uint32_t sum = 0;
    int rc = fields_need(top, "arms", e);
    if (rc || (rc = fields_array(top, "arms", GUARD_ARMS_MAX, &array, e)))
        return rc;
    s->n_arms = s->rules.n_arms = (uint32_t)yyjson_arr_size(array);
    yyjson_arr_foreach(array, i, max, json)
    {
        struct fields f;
        struct rollout_arm *arm = &s->arms[i];
        if ((rc = fields_open(&f, json, KNOWN, e, "$.arms[%zu]", i)) ||
            (rc = fields_need(&f, "version", e)) || (rc = fields_need(&f, "weight", e)) ||
            (rc = fields_text(&f, "version", arm->version, sizeof arm->version, e)) ||
            (rc = fields_weight(&f, "weight", 1, SPLIT_BUCKETS - 1, &arm->weight_bp, e)))
            return rc;
        sum += arm->weight_bp;
        if (sum >= SPLIT_BUCKETS)
            return fields_wrong(&f, "weight", ERR_OUT_OF_RANGE, e,
                                "weights that leave some traffic to the baseline");
    }
    s->n_steps = 1;
    s->steps[0] = STEP;
    s->steps[0].weight_bp = sum;
    return read_limits(top, &s->steps[0], e);
}

static int read_rules(const struct fields *top, struct rollout_spec *s, struct err *e)
{
    struct judge_rules *r = &s->rules;
    int rc;
    if ((rc = fields_number(top, "alpha", 1e-6, 0.5, &r->alpha_fail, e)) ||
        (rc = fields_number(top, "alpha_pass", 1e-6, 0.5, &r->alpha_pass, e)) ||
        (rc = fields_number(top, "alpha_ratio", 1e-6, 0.5, &r->alpha_ratio, e)) ||
        (rc = fields_number(top, "min_effect_abs", 0, 1, &r->min_effect_abs, e)) ||
        (rc = fields_whole(top, "min_events", 0, 1000000000, &r->min_events, e)) ||
        (rc = fields_whole32(top, "fail_after_seconds", 0, DAY, &r->min_seconds, e)))
        return rc;
    return read_guards(top, s, e);
}

// Fields that say nothing with this strategy would be silently without effect.
static int check_strategy(const struct fields *top, const struct rollout_spec *s, struct err *e)
{
    static const char *const ONLY_CANARY[] = {"steps", "bake", "candidate", "shadow"};
    static const char *const ONLY_AB[] = {"arms", "min_seconds", "max_seconds", "min_requests",
                                          "on_undecided"};
    if (s->strategy == STRATEGY_AB) {
        for (size_t i = 0; i < sizeof ONLY_CANARY / sizeof ONLY_CANARY[0]; i++)
            if (fields_get(top, ONLY_CANARY[i])) {
                fields_wrong(top, ONLY_CANARY[i], ERR_INVALID, e, "no such field with the strategy ab");
                err_hint(
                    e,
                    "The versions are its arms: {\"arms\":[{\"version\":7,\"weight\":20}]}, or --arm 7=20.");
                return ERR_INVALID;
            }
        return 0;
    }
    for (size_t i = 0; i < sizeof ONLY_AB / sizeof ONLY_AB[0]; i++)
        if (fields_get(top, ONLY_AB[i]))
            return fields_wrong(top, ONLY_AB[i], ERR_INVALID, e, "this field only with the strategy ab");
    for (size_t i = 0; s->strategy == STRATEGY_SHADOW && i < 2; i++)
        if (fields_get(top, ONLY_CANARY[i]))
            return fields_wrong(top, ONLY_CANARY[i], ERR_INVALID, e,
                                "this field only with the strategy canary");
    return fields_need(top, "candidate", e);
}

static int read_root(yyjson_val *root, struct rollout_spec *s, struct err *e)
{
    static const char *const KNOWN[] = {"model",          "candidate",    "baseline",
                                        "strategy",       "key",          "shield",
                                        "allow_breaking", "steps",        "guardrails",
                                        "alpha",          "alpha_pass",   "alpha_ratio",
                                        "min_events",     "on_fail",      "on_timeout",
                                        "min_effect_abs", "bake",         "shadow",
                                        "arms",           "min_seconds",  "max_seconds",
                                        "min_requests",   "on_undecided", "fail_after_seconds",
                                        "ready_seconds",  "undo_seconds", NULL};
    struct fields f;
    int rc, strategy = 0, on_fail = 0, on_timeout = 0;
    if ((rc = fields_open(&f, root, KNOWN, e, "$")) || (rc = fields_need(&f, "model", e)) ||
        (rc = fields_text(&f, "model", s->model, sizeof s->model, e)) ||
        (rc = fields_choice(&f, "strategy", STRATEGY_NAMES, STRATEGIES, &strategy, e)) ||
        (rc = fields_choice(&f, "on_fail", ON_FAIL_NAMES, 2, &on_fail, e)) ||
        (rc = fields_choice(&f, "on_timeout", ON_TIMEOUT_NAMES, 3, &on_timeout, e)))
        return rc;
    s->strategy = strategy;
    s->on_fail = on_fail;
    s->on_timeout = on_timeout;
    if ((rc = check_strategy(&f, s, e)) ||
        (rc = fields_text(&f, "candidate", s->arms[0].version, sizeof s->arms[0].version, e)) ||
        (rc = fields_text(&f, "baseline", s->baseline, sizeof s->baseline, e)) ||
        (rc = read_place(&f, "key", &s->key, s->key_name, e)) ||
        (rc = fields_bool(&f, "shield", &s->shield, e)) ||
        (rc = fields_bool(&f, "allow_breaking", &s->allow_breaking, e)) ||
        (rc = fields_whole32(&f, "ready_seconds", 1, DAY, &s->ready_seconds, e)) ||
        (rc = fields_whole32(&f, "undo_seconds", 0, 30 * DAY, &s->undo_seconds, e)) ||
        (rc = read_rules(&f, s, e)) || (rc = read_shadow(&f, s, e)) || (rc = read_bake(&f, s, e)))
        return rc;
    if (s->strategy == STRATEGY_AB)
        return read_arms(&f, s, e);
    return read_steps(&f, s, e);
}

int rollout_request_decode(struct str json, struct rollout_spec *ret, struct err *e)
{
    yyjson_read_err why;
    set_defaults(ret);
    for (uint32_t i = 0; i < ret->n_steps; i++)
        ret->steps[i].advance_undecided = i + 1 < ret->n_steps;
    if (json.n > LIMIT_ROLLOUT_REQUEST_BYTES)
        return err_set(e, ERR_TOO_LARGE, "a rollout request has at most %d bytes, this one %zu",
                       LIMIT_ROLLOUT_REQUEST_BYTES, json.n);
    // Without YYJSON_READ_INSITU the bytes are only read.
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, NULL, &why);
    if (!doc && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return err_set(e, ERR_NOMEM, "no memory to read a rollout request");
    if (!doc)
        return err_set(e, ERR_BAD_JSON, "not JSON at byte %zu: %s", why.pos, why.msg);
    int rc = read_root(yyjson_doc_get_root(doc), ret, e);
    yyjson_doc_free(doc);
    return rc;
}

const char *rollout_strategy_name(enum rollout_strategy s)
{
    return STRATEGY_NAMES[s];
}
