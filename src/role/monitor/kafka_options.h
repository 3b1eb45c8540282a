// SPDX-License-Identifier: Apache-2.0
// Options of librdkafka as users write them: "name=value", in a setting separated by spaces, in a file one a
// line, where "#" begins a comment line. Setting and command line can be seen by others, so secrets are taken
// from the file only; no value of the file is ever repeated in a message.
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

struct kafka_option {
    struct str name, value;
    unsigned line; // of the file
};

// The next of `rest`, which is advanced: 1, 0 at the end, or ERR_INVALID with what is wrong. ret->line counts
// on from what it is: begin with 0.
int kafka_options_next(struct str *rest, bool is_file, struct kafka_option *ret, struct err *e) ERR_CHECKED;
