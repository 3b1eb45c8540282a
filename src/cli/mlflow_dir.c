// SPDX-License-Identifier: Apache-2.0
// An MLflow model directory becomes a package.
#include "cli/mlflow.h"

#include "base/limits.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ARENA_BYTES = 64 << 20, PATH_BYTES = 1024 };

struct import {
    struct folder *f;
    struct package *p;
    struct mlmodel model;
    struct arena arena;
    const char *uri;
};

// The path as C text. ERR_UNSUPPORTED_MODEL when there is none, or it is too long.
static int path_of(struct str data, const char *flavor, char ret[PATH_BYTES], struct err *e)
{
    if (data.n == 0 || data.n >= PATH_BYTES || memchr(data.p, '\0', data.n))
        return err_set(e, ERR_UNSUPPORTED_MODEL, "MLmodel does not say which file the flavor %s has", flavor);
    memcpy(ret, data.p, data.n);
    ret[data.n] = '\0';
    return 0;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int first_byte(int fd, unsigned char *ret, struct err *e)
{
    size_t n;
    int rc = file_read_at(fd, ret, 1, 0, &n, e);
    return rc ? rc : n == 1 ? 0 : err_set(e, ERR_BAD_MODEL, "the model file is empty");
}

static int add_model(struct import *m, const char *path, int fd, struct err *e)
{
    package_note(m->p, "  model       %s", path);
    return artifacts_add_fd(&m->p->files, "model", last_part(path), fd, path, e);
}

// JSON and UBJSON begin with a brace, the binary format with numbers; the name says nothing, because newer
// versions write UBJSON also into model.xgb.
static int take_xgboost(struct import *m, const struct mlmodel_flavor *f, struct err *e)
{
    int fd;
    unsigned char first;
    char path[PATH_BYTES];
    int rc = path_of(f->data, "xgboost", path, e);
    if (rc == 0)
        rc = m->f->ops->open(m->f, path, &fd, e);
    if (rc)
        return rc;
    rc = first_byte(fd, &first, e);
    if (rc == 0 && first != '{')
        rc = mlflow_refuse_xgboost(m->uri, path, f->library_version, m->p, e);
    if (rc) {
        close(fd);
        return rc;
    }
    rc = add_model(m, path, fd, e);
    if (rc == 0 && str_ends(f->model_class, STR("Classifier")))
        package_note(m->p, "  note        MLflow's predict answers classes, Slipway their probabilities");
    return rc;
}

static int take_lightgbm(struct import *m, const struct mlmodel_flavor *f, struct err *e)
{
    int fd;
    unsigned char first;
    char path[PATH_BYTES];
    int rc = path_of(f->data, "lightgbm", path, e);
    if (rc == 0)
        rc = m->f->ops->open(m->f, path, &fd, e);
    if (rc)
        return rc;
    rc = first_byte(fd, &first, e);
    if (rc == 0 && (first == 0x80 || str_ends(f->data, STR(".pkl"))))
        rc = mlflow_refuse_lightgbm(m->uri, m->p, e);
    if (rc) {
        close(fd);
        return rc;
    }
    return add_model(m, path, fd, e);
}

// ---- ONNX: the model, and those files beside it whose names stand in it

struct weights {
    struct import *m;
    const char *folder; // of the model file, "" or "data/"
    const char *model;  // its name
    struct str bytes;
    int rc;
    struct err *e;
};

static void take_weights(void *ctx, const char *name)
{
    struct weights *w = ctx;
    char path[PATH_BYTES * 2];
    int fd;
    if (w->rc || strcmp(name, w->model) == 0 || strcmp(name, "MLmodel") == 0 ||
        !memmem(w->bytes.p, w->bytes.n, name, strlen(name)))
        return;
    snprintf(path, sizeof path, "%s%s", w->folder, name);
    w->rc = w->m->f->ops->open(w->m->f, path, &fd, w->e);
    if (w->rc == 0) {
        package_note(w->m->p, "  data        %s", path);
        w->rc = artifacts_add_fd(&w->m->p->files, "data", name, fd, path, w->e);
    }
}

static int take_onnx(struct import *m, const struct mlmodel_flavor *f, struct err *e)
{
    int fd;
    uint64_t size;
    char path[PATH_BYTES], folder[PATH_BYTES];
    int rc = path_of(f->data, "onnx", path, e);
    if (rc == 0)
        rc = m->f->ops->open(m->f, path, &fd, e);
    if (rc)
        return rc;
    rc = file_size(fd, &size, e);
    void *map = rc == 0 && size ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (rc == 0 && map == MAP_FAILED)
        rc = err_set(e, ERR_IO, "'%.120s' cannot be read", path);
    if (rc) {
        close(fd);
        return rc;
    }
    rc = add_model(m, path, fd, e);
    snprintf(folder, sizeof folder, "%.*s", (int)(last_part(path) - path), path);
    struct weights w = {m, folder, last_part(path), {map, (size_t)size}, 0, e};
    if (rc == 0) {
        if (*folder)
            folder[strlen(folder) - 1] = '\0'; // a folder is listed without its slash
        char slashed[PATH_BYTES + 1];
        snprintf(slashed, sizeof slashed, "%s%s", folder, *folder ? "/" : "");
        w.folder = slashed;
        rc = m->f->ops->list(m->f, folder, take_weights, &w, e);
    }
    munmap(map, (size_t)size);
    return rc ? rc : w.rc;
}

// ---- what comes with the model

static int take_signature(struct import *m, bool of_trees, bool underscores, struct err *e)
{
    struct buf json;
    struct mlmodel_column *columns;
    size_t n;
    if (m->model.signature_inputs.n == 0)
        return 0;
    if (!of_trees) {
        package_note(m->p, "  signature   not taken: the graph says it");
        return 0;
    }
    int rc = mlmodel_columns(m->model.signature_inputs, &m->arena, &columns, &n, e);
    if (rc)
        return rc;
    buf_init(&json, LIMIT_MLMODEL_BYTES * 2);
    if (!mlmodel_put_signature(columns, n, underscores, &json)) {
        package_note(m->p, "  signature   not taken: it names no columns");
    } else {
        yyjson_doc *doc = json.failed ? NULL : yyjson_read(json.p, json.n, 0);
        if (doc) {
            package_set_value(m->p, "signature", yyjson_doc_get_root(doc));
            package_note(m->p, "  signature   %zu columns of MLflow's", n);
        } else {
            rc = err_set(e, ERR_NOMEM, "out of memory for the signature");
        }
        yyjson_doc_free(doc);
    }
    buf_done(&json);
    return rc;
}

static int take_example(struct import *m, struct err *e)
{
    int fd;
    char path[PATH_BYTES];
    static const char *const CANDIDATES[] = {"input_example.json", "serving_input_example.json"};
    if (m->model.example.n && m->model.example.n < PATH_BYTES &&
        path_of(m->model.example, "its example", path, e) == 0 && m->f->ops->open(m->f, path, &fd, e) == 0) {
        package_note(m->p, "  example     %s", path);
        return artifacts_add_fd(&m->p->files, "example", last_part(path), fd, path, e);
    }
    for (size_t i = 0; m->model.example.n && i < sizeof CANDIDATES / sizeof CANDIDATES[0]; i++) {
        if (m->f->ops->open(m->f, CANDIDATES[i], &fd, e) != 0)
            continue;
        package_note(m->p, "  example     %s", CANDIDATES[i]);
        return artifacts_add_fd(&m->p->files, "example", CANDIDATES[i], fd, CANDIDATES[i], e);
    }
    return 0;
}

static void take_origin(struct import *m, const struct mlmodel_flavor *f)
{
    if (m->model.run_id.n) {
        char from[PATH_BYTES];
        snprintf(from, sizeof from, "runs:/%.*s", (int)(m->model.run_id.n < 200 ? m->model.run_id.n : 200),
                 m->model.run_id.p);
        package_set_text(m->p, "trained_from", str_of(from));
        package_note(m->p, "  origin      %s", from);
    }
    package_put_tag(m->p, "mlflow.version", m->model.mlflow_version);
    package_put_tag(m->p, "mlflow.model_id", m->model.model_id);
    package_put_tag(m->p, "mlflow.flavor", f->name);
    char name[64];
    snprintf(name, sizeof name, "mlflow.%.*s_version", (int)(f->name.n < 40 ? f->name.n : 40), f->name.p);
    package_put_tag(m->p, name, f->library_version);
}

static int take(struct import *m, struct err *e)
{
    static const struct {
        const char *name;
        int (*take)(struct import *m, const struct mlmodel_flavor *f, struct err *e);
        bool of_trees, underscores;
    } SERVED[] = {
        {"xgboost", take_xgboost, true, false},
        {"lightgbm", take_lightgbm, true, true},
        {"onnx", take_onnx, false, false},
    };
    for (size_t i = 0; i < sizeof SERVED / sizeof SERVED[0]; i++) {
        const struct mlmodel_flavor *f = mlmodel_find(&m->model, SERVED[i].name);
        if (!f)
            continue;
        package_note(m->p, "Taken from the MLflow model %s (flavor %s):", m->uri, SERVED[i].name);
        int rc = SERVED[i].take(m, f, e);
        if (rc == 0)
            rc = take_signature(m, SERVED[i].of_trees, SERVED[i].underscores, e);
        if (rc == 0)
            rc = take_example(m, e);
        if (rc == 0)
            take_origin(m, f);
        return rc;
    }
    return mlflow_refuse(&m->model, m->uri, m->p, e);
}

int mlflow_import(struct folder *f, const char *uri, struct package *p, struct err *e)
{
    struct import m = {.f = f, .p = p, .uri = uri};
    struct buf text;
    buf_init(&text, LIMIT_MLMODEL_BYTES + 1);
    int rc = arena_init(&m.arena, ARENA_BYTES, e);
    if (rc == 0)
        rc = folder_read(f, "MLmodel", LIMIT_MLMODEL_BYTES, &text, e);
    if (rc == 0)
        rc = mlmodel_parse(buf_str(&text), &m.arena, &m.model, e);
    if (rc == 0)
        rc = take(&m, e);
    if (rc == 0)
        package_note(p, "  left        the Python environment (conda.yaml, requirements.txt …) and code");
    arena_done(&m.arena);
    buf_done(&text);
    return rc;
}
