// SPDX-License-Identifier: Apache-2.0
#include "role/gateway/patience.h"

static const uint64_t MS = 1000000;

enum { HANGS_MIN = 2 }; // the supervisor ends a computation that takes longer than one

uint64_t patience_owed(const struct patience *p, unsigned hang_ms)
{
    return p->owed && p->quiet_ns > HANGS_MIN * hang_ms * MS ? p->oldest : 0;
}

bool patience_look(struct patience *p, const struct patience_seen *s)
{
    uint64_t passed = s->now_ns - p->looked_ns;
    bool same = p->owed && s->owes && p->oldest == s->oldest;
    if (passed > PATIENCE_LOOK_MS * MS)
        passed = PATIENCE_LOOK_MS * MS;
    p->quiet_ns = same ? p->quiet_ns + passed : 0;
    p->n_in_turn = same && p->n_in_turn > s->n_in_turn ? p->n_in_turn : s->n_in_turn;
    p->oldest = s->oldest;
    p->owed = s->owes;
    p->looked_ns = s->now_ns;
    return same && p->quiet_ns > (1 + (uint64_t)p->n_in_turn) * s->hang_ms * MS;
}
