// SPDX-License-Identifier: Apache-2.0
// `slipway models`: what the server has.
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/describe.h"
#include "cli/term.h"

#include <stdlib.h>

enum { COLUMNS = 4 };

static int put_models(yyjson_val *models, struct buf *out, struct err *e)
{
    static const char *const FIELDS[COLUMNS] = {"name", "champion", "versions", "created"};
    static const char *const HEADS[COLUMNS] = {"MODEL", "CHAMPION", "VERSIONS", "CREATED"};
    return cli_describe_table(models, FIELDS, HEADS, COLUMNS, out, e);
}

static int put(const struct args *a, yyjson_val *root, struct buf *out, struct err *e)
{
    yyjson_val *models = yyjson_obj_get(root, "models"), *m;
    size_t i, n;
    if (args_has(a, "names")) {
        yyjson_arr_foreach(models, i, n, m)
        {
            term_put_safe(str_of(yyjson_get_str(yyjson_obj_get(m, "name"))), out);
            buf_putc(out, '\n');
        }
        return 0;
    }
    if (yyjson_arr_size(models) > 0) {
        int rc = put_models(models, out, e);
        cli_put_next(root, out);
        return rc;
    }
    buf_puts(out, "No models yet. Push one: slipway push NAME FILE\n");
    return 0;
}

static int models_run(const struct args *a)
{
    struct client c;
    struct err e;
    struct buf out;
    yyjson_doc *doc = NULL;
    struct buf path;
    bool first = !args_has(a, "names") || args_has(a, "limit");
    buf_init(&path, 4096);
    buf_puts(&path, first ? "/api/v1/models" : "/api/v1/models?limit=1000");
    cli_put_query(a, "limit", &first, &path);
    cli_put_query(a, "after", &first, &path);
    buf_putc(&path, '\0');
    struct client_request q = {.method = "GET", .path = path.failed ? "/" : path.p};
    buf_init(&out, 64 << 20);
    int rc = client_init(&c, a, &e);
    if (rc)
        return term_usage(&e);
    rc = client_json(&c, &q, &doc, &e);
    if (rc == 0 && args_has(a, "json"))
        rc = term_put_json(yyjson_doc_get_root(doc), &out, &e);
    else if (rc == 0)
        rc = put(a, yyjson_doc_get_root(doc), &out, &e);
    if (rc == 0)
        rc = term_write(&out, &e);
    yyjson_doc_free(doc);
    buf_done(&path);
    buf_done(&out);
    client_done(&c);
    return rc ? term_fail(&e, args_has(a, "json")) : CLI_OK;
}

const struct verb verb_models = {
    .name = "models",
    .summary = "Lists the models of the server.",
    .usage = "slipway models [flags]",
    .examples = "slipway models\nslipway models --json\nslipway models --url http://10.0.0.5:8080",
    .flags = (const struct flag[]){{.name = "names", .help = "Writes only the names, one a line."},
                                   CLI_PAGE_FLAGS,
                                   CLI_CLIENT_FLAGS,
                                   {0}},
    .run = models_run,
};
