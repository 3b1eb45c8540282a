// SPDX-License-Identifier: Apache-2.0
// Supervision messages: one table says who sends what, how long it is and with how many descriptors. All
// other files get whole structs whose words end.
#include "role/supervision.h"

#include "base/assert.h"
#include "role/board.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct form {
    uint8_t from; // set of enum supervision_sender
    uint8_t min_fds, max_fds;
    uint16_t bytes;
} FORMS[] = {
    [SUPERVISION_SERVE] = {SUPERVISION_FROM_CONTROLLER, 0, 2, sizeof(struct supervision_serve)},
    [SUPERVISION_WITHDRAW] = {SUPERVISION_FROM_CONTROLLER, 0, 0, sizeof(struct supervision_withdraw)},
    [SUPERVISION_COMPLETE] = {SUPERVISION_FROM_CONTROLLER, 0, 0, 0},
    [SUPERVISION_REPLICA] = {SUPERVISION_FROM_SUPERVISOR, 0, 0, sizeof(struct supervision_replica)},
    [SUPERVISION_LINK] = {SUPERVISION_FROM_SUPERVISOR, 1, 1, sizeof(struct supervision_link)},
    [SUPERVISION_PING] = {SUPERVISION_FROM_SUPERVISOR, 0, 0, 0},
    [SUPERVISION_PONG] = {SUPERVISION_FROM_REPLICA, 0, 0, 0},
    [SUPERVISION_FORK] = {SUPERVISION_FROM_SUPERVISOR, 1, 1, sizeof(struct supervision_fork)},
    [SUPERVISION_FORKED] = {SUPERVISION_FROM_REPLICA, 0, 0, sizeof(struct supervision_forked)},
    [SUPERVISION_LOADED] = {SUPERVISION_FROM_REPLICA, 0, 0, sizeof(struct supervision_loaded)},
    [SUPERVISION_FAILED] = {SUPERVISION_FROM_REPLICA, 0, 0, sizeof(struct supervision_failed)},
    [SUPERVISION_SETTINGS] = {SUPERVISION_FROM_SUPERVISOR, 0, 0, sizeof(struct supervision_settings)},
    [SUPERVISION_DISTRUST] = {SUPERVISION_FROM_GATEWAY, 0, 0, sizeof(struct supervision_distrust)},
    [SUPERVISION_KEEP] = {SUPERVISION_FROM_SUPERVISOR | SUPERVISION_FROM_CONTROLLER, 1, MSG_FDS_MAX, 0},
    [SUPERVISION_STATE] = {SUPERVISION_FROM_SUPERVISOR | SUPERVISION_FROM_CONTROLLER, 1, 1,
                           sizeof(struct supervision_state)},
    [SUPERVISION_UPGRADE] = {SUPERVISION_FROM_CONTROLLER, 0, 0, sizeof(struct supervision_upgrade)},
    [SUPERVISION_CHANGING] = {SUPERVISION_FROM_SUPERVISOR, 0, 0, 0},
    [SUPERVISION_UPGRADED] = {SUPERVISION_FROM_SUPERVISOR, 0, 0, sizeof(struct supervision_failed)},
    [SUPERVISION_BOARD] = {SUPERVISION_FROM_SUPERVISOR, 1, 1, 0},
};
static const size_t N_FORMS = sizeof FORMS / sizeof FORMS[0];
_Static_assert(sizeof(struct supervision_serve) <= SUPERVISION_PAYLOAD_MAX &&
                   sizeof(struct supervision_settings) <= SUPERVISION_PAYLOAD_MAX,
               "a message fits");

int supervision_pair(int ret_fds[2], struct err *e)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) < 0)
        return err_errno(e, errno, "make a pair of sockets");
    return 0;
}

void supervision_init(struct msg_conn *c, int fd)
{
    msg_conn_init(c, fd, SUPERVISION_PAYLOAD_MAX);
}

int supervision_send(struct msg_conn *c, enum supervision_type type, const void *payload, const int *fds,
                     unsigned n_fds, struct err *e)
{
    ASSERT(type > 0 && (size_t)type < N_FORMS && n_fds >= FORMS[type].min_fds &&
           n_fds <= FORMS[type].max_fds);
    struct str bytes = {payload ? payload : "", FORMS[type].bytes};
    return msg_conn_send(c, (uint16_t)type, bytes, fds, (uint16_t)n_fds, e);
}

static bool ends(const char *word, size_t bytes)
{
    return memchr(word, '\0', bytes) != NULL;
}

static bool texts_end(const struct settings *s)
{
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *r = settings_at(i);
        bool is_text = r->type == SETTING_STRING || r->type == SETTING_ADDRESS;
        if (is_text && !ends((const char *)s + r->offset, SETTINGS_STRING_MAX))
            return false;
    }
    return true;
}

static bool is_sound(const struct supervision_message *m)
{
    switch (m->type) {
    case SUPERVISION_SERVE: {
        const struct supervision_serve *s = &m->serve;
        return ends(s->model, sizeof s->model) && ends(s->engine, sizeof s->engine) &&
               ends(s->digest, sizeof s->digest) && ends(s->optimization, sizeof s->optimization) &&
               ends(s->provider, sizeof s->provider) && s->model[0] && s->threads > 0 && m->n_fds != 1;
    }
    case SUPERVISION_REPLICA:
        return m->replica.state < BOARD_STATES && ends(m->replica.why, sizeof m->replica.why);
    case SUPERVISION_LOADED:
        return ends(m->loaded.sandbox, sizeof m->loaded.sandbox);
    case SUPERVISION_UPGRADE:
        return ends(m->upgrade.path, sizeof m->upgrade.path);
    case SUPERVISION_FAILED:
    case SUPERVISION_UPGRADED:
        return ends(m->failed.why, sizeof m->failed.why);
    case SUPERVISION_SETTINGS:
        return texts_end(&m->settings.settings);
    case SUPERVISION_DISTRUST:
        return ends(m->distrust.why, sizeof m->distrust.why);
    default:
        return true;
    }
}

int supervision_take(struct msg_conn *c, enum supervision_sender from, struct supervision_message *ret,
                     struct err *e)
{
    struct msg m;
    int got = msg_conn_take(c, &m, e);
    if (got <= 0)
        return got;
    const struct form *f = m.type < N_FORMS ? &FORMS[m.type] : NULL;
    bool good =
        f && f->from & from && m.payload.n == f->bytes && m.n_fds >= f->min_fds && m.n_fds <= f->max_fds;
    if (good) {
        *ret = (struct supervision_message){.type = m.type, .n_fds = m.n_fds, .fds = {-1, -1, -1, -1}};
        memcpy(&ret->serve, m.payload.p, m.payload.n); // a member of the union, which begins there
        memcpy(ret->fds, m.fds, m.n_fds * sizeof m.fds[0]);
        good = is_sound(ret);
    }
    if (good)
        return 1;
    for (unsigned i = 0; i < m.n_fds; i++)
        close(m.fds[i]);
    return err_set(e, ERR_INVALID, "supervision message %u of %zu bytes is not as agreed", m.type,
                   m.payload.n);
}
