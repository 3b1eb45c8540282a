// SPDX-License-Identifier: Apache-2.0
// The list of engines, asked in this order.
#include "engine/engine.h"

static const struct engine *const ENGINES[] = {&engine_trees};

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
