// SPDX-License-Identifier: Apache-2.0
// Values of columns with a rule. What is not a plain number comes here as it is read; plain numbers, which
// the scanner reads in runs, are looked at once when the request is whole.
#include "api/ruled.h"

#include <math.h>
#include <stdio.h>

void ruled_count(struct rule_counts **counts, uint32_t *n_warnings, struct arena *a, struct rule_seen seen)
{
    if (!seen.any)
        return;
    *n_warnings += seen.action == RULE_WARNED;
    if (!*counts)
        *counts = arena_calloc(a, 1, sizeof **counts);
    if (*counts) // without memory it is not counted
        (*counts)->n[seen.kind][seen.action]++;
}

static void count(struct decode *d, struct rule_seen seen)
{
    ruled_count(&d->counts, &d->n_warnings, d->scratch, seen);
}

static void store(const struct decode *d, double v, void *to)
{
    if (d->sig->input_dtype == DTYPE_FP64)
        *(double *)to = v;
    else
        *(float *)to = (float)v;
}

int ruled_missing(struct decode *d, const struct feature *f, void *to, struct err *e)
{
    struct rule_seen seen = {0};
    double v;
    int rc = rule_missing(f->rule, f->name, &v, &seen, e);
    count(d, seen);
    store(d, v, to);
    return rc;
}

int ruled_bool(struct decode *d, const struct feature *f, bool said, void *to, struct err *e)
{
    struct rule_seen seen = {0};
    double v;
    int rc = rule_bool(f->rule, f->name, said, &v, &seen, e);
    count(d, seen);
    store(d, v, to);
    return rc;
}

int ruled_text(struct decode *d, const struct feature *f, void *to, struct err *e)
{
    struct rule_seen seen = {0};
    struct str text = {0};
    double v = 0;
    if (!f->rule && !f->categories) {
        int rc = decode_unexpected(d, "a number", e);
        err_hint(e, "Send numbers without quotes.");
        return rc;
    }
    int rc = json_scan_string(&d->json, d->scratch, &text, e);
    if (rc)
        return rc;
    rc = rule_text(f->rule, f->categories, f->name, text, &v, &seen, e);
    count(d, seen);
    store(d, v, to);
    return rc;
}

static void put_path(const struct decode *d, const char *list, uint32_t row, uint32_t feature, struct err *e)
{
    uint64_t n = d->sig->n_features;
    bool in_row = d->layout == DECODE_LISTS || d->layout == DECODE_NESTED;
    if (d->layout == DECODE_OBJECTS)
        path_key_before(e, d->sig->features[feature].name);
    if (in_row)
        path_index_before(e, feature);
    path_index_before(e, d->layout == DECODE_FLAT ? row * n + feature : row);
    if (d->layout == DECODE_COLUMNS)
        path_key_before(e, d->sig->features[feature].name);
    if (d->layout >= DECODE_FLAT) {
        path_before(e, ".data");
        path_index_before(e, d->input_of ? d->input_of[feature] : 0);
    }
    path_before(e, list);
}

static int check_value(struct decode *d, const char *list, uint32_t row, uint32_t feature, struct err *e)
{
    const struct feature *f = &d->sig->features[feature];
    void *at = decode_cell(d, row, feature);
    double v = d->sig->input_dtype == DTYPE_FP64 ? *(double *)at : (double)*(float *)at;
    struct rule_seen seen = {0};
    if (isnan(v))
        return 0;
    int rc = rule_number(f->rule, f->name, &v, &seen, e);
    if (!seen.any)
        return 0;
    count(d, seen);
    store(d, v, at);
    if (rc)
        put_path(d, list, row, feature, e);
    return rc;
}

static int check_rules(struct decode *d, const char *list, struct err *e)
{
    const uint64_t values_a_pause = 1 << 15;
    uint32_t n_rows = d->rows->n_rows - d->first_row;
    uint64_t values = 0;
    for (uint32_t k = 0; k < d->sig->n_features; k++) {
        const struct rule *r = d->sig->features[k].rule;
        for (uint32_t i = 0; r && r->looks && i < n_rows; i++) {
            int rc = check_value(d, list, i, k, e);
            if (rc)
                return rc;
            if (++values % values_a_pause == 0 && d->json.pause)
                d->json.pause->pause(d->json.pause->ctx);
        }
    }
    return 0;
}

int decode_finish_rules(struct decode *d, int rc, const char *list, struct predict_request *ret,
                        struct err *e)
{
    if (rc == 0 && d->sig->has_rules)
        rc = check_rules(d, list, e);
    ret->n_warnings = d->n_warnings;
    ret->counts = d->counts;
    return rc;
}
