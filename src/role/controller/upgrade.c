// SPDX-License-Identifier: Apache-2.0
// One upgrade at a time. The supervisor's new program has CHANGE_MS to say how everything stands; one that
// does not is killed, and as after every death an old one follows (adoption.c): this process is still the old
// program.
#include "role/controller/upgrade.h"

#include "base/clock.h"
#include "os/proc.h"
#include "role/controller/replicas.h"
#include "role/controller/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

// LONGEST_MS: longer than all that the supervisor gives itself, so that an answer of it that was lost does
// not keep the next upgrade away for ever.
enum { CHANGE_MS = 5000, LONGEST_MS = 120000 };

struct upgrade {
    struct controller *c;
    struct request *request;   // who waits; NULL: he has gone, or nobody has asked
    uint64_t running_until_ns; // no other one before the supervisor has said how it went; 0: none runs
    struct timer due;
    int handle; // of the supervisor's process while it changes; borrowed
    bool is_changing;
    char version[64]; // of the last one
};

static void answer(struct upgrade *u, const struct err *e)
{
    struct request *r = u->request;
    u->request = NULL;
    u->running_until_ns = 0;
    if (!r)
        return;
    r->state = NULL;
    r->state_free = NULL;
    if (e) {
        request_fail(r, e);
        return;
    }
    buf_puts(&r->out, "{\"upgraded\":true,\"version\":");
    buf_put_json_str(&r->out, str_of(u->version));
    buf_puts(&r->out, "}");
    request_answer(r, 200, "application/json");
}

static void on_due(struct timer *t)
{
    struct upgrade *u = (struct upgrade *)((char *)t - offsetof(struct upgrade, due));
    log_event(&u->c->log, LOG_LEVEL_ERROR, "supervisor_hangs",
              LOG_Z("reason", "its new program did not come up within 5 s"));
    proc_signal_handle(u->handle, SIGKILL); // its end is noticed as any other
}

void upgrade_take(struct controller *c, const struct supervision_message *m, int supervisor_handle)
{
    struct upgrade *u = c->upgrade;
    struct err e;
    if (!u)
        return;
    if (m->type == SUPERVISION_CHANGING) {
        u->is_changing = true;
        u->handle = supervisor_handle;
        if (loop_timer_set(c->loop, &u->due, clock_mono_ns() + CHANGE_MS * UINT64_C(1000000), &e))
            log_event(&c->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
        return;
    }
    u->is_changing = false;
    loop_timer_clear(c->loop, &u->due);
    if (m->failed.code == 0) {
        snprintf(u->version, sizeof u->version, "%.63s", m->failed.why);
        answer(u, NULL);
        return;
    }
    // A code of ours, whatever the other program is.
    bool known = m->failed.code == ERR_CONFLICT || m->failed.code == ERR_NOT_FOUND ||
                 m->failed.code == ERR_REFUSED || m->failed.code == ERR_BUSY;
    err_set(&e, known ? (enum err_code)m->failed.code : ERR_INVALID, "%s", m->failed.why);
    answer(u, &e);
}

void upgrade_state_came(struct controller *c)
{
    if (!c->upgrade || !c->upgrade->is_changing)
        return;
    c->upgrade->is_changing = false;
    loop_timer_clear(c->loop, &c->upgrade->due);
}

void upgrade_supervisor_lost(struct controller *c)
{
    struct err e;
    if (!c->upgrade)
        return;
    loop_timer_clear(c->loop, &c->upgrade->due);
    c->upgrade->is_changing = false;
    err_set(&e, ERR_INVALID, "the new program ended: the server goes on with the one that it had");
    answer(c->upgrade, &e);
}

void upgrade_close(struct controller *c)
{
    if (c->upgrade)
        loop_timer_clear(c->loop, &c->upgrade->due);
    free(c->upgrade);
    c->upgrade = NULL;
}

static void forget(struct request *r)
{
    struct upgrade *u = r->state;
    if (u)
        u->request = NULL;
}

// {"binary":"/path"}, or nothing.
static int parse(struct str body, struct supervision_upgrade *ret, struct err *e)
{
    memset(ret, 0, sizeof *ret);
    if (body.n == 0)
        return 0;
    yyjson_doc *doc = yyjson_read(body.p, body.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *binary = yyjson_obj_get(root, "binary");
    struct str path = str_of(yyjson_get_str(binary));
    bool good = yyjson_is_obj(root) && yyjson_obj_size(root) == (binary ? 1 : 0) &&
                (!binary || (yyjson_is_str(binary) && path.n && path.p[0] == '/' &&
                             path.n < sizeof ret->path && path.n == yyjson_get_len(binary)));
    if (good && binary)
        memcpy(ret->path, path.p, path.n);
    yyjson_doc_free(doc);
    return good ? 0
                : err_set(
                      e, ERR_INVALID,
                      "the body must be {\"binary\":\"/absolute/path\"} or empty for the program's own path");
}

// What a key promises needs the registry, which an upgrade does not write to.
static int refuse_key(struct err *e)
{
    err_set(e, ERR_INVALID, "an upgrade takes no Idempotency-Key");
    err_hint(
        e, "Without an answer look at the version that GET /v2 tells, or upgrade again: two upgrades to one "
           "program leave what one leaves.");
    return ERR_INVALID;
}

int upgrade_start(struct request *r, struct err *e)
{
    struct controller *c = r->c;
    struct supervision_upgrade m;
    if (r->once.key.n)
        return refuse_key(e);
    int rc = parse(buf_str(&r->body), &m, e);
    if (!rc && !c->upgrade) {
        c->upgrade = calloc(1, sizeof *c->upgrade);
        if (!c->upgrade)
            return err_set(e, ERR_NOMEM, "no memory for an upgrade");
        *c->upgrade = (struct upgrade){.c = c, .due.on_due = on_due};
    }
    if (!rc && clock_mono_ns() < c->upgrade->running_until_ns) // also when nobody waits for it any more
        rc = err_set(e, ERR_CONFLICT, "an upgrade is running");
    if (!rc)
        rc = replicas_tell(c, SUPERVISION_UPGRADE, &m, NULL, 0, e);
    if (rc)
        return rc;
    c->upgrade->running_until_ns = clock_mono_ns() + LONGEST_MS * UINT64_C(1000000);
    c->upgrade->request = r;
    r->state = c->upgrade;
    r->state_free = forget;
    return 0;
}
