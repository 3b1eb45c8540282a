// SPDX-License-Identifier: Apache-2.0
// Reading a signature document with yyjson. A user's is strict: what is not understood is refused by name.
#include "tensor/schema.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/near.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum member {
    NAME,
    DATATYPE,
    TYPE,
    MISSING,
    CATEGORIES,
    CODES,
    MIN,
    MAX,
    MODE,
    DESCRIPTION,
    UNIT,
    CATEGORICAL,
    SEEN,
    SHAPE,
    ANY_SHAPE,
    OPTIONAL,
    LABELS,
    LOG,
    MEMBERS
};
static const struct str NAMES[MEMBERS] = {
    STR("name"), STR("datatype"), STR("type"),      STR("missing"),     STR("categories"), STR("codes"),
    STR("min"),  STR("max"),      STR("mode"),      STR("description"), STR("unit"),       STR("categorical"),
    STR("seen"), STR("shape"),    STR("any_shape"), STR("optional"),    STR("labels"),     STR("log"),
};

struct reader {
    struct arena *a;
    bool is_users;
    const char *at;
    struct err *e;
};

// Words that others write their types in: MLflow, pandas, the Open Inference Protocol.
static const struct {
    struct str word;
    enum schema_type type;
} TYPES[] = {
    {STR("number"), SCHEMA_NUMBER},   {STR("integer"), SCHEMA_INTEGER},
    {STR("boolean"), SCHEMA_BOOLEAN}, {STR("category"), SCHEMA_CATEGORY},
    {STR("text"), SCHEMA_TEXT},       {STR("float"), SCHEMA_NUMBER},
    {STR("double"), SCHEMA_NUMBER},   {STR("float32"), SCHEMA_NUMBER},
    {STR("float64"), SCHEMA_NUMBER},  {STR("FP32"), SCHEMA_NUMBER},
    {STR("FP64"), SCHEMA_NUMBER},     {STR("int"), SCHEMA_INTEGER},
    {STR("long"), SCHEMA_INTEGER},    {STR("int32"), SCHEMA_INTEGER},
    {STR("int64"), SCHEMA_INTEGER},   {STR("INT32"), SCHEMA_INTEGER},
    {STR("INT64"), SCHEMA_INTEGER},   {STR("bool"), SCHEMA_BOOLEAN},
    {STR("BOOL"), SCHEMA_BOOLEAN},    {STR("categorical"), SCHEMA_CATEGORY},
    {STR("string"), SCHEMA_TEXT},     {STR("str"), SCHEMA_TEXT},
    {STR("object"), SCHEMA_TEXT},     {STR("BYTES"), SCHEMA_TEXT},
};
enum { N_TYPES = sizeof TYPES / sizeof TYPES[0], N_OWN_TYPES = 5, N_MODES = 3 };
static const struct str MODES[N_MODES] = {STR("strict"), STR("coerce"), STR("warn")};

// A place that is longer than a path may be is cut.
__attribute__((format(printf, 2, 3))) static void place_put(char ret[ERR_PATH_MAX], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(ret, ERR_PATH_MAX, fmt, args);
    va_end(args);
}

const char *schema_type_name(enum schema_type t)
{
    return t ? TYPES[t - 1].word.p : "";
}

const char *schema_mode_name(enum schema_mode m)
{
    return m ? MODES[m - 1].p : "";
}

static int wrong(struct reader *r, const char *place, int code, const char *expected, yyjson_val *got)
{
    char shown[64] = "";
    char *json = yyjson_val_write(got, 0, NULL);
    if (json)
        snprintf(shown, sizeof shown, ", got %.40s%s", json, strlen(json) > 40 ? "…" : "");
    free(json);
    err_set(r->e, code, "expected %s%s", expected, shown);
    err_at(r->e, "%s", place);
    return code;
}

static int no_memory(struct reader *r)
{
    return err_set(r->e, ERR_NOMEM, "no memory for the signature");
}

static int take_text(struct reader *r, const char *place, yyjson_val *v, size_t max, struct str *ret)
{
    size_t n = yyjson_get_len(v);
    if (!yyjson_is_str(v))
        return wrong(r, place, ERR_WRONG_TYPE, "a string", v);
    if (n > max) {
        err_set(r->e, ERR_TOO_LARGE, "the text has %zu bytes, at most %zu are taken", n, max);
        err_at(r->e, "%s", place);
        return ERR_TOO_LARGE;
    }
    char *copy = arena_alloc(r->a, n + 1);
    if (!copy)
        return no_memory(r);
    memcpy(copy, yyjson_get_str(v), n);
    copy[n] = '\0';
    *ret = (struct str){copy, n};
    return 0;
}

static int take_number(struct reader *r, const char *place, yyjson_val *v, double *ret)
{
    if (!yyjson_is_num(v))
        return wrong(r, place, ERR_WRONG_TYPE, "a number", v);
    *ret = yyjson_get_num(v);
    return isfinite(*ret) ? 0 : wrong(r, place, ERR_OUT_OF_RANGE, "a finite number", v);
}

static int take_bool(struct reader *r, const char *place, yyjson_val *v, bool *ret)
{
    *ret = yyjson_is_true(v);
    return yyjson_is_bool(v) ? 0 : wrong(r, place, ERR_WRONG_TYPE, "true or false", v);
}

static int take_type(struct reader *r, const char *place, yyjson_val *v, enum schema_type *ret)
{
    struct str word = {yyjson_get_str(v), yyjson_get_len(v)}, own[N_OWN_TYPES];
    for (size_t i = 0; word.p && i < N_TYPES; i++)
        if (str_eq(word, TYPES[i].word)) {
            *ret = TYPES[i].type;
            return 0;
        }
    int rc = wrong(r, place, ERR_INVALID, "number, integer, boolean, category or text", v);
    for (size_t i = 0; i < N_OWN_TYPES; i++)
        own[i] = TYPES[i].word;
    int near = word.p ? near_find(word, own, N_OWN_TYPES) : -1;
    if (near >= 0)
        err_hint(r->e, "Did you mean '%s'?", own[near].p);
    return rc;
}

static int take_mode(struct reader *r, const char *place, yyjson_val *v, enum schema_mode *ret)
{
    struct str word = {yyjson_get_str(v), yyjson_get_len(v)};
    for (size_t i = 0; word.p && i < N_MODES; i++)
        if (str_eq(word, MODES[i])) {
            *ret = (enum schema_mode)(i + 1);
            return 0;
        }
    int rc = wrong(r, place, ERR_INVALID, "strict, coerce or warn", v);
    int near = word.p ? near_find(word, MODES, N_MODES) : -1;
    if (near >= 0)
        err_hint(r->e, "Did you mean '%s'?", MODES[near].p);
    return rc;
}

static int take_category(struct reader *r, const char *place, yyjson_val *v, struct schema_column *c,
                         uint32_t i)
{
    struct str said = {0};
    bool numeric = yyjson_is_num(v);
    if (i == 0)
        c->numeric = numeric;
    if (c->numeric != numeric)
        return wrong(r, place, ERR_WRONG_TYPE, c->numeric ? "a number as the others" : "a text as the others",
                     v);
    c->codes[i] = numeric ? yyjson_get_num(v) : (double)i;
    if (numeric) {
        if (!isfinite(c->codes[i]))
            return wrong(r, place, ERR_OUT_OF_RANGE, "a finite number", v);
        char *text = yyjson_val_write(v, 0, NULL);
        char *copy = text ? arena_alloc(r->a, strlen(text) + 1) : NULL;
        if (copy)
            c->categories[i] = (struct str){memcpy(copy, text, strlen(text) + 1), strlen(text)};
        free(text);
        return copy ? 0 : no_memory(r);
    }
    if (yyjson_is_bool(v))
        said = yyjson_get_bool(v) ? STR("true") : STR("false");
    int rc = said.p ? 0 : take_text(r, place, v, LIMIT_CATEGORY_NAME_BYTES, &said);
    c->categories[i] = said;
    return rc;
}

static int take_categories(struct reader *r, const char *place, yyjson_val *list, struct schema_column *c)
{
    size_t i, n = yyjson_arr_size(list);
    yyjson_val *v;
    char where[ERR_PATH_MAX];
    if (!yyjson_is_arr(list) || n == 0)
        return wrong(r, place, ERR_WRONG_TYPE, "a list of the values that are allowed", list);
    if (n > LIMIT_CATEGORIES) {
        err_set(r->e, ERR_TOO_LARGE, "%zu categories are more than the %d that are taken", n,
                (int)LIMIT_CATEGORIES);
        err_at(r->e, "%s", place);
        return ERR_TOO_LARGE;
    }
    c->has_categories = true;
    c->n_categories = (uint32_t)n;
    c->categories = arena_calloc(r->a, n, sizeof *c->categories);
    c->codes = arena_calloc(r->a, n, sizeof *c->codes);
    if (!c->categories || !c->codes)
        return no_memory(r);
    struct map seen;
    int rc = map_init(&seen, (uint32_t)n, r->e);
    yyjson_arr_foreach(list, i, n, v)
    {
        place_put(where, "%s[%zu]", place, i);
        if (rc == 0)
            rc = take_category(r, where, v, c, (uint32_t)i);
        if (rc == 0 && (rc = map_add(&seen, c->categories[i], 0, NULL)) == ERR_DUPLICATE_KEY) {
            wrong(r, where, ERR_DUPLICATE_KEY, "each category once", v);
            break;
        }
    }
    map_done(&seen);
    return rc;
}

static int take_codes(struct reader *r, const char *place, yyjson_val *list, struct schema_column *c)
{
    size_t i, n;
    yyjson_val *v;
    if (!yyjson_is_arr(list) || !c->has_categories || c->numeric || yyjson_arr_size(list) != c->n_categories)
        return wrong(r, place, ERR_WRONG_COUNT, "a list with the code of each category", list);
    c->has_codes = true;
    yyjson_arr_foreach(list, i, n, v)
    {
        int rc = take_number(r, place, v, &c->codes[i]);
        if (rc)
            return rc;
    }
    return 0;
}

static int take_shape(struct reader *r, const char *place, yyjson_val *list, struct schema_column *c)
{
    size_t i, n;
    yyjson_val *v;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > TENSOR_DIMS_MAX)
        return wrong(r, place, ERR_WRONG_TYPE, "a list of sizes, -1 for any", list);
    c->has_shape = true;
    c->n_dims = (uint32_t)yyjson_arr_size(list);
    yyjson_arr_foreach(list, i, n, v)
    {
        if (!yyjson_is_int(v) || yyjson_get_sint(v) < -1)
            return wrong(r, place, ERR_WRONG_TYPE, "a list of sizes, -1 for any", list);
        c->shape[i] = yyjson_get_sint(v);
    }
    return 0;
}

static int take_labels(struct reader *r, const char *place, yyjson_val *list, struct schema_column *c)
{
    size_t i, n = yyjson_arr_size(list);
    yyjson_val *v;
    if (!yyjson_is_arr(list) || n == 0 || n > LIMIT_CATEGORIES)
        return wrong(r, place, ERR_WRONG_TYPE, "a list of the classes' names", list);
    c->labels = arena_calloc(r->a, n, sizeof *c->labels);
    c->n_labels = (uint32_t)n;
    if (!c->labels)
        return no_memory(r);
    yyjson_arr_foreach(list, i, n, v)
    {
        int rc = take_text(r, place, v, LIMIT_CATEGORY_NAME_BYTES, &c->labels[i]);
        if (rc)
            return rc;
    }
    return 0;
}

static int take_seen(struct reader *r, const char *place, yyjson_val *list, struct schema_column *c)
{
    int rc = take_number(r, place, yyjson_arr_get(list, 0), &c->seen_min);
    if (!rc)
        rc = take_number(r, place, yyjson_arr_get(list, 1), &c->seen_max);
    c->was_seen = !rc;
    return rc;
}

static int take_datatype(struct reader *r, const char *place, yyjson_val *v, struct schema_column *c)
{
    c->dtype = dtype_find((struct str){yyjson_get_str(v), yyjson_get_len(v)});
    return c->dtype == DTYPE_NONE ? wrong(r, place, ERR_INVALID, "a datatype such as FP32", v) : 0;
}

static int take_member(struct reader *r, enum member m, const char *place, yyjson_val *v,
                       struct schema_column *c)
{
    bool yes;
    int rc;
    switch (m) {
    case NAME:
        return take_text(r, place, v, LIMIT_TENSOR_NAME_BYTES, &c->name);
    case DATATYPE:
        return take_datatype(r, place, v, c);
    case TYPE:
        return take_type(r, place, v, &c->type);
    case MISSING:
        rc = take_bool(r, place, v, &yes);
        c->missing = yes ? SCHEMA_YES : SCHEMA_NO;
        return rc;
    case CATEGORIES:
        return take_categories(r, place, v, c);
    case CODES:
        return take_codes(r, place, v, c);
    case MIN:
        c->has_min = true;
        return take_number(r, place, v, &c->min);
    case MAX:
        c->has_max = true;
        return take_number(r, place, v, &c->max);
    case MODE:
        return take_mode(r, place, v, &c->mode);
    case DESCRIPTION:
        return take_text(r, place, v, LIMIT_DESCRIPTION_BYTES, &c->description);
    case UNIT:
        return take_text(r, place, v, LIMIT_TAG_BYTES, &c->unit);
    case CATEGORICAL:
        return take_bool(r, place, v, &c->categorical);
    case SEEN:
        return take_seen(r, place, v, c);
    case SHAPE:
        return take_shape(r, place, v, c);
    case ANY_SHAPE:
        return take_bool(r, place, v, &c->any_shape);
    case OPTIONAL:
        return take_bool(r, place, v, &c->optional);
    case LOG:
        return take_text(r, place, v, LIMIT_TAG_BYTES, &c->log);
    default:
        return take_labels(r, place, v, c);
    }
}

static int unknown(struct reader *r, const char *place, struct str key, const struct str *known, size_t n)
{
    struct str shown = {key.p, key.n < 80 ? key.n : 80};
    err_set(r->e, ERR_UNKNOWN_FIELD, "field '" STR_FMT "' is not understood", STR_ARG(shown));
    err_at(r->e, "%s." STR_FMT, place, STR_ARG(shown));
    int near = near_find(key, known, n);
    if (near >= 0)
        err_hint(r->e, "Did you mean '" STR_FMT "'?", STR_ARG(known[near]));
    return ERR_UNKNOWN_FIELD;
}

// What a column says of itself must go together.
static int check_column(struct reader *r, const char *place, const struct schema_column *c)
{
    int rc = 0;
    if (c->name.n == 0 || memchr(c->name.p, 0, c->name.n))
        rc = err_set(r->e, ERR_INVALID, "a column needs a name");
    else if (c->has_min && c->has_max && c->min > c->max)
        rc = err_set(r->e, ERR_INVALID, "column '" STR_FMT "': min %g is above max %g", STR_ARG(c->name),
                     c->min, c->max);
    else if ((c->has_min || c->has_max) && c->has_categories)
        rc = err_set(r->e, ERR_INVALID, "column '" STR_FMT "' has categories and a range: one of them",
                     STR_ARG(c->name));
    else if ((c->has_min || c->has_max) && (c->type == SCHEMA_CATEGORY || c->type == SCHEMA_TEXT))
        rc = err_set(r->e, ERR_INVALID, "column '" STR_FMT "' is of type %s, which has no range",
                     STR_ARG(c->name), schema_type_name(c->type));
    if (rc)
        err_at(r->e, "%s", place);
    return rc;
}

static int read_column(struct reader *r, const char *place, yyjson_val *object, struct schema_column *c)
{
    size_t i, n;
    yyjson_val *key, *v;
    unsigned seen = 0;
    char where[ERR_PATH_MAX];
    *c = (struct schema_column){0};
    if (!yyjson_is_obj(object))
        return wrong(r, place, ERR_WRONG_TYPE, "an object with a name", object);
    yyjson_obj_foreach(object, i, n, key, v)
    {
        struct str name = {yyjson_get_str(key), yyjson_get_len(key)};
        unsigned m = 0;
        while (m < MEMBERS && !str_eq(name, NAMES[m]))
            m++;
        if (m == MEMBERS && !r->is_users)
            continue;
        if (m == MEMBERS)
            return unknown(r, place, name, NAMES, MEMBERS);
        place_put(where, "%s." STR_FMT, place, STR_ARG(name));
        if (seen & 1u << m)
            return wrong(r, where, ERR_DUPLICATE_KEY, "each field once", v);
        seen |= 1u << m;
        if (yyjson_is_null(v) && r->is_users)
            continue; // an empty value of YAML
        int rc = take_member(r, (enum member)m, where, v, c);
        if (rc)
            return rc;
    }
    return check_column(r, place, c);
}

static int check_unique(struct reader *r, const char *what, const struct schema_column *list, uint32_t n)
{
    struct map seen;
    int rc = map_init(&seen, n, r->e);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        rc = map_add(&seen, list[i].name, i, NULL);
        if (rc == ERR_DUPLICATE_KEY) {
            err_set(r->e, rc, "two %s are named '%.80s'", what, list[i].name.p);
            err_at(r->e, "%s.%s[%u].name", r->at, what, i);
        }
    }
    map_done(&seen);
    return rc;
}

static int read_columns(struct reader *r, const char *what, yyjson_val *list, struct schema_column **ret,
                        uint32_t *ret_n)
{
    size_t i, n = yyjson_arr_size(list);
    yyjson_val *v;
    char place[ERR_PATH_MAX];
    place_put(place, "%s.%s", r->at, what);
    if (!list || (yyjson_is_null(list) && r->is_users))
        return 0;
    if (!yyjson_is_arr(list))
        return wrong(r, place, ERR_WRONG_TYPE, "a list of columns", list);
    if (n > LIMIT_MODEL_FEATURES)
        return wrong(r, place, ERR_TOO_LARGE, "fewer columns", list);
    *ret = arena_calloc(r->a, n, sizeof **ret);
    *ret_n = (uint32_t)n;
    if (!*ret)
        return no_memory(r);
    yyjson_arr_foreach(list, i, n, v)
    {
        place_put(place, "%s.%s[%zu]", r->at, what, i);
        int rc = read_column(r, place, v, &(*ret)[i]);
        if (rc)
            return rc;
    }
    return check_unique(r, what, *ret, *ret_n);
}

// Whether a user's column says anything that requests are held to.
static bool is_ruled(const struct schema_column *c)
{
    return c->type || c->missing || c->has_min || c->has_max || c->has_categories;
}

static int read_users(struct reader *r, yyjson_val *root, struct schema *s)
{
    static const struct str KNOWN[] = {STR("inputs"), STR("outputs"), STR("mode")};
    size_t i, n;
    yyjson_val *key, *v, *mode = yyjson_obj_get(root, "mode");
    enum schema_mode general = SCHEMA_MODE_UNSAID;
    char where[ERR_PATH_MAX];
    unsigned seen = 0;
    yyjson_obj_foreach(root, i, n, key, v)
    {
        struct str name = {yyjson_get_str(key), yyjson_get_len(key)};
        unsigned k = 0;
        while (k < 3 && !str_eq(name, KNOWN[k]))
            k++;
        if (k == 3)
            return unknown(r, r->at, name, KNOWN, 3);
        place_put(where, "%s." STR_FMT, r->at, STR_ARG(name));
        if (seen & 1u << k)
            return wrong(r, where, ERR_DUPLICATE_KEY, "each field once", v);
        seen |= 1u << k;
    }
    place_put(where, "%s.mode", r->at);
    int rc = mode && !yyjson_is_null(mode) ? take_mode(r, where, mode, &general) : 0;
    for (uint32_t k = 0; rc == 0 && k < s->n_inputs; k++) {
        struct schema_column *c = &s->inputs[k];
        if (!c->mode && (general || is_ruled(c)))
            c->mode = general ? general : SCHEMA_STRICT;
    }
    return rc;
}

static int read_models(struct reader *r, yyjson_val *root, struct schema *s)
{
    yyjson_val *platform = yyjson_obj_get(root, "platform"),
               *first = yyjson_arr_get_first(yyjson_obj_get(root, "inputs"));
    s->named = !yyjson_is_false(yyjson_obj_get(root, "named"));
    s->renamed = yyjson_is_true(yyjson_obj_get(root, "renamed"));
    s->max_batch_rows = yyjson_get_uint(yyjson_obj_get(root, "max_batch_rows"));
    s->tensors = yyjson_obj_get(root, "max_batch_rows") || yyjson_obj_get(first, "shape") ||
                 yyjson_obj_get(first, "any_shape");
    return platform ? take_text(r, "$.platform", platform, LIMIT_TENSOR_NAME_BYTES, &s->platform) : 0;
}

int schema_read(struct str json, bool is_users, const char *at, struct arena *a, struct schema *ret,
                struct err *e)
{
    struct reader r = {a, is_users, at, e};
    yyjson_read_err why = {0};
    *ret = (struct schema){0};
    // Without the in-situ flag yyjson does not write to its input, though its signature could.
    yyjson_doc *doc = json.n ? yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, NULL, &why) : NULL;
    if (!doc && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return no_memory(&r);
    if (!doc)
        return err_set(e, ERR_BAD_JSON, "the signature is not JSON: %s at byte %zu",
                       json.n ? why.msg : "it is empty", why.pos);
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc =
        yyjson_is_obj(root) ? 0 : wrong(&r, at, ERR_WRONG_TYPE, "an object with inputs and outputs", root);
    if (rc == 0)
        rc = read_columns(&r, "inputs", yyjson_obj_get(root, "inputs"), &ret->inputs, &ret->n_inputs);
    if (rc == 0)
        rc = read_columns(&r, "outputs", yyjson_obj_get(root, "outputs"), &ret->outputs, &ret->n_outputs);
    if (rc == 0)
        rc = is_users ? read_users(&r, root, ret) : read_models(&r, root, ret);
    yyjson_doc_free(doc);
    return rc;
}
