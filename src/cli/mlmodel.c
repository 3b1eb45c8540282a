// SPDX-License-Identifier: Apache-2.0
// The file MLmodel: a walk over YAML's events that keeps the keys above the present one and takes the few
// values it knows.
#include "cli/mlmodel.h"

#include "base/limits.h"

#include <string.h>
#include <yaml.h>

enum { DEPTH_MAX = 32, KNOWN_MAX = 3 };

// One open mapping or sequence.
struct level {
    bool is_mapping, has_key;
    struct str key; // in the arena; "" in sequences
};

struct walk {
    struct arena *a;
    struct mlmodel *m;
    struct level levels[DEPTH_MAX];
    size_t depth;
};

static struct str keep(struct arena *a, const yaml_event_t *ev, struct err *e, int *rc)
{
    size_t n = ev->data.scalar.length;
    char *p = arena_alloc(a, n + 1);
    if (!p) {
        *rc = err_set(e, ERR_NOMEM, "out of memory for MLmodel");
        return STR("");
    }
    memcpy(p, ev->data.scalar.value, n);
    p[n] = '\0';
    return (struct str){p, n};
}

static int line_of(const yaml_event_t *ev)
{
    return (int)ev->start_mark.line + 1;
}

static struct mlmodel_flavor *flavor(struct walk *w, struct str name, struct err *e)
{
    for (size_t i = 0; i < w->m->n_flavors; i++)
        if (str_eq(w->m->flavors[i].name, name))
            return &w->m->flavors[i];
    if (w->m->n_flavors == MLMODEL_FLAVORS_MAX) {
        err_set(e, ERR_TOO_LARGE, "MLmodel has more than %d flavors", MLMODEL_FLAVORS_MAX);
        return NULL;
    }
    struct mlmodel_flavor *f = &w->m->flavors[w->m->n_flavors++];
    *f = (struct mlmodel_flavor){.name = name};
    return f;
}

// Where the value of this path belongs; NULL for what is not looked at, and on an error.
static struct str *place(struct walk *w, struct err *e)
{
    const struct level *l = w->levels;
    static const struct {
        size_t depth;
        const char *first, *second;
        size_t offset;
    } KNOWN[] = {
        {1, "run_id", NULL, offsetof(struct mlmodel, run_id)},
        {1, "model_id", NULL, offsetof(struct mlmodel, model_id)},
        {1, "mlflow_version", NULL, offsetof(struct mlmodel, mlflow_version)},
        {2, "signature", "inputs", offsetof(struct mlmodel, signature_inputs)},
        {2, "saved_input_example_info", "artifact_path", offsetof(struct mlmodel, example)},
    };
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++)
        if (w->depth == KNOWN[i].depth && str_eq(l[0].key, str_of(KNOWN[i].first)) &&
            (!KNOWN[i].second || str_eq(l[1].key, str_of(KNOWN[i].second))))
            return (struct str *)((char *)w->m + KNOWN[i].offset);
    // Before MLflow 3 the id is called so; later both are there and the same.
    if (w->depth == 1 && str_eq(l[0].key, STR("model_uuid")) && w->m->model_id.n == 0)
        return &w->m->model_id;
    if (w->depth != KNOWN_MAX || !str_eq(l[0].key, STR("flavors")))
        return NULL;
    struct mlmodel_flavor *f = flavor(w, l[1].key, e);
    if (!f)
        return NULL;
    if (str_eq(l[2].key, STR("data")))
        return &f->data;
    if (str_eq(l[2].key, STR("model_class")))
        return &f->model_class;
    if (str_eq(l[2].key, STR("loader_module")))
        return &f->loader_module;
    return str_ends(l[2].key, STR("_version")) && !f->library_version.n ? &f->library_version : NULL;
}

static int take_value(struct walk *w, const yaml_event_t *ev, struct err *e)
{
    int rc = 0;
    e->code = 0;
    struct str *to = place(w, e);
    if (!to)
        return e->code;
    bool is_null = ev->data.scalar.plain_implicit && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                   (ev->data.scalar.length == 0 || strcmp((const char *)ev->data.scalar.value, "null") == 0 ||
                    strcmp((const char *)ev->data.scalar.value, "~") == 0);
    bool is_id = to == &w->m->model_id && str_eq(w->levels[0].key, STR("model_id"));
    if (to->n && !is_id)
        return err_set(e, ERR_INVALID, "MLmodel:%d: a second value for '%.80s'", line_of(ev),
                       w->levels[w->depth - 1].key.p);
    if (!is_null)
        *to = keep(w->a, ev, e, &rc);
    return rc;
}

// A scalar: a key, or the value of one.
static int take_scalar(struct walk *w, const yaml_event_t *ev, struct err *e)
{
    int rc = 0;
    struct level *l = w->depth ? &w->levels[w->depth - 1] : NULL;
    if (!l)
        return err_set(e, ERR_INVALID, "MLmodel:%d: expected lines of the form 'key: value'", line_of(ev));
    if (!l->is_mapping)
        return 0;
    if (!l->has_key) {
        l->key = keep(w->a, ev, e, &rc);
        l->has_key = true;
        return rc;
    }
    rc = take_value(w, ev, e);
    l->has_key = false;
    return rc;
}

static int open_level(struct walk *w, const yaml_event_t *ev, bool is_mapping, struct err *e)
{
    if (w->depth == DEPTH_MAX)
        return err_set(e, ERR_TOO_DEEP, "MLmodel:%d: nested deeper than %d", line_of(ev), DEPTH_MAX);
    struct level *above = w->depth ? &w->levels[w->depth - 1] : NULL;
    if (above && above->is_mapping && !above->has_key)
        return err_set(e, ERR_INVALID, "MLmodel:%d: a key is not a text", line_of(ev));
    // A flavor counts also when nothing is said of it.
    if (w->depth == 2 && is_mapping && str_eq(w->levels[0].key, STR("flavors")) &&
        !flavor(w, w->levels[1].key, e))
        return e->code;
    w->levels[w->depth++] = (struct level){.is_mapping = is_mapping, .key = STR("")};
    return 0;
}

static int take_event(struct walk *w, const yaml_event_t *ev, struct err *e)
{
    switch (ev->type) {
    case YAML_ALIAS_EVENT:
        return err_set(e, ERR_INVALID, "MLmodel:%d: aliases are not understood here", line_of(ev));
    case YAML_SCALAR_EVENT:
        return take_scalar(w, ev, e);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return open_level(w, ev, ev->type == YAML_MAPPING_START_EVENT, e);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        w->depth--;
        if (w->depth)
            w->levels[w->depth - 1].has_key = false;
        return 0;
    default:
        return 0;
    }
}

static int walk_events(struct walk *w, yaml_parser_t *p, struct err *e)
{
    for (bool done = false; !done;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(p, &ev)) {
            if (p->error == YAML_MEMORY_ERROR)
                return err_set(e, ERR_NOMEM, "out of memory for MLmodel");
            return err_set(e, ERR_INVALID, "MLmodel:%d: not valid YAML: %s", (int)p->problem_mark.line + 1,
                           p->problem ? p->problem : "unreadable character");
        }
        done = ev.type == YAML_STREAM_END_EVENT;
        int rc = take_event(w, &ev, e);
        yaml_event_delete(&ev);
        if (rc)
            return rc;
    }
    return 0;
}

int mlmodel_parse(struct str yaml, struct arena *a, struct mlmodel *ret, struct err *e)
{
    yaml_parser_t p;
    struct walk w = {.a = a, .m = ret};
    *ret = (struct mlmodel){0};
    if (yaml.n > LIMIT_MLMODEL_BYTES)
        return err_set(e, ERR_TOO_LARGE, "MLmodel is larger than %d bytes", LIMIT_MLMODEL_BYTES);
    if (!yaml_parser_initialize(&p))
        return err_set(e, ERR_NOMEM, "out of memory for MLmodel");
    yaml_parser_set_input_string(&p, (const unsigned char *)(yaml.n ? yaml.p : ""), yaml.n);
    int rc = walk_events(&w, &p, e);
    yaml_parser_delete(&p);
    if (rc == 0 && ret->n_flavors == 0) {
        rc = err_set(e, ERR_INVALID, "MLmodel names no flavors");
        err_hint(e, "It is the file that MLflow writes into a model's directory.");
    }
    return rc;
}

const struct mlmodel_flavor *mlmodel_find(const struct mlmodel *m, const char *name)
{
    for (size_t i = 0; i < m->n_flavors; i++)
        if (str_eq(m->flavors[i].name, str_of(name)))
            return &m->flavors[i];
    return NULL;
}
