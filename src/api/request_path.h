// SPDX-License-Identifier: Apache-2.0
// Whether a prediction request can have a value at a path such as "$.instances[0].user_id", by the signature
// of its model: requests with fields that the protocols do not have, or columns that the model does not, are
// refused, so that such a path would never find anything.
#pragma once

#include "tensor/schema.h"

// False also when path is none (wire/json_path.h), or leads to an array or an object. What cannot be told by
// the signature, such as how many rows there are, is taken to be possible.
bool request_path_is_possible(const struct schema *s, struct str path);
// One that is, of the first input.
void request_path_example(const struct schema *s, char *ret, size_t size);
