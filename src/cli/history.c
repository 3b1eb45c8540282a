// SPDX-License-Identifier: Apache-2.0
// `slipway aliases` and `slipway history`: what the names of a model mean, and what they meant when.
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/describe.h"
#include "cli/term.h"

static int ask(const struct args *a, struct buf *path,
               int (*put)(const struct args *a, yyjson_val *answer, struct buf *out, struct err *e))
{
    buf_putc(path, '\0');
    struct cli_ask q = {.method = "GET", .path = path->failed ? "/" : path->p, .put = put};
    int code = cli_ask(a, &q);
    buf_done(path);
    return code;
}

static int put_aliases(const struct args *a, yyjson_val *answer, struct buf *out, struct err *e)
{
    static const char *const FIELDS[] = {"alias", "version"}, *const HEADS[] = {"ALIAS", "VERSION"};
    (void)a;
    yyjson_val *list = yyjson_obj_get(answer, "aliases");
    if (yyjson_arr_size(list) > 0)
        return cli_describe_table(list, FIELDS, HEADS, 2, out, e);
    buf_puts(out, "No aliases: the newest version answers. Name one: slipway alias MODEL ALIAS VERSION\n");
    return 0;
}

static int aliases_run(const struct args *a)
{
    struct buf path;
    buf_init(&path, 8192);
    (void)client_path(&path, "/api/v1/models/", a->words[0], "/aliases", NULL);
    return ask(a, &path, put_aliases);
}

static int put_history(const struct args *a, yyjson_val *answer, struct buf *out, struct err *e)
{
    enum { COLUMNS = 7 };
    static const char *const FIELDS[COLUMNS] = {"at",       "alias", "kind",  "version",
                                                "previous", "actor", "reason"};
    static const char *const HEADS[COLUMNS] = {"AT", "ALIAS", "WHAT", "VERSION", "BEFORE", "BY", "REASON"};
    (void)a;
    yyjson_val *list = yyjson_obj_get(answer, "changes");
    int rc = 0;
    if (yyjson_arr_size(list) > 0)
        rc = cli_describe_table(list, FIELDS, HEADS, COLUMNS, out, e);
    else
        buf_puts(out, "No name of it was ever moved.\n");
    cli_put_next(answer, out);
    return rc;
}

static int history_run(const struct args *a)
{
    struct buf path;
    bool first = true;
    buf_init(&path, 16384);
    if (a->n_words == 2)
        (void)client_path(&path, "/api/v1/models/", a->words[0], "/aliases/", a->words[1], "/history", NULL);
    else
        (void)client_path(&path, "/api/v1/models/", a->words[0], "/history", NULL);
    cli_put_query(a, "limit", &first, &path);
    cli_put_query(a, "after", &first, &path);
    return ask(a, &path, put_history);
}

const struct verb verb_aliases = {
    .name = "aliases",
    .summary = "Lists the names of a model's versions.",
    .usage = "slipway aliases MODEL [flags]",
    .examples = "slipway aliases churn\nslipway aliases churn --json",
    .flags = (const struct flag[]){CLI_CLIENT_FLAGS, {0}},
    .min_words = 1,
    .max_words = 1,
    .takes_model = true,
    .run = aliases_run,
};

const struct verb verb_history = {
    .name = "history",
    .summary = "Shows every move of a model's aliases: when, by whom, why.",
    .usage = "slipway history MODEL [ALIAS] [flags]",
    .examples = "slipway history churn\nslipway history churn champion --limit 10",
    .flags = (const struct flag[]){CLI_PAGE_FLAGS, CLI_CLIENT_FLAGS, {0}},
    .min_words = 1,
    .max_words = 2,
    .takes_model = true,
    .run = history_run,
};
