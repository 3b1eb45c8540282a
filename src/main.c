// SPDX-License-Identifier: Apache-2.0
// Picks a role or a verb, nothing else. The server starts its children from this same binary; their names
// begin with @ and are no verbs.
#include "base/clock.h"
#include "cli/cli.h"
#include "role/baseline.h"
#include "role/compile.h"
#include "role/entry.h"
#include "role/forecast.h"
#include "role/log_worker.h"
#include "role/look.h"
#include "role/notify.h"
#include "role/role.h"
#include "role/store.h"
#include "role/supervisor/supervisor.h"
#include "role/sweep.h"
#include "settings/settings.h"

#include <string.h>

static const struct entry_mains MAINS = {.gateway = gateway_main,
                                         .controller = controller_main,
                                         .monitor = monitor_main,
                                         .replica = replica_main,
                                         .supervisor = supervisor_successor_main};

static int serve(int argc, char **argv, uint64_t started_mono_ns)
{
    static struct settings settings; // some kilobytes; lives as long as the process
    int code = cli_serve_settings(argc, argv, &settings);
    return code >= 0 ? code : supervisor_main(&settings, argc - 2, argv + 2, started_mono_ns);
}

int main(int argc, char **argv)
{
    uint64_t started_mono_ns = clock_mono_ns();
    if (entry_is_role(argc, argv))
        return entry_main(&MAINS, argc, argv);
    if (argc > 1 && strcmp(argv[1], COMPILE_ROLE) == 0)
        return compile_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], BASELINE_ROLE) == 0)
        return baseline_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], LOG_WORKER_ROLE) == 0)
        return log_worker_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], STORE_ROLE) == 0)
        return store_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], SWEEP_ROLE) == 0)
        return sweep_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], FORECAST_ROLE) == 0)
        return forecast_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], LOOK_ROLE) == 0)
        return look_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], NOTIFY_ROLE) == 0)
        return notify_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return serve(argc, argv, started_mono_ns);
    return cli_main(argc, argv);
}
