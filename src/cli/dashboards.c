// SPDX-License-Identifier: Apache-2.0
// `slipway dashboards`: Grafana's dashboards and Prometheus' alert rules, as they fit this version's metrics.
#include "cli/dashboards.h"

#include "cli/cli.h"
#include "cli/outdir.h"
#include "cli/term.h"

static int write_all(const char *path, bool force, struct buf *said, struct err *e)
{
    struct outdir o;
    int rc = outdir_open(&o, path, force, e);
    for (unsigned i = 0; rc == 0 && i < N_DASHBOARD_FILES; i++) {
        rc = outdir_write(&o, DASHBOARD_FILES[i].name, str_of(DASHBOARD_FILES[i].text), e);
        buf_printf(said, "%s/%s\n", path, DASHBOARD_FILES[i].name);
    }
    outdir_close(&o, rc == 0);
    return rc ? rc : term_write(said, e);
}

static int dashboards_run(const struct args *a)
{
    struct err e;
    struct buf said;
    const char *path = args_value(a, "out");
    buf_init(&said, 1 << 20);
    int rc = write_all(path ? path : "slipway-dashboards", args_has(a, "force"), &said, &e);
    buf_done(&said);
    return rc ? term_fail(&e, false) : CLI_OK;
}

const struct verb verb_dashboards = {
    .name = "dashboards",
    .summary = "Writes dashboards for Grafana and alert rules for Prometheus.",
    .usage = "slipway dashboards [--out DIR]",
    .examples = "slipway dashboards\nslipway dashboards --out /etc/slipway-monitoring --force",
    .flags =
        (const struct flag[]){
            {.name = "out", .value = "DIR", .help = "Directory for the files. Default slipway-dashboards."},
            {.name = "force", .help = "Replaces files that are there."},
            {0}},
    .run = dashboards_run,
};
