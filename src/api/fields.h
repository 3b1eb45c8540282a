// SPDX-License-Identifier: Apache-2.0
// Fields of requests that models of rows and models of tensors have in common. Each reads the value that
// starts here. Private to src/api.
#pragma once

#include "api/values.h"

// A string; ERR_WRONG_TYPE for anything else.
int field_string(struct decode *d, struct str *ret, struct err *e) ERR_CHECKED;
// V2 `id`, copied into the arena. ERR_TOO_LARGE.
int field_id(struct decode *d, struct str *ret, struct err *e) ERR_CHECKED;
// One size of a V2 `shape`. ERR_OUT_OF_RANGE.
int field_dim(struct decode *d, uint64_t *ret, struct err *e) ERR_CHECKED;
// A list, of which read takes each item.
int field_list(struct decode *d, int (*read)(void *context, struct err *e), void *context, uint32_t *ret_n,
               struct err *e) ERR_CHECKED;
// V1 `signature_name`: "serving_default".
int field_signature_name(struct decode *d, struct err *e) ERR_CHECKED;
// V1 `parameters`: null or empty.
int field_parameters(struct decode *d, struct err *e) ERR_CHECKED;
