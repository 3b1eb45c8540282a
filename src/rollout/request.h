// SPDX-License-Identifier: Apache-2.0
// What somebody asks for when starting a rollout, read strictly: unknown fields, wrong types and values out
// of range are errors that name the field, the value and what was expected. docs/rollouts.md lists the
// fields.
#pragma once

#include "base/limits.h"
#include "rollout/judge.h"

enum { ROLLOUT_STEPS_MAX = 32, ROLLOUT_KEY_BYTES = 256 };

enum rollout_strategy {
    STRATEGY_CANARY, // steps of growing weight, then baking, then promotion
    STRATEGY_SHADOW, // mirrored traffic only; a person decides
    STRATEGY_AB,     // fixed weights for one or several arms; a person decides
    STRATEGIES,
};
enum rollout_on_fail { ON_FAIL_ROLLBACK, ON_FAIL_FREEZE };
enum rollout_on_timeout { ON_TIMEOUT_HOLD, ON_TIMEOUT_ROLLBACK, ON_TIMEOUT_ADVANCE };
enum rollout_key { KEY_NONE, KEY_HEADER, KEY_QUERY, KEY_JSON };

struct rollout_step {
    uint32_t weight_bp; // of all arms together
    uint32_t min_seconds, max_seconds;
    uint64_t min_requests;  // of the canary, or pairs of the shadow
    bool advance_undecided; // goes on when nothing is shown by then; else it waits
};

struct rollout_arm {
    char version[LIMIT_ALIAS_BYTES + 1];
    uint32_t weight_bp;
};

struct rollout_spec {
    char model[LIMIT_MODEL_NAME_BYTES + 1];
    char baseline[LIMIT_ALIAS_BYTES + 1]; // an alias or a version number
    enum rollout_strategy strategy;
    enum rollout_key key;
    char key_name[ROLLOUT_KEY_BYTES + 1]; // of the header or query parameter, or the path "$.user_id"
    bool shield;                          // the stable version answers what the canary fails
    bool allow_breaking;                  // also versions whose signature breaks clients of the baseline
    enum rollout_on_fail on_fail;
    enum rollout_on_timeout on_timeout;
    uint32_t n_arms; // 1 unless the strategy is ab
    struct rollout_arm arms[GUARD_ARMS_MAX];
    bool has_shadow; // before the first step
    struct rollout_step shadow;
    enum rollout_key segment; // by what mirrored requests are told apart in the report
    char segment_name[ROLLOUT_KEY_BYTES + 1];
    uint32_t n_steps;
    struct rollout_step steps[ROLLOUT_STEPS_MAX]; // weights grow
    uint32_t holdback_bp, bake_seconds;
    uint32_t ready_seconds; // for replicas to be ready before a weight moves
    uint32_t undo_seconds;  // for which the old version is kept after promotion
    struct judge_rules rules;
};

// ERR_BAD_JSON, ERR_TOO_LARGE, ERR_DUPLICATE_KEY, ERR_UNKNOWN_FIELD, ERR_INVALID (also: a field is missing),
// ERR_WRONG_TYPE, ERR_WRONG_COUNT, ERR_OUT_OF_RANGE, ERR_NOMEM; the path is in e.
int rollout_request_decode(struct str json, struct rollout_spec *ret, struct err *e) ERR_CHECKED;

const char *rollout_strategy_name(enum rollout_strategy s);
