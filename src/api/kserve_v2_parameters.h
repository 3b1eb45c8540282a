// SPDX-License-Identifier: Apache-2.0
// The `parameters` objects of an Open Inference request. Private to src/api.
#pragma once

#include "api/values.h"

// With V2_STRINGS for models that may take strings.
enum v2_place { V2_REQUEST = 1, V2_INPUT = 2, V2_OUTPUT = 4, V2_STRINGS = 8 };

// Reads the object (or null) that starts here. Taken are those that change nothing in what we do; each other
// is ERR_UNKNOWN_FIELD, because leaving it out of account would not be what the client asked for.
int v2_parameters_decode(struct decode *d, enum v2_place place, struct err *e) ERR_CHECKED;
