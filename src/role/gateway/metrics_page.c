// SPDX-License-Identifier: Apache-2.0
// Which versions are on the page, and what was counted of their requests.
#include "role/gateway/metrics_page.h"

#include "base/clock.h"
#include "role/gateway/control.h"
#include "role/gateway/metrics_parts.h"
#include "role/gateway/split.h"
#include "role/gateway/table.h"
#include "settings/settings.h"
#include "tensor/rule.h"
#include "wire/exposition_proto.h"

#include <stdlib.h>
#include <string.h>

static const char *const EDGES[HIST_EDGES + 1] = {"1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025", "0.0005",
                                                  "0.001", "0.0025",  "0.005", "0.01",   "0.025",   "0.05",
                                                  "0.075", "0.1",     "0.25",  "0.5",    "0.75",    "1",
                                                  "2.5",   "5",       "7.5",   "10",     "+Inf"};

enum { SIZES_SHOWN = 14 }; // of batches, as text: 1, 2, 4 … 8192 rows

// ---- which versions ----

static struct metrics_entry *find(struct metrics_page *p, uint64_t key)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->entries[i].key == key)
            return &p->entries[i];
    return NULL;
}

static const char *arm_of(const struct table_model *m, const struct deployment *d)
{
    const struct split *s = m->split;
    for (uint32_t i = 0; s && i < s->n_arms; i++)
        if (s->arms[i] == d)
            return s->names[i];
    return s && s->shadow == d ? "shadow" : "stable";
}

static void add_served(struct metrics_page *p)
{
    const struct table *t = p->g->table;
    for (uint32_t i = 0; i < t->n_models; i++)
        for (uint32_t k = 0; k < t->models[i].n_versions && p->n < METRICS_SERIES; k++) {
            const struct deployment *d = t->models[i].names[k].deployment;
            struct metrics_entry *x = &p->entries[p->n++];
            *x = (struct metrics_entry){.key = d->key,
                                        .slot = (unsigned)(d->series - p->g->metrics->series),
                                        .d = d,
                                        .arm = arm_of(&t->models[i], d)};
            x->version = d->series->version;
            memcpy(x->model, d->series->model, sizeof x->model);
        }
}

// A version that some gateway served until not long ago. Its number is looked at again after its name was
// copied: the slot may be given to another one meanwhile.
static void add_retired(struct metrics_page *p, const struct metrics_series *s, unsigned slot,
                        uint64_t now_ns)
{
    uint64_t key = __atomic_load_n(&s->deployment, __ATOMIC_SEQ_CST);
    uint64_t left_ns = __atomic_load_n(&s->left_mono_ns, __ATOMIC_RELAXED);
    if (key == 0 || left_ns == 0 || now_ns >= left_ns + p->g->settings->metrics_retire_ms * UINT64_C(1000000))
        return;
    if (p->n == METRICS_SERIES || find(p, key))
        return;
    struct metrics_entry *x = &p->entries[p->n];
    *x = (struct metrics_entry){.key = key, .slot = slot, .version = s->version, .arm = "stable"};
    memcpy(x->model, s->model, LIMIT_MODEL_NAME_BYTES);
    if (__atomic_load_n(&s->deployment, __ATOMIC_SEQ_CST) == key)
        p->n++;
}

static int by_name(const void *a, const void *b)
{
    const struct metrics_entry *x = a, *y = b;
    int c = strcmp(x->model, y->model);
    return c ? c : (x->version > y->version) - (x->version < y->version);
}

static void collect(struct metrics_page *p)
{
    uint64_t now_ns = clock_mono_ns();
    add_served(p);
    for (unsigned i = 0; i < p->g->n_gateways; i++)
        for (unsigned slot = 0; slot < metrics_slots(&p->g->shards[i]); slot++)
            add_retired(p, &p->g->shards[i].series[slot], slot, now_ns);
    qsort(p->entries, p->n, sizeof p->entries[0], by_name);
}

void metrics_page_routed(struct gateway *g)
{
    bool served[METRICS_SERIES] = {0};
    uint64_t now_ns = clock_mono_ns();
    for (uint32_t i = 0; i < g->table->n_models; i++)
        for (uint32_t k = 0; k < g->table->models[i].n_versions; k++)
            served[g->table->models[i].names[k].deployment->series - g->metrics->series] = true;
    for (unsigned slot = 0; slot < metrics_slots(g->metrics); slot++) {
        struct metrics_series *s = &g->metrics->series[slot];
        uint64_t left_ns = served[slot] ? 0 : s->left_mono_ns ? s->left_mono_ns : now_ns;
        __atomic_store_n(&s->left_mono_ns, s->deployment ? left_ns : 0, __ATOMIC_RELAXED);
    }
}

// ---- parts ----

const struct metrics_series *metrics_series_of(const struct metrics_page *p, unsigned i,
                                               const struct metrics_entry *x)
{
    const struct metrics_series *s = &p->g->shards[i].series[x->slot];
    return __atomic_load_n(&s->deployment, __ATOMIC_RELAXED) == x->key ? s : NULL;
}

uint64_t metrics_sum(const struct metrics_page *p, const struct metrics_entry *x, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < p->g->n_gateways; i++) {
        const struct metrics_series *s = metrics_series_of(p, i, x);
        sum += s ? *(const uint64_t *)((const char *)s + offset) : 0;
    }
    return sum;
}

void metrics_hist_add(struct metrics_page *p, const struct metrics_entry *x, size_t offset)
{
    for (unsigned i = 0; i < p->g->n_gateways; i++) {
        const struct metrics_series *s = metrics_series_of(p, i, x);
        if (s)
            hist_merge(&p->sum, (const struct hist *)((const char *)s + offset));
    }
}

void metrics_labels_put(struct exposition *x, const struct metrics_entry *entry)
{
    exposition_label(x, "model", str_of(entry->model));
    exposition_label_u64(x, "version", entry->version);
    exposition_label(x, "arm", str_of(entry->arm));
}

static struct exposition begin(struct metrics_page *p, const struct metrics_entry *entry, const char *name,
                               const char *suffix)
{
    struct exposition x = exposition_begin(p->out, name, suffix);
    metrics_labels_put(&x, entry);
    return x;
}

void metrics_hist_put(struct metrics_page *p, const char *name,
                      void (*put_labels)(struct exposition *, const struct metrics_entry *),
                      const struct metrics_entry *entry)
{
    struct exposition x;
    if (p->has_native)
        metrics_native_put(&p->sum, p->out);
    for (unsigned e = 0; e <= HIST_EDGES; e++) {
        x = exposition_begin(p->out, name, "_bucket");
        put_labels(&x, entry);
        exposition_label(&x, "le", str_of(EDGES[e]));
        exposition_end_u64(&x, e < HIST_EDGES ? hist_count_at_edge(&p->sum, e) : p->sum.count);
    }
    x = exposition_begin(p->out, name, "_sum");
    put_labels(&x, entry);
    exposition_end_ns(&x, p->sum.sum_ns);
    x = exposition_begin(p->out, name, "_count");
    put_labels(&x, entry);
    exposition_end_u64(&x, p->sum.count);
}

// ---- families ----

static void put_requests(struct metrics_page *p)
{
    static const char *const CLASSES[METRICS_CODE_CLASSES] = {
        [2] = "2xx", [4] = "4xx", [5] = "5xx"}; // a prediction is never answered by the others
    exposition_family(p->out, "slipway_requests_total", "counter", "Prediction requests by answer.");
    for (size_t i = 0; i < p->n; i++)
        for (size_t class = 0; class < METRICS_CODE_CLASSES; class ++) {
            if (!CLASSES[class])
                continue;
            struct exposition x = begin(p, &p->entries[i], "slipway_requests_total", "");
            exposition_label(&x, "code", str_of(CLASSES[class]));
            exposition_end_u64(
                &x, metrics_sum(p, &p->entries[i],
                                offsetof(struct metrics_series, requests) + class * sizeof(uint64_t)));
        }
}

static void put_counter(struct metrics_page *p, const char *name, const char *help, size_t offset)
{
    exposition_family(p->out, name, "counter", help);
    for (size_t i = 0; i < p->n; i++) {
        struct exposition x = begin(p, &p->entries[i], name, "");
        exposition_end_u64(&x, metrics_sum(p, &p->entries[i], offset));
    }
}

static void put_rules(struct metrics_page *p)
{
    _Static_assert((int)RULE_KINDS == METRICS_RULE_KINDS && (int)RULE_ACTIONS == METRICS_RULE_ACTIONS,
                   "as counted");
    exposition_family(p->out, "slipway_signature_values_total", "counter",
                      "Values that broke a rule of the signature, and what became of them.");
    for (size_t i = 0; i < p->n; i++)
        for (size_t n = 0; p->entries[i].d && p->entries[i].d->rules && n < (size_t)RULE_KINDS * RULE_ACTIONS;
             n++) {
            struct exposition x = begin(p, &p->entries[i], "slipway_signature_values_total", "");
            exposition_label(&x, "kind", str_of(rule_kind_name((enum rule_kind)(n / RULE_ACTIONS))));
            exposition_label(&x, "action", str_of(rule_action_name((enum rule_action)(n % RULE_ACTIONS))));
            exposition_end_u64(&x,
                               metrics_sum(p, &p->entries[i],
                                           offsetof(struct metrics_series, rules) + n * sizeof(uint64_t)));
        }
}

static void put_hist(struct metrics_page *p, const char *name, const char *help, size_t offset)
{
    exposition_family(p->out, name, "histogram", help);
    for (size_t i = 0; i < p->n; i++) {
        memset(&p->sum, 0, sizeof p->sum);
        metrics_hist_add(p, &p->entries[i], offset);
        metrics_hist_put(p, name, metrics_labels_put, &p->entries[i]);
    }
}

static void put_batches(struct metrics_page *p)
{
    static const char NAME[] = "slipway_batch_size";
    exposition_family(p->out, NAME, "histogram", "Rows computed together with a request.");
    for (size_t i = 0; i < p->n; i++) {
        const struct metrics_entry *entry = &p->entries[i];
        size_t at = offsetof(struct metrics_series, batch);
        uint64_t n = 0, sizes[METRICS_SIZES], all = 0;
        struct exposition x;
        for (size_t k = 0; k < METRICS_SIZES; k++) {
            sizes[k] = metrics_sum(p, entry, at + offsetof(struct metrics_sizes, n) + k * sizeof(uint64_t));
            all += sizes[k];
        }
        if (p->has_native) // bucket k of schema 0 is what is above 2^(k - 1) and at most 2^k
            exposition_native(p->out, &(struct exposition_native){.n = sizes, .n_buckets = METRICS_SIZES});
        for (size_t k = 0; k < SIZES_SHOWN; k++) {
            n += sizes[k];
            x = begin(p, entry, NAME, "_bucket");
            exposition_label_u64(&x, "le", UINT64_C(1) << k);
            exposition_end_u64(&x, n);
        }
        x = begin(p, entry, NAME, "_bucket");
        exposition_label(&x, "le", STR("+Inf"));
        exposition_end_u64(&x, all);
        x = begin(p, entry, NAME, "_sum");
        exposition_end_u64(&x, metrics_sum(p, entry, at + offsetof(struct metrics_sizes, sum)));
        x = begin(p, entry, NAME, "_count");
        exposition_end_u64(&x, all);
    }
}

static void put_all(struct metrics_page *p)
{
    exposition_family(p->out, "slipway_build_info", "gauge", "Always 1; the version is in the label.");
    struct exposition x = exposition_begin(p->out, "slipway_build_info", "");
    exposition_label(&x, "version", STR(SLIPWAY_VERSION));
    exposition_end_u64(&x, 1);
    put_requests(p);
    put_counter(p, "slipway_rows_total", "Rows predicted.", offsetof(struct metrics_series, rows));
    put_rules(p);
    put_hist(p, "slipway_request_duration_seconds", "From the read of a request to the write of its answer.",
             offsetof(struct metrics_series, duration));
    put_hist(p, "slipway_queue_duration_seconds",
             "From the read of a request to the start of its computation.",
             offsetof(struct metrics_series, queue));
    put_hist(p, "slipway_compute_duration_seconds", "Computation of the batch a request was part of.",
             offsetof(struct metrics_series, compute));
    put_batches(p);
    metrics_replicas_put(p);
    metrics_server_put(p);
    metrics_aliases_put(p);
    size_t from = p->out->n;
    (void)metrics_text_read(metrics_text_of(p->g->shards, p->g->n_gateways), p->out);
    if (!p->has_native)
        exposition_without_native(p->out, from);
    buf_put_str(p->out, control_metrics(p->g->control));
}

static int put_page(struct gateway *g, bool has_native, struct buf *out, struct err *e)
{
    struct metrics_page *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for the metrics");
    p->g = g;
    p->out = out;
    p->has_native = has_native;
    collect(p);
    put_all(p);
    free(p);
    return 0;
}

int metrics_page_put(struct gateway *g, struct str accept, struct buf *out, struct str *ret_type,
                     struct err *e)
{
    struct buf text;
    *ret_type = STR("text/plain; version=0.0.4; charset=utf-8");
    if (!exposition_proto_is_asked(accept))
        return put_page(g, false, out, e);
    *ret_type = STR(EXPOSITION_PROTO_TYPE);
    buf_init(&text, out->max);
    int rc = put_page(g, true, &text, e);
    out->failed |= text.failed;
    if (rc == 0 && !out->failed && exposition_proto(buf_str(&text), out, e))
        rc = e->code = ERR_INTERNAL; // a mistake of ours, not of the request
    buf_done(&text);
    return rc;
}
