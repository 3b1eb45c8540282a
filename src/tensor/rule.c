// SPDX-License-Identifier: Apache-2.0
// Holding single values to the rule of their column. What a mode does is decided here and nowhere else.
#include "tensor/rule.h"

#include "base/limits.h"
#include "base/near.h"
#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_CATEGORIES = 8, SHOWN_BYTES = 40 };

const char *rule_kind_name(enum rule_kind k)
{
    static const char *const NAMES[RULE_KINDS] = {"type", "missing", "category", "range"};
    return NAMES[k];
}

const char *rule_action_name(enum rule_action a)
{
    static const char *const NAMES[RULE_ACTIONS] = {"refused", "coerced", "warned"};
    return NAMES[a];
}

static int saw(struct rule_seen *seen, enum rule_kind kind, enum rule_action action)
{
    *seen = (struct rule_seen){true, kind, action};
    return 0;
}

static void show(const struct rule *r, double v, char text[NUM_TEXT_MAX + 1])
{
    size_t n = 0;
    if (v == trunc(v) && fabs(v) < 1e15)
        n = num_write_i64((int64_t)v, text);
    else if (isfinite(v))
        n = r->dtype == DTYPE_FP32 ? num_write_float((float)v, text) : num_write_double(v, text);
    text[n] = '\0';
}

// "one of 'a', 'b' …", the nearest to `text` first.
static void list_texts(const struct categories *c, struct str text, char *to, size_t room)
{
    int near = c->n <= LIMIT_NEAR_CANDIDATES ? near_find(text, c->names, c->n) : -1;
    int at = snprintf(to, room, "one of ");
    uint32_t shown = 0;
    for (uint32_t i = 0; i < c->n && shown < SHOWN_CATEGORIES; i++) {
        // The nearest, then the others from the first.
        uint32_t k = near < 0 ? i : i == 0 ? (uint32_t)near : i <= (uint32_t)near ? i - 1 : i;
        struct str name = c->names[k];
        if ((size_t)at + name.n + sizeof "', '', …" > room)
            break;
        at += snprintf(to + at, room - (size_t)at, "%s'" STR_FMT "'", shown ? ", " : "", STR_ARG(name));
        shown++;
    }
    if (shown < c->n)
        snprintf(to + at, room - (size_t)at, shown ? ", …" : "its %u categories", c->n);
}

static int unknown_category(const struct categories *c, struct str name, struct str text, struct err *e)
{
    char expected[200];
    list_texts(c, text, expected, sizeof expected);
    return err_set(e, ERR_UNKNOWN_CATEGORY, "'%.*s' is '%.*s', expected %s",
                   (int)(name.n < SHOWN_BYTES ? name.n : SHOWN_BYTES), name.p,
                   (int)(text.n < SHOWN_BYTES ? text.n : SHOWN_BYTES), text.p, expected);
}

static const char *expected_type(const struct rule *r)
{
    switch (r->type) {
    case SCHEMA_INTEGER:
        return "a whole number";
    case SCHEMA_BOOLEAN:
        return "true or false";
    case SCHEMA_CATEGORY:
        return r->texts ? "a category or its code" : "the code of a category";
    default:
        return "a number";
    }
}

static int refuse_type(const struct rule *r, struct str name, const char *got, struct err *e)
{
    return err_set(e, ERR_WRONG_TYPE, "'%.*s' is %s, expected %s",
                   (int)(name.n < SHOWN_BYTES ? name.n : SHOWN_BYTES), name.p, got, expected_type(r));
}

static int refuse_range(const struct rule *r, struct str name, double v, struct err *e)
{
    char got[NUM_TEXT_MAX + 1], min[NUM_TEXT_MAX + 1] = "", max[NUM_TEXT_MAX + 1] = "", expected[80];
    show(r, v, got);
    if (isfinite(r->min))
        show(r, r->min, min);
    if (isfinite(r->max))
        show(r, r->max, max);
    if (*min && *max)
        snprintf(expected, sizeof expected, "%s to %s", min, max);
    else
        snprintf(expected, sizeof expected, "%s %s", *min ? "at least" : "at most", *min ? min : max);
    return err_set(e, ERR_OUT_OF_RANGE, "'%.*s' is %s, expected %s",
                   (int)(name.n < SHOWN_BYTES ? name.n : SHOWN_BYTES), name.p, got, expected);
}

static bool is_allowed(const struct rule *r, double v)
{
    uint32_t from = 0, to = r->n_allowed;
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        if (r->allowed[mid] == v)
            return true;
        if (r->allowed[mid] < v)
            from = mid + 1;
        else
            to = mid;
    }
    return false;
}

static int refuse_number(const struct rule *r, struct str name, double v, struct err *e)
{
    char got[NUM_TEXT_MAX + 1], list[120] = "";
    show(r, v, got);
    if (r->texts)
        return unknown_category(r->texts, name, str_of(got), e);
    int at = 0;
    for (uint32_t i = 0; i < r->n_allowed && at < (int)sizeof list - NUM_TEXT_MAX - 8; i++) {
        char one[NUM_TEXT_MAX + 1];
        show(r, r->allowed[i], one);
        at += snprintf(list + at, sizeof list - (size_t)at, "%s%s", i ? ", " : "", one);
    }
    return err_set(e, ERR_UNKNOWN_CATEGORY, "'%.*s' is %s, expected one of %s",
                   (int)(name.n < SHOWN_BYTES ? name.n : SHOWN_BYTES), name.p, got, list);
}

// A category that is none: an error, or missing where that can be, or in the mode warn as it is.
static int not_a_category(const struct rule *r, struct rule_seen *seen, bool as_it_is, double *v)
{
    if (r->mode == SCHEMA_WARN && (as_it_is || r->has_missing)) {
        if (!as_it_is)
            *v = (double)NAN;
        return saw(seen, RULE_CATEGORY, RULE_WARNED);
    }
    if (r->mode == SCHEMA_COERCE && r->may_be_missing && r->has_missing) {
        *v = (double)NAN;
        return saw(seen, RULE_CATEGORY, RULE_COERCED);
    }
    saw(seen, RULE_CATEGORY, RULE_REFUSED);
    return 1;
}

int rule_number(const struct rule *r, struct str name, double *v, struct rule_seen *seen, struct err *e)
{
    bool is_fraction = r->whole && *v != trunc(*v), is_bool = r->type == SCHEMA_BOOLEAN;
    if (is_fraction || (is_bool && *v != 0 && *v != 1)) {
        if (r->mode == SCHEMA_WARN)
            return saw(seen, RULE_TYPE, RULE_WARNED);
        char got[NUM_TEXT_MAX + 1];
        show(r, *v, got);
        saw(seen, RULE_TYPE, RULE_REFUSED);
        return refuse_type(r, name, got, e);
    }
    if (*v < r->min || *v > r->max) {
        if (r->mode == SCHEMA_WARN)
            return saw(seen, RULE_RANGE, RULE_WARNED);
        saw(seen, RULE_RANGE, RULE_REFUSED);
        return refuse_range(r, name, *v, e);
    }
    if (!r->allowed || is_allowed(r, *v))
        return 0;
    double was = *v;
    return not_a_category(r, seen, true, v) ? refuse_number(r, name, was, e) : 0;
}

int rule_bool(const struct rule *r, struct str name, bool said, double *v, struct rule_seen *seen,
              struct err *e)
{
    *v = said;
    if (r->type == SCHEMA_BOOLEAN)
        return 0;
    if (r->texts && r->type == SCHEMA_CATEGORY &&
        categories_find(r->texts, said ? STR("true") : STR("false")) != MAP_NONE)
        return rule_text(r, r->texts, name, said ? STR("true") : STR("false"), v, seen, e);
    if (r->mode != SCHEMA_STRICT)
        return saw(seen, RULE_TYPE, r->mode == SCHEMA_WARN ? RULE_WARNED : RULE_COERCED);
    saw(seen, RULE_TYPE, RULE_REFUSED);
    return refuse_type(r, name, said ? "true" : "false", e);
}

int rule_missing(const struct rule *r, struct str name, double *v, struct rule_seen *seen, struct err *e)
{
    *v = (double)NAN;
    if (r->may_be_missing && r->has_missing)
        return 0;
    if (r->mode == SCHEMA_WARN && r->has_missing)
        return saw(seen, RULE_MISSING, RULE_WARNED);
    saw(seen, RULE_MISSING, RULE_REFUSED);
    return err_set(e, ERR_MISSING_FEATURE, "'%.*s' is missing, %s",
                   (int)(name.n < SHOWN_BYTES ? name.n : SHOWN_BYTES), name.p,
                   r->has_missing ? "and its signature does not allow that"
                                  : "and the model has no rule for that");
}

// "37", " 3.5 ", "true" where that is what the column has.
static bool parse_text(const struct rule *r, struct str text, double *v)
{
    size_t used;
    text = str_trim(text);
    if (str_eq_nocase(text, STR("true")) || str_eq_nocase(text, STR("false"))) {
        *v = text.n == 4;
        return r->type == SCHEMA_BOOLEAN;
    }
    return num_parse_loose(text.p, text.n, v, &used) && used == text.n && isfinite(*v);
}

static double held(const struct rule *r, double v)
{
    return r->dtype == DTYPE_FP32 ? (double)(float)v : v;
}

static int not_a_number(const struct rule *r, struct str name, struct str text, double *v,
                        struct rule_seen *seen, struct err *e)
{
    char got[SHOWN_BYTES + 8];
    if (r->mode == SCHEMA_WARN && r->has_missing) {
        *v = (double)NAN;
        return saw(seen, RULE_TYPE, RULE_WARNED);
    }
    snprintf(got, sizeof got, "\"%.*s\"", (int)(text.n < SHOWN_BYTES ? text.n : SHOWN_BYTES), text.p);
    saw(seen, RULE_TYPE, RULE_REFUSED);
    int rc = refuse_type(r, name, got, e);
    if (r->mode == SCHEMA_STRICT && parse_text(r, text, v))
        err_hint(e, "Send numbers without quotes, or push a signature with the mode coerce for this column.");
    return rc;
}

int rule_text(const struct rule *r, const struct categories *categories, struct str name, struct str text,
              double *v, struct rule_seen *seen, struct err *e)
{
    int64_t found = categories ? categories_find(categories, text) : MAP_NONE;
    if (found != MAP_NONE) {
        *v = categories->codes ? categories->codes[found] : (double)found;
        return 0;
    }
    if (!r)
        return unknown_category(categories, name, text, e);
    if (categories)
        return not_a_category(r, seen, false, v) ? unknown_category(categories, name, text, e) : 0;
    if (r->mode == SCHEMA_STRICT || !parse_text(r, text, v) || !isfinite(held(r, *v)))
        return not_a_number(r, name, text, v, seen, e);
    *v = held(r, *v);
    return saw(seen, RULE_TYPE, r->mode == SCHEMA_WARN ? RULE_WARNED : RULE_COERCED);
}

int rule_string(const struct rule *r, struct str name, struct str text, struct rule_seen *seen, struct err *e)
{
    if (!r->texts || categories_find(r->texts, text) != MAP_NONE)
        return 0;
    if (r->mode == SCHEMA_WARN)
        return saw(seen, RULE_CATEGORY, RULE_WARNED);
    saw(seen, RULE_CATEGORY, RULE_REFUSED);
    return unknown_category(r->texts, name, text, e);
}
