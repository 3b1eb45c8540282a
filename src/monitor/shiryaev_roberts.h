// SPDX-License-Identifier: Apache-2.0
// Whether a version is wrong more often than it was: the e-SR detector of Shin, Ramdas and Rinaldo
// ("E-detectors"), after Shiryaev and Roberts. Of each label M = (M + 1) L is made, L being how much likelier
// it is at the rate p1 than at p0; an alarm is M >= A. As long as no more than p0 are wrong it comes on
// average after A labels or later, however long one watches. Pure.
//
// Labels come in batches, an hour or a day of predictions each, once, when nearly all of its labels are
// there. In which order those of a batch came is not known: they are taken in random order, from a seed of
// the batch, which changes nothing of the bound, since without a change all orders are equally likely.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SHIRYAEV_BATCH_MAX = 1000000, // labels of a batch: of more so many are drawn
    SHIRYAEV_CAP = 1000,          // M is at most so many times A, so that it falls when quality is back
};

// What is held against what.
struct shiryaev_rule {
    double expected;    // the share of wrong predictions, 0 < expected < 1; 0: of the first labels
    double ratio;       // to be found: so many times as many, > 1
    double limit;       // A
    uint64_t reference; // labels, from which `expected` is learned where it is 0
};

struct shiryaev_roberts {
    double m, peak;                      // peak: the greatest M of the newest batches
    double p0, p1;                       // 0: not known yet
    uint64_t reference, reference_wrong; // labels that p0 was learned from, or is being
    uint64_t labels, wrong;              // judged
    int64_t until;                       // hours since 1970: the labels of those before are in
};

// The next batch: labels, and how many of them were wrong. Until p0 is known they go into it: it is the upper
// end of Wilson's interval (97.5 %) for the share in the first rule->reference labels, so that a share that
// was low by chance raises no false alarms.
void shiryaev_roberts_add(struct shiryaev_roberts *d, const struct shiryaev_rule *rule, uint64_t labels,
                          uint64_t wrong, uint64_t seed);

// A detector and what it is of.
struct shiryaev_kept {
    uint64_t deployment, rule; // rule: a hash of what it says
    uint32_t arm, zero;
    struct shiryaev_roberts state;
};

// A file of them, "SLIPSR1\0" | u64 n | n times struct shiryaev_kept | u32 crc32c.
void shiryaev_encode(const struct shiryaev_kept *list, uint32_t n, struct buf *out);
// At most `max` into ret. ERR_DIGEST: damaged, or not that.
int shiryaev_decode(struct str bytes, struct shiryaev_kept *ret, uint32_t max, uint32_t *ret_n,
                    struct err *e) ERR_CHECKED;
