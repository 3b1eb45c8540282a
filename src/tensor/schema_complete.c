// SPDX-License-Identifier: Apache-2.0
// What a user says of a model's columns, laid over what its file says. The file is right: what contradicts it
// is refused, because requests would be checked against a model that is not there.
#include "tensor/schema.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/near.h"

#include <string.h>

struct completion {
    struct schema *model;
    const char *at;
    struct arena *a;
    struct err *e;
};

static bool is_float(enum dtype t)
{
    return t == DTYPE_FP16 || t == DTYPE_FP32 || t == DTYPE_FP64;
}

static int refuse(struct completion *c, const char *list, uint32_t i, const char *member, int code)
{
    err_at(c->e, "%s.%s[%u]%s", c->at, list, i, member);
    return code;
}

static int unknown(struct completion *c, const struct schema_column *columns, uint32_t n, const char *what,
                   struct str name, int code)
{
    err_set(c->e, code, "the model file has no %s '%.80s'", what, name.p);
    struct str *names = n <= LIMIT_NEAR_CANDIDATES ? arena_calloc(c->a, n, sizeof *names) : NULL;
    for (uint32_t i = 0; names && i < n; i++)
        names[i] = columns[i].name;
    int near = names ? near_find(name, names, n) : -1;
    if (near >= 0)
        err_hint(c->e, "Did you mean '%.80s'?", names[near].p);
    return code;
}

// A file without names: as many columns as it has are named by their order.
static int take_names(struct completion *c, const struct schema *user)
{
    struct schema *m = c->model;
    if (user->n_inputs != m->n_inputs) {
        err_set(c->e, ERR_WRONG_COUNT,
                "the signature has %u inputs, the model file has %u and no names to tell which are meant",
                user->n_inputs, m->n_inputs);
        err_at(c->e, "%s.inputs", c->at);
        err_hint(c->e, "List all inputs in the order of training, or call them f0 to f%u.", m->n_inputs - 1);
        return ERR_WRONG_COUNT;
    }
    for (uint32_t i = 0; i < m->n_inputs; i++)
        m->inputs[i].name = user->inputs[i].name;
    m->named = m->renamed = true;
    return 0;
}

static int map_names(const struct schema_column *columns, uint32_t n, struct map *ret, struct err *e)
{
    int rc = map_init(ret, n, e);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = map_add(ret, columns[i].name, i, e);
    return rc;
}

// The codes of the categories that a user allows, from those that the file names.
static int take_allowed(struct completion *c, struct schema_column *m, const struct schema_column *u,
                        uint32_t i)
{
    struct map by_name;
    double *codes = arena_calloc(c->a, u->n_categories, sizeof *codes);
    int rc = map_init(&by_name, m->n_categories, c->e);
    for (uint32_t k = 0; rc == 0 && k < m->n_categories; k++)
        rc = map_add(&by_name, m->categories[k], k, c->e);
    if (rc == 0 && !codes)
        rc = err_set(c->e, ERR_NOMEM, "no memory for the signature");
    bool in_order = true;
    for (uint32_t k = 0; rc == 0 && k < u->n_categories; k++) {
        int64_t found = map_get(&by_name, u->categories[k]);
        if (found == MAP_NONE) {
            rc = err_set(c->e, ERR_INVALID, "the model file has no category '%.80s' in '%.80s'",
                         u->categories[k].p, m->name.p);
            int near = m->n_categories <= LIMIT_NEAR_CANDIDATES
                           ? near_find(u->categories[k], m->categories, m->n_categories)
                           : -1;
            if (near >= 0)
                err_hint(c->e, "Did you mean '%.80s'?", m->categories[near].p);
            refuse(c, "inputs", i, ".categories", rc);
        } else {
            codes[k] = m->codes[found];
            in_order &= codes[k] == (double)k;
        }
    }
    map_done(&by_name);
    if (rc)
        return rc;
    m->categories = u->categories;
    m->codes = codes;
    m->n_categories = u->n_categories;
    m->has_codes = !in_order;
    return 0;
}

static int take_categories(struct completion *c, struct schema_column *m, const struct schema_column *u,
                           uint32_t i)
{
    if (!u->has_categories)
        return 0;
    if (m->has_categories && !m->numeric)
        return take_allowed(c, m, u, i);
    m->has_categories = true;
    m->numeric = u->numeric;
    m->categories = u->categories;
    m->codes = u->codes;
    m->has_codes = u->has_codes;
    m->n_categories = u->n_categories;
    if (!u->numeric)
        m->type = SCHEMA_CATEGORY;
    return 0;
}

static int wrong_type(struct completion *c, const struct schema_column *m, uint32_t i, const char *why)
{
    err_set(c->e, ERR_WRONG_TYPE, "input '%.80s': %s", m->name.p, why);
    return refuse(c, "inputs", i, ".type", ERR_WRONG_TYPE);
}

// Columns of a matrix of numbers.
static int check_row_type(struct completion *c, const struct schema_column *m, const struct schema_column *u,
                          uint32_t i)
{
    bool texts = u->has_categories ? !u->numeric : m->has_categories && !m->numeric;
    if (m->categorical && (u->type == SCHEMA_NUMBER || u->type == SCHEMA_BOOLEAN))
        return wrong_type(c, m, i, "the model file says that it is a category");
    if ((u->type == SCHEMA_NUMBER || u->type == SCHEMA_INTEGER || u->type == SCHEMA_BOOLEAN) &&
        u->has_categories && !u->numeric)
        return wrong_type(c, m, i, "categories that are texts make it a category");
    if (u->type == SCHEMA_TEXT && !texts)
        return wrong_type(c, m, i,
                          "the model computes with numbers; list the categories in the order of their codes");
    if (u->type == SCHEMA_CATEGORY && !m->categorical && !texts && !u->has_categories)
        return wrong_type(
            c, m, i,
            "the model file says that it is a number; list its categories in the order of their "
            "codes");
    if ((u->has_min || u->has_max) && m->categorical)
        return wrong_type(c, m, i, "it is a category, which has no range");
    return 0;
}

static int check_tensor_type(struct completion *c, const struct schema_column *m,
                             const struct schema_column *u, uint32_t i)
{
    bool text = m->dtype == DTYPE_BYTES, wants_text = u->type == SCHEMA_TEXT;
    if (text && ((u->type && u->type != SCHEMA_TEXT && u->type != SCHEMA_CATEGORY) || u->has_min ||
                 u->has_max || (u->has_categories && u->numeric)))
        return wrong_type(c, m, i, "the model file says that it is a text (BYTES)");
    if (!text && (wants_text || u->type == SCHEMA_CATEGORY) && (!u->has_categories || u->numeric))
        return wrong_type(c, m, i,
                          "the model takes numbers; list the categories in the order of their codes");
    if (m->dtype == DTYPE_BOOL && (u->type == SCHEMA_NUMBER || u->type == SCHEMA_INTEGER))
        return wrong_type(c, m, i, "the model file says that it is a boolean");
    if (u->missing == SCHEMA_YES && !is_float(m->dtype)) {
        err_set(c->e, ERR_INVALID, "input '%.80s' is %s, which has no value for a missing one", m->name.p,
                dtype_name(m->dtype));
        return refuse(c, "inputs", i, ".missing", ERR_INVALID);
    }
    return 0;
}

static bool same_shape(const struct schema_column *a, const struct schema_column *b)
{
    return a->n_dims == b->n_dims && memcmp(a->shape, b->shape, a->n_dims * sizeof a->shape[0]) == 0;
}

// What is said of inputs and outputs alike.
static int check_form(struct completion *c, const char *list, uint32_t i, const struct schema_column *m,
                      const struct schema_column *u)
{
    if (u->dtype != DTYPE_NONE && u->dtype != m->dtype) {
        err_set(c->e, ERR_WRONG_TYPE, "the model file says that '%.80s' is %s, not %s", m->name.p,
                dtype_name(m->dtype), dtype_name(u->dtype));
        return refuse(c, list, i, ".datatype", ERR_WRONG_TYPE);
    }
    if ((u->has_shape && (!m->has_shape || !same_shape(m, u))) || (u->any_shape && !m->any_shape) ||
        (u->optional && !m->optional)) {
        err_set(c->e, ERR_INVALID, "the model file says another shape of '%.80s'", m->name.p);
        return refuse(c, list, i, u->optional && !m->optional ? ".optional" : ".shape", ERR_INVALID);
    }
    return 0;
}

static int take_input(struct completion *c, uint32_t at, const struct schema_column *u, uint32_t i)
{
    struct schema_column *m = &c->model->inputs[at];
    int rc = check_form(c, "inputs", i, m, u);
    if (rc == 0)
        rc = c->model->tensors ? check_tensor_type(c, m, u, i) : check_row_type(c, m, u, i);
    if (rc == 0 && u->missing == SCHEMA_YES && m->missing == SCHEMA_NO) {
        rc = err_set(c->e, ERR_INVALID, "the model has no rule for a missing value of '%.80s'", m->name.p);
        refuse(c, "inputs", i, ".missing", rc);
    }
    if (rc == 0 && u->n_labels) {
        rc = err_set(c->e, ERR_INVALID, "labels are of outputs; '%.80s' is an input", m->name.p);
        refuse(c, "inputs", i, ".labels", rc);
    }
    if (rc == 0)
        rc = take_categories(c, m, u, i);
    if (rc)
        return rc;
    // A boolean of the file stays one; a text of a matrix is a category.
    if (u->type && u->type != SCHEMA_TEXT && m->type != SCHEMA_CATEGORY)
        m->type = u->type;
    if (u->type == SCHEMA_TEXT && c->model->tensors && m->dtype == DTYPE_BYTES)
        m->type = u->type;
    m->missing = u->missing ? u->missing : m->missing;
    m->mode = u->mode;
    m->has_min = u->has_min;
    m->has_max = u->has_max;
    m->min = u->min;
    m->max = u->max;
    m->description = u->description;
    m->unit = u->unit;
    m->log = u->log;
    return 0;
}

static int take_inputs(struct completion *c, const struct schema *user)
{
    struct schema *m = c->model;
    struct map by_name;
    int rc = map_names(m->inputs, m->n_inputs, &by_name, c->e);
    bool all_known = true;
    for (uint32_t i = 0; rc == 0 && i < user->n_inputs; i++)
        all_known &= map_get(&by_name, user->inputs[i].name) != MAP_NONE;
    if (rc == 0 && !all_known && !m->named && !m->tensors) {
        map_done(&by_name);
        rc = take_names(c, user);
        if (rc == 0)
            rc = map_names(m->inputs, m->n_inputs, &by_name, c->e);
        if (rc)
            return rc;
    }
    for (uint32_t i = 0; rc == 0 && i < user->n_inputs; i++) {
        int64_t at = map_get(&by_name, user->inputs[i].name);
        if (at == MAP_NONE) {
            rc = unknown(c, m->inputs, m->n_inputs, "input", user->inputs[i].name, ERR_UNKNOWN_FEATURE);
            refuse(c, "inputs", i, ".name", rc);
        } else {
            rc = take_input(c, (uint32_t)at, &user->inputs[i], i);
        }
    }
    map_done(&by_name);
    return rc;
}

static int take_labels(struct completion *c, struct schema_column *m, const struct schema_column *u,
                       uint32_t i)
{
    if (!u->n_labels)
        return 0;
    bool same = m->n_labels == u->n_labels;
    for (uint32_t k = 0; same && k < u->n_labels; k++)
        same = str_eq(m->labels[k], u->labels[k]);
    int64_t width = m->has_shape && m->n_dims > 1 ? m->shape[m->n_dims - 1] : -1;
    if (m->n_labels ? !same : width > 0 && width != u->n_labels) {
        err_set(c->e, ERR_INVALID, "the model file says other classes of '%.80s', or another number of them",
                m->name.p);
        return refuse(c, "outputs", i, ".labels", ERR_INVALID);
    }
    m->labels = u->labels;
    m->n_labels = u->n_labels;
    return 0;
}

static int take_output(struct completion *c, const struct schema_column *u, uint32_t i)
{
    struct schema *s = c->model;
    for (uint32_t k = 0; k < s->n_outputs; k++) {
        struct schema_column *m = &s->outputs[k];
        if (!str_eq(m->name, u->name))
            continue;
        int rc = check_form(c, "outputs", i, m, u);
        if (rc)
            return rc;
        if (u->mode || u->type || u->missing || u->has_min || u->has_max || u->has_categories) {
            err_set(c->e, ERR_INVALID, "rules are for inputs; '%.80s' is an output", m->name.p);
            return refuse(c, "outputs", i, "", ERR_INVALID);
        }
        m->description = u->description;
        m->unit = u->unit;
        m->log = u->log;
        return take_labels(c, m, u, i);
    }
    int rc = unknown(c, s->outputs, s->n_outputs, "output", u->name, ERR_UNKNOWN_OUTPUT);
    return refuse(c, "outputs", i, ".name", rc);
}

int schema_complete(struct schema *model, const struct schema *user, const char *at, struct arena *a,
                    struct err *e)
{
    struct completion c = {model, at, a, e};
    int rc = take_inputs(&c, user);
    for (uint32_t i = 0; rc == 0 && i < user->n_outputs; i++)
        rc = take_output(&c, &user->outputs[i], i);
    return rc;
}

bool schema_has_rules(const struct schema *s)
{
    bool any = s->renamed;
    for (uint32_t i = 0; i < s->n_inputs; i++)
        any |= s->inputs[i].mode != SCHEMA_MODE_UNSAID;
    return any;
}
