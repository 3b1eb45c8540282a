// SPDX-License-Identifier: Apache-2.0
// From models:/… and runs:/… to the directory that they mean, by asking an MLflow tracking server.
#include "cli/mlflow.h"

#include "base/limits.h"
#include "cli/tracking.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define API "/api/2.0/mlflow/"

bool mlflow_is_uri(const char *source)
{
    return str_starts(str_of(source), STR("models:")) || str_starts(str_of(source), STR("runs:"));
}

struct lookup {
    struct tracking t;
    struct package *p;
    const char *source;
    char uri[TRACKING_URL_SIZE]; // of the model's files
    char run_id[128];
};

// GET API + fixed and encoded parts in turn.
static int ask(struct lookup *l, yyjson_doc **ret, struct err *e, const char *fixed1, struct str value1,
               const char *fixed2, struct str value2)
{
    struct buf path;
    buf_init(&path, 16 << 10);
    buf_printf(&path, API "%s", fixed1);
    client_put_segment(value1, &path);
    buf_puts(&path, fixed2);
    client_put_segment(value2, &path);
    buf_putc(&path, '\0');
    int rc = path.failed ? err_set(e, ERR_TOO_LARGE, "the address is too long")
                         : tracking_get(&l->t, path.p, ret, e);
    buf_done(&path);
    return rc;
}

static bool copy(yyjson_val *from, char *to, size_t size)
{
    const char *text = yyjson_get_str(from);
    size_t n = text ? strlen(text) : size;
    if (n >= size)
        return false;
    memcpy(to, text, n + 1);
    return true;
}

static int odd_answer(const struct lookup *l, const char *what, struct err *e)
{
    return err_set(e, ERR_UNAVAILABLE, "%.160s does not say %s", l->t.base, what);
}

// ---- registered models

static int bad_source(const struct lookup *l, struct err *e)
{
    err_set(e, ERR_INVALID, "'%.120s' is not understood", l->source);
    err_hint(e, "Write models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-ID or runs:/RUN/PATH.");
    return ERR_INVALID;
}

static int find_version(struct lookup *l, struct str name, struct str selector, bool is_alias,
                        yyjson_doc **ret, struct err *e)
{
    uint64_t number;
    if (is_alias)
        return ask(l, ret, e, "registered-models/alias?name=", name, "&alias=", selector);
    if (str_to_u64(selector, UINT32_MAX, &number))
        return ask(l, ret, e, "model-versions/get?name=", name, "&version=", selector);
    err_set(e, ERR_INVALID, "'%.120s' names no version: stages have been replaced by aliases in MLflow",
            l->source);
    err_hint(e, "Write models:/NAME/VERSION or models:/NAME@ALIAS.");
    return ERR_INVALID;
}

static int take_version(struct lookup *l, struct str name, yyjson_val *version, struct err *e)
{
    char tag[512];
    yyjson_doc *doc;
    const char *number = yyjson_get_str(yyjson_obj_get(version, "version"));
    if (!number)
        return odd_answer(l, "which version it is", e);
    (void)copy(yyjson_obj_get(version, "run_id"), l->run_id, sizeof l->run_id);
    snprintf(tag, sizeof tag, "%.*s/%s", (int)(name.n < 300 ? name.n : 300), name.p, number);
    package_put_tag(l->p, "mlflow.registered_model", str_of(tag));
    yyjson_val *description = yyjson_obj_get(version, "description");
    if (yyjson_get_len(description) <= LIMIT_DESCRIPTION_BYTES)
        package_set_text(l->p, "description", str_of(yyjson_get_str(description)));
    int rc = ask(l, &doc, e, "model-versions/get-download-uri?name=", name, "&version=", str_of(number));
    if (rc)
        return rc;
    if (!copy(yyjson_obj_get(yyjson_doc_get_root(doc), "artifact_uri"), l->uri, sizeof l->uri))
        rc = odd_answer(l, "where the version's files are", e);
    yyjson_doc_free(doc);
    return rc;
}

static int resolve_logged(struct lookup *l, struct str id, struct err *e)
{
    yyjson_doc *doc;
    int rc = ask(l, &doc, e, "logged-models/", id, "", STR(""));
    if (rc)
        return rc;
    yyjson_val *info = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "model"), "info");
    (void)copy(yyjson_obj_get(info, "source_run_id"), l->run_id, sizeof l->run_id);
    if (!copy(yyjson_obj_get(info, "artifact_uri"), l->uri, sizeof l->uri))
        rc = odd_answer(l, "where the model's files are", e);
    yyjson_doc_free(doc);
    return rc;
}

// rest: what follows "models:/".
static int resolve_model(struct lookup *l, struct str rest, struct err *e)
{
    yyjson_doc *doc;
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '@')
        n++;
    struct str name = {rest.p, n},
               selector = n < rest.n ? (struct str){rest.p + n + 1, rest.n - n - 1} : STR("");
    if (n == rest.n && str_starts(name, STR("m-")))
        return resolve_logged(l, name, e);
    if (name.n == 0 || selector.n == 0)
        return bad_source(l, e);
    int rc = find_version(l, name, selector, rest.p[n] == '@', &doc, e);
    if (rc)
        return rc;
    rc = take_version(l, name, yyjson_obj_get(yyjson_doc_get_root(doc), "model_version"), e);
    yyjson_doc_free(doc);
    return rc;
}

// ---- runs

// Since MLflow 3 a run names the models that were logged in it, which lie elsewhere; the newest of this name.
static int resolve_output(struct lookup *l, yyjson_val *run, struct str path, bool *ret_found, struct err *e)
{
    size_t i, n;
    yyjson_val *output;
    int rc = 0;
    uint64_t newest = 0;
    yyjson_val *outputs = yyjson_obj_get(yyjson_obj_get(run, "outputs"), "model_outputs");
    *ret_found = false;
    if (yyjson_arr_size(outputs) > LIMIT_IMPORT_FILES)
        return err_set(e, ERR_TOO_LARGE, "the run has more than %d models", LIMIT_IMPORT_FILES);
    yyjson_arr_foreach(outputs, i, n, output)
    {
        yyjson_doc *doc;
        yyjson_val *id = yyjson_obj_get(output, "model_id");
        if (rc || !yyjson_is_str(id))
            continue;
        rc = ask(l, &doc, e, "logged-models/", str_of(yyjson_get_str(id)), "", STR(""));
        if (rc)
            return rc;
        yyjson_val *info = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "model"), "info");
        const char *name = yyjson_get_str(yyjson_obj_get(info, "name"));
        uint64_t created = yyjson_get_uint(yyjson_obj_get(info, "creation_timestamp_ms"));
        if (name && str_eq(path, str_of(name)) && (!*ret_found || created > newest)) {
            newest = created;
            *ret_found = copy(yyjson_obj_get(info, "artifact_uri"), l->uri, sizeof l->uri);
        }
        yyjson_doc_free(doc);
    }
    return rc;
}

static int resolve_run(struct lookup *l, struct str rest, struct err *e)
{
    yyjson_doc *doc;
    bool found;
    struct str id = str_split(&rest, '/');
    while (rest.n && rest.p[rest.n - 1] == '/')
        rest.n--;
    if (id.n == 0 || id.n >= sizeof l->run_id || rest.n == 0)
        return bad_source(l, e);
    snprintf(l->run_id, sizeof l->run_id, STR_FMT, STR_ARG(id));
    int rc = ask(l, &doc, e, "runs/get?run_id=", id, "", STR(""));
    if (rc)
        return rc;
    yyjson_val *run = yyjson_obj_get(yyjson_doc_get_root(doc), "run");
    rc = resolve_output(l, run, rest, &found, e);
    const char *root = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(run, "info"), "artifact_uri"));
    if (rc == 0 && !found && !root)
        rc = odd_answer(l, "where the run's files are", e);
    else if (rc == 0 && !found &&
             snprintf(l->uri, sizeof l->uri, "%s/" STR_FMT, root, STR_ARG(rest)) >= (int)sizeof l->uri)
        rc = err_set(e, ERR_TOO_LARGE, "the address of the model's files is too long");
    yyjson_doc_free(doc);
    return rc;
}

// What was measured in the run comes along; a run that cannot be read any more is no reason to stop.
static void take_metrics(struct lookup *l)
{
    size_t i, n, taken = 0;
    yyjson_val *metric;
    yyjson_doc *doc;
    struct err e;
    if (l->run_id[0] == '\0')
        return;
    if (ask(l, &doc, &e, "runs/get?run_id=", str_of(l->run_id), "", STR(""))) {
        package_note(l->p, "  metrics     not taken: %s", e.msg);
        return;
    }
    yyjson_val *data = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "run"), "data");
    yyjson_arr_foreach(yyjson_obj_get(data, "metrics"), i, n, metric)
    {
        yyjson_val *key = yyjson_obj_get(metric, "key"), *value = yyjson_obj_get(metric, "value");
        if (!yyjson_is_str(key) || !yyjson_is_num(value) || !isfinite(yyjson_get_num(value)) ||
            yyjson_get_len(key) == 0 || yyjson_get_len(key) > LIMIT_TAG_BYTES || taken == LIMIT_METRICS)
            continue;
        package_put_metric(l->p, (struct str){yyjson_get_str(key), yyjson_get_len(key)},
                           yyjson_get_num(value));
        taken++;
    }
    if (taken)
        package_note(l->p, "  metrics     %zu of the run", taken);
    yyjson_doc_free(doc);
}

// ----

static int import_from(struct lookup *l, struct err *e)
{
    struct folder_remote remote;
    struct folder_local local;
    struct str uri = str_of(l->uri), file = STR("file:");
    if (str_starts(uri, file) || str_starts(uri, STR("/"))) {
        const char *path = str_starts(uri, file) ? l->uri + file.n : l->uri;
        path += strncmp(path, "///", 3) == 0 ? 2 : 0;
        int rc = folder_local_open(&local, path, e);
        if (rc) {
            err_hint(e, "The MLflow server keeps its files in a folder, which is not on this machine.");
            return rc;
        }
        rc = mlflow_import(&local.folder, l->source, l->p, e);
        folder_local_close(&local);
        return rc;
    }
    int rc = folder_remote_open(&remote, &l->t, uri, l->source, e);
    if (rc == 0)
        rc = mlflow_import(&remote.folder, l->source, l->p, e);
    folder_remote_close(&remote);
    return rc;
}

int mlflow_import_uri(const char *source, const struct args *a, struct package *p, struct err *e)
{
    struct lookup l = {.p = p, .source = source};
    struct str rest = str_of(source), scheme = str_split(&rest, ':');
    while (rest.n && rest.p[0] == '/')
        rest = (struct str){rest.p + 1, rest.n - 1};
    int rc = tracking_open(&l.t, a, e);
    if (rc == 0)
        rc = str_eq(scheme, STR("runs")) ? resolve_run(&l, rest, e) : resolve_model(&l, rest, e);
    if (rc == 0)
        rc = import_from(&l, e);
    if (rc == 0)
        take_metrics(&l);
    tracking_close(&l.t);
    return rc;
}
