// SPDX-License-Identifier: Apache-2.0
// The line of pandas categories at the end of a LightGBM text model: for each column of the training frame
// that had the type category, in their order, the list of its categories. Source: LightGBM's Python package,
// basic.py.
#include "engine/trees/categories.h"
#include "engine/trees/lightgbm_header.h"

#include "base/limits.h"
#include "base/num.h"

#include <math.h>
#include <string.h>
#include <yyjson.h>

static bool is_own_code(yyjson_val *category, size_t code)
{
    if (yyjson_is_bool(category))
        return yyjson_get_bool(category) == (code == 1) && code < 2;
    return !yyjson_is_num(category) || yyjson_get_num(category) == (double)code; // a text cannot be mistaken
}

static int pandas_columns_check(yyjson_val *columns, uint32_t line, struct err *e)
{
    size_t i, k, n, m;
    yyjson_val *column, *category;
    yyjson_arr_foreach(columns, i, n, column)
    {
        if (!yyjson_is_arr(column))
            return err_set(e, ERR_BAD_MODEL, "line %u: pandas_categorical[%zu] is not a list", line, i);
        yyjson_arr_foreach(column, k, m, category)
        {
            if (is_own_code(category, k))
                continue;
            err_set(e, ERR_UNSUPPORTED_MODEL,
                    "line %u: pandas_categorical[%zu][%zu] is a number other than its code %zu", line, i, k,
                    k);
            err_hint(e, "Train on the codes (column.cat.codes), or make the categories text.");
            return ERR_UNSUPPORTED_MODEL;
        }
    }
    return 0;
}

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the categories of the model");
}

static int name_of(yyjson_val *category, struct arena *a, struct str *ret, struct err *e)
{
    char number[NUM_TEXT_MAX];
    struct str name = {yyjson_get_str(category), yyjson_get_len(category)};
    if (yyjson_is_bool(category))
        name = yyjson_get_bool(category) ? STR("true") : STR("false");
    else if (yyjson_is_num(category))
        name = (struct str){number, num_write_i64((int64_t)yyjson_get_num(category), number)};
    char *copy = arena_alloc(a, name.n + 1);
    if (!copy)
        return no_memory(e);
    if (name.n)
        memcpy(copy, name.p, name.n);
    *ret = (struct str){copy, name.n};
    return 0;
}

static int column_give(yyjson_val *column, struct feature *f, struct arena *a, struct err *e)
{
    size_t i, n;
    yyjson_val *category;
    struct str *names = arena_calloc(a, yyjson_arr_size(column), sizeof *names);
    int rc = names ? 0 : no_memory(e);
    yyjson_arr_foreach(column, i, n, category)
    {
        if (!yyjson_is_str(category) && !yyjson_is_num(category) && !yyjson_is_bool(category))
            return 0; // a category that has no text
        if (rc == 0)
            rc = name_of(category, a, &names[i], e);
    }
    return rc ? rc : categories_give(f, names, yyjson_arr_size(column), a, e);
}

// The indexes in "[categorical_feature: 0,3]" of the training's parameters, which also has the features that
// the header says nothing of; false when there are others than n.
static bool listed_columns(struct str list, const struct signature *s, uint32_t *columns, size_t n)
{
    size_t k = 0;
    while (list.n) {
        struct str word = str_trim(str_split(&list, ','));
        uint64_t i;
        if (k == n || !str_to_u64(word, s->n_features - 1, &i) || (k && i <= columns[k - 1]))
            return false;
        columns[k++] = (uint32_t)i;
    }
    return k == n;
}

// Which features the n lists are of: the parameters say it or, without them, the header.
static bool find_columns(struct str listed, const struct signature *s, uint32_t *columns, size_t n)
{
    size_t k = 0;
    if (listed.n)
        return listed_columns(listed, s, columns, n);
    for (uint32_t i = 0; i < s->n_features; i++) {
        if (s->features[i].categorical && k < n)
            columns[k] = i;
        k += s->features[i].categorical;
    }
    return k == n;
}

static int columns_give(yyjson_val *lists, struct str listed, struct arena *a, struct signature *s,
                        struct err *e)
{
    size_t i, n = yyjson_arr_size(lists);
    yyjson_val *column;
    if (n == 0 || n > s->n_features)
        return 0;
    uint32_t *columns = arena_calloc(a, n, sizeof *columns);
    if (!columns)
        return no_memory(e);
    int rc = 0;
    if (!find_columns(listed, s, columns, n))
        return 0;
    yyjson_arr_foreach(lists, i, n, column)
    {
        if (rc == 0)
            rc = column_give(column, &s->features[columns[i]], a, e);
    }
    categories_limit(s);
    return rc;
}

int pandas_categories_read(struct lines *in, struct arena *a, struct signature *s, struct err *e)
{
    struct str line, found = {0}, listed = {0}, prefix = STR("pandas_categorical:"),
                     parameter = STR("[categorical_feature:");
    uint32_t line_no = 0;
    while (lines_next_filled(in, &line)) {
        if (str_starts(line, parameter) && str_ends(line, STR("]")))
            listed = (struct str){line.p + parameter.n, line.n - parameter.n - 1};
        if (str_starts(line, prefix)) {
            found = (struct str){line.p + prefix.n, line.n - prefix.n};
            line_no = in->n;
        }
    }
    if (!line_no)
        return 0;
    yyjson_doc *doc = yyjson_read(found.p, found.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc = 0;
    if (yyjson_is_arr(root))
        rc = pandas_columns_check(root, line_no, e);
    else if (!yyjson_is_null(root))
        rc =
            err_set(e, ERR_BAD_MODEL, "line %u: pandas_categorical is neither null nor a JSON list", line_no);
    if (!rc && yyjson_is_arr(root))
        rc = columns_give(root, listed, a, s, e);
    yyjson_doc_free(doc);
    return rc;
}
