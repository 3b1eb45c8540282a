// SPDX-License-Identifier: Apache-2.0
// A row of a table for each field that a rule may have.
#include "monitor/alert_rule.h"

#include "base/num.h"
#include "monitor/cohort.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

#define SECONDS_NS UINT64_C(1000000000)
enum { DURATION_S_MAX = 30 * 86400 };
#define RATIO 2.0 // that quality_change looks for

#define KIND_INFO(KIND, name, measure, limit, for_s, window_s, at_least, of_model, what)                     \
    [ALERT_##KIND] = {(name), (what), (measure), (of_model)},
static const struct alert_kind_info KINDS[ALERT_N_KINDS] = {ALERT_KINDS(KIND_INFO)};

#define KIND_RULE(KIND, title, measure, limit_, for_s, window_s, at_least_, of_model, what)                  \
    [ALERT_##KIND] = {.name = title,                                                                         \
                      .kind = ALERT_##KIND,                                                                  \
                      .limit = limit_,                                                                       \
                      .quantile = 0.99,                                                                      \
                      .ratio = RATIO,                                                                        \
                      .for_ns = (for_s)*SECONDS_NS,                                                          \
                      .window_ns = (window_s)*SECONDS_NS,                                                    \
                      .at_least = at_least_},
static const struct alert_rule BUILT_IN[ALERT_N_KINDS] = {ALERT_KINDS(KIND_RULE)};

const struct alert_kind_info *alert_kind_info(enum alert_kind k)
{
    return &KINDS[k];
}

void alert_rules_init(struct alert_rules *r)
{
    *r = (struct alert_rules){0};
    for (enum alert_kind k = 0; k < ALERT_N_KINDS; k++)
        if (isfinite(BUILT_IN[k].limit))
            r->list[r->n++] = BUILT_IN[k];
}

static struct alert_rule *find(struct alert_rules *r, const char *name)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (strcmp(r->list[i].name, name) == 0)
            return &r->list[i];
    return NULL;
}

const struct alert_rule *alert_rules_find(const struct alert_rules *r, const char *name)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (strcmp(r->list[i].name, name) == 0)
            return &r->list[i];
    return NULL;
}

bool alert_rules_apply(const struct alert_rules *r, const struct alert_rule *rule, enum alert_kind kind,
                       struct str model)
{
    if (rule->kind != kind)
        return false;
    if (rule->model[0])
        return str_eq(str_of(rule->model), model);
    for (uint32_t i = 0; model.n && i < r->n; i++)
        if (r->list[i].kind == kind && str_eq(str_of(r->list[i].model), model))
            return false;
    return true;
}

bool alert_duration_read(struct str text, uint64_t *ret_ns)
{
    static const struct {
        struct str unit;
        uint64_t ns;
    } UNITS[] = {{{"ms", 2}, SECONDS_NS / 1000},
                 {{"s", 1}, SECONDS_NS},
                 {{"m", 1}, 60 * SECONDS_NS},
                 {{"h", 1}, 3600 * SECONDS_NS},
                 {{"d", 1}, 86400 * SECONDS_NS}};
    for (size_t i = 0; i < sizeof UNITS / sizeof UNITS[0]; i++) {
        uint64_t n, max = DURATION_S_MAX * SECONDS_NS / UNITS[i].ns;
        if (text.n > UNITS[i].unit.n && str_ends(text, UNITS[i].unit) &&
            str_to_u64((struct str){text.p, text.n - UNITS[i].unit.n}, max, &n)) {
            *ret_ns = n * UNITS[i].ns;
            return true;
        }
    }
    return false;
}

// ---- fields

static int take_limit(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    x->limit = yyjson_get_num(v);
    return yyjson_is_num(v) && isfinite(x->limit) ? 0 : err_set(e, ERR_WRONG_TYPE, "a number is expected");
}

static int take_below(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    x->is_below = true;
    return take_limit(x, v, e);
}

static int take_metric(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    struct str name = {yyjson_get_str(v), yyjson_get_len(v)};
    if (!yyjson_is_str(v) || name.n > ALERT_METRIC_BYTES || !cohort_metric_is_known(name))
        return err_set(e, ERR_INVALID, "one of these metrics is expected: %s", COHORT_METRIC_NAMES);
    snprintf(x->metric, sizeof x->metric, STR_FMT, STR_ARG(name));
    return 0;
}

static int take_quantile(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    x->quantile = yyjson_get_num(v);
    return yyjson_is_num(v) && x->quantile > 0 && x->quantile < 1
               ? 0
               : err_set(e, ERR_OUT_OF_RANGE, "a number between 0 and 1 is expected, such as 0.99");
}

static int take_expected(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    x->expected = yyjson_get_num(v);
    return yyjson_is_num(v) && x->expected > 0 && x->expected < 1
               ? 0
               : err_set(e, ERR_OUT_OF_RANGE, "a share between 0 and 1 is expected, such as 0.1");
}

static int take_ratio(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    x->ratio = yyjson_get_num(v);
    return yyjson_is_num(v) && x->ratio > 1 && x->ratio <= 1000
               ? 0
               : err_set(e, ERR_OUT_OF_RANGE, "a number above 1 is expected, such as 1.5, at most 1,000");
}

static int take_duration(uint64_t *to, yyjson_val *v, struct err *e)
{
    return yyjson_is_str(v) && alert_duration_read((struct str){yyjson_get_str(v), yyjson_get_len(v)}, to)
               ? 0
               : err_set(e, ERR_WRONG_TYPE, "a duration is expected, such as \"90s\", \"5m\", \"2h\"");
}

static int take_for(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    return take_duration(&x->for_ns, v, e);
}

static int take_window(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    int rc = take_duration(&x->window_ns, v, e);
    if (rc == 0 && x->window_ns < SECONDS_NS)
        rc = err_set(e, ERR_OUT_OF_RANGE, "a window lasts a second at least");
    return rc;
}

static int take_at_least(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    x->at_least = yyjson_get_uint(v);
    return yyjson_is_uint(v) ? 0 : err_set(e, ERR_WRONG_TYPE, "a number of requests is expected");
}

static int take_severity(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    x->is_critical = yyjson_equals_str(v, "critical");
    return x->is_critical || yyjson_equals_str(v, "warning")
               ? 0
               : err_set(e, ERR_INVALID, "\"warning\" or \"critical\" is expected");
}

static int take_model(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    if (!yyjson_is_str(v) || yyjson_get_len(v) > LIMIT_MODEL_NAME_BYTES)
        return err_set(e, ERR_WRONG_TYPE, "the name of a model is expected");
    snprintf(x->model, sizeof x->model, "%s", yyjson_get_str(v));
    return 0;
}

static int take_kind(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    struct alert_rule kept = *x;
    for (enum alert_kind k = 0; k < ALERT_N_KINDS; k++)
        if (yyjson_equals_str(v, KINDS[k].name)) {
            *x = BUILT_IN[k];
            memcpy(x->name, kept.name, sizeof x->name);
            return 0;
        }
    struct buf names;
    buf_init(&names, ERR_MSG_MAX / 2);
    for (enum alert_kind k = 0; k < ALERT_N_KINDS; k++)
        buf_printf(&names, "%s%s", k ? ", " : "", KINDS[k].name);
    int rc = err_set(e, ERR_INVALID, "one of these kinds is expected: %.*s", (int)names.n, names.p);
    buf_done(&names);
    return rc;
}

// A name, and a switch that the caller looks at.
static int take_nothing(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    (void)x, (void)v, (void)e;
    return 0;
}

static int take_off(struct alert_rule *x, yyjson_val *v, struct err *e)
{
    (void)x;
    return yyjson_is_bool(v) ? 0 : err_set(e, ERR_WRONG_TYPE, "true or false is expected");
}

static const struct {
    const char *name;
    int (*take)(struct alert_rule *x, yyjson_val *v, struct err *e);
} FIELDS[] = {{"name", take_nothing},      {"kind", take_nothing},      {"model", take_model},
              {"above", take_limit},       {"below", take_below},       {"quantile", take_quantile},
              {"for", take_for},           {"window", take_window},     {"at_least", take_at_least},
              {"metric", take_metric},     {"severity", take_severity}, {"off", take_off},
              {"expected", take_expected}, {"ratio", take_ratio}};
enum { N_FIELDS = sizeof FIELDS / sizeof FIELDS[0] };

static int take_field(struct alert_rule *x, const char *key, yyjson_val *value, struct err *e)
{
    for (size_t i = 0; i < N_FIELDS; i++)
        if (strcmp(FIELDS[i].name, key) == 0)
            return FIELDS[i].take(x, value, e);
    return err_set(e, ERR_UNKNOWN_FIELD,
                   "a rule has no field '%.60s'; there are name, kind, model, above, below, quantile, for, "
                   "window, at_least, metric, expected, ratio, severity, off",
                   key);
}

static bool is_name(yyjson_val *v)
{
    struct str s = {yyjson_get_str(v), yyjson_get_len(v)};
    bool good = yyjson_is_str(v) && s.n > 0 && s.n <= ALERT_NAME_BYTES;
    for (size_t i = 0; good && i < s.n; i++)
        good = s.p[i] > ' ' && s.p[i] < 0x7f;
    return good;
}

static void drop(struct alert_rules *r, struct alert_rule *x)
{
    size_t i = (size_t)(x - r->list);
    memmove(x, x + 1, (r->n-- - i - 1) * sizeof *x);
}

static int begin(struct alert_rules *r, yyjson_val *row, struct alert_rule *ret, struct err *e)
{
    yyjson_val *name = yyjson_obj_get(row, "name"), *kind = yyjson_obj_get(row, "kind");
    if (!is_name(name))
        return err_set(e, ERR_INVALID, "a rule has a \"name\" of 1 to %d ASCII characters without spaces",
                       ALERT_NAME_BYTES);
    const struct alert_rule *known = find(r, yyjson_get_str(name));
    *ret = known ? *known : (struct alert_rule){0};
    snprintf(ret->name, sizeof ret->name, "%s", yyjson_get_str(name));
    if (kind)
        return take_kind(ret, kind, e);
    return known ? 0
                 : err_set(e, ERR_INVALID, "there is no rule '%s' to change, so it needs a \"kind\"",
                           ret->name);
}

// What a rule of quality_change has, and no other. An alarm is expected after `above` labels: few are no
// limit.
static int check_change(const struct alert_rule *x, struct err *e)
{
    if (x->kind == ALERT_QUALITY_CHANGE)
        return x->limit >= 10
                   ? 0
                   : err_set(e, ERR_OUT_OF_RANGE,
                             "\"above\" of a quality_change is 10 at least: how many labels there are to a "
                             "false alarm");
    return x->expected > 0 || x->ratio < RATIO || x->ratio > RATIO
               ? err_set(e, ERR_INVALID,
                         "\"expected\" and \"ratio\" are for rules of the kind quality_change")
               : 0;
}

// What a rule of quality has, and no other.
static int check_quality(const struct alert_rule *x, struct err *e)
{
    if (x->kind != ALERT_QUALITY)
        return x->metric[0] || x->is_below
                   ? err_set(e, ERR_INVALID, "\"metric\" and \"below\" are for rules of the kind quality")
                   : 0;
    if (!x->metric[0])
        return err_set(e, ERR_INVALID, "a rule of quality has a \"metric\", such as \"accuracy\"");
    if (!isfinite(x->limit))
        return err_set(e, ERR_INVALID, "a rule of quality says \"below\" or \"above\" what it fires");
    if (x->window_ns > ALERT_QUALITY_HOURS_MAX * 3600 * SECONDS_NS)
        return err_set(e, ERR_OUT_OF_RANGE, "a window of quality is %d hours at most",
                       ALERT_QUALITY_HOURS_MAX);
    return 0;
}

static int take_rule(struct alert_rules *r, yyjson_val *row, struct err *e)
{
    struct alert_rule x;
    size_t i, n;
    yyjson_val *key, *value;
    int rc = yyjson_is_obj(row) ? begin(r, row, &x, e) : err_set(e, ERR_WRONG_TYPE, "a rule is an object");
    if (rc)
        return rc;
    if (yyjson_obj_get(row, "above") && yyjson_obj_get(row, "below"))
        return err_set(e, ERR_INVALID, "a rule says \"above\" or \"below\", not both");
    if (yyjson_obj_get(row, "above"))
        x.is_below = false;
    yyjson_obj_foreach(row, i, n, key, value)
    {
        rc = take_field(&x, yyjson_get_str(key), value, e);
        if (rc)
            return rc;
    }
    if (x.model[0] && !KINDS[x.kind].is_of_model)
        return err_set(e, ERR_INVALID, "the kind '%s' is of the whole server: it takes no model",
                       KINDS[x.kind].name);
    if (!yyjson_get_bool(yyjson_obj_get(row, "off")) &&
        ((rc = check_quality(&x, e)) || (rc = check_change(&x, e))))
        return rc;
    struct alert_rule *known = find(r, x.name);
    if (yyjson_get_bool(yyjson_obj_get(row, "off"))) {
        if (known)
            drop(r, known);
        return 0;
    }
    if (!known && r->n == LIMIT_ALERT_RULES)
        return err_set(e, ERR_TOO_LARGE, "there are more than %d rules", LIMIT_ALERT_RULES);
    if (!known)
        known = &r->list[r->n++];
    *known = x;
    return 0;
}

int alert_rules_read(struct alert_rules *r, struct str json, struct err *e)
{
    yyjson_read_err why;
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, NULL, &why);
    yyjson_val *root = yyjson_doc_get_root(doc), *rules = yyjson_obj_get(root, "rules"), *row;
    size_t i, n;
    int rc = 0;
    if (!doc)
        return err_set(e, ERR_BAD_JSON, "not JSON at byte %zu: %s", why.pos, why.msg);
    if (!yyjson_is_arr(rules) || yyjson_obj_size(root) != 1)
        rc = err_set(e, ERR_WRONG_TYPE, "an object with one member is expected: {\"rules\": […]}");
    yyjson_arr_foreach(rules, i, n, row)
    {
        rc = rc ? rc : take_rule(r, row, e);
        if (rc) {
            err_at(e, "$.rules[%zu]", i);
            break;
        }
    }
    yyjson_doc_free(doc);
    return rc;
}

void alert_rules_put(const struct alert_rules *r, struct buf *out)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; i < r->n; i++) {
        const struct alert_rule *x = &r->list[i];
        buf_printf(out, "%s{\"name\":", i ? "," : "");
        buf_put_json_str(out, str_of(x->name));
        buf_printf(out, ",\"kind\":\"%s\",\"what\":\"%s%s%s\",", KINDS[x->kind].name, x->metric,
                   x->metric[0] ? " " : "", KINDS[x->kind].what);
        if (x->model[0]) {
            buf_puts(out, "\"model\":");
            buf_put_json_str(out, str_of(x->model));
            buf_putc(out, ',');
        }
        if (KINDS[x->kind].measure == ALERT_QUANTILE)
            buf_printf(out, "\"quantile\":%.17g,", x->quantile);
        if (x->metric[0])
            buf_printf(out, "\"metric\":\"%s\",", x->metric);
        if (x->expected > 0)
            buf_printf(out, "\"expected\":%.17g,", x->expected);
        if (x->kind == ALERT_QUALITY_CHANGE)
            buf_printf(out, "\"ratio\":%.17g,", x->ratio);
        buf_printf(out,
                   "\"%s\":%.17g,\"for_ms\":%llu,\"window_ms\":%llu,\"at_least\":%llu,\"severity\":\"%s\"}",
                   x->is_below ? "below" : "above", x->limit, (unsigned long long)(x->for_ns / 1000000),
                   (unsigned long long)(x->window_ns / 1000000), (unsigned long long)x->at_least,
                   x->is_critical ? "critical" : "warning");
    }
    buf_putc(out, ']');
}
