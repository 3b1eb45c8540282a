// SPDX-License-Identifier: Apache-2.0
// What becomes of calls when a client leaves, a replica ends, a version goes or time is up. The bytes of a
// call that a replica had are still in our ring; they are copied before it goes.
#include "role/gateway/call_parts.h"

#include "role/gateway/quarantine.h"

#include <string.h>

void call_abandon(struct conn *c)
{
    struct call *k = c->call;
    c->call = NULL;
    k->conn = NULL;
    k->deployment->series->requests[0]++;
    if (k->state == CALL_WAITING) {
        call_wait_no_more(k);
        call_free(k);
    } else if (k->state == CALL_SENT) { // not worth computing any more
        const struct link_slot *slot = &k->link->slots[k->slot % LINK_SLOTS];
        struct link_request *head = (struct link_request *)(uintptr_t)slot->message;
        __atomic_store_n(&head->deadline_mono_ns, 1, __ATOMIC_RELAXED);
    }
}

// The call's replica ended. Whether it may go to another one; it then has a copy of its message.
static bool survives(struct call *k, const struct link_slot *slot, bool begun)
{
    struct gateway *g = k->deployment->backend->g;
    struct err e;
    k->moves++;
    k->tries += begun;
    k->alone |= begun;
    if (k->tries >= CALL_TRIES_MAX)
        quarantine_add(g, call_hash(k, slot->message), loop_now_ns(g->loop));
    if (!k->conn || k->tries >= CALL_TRIES_MAX || k->moves > CALL_MOVES_MAX)
        return false;
    k->has_no_room = call_memory_take(k, k->bytes, &e) != 0;
    if (k->has_no_room)
        return false;
    memcpy(k->memory, slot->message, k->bytes);
    return true;
}

static bool has(const uint64_t *ids, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static void refuse_lost(struct call *k)
{
    struct err e;
    if (k->is_mirrored && k->tries == 0) { // the replica had not begun with it: no fault of the shadow's
        call_free(k);
        return;
    }
    if (k->tries >= CALL_TRIES_MAX)
        call_crashed(k, &e);
    else if (k->has_no_room)
        err_set(
            &e, ERR_UNAVAILABLE,
            "the process that had this request for model '%s' ended, and there is no memory to keep it for "
            "another one",
            k->deployment->model);
    else
        err_set(&e, ERR_UNAVAILABLE, "the processes that run model '%s' end again and again",
                k->deployment->model);
    call_refuse(k, &e);
    call_free(k);
}

void calls_lost(struct link *l)
{
    struct backend *b = l->b;
    struct call *moved = NULL, **end = &moved, *lost = NULL;
    uint64_t begun[LINK_BATCH_REQUESTS_MAX];
    size_t n_begun = l->is_proposed ? link_started_get(&l->end.in, begun) : 0;
    uint64_t owed = patience_owed(&l->patience, l->hang_ms); // begun if anything ever was
    for (uint64_t id = l->first; id < l->next_id; id++) {
        struct link_slot *slot = &l->slots[id % LINK_SLOTS];
        struct call *k = slot->call;
        if (!k)
            continue;
        slot->call = NULL;
        if (survives(k, slot, id == owed || has(begun, n_begun, id))) {
            k->state = CALL_WAITING;
            b->n_waiting++;
            *end = k;
            end = &k->next;
        } else {
            k->state = CALL_ENDING;
            k->next = lost;
            lost = k;
        }
    }
    if (moved) { // they are older than what waits
        *end = b->waiting;
        if (!b->waiting)
            b->waiting_end = end;
        b->waiting = moved;
    }
    for (struct call *next; lost; lost = next) {
        next = lost->next;
        refuse_lost(lost);
    }
}

static void too_late(struct call *k)
{
    struct err e;
    const struct deployment *d = k->deployment;
    if (d->backend->n_ready == 0)
        err_set(&e, ERR_UNAVAILABLE, "no process that runs model '%s' became ready in time", d->model);
    else
        err_set(&e, ERR_DEADLINE, "model '%s' did not answer in time", d->model);
    err_hint(&e, "The limit is the setting request_timeout, or what Slipway-Timeout-Ms of the request says.");
    call_refuse(k, &e);
}

void calls_refuse(struct backend *b)
{
    struct call *k;
    struct err e;
    while ((k = b->waiting)) {
        call_wait_no_more(k);
        err_set(&e, ERR_UNAVAILABLE, "version %s of model '%s' is not served any more",
                k->deployment->version, k->deployment->model);
        call_refuse(k, &e);
        call_free(k);
    }
}

void calls_sweep(struct backend *b)
{
    uint64_t now = loop_now_ns(b->g->loop);
    for (struct call *k = b->waiting, *next; k; k = next) {
        next = k->next;
        if (k->deadline_ns > now)
            continue;
        call_wait_no_more(k);
        too_late(k);
        call_free(k);
        next = b->waiting; // answering may have changed the list
    }
    for (struct link *l = b->links; l; l = l->next)
        for (uint64_t id = l->first; id < l->next_id; id++) {
            struct call *k = l->slots[id % LINK_SLOTS].call;
            if (k && k->conn && k->deadline_ns <= now)
                too_late(k); // the slot waits for the replica's answer, which nobody gets
        }
}
