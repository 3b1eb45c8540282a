// SPDX-License-Identifier: Apache-2.0
// libyaml's events, written as JSON while they come.
#include "cli/yaml_json.h"

#include "base/num.h"

#include <math.h>
#include <string.h>
#include <yaml.h>
#include <yyjson.h>

enum { DEPTH_MAX = 16 };

struct writer {
    const char *name;
    struct buf *json;
    bool is_list[DEPTH_MAX]; // else a mapping
    uint32_t n_items[DEPTH_MAX];
    uint32_t depth;
    bool had_value;
    struct err *e;
};

static int wrong(struct writer *w, const yaml_event_t *ev, const char *what)
{
    return err_set(w->e, ERR_INVALID, "%s:%d: %s", w->name, (int)ev->start_mark.line + 1, what);
}

// The word as it stands when JSON has it too.
static bool is_json_word(struct str s)
{
    double v;
    size_t used;
    return str_eq(s, STR("true")) || str_eq(s, STR("false")) ||
           (num_parse_double(s.p, s.n, &v, &used) && used == s.n && isfinite(v));
}

static void put_scalar(struct writer *w, const yaml_event_t *ev, bool is_key)
{
    struct str s = {(const char *)ev->data.scalar.value, ev->data.scalar.length};
    bool is_plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (is_key || !is_plain)
        buf_put_json_str(w->json, s);
    else if (s.n == 0 || str_eq(s, STR("~")) || str_eq(s, STR("null")))
        buf_puts(w->json, "null");
    else if (is_json_word(s))
        buf_put_str(w->json, s);
    else
        buf_put_json_str(w->json, s);
}

// A comma or a colon before what comes next; *ret_is_key: it is the key of a mapping.
static int put_separator(struct writer *w, const yaml_event_t *ev, bool *ret_is_key)
{
    *ret_is_key = false;
    if (w->depth == 0) {
        if (w->had_value)
            return wrong(w, ev, "there is more than one document");
        w->had_value = true;
        return 0;
    }
    uint32_t i = w->n_items[w->depth - 1]++;
    bool is_list = w->is_list[w->depth - 1];
    *ret_is_key = !is_list && i % 2 == 0;
    if (!is_list && i % 2 == 1)
        buf_putc(w->json, ':');
    else if (i > 0)
        buf_putc(w->json, ',');
    return *ret_is_key && ev->type != YAML_SCALAR_EVENT ? wrong(w, ev, "a key is a word") : 0;
}

static int put_begin(struct writer *w, const yaml_event_t *ev, bool is_list)
{
    if (w->depth == DEPTH_MAX)
        return err_set(w->e, ERR_TOO_DEEP, "%s:%d: nested deeper than %d", w->name,
                       (int)ev->start_mark.line + 1, DEPTH_MAX);
    w->is_list[w->depth] = is_list;
    w->n_items[w->depth++] = 0;
    buf_putc(w->json, is_list ? '[' : '{');
    return 0;
}

static int put_event(struct writer *w, const yaml_event_t *ev)
{
    bool is_key;
    int rc;
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        if (ev->data.scalar.anchor || ev->data.scalar.tag)
            return wrong(w, ev, "anchors and tags are not taken");
        rc = put_separator(w, ev, &is_key);
        if (rc == 0)
            put_scalar(w, ev, is_key);
        return rc;
    case YAML_SEQUENCE_START_EVENT:
        if (ev->data.sequence_start.anchor || ev->data.sequence_start.tag)
            return wrong(w, ev, "anchors and tags are not taken");
        rc = put_separator(w, ev, &is_key);
        return rc ? rc : put_begin(w, ev, true);
    case YAML_MAPPING_START_EVENT:
        if (ev->data.mapping_start.anchor || ev->data.mapping_start.tag)
            return wrong(w, ev, "anchors and tags are not taken");
        rc = put_separator(w, ev, &is_key);
        return rc ? rc : put_begin(w, ev, false);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        w->depth--;
        buf_putc(w->json, ev->type == YAML_SEQUENCE_END_EVENT ? ']' : '}');
        return 0;
    case YAML_ALIAS_EVENT:
        return wrong(w, ev, "aliases are not taken");
    default:
        return 0;
    }
}

static int put_document(struct writer *w, yaml_parser_t *p)
{
    for (bool done = false; !done;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(p, &ev)) {
            if (p->error == YAML_MEMORY_ERROR)
                return err_set(w->e, ERR_NOMEM, "%s: out of memory", w->name);
            return err_set(w->e, ERR_INVALID, "%s:%d: not valid YAML: %s", w->name,
                           (int)p->problem_mark.line + 1, p->problem ? p->problem : "unreadable character");
        }
        int rc = put_event(w, &ev);
        done = ev.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&ev);
        if (rc)
            return rc;
    }
    if (w->json->failed)
        return err_set(w->e, ERR_TOO_LARGE, "%s is larger than %zu bytes", w->name, w->json->max);
    return w->had_value ? 0 : err_set(w->e, ERR_INVALID, "%s says nothing", w->name);
}

int yaml_to_json(struct str text, const char *name, struct buf *json, struct err *e)
{
    struct writer w = {.name = name, .json = json, .e = e};
    yaml_parser_t p;
    yyjson_doc *doc = text.n ? yyjson_read(text.p, text.n, 0) : NULL;
    if (doc) {
        buf_put_str(json, text);
        yyjson_doc_free(doc);
        return json->failed ? err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", name, json->max) : 0;
    }
    if (!yaml_parser_initialize(&p))
        return err_set(e, ERR_NOMEM, "%s: out of memory", name);
    yaml_parser_set_input_string(&p, (const unsigned char *)(text.p ? text.p : ""), text.n);
    int rc = put_document(&w, &p);
    yaml_parser_delete(&p);
    return rc;
}
