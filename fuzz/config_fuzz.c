// SPDX-License-Identifier: Apache-2.0
// slipway.yaml: whatever the text, settings are either refused with a message or in their ranges, so that
// writing them out as flags and reading those gives the same settings.
#include "fuzz.h"

#include "settings/settings.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct settings got, again;
    struct err e = {0};
    settings_init(&got);
    int rc = settings_load_text(&got, (struct str){(const char *)data, n}, "slipway.yaml", &e);
    EXPECT(rc == 0 || (rc < 0 && rc == e.code && strncmp(e.msg, "slipway.yaml:", 13) == 0));
    if (rc)
        return 0;
    settings_init(&again);
    for (size_t i = 0; i < settings_count(); i++) {
        struct buf value;
        buf_init(&value, 4096);
        settings_put(&got, i, &value);
        EXPECT(!value.failed);
        EXPECT(settings_set(&again, str_of(settings_at(i)->key), buf_str(&value), &e) == 0);
        buf_done(&value);
    }
    EXPECT(memcmp(&got, &again, sizeof got) == 0);
    return 0;
}
