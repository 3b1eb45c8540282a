// SPDX-License-Identifier: Apache-2.0
// Rules of inputs as metadata.
#include "api/metadata_columns.h"

#include "base/num.h"
#include "tensor/rule.h"

#include <math.h>

// One input, or one feature.
struct column {
    const struct rule *rule;             // NULL: none
    const struct categories *categories; // texts that are taken for numbers; NULL: none
    bool may_be_missing;
    enum schema_type type;
};

// As it was said: a bound of a model that compares in float32 is the nearest of these.
static void put_number(const struct rule *r, double v, struct buf *out)
{
    char text[NUM_TEXT_MAX];
    bool whole = v == trunc(v) && fabs(v) < 1e15;
    buf_put(out, text,
            whole                    ? num_write_i64((int64_t)v, text)
            : r->dtype == DTYPE_FP32 ? num_write_float((float)v, text)
                                     : num_write_double(v, text));
}

static void put_list(const struct column *c, struct buf *out)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; c->categories && i < c->categories->n; i++) {
        buf_puts(out, i ? "," : "");
        buf_put_json_str(out, c->categories->names[i]);
    }
    for (uint32_t i = 0; !c->categories && i < c->rule->n_allowed; i++) {
        buf_puts(out, i ? "," : "");
        put_number(c->rule, c->rule->allowed[i], out);
    }
    buf_putc(out, ']');
}

static void put_text(const char *name, const char *text, const char **comma, struct buf *out)
{
    if (*text)
        buf_printf(out, "%s\"%s\":\"%s\"", *comma, name, text);
    *comma = *text ? "," : *comma;
}

static void put_bound(const struct rule *r, const char *name, double v, struct buf *out)
{
    if (!isfinite(v))
        return;
    buf_printf(out, ",\"%s\":", name);
    put_number(r, v, out);
}

// The members of the object. as_text: of values that are no lists.
static void put_members(const struct column *c, bool as_text, const char *comma, struct buf *out)
{
    struct buf list;
    put_text("mode", schema_mode_name(c->rule ? c->rule->mode : SCHEMA_MODE_UNSAID), &comma, out);
    put_text("type", schema_type_name(c->type), &comma, out);
    buf_printf(out, "%s\"missing\":%s", comma, c->may_be_missing ? "true" : "false");
    if (c->rule) {
        put_bound(c->rule, "min", c->rule->min, out);
        put_bound(c->rule, "max", c->rule->max, out);
    }
    if (!c->categories && !(c->rule && c->rule->n_allowed))
        return;
    buf_init(&list, out->max);
    put_list(c, &list);
    buf_puts(out, ",\"categories\":");
    if (as_text)
        buf_put_json_str(out, buf_str(&list));
    else
        buf_put_str(out, buf_str(&list));
    out->failed |= list.failed;
    buf_done(&list);
}

void metadata_put_tensor_rule(const struct tensor_spec *s, struct buf *out)
{
    const struct rule *r = s->rule;
    if (!r)
        return;
    const struct column c = {r, r->texts, r->may_be_missing && r->has_missing, r->type};
    buf_puts(out, ",\"parameters\":{");
    put_members(&c, true, "", out);
    buf_putc(out, '}');
}

static enum schema_type type_of(const struct feature *f)
{
    if (f->rule)
        return f->rule->type;
    return f->categories || f->categorical ? SCHEMA_CATEGORY
           : f->type == FEATURE_INTEGER    ? SCHEMA_INTEGER
           : f->type == FEATURE_BOOLEAN    ? SCHEMA_BOOLEAN
                                           : SCHEMA_NUMBER;
}

void metadata_put_feature_rules(const struct signature *sig, struct buf *out)
{
    struct buf list;
    buf_init(&list, out->max);
    for (uint32_t i = 0; sig->takes_text && i < sig->n_features; i++) {
        const struct feature *f = &sig->features[i];
        const struct column c = {f->rule, f->categories,
                                 f->may_be_missing && (!f->rule || f->rule->may_be_missing), type_of(f)};
        if (!f->rule && !f->categories)
            continue;
        buf_puts(&list, list.n ? ",{\"name\":" : "[{\"name\":");
        buf_put_json_str(&list, f->name);
        put_members(&c, false, ",", &list);
        buf_putc(&list, '}');
    }
    if (list.n) {
        buf_putc(&list, ']');
        buf_puts(out, ",\"parameters\":{\"columns\":");
        buf_put_json_str(out, buf_str(&list));
        buf_putc(out, '}');
    }
    out->failed |= list.failed;
    buf_done(&list);
}
