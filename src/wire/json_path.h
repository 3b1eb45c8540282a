// SPDX-License-Identifier: Apache-2.0
// One value out of a JSON text, by a path such as "$.id", "$.instances[0].user_id" or "$.inputs.user_id[0]".
// What stands before the value is read and checked, what stands behind it is not looked at.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

// ERR_INVALID when text is no path: "$", then one or more of .NAME and [INDEX]; a name is made of anything
// but '.', '[' and ']'.
int json_path_check(struct str text, struct err *e) ERR_CHECKED;
struct json_path_step {
    struct str name; // of a field; empty: index is that of an item
    uint64_t index;
};
// Takes the next step off *path, which is a path behind its '$', or what is left of one. False when none
// stands there.
bool json_path_next(struct str *path, struct json_path_step *ret);
// The value at the path, which json_path_check takes: a string's text (with escapes undone, then in `arena`),
// or the characters of a number, true or false. False when there is none, when it is null, an array or an
// object, or when the text is not JSON up to there. Of a key that comes twice the first counts.
bool json_path_find(struct str json, struct str path, struct arena *arena, struct str *ret);
