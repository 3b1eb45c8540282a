// SPDX-License-Identifier: Apache-2.0
// slipway.json, read and written.
#include "cli/bundle.h"

#include "base/limits.h"
#include "base/near.h"
#include "cli/digest.h"
#include "cli/folder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const ROLES[] = {"model", "data", "golden", "baseline", "example"};
// Fields that are copied as they are, in the order they are written.
static const struct {
    const char *name;
    yyjson_type type;
} FIELDS[] = {
    {"description", YYJSON_TYPE_STR},  {"tags", YYJSON_TYPE_OBJ},     {"metrics", YYJSON_TYPE_OBJ},
    {"trained_from", YYJSON_TYPE_STR}, {"settings", YYJSON_TYPE_OBJ}, {"signature", YYJSON_TYPE_OBJ},
};
enum { N_FIELDS = sizeof FIELDS / sizeof FIELDS[0], N_ROLES = sizeof ROLES / sizeof ROLES[0] };

static struct str text_of(yyjson_val *v)
{
    return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
}

// ---- reading

static int bad(struct err *e, int code, size_t i, const char *field, const char *what)
{
    err_set(e, code, BUNDLE_NAME ": %s", what);
    err_at(e, "$.artifacts[%zu].%s", i, field);
    return code;
}

static const char *role_of(yyjson_val *v)
{
    for (size_t i = 0; i < N_ROLES; i++)
        if (v ? str_eq(text_of(v), str_of(ROLES[i])) : i == 0)
            return ROLES[i];
    return NULL;
}

static int read_file(yyjson_val *item, size_t i, struct bundle_file *ret, struct err *e)
{
    yyjson_val *name = yyjson_obj_get(item, "name"), *digest = yyjson_obj_get(item, "digest"),
               *size = yyjson_obj_get(item, "size"), *role = yyjson_obj_get(item, "role");
    if (!yyjson_is_str(name) || !folder_path_is_below(text_of(name)) ||
        strlen(yyjson_get_str(name)) != yyjson_get_len(name))
        return bad(e, ERR_INVALID, i, "name",
                   "expected a relative path that does not lead out of the directory");
    if (!yyjson_is_str(digest) || !digest_is_valid(yyjson_get_str(digest), yyjson_get_len(digest)))
        return bad(e, ERR_INVALID, i, "digest", "expected 'sha256:' and 64 lower-case hexadecimal digits");
    if (!yyjson_is_uint(size))
        return bad(e, ERR_WRONG_TYPE, i, "size", "expected a whole number");
    if ((role && !yyjson_is_str(role)) || !role_of(role))
        return bad(e, ERR_INVALID, i, "role", "expected one of model, data, golden, baseline, example");
    *ret = (struct bundle_file){text_of(name), role_of(role), text_of(digest), yyjson_get_uint(size)};
    return 0;
}

static int read_files(yyjson_val *list, struct bundle *b, struct err *e)
{
    size_t i, n;
    yyjson_val *item;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0)
        return err_set(e, ERR_INVALID, BUNDLE_NAME " lists no artifacts");
    if (yyjson_arr_size(list) > LIMIT_ARTIFACTS)
        return err_set(e, ERR_TOO_LARGE, BUNDLE_NAME " lists more than %d artifacts", LIMIT_ARTIFACTS);
    b->files = calloc(yyjson_arr_size(list), sizeof *b->files);
    if (!b->files)
        return err_set(e, ERR_NOMEM, "out of memory");
    yyjson_arr_foreach(list, i, n, item)
    {
        int rc = read_file(item, i, &b->files[i], e);
        if (rc)
            return rc;
        b->n_files = i + 1;
    }
    return 0;
}

static int read_field(yyjson_val *key, yyjson_val *value, struct err *e)
{
    struct str name = text_of(key);
    if (str_eq(name, STR("slipway")) || str_eq(name, STR("artifacts")))
        return 0;
    for (size_t i = 0; i < N_FIELDS; i++) {
        if (!str_eq(name, str_of(FIELDS[i].name)))
            continue;
        if (yyjson_get_type(value) == FIELDS[i].type)
            return 0;
        err_set(e, ERR_WRONG_TYPE, BUNDLE_NAME ": '%s' has another type than expected", FIELDS[i].name);
        err_at(e, "$.%s", FIELDS[i].name);
        return ERR_WRONG_TYPE;
    }
    err_set(e, ERR_UNKNOWN_FIELD, BUNDLE_NAME ": field '%.80s' is not understood", name.p);
    err_hint(e, "It may have been written by a newer Slipway.");
    return ERR_UNKNOWN_FIELD;
}

int bundle_parse(struct str json, struct bundle *ret, struct err *e)
{
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_read_err why;
    *ret = (struct bundle){0};
    ret->doc = json.n ? yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, NULL, &why) : NULL;
    yyjson_val *root = yyjson_doc_get_root(ret->doc);
    if (!ret->doc)
        return err_set(e, ERR_BAD_JSON, BUNDLE_NAME " is not JSON: %s at byte %zu",
                       json.n ? why.msg : "empty", json.n ? why.pos : 0);
    yyjson_val *format = yyjson_obj_get(root, "slipway");
    if (!yyjson_is_uint(format))
        return err_set(e, ERR_INVALID, BUNDLE_NAME " does not say its format ('slipway': a number)");
    if (yyjson_get_uint(format) != BUNDLE_FORMAT)
        return err_set(e, ERR_INVALID, BUNDLE_NAME " has format %" PRIu64 ", and this program reads %d",
                       yyjson_get_uint(format), BUNDLE_FORMAT);
    yyjson_obj_foreach(root, i, n, key, value)
    {
        int rc = read_field(key, value, e);
        if (rc)
            return rc;
    }
    return read_files(yyjson_obj_get(root, "artifacts"), ret, e);
}

void bundle_done(struct bundle *b)
{
    yyjson_doc_free(b->doc);
    free(b->files);
    *b = (struct bundle){0};
}

void bundle_fill(const struct bundle *b, struct package *p)
{
    yyjson_val *root = yyjson_doc_get_root(b->doc);
    for (size_t i = 0; i < N_FIELDS; i++) {
        yyjson_val *value = yyjson_obj_get(root, FIELDS[i].name);
        if (!value)
            continue;
        if (strcmp(FIELDS[i].name, "settings") != 0) {
            package_set_value(p, FIELDS[i].name, value);
            continue;
        }
        size_t k, n;
        yyjson_val *key, *setting;
        yyjson_obj_foreach(value, k, n, key, setting)
        {
            package_set_value(p, yyjson_get_str(key), setting);
        }
    }
}

// ---- writing

static int write_files(yyjson_val *list, struct buf *out, struct err *e)
{
    size_t i, n;
    yyjson_val *item;
    buf_puts(out, "  \"artifacts\": [");
    yyjson_arr_foreach(list, i, n, item)
    {
        struct bundle_file f;
        int rc = read_file(item, i, &f, e);
        if (rc)
            return err_wrap(e, "the server's answer");
        buf_puts(out, i ? ",\n    {\"name\": " : "\n    {\"name\": ");
        buf_put_json_str(out, f.name);
        buf_printf(out, ", \"role\": \"%s\", \"digest\": \"" STR_FMT "\", \"size\": %" PRIu64 "}", f.role,
                   STR_ARG(f.digest), f.size);
    }
    buf_puts(out, "\n  ]");
    return 0;
}

// What people may say of a column, in the order it is written; the rest stands in the model's file, and so do
// the first ones where the column has no rule.
static const char *const SAID[] = {"missing", "type",        "categories", "codes",  "min", "max",
                                   "mode",    "description", "unit",       "labels", "log"};
enum { N_SAID = sizeof SAID / sizeof SAID[0], N_RULES = 7 };

static bool is_said(yyjson_val *column, size_t k)
{
    return yyjson_obj_get(column, SAID[k]) && (k >= N_RULES || yyjson_obj_get(column, "mode"));
}

static bool column_says(yyjson_val *column)
{
    for (size_t k = 0; k < N_SAID; k++)
        if (is_said(column, k))
            return true;
    return false;
}

static void put_column(yyjson_val *column, yyjson_mut_doc *doc, yyjson_mut_val *list)
{
    yyjson_mut_val *copy = yyjson_mut_arr_add_obj(doc, list);
    yyjson_mut_obj_add_val(doc, copy, "name", yyjson_val_mut_copy(doc, yyjson_obj_get(column, "name")));
    for (size_t k = 0; k < N_SAID; k++)
        if (is_said(column, k))
            yyjson_mut_obj_add_val(doc, copy, SAID[k],
                                   yyjson_val_mut_copy(doc, yyjson_obj_get(column, SAID[k])));
}

// Whether a list of columns is written: when one says something, or all names are the user's.
static bool list_says(yyjson_val *list, bool renamed)
{
    size_t i, n;
    yyjson_val *column;
    yyjson_arr_foreach(list, i, n, column)
    {
        if (renamed || column_says(column))
            return true;
    }
    return false;
}

// The completion of the signature that gives the same one again; NULL when there is nothing beyond the file.
static char *completion_of(yyjson_val *signature)
{
    static const char *const LISTS[] = {"inputs", "outputs"};
    bool renamed = yyjson_is_true(yyjson_obj_get(signature, "renamed")), says = false;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    if (!doc)
        return NULL;
    yyjson_mut_doc_set_root(doc, root);
    for (size_t k = 0; k < 2; k++) {
        size_t i, n;
        yyjson_val *column, *from = yyjson_obj_get(signature, LISTS[k]);
        if (!list_says(from, renamed && k == 0))
            continue;
        says = true;
        yyjson_mut_val *list = yyjson_mut_arr(doc);
        yyjson_mut_obj_add_val(doc, root, LISTS[k], list);
        yyjson_arr_foreach(from, i, n, column)
        {
            put_column(column, doc, list);
        }
    }
    char *text = says ? yyjson_mut_write(doc, 0, NULL) : NULL;
    yyjson_mut_doc_free(doc);
    return text;
}

static bool says_something(yyjson_val *value)
{
    return value && !yyjson_equals_str(value, "") && !(yyjson_is_obj(value) && yyjson_obj_size(value) == 0);
}

int bundle_write(yyjson_val *version, struct buf *out, struct err *e)
{
    yyjson_val *files = yyjson_obj_get(version, "artifacts");
    if (!yyjson_is_arr(files) || yyjson_arr_size(files) == 0)
        return err_set(e, ERR_INVALID, "the server's answer lists no artifacts");
    buf_printf(out, "{\n  \"slipway\": %d,\n", BUNDLE_FORMAT);
    int rc = write_files(files, out, e);
    for (size_t i = 0; rc == 0 && i < N_FIELDS; i++) {
        yyjson_val *value = yyjson_obj_get(version, FIELDS[i].name);
        if (!says_something(value))
            continue;
        char *text =
            strcmp(FIELDS[i].name, "signature") ? yyjson_val_write(value, 0, NULL) : completion_of(value);
        if (text)
            buf_printf(out, ",\n  \"%s\": %s", FIELDS[i].name, text);
        else if (strcmp(FIELDS[i].name, "signature"))
            rc = err_set(e, ERR_NOMEM, "out of memory");
        free(text);
    }
    buf_puts(out, "\n}\n");
    return rc || !out->failed ? rc : err_set(e, ERR_NOMEM, "out of memory");
}
