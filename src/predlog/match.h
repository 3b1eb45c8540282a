// SPDX-License-Identifier: Apache-2.0
// Whether a line, or all that a sealed file holds, may be what a query looks for.
#pragma once

#include "predlog/manifest.h"
#include "predlog/query.h"

#include <yyjson.h>

// Whether the id is one of q->ids, or any is looked for; and that of a line, which is read no further.
bool match_id(const struct predlog_query *q, const uint8_t id[16]);
bool match_line_id(const struct predlog_query *q, struct str line);
bool match_line(const struct predlog_query *q, yyjson_val *line);
bool match_entry(const struct predlog_query *q, const struct predlog_entry *entry);
