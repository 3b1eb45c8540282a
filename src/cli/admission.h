// SPDX-License-Identifier: Apache-2.0
// What the server found out when it tried a version, as people read it.
#pragma once

#include "base/buf.h"

#include <yyjson.h>

// Appends the line of a step: "  golden     passed    3.1 ms  200 rows, alone and together".
void cli_admission_step(yyjson_val *step, struct buf *out);
// Appends the report of a version: its steps, and the profile of its latency. Nothing when there is none.
void cli_admission_report(yyjson_val *report, struct buf *out);
