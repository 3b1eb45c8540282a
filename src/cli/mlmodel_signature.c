// SPDX-License-Identifier: Apache-2.0
// The signature that MLflow keeps in MLmodel as JSON, and what it says in our words.
#include "cli/mlmodel.h"

#include "base/limits.h"

#include <string.h>
#include <yyjson.h>

static struct str keep(struct arena *a, yyjson_val *v, bool *ok)
{
    size_t n = yyjson_get_len(v);
    char *p = n ? arena_alloc(a, n) : NULL;
    if (n && !p)
        *ok = false;
    else if (n)
        memcpy(p, yyjson_get_str(v), n);
    return p ? (struct str){p, n} : STR("");
}

static int read_columns(yyjson_val *list, struct arena *a, struct mlmodel_column **ret, size_t *ret_n,
                        struct err *e)
{
    size_t i, n;
    yyjson_val *item;
    bool ok = true;
    if (!yyjson_is_arr(list))
        return err_set(e, ERR_WRONG_TYPE, "the signature in MLmodel is not a list of columns");
    if (yyjson_arr_size(list) > LIMIT_MODEL_FEATURES)
        return err_set(e, ERR_TOO_LARGE, "the signature in MLmodel has more than %d columns",
                       LIMIT_MODEL_FEATURES);
    *ret = arena_calloc(a, yyjson_arr_size(list), sizeof **ret);
    yyjson_arr_foreach(list, i, n, item)
    {
        yyjson_val *type = yyjson_obj_get(item, "type"), *name = yyjson_obj_get(item, "name");
        if (!yyjson_is_str(type))
            return err_set(e, ERR_WRONG_TYPE, "column %zu of the signature in MLmodel has no type", i + 1);
        if (!*ret)
            break;
        (*ret)[i] = (struct mlmodel_column){
            .name = yyjson_is_str(name) ? keep(a, name, &ok) : STR(""),
            .type = keep(a, type, &ok),
            .required = !yyjson_is_false(yyjson_obj_get(item, "required")) &&
                        !yyjson_is_true(yyjson_obj_get(item, "optional")),
        };
        *ret_n = i + 1;
    }
    return ok && *ret ? 0 : err_set(e, ERR_NOMEM, "out of memory for the signature in MLmodel");
}

int mlmodel_columns(struct str json, struct arena *a, struct mlmodel_column **ret, size_t *ret_n,
                    struct err *e)
{
    *ret = NULL;
    *ret_n = 0;
    yyjson_doc *doc = json.n ? yyjson_read(json.p, json.n, 0) : NULL;
    int rc = doc ? read_columns(yyjson_doc_get_root(doc), a, ret, ret_n, e)
                 : err_set(e, ERR_BAD_JSON, "the signature in MLmodel is not JSON");
    yyjson_doc_free(doc);
    return rc;
}

// Of text nothing is said: the model's file knows the categories, if it takes any.
static const char *type_of(struct str type)
{
    if (str_eq(type, STR("integer")) || str_eq(type, STR("long")))
        return "integer";
    if (str_eq(type, STR("float")) || str_eq(type, STR("double")))
        return "number";
    return str_eq(type, STR("boolean")) ? "boolean" : NULL;
}

static void put_name(struct str name, bool underscores, struct buf *out)
{
    struct buf text;
    buf_init(&text, name.n + 1);
    for (size_t i = 0; i < name.n; i++)
        buf_putc(&text, underscores && name.p[i] == ' ' ? '_' : name.p[i]);
    buf_put_json_str(out, buf_str(&text));
    out->failed |= text.failed;
    buf_done(&text);
}

bool mlmodel_put_signature(const struct mlmodel_column *columns, size_t n, bool underscores, struct buf *out)
{
    for (size_t i = 0; i < n; i++)
        if (columns[i].name.n == 0 || str_eq(columns[i].type, STR("tensor")))
            return false;
    if (n == 0)
        return false;
    buf_puts(out, "{\"inputs\":[");
    for (size_t i = 0; i < n; i++) {
        const char *type = type_of(columns[i].type);
        buf_puts(out, i ? ",{\"name\":" : "{\"name\":");
        put_name(columns[i].name, underscores, out);
        if (type)
            buf_printf(out, ",\"type\":\"%s\"", type);
        buf_putc(out, '}');
    }
    buf_puts(out, "]}");
    return true;
}
