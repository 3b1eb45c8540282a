// SPDX-License-Identifier: Apache-2.0
// MLmodel: whatever the YAML and the JSON in it, what comes out for the server is JSON, and what comes out
// for people has no control characters.
#include "fuzz.h"

#include "cli/mlflow.h"

#include <string.h>

static void check_signature(const struct mlmodel *m, struct arena *a)
{
    struct mlmodel_column *columns;
    size_t n;
    struct err e = {0};
    int rc = mlmodel_columns(m->signature_inputs, a, &columns, &n, &e);
    EXPECT(rc == 0 || (rc < 0 && rc == e.code && e.msg[0]));
    if (rc)
        return;
    struct buf json;
    buf_init(&json, 1 << 24);
    if (mlmodel_put_signature(columns, n, true, &json)) {
        yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
        EXPECT(!json.failed && yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(doc), "inputs")) == n);
        yyjson_doc_free(doc);
    } else {
        EXPECT(json.n == 0);
    }
    buf_done(&json);
}

static void check_refusal(const struct mlmodel *m)
{
    struct package p;
    struct err e = {0};
    EXPECT(package_init(&p, &e) == 0);
    EXPECT(mlflow_refuse(m, "models:/\"\n/1", &p, &e) == ERR_UNSUPPORTED_MODEL && e.msg[0]);
    for (size_t i = 0; i < p.notes.n; i++)
        EXPECT((unsigned char)p.notes.p[i] >= 0x20 || p.notes.p[i] == '\n');
    for (const char *c = e.msg; *c; c++)
        EXPECT((unsigned char)*c >= 0x20);
    package_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena a;
    struct mlmodel m;
    struct err e = {0};
    EXPECT(arena_init(&a, 64 << 20, &e) == 0);
    int rc = mlmodel_parse((struct str){(const char *)data, n}, &a, &m, &e);
    EXPECT(rc == 0 || (rc < 0 && rc == e.code && e.msg[0]));
    if (rc == 0) {
        EXPECT(m.n_flavors > 0);
        check_signature(&m, &a);
        check_refusal(&m);
    }
    arena_done(&a);
    return 0;
}
