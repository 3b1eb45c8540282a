// SPDX-License-Identifier: Apache-2.0
// Reading the bodies of admin requests with yyjson. Each object has a table of its fields: what is not in it
// is refused by name.
#include "role/controller/manifest.h"

#include "role/controller/baseline_job.h"

#include "base/limits.h"
#include "base/near.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { FIELDS_MAX = 32, PLACE_MAX = 64 };

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

static int artifact_read(yyjson_val *object, const char *at, struct registry_artifact *ret, struct err *e)
{
    static const struct field FIELDS[] = {{STR("name"), YYJSON_TYPE_STR, true},
                                          {STR("digest"), YYJSON_TYPE_STR, true},
                                          {STR("size"), YYJSON_TYPE_NUM, true},
                                          {STR("role"), YYJSON_TYPE_STR, false}};
    yyjson_val *values[4];
    int rc = object_read(object, at, FIELDS, 4, values, e);
    if (rc)
        return rc;
    *ret = (struct registry_artifact){.name = text_of(values[0]), .size_bytes = yyjson_get_uint(values[2])};
    rc = registry_artifact_name_check(ret->name, e);
    if (rc) {
        err_at(e, "%s.name", at);
        return rc;
    }
    if (!registry_digest_parse(text_of(values[1]), &ret->digest)) {
        err_set(e, ERR_INVALID, "expected 'sha256:' and 64 lower-case hexadecimal digits");
        err_at(e, "%s.digest", at);
        return ERR_INVALID;
    }
    if (values[3] && !registry_role_parse(text_of(values[3]), &ret->role)) {
        err_set(e, ERR_INVALID, "expected one of model, data, golden, baseline, example");
        err_at(e, "%s.role", at);
        return ERR_INVALID;
    }
    return 0;
}

// Whether artifact i goes with those before it: a name of its own, and of most roles only one.
static int artifact_fits(const struct registry_artifact *list, size_t i, const char *at, struct err *e)
{
    for (size_t k = 0; k < i; k++) {
        if (str_eq(list[k].name, list[i].name)) {
            err_set(e, ERR_DUPLICATE_KEY, "two artifacts have the name '" STR_FMT "'", STR_ARG(list[i].name));
            err_at(e, "%s.name", at);
            return ERR_DUPLICATE_KEY;
        }
        if (list[k].role != list[i].role || list[i].role == REGISTRY_ROLE_DATA)
            continue;
        err_set(e, ERR_WRONG_COUNT, "a version has one artifact of role %s, not several",
                registry_role_name(list[i].role));
        err_hint(e, "Files with weights of the model have the role data.");
        err_at(e, "%s.role", at);
        return ERR_WRONG_COUNT;
    }
    return 0;
}

// A training file is kept as its profile, under another name: that one must be free, too. Told now, before
// anything is computed.
static int profile_fits(const struct manifest *m, struct err *e)
{
    char profile[LIMIT_ARTIFACT_NAME_BYTES + 1];
    struct str name = {0};
    for (size_t i = 0; i < m->n_artifacts; i++)
        if (m->artifacts[i].role == REGISTRY_ROLE_BASELINE)
            name = baseline_profile_name(m->artifacts[i].name, profile);
    for (size_t i = 0; i < m->n_artifacts; i++) {
        if (m->artifacts[i].role == REGISTRY_ROLE_BASELINE || !str_eq(m->artifacts[i].name, name))
            continue;
        err_set(e, ERR_DUPLICATE_KEY,
                "the baseline is kept as '" STR_FMT "', which is another artifact's name", STR_ARG(name));
        err_at(e, "$.artifacts[%zu].name", i);
        return ERR_DUPLICATE_KEY;
    }
    return 0;
}

static int artifacts_read(yyjson_val *list, struct manifest *ret, struct err *e)
{
    size_t i, n, count = yyjson_arr_size(list);
    yyjson_val *object;
    char at[PLACE_MAX];
    if (count > LIMIT_ARTIFACTS) {
        err_set(e, ERR_TOO_LARGE, "a version has at most %d artifacts, not %zu", LIMIT_ARTIFACTS, count);
        err_at(e, "$.artifacts");
        return ERR_TOO_LARGE;
    }
    ret->artifacts = calloc(count ? count : 1, sizeof *ret->artifacts);
    if (!ret->artifacts)
        return err_set(e, ERR_NOMEM, "no memory for the artifacts");
    ret->n_artifacts = count;
    yyjson_arr_foreach(list, i, n, object)
    {
        snprintf(at, sizeof at, "$.artifacts[%zu]", i);
        int rc = artifact_read(object, at, &ret->artifacts[i], e);
        if (!rc)
            rc = artifact_fits(ret->artifacts, i, at, e);
        if (rc)
            return rc;
        if (ret->artifacts[i].role == REGISTRY_ROLE_MODEL)
            ret->model = &ret->artifacts[i];
    }
    if (ret->model)
        return profile_fits(ret, e);
    err_set(e, ERR_WRONG_COUNT, "one artifact must be the model file; none of %zu has the role model", count);
    err_at(e, "$.artifacts");
    return ERR_WRONG_COUNT;
}

// The name of a tag or number, as part of a path.
static void place_of(const char *object, struct str name, char ret[ERR_PATH_MAX])
{
    snprintf(ret, ERR_PATH_MAX, "$.%s.%.*s", object, (int)(name.n < 80 ? name.n : 80), name.p);
}

static bool is_repeated(yyjson_val *object, size_t i, struct str name)
{
    size_t k, m;
    yyjson_val *other, *ignored;
    yyjson_obj_foreach(object, k, m, other, ignored)
    {
        if (k < i && str_eq(text_of(other), name))
            return true;
    }
    return false;
}

static int put_none(struct buf *out, struct err *e)
{
    buf_puts(out, "{}");
    return out->failed ? err_set(e, ERR_NOMEM, "no memory for a manifest") : 0;
}

static int tags_read(yyjson_val *tags, struct buf *out, struct err *e)
{
    size_t i, n;
    yyjson_val *key, *value;
    if (!tags)
        return put_none(out, e);
    if (yyjson_obj_size(tags) > LIMIT_TAGS)
        return err_set(e, ERR_TOO_LARGE, "a version has at most %d tags, not %zu", LIMIT_TAGS,
                       yyjson_obj_size(tags));
    buf_putc(out, '{');
    yyjson_obj_foreach(tags, i, n, key, value)
    {
        struct str name = text_of(key);
        char place[ERR_PATH_MAX];
        place_of("tags", name, place);
        if (!yyjson_is_str(value))
            return wrong_type(place, "a string", value, e);
        int rc = 0;
        if (name.n > LIMIT_TAG_BYTES || yyjson_get_len(value) > LIMIT_TAG_BYTES)
            rc = err_set(e, ERR_TOO_LARGE, "a tag's name and value have at most %d bytes each",
                         LIMIT_TAG_BYTES);
        else if (is_repeated(tags, i, name))
            rc = err_set(e, ERR_DUPLICATE_KEY, "this tag is there twice");
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

static int metric_read(yyjson_val *metrics, size_t i, struct str name, yyjson_val *value, struct buf *out,
                       struct err *e)
{
    char place[ERR_PATH_MAX];
    place_of("metrics", name, place);
    if (!yyjson_is_num(value))
        return wrong_type(place, "a number", value, e);
    int rc = 0;
    if (name.n > LIMIT_TAG_BYTES)
        rc = err_set(e, ERR_TOO_LARGE, "a metric's name has at most %d bytes", LIMIT_TAG_BYTES);
    else if (is_repeated(metrics, i, name))
        rc = err_set(e, ERR_DUPLICATE_KEY, "this metric is there twice");
    if (rc) {
        err_at(e, "%s", place);
        return rc;
    }
    char *text = yyjson_val_write(value, 0, NULL);
    if (!text)
        return err_set(e, ERR_NOMEM, "no memory for the metrics");
    buf_puts(out, i ? "," : "");
    buf_put_json_str(out, name);
    buf_printf(out, ":%s", text);
    free(text);
    return 0;
}

static int metrics_read(yyjson_val *metrics, struct buf *out, struct err *e)
{
    size_t i, n;
    yyjson_val *key, *value;
    if (!metrics)
        return put_none(out, e);
    if (yyjson_obj_size(metrics) > LIMIT_METRICS) {
        err_set(e, ERR_TOO_LARGE, "a version has at most %d metrics, not %zu", LIMIT_METRICS,
                yyjson_obj_size(metrics));
        err_at(e, "$.metrics");
        return ERR_TOO_LARGE;
    }
    buf_putc(out, '{');
    yyjson_obj_foreach(metrics, i, n, key, value)
    {
        int rc = metric_read(metrics, i, text_of(key), value, out, e);
        if (rc)
            return rc;
    }
    buf_putc(out, '}');
    return out->failed ? err_set(e, ERR_NOMEM, "no memory for the metrics") : 0;
}

static int check_length(struct str text, size_t most, const char *field, struct err *e)
{
    if (text.n <= most)
        return 0;
    err_set(e, ERR_TOO_LARGE, "field '%s' has at most %zu bytes", field, most);
    err_at(e, "$.%s", field);
    return ERR_TOO_LARGE;
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
        buf_printf(&ret->settings_json, "%s\"" STR_FMT "\":%s", ret->settings_json.n > 1 ? "," : "",
                   STR_ARG(name), text);
        free(text);
        if (version_settings_is_of_replicas(i))
            ret->replica_setting = name;
    }
    buf_putc(&ret->settings_json, '}');
    return ret->settings_json.failed ? err_set(e, ERR_NOMEM, "no memory for the settings") : 0;
}

// As it stands: whoever knows the model reads it (tensor/schema.h).
static int signature_copy(yyjson_val *signature, struct buf *out, struct err *e)
{
    size_t n;
    char *text = signature ? yyjson_val_write(signature, 0, &n) : NULL;
    if (text)
        buf_put(out, text, n);
    free(text);
    return signature && (!text || out->failed) ? err_set(e, ERR_NOMEM, "no memory for the signature") : 0;
}

enum manifest_field {
    FIELD_ARTIFACTS,
    FIELD_DESCRIPTION,
    FIELD_TAGS,
    FIELD_PROMOTE,
    FIELD_METRICS,
    FIELD_TRAINED_FROM,
    FIELD_SIGNATURE,
    FIELD_ALLOW_BREAKING,
    FIELD_REASON,
    MANIFEST_FIELDS
};

static int manifest_read(yyjson_val **values, struct manifest *ret, struct err *e)
{
    int rc = artifacts_read(values[FIELD_ARTIFACTS], ret, e);
    if (!rc)
        rc = tags_read(values[FIELD_TAGS], &ret->tags_json, e);
    if (!rc)
        rc = metrics_read(values[FIELD_METRICS], &ret->metrics_json, e);
    if (!rc)
        rc = settings_read(values + MANIFEST_FIELDS, ret, e);
    ret->description = text_of(values[FIELD_DESCRIPTION]);
    ret->trained_from = text_of(values[FIELD_TRAINED_FROM]);
    ret->allow_breaking = yyjson_is_true(values[FIELD_ALLOW_BREAKING]);
    if (!rc)
        rc = signature_copy(values[FIELD_SIGNATURE], &ret->signature_json, e);
    ret->reason = text_of(values[FIELD_REASON]);
    ret->promote = !values[FIELD_PROMOTE] || yyjson_is_true(values[FIELD_PROMOTE]);
    if (!rc)
        rc = check_length(ret->description, LIMIT_DESCRIPTION_BYTES, "description", e);
    if (!rc)
        rc = check_length(ret->trained_from, LIMIT_TRAINED_FROM_BYTES, "trained_from", e);
    if (!rc)
        rc = check_length(ret->reason, LIMIT_REASON_BYTES, "reason", e);
    return rc;
}

int manifest_parse(struct str json, struct manifest *ret, struct err *e)
{
    struct field fields[MANIFEST_FIELDS + VERSION_SETTINGS_FIELDS] = {
        [FIELD_ARTIFACTS] = {STR("artifacts"), YYJSON_TYPE_ARR, true},
        [FIELD_DESCRIPTION] = {STR("description"), YYJSON_TYPE_STR, false},
        [FIELD_TAGS] = {STR("tags"), YYJSON_TYPE_OBJ, false},
        [FIELD_PROMOTE] = {STR("promote"), YYJSON_TYPE_BOOL, false},
        [FIELD_METRICS] = {STR("metrics"), YYJSON_TYPE_OBJ, false},
        [FIELD_TRAINED_FROM] = {STR("trained_from"), YYJSON_TYPE_STR, false},
        [FIELD_SIGNATURE] = {STR("signature"), YYJSON_TYPE_OBJ, false},
        [FIELD_ALLOW_BREAKING] = {STR("allow_breaking"), YYJSON_TYPE_BOOL, false},
        [FIELD_REASON] = {STR("reason"), YYJSON_TYPE_STR, false},
    };
    _Static_assert(MANIFEST_FIELDS + VERSION_SETTINGS_FIELDS <= FIELDS_MAX, "near names fit");
    yyjson_val *values[MANIFEST_FIELDS + VERSION_SETTINGS_FIELDS];
    for (unsigned i = 0; i < VERSION_SETTINGS_FIELDS; i++)
        fields[MANIFEST_FIELDS + i] = (struct field){version_settings_field(i), YYJSON_TYPE_NONE, false};
    *ret = (struct manifest){0};
    buf_init(&ret->tags_json, LIMIT_MANIFEST_BYTES * 8);
    buf_init(&ret->metrics_json, LIMIT_MANIFEST_BYTES * 8);
    buf_init(&ret->settings_json, LIMIT_MANIFEST_BYTES);
    buf_init(&ret->signature_json, LIMIT_MANIFEST_BYTES * 8);
    int rc = json_read(json, &ret->doc, e);
    if (!rc)
        rc = object_read(yyjson_doc_get_root(ret->doc), "$", fields,
                         MANIFEST_FIELDS + VERSION_SETTINGS_FIELDS, values, e);
    return rc ? rc : manifest_read(values, ret, e);
}

void manifest_done(struct manifest *m)
{
    yyjson_doc_free(m->doc);
    free(m->artifacts);
    buf_done(&m->tags_json);
    buf_done(&m->metrics_json);
    buf_done(&m->settings_json);
    buf_done(&m->signature_json);
    m->doc = NULL;
    m->artifacts = NULL;
    m->model = NULL;
}

// Copies a text; too long is an error.
static int text_read(yyjson_val *v, const char *field, char *ret, size_t size, struct err *e)
{
    struct str text = text_of(v);
    int rc = check_length(text, size - 1, field, e);
    if (!rc)
        memcpy(ret, text.n ? text.p : "", text.n);
    ret[rc ? 0 : text.n] = '\0';
    return rc;
}

// A version's number; absent is 0.
static int number_read(yyjson_val *v, const char *field, uint32_t *ret, struct err *e)
{
    *ret = v && yyjson_get_uint(v) <= UINT32_MAX ? (uint32_t)yyjson_get_uint(v) : 0;
    if (!v || *ret)
        return 0;
    err_set(e, ERR_INVALID, "a version is a number from 1");
    err_at(e, "$.%s", field);
    return ERR_INVALID;
}

int alias_body_parse(struct str json, struct alias_body *ret, struct err *e)
{
    static const struct field FIELDS[] = {{STR("version"), YYJSON_TYPE_NUM, true},
                                          {STR("reason"), YYJSON_TYPE_STR, false},
                                          {STR("allow_breaking"), YYJSON_TYPE_BOOL, false}};
    yyjson_val *values[3] = {0};
    yyjson_doc *doc;
    int rc = json_read(json, &doc, e);
    if (!rc)
        rc = object_read(yyjson_doc_get_root(doc), "$", FIELDS, 3, values, e);
    if (!rc)
        rc = number_read(values[0], "version", &ret->version, e);
    ret->allow_breaking = yyjson_is_true(values[2]);
    if (!rc)
        rc = text_read(values[1], "reason", ret->reason, sizeof ret->reason, e);
    yyjson_doc_free(doc);
    return rc;
}

int rollback_body_parse(struct str json, struct rollback_body *ret, struct err *e)
{
    static const struct field FIELDS[] = {{STR("alias"), YYJSON_TYPE_STR, false},
                                          {STR("to"), YYJSON_TYPE_NUM, false},
                                          {STR("reason"), YYJSON_TYPE_STR, false}};
    yyjson_val *values[3] = {0};
    yyjson_doc *doc;
    *ret = (struct rollback_body){.alias = "champion"};
    if (json.n == 0)
        return 0;
    int rc = json_read(json, &doc, e);
    if (!rc)
        rc = object_read(yyjson_doc_get_root(doc), "$", FIELDS, 3, values, e);
    if (!rc && values[0])
        rc = registry_alias_check(text_of(values[0]), e);
    if (!rc && values[0])
        rc = text_read(values[0], "alias", ret->alias, sizeof ret->alias, e);
    if (!rc)
        rc = number_read(values[1], "to", &ret->to, e);
    if (!rc)
        rc = text_read(values[2], "reason", ret->reason, sizeof ret->reason, e);
    yyjson_doc_free(doc);
    return rc;
}
