// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets of the tensor codecs share: several interfaces, and a check of every value that was
// decoded against what yyjson reads in the body.
#pragma once

#include "api/tensors.h"

#include <yyjson.h>

struct tensors_found;

// Appends the values of input `name` in the document, and the datatype that it names, if any.
typedef void tensors_find_fn(yyjson_val *root, struct str name, bool is_only, struct tensors_found *found);

// Lists nest here; every value that is none is one of the tensor.
void tensors_found_add(struct tensors_found *found, yyjson_val *v);
void tensors_found_datatype(struct tensors_found *found, yyjson_val *name);

// The first byte chooses the interface. What is decoded is written as an answer too, which must be JSON.
void tensors_compare(const uint8_t *data, size_t n, tensors_decode_fn *decode, tensors_encode_fn *encode,
                     tensors_find_fn *find);
