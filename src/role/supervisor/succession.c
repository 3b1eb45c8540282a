// SPDX-License-Identifier: Apache-2.0
// The supervisor may be killed at any time. What its successor needs lies with the controller, which gets it
// again after each turn in which something changed: all of it, because the parts must belong together and
// changes are rare. What happened in the last turn and did not get there is undone by the successor: a child
// that it does not know has a socket whose other end is gone, and ends by itself.
#include "base/clock.h"
#include "role/ipc.h"
#include "role/link.h"
#include "role/supervisor/crew.h"
#include "role/supervisor/handover.h"
#include "role/supervisor/post.h"
#include "role/supervisor/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What SIGHUP and systemd's messages go by. The rest of the environment is the children's, who have it.
static bool is_passed(const char *variable)
{
    static const char *const PASSED[] = {"SLIPWAY_", "NOTIFY_SOCKET=", "WATCHDOG_USEC="};
    for (size_t i = 0; i < sizeof PASSED / sizeof PASSED[0]; i++)
        if (str_starts(str_of(variable), str_of(PASSED[i])))
            return true;
    return false;
}

static void put_sources(const struct supervisor *s, struct handover *h)
{
    struct buf b;
    buf_init(&b, HANDOVER_BYTES_MAX);
    for (int i = 0; i < s->n_flags; i++)
        buf_put(&b, s->flags[i], strlen(s->flags[i]) + 1);
    handover_put(h, HANDOVER_FLAGS, b.p, b.n);
    bool failed = b.failed;
    buf_clear(&b);
    for (char **v = environ; *v; v++)
        if (is_passed(*v))
            buf_put(&b, *v, strlen(*v) + 1);
    handover_put(h, HANDOVER_ENVIRON, b.p, b.n);
    h->records.failed = h->records.failed || failed || b.failed;
    buf_done(&b);
}

static int take_flags(struct supervisor *s, struct str texts, struct err *e)
{
    size_t n = 0;
    for (size_t i = 0; i < texts.n; i++)
        n += texts.p[i] == '\0';
    // The list, and behind it what it points to.
    s->own_flags = malloc((n + 1) * sizeof(char *) + texts.n);
    if (!s->own_flags)
        return err_set(e, ERR_NOMEM, "out of memory");
    char *text = (char *)(s->own_flags + n + 1);
    if (texts.n)
        memcpy(text, texts.p, texts.n);
    for (size_t i = 0; i < n; i++, text += strlen(text) + 1)
        s->own_flags[i] = text;
    s->own_flags[n] = NULL;
    s->n_flags = (int)n;
    s->flags = s->own_flags;
    return 0;
}

static int take_environ(struct str texts, struct err *e)
{
    while (texts.n) {
        struct str text = str_split(&texts, '\0'), value = text, name = str_split(&value, '=');
        char *copy = str_dup(name);
        // The value ends where the text does: in a NUL.
        int rc = copy ? setenv(copy, value.p, 1) : -1;
        free(copy);
        if (rc)
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    return 0;
}

int succession_restore_sources(struct supervisor *s, struct handover *h, struct err *e)
{
    int rc = 0;
    if (handover_peek(h) == HANDOVER_FLAGS)
        rc = take_flags(s, handover_next_bytes(h), e);
    if (rc == 0 && handover_peek(h) == HANDOVER_ENVIRON)
        rc = take_environ(handover_next_bytes(h), e);
    return rc;
}

void succession_put(const struct supervisor *s, struct handover *h)
{
    (void)handover_keep(h, s->self_fd); // the first, as agreed in supervision.h
    struct handover_server r = {
        .format = HANDOVER_FORMAT,
        .n_gateways = s->n_gateways,
        .pid = getpid(),
        .lock = handover_keep(h, s->lock_fd),
        .metrics = handover_keep(h, s->metrics_fd),
        .last_number = s->crew->last_number,
        .announced = s->announced,
        .stopping = s->stopping,
        .exit_code = s->exit_code,
        .started_mono_ns = s->started_mono_ns,
        .ipc_protocol = IPC_PROTOCOL,
        .link_protocol = LINK_PROTOCOL,
        .supervision_bytes = sizeof(struct supervision_message),
        .supervision_protocol = SUPERVISION_PROTOCOL,
        .log = handover_keep(h, s->log_fd),
    };
    snprintf(r.url, sizeof r.url, "%s", s->url);
    handover_put(h, HANDOVER_SERVER, &r, sizeof r);
    put_sources(s, h);
    for (unsigned i = 0; i < s->n_children; i++)
        child_save(&s->children[i], h);
    crew_save(s->crew, h);
}

void succession_save(struct supervisor *s)
{
    struct child *controller = &s->children[s->n_gateways];
    struct err e;
    // One after the other: what waits in the socket goes first, and then the newest.
    if (!s->unsaved || controller->says.fd < 0 || msg_conn_pending(&controller->supervision))
        return;
    s->unsaved = false;
    struct handover *h = handover_new();
    if (h)
        succession_put(s, h);
    int rc = h ? handover_send(h, &controller->supervision, &e) : err_set(&e, ERR_NOMEM, "out of memory");
    if (rc == 0 && msg_conn_pending(&controller->supervision))
        rc = loop_change(s->loop, &controller->says, EPOLLIN | EPOLLOUT, &e);
    bool failed = rc && rc != ERR_UNAVAILABLE; // else it has died, and the next one gets it
    if (failed)
        log_event(&s->log, LOG_LEVEL_ERROR, "state_not_saved", LOG_Z("error", e.msg));
    else if (s->save_failed)
        log_event(&s->log, LOG_LEVEL_INFO, "state_saved");
    s->save_failed = failed;
    handover_free(h);
}

int succession_restore(struct supervisor *s, struct handover *h, struct msg_conn *conn, struct err *e)
{
    for (unsigned i = 0; i < s->n_children; i++) {
        if (handover_peek(h) != HANDOVER_CHILD)
            return err_set(e, ERR_INVALID, "the server's state does not have all its processes");
        child_restore(&s->children[i], h, i == s->n_gateways ? conn : NULL);
    }
    for (unsigned i = 0; i < s->n_children; i++)
        (void)child_tell(&s->children[i], SUPERVISION_BOARD, NULL, &s->board_fd, 1);
    s->moved = s->unsaved = true;
    return crew_restore(s->crew, h, e);
}
