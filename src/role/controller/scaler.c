// SPDX-License-Identifier: Apache-2.0
// Sampling: differences of counters become means per second. Deciding: from zero by the rate, else by the
// load, and never less than the queue allows.
#include "role/controller/scaler.h"

static const double SECOND_NS = 1e9;
static const double UTILISATION = 0.7;    // of a replica, when it starts from zero
static const double BACKLOG_S = 10;       // within which what waits at zero should be answered
static const double WAIT_SERVICES = 0.25; // longest mean wait, in times that a request is computed
static const double NEW_PART = 0.3;       // of the last sample in what a request costs

static uint64_t second_of(uint64_t now_ns)
{
    return now_ns / 1000000000u;
}

void scaler_init(struct scaler *s, uint32_t wanted, uint64_t now_ns)
{
    *s = (struct scaler){.active_s = second_of(now_ns)};
    if (wanted > 1)
        s->state = (struct autoscale){.panicking = true, .panic_s = second_of(now_ns), .panic_most = wanted};
}

// A slot that was given to another deployment, or a gateway that counts anew.
static bool went_back(const struct scaler_counts *from, const struct scaler_counts *to)
{
    return to->arrivals < from->arrivals || to->in_flight_ns < from->in_flight_ns ||
           to->computed_ns < from->computed_ns || to->n_computed < from->n_computed;
}

static void learn_service(struct scaler *s, uint64_t computed_ns, uint64_t n)
{
    if (n == 0)
        return;
    double seconds = (double)computed_ns / (double)n / SECOND_NS;
    s->service_s = s->service_s > 0 ? s->service_s + NEW_PART * (seconds - s->service_s) : seconds;
}

void scaler_sample(struct scaler *s, const struct scaler_counts *c, uint64_t now_ns)
{
    const struct scaler_counts *l = &s->last;
    if (s->sampled_ns == 0)
        learn_service(s, c->computed_ns, c->n_computed); // counted under an earlier controller
    if (s->sampled_ns && now_ns > s->sampled_ns && !went_back(l, c)) {
        double dur_ns = (double)(now_ns - s->sampled_ns);
        double in_flight = (double)(c->in_flight_ns - l->in_flight_ns) / dur_ns;
        double rate = (double)(c->arrivals - l->arrivals) / dur_ns * SECOND_NS;
        autoscale_window_add(&s->in_flight, second_of(now_ns), in_flight);
        autoscale_window_add(&s->arrivals, second_of(now_ns), rate);
        learn_service(s, c->computed_ns - l->computed_ns, c->n_computed - l->n_computed);
        if (in_flight > 0 || rate > 0)
            s->active_s = second_of(now_ns);
    }
    s->last = *c;
    s->sampled_ns = now_ns;
}

void scaler_woken(struct scaler *s, uint64_t now_ns)
{
    s->active_s = second_of(now_ns);
}

// None is ready. What piles up meanwhile says nothing of how many are needed, so the load is not looked at.
static uint32_t from_zero(const struct scaler *s, const struct scaler_facts *f, uint32_t panic_window_s,
                          uint64_t now_s)
{
    double rate = autoscale_window_mean(&s->arrivals, now_s, panic_window_s);
    uint32_t n = autoscale_from_zero(rate, s->service_s, UTILISATION, f->waiting, BACKLOG_S);
    n = n < f->wanted ? f->wanted : n; // those that are starting are let be
    return n < f->settings->max_replicas ? n : f->settings->max_replicas;
}

double scaler_target(const struct version_settings *v)
{
    return AUTOSCALE_DEFAULTS.target * v->concurrency;
}

static uint32_t by_load(struct scaler *s, const struct scaler_facts *f, uint32_t panic_window_s,
                        uint64_t now_s)
{
    const struct version_settings *v = f->settings;
    struct autoscale_spec spec = AUTOSCALE_DEFAULTS;
    spec.target = scaler_target(v);
    spec.stable_s = v->scale_window_s;
    spec.min = v->min_replicas;
    spec.max = v->max_replicas;
    struct autoscale_load load = {
        .stable = autoscale_window_mean(&s->in_flight, now_s, v->scale_window_s),
        .panic = autoscale_window_mean(&s->in_flight, now_s, panic_window_s),
        .ready = f->ready,
        .starting = f->wanted > f->ready ? f->wanted - f->ready : 0,
    };
    uint32_t n = autoscale_decide(&s->state, &spec, &load, now_s);
    double offered = autoscale_window_mean(&s->arrivals, now_s, v->scale_window_s) * s->service_s;
    uint32_t guard = offered > 0 ? autoscale_erlang(offered, WAIT_SERVICES, v->max_replicas) : 0;
    return n > guard ? n : guard;
}

uint32_t scaler_decide(struct scaler *s, const struct scaler_facts *f, uint64_t now_ns)
{
    enum { PANIC_PART = 10 }; // of the window
    const struct version_settings *v = f->settings;
    uint64_t now_s = second_of(now_ns);
    uint32_t panic_window_s = v->scale_window_s / PANIC_PART > 0 ? v->scale_window_s / PANIC_PART : 1;
    uint64_t idle_s = v->idle_s ? v->idle_s : autoscale_idle_s(f->start_ms);
    if (v->min_replicas == 0 && f->waiting == 0 && now_s - s->active_s >= idle_s)
        return 0;
    if (f->wanted == 0 && f->waiting == 0)
        return v->min_replicas;
    if (f->wanted == 0 || f->ready == 0) // one that is ready and not wanted is ending
        return from_zero(s, f, panic_window_s, now_s);
    uint32_t n = by_load(s, f, panic_window_s, now_s);
    return n ? n : 1;
}
