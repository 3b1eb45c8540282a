// SPDX-License-Identifier: Apache-2.0
// `slipway version`: which build this is.
#include "cli/cli.h"
#include "cli/term.h"

#include <openssl/opensslv.h>
#include <yaml.h>
#include <yyjson.h>

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static int version_run(const struct args *a)
{
    struct err e;
    struct buf b;
    buf_init(&b, 4096);
    if (args_has(a, "json")) {
        buf_puts(&b, "{\"version\":");
        buf_put_json_str(&b, STR(SLIPWAY_VERSION));
        buf_puts(&b, ",\"compiler\":");
        buf_put_json_str(&b, STR(COMPILER));
        buf_puts(&b, ",\"libraries\":{\"yyjson\":");
        buf_put_json_str(&b, STR(YYJSON_VERSION_STRING));
        buf_puts(&b, ",\"openssl\":");
        buf_put_json_str(&b, STR(OPENSSL_VERSION_STR));
        buf_puts(&b, ",\"libyaml\":");
        buf_put_json_str(&b, str_of(yaml_get_version_string()));
        buf_puts(&b, "}}\n");
    } else {
        buf_puts(&b, "slipway " SLIPWAY_VERSION "\n");
    }
    int rc = term_write(&b, &e) ? term_fail(&e, false) : CLI_OK;
    buf_done(&b);
    return rc;
}

const struct verb verb_version = {
    .name = "version",
    .summary = "Shows the version of this program.",
    .usage = "slipway version [--json]",
    .examples = "slipway version\nslipway version --json",
    .flags =
        (const struct flag[]){{.name = "json", .help = "Also names compiler and libraries, as JSON."}, {0}},
    .run = version_run,
};
