// SPDX-License-Identifier: Apache-2.0
// `slipway serve`: its settings and its help. The server itself is started by main.c, which sees the roles.
#include "cli/cli.h"
#include "cli/term.h"
#include "settings/settings.h"

#include <string.h>
#include <unistd.h>

static void put_flags(struct buf *out)
{
    buf_puts(out, "  --config FILE             Reads settings from this YAML file. Default: the variable\n"
                  "                            SLIPWAY_CONFIG, else ./slipway.yaml if there is one.\n");
    settings_put_help(out);
    buf_puts(out,
             "  A flag wins over a variable such as SLIPWAY_MAX_BODY=64MiB, which wins over the file.\n");
}

int cli_serve_settings(int argc, char **argv, struct settings *ret)
{
    struct err e;
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return cli_help_print(&verb_serve);
    return settings_load(ret, argc - 2, argv + 2, environ, &e) ? term_usage(&e) : -1;
}

// Only help comes here: main.c takes `slipway serve` before the table is asked.
static int serve_run(const struct args *a)
{
    (void)a;
    return cli_help_print(&verb_serve);
}

const struct verb verb_serve = {
    .name = "serve",
    .summary = "Starts the server, in the foreground, until SIGTERM or Ctrl-C.",
    .usage = "slipway serve [flags]",
    .examples = "slipway serve\n"
                "slipway serve --listen 0.0.0.0:8080 --data-dir /var/lib/slipway\n"
                "slipway serve --config slipway.yaml --log-level warn",
    .put_flags = put_flags,
    .run = serve_run,
};
