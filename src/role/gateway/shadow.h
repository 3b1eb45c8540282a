// SPDX-License-Identifier: Apache-2.0
// Mirrored requests: what the baseline was asked, a shadow is asked later, and only what both said is kept.
// Behind everything else: copied into a queue of bounded size, computed when the turn's answers are written,
// with a bounded part of the time, one request a turn; what does not fit is dropped and counted. Counts are
// in trial.c.
#pragma once

#include "role/gateway/trial.h"

struct call;
struct link_response;
struct mirror;
struct tensor;

enum {
    SHADOW_QUEUE = 256,            // mirrored requests that one gateway has
    SHADOW_QUEUE_BYTES = 16 << 20, // of their bodies
    SHADOW_IN_FLIGHT = 4,          // that a shadow in replicas computes at a time, of one gateway
    SHADOW_VALUES = 4096,          // of an answer that are compared, of its first rows
};

// Mirrors a request of the baseline, when it is its turn; part->mirror is then set. Called before it is
// answered, while its body is there.
void shadow_mirror(struct gateway *g, struct trial_part *part, const struct split *s, bool v2,
                   struct str body);
// What the baseline answered to it: outputs (n_rows, n_outputs) of d, or results of its interface. id: of the
// prediction. Without either of them it failed. NULL is fine.
void shadow_answered_rows(struct mirror *m, const struct deployment *d, const void *outputs, uint32_t n_rows,
                          const char *id);
void shadow_answered_tensors(struct mirror *m, const struct deployment *d, const struct tensor *results,
                             const char *id);
// The baseline's request has ended: the shadow may be asked. is_known: what became of it.
void shadow_release(struct mirror *m, bool is_known);

// Computes, or sends, what its time allows. At the end of each turn.
void shadow_work(struct gateway *g);
// For call.c: the shadow's own answer; results NULL: it failed.
void shadow_done(struct mirror *m, const struct deployment *d, const struct tensor *results);
// Its call has ended without an answer that counts.
void shadow_lost(struct mirror *m);
// Before the backends are closed. What replicas have is freed with its calls.
void shadow_free(struct gateway *g);
