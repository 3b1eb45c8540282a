// SPDX-License-Identifier: Apache-2.0
// Asks a monitor as a gateway does: over its socket, while its loop runs. The monitor has what the route
// needs and no loop; a folder of its own is its data directory.
#pragma once

#include "base/buf.h"
#include "role/monitor/monitor.h"
#include "tempdir.h"

struct answer {
    int status;
    struct buf body; // all lines where there are any; NUL behind the last byte
};

// Sets loop, args and data_dir.
void asker_start(struct monitor *m, struct settings *settings);
void asker_stop(struct monitor *m);
// The whole answer; the caller frees the body. takes_lines: as a client of application/x-ndjson.
void asker_ask(struct monitor *m, const char *method, const char *path, bool takes_lines, struct str body,
               struct answer *ret);
