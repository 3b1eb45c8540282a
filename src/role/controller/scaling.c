// SPDX-License-Identifier: Apache-2.0
// The timer, the counters, the claims on the machine.
#include "role/controller/scaling.h"

#include "os/shm.h"
#include "role/controller/gateways.h"
#include "role/controller/replicas.h"
#include "role/controller/routing.h"
#include "role/controller/scaler.h"
#include "role/metrics.h"
#include "settings/settings.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

enum { SAMPLE_NS = 1000000000, RATE_SECONDS = 60 };
static const double CHAMPION_WEIGHT = 2;
static const double ROUNDING = 1e-9;

struct scaling {
    struct controller *c;
    const struct metrics_shard *shards; // (n_gateways) of the gateways, only read
    size_t bytes;
    struct timer due;
    uint64_t n_samples;
    double n_cores, memory_bytes; // of the machine
};

// ---- which, and what is known of them ----

static bool runs_in_replicas(const struct deployment *d)
{
    return d && d->id && d->is_declared && d->state == DEPLOYMENT_READY;
}

static bool is_scaled(const struct deployment *d)
{
    return runs_in_replicas(d) && !d->is_given_up && !d->is_away &&
           d->settings.min_replicas < d->settings.max_replicas;
}

static uint64_t get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

// The deployment's counters in gateway i, or NULL while that has not counted anything for it.
static const struct metrics_series *series_of(const struct scaling *s, unsigned i, const struct deployment *d)
{
    const struct metrics_series *m = &s->shards[i].series[d->slot];
    if (d->slot >= metrics_slots(&s->shards[i]))
        return NULL;
    return get(&m->deployment) == metrics_key(str_of(d->model), d->version) ? m : NULL;
}

static struct scaler_counts sums_of(const struct scaling *s, const struct deployment *d)
{
    struct scaler_counts sum = {0};
    for (unsigned i = 0; i < s->c->args->n_gateways; i++) {
        const struct metrics_series *m = series_of(s, i, d);
        if (!m)
            continue;
        sum.arrivals += get(&m->arrivals);
        sum.in_flight_ns += get(&m->in_flight_ns);
        sum.computed_ns += get(&m->computed_ns);
        sum.n_computed += get(&m->compute.count);
    }
    return sum;
}

uint64_t scaling_requests(const struct controller *c, const struct deployment *d)
{
    uint64_t n = 0;
    for (unsigned i = 0; c->scaling && i < c->args->n_gateways; i++) {
        const struct metrics_series *m = series_of(c->scaling, i, d);
        for (size_t class = 0; m && class < METRICS_CODE_CLASSES; class ++)
            n += get(&m->requests[class]);
    }
    return n;
}

size_t scaling_slots(const struct controller *c, uint64_t ret[LIMIT_DEPLOYMENTS])
{
    size_t n = 0;
    for (size_t slot = 0; slot < LIMIT_DEPLOYMENTS; slot++) {
        ret[slot] = 0;
        for (unsigned i = 0; c->scaling && i < c->args->n_gateways && !ret[slot]; i++)
            if (slot < metrics_slots(&c->scaling->shards[i]))
                ret[slot] = get(&c->scaling->shards[i].series[slot].deployment);
        n += ret[slot] != 0;
    }
    return n;
}

static uint64_t waiting_of(const struct scaling *s, const struct deployment *d)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < s->c->args->n_gateways; i++) {
        const struct metrics_series *m = series_of(s, i, d);
        n += m ? get(&m->waiting) : 0;
    }
    return n;
}

static void sample(struct scaling *s, struct deployment *d, uint64_t now_ns)
{
    if (!d->scaler) {
        d->scaler = malloc(sizeof *d->scaler);
        if (!d->scaler)
            return; // again in a second
        scaler_init(d->scaler, d->n_wanted, now_ns);
    }
    struct scaler_counts counts = sums_of(s, d);
    scaler_sample(d->scaler, &counts, now_ns);
}

// ---- sharing ----

// The part of the machine that one replica takes, by whatever it takes most of.
static double cost_of(const struct scaling *s, const struct deployment *d)
{
    uint64_t set = s->c->args->settings->replica_cores;
    double cores = d->settings.threads / (set ? (double)set : s->n_cores);
    double memory = (double)d->memory_bytes / s->memory_bytes;
    return cores > memory ? cores : memory;
}

static bool is_champion(const struct scaling *s, const struct deployment *d)
{
    return routing_default(&s->c->routing, str_of(d->model)) == d->version;
}

// What d should have. One that has requests gets one replica whatever the others have.
static struct autoscale_claim claim_of(const struct scaling *s, const struct deployment *d, uint64_t now_ns)
{
    struct autoscale_claim claim = {
        .wanted = d->n_wanted, .cost = cost_of(s, d), .weight = is_champion(s, d) ? CHAMPION_WEIGHT : 1};
    if (is_scaled(d) && d->scaler) {
        struct scaler_facts facts = {.settings = &d->settings,
                                     .ready = d->n_ready,
                                     .wanted = d->n_wanted,
                                     .waiting = waiting_of(s, d),
                                     .start_ms = d->load_ns / 1000000};
        claim.wanted = scaler_decide(d->scaler, &facts, now_ns);
        claim.floor = d->settings.min_replicas > 0 || claim.wanted == 0 ? d->settings.min_replicas : 1;
    } else {
        claim.floor = d->n_wanted;
    }
    if (claim.floor < d->rollout_floor)
        claim.floor = d->rollout_floor;
    if (claim.wanted < claim.floor)
        claim.wanted = claim.floor;
    return claim;
}

static void apply(struct controller *c, struct deployment *d, uint32_t n, const char *why)
{
    struct err e;
    uint32_t before = d->n_wanted;
    if (n == before)
        return;
    if (replicas_serve(c, d, n, &e)) {
        log_event(&c->log, LOG_LEVEL_ERROR, "scale_failed", LOG_Z("model", d->model),
                  LOG_INT("version", d->version), LOG_Z("message", e.msg));
        return;
    }
    d->n_cold_starts += before == 0;
    log_event(&c->log, LOG_LEVEL_INFO, "scaled", LOG_Z("model", d->model), LOG_INT("version", d->version),
              LOG_INT("from", before), LOG_INT("to", n), LOG_Z("reason", why));
}

static void decide(struct scaling *s, uint64_t now_ns)
{
    struct controller *c = s->c;
    struct autoscale_claim claims[LIMIT_DEPLOYMENTS];
    struct deployment *whose[LIMIT_DEPLOYMENTS];
    size_t n = 0;
    for (int champions = 1; champions >= 0; champions--)
        for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
            struct deployment *d = c->routing.slots[i];
            if (!runs_in_replicas(d) || is_champion(s, d) != champions)
                continue;
            whose[n] = d;
            claims[n++] = claim_of(s, d, now_ns);
        }
    (void)autoscale_share(claims, n, 1 + ROUNDING);
    for (size_t i = 0; i < n; i++) {
        if (!is_scaled(whose[i]))
            continue;
        whose[i]->is_starved = claims[i].granted < claims[i].wanted;
        apply(c, whose[i], claims[i].granted, "load");
        gateways_scaled(c, whose[i]);
    }
}

// ---- time ----

static void set_timer(struct scaling *s)
{
    struct err e;
    if (loop_timer_set(s->c->loop, &s->due, loop_now_ns(s->c->loop) + SAMPLE_NS, &e))
        log_event(&s->c->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
}

// Means that fade over a minute, and are plain ones before.
static void sample_rate(const struct scaling *s, struct deployment *d)
{
    uint64_t requests = 0, errors = 0;
    for (unsigned i = 0; i < s->c->args->n_gateways; i++) {
        const struct metrics_series *m = series_of(s, i, d);
        for (size_t class = 0; m && class < METRICS_CODE_CLASSES; class ++)
            requests += get(&m->requests[class]);
        errors += m ? get(&m->requests[5]) : 0;
    }
    if (d->n_rates && requests >= d->rate_requests && errors >= d->rate_errors) {
        double part = 1.0 / (d->n_rates < RATE_SECONDS ? d->n_rates : RATE_SECONDS);
        d->requests_per_second += part * ((double)(requests - d->rate_requests) - d->requests_per_second);
        d->errors_per_second += part * ((double)(errors - d->rate_errors) - d->errors_per_second);
    }
    d->n_rates += d->n_rates < RATE_SECONDS;
    d->rate_requests = requests;
    d->rate_errors = errors;
}

static void on_due(struct timer *t)
{
    struct scaling *s = (struct scaling *)((char *)t - offsetof(struct scaling, due));
    uint64_t now_ns = loop_now_ns(s->c->loop);
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = s->c->routing.slots[i];
        if (is_scaled(d))
            sample(s, d, now_ns);
        if (d && d->id)
            sample_rate(s, d);
    }
    if (++s->n_samples % AUTOSCALE_TICK_S == 0)
        decide(s, now_ns);
    set_timer(s);
}

void scaling_want(struct controller *c, uint64_t deployment)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = c->routing.slots[i];
        if (!is_scaled(d) || d->id != deployment || d->n_wanted > 0)
            continue;
        if (d->scaler)
            scaler_woken(d->scaler, loop_now_ns(c->loop));
        apply(c, d, 1, "request");
        gateways_scaled(c, d);
    }
}

static double n_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n;
}

static double memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && bytes > 0 ? (double)pages * (double)bytes : 1e18;
}

int scaling_open(struct controller *c, struct err *e)
{
    void *shards;
    if (c->args->metrics_fd < 0)
        return 0;
    struct scaling *s = c->scaling = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory to start");
    *s = (struct scaling){.c = c, .due.on_due = on_due, .n_cores = n_cores(), .memory_bytes = memory_bytes()};
    int rc = shm_map(c->args->metrics_fd, false, metrics_segment_bytes(c->args->n_gateways), SIZE_MAX / 2,
                     &shards, &s->bytes, e);
    if (rc)
        return err_wrap(e, "metrics");
    s->shards = shards;
    set_timer(s);
    return 0;
}

void scaling_close(struct controller *c)
{
    if (!c->scaling)
        return;
    loop_timer_clear(c->loop, &c->scaling->due);
    shm_unmap(c->scaling->shards, c->scaling->bytes);
    free(c->scaling);
    c->scaling = NULL;
}
