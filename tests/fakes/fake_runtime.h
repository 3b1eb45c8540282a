// SPDX-License-Identifier: Apache-2.0
// What a test asks the fake runtime for, see fake_runtime.c.
#pragma once

struct runtime;
extern const struct runtime runtime_fake;

enum fake_mode {
    FAKE_ABORT = -1001,
    FAKE_LOOP = -1002,
    FAKE_SLEEP = -1003, // as many milliseconds as the row's second value says
    FAKE_ALL_MEMORY = -1004,
    FAKE_NAN = -1005,
    FAKE_OF_BATCH = -1006, // the sum and the number of rows computed together
    FAKE_ERROR = -1007,
    FAKE_MORE_ROWS = -1008, // one row more than there came
    FAKE_WRONG_TYPE = -1009,
    FAKE_LOST = -1010,      // its answer gets lost; the replica goes on (fake_mute.c)
    FAKE_LONG_TEXT = -1012, // texts of as many bytes as the row's second value says
    FAKE_SLOWER = -1013,    // only where twisted: SECOND percent of the row's second value, in milliseconds
    FAKE_MUTE = -1011,      // so do all others that follow; not when another replica did so already
};

enum { FAKE_WIDTH = 3, FAKE_BATCH_ROWS = 64 };
