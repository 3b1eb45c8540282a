// SPDX-License-Identifier: Apache-2.0
// `slipway delete`: removes a model or one version, after a question or with --yes.
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/term.h"

#include <string.h>
#include <unistd.h>

// 0 when deleting is agreed to; ERR_INVALID otherwise. Without a terminal nobody can answer: --yes is needed.
static int confirm(const struct args *a, struct err *e)
{
    char line[256];
    const char *model = a->words[0];
    if (args_has(a, "yes"))
        return 0;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        err_set(e, ERR_INVALID, "nothing was deleted: deleting needs --yes where nobody can be asked");
        err_hint(e, "Add --yes to delete for good.");
        return ERR_INVALID;
    }
    if (a->n_words > 1)
        fprintf(stderr, "Deletes version %s of %s for good. Type the model's name to go on: ", a->words[1],
                model);
    else
        fprintf(stderr, "Deletes %s with all its versions for good. Type the model's name to go on: ", model);
    if (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (strcmp(line, model) == 0)
            return 0;
    }
    return err_set(e, ERR_INVALID, "nothing was deleted");
}

static int delete_run(const struct args *a)
{
    struct client c;
    struct err e;
    struct buf path, out;
    yyjson_doc *doc = NULL;
    const char *model = a->words[0], *version = a->n_words > 1 ? a->words[1] : NULL;
    if (confirm(a, &e) || client_init(&c, a, &e))
        return term_usage(&e);
    buf_init(&path, 16384);
    buf_init(&out, 1 << 20);
    struct client_request q = {.method = "DELETE", .idempotency_key = args_value(a, "idempotency-key")};
    bool first = !(version && args_has(a, "force"));
    q.path = version ? client_path(&path, "/api/v1/models/", model, "/versions/", version,
                                   first ? "" : "?force=true", NULL)
                     : client_path(&path, "/api/v1/models/", model, NULL);
    cli_put_query(a, "reason", &first, &path);
    buf_putc(&path, '\0');
    q.path = path.failed ? q.path : path.p;
    int rc = client_json(&c, &q, &doc, &e);
    if (rc == 0 && args_has(a, "json")) {
        rc = doc ? term_put_json(yyjson_doc_get_root(doc), &out, &e) : 0;
        if (!doc)
            buf_puts(&out, "{\"deleted\":true}\n");
    } else if (rc == 0) {
        buf_puts(&out, "Deleted ");
        term_put_safe(str_of(model), &out);
        buf_printf(&out, version ? " version %s.\n" : "%s.\n", version ? version : "");
    }
    if (rc == 0)
        rc = term_write(&out, &e);
    yyjson_doc_free(doc);
    buf_done(&path);
    buf_done(&out);
    client_done(&c);
    return rc ? term_fail(&e, args_has(a, "json")) : CLI_OK;
}

const struct verb verb_delete = {
    .name = "delete",
    .summary = "Deletes a model, or one of its versions, for good.",
    .usage = "slipway delete MODEL [VERSION] [flags]",
    .examples = "slipway delete churn 2\nslipway delete churn --yes",
    .flags = (const struct flag[]){{.name = "yes", .help = "Does not ask.", .letter = 'y'},
                                   {.name = "force",
                                    .help = "Deletes a version although aliases name it; they go too."},
                                   CLI_CHANGE_FLAGS,
                                   CLI_CLIENT_FLAGS,
                                   {0}},
    .min_words = 1,
    .max_words = 2,
    .takes_model = true,
    .run = delete_run,
};
