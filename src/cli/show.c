// SPDX-License-Identifier: Apache-2.0
// `slipway show`: one model with its versions and aliases, or one version with its signature and engine.
#include "cli/admission.h"
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/describe.h"
#include "cli/signature.h"
#include "cli/term.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 5, TABLE_ROWS = 60 };

static int put_versions(yyjson_val *versions, struct buf *out, struct err *e)
{
    static const char *const FIELDS[COLUMNS] = {"version", "state", "format", "created", "description"};
    static const char *const HEADS[COLUMNS] = {"VERSION", "STATE", "FORMAT", "CREATED", "DESCRIPTION"};
    return cli_describe_table(versions, FIELDS, HEADS, COLUMNS, out, e);
}

static void put_aliases(yyjson_val *aliases, struct buf *out)
{
    size_t i, n;
    yyjson_val *key, *value;
    char scratch[32];
    yyjson_obj_foreach(aliases, i, n, key, value)
    {
        buf_puts(out, "  alias ");
        term_put_safe(str_of(yyjson_get_str(key)), out);
        buf_printf(out, " is version %s\n", cli_describe_scalar(value, scratch));
    }
}

static int put_model(struct client *c, const char *model, yyjson_val *root, struct buf *out, struct err *e)
{
    char scratch[32];
    yyjson_doc *doc = NULL;
    const char *version = cli_describe_scalar(yyjson_obj_get(root, "default"), scratch);
    buf_printf(out, "%s", term_on(stdout, TERM_BOLD));
    term_put_safe(str_of(model), out);
    buf_printf(out, "%s\n", term_off(stdout));
    put_aliases(yyjson_obj_get(root, "aliases"), out);
    int rc = 0;
    if (yyjson_is_arr(yyjson_obj_get(root, "versions")))
        rc = put_versions(yyjson_obj_get(root, "versions"), out, e);
    cli_put_next(root, out);
    if (rc || !*version)
        return rc;
    struct buf path;
    buf_init(&path, 4096);
    struct client_request q = {
        .method = "GET", .path = client_path(&path, "/api/v1/models/", model, "/versions/", version, NULL)};
    rc = client_json(c, &q, &doc, e);
    if (rc == 0) {
        buf_printf(out, "\nVersion %s, which answers where no version is named\n", version);
        cli_describe_version(yyjson_doc_get_root(doc), out);
        cli_admission_report(yyjson_obj_get(yyjson_doc_get_root(doc), "admission"), out);
        buf_printf(out, "\nTry it:\n");
        struct buf url;
        buf_init(&url, 4096);
        buf_puts(&url, c->url);
        cli_describe_curl(yyjson_doc_get_root(doc), client_path(&url, "/v1/models/", model, ":predict", NULL),
                          out);
        buf_done(&url);
    }
    yyjson_doc_free(doc);
    buf_done(&path);
    return rc;
}

// "churn/3" is the model churn and its version 3.
static const char *split_version(const char *word, const char *version,
                                 char model[LIMIT_MODEL_NAME_BYTES + 1])
{
    const char *slash = strchr(word, '/');
    size_t n = slash ? (size_t)(slash - word) : 0;
    if (!slash || version || n > LIMIT_MODEL_NAME_BYTES)
        return version;
    memcpy(model, word, n);
    model[n] = '\0';
    return slash + 1;
}

// What one version is, and what may stand in its inputs.
static int put_version(const char *model, yyjson_val *root, struct buf *out, struct err *e)
{
    char scratch[32];
    yyjson_val *signature = yyjson_obj_get(root, "signature");
    term_put_safe(str_of(model), out);
    buf_printf(out, " version %s\n", cli_describe_scalar(yyjson_obj_get(root, "version"), scratch));
    cli_describe_version(root, out);
    cli_admission_report(yyjson_obj_get(root, "admission"), out);
    buf_putc(out, '\n');
    int rc = signature_put_table(signature, TABLE_ROWS, true, out, e);
    if (yyjson_obj_get(signature, "changes"))
        buf_putc(out, '\n');
    signature_put_changes(yyjson_obj_get(signature, "changes"), out);
    return rc;
}

static int show(struct client *c, const struct args *a, struct buf *out, struct err *e)
{
    char name[LIMIT_MODEL_NAME_BYTES + 1] = "";
    const char *version = split_version(a->words[0], a->n_words > 1 ? a->words[1] : NULL, name);
    const char *model = *name ? name : a->words[0];
    if (args_has(a, "signature") && !version)
        version = "champion";
    struct buf path;
    yyjson_doc *doc = NULL;
    buf_init(&path, 4096);
    struct client_request q = {.method = "GET"};
    q.path = version ? client_path(&path, "/api/v1/models/", model, "/versions/", version, NULL)
                     : client_path(&path, "/api/v1/models/", model, NULL);
    bool first = true;
    if (!version) {
        cli_put_query(a, "limit", &first, &path);
        cli_put_query(a, "after", &first, &path);
        buf_putc(&path, '\0');
        q.path = path.failed ? "/" : path.p;
    }
    int rc = client_json(c, &q, &doc, e);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (rc == 0 && args_has(a, "json")) {
        rc = term_put_json(root, out, e);
    } else if (rc == 0 && args_has(a, "signature")) {
        signature_put_yaml(yyjson_obj_get(root, "signature"), out);
    } else if (rc == 0 && version) {
        rc = put_version(model, root, out, e);
    } else if (rc == 0) {
        rc = put_model(c, model, root, out, e);
    }
    yyjson_doc_free(doc);
    buf_done(&path);
    return rc;
}

static int show_run(const struct args *a)
{
    struct client c;
    struct err e;
    struct buf out;
    buf_init(&out, 64 << 20);
    if (client_init(&c, a, &e))
        return term_usage(&e);
    int rc = show(&c, a, &out, &e);
    if (rc == 0)
        rc = term_write(&out, &e);
    buf_done(&out);
    client_done(&c);
    return rc ? term_fail(&e, args_has(a, "json")) : CLI_OK;
}

const struct verb verb_show = {
    .name = "show",
    .summary = "Shows a model: versions, aliases, signature, the engine's choice and its times.",
    .usage = "slipway show MODEL[/VERSION] [VERSION] [flags]",
    .examples = "slipway show churn\nslipway show churn/3\nslipway show churn/3 --signature > "
                "signature.yaml\nslipway show churn champion --json",
    .flags =
        (const struct flag[]){
            {.name = "signature",
             .help = "Only the signature, as YAML that can be edited and pushed (of the champion)."},
            CLI_PAGE_FLAGS,
            CLI_CLIENT_FLAGS,
            {0}},
    .min_words = 1,
    .max_words = 2,
    .takes_model = true,
    .run = show_run,
};
