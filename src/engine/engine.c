// SPDX-License-Identifier: Apache-2.0
// The list of engines, asked in this order.
#include "engine/engine.h"

static const struct engine *const ENGINES[] = {&engine_trees, &engine_onnx};

const struct engine *engine_detect(const uint8_t *bytes, size_t size, const char **ret_format)
{
    for (size_t i = 0; i < sizeof ENGINES / sizeof ENGINES[0]; i++) {
        const char *format = ENGINES[i]->detect(bytes, size);
        if (format) {
            *ret_format = format;
            return ENGINES[i];
        }
    }
    return NULL;
}

const struct engine *engine_find(struct str name)
{
    for (size_t i = 0; i < sizeof ENGINES / sizeof ENGINES[0]; i++)
        if (str_eq(name, str_of(ENGINES[i]->name)))
            return ENGINES[i];
    return NULL;
}
