// SPDX-License-Identifier: Apache-2.0
// One input's values from JSON, nested or flat, into memory, under the policy of docs/api.md for models of
// tensors. Sizes that neither the interface nor the request says are learned from the first list of each
// level. Private to src/api.
#pragma once

#include "api/tensors.h"
#include "api/values.h"

struct tensor_read {
    struct decode *d; // only json and scratch are used
    const struct tensor_spec *spec;
    enum dtype as;      // values are held by this datatype first; the spec's own, or one the request names
    uint64_t low, high; // integers are from -low to high
    bool b64;           // {"b64":"…"} stands for a string
    bool squeezed;      // [n] came for [n,1]
    struct tensor t;    // shape[k] is -1 until it is known
    char *at, *end;     // where the next value goes; NULL: values are only measured
    size_t measured;    // bytes they take at most
};

void tensor_read_init(struct tensor_read *r, struct decode *d, const struct tensor_spec *spec);
// The request names the datatype. ERR_WRONG_TYPE when the model's cannot be made of it.
int tensor_read_datatype(struct tensor_read *r, enum dtype as, struct err *e) ERR_CHECKED;
// The request says the shape. ERR_WRONG_COUNT when the model takes another.
int tensor_read_shape(struct tensor_read *r, const int64_t *shape, uint32_t n_dims,
                      struct err *e) ERR_CHECKED;
// Looks how deep the lists nest that start here, as dimension `level` and on: for inputs of any rank, and for
// [n] in the place of [n,1].
int tensor_read_rank(struct tensor_read *r, uint32_t level, struct err *e) ERR_CHECKED;
// Bytes that the tensor which starts here takes at most; what was learned of its shape on the way stays
// known. ERR_WRONG_COUNT when the body is too short for the shape. Strings are looked through for it, and
// where nobody says how many values come those of an input with a rule, with their errors.
int tensor_read_size(struct tensor_read *r, size_t *ret_bytes, struct err *e) ERR_CHECKED;
// Takes the memory. ERR_TOO_LARGE.
int tensor_read_alloc(struct tensor_read *r, struct tensor_sink *sink, size_t bytes,
                      struct err *e) ERR_CHECKED;
// Reads what starts here as the dimensions from `level` on; a single value when there are none.
int tensor_read_values(struct tensor_read *r, uint32_t level, struct err *e) ERR_CHECKED;
// The tensor, when all is read. ERR_WRONG_COUNT when a size is still unknown.
int tensor_read_finish(struct tensor_read *r, struct tensor *ret, struct err *e) ERR_CHECKED;

// How often c stands in text.
size_t count_char(struct str text, char c);
// The input of this name; ERR_UNKNOWN_FEATURE with the nearest name.
int find_input(const struct interface *i, struct str name, uint32_t *ret, struct err *e) ERR_CHECKED;
// After all was read: what a request says of all inputs. ERR_MISSING_FEATURE when one that is needed did not
// come.
int finish_inputs(const struct interface *i, struct tensors_request *req, struct err *e) ERR_CHECKED;
// The set of all outputs.
uint64_t all_outputs(const struct interface *i);
