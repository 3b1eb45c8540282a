// SPDX-License-Identifier: Apache-2.0
// A body above GATEWAY_DECODE_BYTES is decoded by a fiber into memory of the call, a slice a turn, so that
// the requests of others go in between.
#include "role/gateway/call_parts.h"

#include "os/fiber.h"
#include "role/gateway/predict.h"
#include "role/gateway/trial.h"
#include "wire/json_scan.h"

#include <stdlib.h>

struct decoding {
    struct fiber *fiber;
    struct buf body_memory;
    struct str body;
    struct arena scratch;
    size_t bytes; // of the message, at the end
    unsigned n_slices;
    int rc;
    struct err err;
};

static void decoding_free(struct call *k)
{
    struct decoding *x = k->decoding;
    fiber_free(x->fiber);
    if (trial_is_shielded(k->part) && x->body.n) {
        k->body = x->body_memory;
        buf_consume(&k->body, (size_t)(x->body.p - k->body.p));
        k->body.n = x->body.n;
    } else {
        buf_done(&x->body_memory);
    }
    arena_done(&x->scratch);
    free(x);
    k->decoding = NULL;
}

static void pause_decoding(void *ctx)
{
    struct decoding *x = ctx;
    fiber_pause(x->fiber);
}

static void run(void *ctx)
{
    struct call *k = ctx;
    struct decoding *x = k->decoding;
    const struct json_pause pause = {pause_decoding, x, GATEWAY_DECODE_BYTES};
    struct call_body body = {.json = x->body, .pause = &pause, .scratch = &x->scratch};
    x->rc = call_decode(k, &body, k->memory, k->bytes, &x->bytes, &x->err);
}

static void append(struct gateway *g, struct call *k)
{
    struct call **end = &g->decoding;
    while (*end)
        end = &(*end)->next;
    k->next = NULL;
    *end = k;
}

int call_decode_later(struct call *k, struct str body, struct err *e)
{
    struct gateway *g = k->conn->g;
    struct decoding *x = k->decoding = calloc(1, sizeof *x);
    if (!x)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    int rc = call_own_names(k, e);
    if (rc == 0)
        rc = call_memory_take(k, call_bound(k->deployment->interface, body.n), e);
    if (rc == 0)
        rc = arena_init(&x->scratch, GATEWAY_TURN_ARENA, e);
    if (rc == 0)
        rc = fiber_new(run, k, &x->fiber, e);
    if (rc) {
        decoding_free(k);
        return rc;
    }
    x->body = body;
    x->body_memory = conn_take_body(k->conn, body);
    k->state = CALL_DECODING;
    append(g, k);
    gateway_set_busy(g);
    return 0;
}

static int too_late(const struct call *k, struct err *e)
{
    return err_set(e, ERR_DEADLINE, "the time for this request to model '%s' ended before its body was read",
                   k->deployment->model);
}

// The whole body is decoded, or nobody wants it any more.
static void finish(struct call *k, int rc)
{
    struct decoding *x = k->decoding;
    struct gateway *g = k->deployment->backend->g;
    struct err e = x->err;
    log_event(&g->log, LOG_LEVEL_DEBUG, "body_decoded", LOG_Z("model", k->deployment->model),
              LOG_INT("bytes", (int64_t)x->body.n), LOG_INT("slices", x->n_slices));
    if (rc == 0)
        rc = call_memory_shrink(k, x->bytes, &e);
    if (rc == 0)
        rc = call_check_quarantine(k, k->memory, &e);
    if (rc == 0)
        rc = call_own_names(k, &e);
    decoding_free(k);
    if (rc == 0) {
        k->state = CALL_WAITING;
        call_wait_at_end(k);
        return;
    }
    k->state = CALL_ENDING;
    if (k->conn) {
        predict_finish(g); // earlier answers go first
        call_refuse(k, &e);
    }
    call_free(k);
}

void calls_decode(struct gateway *g)
{
    struct call *k = g->decoding;
    if (!k)
        return;
    g->decoding = k->next;
    k->next = NULL;
    struct decoding *x = k->decoding;
    x->n_slices++;
    if (!k->conn)
        finish(k, ERR_REQUEST_TIMEOUT);
    else if (k->deadline_ns <= loop_now_ns(g->loop))
        finish(k, too_late(k, &x->err));
    else if (fiber_resume(x->fiber))
        append(g, k);
    else
        finish(k, x->rc);
    gateway_set_busy(g);
}
