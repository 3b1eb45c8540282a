// SPDX-License-Identifier: Apache-2.0
// Rules of models of tensors: they hold for each element of their input.
#include "api/ruled_tensor.h"

#include "api/ruled.h"
#include "tensor/half.h"

#include <math.h>
#include <string.h>

// A request that is read twice is counted once: when its values are stored.
static void count(struct tensor_read *r, struct rule_seen seen)
{
    struct decode *d = r->d;
    if (r->at || seen.action == RULE_REFUSED)
        ruled_count(&d->counts, &d->n_warnings, d->scratch, seen);
}

int ruled_value(struct tensor_read *r, enum json_kind k, double *v, struct err *e)
{
    const struct rule *rule = r->spec->rule;
    struct rule_seen seen = {0};
    struct str text = {0};
    int rc;
    if (k == JSON_STRING) {
        rc = json_scan_string(&r->d->json, r->d->scratch, &text, e);
        if (rc)
            return rc;
        rc = rule_text(rule, rule->texts, r->spec->name, text, v, &seen, e);
    } else {
        json_scan_word(&r->d->json, k);
        rc = k == JSON_TRUE || k == JSON_FALSE ? rule_bool(rule, r->spec->name, k == JSON_TRUE, v, &seen, e)
                                               : rule_missing(rule, r->spec->name, v, &seen, e);
    }
    count(r, seen);
    return rc;
}

int ruled_string(struct tensor_read *r, struct str text, struct err *e)
{
    struct rule_seen seen = {0};
    int rc = rule_string(r->spec->rule, r->spec->name, text, &seen, e);
    count(r, seen);
    return rc;
}

static double load(const char *p, enum dtype t)
{
    union {
        float single;
        double wide;
        uint16_t half;
        uint64_t bits;
        int64_t whole;
    } u = {0};
    size_t size = dtype_size(t);
    memcpy(&u, p, size);
    if (t == DTYPE_FP16)
        return half_to_double(u.half);
    if (t == DTYPE_FP32)
        return (double)u.single;
    if (t == DTYPE_FP64)
        return u.wide;
    if (t >= DTYPE_INT8) {
        unsigned unused = 64 - 8 * (unsigned)size;
        u.bits <<= unused;
        return (double)(u.whole >> unused);
    }
    return (double)u.bits;
}

// Only floats can become missing.
static void store_missing(char *p, enum dtype t)
{
    uint16_t half = half_from_double((double)NAN);
    float single = NAN;
    double wide = (double)NAN;
    memcpy(p,
           t == DTYPE_FP16   ? (void *)&half
           : t == DTYPE_FP32 ? (void *)&single
                             : (void *)&wide,
           dtype_size(t));
}

int ruled_tensor(struct tensor_read *r, const struct tensor *t, uint64_t *ret_at, struct err *e)
{
    const struct rule *rule = r->spec->rule;
    const uint64_t values_a_pause = 1 << 15;
    size_t size = dtype_size(t->dtype);
    if (!rule || !rule->looks || size == 0)
        return 0;
    for (uint64_t i = 0; i < t->bytes / size; i++) {
        char *at = (char *)(uintptr_t)t->data + i * size;
        double v = load(at, t->dtype);
        struct rule_seen seen = {0};
        if (isnan(v))
            continue;
        int rc = rule_number(rule, r->spec->name, &v, &seen, e);
        ruled_count(&r->d->counts, &r->d->n_warnings, r->d->scratch, seen);
        *ret_at = i;
        if (rc)
            return rc;
        if (isnan(v))
            store_missing(at, t->dtype);
        if ((i + 1) % values_a_pause == 0 && r->d->json.pause)
            r->d->json.pause->pause(r->d->json.pause->ctx);
    }
    return 0;
}
