// SPDX-License-Identifier: Apache-2.0
// The list of engines of fake_server, in place of engine/engine.c: the whole server, but a fake
// runtime in place of ONNX Runtime. A model file of it is a space and then the JSON of an interface, whose
// first key is the platform "fake".
#include "fake_runtime.h"

#include "engine/engine.h"

#include <string.h>

static const char *detect(const uint8_t *bytes, size_t size)
{
    static const char BEGIN[] = " {\"platform\":\"fake\"";
    return size >= sizeof BEGIN - 1 && memcmp(bytes, BEGIN, sizeof BEGIN - 1) == 0 ? "fake" : NULL;
}

static const struct engine engine_fake = {.name = "fake", .runtime = &runtime_fake, .detect = detect};
static const struct engine *const ENGINES[] = {&engine_fake, &engine_trees};

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
