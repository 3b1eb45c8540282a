// SPDX-License-Identifier: Apache-2.0
// What a new version's signature changes for the clients of the version before. A rule counts where it
// refuses: a column in the mode warn is as good as one without a rule.
#include "tensor/schema.h"

#include "base/buf.h"
#include "base/map.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED_AT_ONCE = 3, TEXT_MAX = 400 };

struct comparison {
    const struct schema *before, *now;
    struct arena *a;
    struct schema_changes *out;
    uint32_t cap;
    bool failed;
};

__attribute__((format(printf, 3, 4))) static void say(struct comparison *c, bool breaking, const char *fmt,
                                                      ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t n = strlen(text);
    if (c->out->n == c->cap) {
        uint32_t cap = c->cap ? 2 * c->cap : 16;
        struct schema_change *list = arena_calloc(c->a, cap, sizeof *list);
        if (list && c->out->n)
            memcpy(list, c->out->list, c->out->n * sizeof *list);
        c->failed |= !list;
        if (!list)
            return;
        c->out->list = list;
        c->cap = cap;
    }
    char *copy = arena_alloc(c->a, n + 1);
    c->failed |= !copy;
    if (!copy)
        return;
    memcpy(copy, text, n + 1);
    c->out->list[c->out->n++] = (struct schema_change){{copy, n}, breaking};
    c->out->n_breaking += breaking;
}

static const char *z(struct str s)
{
    return s.n ? s.p : "";
}

// A rule of it refuses what breaks it.
static bool refuses(const struct schema_column *c)
{
    return c->mode == SCHEMA_STRICT || c->mode == SCHEMA_COERCE;
}

static bool may_be_missing(const struct schema_column *c)
{
    return c->missing != SCHEMA_NO || c->mode == SCHEMA_WARN;
}

static bool takes_texts(const struct schema_column *c)
{
    return c->has_categories && !c->numeric;
}

// How much a type lets through where it is held to.
static int width_of(const struct schema_column *c)
{
    if (!refuses(c))
        return 3;
    return c->type == SCHEMA_BOOLEAN ? 1 : c->type == SCHEMA_INTEGER ? 2 : 3;
}

static int64_t find_category(const struct schema_column *c, const struct map *by_name, struct str name)
{
    return c->has_categories ? map_get(by_name, name) : MAP_NONE;
}

static bool map_categories(struct comparison *c, const struct schema_column *column, struct map *ret)
{
    struct err e;
    int rc = map_init(ret, column->n_categories, &e);
    for (uint32_t i = 0; rc == 0 && i < column->n_categories; i++)
        rc = map_add(ret, column->categories[i], i, &e);
    c->failed |= rc == ERR_NOMEM;
    return !c->failed;
}

// "'a', 'b' and 3 more" of the categories that `from` has and the other has not; returns how many.
static uint32_t list_absent(const struct schema_column *from, const struct schema_column *in,
                            const struct map *by_name, char text[TEXT_MAX])
{
    uint32_t n = 0;
    int at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < from->n_categories; i++) {
        if (find_category(in, by_name, from->categories[i]) != MAP_NONE)
            continue;
        if (n++ < NAMED_AT_ONCE)
            at += snprintf(text + at, (size_t)(TEXT_MAX - at), "%s'%.40s'", n > 1 ? ", " : "",
                           from->categories[i].p);
    }
    if (n > NAMED_AT_ONCE)
        snprintf(text + at, (size_t)(TEXT_MAX - at), " and %u more", n - NAMED_AT_ONCE);
    return n;
}

static void compare_codes(struct comparison *c, const struct schema_column *b, const struct schema_column *n,
                          const struct map *in_now)
{
    for (uint32_t i = 0; i < b->n_categories; i++) {
        int64_t k = find_category(n, in_now, b->categories[i]);
        if (k == MAP_NONE || n->codes[k] == b->codes[i] || n->dtype == DTYPE_BYTES)
            continue;
        say(c, true, "input '%.80s': the code of category '%.40s' was %g, it is %g", z(n->name),
            z(n->categories[k]), b->codes[i], n->codes[k]);
        return; // the others follow from it
    }
}

static void compare_texts(struct comparison *c, const struct schema_column *b, const struct schema_column *n)
{
    struct map in_before = {0}, in_now = {0};
    char text[TEXT_MAX];
    if (takes_texts(b) && !takes_texts(n) && n->dtype != DTYPE_BYTES) {
        say(c, true, "input '%.80s' takes no texts any more: the model's categories have no names",
            z(n->name));
        return;
    }
    if (!takes_texts(n))
        return;
    if (!takes_texts(b)) {
        if (n->dtype == DTYPE_BYTES && refuses(n))
            say(c, true, "input '%.80s' takes only %u categories now", z(n->name), n->n_categories);
        else
            say(c, false, "input '%.80s' takes its categories as texts now", z(n->name));
        return;
    }
    if (map_categories(c, b, &in_before) && map_categories(c, n, &in_now)) {
        uint32_t gone = list_absent(b, n, &in_now, text);
        if (gone)
            say(c, n->mode != SCHEMA_WARN, "input '%.80s': categories removed: %s", z(n->name), text);
        if (list_absent(n, b, &in_before, text))
            say(c, false, "input '%.80s': categories added: %s", z(n->name), text);
        compare_codes(c, b, n, &in_now);
    }
    map_done(&in_before);
    map_done(&in_now);
}

// Lists of allowed numbers.
static void compare_numbers(struct comparison *c, const struct schema_column *b,
                            const struct schema_column *n)
{
    bool was = b->has_categories && b->numeric && refuses(b),
         is = n->has_categories && n->numeric && refuses(n);
    struct map in_now = {0};
    char text[TEXT_MAX];
    if (is && !was)
        say(c, true, "input '%.80s' takes only %u listed numbers now", z(n->name), n->n_categories);
    else if (was && !is)
        say(c, false, "input '%.80s' is not bound to listed numbers any more", z(n->name));
    if (!is || !was)
        return;
    if (map_categories(c, n, &in_now) && list_absent(b, n, &in_now, text))
        say(c, true, "input '%.80s': allowed values removed: %s", z(n->name), text);
    map_done(&in_now);
}

static void put_range(double min, double max, char text[TEXT_MAX])
{
    if (isfinite(min) && isfinite(max))
        snprintf(text, TEXT_MAX, "%g to %g", min, max);
    else if (isfinite(min) || isfinite(max))
        snprintf(text, TEXT_MAX, "%s %g", isfinite(min) ? "at least" : "at most", isfinite(min) ? min : max);
    else
        snprintf(text, TEXT_MAX, "any");
}

static void compare_range(struct comparison *c, const struct schema_column *b, const struct schema_column *n)
{
    double b_min = refuses(b) && b->has_min ? b->min : (double)-INFINITY,
           b_max = refuses(b) && b->has_max ? b->max : (double)INFINITY;
    double n_min = refuses(n) && n->has_min ? n->min : (double)-INFINITY,
           n_max = refuses(n) && n->has_max ? n->max : (double)INFINITY;
    char was[TEXT_MAX], is[TEXT_MAX];
    put_range(b_min, b_max, was);
    put_range(n_min, n_max, is);
    bool narrower = n_min > b_min || n_max < b_max;
    if (narrower || n_min < b_min || n_max > b_max)
        say(c, narrower, "input '%.80s': the range was %s, it is %s: %s", z(n->name), was,
            narrower ? "narrower" : "wider", is);
}

// Whether every value of datatype `from` is one of `to`, floats among each other taken as one.
static bool holds(enum dtype to, enum dtype from)
{
    bool is_unsigned = from >= DTYPE_UINT8 && from <= DTYPE_UINT64,
         to_float = to >= DTYPE_FP16 && to <= DTYPE_FP64;
    if (to == from || from == DTYPE_NONE || to == DTYPE_NONE)
        return true;
    if (to == DTYPE_BYTES || from == DTYPE_BYTES || to == DTYPE_BOOL)
        return false;
    if (to_float || from == DTYPE_BOOL)
        return true;
    if (from >= DTYPE_FP16)
        return false;
    if (to >= DTYPE_UINT8 && to <= DTYPE_UINT64)
        return is_unsigned && dtype_size(to) >= dtype_size(from);
    return is_unsigned ? dtype_size(to) > dtype_size(from) : dtype_size(to) >= dtype_size(from);
}

static bool same_shape(const struct schema_column *a, const struct schema_column *b)
{
    return a->has_shape == b->has_shape && a->any_shape == b->any_shape && a->n_dims == b->n_dims &&
           memcmp(a->shape, b->shape, a->n_dims * sizeof a->shape[0]) == 0;
}

// Whether a tensor of the shape before is one of the shape now.
static bool takes_shape(const struct schema_column *n, const struct schema_column *b)
{
    if (n->any_shape)
        return true;
    if (b->any_shape || n->n_dims != b->n_dims)
        return false;
    for (uint32_t i = 0; i < n->n_dims; i++)
        if (n->shape[i] != -1 && n->shape[i] != b->shape[i])
            return false;
    return true;
}

static void put_shape(const struct schema_column *c, char text[TEXT_MAX])
{
    int at = snprintf(text, TEXT_MAX, c->any_shape ? "any" : "[");
    for (uint32_t i = 0; !c->any_shape && i < c->n_dims; i++)
        at += snprintf(text + at, (size_t)(TEXT_MAX - at), "%s%lld", i ? "," : "", (long long)c->shape[i]);
    if (!c->any_shape)
        snprintf(text + at, (size_t)(TEXT_MAX - at), "]");
}

static void compare_form(struct comparison *c, const struct schema_column *b, const struct schema_column *n)
{
    char was[TEXT_MAX], is[TEXT_MAX];
    if (b->dtype != n->dtype && c->before->tensors == c->now->tensors)
        say(c, c->now->tensors && !holds(n->dtype, b->dtype), "input '%.80s' was %s, it is %s", z(n->name),
            dtype_name(b->dtype), dtype_name(n->dtype));
    if (c->before->tensors && c->now->tensors && !same_shape(b, n)) {
        put_shape(b, was);
        put_shape(n, is);
        say(c, !takes_shape(n, b), "input '%.80s' had the shape %s, it has %s", z(n->name), was, is);
    }
    if (b->optional && !n->optional)
        say(c, true, "input '%.80s' can no longer be left out", z(n->name));
    else if (!b->optional && n->optional)
        say(c, false, "input '%.80s' can be left out now", z(n->name));
}

static void compare_type(struct comparison *c, const struct schema_column *b, const struct schema_column *n)
{
    bool was = b->categorical || takes_texts(b), is = n->categorical || takes_texts(n);
    if (was != is && n->dtype != DTYPE_BYTES)
        say(c, was || n->categorical, "input '%.80s' was a %s, it is a %s", z(n->name),
            was ? "category" : "number", is ? "category" : "number");
    else if (width_of(n) < width_of(b))
        say(c, true, "input '%.80s': the type is narrower, %s only", z(n->name), schema_type_name(n->type));
    else if (width_of(n) > width_of(b))
        say(c, false, "input '%.80s': the type is wider than %s", z(n->name), schema_type_name(b->type));
}

// No client notices; whoever pushes should.
static void compare_log(struct comparison *c, const char *what, const struct schema_column *b,
                        const struct schema_column *n)
{
    struct str was = b->log.n ? b->log : STR("keep"), is = n->log.n ? n->log : STR("keep");
    if (!str_eq(was, is))
        say(c, false, "%s '%.80s': the log's rule was '%.40s', it is '%.40s'", what, z(n->name), z(was),
            z(is));
}

static void compare_input(struct comparison *c, const struct schema_column *b, const struct schema_column *n)
{
    compare_form(c, b, n);
    compare_type(c, b, n);
    if (may_be_missing(b) && !may_be_missing(n))
        say(c, true, "input '%.80s' may no longer be missing", z(n->name));
    else if (!may_be_missing(b) && may_be_missing(n))
        say(c, false, "input '%.80s' may be missing now", z(n->name));
    compare_texts(c, b, n);
    compare_numbers(c, b, n);
    compare_range(c, b, n);
    if (b->mode == SCHEMA_COERCE && n->mode == SCHEMA_STRICT)
        say(c, true, "input '%.80s' is strict now: what had to be converted is refused", z(n->name));
    else if (b->mode != n->mode)
        say(c, false, "input '%.80s': the mode was %s, it is %s", z(n->name),
            b->mode ? schema_mode_name(b->mode) : "none", n->mode ? schema_mode_name(n->mode) : "none");
    if (b->unit.n && !str_eq(b->unit, n->unit))
        say(c, true, "input '%.80s': the unit was '%.40s', it is '%.40s'", z(n->name), z(b->unit),
            z(n->unit));
    compare_log(c, "input", b, n);
}

static bool map_columns(struct comparison *c, const struct schema_column *list, uint32_t n, struct map *ret)
{
    struct err e;
    int rc = map_init(ret, n, &e);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = map_add(ret, list[i].name, i, &e);
    c->failed |= rc != 0;
    return !c->failed;
}

static void say_new_input(struct comparison *c, const struct schema_column *n)
{
    if (c->now->tensors)
        say(c, !n->optional,
            n->optional ? "input '%.80s' is new; it can be left out"
                        : "input '%.80s' is new, and requests must have it",
            z(n->name));
    else if (may_be_missing(n))
        say(c, true, "input '%.80s' is new: rows sent as lists need one value more", z(n->name));
    else
        say(c, true, "input '%.80s' is new, and requests must have it", z(n->name));
}

// Rows may come as lists: then an input is its place.
static void compare_order(struct comparison *c, const struct map *in_now)
{
    int64_t last = -1;
    struct str last_name = {0};
    for (uint32_t i = 0; i < c->before->n_inputs && !c->now->tensors && !c->before->tensors; i++) {
        int64_t k = map_get(in_now, c->before->inputs[i].name);
        if (k == MAP_NONE)
            continue;
        if (k < last) {
            say(c, true, "the order of inputs changed: '%.80s' comes before '%.80s' now",
                z(c->before->inputs[i].name), z(last_name));
            return;
        }
        last = k;
        last_name = c->before->inputs[i].name;
    }
}

static void compare_by_place(struct comparison *c)
{
    uint32_t n = c->before->n_inputs < c->now->n_inputs ? c->before->n_inputs : c->now->n_inputs;
    if (c->before->n_inputs != c->now->n_inputs)
        say(c, true, "the number of inputs was %u, it is %u", c->before->n_inputs, c->now->n_inputs);
    if (c->before->named != c->now->named && n > 0)
        say(c, true, "the inputs %s: '%.80s' is '%.80s' now",
            c->now->named ? "have names" : "have no names any more", z(c->before->inputs[0].name),
            z(c->now->inputs[0].name));
    for (uint32_t i = 0; i < n; i++)
        compare_input(c, &c->before->inputs[i], &c->now->inputs[i]);
}

static void compare_inputs(struct comparison *c)
{
    struct map in_now = {0}, in_before = {0};
    const struct schema *b = c->before, *n = c->now;
    if (!b->tensors && !n->tensors && (!b->named || !n->named)) {
        compare_by_place(c);
        return;
    }
    if (b->tensors != n->tensors)
        say(c, true, "inputs were %s, they are %s", b->tensors ? "tensors by name" : "rows of columns",
            n->tensors ? "tensors by name" : "rows of columns");
    if (map_columns(c, b->inputs, b->n_inputs, &in_before) &&
        map_columns(c, n->inputs, n->n_inputs, &in_now)) {
        for (uint32_t i = 0; i < b->n_inputs; i++) {
            int64_t k = map_get(&in_now, b->inputs[i].name);
            if (k == MAP_NONE)
                say(c, true, "input '%.80s' was removed", z(b->inputs[i].name));
            else
                compare_input(c, &b->inputs[i], &n->inputs[k]);
        }
        for (uint32_t i = 0; i < n->n_inputs; i++)
            if (map_get(&in_before, n->inputs[i].name) == MAP_NONE)
                say_new_input(c, &n->inputs[i]);
        compare_order(c, &in_now);
    }
    map_done(&in_before);
    map_done(&in_now);
}

static void compare_labels(struct comparison *c, const struct schema_column *b, const struct schema_column *n)
{
    bool same = b->n_labels == n->n_labels;
    for (uint32_t i = 0; same && i < b->n_labels; i++)
        if (!str_eq(b->labels[i], n->labels[i])) {
            say(c, true, "output '%.80s': class %u was '%.40s', it is '%.40s'", z(n->name), i,
                z(b->labels[i]), z(n->labels[i]));
            return;
        }
    if (!same)
        say(c, b->n_labels > 0, "output '%.80s' had %u class labels, it has %u", z(n->name), b->n_labels,
            n->n_labels);
}

static void compare_output(struct comparison *c, const struct schema_column *b, const struct schema_column *n)
{
    char was[TEXT_MAX], is[TEXT_MAX];
    if (b->dtype != n->dtype)
        say(c, true, "output '%.80s' was %s, it is %s", z(n->name), dtype_name(b->dtype),
            dtype_name(n->dtype));
    if (!same_shape(b, n)) {
        put_shape(b, was);
        put_shape(n, is);
        say(c, true, "output '%.80s' had the shape %s, it has %s", z(n->name), was, is);
    }
    compare_labels(c, b, n);
    if (b->unit.n && !str_eq(b->unit, n->unit))
        say(c, true, "output '%.80s': the unit was '%.40s', it is '%.40s'", z(n->name), z(b->unit),
            z(n->unit));
    compare_log(c, "output", b, n);
}

static void compare_outputs(struct comparison *c)
{
    const struct schema *b = c->before, *n = c->now;
    for (uint32_t i = 0; i < b->n_outputs; i++) {
        uint32_t k = 0;
        while (k < n->n_outputs && !str_eq(n->outputs[k].name, b->outputs[i].name))
            k++;
        if (k == n->n_outputs)
            say(c, true, "output '%.80s' was removed", z(b->outputs[i].name));
        else
            compare_output(c, &b->outputs[i], &n->outputs[k]);
    }
    for (uint32_t i = 0; i < n->n_outputs; i++) {
        uint32_t k = 0;
        while (k < b->n_outputs && !str_eq(b->outputs[k].name, n->outputs[i].name))
            k++;
        if (k == b->n_outputs)
            say(c, false, "output '%.80s' is new", z(n->outputs[i].name));
    }
}

// Breaking ones first, each kind in the order in which it was found.
static void sort(struct comparison *c)
{
    struct schema_change *sorted = arena_calloc(c->a, c->out->n, sizeof *sorted);
    uint32_t at = 0;
    c->failed |= !sorted;
    for (int breaking = 1; sorted && breaking >= 0; breaking--)
        for (uint32_t i = 0; i < c->out->n; i++)
            if (c->out->list[i].breaking == (breaking == 1))
                sorted[at++] = c->out->list[i];
    c->out->list = sorted;
}

int schema_compare(const struct schema *before, const struct schema *now, struct arena *a,
                   struct schema_changes *ret, struct err *e)
{
    *ret = (struct schema_changes){0};
    struct comparison c = {.before = before, .now = now, .a = a, .out = ret};
    compare_inputs(&c);
    compare_outputs(&c);
    if (ret->n)
        sort(&c);
    return c.failed ? err_set(e, ERR_NOMEM, "no memory to compare signatures") : 0;
}
