// SPDX-License-Identifier: Apache-2.0
// Comparing, counting, and the text of it.
#include "rollout/pairs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

enum { LEAST_EXPONENT = -40, PARTS = 4 };

// ---- one request ----

static uint32_t bucket_of(double difference)
{
    if (!(difference > 0))
        return difference == 0 ? 0 : PAIRS_BUCKETS - 1; // NaN differs most
    double at = ceil((log2(difference) - LEAST_EXPONENT) * PARTS);
    return at < 1 ? 1 : at > PAIRS_BUCKETS - 1 ? PAIRS_BUCKETS - 1 : (uint32_t)at;
}

double pairs_bucket_edge(uint32_t bucket)
{
    return bucket == 0                   ? 0
           : bucket >= PAIRS_BUCKETS - 1 ? HUGE_VAL
                                         : exp2(LEAST_EXPONENT + (double)bucket / PARTS);
}

// What a row of values decides: the class of the greatest, or for one value whether it is at least a half.
static int64_t class_of(const struct pairs_answer *a, uint32_t row)
{
    if (a->classes)
        return a->classes[row];
    const double *v = a->values + (size_t)row * a->n_values;
    uint32_t best = 0;
    for (uint32_t i = 1; i < a->n_values; i++)
        if (v[i] > v[best])
            best = i;
    return a->n_values == 1 ? v[0] >= 0.5 : best;
}

static uint32_t class_index(int64_t class)
{
    return class >= 0 && class < PAIRS_CLASSES - 1 ? (uint32_t) class : PAIRS_CLASSES - 1;
}

static double difference_of(double a, double b)
{
    return a == b || (isnan(a) && isnan(b)) ? 0 : fabs(a - b);
}

// NaN is greater than all.
static bool is_greater(double a, double b)
{
    return isnan(a) ? !isnan(b) : a > b;
}

static void keep_if_worse(struct pairs *p, const struct pairs_worst *w)
{
    uint32_t at = p->n_worst;
    while (at > 0 && is_greater(w->difference, p->worst[at - 1].difference))
        at--;
    if (at == PAIRS_WORST || w->difference == 0)
        return;
    uint32_t kept = p->n_worst < PAIRS_WORST ? p->n_worst : PAIRS_WORST - 1;
    memmove(&p->worst[at + 1], &p->worst[at], (kept - at) * sizeof *w);
    p->worst[at] = *w;
    p->n_worst = kept + 1;
}

static void add_values(struct pairs *p, const struct pairs_answer *a, const struct pairs_answer *b,
                       uint32_t row, const char *id)
{
    struct pairs_worst w = {.row = row};
    for (uint32_t i = 0; i < a->n_values; i++) {
        size_t at = (size_t)row * a->n_values + i;
        double d = difference_of(a->values[at], b->values[at]);
        if (i == 0 || is_greater(d, w.difference)) {
            w.difference = d;
            w.stable = a->values[at];
            w.shadow = b->values[at];
        }
    }
    snprintf(w.id, sizeof w.id, "%s", id);
    p->differences[bucket_of(w.difference)]++;
    keep_if_worse(p, &w);
}

void pairs_add(struct pairs *p, const struct pairs_answer *stable, const struct pairs_answer *shadow,
               const char *id)
{
    bool have_values = stable->values && shadow->values;
    p->n++;
    if (stable->n_rows != shadow->n_rows || (have_values && stable->n_values != shadow->n_values) ||
        !have_values != !(stable->values || shadow->values) ||
        (!have_values && !(stable->classes && shadow->classes))) {
        p->unlike++;
        return;
    }
    // A class that one alone names is compared with what the other's values decide.
    for (uint32_t row = 0; row < stable->n_rows; row++) {
        int64_t a = class_of(stable, row), b = class_of(shadow, row);
        p->rows++;
        p->disagree += a != b;
        p->confusion[class_index(a)][class_index(b)]++;
        if (have_values)
            add_values(p, stable, shadow, row, id);
    }
}

void pairs_merge(struct pairs *into, const struct pairs *from)
{
    into->n += from->n;
    into->stable_failed += from->stable_failed;
    into->shadow_failed += from->shadow_failed;
    into->unlike += from->unlike;
    into->dropped += from->dropped;
    into->rows += from->rows;
    into->disagree += from->disagree;
    for (int i = 0; i < PAIRS_BUCKETS; i++)
        into->differences[i] += from->differences[i];
    for (int i = 0; i < PAIRS_CLASSES; i++)
        for (int k = 0; k < PAIRS_CLASSES; k++)
            into->confusion[i][k] += from->confusion[i][k];
    for (uint32_t i = 0; i < from->n_worst; i++)
        keep_if_worse(into, &from->worst[i]);
}

double pairs_quantile(const struct pairs *p, double q)
{
    uint64_t n = 0, below = 0;
    for (int i = 0; i < PAIRS_BUCKETS; i++)
        n += p->differences[i];
    double wanted = ceil(q * (double)n);
    for (uint32_t i = 0; i < PAIRS_BUCKETS && n; i++) {
        below += p->differences[i];
        if (below > 0 && (double)below >= wanted)
            return pairs_bucket_edge(i);
    }
    return 0;
}

// ---- text ----

// JSON has no NaN and no infinities.
static void put_number(struct buf *json, const char *name, double v)
{
    if (isfinite(v))
        buf_printf(json, "\"%s\":%.17g,", name, v);
    else
        buf_printf(json, "\"%s\":null,", name);
}

void pairs_encode(const struct pairs *p, struct buf *json)
{
    const char *comma = "";
    buf_printf(json,
               "{\"n\":%llu,\"stable_failed\":%llu,\"shadow_failed\":%llu,\"unlike\":%llu,\"dropped\":%llu,"
               "\"rows\":%llu,\"disagree\":%llu,\"differences\":[",
               (unsigned long long)p->n, (unsigned long long)p->stable_failed,
               (unsigned long long)p->shadow_failed, (unsigned long long)p->unlike,
               (unsigned long long)p->dropped, (unsigned long long)p->rows, (unsigned long long)p->disagree);
    for (int i = 0; i < PAIRS_BUCKETS; i++)
        if (p->differences[i]) {
            buf_printf(json, "%s[%d,%llu]", comma, i, (unsigned long long)p->differences[i]);
            comma = ",";
        }
    buf_puts(json, "],\"confusion\":[");
    comma = "";
    for (int i = 0; i < PAIRS_CLASSES; i++)
        for (int k = 0; k < PAIRS_CLASSES; k++)
            if (p->confusion[i][k]) {
                buf_printf(json, "%s[%d,%d,%llu]", comma, i, k, (unsigned long long)p->confusion[i][k]);
                comma = ",";
            }
    buf_puts(json, "],\"worst\":[");
    for (uint32_t i = 0; i < p->n_worst; i++) {
        const struct pairs_worst *w = &p->worst[i];
        buf_puts(json, i ? ",{" : "{");
        put_number(json, "difference", w->difference);
        put_number(json, "stable", w->stable);
        put_number(json, "shadow", w->shadow);
        buf_printf(json, "\"row\":%u,\"id\":", w->row);
        buf_put_json_str(json, str_of(w->id));
        buf_putc(json, '}');
    }
    buf_puts(json, "]}");
}

static bool read_uint(yyjson_val *v, uint64_t most, uint64_t *ret)
{
    *ret = yyjson_get_uint(v);
    return yyjson_is_uint(v) && *ret <= most;
}

static double read_number(yyjson_val *v)
{
    return yyjson_is_num(v) ? yyjson_get_num(v) : (double)NAN;
}

static bool read_differences(yyjson_val *list, struct pairs *p)
{
    size_t i, n;
    yyjson_val *row;
    uint64_t bucket, count;
    yyjson_arr_foreach(list, i, n, row)
    {
        if (!read_uint(yyjson_arr_get(row, 0), PAIRS_BUCKETS - 1, &bucket) ||
            !read_uint(yyjson_arr_get(row, 1), UINT64_MAX, &count))
            return false;
        p->differences[bucket] = count;
    }
    return yyjson_is_arr(list);
}

static bool read_confusion(yyjson_val *list, struct pairs *p)
{
    size_t i, n;
    yyjson_val *row;
    uint64_t a, b, count;
    yyjson_arr_foreach(list, i, n, row)
    {
        if (!read_uint(yyjson_arr_get(row, 0), PAIRS_CLASSES - 1, &a) ||
            !read_uint(yyjson_arr_get(row, 1), PAIRS_CLASSES - 1, &b) ||
            !read_uint(yyjson_arr_get(row, 2), UINT64_MAX, &count))
            return false;
        p->confusion[a][b] = count;
    }
    return yyjson_is_arr(list);
}

static bool read_worst(yyjson_val *list, struct pairs *p)
{
    size_t i, n;
    yyjson_val *row;
    uint64_t at;
    yyjson_arr_foreach(list, i, n, row)
    {
        yyjson_val *id = yyjson_obj_get(row, "id");
        if (i == PAIRS_WORST || !yyjson_is_str(id) || yyjson_get_len(id) >= PAIRS_ID_SIZE ||
            !read_uint(yyjson_obj_get(row, "row"), UINT32_MAX, &at))
            return false;
        struct pairs_worst w = {.difference = read_number(yyjson_obj_get(row, "difference")),
                                .stable = read_number(yyjson_obj_get(row, "stable")),
                                .shadow = read_number(yyjson_obj_get(row, "shadow")),
                                .row = (uint32_t)at};
        snprintf(w.id, sizeof w.id, "%s", yyjson_get_str(id));
        keep_if_worse(p, &w);
    }
    return yyjson_is_arr(list);
}

int pairs_read(yyjson_val *json, struct pairs *ret, struct err *e)
{
    *ret = (struct pairs){0};
    struct {
        const char *name;
        uint64_t *to;
    } numbers[] = {{"n", &ret->n},
                   {"stable_failed", &ret->stable_failed},
                   {"shadow_failed", &ret->shadow_failed},
                   {"unlike", &ret->unlike},
                   {"dropped", &ret->dropped},
                   {"rows", &ret->rows},
                   {"disagree", &ret->disagree}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (!read_uint(yyjson_obj_get(json, numbers[i].name), UINT64_MAX, numbers[i].to))
            return err_set(e, ERR_INVALID, "pairs have a bad '%s'", numbers[i].name);
    if (!read_differences(yyjson_obj_get(json, "differences"), ret))
        return err_set(e, ERR_INVALID, "pairs have bad 'differences'");
    if (!read_confusion(yyjson_obj_get(json, "confusion"), ret))
        return err_set(e, ERR_INVALID, "pairs have a bad 'confusion'");
    return read_worst(yyjson_obj_get(json, "worst"), ret)
               ? 0
               : err_set(e, ERR_INVALID, "pairs have bad 'worst' rows");
}
