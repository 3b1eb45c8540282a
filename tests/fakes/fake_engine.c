// SPDX-License-Identifier: Apache-2.0
// The list of engines of fake_server, in place of engine/engine.c: the whole server, but models run in the
// fake runtime. A model file of it is a space and then the JSON of an interface, whose first key is the
// platform "fake".
#include "fake_runtime.h"

#include "engine/engine.h"

#include <string.h>

static const char *detect(const uint8_t *bytes, size_t size)
{
    static const char BEGIN[] = " {\"platform\":\"fake\"";
    return size >= sizeof BEGIN - 1 && memcmp(bytes, BEGIN, sizeof BEGIN - 1) == 0 ? "fake" : NULL;
}

static const struct engine engine_fake = {.name = "fake", .runtime = &runtime_fake, .detect = detect};

const struct engine *engine_detect(const uint8_t *bytes, size_t size, const char **ret_format)
{
    const char *format = detect(bytes, size);
    if (format)
        *ret_format = format;
    return format ? &engine_fake : NULL;
}

const struct engine *engine_find(struct str name)
{
    return str_eq(name, str_of(engine_fake.name)) ? &engine_fake : NULL;
}
