// SPDX-License-Identifier: Apache-2.0
// One allocation holds the document's texts, one the columns.
#include "predlog/schema.h"

#include "base/limits.h"
#include "base/siphash.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

struct owned { // what predlog_schema_read gives
    struct predlog_schema schema;
    yyjson_doc *doc; // names point into it
};

static int bad(struct err *e, const char *what)
{
    return err_set(e, ERR_INVALID, "schema of a version's log: %s", what);
}

static struct str text_of(yyjson_val *v)
{
    return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
}

static int read_columns(yyjson_val *list, struct predlog_column **ret, uint32_t *ret_n, struct err *e)
{
    size_t i, n = yyjson_arr_size(list);
    yyjson_val *one;
    if (!yyjson_is_arr(list) || n > LIMIT_MODEL_FEATURES)
        return bad(e, "inputs and outputs are lists of columns");
    struct predlog_column *columns = calloc(n + 1, sizeof *columns);
    if (!columns)
        return err_set(e, ERR_NOMEM, "out of memory");
    *ret = columns;
    *ret_n = (uint32_t)n;
    yyjson_arr_foreach(list, i, n, one)
    {
        yyjson_val *name = yyjson_obj_get(one, "name"), *rule = yyjson_obj_get(one, "log");
        columns[i].name = text_of(name);
        columns[i].dtype = dtype_find(text_of(yyjson_obj_get(one, "datatype")));
        if (!yyjson_is_str(name) || columns[i].dtype == DTYPE_NONE || (rule && !yyjson_is_str(rule)))
            return bad(e, "a column has a name, a datatype and may have a rule");
        int rc = rule ? privacy_rule_read(text_of(rule), &columns[i].rule, e) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

// A name is also a folder's (predlog/part.h).
static bool is_name(struct str s)
{
    if (s.n == 0 || s.n > LIMIT_MODEL_NAME_BYTES || !isalnum((unsigned char)s.p[0]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && !memchr("._-", s.p[i], 3))
            return false;
    return true;
}

static bool read_key(yyjson_val *v, uint64_t *ret)
{
    struct str hex = text_of(v);
    *ret = 0;
    for (size_t i = 0; i < hex.n; i++) {
        char c = hex.p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        *ret = *ret << 4 | (uint64_t)digit;
    }
    return hex.n == 16;
}

int predlog_schema_read(struct str json, struct predlog_schema **ret, struct err *e)
{
    struct owned *o = calloc(1, sizeof *o);
    if (!o || json.n > RECORD_BYTES_MAX) {
        free(o);
        return err_set(e, o ? ERR_TOO_LARGE : ERR_NOMEM, "schema of a version's log: %zu bytes", json.n);
    }
    struct predlog_schema *s = &o->schema;
    o->doc = yyjson_read(json.n ? json.p : "", json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(o->doc), *version = yyjson_obj_get(root, "version");
    int rc = root ? 0 : err_set(e, ERR_BAD_JSON, "schema of a version's log: no JSON");
    s->model = text_of(yyjson_obj_get(root, "model"));
    s->version = (uint32_t)yyjson_get_uint(version);
    s->is_table = yyjson_is_true(yyjson_obj_get(root, "table"));
    if (!rc && (!is_name(s->model) || yyjson_get_uint(version) > UINT32_MAX ||
                !read_key(yyjson_obj_get(root, "key"), &s->key)))
        rc = bad(e, "it has a model, a version and a key of 16 hex digits");
    if (!rc)
        rc = read_columns(yyjson_obj_get(root, "inputs"), &s->inputs, &s->n_inputs, e);
    if (!rc)
        rc = read_columns(yyjson_obj_get(root, "outputs"), &s->outputs, &s->n_outputs, e);
    if (rc) {
        predlog_schema_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void predlog_schema_free(struct predlog_schema *s)
{
    if (!s)
        return;
    yyjson_doc_free(((struct owned *)s)->doc);
    free(s->inputs);
    free(s->outputs);
    free(s);
}

static void write_columns(const struct predlog_column *c, uint32_t n, struct buf *json)
{
    buf_putc(json, '[');
    for (uint32_t i = 0; i < n; i++) {
        buf_puts(json, i ? ",{\"name\":" : "{\"name\":");
        buf_put_json_str(json, c[i].name);
        buf_printf(json, ",\"datatype\":\"%s\"", dtype_name(c[i].dtype));
        if (c[i].rule.what != PRIVACY_KEEP) {
            buf_puts(json, ",\"log\":\"");
            privacy_rule_write(&c[i].rule, json);
            buf_putc(json, '"');
        }
        buf_putc(json, '}');
    }
    buf_putc(json, ']');
}

static void write_body(const struct predlog_schema *s, struct buf *json)
{
    buf_puts(json, ",\"model\":");
    buf_put_json_str(json, s->model);
    buf_printf(json, ",\"version\":%u,\"table\":%s,\"inputs\":", s->version, s->is_table ? "true" : "false");
    write_columns(s->inputs, s->n_inputs, json);
    buf_puts(json, ",\"outputs\":");
    write_columns(s->outputs, s->n_outputs, json);
    buf_putc(json, '}');
}

void predlog_schema_write(const struct predlog_schema *s, struct buf *json)
{
    buf_printf(json, "{\"key\":\"%016" PRIx64 "\"", s->key);
    write_body(s, json);
}

uint64_t predlog_schema_key(const struct predlog_schema *s)
{
    struct buf body;
    buf_init(&body, RECORD_BYTES_MAX);
    write_body(s, &body);
    uint64_t key = siphash((struct siphash_key){0x536c6970, 0x77617921}, buf_str(&body));
    buf_done(&body);
    return key ? key : 1;
}

static int programs(bool is_table, const struct predlog_column *c, uint32_t n, struct str key,
                    const struct privacy **ret, struct err *e)
{
    struct privacy_rule *rules = calloc((size_t)n + 1, sizeof *rules);
    enum dtype *dtypes = calloc((size_t)n + 1, sizeof *dtypes);
    struct privacy *p = NULL;
    int rc = rules && dtypes ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    for (uint32_t i = 0; !rc && i < n; i++) {
        rules[i] = c[i].rule;
        dtypes[i] = c[i].dtype;
    }
    if (!rc)
        rc = privacy_new(is_table, rules, dtypes, n, key, &p, e);
    free(rules);
    free(dtypes);
    *ret = p;
    return rc;
}

int predlog_plan_init(struct record_plan *p, const struct predlog_schema *s, struct str key, struct err *e)
{
    *p = (struct record_plan){0};
    int rc = programs(s->is_table, s->inputs, s->n_inputs, key, &p->inputs, e);
    if (!rc)
        rc = programs(false, s->outputs, s->n_outputs, key, &p->outputs, e);
    if (rc) {
        predlog_plan_done(p);
        return rc;
    }
    p->is_plain = (s->is_table || s->n_inputs == 1) && s->n_outputs == 1 && privacy_keeps_all(p->inputs) &&
                  privacy_keeps_all(p->outputs);
    return 0;
}

// The plan made them and only lends them.
static void program_free(const struct privacy *p)
{
    privacy_free((struct privacy *)(uintptr_t)p);
}

void predlog_plan_done(struct record_plan *p)
{
    program_free(p->inputs);
    program_free(p->outputs);
    *p = (struct record_plan){0};
}
