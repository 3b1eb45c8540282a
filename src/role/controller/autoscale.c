// SPDX-License-Identifier: Apache-2.0
// The decision first, then the corrections to it.
#include "role/controller/autoscale.h"

#include <math.h>
#include <string.h>

const struct autoscale_spec AUTOSCALE_DEFAULTS = {.target = 0.7,
                                                  .panic_threshold = 2,
                                                  .up_rate = 1000,
                                                  .down_rate = 2,
                                                  .stable_s = 60,
                                                  .delay_s = 0,
                                                  .min = 1,
                                                  .max = 1};

void autoscale_window_add(struct autoscale_window *w, uint64_t now_s, double value)
{
    if (w->last_s == 0)
        w->first_s = now_s;
    uint64_t from = w->last_s == 0 || now_s + 1 - w->last_s > AUTOSCALE_WINDOW_MAX_S
                        ? now_s + 1 - AUTOSCALE_WINDOW_MAX_S
                        : w->last_s;
    if (w->last_s == 0 || now_s >= w->last_s) { // seconds nobody wrote in are empty
        for (uint64_t s = from; s != now_s + 1; s++)
            memset(&w->buckets[s % AUTOSCALE_WINDOW_MAX_S], 0, sizeof w->buckets[0]);
        w->last_s = now_s + 1;
    }
    w->buckets[now_s % AUTOSCALE_WINDOW_MAX_S].sum += value;
    w->buckets[now_s % AUTOSCALE_WINDOW_MAX_S].n++;
}

double autoscale_window_mean(const struct autoscale_window *w, uint64_t now_s, uint32_t window_s)
{
    if (w->last_s == 0)
        return 0;
    uint64_t seconds = now_s - w->first_s + 1 < window_s ? now_s - w->first_s + 1 : window_s;
    double sum = 0;
    for (uint64_t s = now_s + 1 - seconds; s <= now_s; s++) {
        uint64_t k = s % AUTOSCALE_WINDOW_MAX_S;
        if (s < w->last_s && w->last_s - s <= AUTOSCALE_WINDOW_MAX_S && w->buckets[k].n)
            sum += w->buckets[k].sum / w->buckets[k].n;
    }
    return sum / (double)seconds;
}

static uint32_t clamp(double v, double low, double high)
{
    return (uint32_t)(v < low ? low : v > high ? high : v);
}

// Panic begins and goes on while the short window is over the threshold, and ends stable_s after it last was.
static void judge_panic(struct autoscale *a, const struct autoscale_spec *s, double over, uint64_t now_s)
{
    if (over >= s->panic_threshold) {
        a->panicking = true;
        a->panic_s = now_s;
    } else if (a->panicking && a->panic_s + s->stable_s < now_s) {
        a->panicking = false;
        a->panic_most = 0;
    }
}

// The most that was wanted within delay_s: values that are smaller than a later one can be forgotten.
static uint32_t delayed(struct autoscale *a, uint32_t wanted, uint32_t delay_s, uint64_t now_s)
{
    const uint32_t cap = sizeof a->wanted / sizeof a->wanted[0];
    while (a->n_wanted && a->wanted[a->n_wanted - 1].n <= wanted)
        a->n_wanted--;
    uint32_t old = 0;
    while (old < a->n_wanted && a->wanted[old].at_s + delay_s < now_s)
        old++;
    if (a->n_wanted - old == cap)
        old++;
    memmove(a->wanted, a->wanted + old, (a->n_wanted - old) * sizeof a->wanted[0]);
    a->n_wanted -= old;
    a->wanted[a->n_wanted].at_s = now_s;
    a->wanted[a->n_wanted++].n = wanted;
    return a->wanted[0].n;
}

uint32_t autoscale_decide(struct autoscale *a, const struct autoscale_spec *s, const struct autoscale_load *l,
                          uint64_t now_s)
{
    double there = l->ready > 0 ? l->ready : 1;
    double coming = l->ready + l->starting > 0 ? l->ready + l->starting : 1;
    double most = ceil(s->up_rate * coming), least = floor(there / s->down_rate);
    double for_panic = ceil(l->panic / s->target);
    uint32_t wanted = clamp(ceil(l->stable / s->target), least, most);
    judge_panic(a, s, for_panic / coming, now_s);
    if (a->panicking) {
        uint32_t now = clamp(for_panic, least, most);
        wanted = now > wanted ? now : wanted;
        a->panic_most = wanted > a->panic_most ? wanted : a->panic_most;
        wanted = a->panic_most;
    }
    return clamp(delayed(a, wanted, s->delay_s, now_s), s->min, s->max);
}

uint32_t autoscale_from_zero(double rate_per_s, double service_s, double rho, uint64_t backlog,
                             double drain_s)
{
    double by_rate = ceil(rate_per_s * service_s / rho);
    double by_backlog = ceil((double)backlog * service_s / drain_s);
    return clamp(by_rate > by_backlog ? by_rate : by_backlog, 1, UINT32_MAX);
}

uint32_t autoscale_erlang(double offered, double wait, uint32_t max)
{
    double b = 1; // Erlang B of c servers, by its recursion
    for (uint32_t c = 1; c < max; c++) {
        b = offered * b / (c + offered * b);
        double rho = offered / c;
        if (rho >= 1)
            continue;
        double must_wait = b / (1 - rho * (1 - b)); // Erlang C
        if (must_wait / (c - offered) <= wait)
            return c;
    }
    return max;
}

uint64_t autoscale_idle_s(uint64_t start_ms)
{
    enum { IDLE_MIN_S = 60, TIMES_START = 20 };
    uint64_t s = TIMES_START * start_ms / 1000;
    return s > IDLE_MIN_S ? s : IDLE_MIN_S;
}

// The claim that wants one more, fits, and has the least for its weight; NULL when there is none.
static struct autoscale_claim *neediest(struct autoscale_claim *claims, size_t n, double left)
{
    struct autoscale_claim *best = NULL;
    for (size_t i = 0; i < n; i++) {
        struct autoscale_claim *c = &claims[i];
        if (c->granted >= c->wanted || c->cost > left)
            continue;
        if (!best || c->granted * c->cost / c->weight < best->granted * best->cost / best->weight)
            best = c;
    }
    return best;
}

bool autoscale_share(struct autoscale_claim *claims, size_t n, double budget)
{
    bool starved = false;
    for (size_t i = 0; i < n; i++) {
        claims[i].granted = claims[i].floor;
        budget -= claims[i].floor * claims[i].cost;
    }
    for (struct autoscale_claim *c; (c = neediest(claims, n, budget));) {
        c->granted++;
        budget -= c->cost;
    }
    for (size_t i = 0; i < n; i++)
        starved |= claims[i].granted < claims[i].wanted;
    return starved;
}
