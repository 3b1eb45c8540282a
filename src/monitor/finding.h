// SPDX-License-Identifier: Apache-2.0
// What is said of a column that has changed: only when the effect is large enough to matter, larger than
// chance gives, and there in two of the last three windows. Two levels, each with a threshold of its own.
#pragma once

#include "monitor/drift.h"
#include "monitor/tally.h"

enum finding_kind {
    FINDING_DISTRIBUTION,
    FINDING_MISSING, // those from here on as enum drift_share
    FINDING_OUTSIDE,
    FINDING_UNSEEN,
    FINDING_WRONG,
    FINDING_KINDS
};
enum finding_level { FINDING_NONE, FINDING_WARN, FINDING_ALERT };

struct finding {
    struct drift_alert warn, alert;
    enum finding_level level;
    uint64_t since_wall_ns; // end of the window that raised it; 0 while there is none
};

const char *finding_kind_name(enum finding_kind k);   // "distribution"
const char *finding_level_name(enum finding_level l); // "warn"; "none"

// Effects from which a kind warns and alerts.
double finding_threshold(enum finding_kind k, enum profile_kind of, enum finding_level l);
// Adds the verdict of a window that ended at wall_ns. NaN in it counts as no effect.
void finding_next(struct finding *f, enum finding_kind k, const struct profile_column *c,
                  const struct verdict *v, uint64_t wall_ns);
// Effect and noise of that kind.
double finding_effect(enum finding_kind k, const struct verdict *v);
double finding_noise(enum finding_kind k, const struct verdict *v);
// Appends one sentence for people: what changed, by how much, and what it is held against.
void finding_put_text(const struct finding *f, enum finding_kind k, const struct profile_column *c,
                      const struct tally *t, const struct verdict *v, struct buf *out);
