// SPDX-License-Identifier: Apache-2.0
// The counts of a rollout; their way to the controller is in trial_report.c. Only a request whose arm was
// drawn counts, and under that arm, whoever answered it.
#include "role/gateway/trial_parts.h"

#include "base/clock.h"
#include "role/gateway/control.h"
#include "role/gateway/shadow.h"
#include "role/gateway/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTS_KEPT = 1024,      // of those that are free
    ERRED_SLOTS = 1 << 16,  // entities that had a bad event, one for each guard
    SEEN_SLOTS = 1 << 16,   // entities whose draw was counted
    REPORT_EVERY_MS = 200,  // of which a few requests more see a bad candidate
    SCORED_SLOTS = 1 << 16, // entities whose score was counted
    MARKS = 1 << 15,        // events of entities in cohorts that are not closed, of each arm
    SCORE_VALUES = 1024,    // of a row that are looked at
    LATE_MS = 2000,         // after its time a request is answered by then
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
    entities_done(&t->scored);
    free(t->sample);
    free(t->segments);
    free(t->pair_marks);
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

// Whether the draw is one that no other gateway counts, and that was not counted before, also not by the
// gateway whose place this one took.
static bool is_new_draw(struct trial *t, const struct split_choice *c)
{
    bool is_ours = !t->is_found && c->entity % t->g->n_gateways == t->g->index;
    return !c->sticky || (is_ours && entities_first(&t->seen, c->entity));
}

// A request of the baseline is compared with those of each arm.
static void arrive(struct trial *t, struct trial_part *p)
{
    enum arm arm = arm_of(p);
    bool is_new = is_new_draw(t, &p->choice);
    for (uint32_t i = 0; i < t->n_arms; i++) {
        if (arm == ARM_CANARY && p->choice.arm != i)
            continue;
        t->fresh[i].assigned[arm]++;
        t->fresh[i].drawn[arm] += is_new;
        if (cohorts_arrive(t->cohorts[i], p->start_ns, t->pair_weights[i], arm, &p->cohorts[i]))
            p->counted |= 1u << i;
    }
}

void trial_settle(struct trial *t)
{
    for (uint32_t i = 0; i < t->n_arms; i++) {
        const struct trial_fresh *f = &t->fresh[i];
        counts_add(&t->assigned[i], t->pair_weights[i], f->assigned[ARM_CANARY], f->assigned[ARM_STABLE]);
        counts_add(&t->drawn[i], t->pair_weights[i], f->drawn[ARM_CANARY], f->drawn[ARM_STABLE]);
        t->fresh[i] = (struct trial_fresh){0};
    }
}

static uint32_t find_segment(struct trial *t, const struct split *s, const struct http1_request *req,
                             struct str body)
{
    struct str value;
    split_segment(s, req, body, &t->g->arena, &value);
    return segments_place(t->segments, value);
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
    *p = (struct trial_part){.trial = t,
                             .choice = choice,
                             .start_ns = loop_now_ns(g->loop),
                             .weight_bp = split_weight_bp(s, choice.arm),
                             .score = nan("")};
    if (choice.arm < s->n_arms)
        *d = s->arms[choice.arm];
    else if (t->segments)
        p->segment = find_segment(t, s, req, head_of(body));
    if (choice.asked)
        t->overridden++;
    else
        arrive(t, p);
    *ret = p;
    return 0;
}

bool trial_is_of_baseline(const struct trial_part *p)
{
    return arm_of(p) == ARM_STABLE;
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

// A score is counted in its range, once for each entity; until there are ranges, those of the baseline are
// what they are made of.
static uint32_t score_event(struct trial *t, enum arm arm, double score, bool is_sticky, uint64_t entity)
{
    if (!t->watches_scores || !isfinite(score))
        return 0;
    if (t->scores.n_cuts == 0) {
        if (arm == ARM_STABLE && t->n_sample < SCORE_SAMPLE_MAX)
            t->sample[t->n_sample++] = score;
        return 0;
    }
    if (is_sticky && !entities_first(&t->scored, entities_event(entity, GUARDS_MAX)))
        return 0;
    return 1u << (GUARDS_MAX + scores_range(&t->scores, score));
}

static double number_at(enum dtype dtype, const void *values, size_t i)
{
    switch (dtype) {
    case DTYPE_FP64:
        return ((const double *)values)[i];
    case DTYPE_FP32:
        return (double)((const float *)values)[i];
    case DTYPE_INT64:
        return (double)((const int64_t *)values)[i];
    case DTYPE_INT32:
        return ((const int32_t *)values)[i];
    default:
        return ((const uint8_t *)values)[i];
    }
}

void trial_scored(struct trial_part *p, enum dtype dtype, const void *values, size_t n)
{
    double row[SCORE_VALUES];
    if (!p || !p->trial->watches_scores || p->is_fallback || n > SCORE_VALUES)
        return;
    for (size_t i = 0; i < n; i++)
        row[i] = number_at(dtype, values, i);
    p->score = scores_of_row(row, (uint32_t)n);
}

// Those of the events that the entity has for the first time.
static uint32_t firsts_of(struct trial *t, uint64_t entity, uint32_t events)
{
    uint32_t firsts = 0;
    for (uint32_t i = 0; i < t->n_guards; i++)
        if (events >> i & 1 && entities_first(&t->erred, entities_event(entity, i)))
            firsts |= 1u << i;
    return firsts;
}

static uint32_t events_of(const struct trial_part *p, uint64_t dur_ns)
{
    struct trial *t = p->trial;
    uint32_t events = (p->failed ? t->on_errors : 0) | (p->invalid ? t->on_invalid : 0);
    for (uint32_t i = 0; i < t->n_gates; i++)
        if (latency_is_slow(&t->gates[i], arm_of(p), dur_ns))
            events |= 1u << t->gated[i];
    if (p->choice.sticky && events)
        events = firsts_of(t, p->choice.entity, events);
    if (t->scores.n_cuts && p->start_ns < t->cuts_since_ns)
        return events;
    return events | score_event(t, arm_of(p), p->score, p->choice.sticky, p->choice.entity);
}

bool trial_is_sound(const struct trial_part *p, enum dtype dtype, const void *values, size_t n)
{
    double lo = p->trial->range_lo, hi = p->trial->range_hi;
    bool is_sound = true;
    for (size_t i = 0; i < n && is_sound; i++) {
        double v = number_at(dtype, values, i);
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
            cohorts_finish(t->cohorts[i], p->cohorts[i], arm_of(p), events, p->choice.entity);
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

static double score_of(const struct pairs_answer *a)
{
    if (a->n_rows == 0)
        return nan("");
    return a->values ? scores_of_row(a->values, a->n_values) : a->classes ? (double)a->classes[0] : nan("");
}

// A pair says something of a range when one answer alone is in it.
static void score_pair(struct trial *t, const struct trial_pair *pair, uint32_t events[ARMS])
{
    uint32_t in[ARMS];
    for (int arm = 0; arm < ARMS; arm++)
        in[arm] =
            pair->failed[arm] ? 0 : score_event(t, (enum arm)arm, score_of(pair->answers[arm]), false, 0);
    if (!in[ARM_CANARY] || !in[ARM_STABLE] || in[ARM_CANARY] == in[ARM_STABLE] ||
        (pair->entity && !entities_first(&t->scored, entities_event(pair->entity, GUARDS_MAX))))
        return;
    for (int arm = 0; arm < ARMS; arm++)
        events[arm] |= in[arm];
}

// Of a sticky key the first pair counts in which one alone failed, whichever it was; so for each guard.
static bool is_new_pair(struct trial *t, const struct trial_pair *pair, uint32_t guard)
{
    return !pair->entity || entities_first(&t->erred, entities_event(pair->entity, guard));
}

static void count_pair(struct trial *t, const struct trial_pair *pair, const uint32_t events[ARMS])
{
    bool has_room = t->pair_marks && t->n_pair_marks + ARMS <= TRIAL_PAIR_MARKS;
    for (int arm = 0; arm < ARMS; arm++) {
        t->pair_tick.requests[arm]++;
        if (pair->entity && events[arm] && has_room)
            t->pair_marks[t->n_pair_marks++] = (struct cohort_mark){pair->entity, events[arm], (uint8_t)arm};
        for (uint32_t i = 0; i < COHORT_METRICS && !pair->entity; i++)
            t->pair_tick.events[i][arm] += events[arm] >> i & 1;
    }
}

// What both did says nothing of which is worse.
void trial_pair(struct trial *t, const struct trial_pair *pair)
{
    uint32_t events[ARMS] = {0};
    for (int arm = 0; arm < ARMS; arm++) {
        bool other_failed = pair->failed[!arm];
        bool is_invalid = !pair->failed[arm] && !pair_is_sound(t, pair->answers[arm]);
        bool other_is_invalid = !other_failed && !pair_is_sound(t, pair->answers[!arm]);
        for (uint32_t i = 0; i < t->n_guards; i++) {
            bool is_bad = (t->guards[i] == GUARD_ERRORS && pair->failed[arm] && !other_failed) ||
                          (t->guards[i] == GUARD_INVALID_OUTPUT && is_invalid && !other_is_invalid);
            if (is_bad && is_new_pair(t, pair, i))
                events[arm] |= 1u << i;
        }
    }
    score_pair(t, pair, events);
    count_pair(t, pair, events);
}

struct pairs *trial_pairs(struct trial *t)
{
    return &t->pairs;
}

struct pairs *trial_segment(struct trial *t, uint32_t place)
{
    return t->segments ? segments_at(t->segments, place) : NULL;
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

// ---- life ----

static void set_reports(struct gateway *g);

// As bits.
static uint32_t guards_on(const struct split *s, enum guard_metric m)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < s->n_guards; i++)
        if (s->guards[i] == m)
            bits |= 1u << i;
    return bits;
}

static void on_reports(struct timer *timer)
{
    struct gateway *g = (struct gateway *)((char *)timer - offsetof(struct gateway, reports));
    trials_report(g);
    if (g->trials)
        set_reports(g);
}

static void set_reports(struct gateway *g)
{
    struct err ignored; // then they come with the sweeps
    g->reports.on_due = on_reports;
    (void)!loop_timer_set(g->loop, &g->reports, loop_now_ns(g->loop) + REPORT_EVERY_MS * TRIAL_MS_NS,
                          &ignored);
}

static int watch_scores(struct trial *t, struct err *e)
{
    t->watches_scores = true;
    t->sample = calloc(SCORE_SAMPLE_MAX, sizeof *t->sample);
    return t->sample ? entities_init(&t->scored, SCORED_SLOTS, e) : err_set(e, ERR_NOMEM, "scores");
}

static struct trial *trial_new(struct gateway *g, const struct split *s)
{
    struct trial *t = calloc(1, sizeof *t);
    struct err e;
    if (!t)
        return NULL;
    *t = (struct trial){
        .g = g, .rollout = s->rollout, .is_found = !g->has_been_ready, .reported_ns = loop_now_ns(g->loop)};
    int rc = entities_init(&t->erred, ERRED_SLOTS, &e);
    if (rc == 0)
        rc = entities_init(&t->seen, SEEN_SLOTS, &e);
    if (rc == 0 && guards_on(s, GUARD_DISTRIBUTION))
        rc = watch_scores(t, &e);
    if (rc == 0 && s->key != KEY_NONE && !(t->pair_marks = calloc(TRIAL_PAIR_MARKS, sizeof *t->pair_marks)))
        rc = err_set(&e, ERR_NOMEM, "pairs");
    for (; rc == 0 && t->n_arms < s->n_arms; t->n_arms += rc == 0)
        rc = cohorts_new(TRIAL_COHORT_NS, s->timeout_ns + LATE_MS * TRIAL_MS_NS,
                         guards_on(s, GUARD_ERRORS) | guards_on(s, GUARD_LATENCY),
                         s->key == KEY_NONE ? 0 : MARKS, &t->cohorts[t->n_arms], &e);
    if (rc) {
        trial_free(t);
        return NULL;
    }
    if (!g->trials)
        set_reports(g);
    t->next = g->trials;
    return g->trials = t;
}

static void follow(struct trial *t, struct split *s)
{
    trial_settle(t); // by the weights that it had
    memcpy(t->pair_weights, s->pair_weights, sizeof t->pair_weights);
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
    if (s->shadow && s->segment != KEY_NONE && !t->segments)
        t->segments = calloc(1, sizeof *t->segments); // without memory they are not told apart
    t->range_lo = s->range_lo;
    t->range_hi = s->range_hi;
    t->n_guards = s->n_guards;
    memcpy(t->guards, s->guards, sizeof t->guards);
    t->on_errors = guards_on(s, GUARD_ERRORS);
    t->on_invalid = guards_on(s, GUARD_INVALID_OUTPUT);
    t->n_gates = 0;
    for (uint32_t i = 0; i < s->n_guards; i++)
        if (s->guards[i] == GUARD_LATENCY && s->has_gate[i]) {
            t->gated[t->n_gates] = i;
            t->gates[t->n_gates++] = s->gates[i];
        }
    if (!t->scores.n_cuts && s->scores.n_cuts)
        t->cuts_since_ns = loop_now_ns(t->g->loop);
    t->scores = s->scores;
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
    g->has_been_ready |= g->table->ready;
}

void trials_report(struct gateway *g)
{
    uint64_t now = loop_now_ns(g->loop);
    if (!g->trials || !control_is_connected(g->control))
        return;
    for (struct trial **at = &g->trials; *at;) {
        struct trial *t = *at;
        if (now - t->reported_ns >= REPORT_EVERY_MS * TRIAL_MS_NS / 2 && trial_report(t, now)) {
            *at = t->next;
            trial_free(t);
        } else {
            at = &t->next;
        }
    }
}

void trials_free(struct gateway *g)
{
    if (g->trials)
        loop_timer_clear(g->loop, &g->reports);
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
