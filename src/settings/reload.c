// SPDX-License-Identifier: Apache-2.0
// Which settings of a running server follow a change of their file.
#include "settings/settings.h"

#include <string.h>

static size_t size_of(const struct setting *r)
{
    switch (r->type) {
    case SETTING_BOOL:
        return sizeof(bool);
    case SETTING_INT:
    case SETTING_ENUM:
        return sizeof(uint32_t);
    case SETTING_BYTES:
    case SETTING_DURATION:
        return sizeof(uint64_t);
    case SETTING_STRING:
    case SETTING_ADDRESS:
        break;
    }
    return SETTINGS_STRING_MAX;
}

static bool differs(const struct setting *r, const char *a, const char *b)
{
    bool is_text = r->type == SETTING_STRING || r->type == SETTING_ADDRESS;
    return is_text ? strcmp(a, b) != 0 : memcmp(a, b, size_of(r)) != 0;
}

struct settings_changes settings_reload(struct settings *s, const struct settings *from)
{
    struct settings_changes changes = {0};
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *r = settings_at(i);
        char *to = (char *)s + r->offset;
        const char *value = (const char *)from + r->offset;
        if (!differs(r, to, value))
            continue;
        *(r->reloadable ? &changes.applied : &changes.fixed) |= UINT64_C(1) << i;
        if (r->reloadable)
            memcpy(to, value, size_of(r));
    }
    return changes;
}
