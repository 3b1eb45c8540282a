// SPDX-License-Identifier: Apache-2.0
// Columns by name: a tensor with several values a row has "x_0", "x_1" …, as files of rows name them, too
#include "role/drift_columns.h"

#include "base/limits.h"

#include <stdio.h>

// Values that a row has; 0: rows are no columns.
static uint32_t width_of(const struct schema_column *c)
{
    if (c->any_shape || c->n_dims == 0 || c->n_dims > 2)
        return 0;
    int64_t width = c->n_dims == 1 ? 1 : c->shape[1];
    return width > 0 && width <= LIMIT_PROFILE_COLUMNS ? (uint32_t)width : 0;
}

static bool is_category(const struct schema_column *c, bool is_output)
{
    if (is_output)
        return c->dtype != DTYPE_FP16 && c->dtype != DTYPE_FP32 && c->dtype != DTYPE_FP64;
    return c->categorical || c->has_categories || c->dtype == DTYPE_BYTES || c->dtype == DTYPE_BOOL ||
           c->type == SCHEMA_CATEGORY || c->type == SCHEMA_BOOLEAN || c->type == SCHEMA_TEXT;
}

// One that nobody understands is nothing that is logged.
static enum privacy_what rule_of(const struct schema_column *c)
{
    struct privacy_rule rule = {.what = PRIVACY_KEEP};
    struct err ignored;
    return c->log.n && privacy_rule_read(c->log, &rule, &ignored) ? PRIVACY_DROP : rule.what;
}

static bool is_logged(enum privacy_what rule)
{
    return rule != PRIVACY_DROP && rule != PRIVACY_HASH;
}

static bool name_column(struct drift_column *c, struct arena *a)
{
    char *name = c->width > 1 ? arena_alloc(a, c->as.name.n + 16) : NULL;
    if (c->width <= 1)
        return true;
    if (!name)
        return false;
    int n = snprintf(name, c->as.name.n + 16, STR_FMT "_%u", STR_ARG(c->as.name), c->element);
    c->as.name = (struct str){name, (size_t)n};
    return true;
}

static bool add(struct drift_columns *d, const struct schema_column *c, uint32_t tensor, uint32_t element,
                uint32_t width, bool is_output, struct arena *a)
{
    if (d->n == LIMIT_PROFILE_COLUMNS) {
        d->n_left_out++;
        return true;
    }
    struct drift_column *to = &d->items[d->n++];
    enum privacy_what rule = rule_of(c);
    *to = (struct drift_column){.as = {.name = c->name,
                                       .is_output = is_output,
                                       .is_category = is_category(c, is_output),
                                       .is_coarse = rule == PRIVACY_BUCKET || rule == PRIVACY_TRUNCATE},
                                .logged = rule,
                                .tensor = tensor,
                                .element = element,
                                .width = width,
                                .is_text = c->dtype == DTYPE_BYTES};
    return name_column(to, a);
}

static bool add_tensors(struct drift_columns *d, const struct schema_column *list, uint32_t n, bool is_output,
                        struct arena *a)
{
    bool made = true;
    for (uint32_t i = 0; made && i < n; i++) {
        uint32_t width = width_of(&list[i]), wanted = width;
        if (is_output && width > DRIFT_OUTPUTS_MAX)
            wanted = DRIFT_OUTPUTS_MAX;
        d->n_left_out += width == 0;
        for (uint32_t k = 0; made && k < wanted; k++)
            made = add(d, &list[i], i, k, width, is_output, a);
    }
    return made;
}

int drift_columns_of(const struct schema *s, struct arena *a, struct drift_columns *ret, struct err *e)
{
    *ret = (struct drift_columns){.is_table = !s->tensors};
    ret->items = arena_calloc(a, LIMIT_PROFILE_COLUMNS, sizeof *ret->items);
    bool made = ret->items != NULL;
    for (uint32_t i = 0; made && !s->tensors && i < s->n_inputs; i++) {
        made = add(ret, &s->inputs[i], 0, i, 1, false, a);
        ret->table_width += is_logged(rule_of(&s->inputs[i]));
    }
    if (made && s->tensors)
        made = add_tensors(ret, s->inputs, s->n_inputs, false, a);
    ret->n_inputs = ret->n;
    if (made)
        made = add_tensors(ret, s->outputs, s->n_outputs, true, a);
    return made ? 0 : err_set(e, ERR_NOMEM, "no memory for the columns of a version");
}

int drift_columns_of_log(struct drift_columns *d, struct arena *a, struct err *e)
{
    uint32_t n = 0, n_inputs = 0;
    d->unwatched = arena_alloc(a, (d->n + 1) * sizeof *d->unwatched);
    if (!d->unwatched)
        return err_set(e, ERR_NOMEM, "no memory for the columns of a version");
    for (uint32_t i = 0; i < d->n; i++) {
        struct drift_column *c = &d->items[i];
        if (!is_logged(c->logged)) {
            d->unwatched[d->n_unwatched++] = *c;
            continue;
        }
        if (i < d->n_inputs && d->is_table)
            c->element = n_inputs;
        n_inputs += i < d->n_inputs;
        d->items[n++] = *c;
    }
    d->n = n;
    d->n_inputs = n_inputs;
    return 0;
}
