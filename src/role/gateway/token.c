// SPDX-License-Identifier: Apache-2.0
// A token is made while its answer is written: one HMAC and one short encryption, no allocation.
#include "role/gateway/token.h"

#include "role/feedback_token.h"
#include "role/gateway/call.h"
#include "role/gateway/gateway.h"
#include "role/gateway/predict.h"
#include "role/gateway/table.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

struct tokens {
    struct feedback_sealer *sealer;
    bool is_in_body;
    char text[FEEDBACK_TOKEN_MAX];
};

int tokens_open(struct gateway *g, struct err *e)
{
    int mode = (int)g->settings->feedback_tokens;
    if (mode == SETTINGS_FEEDBACK_TOKENS_OFF)
        return 0;
    g->tokens = calloc(1, sizeof *g->tokens);
    if (!g->tokens)
        return err_set(e, ERR_NOMEM, "no memory for feedback tokens");
    g->tokens->is_in_body = mode == SETTINGS_FEEDBACK_TOKENS_BODY;
    return feedback_sealer_new(&g->tokens->sealer, e);
}

void tokens_close(struct gateway *g)
{
    if (g->tokens)
        feedback_sealer_free(g->tokens->sealer);
    free(g->tokens);
    g->tokens = NULL;
}

void tokens_routed(struct gateway *g)
{
    struct err e;
    const char *json = g->table->tokens;
    if (!g->tokens)
        return;
    yyjson_doc *doc = json ? yyjson_read(json, strlen(json), 0) : NULL;
    if (feedback_sealer_take(g->tokens->sealer, yyjson_doc_get_root(doc), &e))
        log_event(&g->log, LOG_LEVEL_ERROR, "feedback_keys_failed", LOG_Z("message", e.msg));
    yyjson_doc_free(doc);
}

// Whether the log may have the output as it is.
static bool is_kept(const struct deployment *d, uint32_t output)
{
    const struct privacy *p = d->log.record.outputs;
    if (!p)
        return false; // what may be logged is not known
    return privacy_is_table(p) ? privacy_keeps_all(p) : privacy_of(p, output) == PRIVACY_KEEP;
}

static struct str seal(struct gateway *g, const struct deployment *d, const struct trial_part *part,
                       struct feedback_token *t)
{
    struct tokens *k = g->tokens;
    struct record_head h = {.weight_bp = 10000};
    if (part)
        journal_put_part(&h, part);
    t->deployment = d->id;
    t->wall_ns = gateway_wall_ns(g);
    t->version = d->number;
    t->weight_bp = h.weight_bp;
    t->bucket = h.bucket;
    t->arm = h.arm;
    t->is_override = h.flags & RECORD_OVERRIDE;
    return (struct str){k->text, feedback_token_seal(k->sealer, t, k->text)};
}

struct str token_of_rows(struct gateway *g, const struct pending *p)
{
    const struct deployment *d = p->deployment;
    const struct signature *sig = d->sig;
    size_t row_bytes = sig->n_outputs * dtype_size(sig->output_dtype);
    if (!is_kept(d, 0))
        return (struct str){0};
    struct feedback_token t = {.output = {.dtype = sig->output_dtype,
                                          .n_dims = sig->output_is_vector || sig->n_outputs > 1 ? 2 : 1,
                                          .shape = {p->request.n_rows, sig->n_outputs},
                                          .data = d->outputs + p->first_row * row_bytes,
                                          .bytes = p->request.n_rows * row_bytes}};
    memcpy(t.id, p->raw_id, sizeof t.id);
    return seal(g, d, p->part, &t);
}

struct str token_of_call(struct gateway *g, const struct call *k, const struct tensor *results)
{
    const struct deployment *d = k->deployment;
    struct feedback_token t = {.wall_ns = 0};
    int best = 0;
    for (uint32_t i = 0; i < d->interface->n_outputs; i++) {
        int rank = feedback_output_rank(&results[i]);
        if (rank <= best || !is_kept(d, i))
            continue;
        best = rank;
        t.output = results[i];
    }
    if (!best || !record_id_read(str_of(k->id), t.id))
        return (struct str){0};
    return seal(g, d, k->part, &t);
}

bool token_is_in_body(const struct gateway *g)
{
    return g->tokens && g->tokens->is_in_body;
}

void token_put_field(struct str token, bool v2, struct buf *out)
{
    if (out->failed || out->n == 0 || out->p[out->n - 1] != '}' || token.n == 0)
        return;
    out->n--;
    buf_printf(out,
               v2 ? ",\"parameters\":{\"feedback_token\":\"" STR_FMT "\"}}"
                  : ",\"feedback_token\":\"" STR_FMT "\"}",
               STR_ARG(token));
}
