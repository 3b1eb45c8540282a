// SPDX-License-Identifier: Apache-2.0
// `slipway upgrade`: the running server goes on as another program, without a refused connection.
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/term.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { UPGRADE_MS = 120000 };

// The server resolves names from its own folder, which is not ours.
static int put_body(const char *path, struct buf *out, struct err *e)
{
    if (!path)
        return 0;
    char *whole = realpath(path, NULL);
    if (!whole)
        return err_set(e, ERR_NOT_FOUND, "'%s' cannot be opened: %s", path, strerrordesc_np(errno));
    buf_puts(out, "{\"binary\":");
    buf_put_json_str(out, str_of(whole));
    buf_putc(out, '}');
    free(whole);
    return 0;
}

static int upgrade_run(const struct args *a)
{
    struct client c;
    struct err e;
    struct buf body, out;
    yyjson_doc *doc = NULL;
    buf_init(&body, 1 << 16);
    buf_init(&out, 1 << 16);
    int rc = client_init(&c, a, &e);
    if (rc)
        return term_usage(&e);
    rc = put_body(args_value(a, "binary"), &body, &e);
    struct client_request q = {.method = "POST",
                               .path = "/api/v1/upgrade",
                               .content_type = "application/json",
                               .body = buf_str(&body),
                               .timeout_ms = UPGRADE_MS};
    if (rc == 0)
        rc = client_json(&c, &q, &doc, &e);
    if (rc == 0 && args_has(a, "json")) {
        rc = term_put_json(yyjson_doc_get_root(doc), &out, &e);
    } else if (rc == 0) {
        buf_puts(&out, "The server runs version ");
        const char *version = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "version"));
        term_put_safe(str_of(version), &out);
        buf_puts(&out, " in all its processes.\n");
    }
    if (rc == 0)
        rc = term_write(&out, &e);
    yyjson_doc_free(doc);
    buf_done(&body);
    buf_done(&out);
    client_done(&c);
    return rc ? term_fail(&e, args_has(a, "json")) : CLI_OK;
}

const struct verb verb_upgrade = {
    .name = "upgrade",
    .summary = "Lets the running server go on as a new program, without a refused connection.",
    .usage = "slipway upgrade [--binary PATH] [flags]",
    .examples = "slipway upgrade                        # the file was replaced where it lies\n"
                "slipway upgrade --binary /opt/slipway-2/slipway",
    .flags =
        (const struct flag[]){{.name = "binary",
                               .value = "PATH",
                               .help = "The new program; default: where the running one was started from."},
                              CLI_CLIENT_FLAGS,
                              {0}},
    .run = upgrade_run,
};
