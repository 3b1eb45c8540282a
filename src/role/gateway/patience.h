// SPDX-License-Identifier: Apache-2.0
// How long a gateway waits for a replica that lives, as far as the supervisor can tell, and answers nothing.
// A pure function of what is seen of it now and then. It never gives up one that is slow: a computation may
// take hang_ms, as the supervisor ends what takes longer; requests of one gateway begin in their order, one
// batch of each gateway in turn. So the oldest request is answered within hang_ms for each gateway that had
// requests meanwhile, and hang_ms more for looking at it from afar.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    PATIENCE_LOOK_MS = 1000
}; // time between two looks counts as this at most: who was stopped saw nothing

struct patience { // zeroed at the start
    uint64_t looked_ns, quiet_ns, oldest;
    unsigned n_in_turn; // most that were seen while it was quiet
    bool owed;
};

struct patience_seen {
    uint64_t now_ns;
    uint64_t oldest;    // the request that it owes longest
    unsigned n_in_turn; // gateways that have requests for it, with this one
    unsigned hang_ms;
    bool owes;
};

// Whether it is to be given up now.
bool patience_look(struct patience *p, const struct patience_seen *s);
// Of one that ended: the request that it owed for so long that it was not busy with another one, though no
// answer came; 0: none. Another gateway may have given it up before us.
uint64_t patience_owed(const struct patience *p, unsigned hang_ms);
