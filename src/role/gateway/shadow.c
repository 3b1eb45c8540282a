// SPDX-License-Identifier: Apache-2.0
// The life of a mirrored request:
//
//   HELD     its body is copied, the baseline has not answered yet
//     ↓
//   QUEUED   what the baseline said is known; waits for its turn
//     ↓
//   SENT     a replica of the shadow has it; a shadow that is computed here goes on at once
//     ↓
//   freed    both answers are compared and counted
#include "role/gateway/shadow.h"

#include "api/predict.h"
#include "base/clock.h"
#include "base/siphash.h"
#include "role/gateway/call.h"
#include "role/gateway/job.h"
#include "role/gateway/predict.h"
#include "role/gateway/table.h"

#include <stdlib.h>
#include <string.h>

enum {
    BUDGET_MOST_NS = 5000000, // that may be saved up
    SPENT_MS = 5,             // after which it is looked at again when the budget is spent,
    NO_ROOM_MS = 50,          // and when no replica is free
};

// An answer, and how many rows it has in all: of many only the first are kept.
struct said {
    struct pairs_answer kept; // its arrays owned
    uint32_t n_rows;
};

struct mirror {
    struct mirror *next; // while QUEUED
    struct trial *trial;
    struct deployment *shadow; // referenced
    uint64_t entity;           // of the request's sticky key; 0: none
    uint32_t segment;
    bool v2;
    struct buf body;
    struct said stable;
    char id[IDS_UUID_SIZE];
};

struct shadows {
    struct gateway *g;
    struct mirror *first, **end;
    uint32_t n, n_sent; // all, and those of them that replicas have
    uint64_t bytes;
    int64_t budget_ns;
    uint64_t earned_ns; // until then the budget was added up
    struct timer again;
    bool is_waiting, is_closing;
    struct arena scratch;
};

// ---- the queue ----

static void on_again(struct timer *t)
{
    struct shadows *s = (struct shadows *)((char *)t - offsetof(struct shadows, again));
    s->is_waiting = false; // the turn that it begins looks at the queue
}

static struct shadows *shadows_of(struct gateway *g)
{
    struct err e;
    if (g->shadows)
        return g->shadows;
    struct shadows *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct shadows){.g = g, .again.on_due = on_again, .earned_ns = loop_now_ns(g->loop)};
    s->end = &s->first;
    if (arena_init(&s->scratch, GATEWAY_TURN_ARENA, &e)) {
        free(s);
        return NULL;
    }
    return g->shadows = s;
}

static void said_done(struct said *a)
{
    free((void *)(uintptr_t)a->kept.values);
    free((void *)(uintptr_t)a->kept.classes);
    *a = (struct said){0};
}

static bool has_failed(const struct said *a)
{
    return !a->kept.values && !a->kept.classes;
}

static void shadows_free(struct shadows *s);

static void mirror_free(struct mirror *m)
{
    struct shadows *s = trial_gateway(m->trial)->shadows;
    s->n--;
    s->bytes -= m->body.cap;
    trial_unpin(m->trial);
    deployment_unref(m->shadow);
    said_done(&m->stable);
    buf_done(&m->body);
    free(m);
    if (s->is_closing && s->n == 0)
        shadows_free(s);
}

static void count_dropped(struct trial *t, uint32_t segment)
{
    struct pairs *of_segment = trial_segment(t, segment);
    trial_pairs(t)->dropped++;
    if (of_segment)
        of_segment->dropped++;
}

static void drop(struct mirror *m)
{
    count_dropped(m->trial, m->segment);
    mirror_free(m);
}

static struct mirror *take_first(struct shadows *s)
{
    struct mirror *m = s->first;
    s->first = m->next;
    if (!s->first)
        s->end = &s->first;
    return m;
}

void shadow_mirror(struct gateway *g, struct trial_part *part, const struct split *s, bool v2,
                   struct str body)
{
    struct shadows *q;
    if (ids_random(&g->ids) % SPLIT_BUCKETS >= s->shadow_share_bp)
        return;
    q = shadows_of(g);
    struct mirror *m = NULL;
    if (q && q->n < SHADOW_QUEUE && body.n <= GATEWAY_DECODE_BYTES && q->bytes + body.n <= SHADOW_QUEUE_BYTES)
        m = calloc(1, sizeof *m);
    if (!m) {
        count_dropped(part->trial, part->segment);
        return;
    }
    *m = (struct mirror){.trial = part->trial,
                         .shadow = deployment_ref(s->shadow),
                         .entity = part->choice.entity,
                         .segment = part->segment,
                         .v2 = v2};
    trial_pin(m->trial);
    buf_init(&m->body, body.n);
    buf_put_str(&m->body, body);
    q->n++;
    q->bytes += m->body.cap;
    part->mirror = m;
}

void shadow_release(struct mirror *m, bool is_known)
{
    if (!m)
        return;
    struct shadows *s = trial_gateway(m->trial)->shadows;
    if (!is_known || m->body.failed) {
        drop(m);
        return;
    }
    m->next = NULL;
    *s->end = m;
    s->end = &m->next;
}

// ---- what was answered, as numbers ----

static double value_at(enum dtype dtype, const void *p, size_t i)
{
    switch (dtype) {
    case DTYPE_FP32:
        return (double)((const float *)p)[i];
    case DTYPE_FP64:
        return ((const double *)p)[i];
    case DTYPE_INT64:
        return (double)((const int64_t *)p)[i];
    case DTYPE_INT32:
        return ((const int32_t *)p)[i];
    default:
        return ((const uint8_t *)p)[i];
    }
}

static uint32_t rows_compared(uint32_t n_rows, uint32_t n_values)
{
    uint32_t most = SHADOW_VALUES / (n_values ? n_values : 1);
    return n_rows < most ? n_rows : most;
}

static double *values_new(enum dtype dtype, const void *p, size_t n)
{
    double *values = malloc((n + 1) * sizeof *values);
    for (size_t i = 0; values && i < n; i++)
        values[i] = value_at(dtype, p, i);
    return values;
}

static int64_t *classes_new(enum dtype dtype, const void *p, size_t n)
{
    int64_t *classes = malloc((n + 1) * sizeof *classes);
    for (size_t i = 0; classes && i < n; i++)
        classes[i] = dtype == DTYPE_INT64 ? ((const int64_t *)p)[i] : (int64_t)value_at(dtype, p, i);
    return classes;
}

static void say_rows(const struct deployment *d, const void *outputs, uint32_t n_rows, struct said *ret)
{
    enum dtype dtype = d->sig->output_dtype;
    uint32_t n_values = d->sig->n_outputs, n = rows_compared(n_rows, n_values);
    *ret = (struct said){{.n_rows = n, .n_values = n_values}, n_rows};
    if (dtype == DTYPE_INT64 && n_values == 1)
        ret->kept.classes = classes_new(dtype, outputs, n);
    else
        ret->kept.values = values_new(dtype, outputs, (size_t)n * n_values);
}

// Of texts that name classes only whether they are the same matters.
static int64_t *text_classes_new(const struct tensor *t, uint32_t n)
{
    int64_t *classes = malloc((n + 1) * sizeof *classes);
    const char *p = t->data, *end = p + t->bytes;
    for (uint32_t i = 0; classes && i < n; i++) {
        uint32_t length = 0;
        if ((size_t)(end - p) >= sizeof length)
            memcpy(&length, p, sizeof length);
        p += sizeof length;
        if (p > end || length > (size_t)(end - p)) {
            free(classes);
            return NULL;
        }
        classes[i] = (int64_t)(siphash((struct siphash_key){0, 0}, (struct str){p, length}) >> 1) | 1 << 8;
        p += length;
    }
    return classes;
}

static bool is_float(enum dtype dtype)
{
    return dtype == DTYPE_FP32 || dtype == DTYPE_FP64;
}

static bool is_class(enum dtype dtype)
{
    return dtype == DTYPE_INT64 || dtype == DTYPE_INT32 || dtype == DTYPE_BOOL || dtype == DTYPE_BYTES;
}

static uint64_t n_elements(const struct tensor *t)
{
    uint64_t n = 1;
    for (uint32_t k = 0; k < t->n_dims; k++)
        n *= (uint64_t)t->shape[k];
    return n;
}

// The first output of numbers with a fraction gives the values, the first with one class for each row the
// classes.
static void say_tensors(const struct deployment *d, const struct tensor *results, struct said *ret)
{
    const struct tensor *values = NULL, *classes = NULL;
    *ret = (struct said){0};
    for (uint32_t i = 0; i < d->interface->n_outputs; i++) {
        const struct tensor *t = &results[i];
        uint64_t n = t->dtype == DTYPE_NONE ? 0 : n_elements(t);
        uint32_t n_rows = t->n_dims ? (uint32_t)t->shape[0] : 1;
        if (n == 0 || n / n_rows > SHADOW_VALUES || (ret->n_rows && n_rows != ret->n_rows))
            continue;
        if (is_float(t->dtype) && !values) {
            values = t;
            ret->kept.n_values = (uint32_t)(n / n_rows);
        } else if (is_class(t->dtype) && !classes && n == n_rows) {
            classes = t;
        } else {
            continue;
        }
        ret->n_rows = n_rows;
    }
    uint32_t n = ret->kept.n_rows = rows_compared(ret->n_rows, ret->kept.n_values);
    if (values)
        ret->kept.values = values_new(values->dtype, values->data, (size_t)n * ret->kept.n_values);
    if (classes)
        ret->kept.classes = classes->dtype == DTYPE_BYTES ? text_classes_new(classes, n)
                                                          : classes_new(classes->dtype, classes->data, n);
}

void shadow_answered_rows(struct mirror *m, const struct deployment *d, const void *outputs, uint32_t n_rows,
                          const char *id)
{
    if (!m)
        return;
    say_rows(d, outputs, n_rows, &m->stable);
    memcpy(m->id, id, sizeof m->id);
}

void shadow_answered_tensors(struct mirror *m, const struct deployment *d, const struct tensor *results,
                             const char *id)
{
    if (!m)
        return;
    say_tensors(d, results, &m->stable);
    memcpy(m->id, id, sizeof m->id);
}

// ---- both are known ----

static void add(struct pairs *p, const struct trial_pair *pair, const char *id)
{
    if (!p)
        return;
    if (!pair->failed[ARM_CANARY] && !pair->failed[ARM_STABLE]) {
        pairs_add(p, pair->answers[ARM_STABLE], pair->answers[ARM_CANARY], id);
        return;
    }
    p->n++;
    p->shadow_failed += !pair->failed[ARM_STABLE];
    p->stable_failed += !pair->failed[ARM_CANARY];
}

// Counts the pair and frees it.
static void finish(struct mirror *m, struct said *shadow)
{
    struct said *stable = &m->stable;
    const struct trial_pair pair = {
        {has_failed(shadow), has_failed(stable)}, {&shadow->kept, &stable->kept}, m->entity};
    if (shadow->n_rows == stable->n_rows) {
        uint32_t n = shadow->kept.n_rows, most = stable->kept.n_rows;
        shadow->kept.n_rows = stable->kept.n_rows = n < most ? n : most;
    }
    add(trial_pairs(m->trial), &pair, m->id);
    add(trial_segment(m->trial, m->segment), &pair, m->id);
    trial_pair(m->trial, &pair);
    said_done(shadow);
    mirror_free(m);
}

void shadow_done(struct mirror *m, const struct deployment *d, const struct tensor *results)
{
    struct said shadow = {0};
    trial_gateway(m->trial)->shadows->n_sent--;
    if (results)
        say_tensors(d, results, &shadow);
    finish(m, &shadow);
}

void shadow_lost(struct mirror *m)
{
    trial_gateway(m->trial)->shadows->n_sent--;
    drop(m);
}

// A shadow that this gateway computes itself, within the limits that its version's own requests have.
static void compute(struct shadows *s, struct mirror *m)
{
    const struct deployment *d = m->shadow;
    struct predict_request request;
    struct said shadow = {0};
    struct rows rows;
    struct err e;
    rows_init(&rows, d->sig->input_dtype, d->sig->n_features, predict_rows_max(s->g, d));
    predict_decode_fn *decode = m->v2 ? kserve_v2_decode : kserve_v1_decode;
    int rc = decode(buf_str(&m->body), NULL, d->sig, &rows, &s->scratch, &request, &e);
    if (rc == 0) {
        // Of a large request as many rows as others may wait for.
        uint32_t n = rows.n_rows < job_threshold(d) ? rows.n_rows : job_threshold(d);
        size_t row_bytes = d->sig->n_outputs * dtype_size(d->sig->output_dtype);
        void *outputs = arena_alloc(&s->scratch, n * row_bytes);
        if (outputs) {
            d->engine->predict(d->compiled, rows.data, n, outputs);
            say_rows(d, outputs, n, &shadow);
            shadow.n_rows = rows.n_rows;
        }
    }
    rows_done(&rows);
    arena_reset(&s->scratch, 0);
    if (has_failed(&shadow) && (rc == 0 || rc == ERR_NOMEM))
        drop(m); // what memory did not bear says nothing of the version
    else
        finish(m, &shadow);
}

// ---- its time ----

static void earn(struct shadows *s, uint32_t percent)
{
    uint64_t now = clock_mono_ns();
    s->budget_ns += (int64_t)((now - s->earned_ns) / 100 * percent);
    if (s->budget_ns > BUDGET_MOST_NS)
        s->budget_ns = BUDGET_MOST_NS;
    s->earned_ns = now;
}

// Whether the first of the queue can go on now; then it has gone.
static bool go_on(struct shadows *s, struct mirror *m)
{
    struct err e;
    if (!trial_is_running(m->trial)) {
        mirror_free(take_first(s));
        return true;
    }
    if (m->shadow->interface && (s->n_sent >= SHADOW_IN_FLIGHT || !backend_is_idle(m->shadow->backend)))
        return false;
    take_first(s);
    if (!m->shadow->interface) {
        compute(s, m);
        return true;
    }
    s->n_sent++;
    int rc = call_mirror(m->shadow, m->v2, buf_str(&m->body), m, &s->scratch, &e);
    arena_reset(&s->scratch, 0);
    if (rc == ERR_BUSY)
        shadow_lost(m);
    else if (rc)
        shadow_done(m, m->shadow, NULL);
    return true;
}

// Wakes the loop later, when nothing else may do it.
static void look_again(struct shadows *s, uint64_t ms)
{
    struct err e;
    if (!s->is_waiting)
        s->is_waiting =
            loop_timer_set(s->g->loop, &s->again, clock_mono_ns() + ms * UINT64_C(1000000), &e) == 0;
}

void shadow_work(struct gateway *g)
{
    struct shadows *s = g->shadows;
    bool was_busy = g->has_shadow_work;
    g->has_shadow_work = false;
    if (s && s->first) {
        earn(s, trial_budget_percent(s->first->trial));
        uint64_t start = clock_mono_ns();
        if (s->budget_ns <= 0) {
            look_again(s, SPENT_MS);
        } else if (go_on(s, s->first)) {
            s->budget_ns -= (int64_t)(clock_mono_ns() - start);
            g->has_shadow_work = s->first != NULL;
        } else {
            look_again(s, NO_ROOM_MS);
        }
    }
    if (g->has_shadow_work != was_busy)
        gateway_set_busy(g);
}

static void shadows_free(struct shadows *s)
{
    arena_done(&s->scratch);
    s->g->shadows = NULL;
    free(s);
}

void shadow_free(struct gateway *g)
{
    struct shadows *s = g->shadows;
    if (!s)
        return;
    loop_timer_clear(g->loop, &s->again);
    s->n++; // until the queue is empty
    while (s->first)
        mirror_free(take_first(s));
    s->is_closing = true;
    if (--s->n == 0)
        shadows_free(s);
}
