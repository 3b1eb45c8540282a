// SPDX-License-Identifier: Apache-2.0
// One request of a verb that changes or lists the registry.
#include "cli/change.h"

#include "cli/cli.h"
#include "cli/describe.h"
#include "cli/term.h"

#include <stdio.h>

enum { CHANGE_TIMEOUT_MS = 3600 * 1000 }; // a version that is not loaded is loaded first

static int take(const struct args *a, const struct cli_ask *ask, yyjson_val *answer, struct buf *out,
                struct err *e)
{
    int rc = args_has(a, "json") ? term_put_json(answer, out, e) : ask->put(a, answer, out, e);
    if (rc == 0)
        rc = term_write(out, e);
    if (rc == 0 && ask->judge)
        rc = ask->judge(answer, e);
    return rc;
}

static void refused(const struct args *a, const struct cli_ask *ask, yyjson_val *answer, struct buf *out)
{
    if (!ask->put_refusal || !answer || args_has(a, "json"))
        return;
    ask->put_refusal(answer, out);
    if (!out->failed && out->n)
        (void)fwrite(out->p, 1, out->n, stderr);
}

// The exit code.
static int run(struct client *c, const struct args *a, const struct cli_ask *ask, struct buf *out)
{
    yyjson_doc *doc = NULL;
    struct err e;
    bool is_change = str_eq(str_of(ask->method), STR("GET")) == 0;
    struct client_request q = {.method = ask->method,
                               .path = ask->path,
                               .content_type = ask->body.n ? "application/json" : NULL,
                               .body = ask->body,
                               .idempotency_key = is_change ? args_value(a, "idempotency-key") : NULL,
                               .timeout_ms = is_change && !args_has(a, "timeout") ? CHANGE_TIMEOUT_MS : 0};
    int rc = client_ask(c, &q, &doc, &e), code = CLI_OK;
    yyjson_val *answer = yyjson_doc_get_root(doc);
    if (rc) {
        refused(a, ask, answer, out);
        code = term_refused(&e, args_has(a, "json"), answer);
    } else if (take(a, ask, answer, out, &e)) {
        code = term_fail(&e, args_has(a, "json"));
    }
    yyjson_doc_free(doc);
    return code;
}

int cli_ask(const struct args *a, const struct cli_ask *ask)
{
    struct client c;
    struct err e;
    struct buf out;
    if (client_init(&c, a, &e))
        return term_usage(&e);
    buf_init(&out, 64 << 20);
    int code = run(&c, a, ask, &out);
    buf_done(&out);
    client_done(&c);
    return code;
}

void cli_put_query(const struct args *a, const char *flag, bool *first, struct buf *path)
{
    const char *value = args_value(a, flag);
    if (!value)
        return;
    if (path->n && path->p[path->n - 1] == '\0')
        path->n--; // client_path's
    buf_printf(path, "%c%s=", *first ? '?' : '&', flag);
    client_put_segment(str_of(value), path);
    *first = false;
}

void cli_put_reason(const struct args *a, struct buf *body)
{
    const char *reason = args_value(a, "reason");
    if (!reason)
        return;
    buf_puts(body, ",\"reason\":");
    buf_put_json_str(body, str_of(reason));
}

void cli_put_next(yyjson_val *answer, struct buf *out)
{
    char scratch[32];
    const char *next = cli_describe_scalar(yyjson_obj_get(answer, "next"), scratch);
    if (!*next)
        return;
    buf_puts(out, "There is more: --after ");
    term_put_safe(str_of(next), out);
    buf_putc(out, '\n');
}
