// SPDX-License-Identifier: Apache-2.0
// SIGHUP: the settings are read again from where they came from, and told to all children.
#include "base/buf.h"
#include "role/supervisor/crew.h"
#include "role/supervisor/state.h"
#include "settings/settings.h"

#include <unistd.h>

// "max_body, log_requests"
static void put_names(uint64_t set, struct buf *out)
{
    for (size_t i = 0; i < settings_count(); i++) {
        if (!(set & UINT64_C(1) << i))
            continue;
        if (out->n)
            buf_puts(out, ", ");
        buf_puts(out, settings_at(i)->key);
    }
}

static void log_changes(const struct supervisor *s, struct settings_changes changes)
{
    enum { NAMES_MAX = 4096 };
    struct buf applied, fixed;
    buf_init(&applied, NAMES_MAX);
    buf_init(&fixed, NAMES_MAX);
    put_names(changes.applied, &applied);
    put_names(changes.fixed, &fixed);
    if (changes.fixed)
        log_event(&s->log, LOG_LEVEL_WARN, "settings_need_restart", LOG_STR("settings", buf_str(&fixed)),
                  LOG_Z("reason", "these are fixed at start; their old values stay"));
    log_event(&s->log, LOG_LEVEL_INFO, "settings_reloaded", LOG_STR("changed", buf_str(&applied)));
    buf_done(&applied);
    buf_done(&fixed);
}

void supervisor_reload(struct supervisor *s)
{
    struct supervision_settings message;
    struct err e = {0};
    if (settings_load(&message.settings, s->n_flags, s->flags, environ, &e)) {
        log_event(&s->log, LOG_LEVEL_ERROR, "settings_invalid", LOG_Z("code", err_name(e.code)),
                  LOG_Z("error", e.msg), LOG_Z("hint", e.hint),
                  LOG_Z("reason", "nothing was changed: the server goes on with the settings it has"));
        return;
    }
    struct settings_changes changes = settings_reload(s->settings, &message.settings);
    s->log.level = (enum log_level)s->settings->log_level;
    log_changes(s, changes);
    if (!changes.applied)
        return;
    message.settings = *s->settings;
    // One that does not run gets them as flags when it is started.
    for (unsigned i = 0; i < s->n_children; i++)
        (void)child_tell(&s->children[i], SUPERVISION_SETTINGS, &message, NULL, 0);
    crew_reload(s->crew);
}
