// SPDX-License-Identifier: Apache-2.0
// What the supervisor says. When it has ended and nobody follows it, another server may take the data
// directory at once, so that nothing more may be written there.
#include "role/monitor/monitor.h"

#include "role/board.h"
#include "role/supervision.h"
#include "settings/settings.h"

#include <unistd.h>

// A new supervisor has a board of its own: nobody can write to that of the old one any more.
static void take_board(struct monitor *m, int fd)
{
    struct err e;
    const struct board *b;
    if (board_attach(fd, &b, &e)) {
        log_event(&m->log, LOG_LEVEL_ERROR, "supervision_error", LOG_Z("message", e.msg));
    } else {
        board_done(m->board);
        m->board = b;
    }
    close(fd);
}

static void reload(struct monitor *m, const struct settings *s)
{
    settings_reload(m->settings, s);
    m->log.level = (enum log_level)m->settings->log_level;
    log_event(&m->log, LOG_LEVEL_DEBUG, "settings_applied");
}

static void on_ready(struct watch *w, uint32_t events)
{
    (void)events;
    struct monitor *m = (struct monitor *)((char *)w - offsetof(struct monitor, says));
    struct supervision_message s;
    struct err e = {0};
    int rc = msg_conn_fill(&m->supervision, &e), taken;
    while ((taken = supervision_take(&m->supervision, SUPERVISION_FROM_SUPERVISOR, &s, &e)) > 0) {
        if (s.type == SUPERVISION_BOARD)
            take_board(m, s.fds[0]);
        else if (s.type == SUPERVISION_SETTINGS)
            reload(m, &s.settings.settings);
        else
            for (unsigned i = 0; i < s.n_fds; i++)
                close(s.fds[i]);
    }
    if (rc == 0)
        rc = taken;
    if (rc == 0)
        return;
    log_event(&m->log, LOG_LEVEL_WARN, "orphaned", LOG_Z("message", e.msg));
    monitor_leave_supervisor(m);
    loop_stop(m->loop);
}

int monitor_hear_supervisor(struct monitor *m, struct err *e)
{
    m->says = (struct watch){m->args->supervision_fd, on_ready};
    if (m->says.fd < 0)
        return 0;
    supervision_init(&m->supervision, m->says.fd);
    return loop_add(m->loop, &m->says, EPOLLIN, e);
}

void monitor_leave_supervisor(struct monitor *m)
{
    if (m->says.fd < 0)
        return;
    loop_remove(m->loop, &m->says);
    msg_conn_done(&m->supervision);
    m->says.fd = -1;
}
