// SPDX-License-Identifier: Apache-2.0
// Reading the bodies of admin requests with yyjson. Each object has a table of its fields: what is not in it
// is refused by name.
#include "role/controller/manifest.h"

#include "base/limits.h"
#include "base/near.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { FIELDS_MAX = 16, MANIFEST_FIELDS = 4 };

struct field {
    struct str name;
    yyjson_type type; // YYJSON_TYPE_NONE: looked at by whoever takes the value
    bool required;
};

static int wrong_type(const char *at, const char *expected, yyjson_val *got, struct err *e)
{
    err_set(e, ERR_WRONG_TYPE, "expected %s, got %s", expected, yyjson_get_type_desc(got));
    err_at(e, "%s", at);
    return ERR_WRONG_TYPE;
}

static const char *type_name(yyjson_type t)
{
    return t == YYJSON_TYPE_STR    ? "a string"
           : t == YYJSON_TYPE_NUM  ? "a whole number"
           : t == YYJSON_TYPE_BOOL ? "true or false"
           : t == YYJSON_TYPE_ARR  ? "an array"
                                   : "an object";
}

static int field_find(const struct field *fields, size_t n, struct str name, const char *at, struct err *e)
{
    struct str names[FIELDS_MAX];
    for (size_t i = 0; i < n; i++) {
        if (str_eq(fields[i].name, name))
            return (int)i;
        names[i] = fields[i].name;
    }
    struct str shown = {name.p, name.n < 80 ? name.n : 80};
    err_set(e, ERR_UNKNOWN_FIELD, "field '" STR_FMT "' is not understood", STR_ARG(shown));
    err_at(e, "%s." STR_FMT, at, STR_ARG(shown));
    int near = near_find(name, names, n);
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(names[near]));
    return ERR_UNKNOWN_FIELD;
}

// Reads an object by its table: ret[i] is the value of fields[i] or NULL.
static int object_read(yyjson_val *object, const char *at, const struct field *fields, size_t n,
                       yyjson_val **ret, struct err *e)
{
    if (!yyjson_is_obj(object))
        return wrong_type(at, "an object", object, e);
    memset(ret, 0, n * sizeof *ret);
    size_t i, max;
    yyjson_val *key, *value;
    char place[ERR_PATH_MAX];
    yyjson_obj_foreach(object, i, max, key, value)
    {
        int f = field_find(fields, n, (struct str){yyjson_get_str(key), yyjson_get_len(key)}, at, e);
        if (f < 0)
            return f;
        snprintf(place, sizeof place, "%s." STR_FMT, at, STR_ARG(fields[f].name));
        if (ret[f]) {
            err_set(e, ERR_DUPLICATE_KEY, "field '" STR_FMT "' is there twice", STR_ARG(fields[f].name));
            err_at(e, "%s", place);
            return ERR_DUPLICATE_KEY;
        }
        if (fields[f].type != YYJSON_TYPE_NONE &&
            (yyjson_get_type(value) != fields[f].type ||
             (fields[f].type == YYJSON_TYPE_NUM && !yyjson_is_uint(value))))
            return wrong_type(place, type_name(fields[f].type), value, e);
        ret[f] = value;
    }
    for (size_t f = 0; f < n; f++) {
        if (!fields[f].required || ret[f])
            continue;
        err_set(e, ERR_INVALID, "field '" STR_FMT "' is missing", STR_ARG(fields[f].name));
        err_at(e, "%s", at);
        return ERR_INVALID;
    }
    return 0;
}

static struct str text_of(yyjson_val *v)
{
    return v ? (struct str){yyjson_get_str(v), yyjson_get_len(v)} : STR("");
}

static int json_read(struct str json, yyjson_doc **ret, struct err *e)
{
    yyjson_read_err why;
    // yyjson takes a pointer to bytes it could change, and with these flags does not change.
    *ret =
        json.n ? yyjson_read_opts((char *)(uintptr_t)json.p, json.n, YYJSON_READ_NOFLAG, NULL, &why) : NULL;
    if (*ret)
        return 0;
    if (json.n == 0)
        return err_set(e, ERR_BAD_JSON, "the body is empty; a JSON object is expected");
    if (why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return err_set(e, ERR_NOMEM, "no memory for the body");
    return err_set(e, ERR_BAD_JSON, "the body is not JSON: %s at byte %zu", why.msg, why.pos);
}

static int artifact_read(yyjson_val *list, struct registry_artifact *ret, struct err *e)
{
    static const struct field FIELDS[] = {{STR("name"), YYJSON_TYPE_STR, true},
                                          {STR("digest"), YYJSON_TYPE_STR, true},
                                          {STR("size"), YYJSON_TYPE_NUM, true}};
    yyjson_val *values[3];
    if (yyjson_arr_size(list) != 1) {
        err_set(e, ERR_WRONG_COUNT, "expected one artifact, the model file, got %zu", yyjson_arr_size(list));
        err_at(e, "$.artifacts");
        return ERR_WRONG_COUNT;
    }
    int rc = object_read(yyjson_arr_get_first(list), "$.artifacts[0]", FIELDS, 3, values, e);
    if (rc)
        return rc;
    ret->name = text_of(values[0]);
    ret->size_bytes = yyjson_get_uint(values[2]);
    rc = registry_artifact_name_check(ret->name, e);
    if (rc) {
        err_at(e, "$.artifacts[0].name");
        return rc;
    }
    if (!registry_digest_parse(text_of(values[1]), &ret->digest)) {
        err_set(e, ERR_INVALID, "expected 'sha256:' and 64 lower-case hexadecimal digits");
        err_at(e, "$.artifacts[0].digest");
        return ERR_INVALID;
    }
    return 0;
}

static int tags_read(yyjson_val *tags, struct buf *out, struct err *e)
{
    size_t i, n, k, m;
    yyjson_val *key, *value, *other, *ignored;
    if (yyjson_obj_size(tags) > LIMIT_TAGS)
        return err_set(e, ERR_TOO_LARGE, "a version has at most %d tags, not %zu", LIMIT_TAGS,
                       yyjson_obj_size(tags));
    buf_putc(out, '{');
    yyjson_obj_foreach(tags, i, n, key, value)
    {
        struct str name = text_of(key);
        char place[ERR_PATH_MAX];
        snprintf(place, sizeof place, "$.tags.%.*s", (int)(name.n < 80 ? name.n : 80), name.p);
        if (!yyjson_is_str(value))
            return wrong_type(place, "a string", value, e);
        int rc = 0;
        if (name.n > LIMIT_TAG_BYTES || yyjson_get_len(value) > LIMIT_TAG_BYTES)
            rc = err_set(e, ERR_TOO_LARGE, "a tag's name and value have at most %d bytes each",
                         LIMIT_TAG_BYTES);
        yyjson_obj_foreach(tags, k, m, other, ignored)
        {
            if (k < i && str_eq(text_of(other), name))
                rc = err_set(e, ERR_DUPLICATE_KEY, "this tag is there twice");
        }
        if (rc) {
            err_at(e, "%s", place);
            return rc;
        }
        if (i)
            buf_putc(out, ',');
        buf_put_json_str(out, name);
        buf_putc(out, ':');
        buf_put_json_str(out, text_of(value));
    }
    buf_putc(out, '}');
    return out->failed ? err_set(e, ERR_NOMEM, "no memory for the tags") : 0;
}

// values: (VERSION_SETTINGS_FIELDS), NULL where a field was not given.
static int settings_read(yyjson_val **values, struct manifest *ret, struct err *e)
{
    version_settings_init(&ret->settings);
    buf_putc(&ret->settings_json, '{');
    for (unsigned i = 0; i < VERSION_SETTINGS_FIELDS; i++) {
        if (!values[i])
            continue;
        struct str name = version_settings_field(i);
        int rc = version_settings_set(&ret->settings, i, values[i], e);
        if (rc) {
            err_at(e, "$." STR_FMT, STR_ARG(name));
            return rc;
        }
        char *text = yyjson_val_write(values[i], 0, NULL);
        if (!text)
            return err_set(e, ERR_NOMEM, "no memory for the settings");
        buf_printf(&ret->settings_json, "%s\"" STR_FMT "\":%s", ret->first_setting.n ? "," : "",
                   STR_ARG(name), text);
        free(text);
        ret->first_setting = name;
    }
    buf_putc(&ret->settings_json, '}');
    return ret->settings_json.failed ? err_set(e, ERR_NOMEM, "no memory for the settings") : 0;
}

int manifest_parse(struct str json, struct manifest *ret, struct err *e)
{
    struct field fields[MANIFEST_FIELDS + VERSION_SETTINGS_FIELDS] = {
        {STR("artifacts"), YYJSON_TYPE_ARR, true},
        {STR("description"), YYJSON_TYPE_STR, false},
        {STR("tags"), YYJSON_TYPE_OBJ, false},
        {STR("promote"), YYJSON_TYPE_BOOL, false},
    };
    yyjson_val *values[MANIFEST_FIELDS + VERSION_SETTINGS_FIELDS];
    for (unsigned i = 0; i < VERSION_SETTINGS_FIELDS; i++)
        fields[MANIFEST_FIELDS + i] = (struct field){version_settings_field(i), YYJSON_TYPE_NONE, false};
    *ret = (struct manifest){0};
    buf_init(&ret->tags_json, LIMIT_MANIFEST_BYTES * 8);
    buf_init(&ret->settings_json, LIMIT_MANIFEST_BYTES);
    int rc = json_read(json, &ret->doc, e);
    if (!rc)
        rc = object_read(yyjson_doc_get_root(ret->doc), "$", fields,
                         MANIFEST_FIELDS + VERSION_SETTINGS_FIELDS, values, e);
    if (!rc)
        rc = artifact_read(values[0], &ret->artifact, e);
    if (!rc)
        rc = tags_read(values[2], &ret->tags_json, e);
    if (!rc)
        rc = settings_read(values + MANIFEST_FIELDS, ret, e);
    if (rc)
        return rc;
    ret->description = text_of(values[1]);
    ret->promote = !values[3] || yyjson_is_true(values[3]);
    if (ret->description.n <= LIMIT_DESCRIPTION_BYTES)
        return 0;
    err_set(e, ERR_TOO_LARGE, "a description has at most %d bytes", LIMIT_DESCRIPTION_BYTES);
    err_at(e, "$.description");
    return ERR_TOO_LARGE;
}

void manifest_done(struct manifest *m)
{
    yyjson_doc_free(m->doc);
    buf_done(&m->tags_json);
    buf_done(&m->settings_json);
    m->doc = NULL;
}

int alias_body_parse(struct str json, uint32_t *ret_version, struct err *e)
{
    static const struct field FIELDS[] = {{STR("version"), YYJSON_TYPE_NUM, true}};
    yyjson_val *value;
    yyjson_doc *doc;
    int rc = json_read(json, &doc, e);
    if (!rc)
        rc = object_read(yyjson_doc_get_root(doc), "$", FIELDS, 1, &value, e);
    if (!rc && (yyjson_get_uint(value) == 0 || yyjson_get_uint(value) > UINT32_MAX)) {
        rc = err_set(e, ERR_INVALID, "a version is a number from 1");
        err_at(e, "$.version");
    }
    if (!rc)
        *ret_version = (uint32_t)yyjson_get_uint(value);
    yyjson_doc_free(doc);
    return rc;
}
