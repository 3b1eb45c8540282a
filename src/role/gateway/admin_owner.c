// SPDX-License-Identifier: Apache-2.0
// The table of admin routes by their process. What no row matches is the controller's, who also answers what
// nothing is served at.
#include "role/gateway/admin_owner.h"

#include <stddef.h>

static const struct {
    const char *pattern; // {} takes one segment; what follows the pattern behind a '/' is part of it
    enum admin_owner owner;
} OWNERS[] = {
    {"/api/v1/log", ADMIN_MONITOR},
    {"/api/v1/feedback", ADMIN_MONITOR},
    {"/api/v1/alerts", ADMIN_MONITOR},
    {"/api/v1/models/{}/drift", ADMIN_MONITOR},
    {"/api/v1/models/{}/quality", ADMIN_MONITOR},
    {"/api/v1/models/{}/baseline", ADMIN_MONITOR},
};

static bool begins_with(struct str path, struct str pattern)
{
    while (pattern.n) {
        struct str want = str_split(&pattern, '/'), have = str_split(&path, '/');
        if (!str_eq(want, have) && !(str_eq(want, STR("{}")) && have.n))
            return false;
    }
    return true;
}

enum admin_owner admin_owner_of(struct str path)
{
    for (size_t i = 0; i < sizeof OWNERS / sizeof OWNERS[0]; i++)
        if (begins_with(path, str_of(OWNERS[i].pattern)))
            return OWNERS[i].owner;
    return ADMIN_CONTROLLER;
}
