// SPDX-License-Identifier: Apache-2.0
// What is kept of a move: when, who, what, and everything that was known of each guardrail, as one line of
// JSON. The judgement in it is computed from the counts in it, so reading the records again must give the
// same lines to the byte; a record that was altered, or a program that judges otherwise, is found.
#pragma once

#include "base/buf.h"
#include "rollout/plan.h"

// The inputs of a move. What a move needs beside these is in the request and in the moves before it.
struct rollout_input {
    uint64_t wall_ns;
    enum plan_event event;
    char actor[LIMIT_ROLLOUT_ACTOR_BYTES + 1]; // "rollout" when nobody did it
    char note[LIMIT_ROLLOUT_NOTE_BYTES + 1];   // may be empty
    struct counts assigned[GUARD_ARMS_MAX];    // requests by the arm that the router chose
    struct counts drawn[GUARD_ARMS_MAX];       // likewise, each sticky key once: draws that are independent
    // For several arms the weights in the counts are those of the pair, w / (w + baseline's). In the shadow
    // phase pairs that differ are counted at a weight of one half; these are other tallies than those of the
    // steps.
    struct tally tallies[GUARD_ARMS_MAX][GUARDS_MAX];
    // Requests by the range of their score, for the guardrail on a distribution; of pairs those where one
    // version alone is in the range.
    struct counts ranges[GUARD_ARMS_MAX][SCORE_RANGES];
};

// Judges all arms as things stand; *ret is about the rollout: it fails when one arm fails, passes when all
// pass. ret_arms: one for each arm.
void rollout_judge(const struct rollout_spec *spec, const struct plan *p, const struct rollout_input *in,
                   struct judgement *ret_arms, struct judgement *ret);
// Requests or pairs that the arm with the fewest has had.
uint64_t rollout_requests(const struct rollout_spec *spec, const struct rollout_input *in);
// Moves the plan and appends the record of the move, without a newline. On failure the plan is as it was and
// nothing of the record is to be used. ERR_CONFLICT as plan_apply; ERR_TOO_LARGE when the record does not
// fit.
int rollout_move(const struct rollout_spec *spec, struct plan *p, const struct rollout_input *in,
                 enum plan_action *ret_action, struct buf *json, struct err *e) ERR_CHECKED;
// Appends ,"ranges":[…]: the counts of each, as in a record.
void rollout_ranges_encode(const struct counts ranges[SCORE_RANGES], struct buf *json);
// The inputs from a record. ERR_BAD_JSON, ERR_TOO_LARGE, ERR_INVALID with a path, ERR_NOMEM.
int rollout_record_decode(struct str json, struct rollout_input *ret, struct err *e) ERR_CHECKED;
// Runs one record on top of the plan that those before it gave, and compares what it gives with the record.
// ERR_CONFLICT names the first difference. A move that nobody made must have been due.
int rollout_replay(const struct rollout_spec *spec, struct plan *p, struct str json,
                   struct err *e) ERR_CHECKED;
