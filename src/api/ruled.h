// SPDX-License-Identifier: Apache-2.0
// Values of columns that have a rule or named categories. Private to src/api.
#pragma once

#include "api/values.h"

// Each stores what the model gets in its type. to: one value of rows.
int ruled_missing(struct decode *d, const struct feature *f, void *to, struct err *e) ERR_CHECKED;
int ruled_bool(struct decode *d, const struct feature *f, bool said, void *to, struct err *e) ERR_CHECKED;
// The string that starts here; an error as for any other feature where it has neither.
int ruled_text(struct decode *d, const struct feature *f, void *to, struct err *e) ERR_CHECKED;
// Counts what was seen of one value, also one that is refused.
void ruled_count(struct rule_counts **counts, uint32_t *n_warnings, struct arena *a, struct rule_seen seen);
