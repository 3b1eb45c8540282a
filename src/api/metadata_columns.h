// SPDX-License-Identifier: Apache-2.0
// What may stand in a model's inputs, as metadata of the Open Inference Protocol: `parameters` of an input,
// whose values are texts, numbers and truth values there. Private to src/api.
#pragma once

#include "base/buf.h"
#include "tensor/interface.h"
#include "tensor/signature.h"

// Appends ,"parameters":{"mode":"strict","type":"number","missing":false,"min":0,"max":120,
// "categories":"[\"a\",\"b\"]"} of an input with a rule; nothing without one.
void metadata_put_tensor_rule(const struct tensor_spec *s, struct buf *out);
// The same of the one input that holds all features: ,"parameters":{"columns":"[{\"name\":\"age\",…},…]"}, a
// JSON array with those that have a rule or named categories, whose members are as above but lists are lists.
void metadata_put_feature_rules(const struct signature *sig, struct buf *out);
