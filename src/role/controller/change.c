// SPDX-License-Identifier: Apache-2.0
// Answering changes: once, with a receipt, when all gateways have them.
#include "role/controller/change.h"

#include "base/clock.h"
#include "role/controller/gateways.h"
#include "role/controller/replace.h"
#include "role/controller/replicas.h"
#include "role/controller/rollouts.h"
#include "role/peer.h"

#include <stdlib.h>
#include <string.h>

enum { ANSWER_ARENA_BYTES = 64 << 20 };

// A change that waits for the gateways; its answer lies in the request's out already.
struct change {
    struct request *r;
    struct publication publication;
};

static void change_free(struct request *r)
{
    struct change *ch = r->state;
    gateways_forget(r->c, &ch->publication);
    free(ch);
    r->state = NULL;
}

static void on_published(struct publication *publication, const struct err *e)
{
    struct change *ch = (struct change *)((char *)publication - offsetof(struct change, publication));
    if (e)
        request_fail(ch->r, e);
    else
        request_answer(ch->r, ch->r->once.status, "application/json");
}

int change_new(struct request *r, struct err *e)
{
    struct change *ch = calloc(1, sizeof *ch);
    if (!ch)
        return err_set(e, ERR_NOMEM, "no memory for a change");
    *ch = (struct change){.r = r, .publication.on_done = on_published};
    r->state = ch;
    r->state_free = change_free;
    return 0;
}

void change_promise(struct request *r, int status)
{
    r->once.status = status;
    r->once.answer = buf_str(&r->out);
}

static void put_receipt(struct request *r, const struct registry_audit *row)
{
    char hex[REGISTRY_DIGEST_HEX];
    registry_digest_hex(&row->hash, hex);
    r->out.n--; // the brace that ends the object
    buf_printf(&r->out, ",\"audit\":{\"id\":%llu,\"hash\":\"%s\"}}", (unsigned long long)row->id, hex);
}

void change_receipt(struct request *r)
{
    struct registry_audit head;
    struct err ignored;
    if (!r->c->registry->ops->audit_head(r->c->registry, &head, &ignored))
        put_receipt(r, &head);
}

void change_publish(struct request *r)
{
    struct change *ch = r->state;
    struct controller *c = r->c;
    rollouts_check(c);
    gateways_publish(c);
    gateways_wait(c, &ch->publication); // may answer
    replicas_withdraw_dropped(c);
    replace_apply(c);
}

void change_refuse(struct request *r, const struct err *why, struct str changes)
{
    struct buf members;
    buf_init(&members, changes.n + 64);
    if (changes.n) {
        buf_puts(&members, "\"changes\":");
        buf_put_str(&members, changes);
    }
    request_fail_with(r, why, members.failed ? STR("") : buf_str(&members));
    buf_done(&members);
}

// Two requests are the same when method, path, query and body are.
static int compare(const struct registry_once *was, const struct registry_once *is, struct err *e)
{
    if (str_eq(was->method, is->method) && str_eq(was->path, is->path) &&
        registry_digest_eq(&was->body, &is->body))
        return 0;
    err_set(e, ERR_KEY_REUSED, "this Idempotency-Key was used for another request");
    err_hint(e, "A key stands for one request with one body: make a new one for each.");
    return ERR_KEY_REUSED;
}

static int check_others(const struct request *r, struct err *e)
{
    for (const struct peer *p = r->c->peers.all; p; p = p->next) {
        const struct request *other = p->request;
        if (!other || other == r || other->is_over || other->is_answered || !other->is_once ||
            !str_eq(other->once.key, r->once.key))
            continue;
        int rc = compare(&other->once, &r->once, e);
        if (!rc)
            rc = err_set(e, ERR_IN_PROGRESS, "a request with this Idempotency-Key is being worked on");
        return rc;
    }
    return 0;
}

// The stored answer, like the first: when all gateways have the table. The first may not have come so far.
static int answer_again(struct request *r, const struct registry_once *was,
                        const struct registry_audit *receipt, struct err *e)
{
    int rc = change_new(r, e);
    if (rc)
        return rc;
    struct change *ch = r->state;
    buf_put_str(&r->out, was->answer);
    put_receipt(r, receipt);
    r->once.status = was->status;
    gateways_wait(r->c, &ch->publication); // may answer
    return 0;
}

int change_once(struct request *r, struct err *e)
{
    struct registry *reg = r->c->registry;
    struct registry_once was;
    struct registry_audit receipt;
    struct arena a;
    bool found = false;
    int rc = registry_digest_bytes(buf_str(&r->body), &r->once.body, e);
    if (!rc)
        rc = check_others(r, e);
    if (!rc)
        rc = arena_init(&a, ANSWER_ARENA_BYTES, e);
    if (rc)
        return rc;
    rc = reg->ops->once_find(reg, r->once.key, clock_wall_ns(), &a, &found, &was, &receipt, e);
    if (!rc && found)
        rc = compare(&was, &r->once, e);
    if (!rc && found)
        rc = answer_again(r, &was, &receipt, e);
    arena_done(&a);
    r->is_once = !rc && !found;
    return rc ? rc : found;
}
