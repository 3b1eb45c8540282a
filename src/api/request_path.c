// SPDX-License-Identifier: Apache-2.0
// The forms of a body that kserve_v1.c, kserve_v2.c and their brothers for tensors read, as paths.
#include "api/request_path.h"

#include "wire/json_path.h"

#include <stdio.h>

enum { STEPS_MAX = TENSOR_DIMS_MAX + 4 }; // of the deepest value: $.inputs[0].data, and dimensions

struct steps {
    const struct json_path_step *p;
    size_t n;
};

static bool is_named(const struct json_path_step *step, const char *name)
{
    return str_eq(step->name, str_of(name));
}

static bool is_index(const struct json_path_step *step)
{
    return step->name.n == 0;
}

static bool are_indexes(struct steps s)
{
    size_t i = 0;
    while (i < s.n && is_index(&s.p[i]))
        i++;
    return i == s.n;
}

static struct steps behind(struct steps s, size_t n)
{
    return (struct steps){s.p + n, s.n - n};
}

static const struct schema_column *find_input(const struct schema *s, struct str name)
{
    for (uint32_t i = 0; i < s->n_inputs; i++)
        if (str_eq(s->inputs[i].name, name))
            return &s->inputs[i];
    return NULL;
}

// A number or a text within a tensor, or within a row of it: then its first dimension is passed over.
static bool is_in_tensor(const struct schema_column *c, struct steps s, bool in_row)
{
    uint32_t dim = in_row && c->n_dims ? 1 : 0;
    if (s.n && c->dtype == DTYPE_BYTES && is_named(&s.p[s.n - 1], "b64"))
        s.n--;
    if (!are_indexes(s))
        return false;
    if (!c->has_shape || c->any_shape)
        return true;
    for (size_t i = 0; i < s.n; i++, dim++)
        if (dim >= c->n_dims || (c->shape[dim] >= 0 && s.p[i].index >= (uint64_t)c->shape[dim]))
            return false;
    // What is left may be left out where there is one of it.
    while (dim < c->n_dims && (c->shape[dim] == 1 || c->shape[dim] < 0))
        dim++;
    return dim >= c->n_dims;
}

// Behind $.instances, or $.inputs with rows: [row], then one of its values by place or by name.
static bool is_in_rows(const struct schema *s, struct steps steps)
{
    if (steps.n == 0 || !is_index(&steps.p[0]))
        return false;
    struct steps rest = behind(steps, 1);
    const struct schema_column *c = rest.n ? find_input(s, rest.p[0].name) : NULL;
    if (!s->tensors && rest.n == 0)
        return s->n_inputs == 1;
    if (!s->tensors)
        return rest.n == 1 && (c || (is_index(&rest.p[0]) && rest.p[0].index < s->n_inputs));
    if (c)
        return is_in_tensor(c, behind(rest, 1), true);
    return s->n_inputs == 1 && is_in_tensor(&s->inputs[0], rest, true);
}

// Behind $.inputs with columns, or with tensors by name.
static bool is_in_columns(const struct schema *s, struct steps steps)
{
    const struct schema_column *c = steps.n ? find_input(s, steps.p[0].name) : NULL;
    if (!c)
        return false;
    return s->tensors ? is_in_tensor(c, behind(steps, 1), false) : steps.n == 2 && is_index(&steps.p[1]);
}

static bool is_parameter(const struct json_path_step *step)
{
    return is_named(step, "binary_data_output") || is_named(step, "binary_data") ||
           is_named(step, "content_type");
}

// Behind $.inputs and $.outputs of the V2 protocol: [tensor], then one of its fields.
static bool is_in_v2(struct steps s, bool is_input)
{
    if (s.n < 2 || !is_index(&s.p[0]))
        return false;
    if (is_named(&s.p[1], "parameters"))
        return s.n == 3 && is_parameter(&s.p[2]);
    if (is_input && is_named(&s.p[1], "data"))
        return s.n > 2 && are_indexes(behind(s, 2));
    if (is_input && is_named(&s.p[1], "shape"))
        return s.n == 3 && is_index(&s.p[2]);
    return s.n == 2 && (is_named(&s.p[1], "name") || (is_input && is_named(&s.p[1], "datatype")));
}

bool request_path_is_possible(const struct schema *s, struct str path)
{
    struct json_path_step list[STEPS_MAX];
    struct steps all = {list, 0};
    struct err ignored;
    if (json_path_check(path, &ignored))
        return false;
    for (struct str rest = {path.p + 1, path.n - 1}; rest.n; all.n++)
        if (all.n == STEPS_MAX || !json_path_next(&rest, &list[all.n]))
            return false;
    struct steps within = behind(all, 1);
    if (is_named(&list[0], "id") || is_named(&list[0], "signature_name"))
        return all.n == 1;
    if (is_named(&list[0], "parameters"))
        return all.n == 2 && is_parameter(&list[1]);
    if (is_named(&list[0], "outputs"))
        return is_in_v2(within, false);
    if (is_named(&list[0], "instances"))
        return is_in_rows(s, within);
    return is_named(&list[0], "inputs") &&
           (is_in_rows(s, within) || is_in_columns(s, within) || is_in_v2(within, true));
}

void request_path_example(const struct schema *s, char *ret, size_t size)
{
    const struct schema_column *c = s->n_inputs ? &s->inputs[0] : NULL;
    size_t n = 0;
    snprintf(ret, size, "$.inputs[0].data[0]");
    if (!c || !c->name.n || c->name.n > 100)
        return;
    n = (size_t)snprintf(ret, size, "$.instances[0]." STR_FMT, STR_ARG(c->name));
    for (uint32_t dim = 1; s->tensors && c->has_shape && dim < c->n_dims && n < size; dim++)
        n += (size_t)snprintf(ret + n, size - n, "[0]");
    if (n >= size || !request_path_is_possible(s, str_of(ret))) // a name that no path can have
        snprintf(ret, size, "$.inputs[0].data[0]");
}
