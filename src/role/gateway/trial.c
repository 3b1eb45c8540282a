// SPDX-License-Identifier: Apache-2.0
// The counts of a rollout, and their way to the controller. Only a request whose arm was drawn counts, and
// under that arm, whoever answered it.
#include "role/gateway/trial.h"

#include "base/clock.h"
#include "role/gateway/control.h"
#include "role/gateway/shadow.h"
#include "role/gateway/table.h"
#include "role/ipc.h"
#include "rollout/cohorts.h"
#include "rollout/entities.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTS_KEPT = 1024,     // of those that are free
    ERRED_SLOTS = 1 << 16, // entities that had a bad event, one for each guard
    SEEN_SLOTS = 1 << 16,  // entities whose draw was counted
    REPORT_MAX = 4 << 20,  // bytes of a message
    REPORT_EVERY_MS = 900, // looked at every GATEWAY_SWEEP_MS
    LATE_MS = 2000,        // after its time a request is answered by then
    COHORT_MS = 1000,
};

static const uint64_t MS = 1000000;

struct trial {
    struct trial *next;
    struct gateway *g;
    const struct split *split;   // in the table; NULL: it ends
    struct deployment *baseline; // referenced
    bool shield, is_closing;
    uint64_t rollout;
    uint32_t epoch, n_arms, n_parts;
    char names[GUARD_ARMS_MAX + 1][LIMIT_ALIAS_BYTES + 1]; // the last: the baseline's
    uint32_t n_guards;
    enum guard_metric guards[GUARDS_MAX];
    bool has_gate[GUARDS_MAX];
    struct latency_gate gates[GUARDS_MAX];
    double range_lo, range_hi;
    struct cohorts *cohorts[GUARD_ARMS_MAX];
    struct entities erred, seen;
    struct trial_part *parts; // free ones
    uint32_t n_free;
    uint64_t reported_ns;
    // Since the last report
    struct counts assigned[GUARD_ARMS_MAX], drawn[GUARD_ARMS_MAX];
    uint64_t overridden, fallbacks;
    struct hist stable;
    struct pairs pairs;
    struct cohort_tick pair_tick;
};

// ---- a request's part ----

static void trial_free(struct trial *t)
{
    for (struct trial_part *p = t->parts, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    for (uint32_t i = 0; i < t->n_arms; i++)
        cohorts_free(t->cohorts[i]);
    entities_done(&t->erred);
    entities_done(&t->seen);
    deployment_unref(t->baseline);
    free(t);
}

// Bodies are looked into no further than others wait for at once: a key that stands behind that is none.
static struct str head_of(struct str body)
{
    return body.n <= GATEWAY_DECODE_BYTES ? body : (struct str){body.p, GATEWAY_DECODE_BYTES};
}

void trial_pin(struct trial *t)
{
    t->n_parts++;
}

void trial_unpin(struct trial *t)
{
    if (--t->n_parts == 0 && t->is_closing)
        trial_free(t);
}

static struct trial_part *part_new(struct trial *t)
{
    struct trial_part *p = t->parts;
    if (p) {
        t->parts = p->next;
        t->n_free--;
    } else if (!(p = malloc(sizeof *p))) {
        return NULL;
    }
    t->n_parts++;
    return p;
}

static void part_free(struct trial_part *p)
{
    struct trial *t = p->trial;
    if (t->n_free == PARTS_KEPT) {
        free(p);
    } else {
        p->next = t->parts;
        t->parts = p;
        t->n_free++;
    }
    trial_unpin(t);
}

static enum arm arm_of(const struct trial_part *p)
{
    return p->choice.arm < p->trial->n_arms ? ARM_CANARY : ARM_STABLE;
}

// Whether the draw is one that no other gateway counts, and that was not counted before.
static bool is_new_draw(struct trial *t, const struct split_choice *c)
{
    return !c->sticky || (c->entity % t->g->n_gateways == t->g->index && entities_first(&t->seen, c->entity));
}

// A request of the baseline is compared with those of each arm.
static void arrive(struct trial *t, struct trial_part *p)
{
    enum arm arm = arm_of(p);
    bool is_new = is_new_draw(t, &p->choice);
    for (uint32_t i = 0; i < t->n_arms; i++) {
        if (arm == ARM_CANARY && p->choice.arm != i)
            continue;
        uint32_t weight = split_pair_weight(t->split, i);
        counts_add(&t->assigned[i], weight, arm == ARM_CANARY, arm == ARM_STABLE);
        if (is_new)
            counts_add(&t->drawn[i], weight, arm == ARM_CANARY, arm == ARM_STABLE);
        if (cohorts_arrive(t->cohorts[i], p->start_ns, weight, arm, &p->cohorts[i]))
            p->counted |= 1u << i;
    }
}

int trial_begin(struct conn *c, const struct http1_request *req, const struct route_match *m, struct str body,
                struct deployment **d, struct trial_part **ret, struct err *e)
{
    struct gateway *g = c->g;
    const struct split *s = (*d)->split;
    struct trial *t = s->trial;
    struct split_choice choice;
    if (m->version.n && !str_eq(m->version, str_of(s->alias)))
        return 0;
    int rc = split_choose(s, req, head_of(body), g->n_draws++, &g->arena, &choice, e);
    if (rc)
        return rc;
    struct trial_part *p = part_new(t);
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    *p = (struct trial_part){.trial = t, .choice = choice, .start_ns = loop_now_ns(g->loop)};
    if (choice.arm < s->n_arms) {
        *d = s->arms[choice.arm];
        p->weight_bp = s->weights_bp[choice.arm];
    }
    if (choice.asked)
        t->overridden++;
    else
        arrive(t, p);
    *ret = p;
    return 0;
}

struct str trial_arm(const struct trial_part *p)
{
    return p ? str_of(p->trial->names[p->choice.arm]) : (struct str){0};
}

bool trial_is_shielded(const struct trial_part *p)
{
    return p && p->trial->shield && p->trial->baseline && arm_of(p) == ARM_CANARY && !p->is_fallback;
}

bool trial_shield(struct trial_part *p, bool is_error, struct deployment **ret)
{
    if (!trial_is_shielded(p))
        return false;
    p->is_fallback = true;
    p->failed = is_error;
    p->invalid = !is_error;
    *ret = p->trial->baseline;
    return true;
}

// Of one entity and one guard.
static uint64_t hash_of_event(uint64_t entity, uint32_t guard)
{
    uint64_t h = (entity ^ (guard + 1) * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    return (h ^ h >> 31) * UINT64_C(0x94d049bb133111eb);
}

static uint32_t events_of(const struct trial_part *p, uint64_t dur_ns)
{
    struct trial *t = p->trial;
    uint32_t events = 0;
    for (uint32_t i = 0; i < t->n_guards; i++) {
        enum guard_metric m = t->guards[i];
        bool is_bad =
            (m == GUARD_ERRORS && p->failed) || (m == GUARD_INVALID_OUTPUT && p->invalid) ||
            (m == GUARD_LATENCY && t->has_gate[i] && latency_is_slow(&t->gates[i], arm_of(p), dur_ns));
        if (is_bad && (!p->choice.sticky || entities_first(&t->erred, hash_of_event(p->choice.entity, i))))
            events |= 1u << i;
    }
    return events;
}

bool trial_is_sound(const struct trial_part *p, enum dtype dtype, const void *values, size_t n)
{
    double lo = p->trial->range_lo, hi = p->trial->range_hi;
    bool is_sound = true;
    for (size_t i = 0; i < n && is_sound; i++) {
        double v = dtype == DTYPE_FP64   ? ((const double *)values)[i]
                   : dtype == DTYPE_FP32 ? (double)((const float *)values)[i]
                                         : (double)((const int64_t *)values)[i];
        is_sound = isfinite(v) && v >= lo && v <= hi;
    }
    return is_sound;
}

void trial_refused(struct conn *c, struct trial_part *p)
{
    c->arm = trial_arm(p);
    trial_end(p, &(struct trial_outcome){.failed = true});
}

void trial_end(struct trial_part *p, const struct trial_outcome *o)
{
    if (!p)
        return;
    struct trial *t = p->trial;
    uint64_t end_ns = o->end_ns ? o->end_ns : clock_mono_ns(), dur_ns;
    dur_ns = end_ns > p->start_ns ? end_ns - p->start_ns : 0;
    if (!p->is_fallback) {
        p->failed = o->failed;
        p->invalid = o->invalid;
    }
    shadow_release(p->mirror, !o->is_gone);
    uint32_t events = p->counted ? events_of(p, dur_ns) : 0;
    for (uint32_t i = 0; i < t->n_arms; i++)
        if (p->counted & 1u << i)
            cohorts_finish(t->cohorts[i], p->cohorts[i], arm_of(p), events);
    if (!p->choice.asked && arm_of(p) == ARM_STABLE)
        hist_add(&t->stable, dur_ns);
    t->fallbacks += p->is_fallback && !p->choice.asked;
    part_free(p);
}

// ---- pairs ----

static bool pair_is_sound(const struct trial *t, const struct pairs_answer *a)
{
    bool is_sound = true;
    for (size_t i = 0; a->values && i < (size_t)a->n_rows * a->n_values && is_sound; i++)
        is_sound = isfinite(a->values[i]) && a->values[i] >= t->range_lo && a->values[i] <= t->range_hi;
    return is_sound;
}

// What both did says nothing of which is worse.
void trial_pair(struct trial *t, const struct trial_pair *pair)
{
    for (int arm = 0; arm < ARMS; arm++) {
        bool other_failed = pair->failed[!arm];
        bool is_invalid = !pair->failed[arm] && !pair_is_sound(t, pair->answers[arm]);
        bool other_is_invalid = !other_failed && !pair_is_sound(t, pair->answers[!arm]);
        t->pair_tick.requests[arm]++;
        for (uint32_t i = 0; i < t->n_guards; i++)
            t->pair_tick.events[i][arm] +=
                (t->guards[i] == GUARD_ERRORS && pair->failed[arm] && !other_failed) ||
                (t->guards[i] == GUARD_INVALID_OUTPUT && is_invalid && !other_is_invalid);
    }
}

struct pairs *trial_pairs(struct trial *t)
{
    return &t->pairs;
}

struct gateway *trial_gateway(const struct trial *t)
{
    return t->g;
}

uint32_t trial_budget_percent(const struct trial *t)
{
    return t->split ? t->split->shadow_budget_percent : 100;
}

bool trial_is_running(const struct trial *t)
{
    return t->split && t->split->shadow;
}

// ---- the message ----

static void put_counts(const struct counts *of_arms, uint32_t n_arms, const char *name, struct buf *out)
{
    const char *comma = "";
    buf_printf(out, ",\"%s\":[", name);
    for (uint32_t a = 0; a < n_arms; a++)
        for (uint32_t i = 0; i < of_arms[a].n_rows; i++) {
            const struct counts_row *r = &of_arms[a].rows[i];
            buf_printf(out, "%s[%u,%u,%llu,%llu]", comma, a, r->weight, (unsigned long long)r->n[ARM_CANARY],
                       (unsigned long long)r->n[ARM_STABLE]);
            comma = ",";
        }
    buf_putc(out, ']');
}

static void put_tick(const struct cohort_tick *k, uint32_t arm, uint32_t n_guards, struct buf *out)
{
    buf_printf(out, "{\"opened_ns\":%llu,\"weight\":%u,\"arm\":%u,\"requests\":[%llu,%llu],\"events\":[",
               (unsigned long long)k->opened_ns, k->weight, arm, (unsigned long long)k->requests[ARM_CANARY],
               (unsigned long long)k->requests[ARM_STABLE]);
    for (uint32_t i = 0; i < n_guards; i++)
        buf_printf(out, "%s[%llu,%llu]", i ? "," : "", (unsigned long long)k->events[i][ARM_CANARY],
                   (unsigned long long)k->events[i][ARM_STABLE]);
    buf_puts(out, "]}");
}

// All that can be counted; returns the time before which that is everything.
static uint64_t put_ticks(struct trial *t, uint64_t now, struct buf *out)
{
    uint64_t closed = now - now % (COHORT_MS * MS);
    const char *comma = "";
    struct cohort_tick tick;
    buf_puts(out, ",\"ticks\":[");
    for (uint32_t a = 0; a < t->n_arms; a++) {
        while (cohorts_close(t->cohorts[a], now, &tick)) {
            buf_puts(out, comma);
            put_tick(&tick, a, t->n_guards, out);
            comma = ",";
        }
        uint64_t until = cohorts_closed_until(t->cohorts[a], now);
        closed = until < closed ? until : closed;
    }
    if (t->pair_tick.requests[ARM_CANARY]) {
        t->pair_tick.opened_ns = closed; // it is for this second's end what is known by now
        t->pair_tick.weight = WEIGHT_ONE / 2;
        buf_puts(out, comma);
        put_tick(&t->pair_tick, 0, t->n_guards, out);
    }
    buf_putc(out, ']');
    return closed;
}

static void put_hist(const struct hist *h, struct buf *out)
{
    const char *comma = "";
    buf_puts(out, ",\"stable_hist\":{");
    for (int i = 0; i < HIST_BUCKETS; i++)
        if (h->buckets[i]) {
            buf_printf(out, "%s\"%d\":%llu", comma, i, (unsigned long long)h->buckets[i]);
            comma = ",";
        }
    buf_putc(out, '}');
}

static void clear(struct trial *t)
{
    memset(t->assigned, 0, sizeof t->assigned);
    memset(t->drawn, 0, sizeof t->drawn);
    memset(&t->stable, 0, sizeof t->stable);
    memset(&t->pairs, 0, sizeof t->pairs);
    memset(&t->pair_tick, 0, sizeof t->pair_tick);
    t->overridden = t->fallbacks = 0;
}

// What came since the last message. Returns whether nothing more will come.
static bool report(struct trial *t, uint64_t now)
{
    struct buf out;
    buf_init(&out, REPORT_MAX);
    buf_printf(&out, "{\"rollout\":%llu,\"epoch\":%u", (unsigned long long)t->rollout, t->epoch);
    uint64_t closed = put_ticks(t, now, &out);
    bool ended = !t->split && t->n_parts == 0 && closed + COHORT_MS * MS > now;
    buf_printf(&out, ",\"closed_until_ns\":%llu,\"ended\":%s", (unsigned long long)closed,
               ended ? "true" : "false");
    put_counts(t->assigned, t->n_arms, "assigned", &out);
    put_counts(t->drawn, t->n_arms, "drawn", &out);
    put_hist(&t->stable, &out);
    if (t->pairs.n || t->pairs.dropped) {
        buf_puts(&out, ",\"pairs\":");
        pairs_encode(&t->pairs, &out);
    }
    buf_printf(&out, ",\"overridden\":%llu,\"fallbacks\":%llu}", (unsigned long long)t->overridden,
               (unsigned long long)t->fallbacks);
    // Whatever is lost here, for want of memory or with the connection, was lost for all arms alike.
    if (!out.failed)
        control_tell(t->g->control, IPC_COHORTS, buf_str(&out));
    buf_done(&out);
    clear(t);
    t->reported_ns = now;
    return ended;
}

// ---- life ----

static uint32_t timeout_events(const struct split *s)
{
    uint32_t events = 0;
    for (uint32_t i = 0; i < s->n_guards; i++)
        if (s->guards[i] == GUARD_ERRORS || s->guards[i] == GUARD_LATENCY)
            events |= 1u << i;
    return events;
}

static struct trial *trial_new(struct gateway *g, const struct split *s)
{
    struct trial *t = calloc(1, sizeof *t);
    struct err e;
    if (!t)
        return NULL;
    *t = (struct trial){.g = g, .rollout = s->rollout, .reported_ns = loop_now_ns(g->loop)};
    int rc = entities_init(&t->erred, ERRED_SLOTS, &e);
    if (rc == 0)
        rc = entities_init(&t->seen, SEEN_SLOTS, &e);
    for (; rc == 0 && t->n_arms < s->n_arms; t->n_arms += rc == 0)
        rc = cohorts_new(COHORT_MS * MS, s->timeout_ns + LATE_MS * MS, timeout_events(s),
                         &t->cohorts[t->n_arms], &e);
    if (rc) {
        trial_free(t);
        return NULL;
    }
    t->next = g->trials;
    return g->trials = t;
}

static void follow(struct trial *t, struct split *s)
{
    deployment_ref(s->baseline);
    deployment_unref(t->baseline);
    t->baseline = s->baseline;
    t->split = s;
    t->shield = s->shield;
    t->epoch = s->epoch;
    for (uint32_t i = 0; i <= t->n_arms; i++) {
        struct str name = split_arm_name(s, i);
        memcpy(t->names[i], name.p, name.n);
        t->names[i][name.n] = '\0';
    }
    t->range_lo = s->range_lo;
    t->range_hi = s->range_hi;
    t->n_guards = s->n_guards;
    memcpy(t->guards, s->guards, sizeof t->guards);
    memcpy(t->has_gate, s->has_gate, sizeof t->has_gate);
    memcpy(t->gates, s->gates, sizeof t->gates);
    s->trial = t;
}

static struct trial *find(const struct gateway *g, const struct split *s)
{
    struct trial *t = g->trials;
    while (t && (t->rollout != s->rollout || t->n_arms != s->n_arms))
        t = t->next;
    return t;
}

void trials_routed(struct gateway *g)
{
    for (struct trial *t = g->trials; t; t = t->next)
        t->split = NULL;
    for (uint32_t i = 0; i < g->table->n_models; i++) {
        struct split *s = g->table->models[i].split;
        struct trial *t = s ? find(g, s) : NULL;
        if (s && !t)
            t = trial_new(g, s);
        if (t)
            follow(t, s);
        else if (s) // without counts there is no experiment: all to the baseline
            s->baseline->split = NULL;
    }
}

void trials_report(struct gateway *g)
{
    uint64_t now = loop_now_ns(g->loop);
    if (!g->trials || !control_is_connected(g->control))
        return;
    for (struct trial **at = &g->trials; *at;) {
        struct trial *t = *at;
        if (now - t->reported_ns >= REPORT_EVERY_MS * MS && report(t, now)) {
            *at = t->next;
            trial_free(t);
        } else {
            at = &t->next;
        }
    }
}

void trials_free(struct gateway *g)
{
    for (struct trial *t = g->trials, *next; t; t = next) {
        next = t->next;
        deployment_unref(t->baseline);
        t->baseline = NULL;
        t->is_closing = true; // calls are yet to end
        if (t->n_parts == 0)
            trial_free(t);
    }
    g->trials = NULL;
}
