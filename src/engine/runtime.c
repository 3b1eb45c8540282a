// SPDX-License-Identifier: Apache-2.0
// The list of runtimes.
#include "engine/runtime.h"

const struct runtime *runtime_find(struct str engine)
{
    return str_eq(engine, str_of(runtime_onnx.name)) ? &runtime_onnx : NULL;
}
