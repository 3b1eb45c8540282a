// SPDX-License-Identifier: Apache-2.0
// Records are written where they will be read. The overflow policies are here; waiting answers and the
// connection to the monitor are in journal_link.c.
#include "role/gateway/journal.h"

#include "base/clock.h"
#include "predlog/schema.h"
#include "role/gateway/call.h"
#include "role/gateway/journal_link.h"
#include "role/gateway/predict.h"
#include "role/gateway/table.h"
#include "role/gateway/trial.h"
#include "role/link.h"
#include "settings/settings.h"
#include "wire/traceparent.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yyjson.h>

enum {
    PRESSED_ONE_IN = 8,     // of the policy `sample`, while the ring is more than half full
    BLOCK_LOOK_NS = 100000, // of the policy `block`, between looks at the ring
};

// ---- what is logged of a deployment

static int word_of(yyjson_val *v, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (yyjson_equals_str(v, words[i]))
            return i;
    return -1;
}

int journal_plan_read(yyjson_val *json, struct journal_plan *ret, struct err *e)
{
    static const char *const ON[] = {"off", "on"}, *const OVERFLOW[] = {"drop", "sample", "block"},
                             *const DURABILITY[] = {"async", "commit"};
    yyjson_val *one_in = yyjson_obj_get(json, "one_in"), *key = yyjson_obj_get(json, "key");
    *ret = (struct journal_plan){
        .is_on = word_of(yyjson_obj_get(json, "log"), ON, 2),
        .one_in = yyjson_is_uint(one_in) ? (int)yyjson_get_uint(one_in) : -1,
        .overflow = word_of(yyjson_obj_get(json, "overflow"), OVERFLOW, 3),
        .durability = word_of(yyjson_obj_get(json, "durability"), DURABILITY, 2),
    };
    yyjson_val *schema_json = yyjson_obj_get(json, "schema");
    if (!schema_json)
        return 0;
    struct predlog_schema *schema;
    size_t n;
    char *text = yyjson_val_write(schema_json, 0, &n);
    if (!text)
        return err_set(e, ERR_NOMEM, "what is logged of a version");
    int rc = predlog_schema_read((struct str){text, n}, &schema, e);
    free(text);
    if (rc)
        return rc;
    rc = predlog_plan_init(&ret->record, schema, (struct str){yyjson_get_str(key), yyjson_get_len(key)}, e);
    ret->schema = schema->key;
    predlog_schema_free(schema);
    return rc;
}

void journal_plan_rows(struct journal_plan *p, const struct signature *sig, uint32_t version, uint16_t slot)
{
    if (!p->record.is_plain)
        return;
    record_rows_init(&p->rows, &p->record, sig->input_dtype, sig->n_features, sig->output_dtype,
                     sig->n_outputs, sig->output_is_vector);
    p->head = (struct record_head){
        .schema = p->schema,
        .version = version,
        .model = slot,
        .kind = RECORD_PREDICTION,
        .status = 200,
        .weight_bp = 10000,
        .sample_weight = 1,
    };
}

void journal_plan_done(struct journal_plan *p)
{
    predlog_plan_done(&p->record);
}

static bool is_on(const struct gateway *g, const struct deployment *d)
{
    int said = d->log.is_on;
    return d->log.schema && g->journal && (said < 0 ? g->settings->log_predictions : said);
}

static uint32_t one_in(const struct gateway *g, const struct deployment *d)
{
    uint32_t n = d->log.one_in > 0 ? (uint32_t)d->log.one_in : g->settings->log_one_in;
    return n ? n : 1;
}

static int overflow_of(const struct gateway *g, const struct deployment *d)
{
    return d->log.overflow < 0 ? (int)g->settings->log_overflow : d->log.overflow;
}

// ---- room

// Waits until there is room, but not longer than the turn's bound.
static void *wait_for_room(struct gateway *g, size_t bytes)
{
    struct journal *j = g->journal;
    uint64_t now = clock_mono_ns();
    if (j->block_until_ns == 0)
        j->block_until_ns = now + g->settings->log_block_ms * UINT64_C(1000000);
    journal_publish(g); // what is there may be taken meanwhile
    j->is_dirty = true; // by what comes of this
    for (void *p; now < j->block_until_ns; now = clock_mono_ns()) {
        const struct timespec pause = {.tv_nsec = BLOCK_LOOK_NS};
        (void)nanosleep(&pause, NULL);
        if ((p = spool_reserve(&j->spool, bytes)))
            return p;
    }
    return NULL;
}

// Of the policy `sample`: whether a record is left out, because the ring is more than half full.
static __attribute__((noinline)) bool is_left_out(struct journal *j)
{
    if (spool_used(&j->spool) <= j->size / 2)
        return false;
    (void)spool_told(&j->spool);
    if (spool_used(&j->spool) <= j->size / 2)
        return false;
    if (j->n_pressed++ % PRESSED_ONE_IN == 0) {
        j->room_weight = PRESSED_ONE_IN;
        return false;
    }
    spool_drop(&j->spool, LOG_REASON_SAMPLED);
    return true;
}

static __attribute__((noinline)) void *room_by_policy(struct gateway *g, int policy, size_t bytes)
{
    struct journal *j = g->journal;
    void *p = policy == SETTINGS_LOG_OVERFLOW_BLOCK ? wait_for_room(g, bytes) : NULL;
    if (!p)
        spool_drop(&j->spool, bytes > j->size / 2 ? LOG_REASON_TOO_LARGE : LOG_REASON_OVERFLOW);
    return p;
}

// Room for a record, or NULL: it was counted as dropped. j->room_weight: what it stands for beside what its
// model's rate makes of it.
static inline void *take_room(struct gateway *g, const struct deployment *d, size_t bytes, bool always)
{
    struct journal *j = g->journal;
    int policy = overflow_of(g, d);
    j->is_dirty = true;
    j->room_weight = 1;
    if (policy == SETTINGS_LOG_OVERFLOW_SAMPLE && !always && is_left_out(j))
        return NULL;
    void *p = spool_reserve(&j->spool, bytes);
    return p ? p : room_by_policy(g, policy, bytes);
}

// ---- records

static uint32_t micros(uint64_t ns)
{
    uint64_t us = ns / 1000;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void put_trace(struct record_head *h, struct str header)
{
    struct traceparent t;
    if (!traceparent_read(header, &t))
        return;
    memcpy(h->trace, t.trace, sizeof h->trace);
    memcpy(h->parent, t.parent, sizeof h->parent);
    if (t.is_sampled)
        h->flags |= RECORD_TRACED;
}

// Its number in the record; 0: the baseline.
static uint8_t arm_of(const struct trial_part *part)
{
    return trial_is_of_baseline(part) ? 0 : (uint8_t)(part->choice.arm + 1);
}

void journal_put_part(struct record_head *h, const struct trial_part *part)
{
    h->arm = arm_of(part);
    h->bucket = part->choice.bucket;
    h->weight_bp = (uint16_t)part->weight_bp;
    if (part->choice.asked)
        h->flags |= RECORD_OVERRIDE;
    if (part->is_fallback)
        h->flags |= RECORD_FALLBACK;
}

static void begin(struct gateway *g, const struct deployment *d, uint8_t kind, struct record_head *h)
{
    *h = (struct record_head){
        .wall_ns = gateway_wall_ns(g),
        .schema = d->log.schema,
        .version = d->number,
        .model = d->slot,
        .kind = kind,
        .status = 200,
        .weight_bp = 10000,
        .sample_weight = 1,
        .stream = g->journal->stream,
        .ring = (uint16_t)g->index,
    };
}

// Whether one in so many is to be kept, by its id: requests, answers and feedback agree.
static bool is_drawn(const uint8_t id[16], uint32_t n)
{
    uint64_t x;
    memcpy(&x, id + 8, sizeof x); // counter and random bits
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    return x % n == 0;
}

bool journal_promises(const struct gateway *g, const struct deployment *d, const struct trial_part *part,
                      const uint8_t id[16])
{
    int said = d->log.durability;
    if (!is_on(g, d) ||
        (said < 0 ? (int)g->settings->log_durability : said) != SETTINGS_LOG_DURABILITY_COMMIT)
        return false;
    uint32_t n = one_in(g, d);
    return n == 1 || (part && arm_of(part)) || is_drawn(id, n);
}

// How many a record that is not always kept stands for; 0: it is not to be written.
static uint32_t rate_of(const struct gateway *g, const struct deployment *d, const uint8_t id[16])
{
    uint32_t n = one_in(g, d);
    return n == 1 || is_drawn(id, n) ? n : 0;
}

static void set_weight(struct record_head *h, float weight)
{
    h->sample_weight = weight;
    if (weight > 1)
        h->flags |= RECORD_SAMPLED;
}

// The record that was written into the room that was taken last.
static void put_record(struct journal *j, void *record, size_t bytes)
{
    if (!j->is_unsummed)
        record_set_log_seq(record, 0);
    (void)spool_put(&j->spool, bytes);
}

static void put(struct gateway *g, const struct deployment *d, struct record_head *h, const struct tensor *in,
                uint32_t n_in, const struct tensor *out, uint32_t n_out)
{
    struct journal *j = g->journal;
    bool always = h->kind == RECORD_FAILURE || h->arm;
    uint32_t rate = always ? 1 : rate_of(g, d, h->id);
    if (!rate)
        return;
    size_t bytes = record_bytes(&d->log.record, in, n_in, out, n_out);
    if (bytes > g->settings->log_record_bytes)
        bytes = (size_t)g->settings->log_record_bytes;
    void *to = take_room(g, d, bytes, always);
    if (!to)
        return;
    h->ring_seq = spool_next(&j->spool);
    set_weight(h, (float)rate * (float)j->room_weight);
    bytes = record_write(h, &d->log.record, in, n_in, out, n_out, to, bytes);
    if (bytes)
        put_record(j, to, bytes);
    else
        spool_drop(&j->spool, LOG_REASON_TOO_LARGE);
}

// Of a prediction of rows, what differs from one to the next but for its part in a rollout and its place in
// the ring.
static inline void put_rows_head(struct gateway *g, const struct pending *p, uint64_t start_ns,
                                 uint64_t end_ns, struct record_head *h)
{
    const struct deployment *d = p->deployment;
    h->wall_ns = gateway_wall_ns(g);
    memcpy(h->id, p->raw_id, sizeof h->id);
    h->latency_us = micros(end_ns - start_ns);
    h->queue_us = d->compute_start_ns > start_ns ? micros(d->compute_start_ns - start_ns) : 0;
    h->compute_us = micros(d->compute_ns);
    h->rows = p->request.n_rows;
    if (p->traceparent.n)
        put_trace(h, p->traceparent);
}

// Nearly every prediction: all of it is kept, and it fits. It is written where it will be read.
static void put_rows(struct gateway *g, const struct pending *p, const void *rows, size_t bytes,
                     uint64_t start_ns, uint64_t end_ns)
{
    const struct deployment *d = p->deployment;
    const struct record_rows *plan = &d->log.rows;
    struct journal *j = g->journal;
    bool always = p->part && arm_of(p->part);
    uint32_t rate = always ? 1 : rate_of(g, d, p->raw_id);
    struct record_head *h = rate ? take_room(g, d, bytes, always) : NULL;
    if (!h)
        return;
    memcpy(h, &d->log.head, sizeof *h);
    h->stream = j->stream;
    h->ring = (uint16_t)g->index;
    h->ring_seq = spool_next(&j->spool);
    put_rows_head(g, p, start_ns, end_ns, h);
    if (p->part)
        journal_put_part(h, p->part);
    if (rate > 1 || j->room_weight > 1)
        set_weight(h, (float)rate * (float)j->room_weight);
    record_rows_write(plan, h, (const char *)rows + (size_t)p->first_row * plan->in.row_bytes,
                      d->outputs + (size_t)p->first_row * plan->out.row_bytes);
    put_record(j, h, bytes);
}

// Any other.
static __attribute__((noinline)) void put_divided(struct gateway *g, const struct pending *p,
                                                  const void *rows, uint64_t start_ns, uint64_t end_ns)
{
    const struct deployment *d = p->deployment;
    const struct signature *sig = d->sig;
    size_t in_bytes = sig->n_features * dtype_size(sig->input_dtype),
           out_bytes = sig->n_outputs * dtype_size(sig->output_dtype);
    uint32_t n = p->request.n_rows;
    struct record_head h;
    begin(g, d, RECORD_PREDICTION, &h);
    put_rows_head(g, p, start_ns, end_ns, &h);
    if (p->part)
        journal_put_part(&h, p->part);
    struct tensor in = {.dtype = sig->input_dtype,
                        .n_dims = 2,
                        .shape = {n, sig->n_features},
                        .data = (const char *)rows + p->first_row * in_bytes,
                        .bytes = n * in_bytes};
    struct tensor out = {.dtype = sig->output_dtype,
                         .n_dims = sig->output_is_vector || sig->n_outputs > 1 ? 2 : 1,
                         .shape = {n, sig->n_outputs},
                         .data = d->outputs + p->first_row * out_bytes,
                         .bytes = n * out_bytes};
    put(g, d, &h, &in, 1, &out, 1);
}

void journal_prediction(struct gateway *g, const struct pending *p, const void *rows, uint64_t start_ns,
                        uint64_t end_ns)
{
    const struct deployment *d = p->deployment;
    uint32_t n = p->request.n_rows;
    size_t bytes;
    if (!is_on(g, d) || !p->id[0] || !d->outputs)
        return;
    if (d->log.record.is_plain && n &&
        (bytes = record_rows_bytes(&d->log.rows, n)) <= g->settings->log_record_bytes)
        put_rows(g, p, rows, bytes, start_ns, end_ns);
    else
        put_divided(g, p, rows, start_ns, end_ns);
}

void journal_call(struct gateway *g, const struct call *k, const void *message, size_t bytes,
                  const struct link_response *r, const struct tensor *results, uint64_t end_ns)
{
    const struct deployment *d = k->deployment;
    struct link_request request;
    struct tensor in[TENSORS_MAX];
    struct record_head h;
    struct err ignored;
    if (!is_on(g, d))
        return;
    // Ours, and still as it was sent.
    bool has_inputs = link_request_open(message, bytes, d->interface, &request, in, &ignored) == 0;
    begin(g, d, RECORD_PREDICTION, &h);
    (void)record_id_read(str_of(k->id), h.id);
    h.latency_us = micros(end_ns - k->start_ns);
    h.queue_us = micros(r->queue_ns);
    h.compute_us = micros(r->compute_ns);
    h.rows = k->request.n_rows ? k->request.n_rows : 1;
    put_trace(&h, k->traceparent);
    if (k->part)
        journal_put_part(&h, k->part);
    put(g, d, &h, in, has_inputs ? d->interface->n_inputs : 0, results, d->interface->n_outputs);
}

void journal_failure(struct gateway *g, const struct deployment *d, struct str traceparent, uint64_t start_ns,
                     int code)
{
    struct record_head h;
    uint64_t now = clock_mono_ns();
    char text[IDS_UUID_SIZE];
    if (!is_on(g, d))
        return;
    begin(g, d, RECORD_FAILURE, &h);
    ids_uuid7_raw(&g->ids, gateway_wall_ns(g) / 1000000u, text, h.id);
    h.status = (uint16_t)err_http_status(code);
    h.error = (uint16_t)-code;
    h.latency_us = now > start_ns ? micros(now - start_ns) : 0;
    put_trace(&h, traceparent);
    put(g, d, &h, NULL, 0, NULL, 0);
}
