// SPDX-License-Identifier: Apache-2.0
// Whether a line, or all that a sealed file holds, may be what a query looks for.
#pragma once

#include "predlog/manifest.h"
#include "predlog/query.h"

#include <yyjson.h>

bool match_line(const struct predlog_query *q, yyjson_val *line);
bool match_entry(const struct predlog_query *q, const struct predlog_entry *entry);
