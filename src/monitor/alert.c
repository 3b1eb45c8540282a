// SPDX-License-Identifier: Apache-2.0
// A window is a ring of counters as they stood, ALERT_SLOTS to a window: what is held against the limit is
// the difference to the oldest.
#include "monitor/alert.h"

#include "base/siphash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_NS UINT64_C(1000000000)
#define HOLD_NS    (60 * SECONDS_NS) // that something is not known

struct alert_book {
    struct alert_rules rules;
    struct alert *list[LIMIT_ALERTS];
    size_t n;
    uint64_t n_left_out;
    uint32_t n_changed; // in this round
};

// ---- values

static uint64_t since(const struct alert *a, const struct alert_reading *r, unsigned cell)
{
    unsigned oldest = a->n_slots > ALERT_SLOTS ? a->n_slots % ALERT_SLOTS : 0;
    return r->cells[cell] - a->slots[oldest][cell];
}

// Durations are taken to be spread evenly between two edges, as Prometheus has it; above the last edge they
// count as that.
static double quantile(const struct alert *a, const struct alert_reading *r, double q)
{
    double rank = q * (double)since(a, r, HIST_EDGES), below = 0, from = 0;
    for (unsigned i = 0; i < HIST_EDGES; i++) {
        double upto = (double)since(a, r, i), edge = (double)hist_edge(i) / 1e9;
        if (upto >= rank && upto > below)
            return from + (edge - from) * (rank - below) / (upto - below);
        below = upto;
        from = edge;
    }
    return from;
}

// False: too little is known.
static bool value_of(const struct alert *a, const struct alert_rule *rule, const struct alert_reading *r,
                     double *ret)
{
    uint64_t all;
    switch (alert_kind_info(rule->kind)->measure) {
    case ALERT_RATIO:
        all = since(a, r, 1);
        *ret = (double)since(a, r, 0) / (double)all;
        return all > 0 && all >= rule->at_least;
    case ALERT_QUANTILE:
        all = since(a, r, HIST_EDGES);
        *ret = all ? quantile(a, r, rule->quantile) : 0;
        return all > 0 && all >= rule->at_least;
    case ALERT_INCREASE:
        *ret = (double)since(a, r, 0);
        // What a window has seen in part may still come to more.
        return *ret > rule->limit || a->n_slots >= ALERT_SLOTS;
    case ALERT_LEVEL:
        *ret = r->level;
        return isfinite(r->level) && (r->kind != ALERT_QUALITY || r->n >= rule->at_least);
    }
    return false;
}

// Keeps the counters once for each part of the window. A clock that was set back, or a counter that fell,
// begins anew.
static void keep(struct alert *a, const struct alert_rule *rule, const struct alert_reading *r,
                 uint64_t wall_ns)
{
    unsigned newest = (a->n_slots - 1) % ALERT_SLOTS;
    bool is_behind = a->n_slots && wall_ns < a->slot_wall_ns[newest];
    for (unsigned i = 0; a->n_slots && i < ALERT_CELLS; i++)
        is_behind |= r->cells[i] < a->slots[newest][i];
    if (is_behind)
        a->n_slots = 0;
    if (a->n_slots && wall_ns - a->slot_wall_ns[newest] < rule->window_ns / ALERT_SLOTS)
        return;
    unsigned at = a->n_slots++ % ALERT_SLOTS;
    a->slot_wall_ns[at] = wall_ns;
    memcpy(a->slots[at], r->cells, sizeof a->slots[at]);
    if (a->n_slots >= 2 * ALERT_SLOTS + 1) // the count only says which is the oldest
        a->n_slots -= ALERT_SLOTS;
}

// ---- states

static void fire(struct alert_book *b, struct alert *a, uint64_t wall_ns)
{
    a->state = ALERT_FIRING;
    a->told = ALERT_TOLD_NOTHING;
    a->fired_wall_ns = wall_ns;
    a->calm_wall_ns = 0;
    b->n_changed++;
}

static void resolve(struct alert_book *b, struct alert *a, uint64_t wall_ns)
{
    a->state = ALERT_RESOLVED;
    a->resolved_wall_ns = wall_ns;
    b->n_changed++;
}

static void advance(struct alert_book *b, struct alert *a, const struct alert_rule *rule, bool is_breached,
                    uint64_t wall_ns)
{
    if (a->state == ALERT_FIRING) {
        if (is_breached)
            a->calm_wall_ns = 0;
        else if (a->calm_wall_ns == 0)
            a->calm_wall_ns = wall_ns;
        if (!is_breached && wall_ns - a->calm_wall_ns >= rule->for_ns)
            resolve(b, a, wall_ns);
        return;
    }
    if (!is_breached) {
        if (a->state == ALERT_PENDING)
            a->state = a->resolved_wall_ns ? ALERT_RESOLVED : ALERT_QUIET;
        return;
    }
    if (a->state != ALERT_PENDING) {
        a->state = ALERT_PENDING;
        a->since_wall_ns = wall_ns;
    }
    if (wall_ns - a->since_wall_ns >= rule->for_ns)
        fire(b, a, wall_ns);
}

// Nothing is known of it: what fires is held for a window, a minute at least, because traffic may only pause,
// then let go. A level, which has no window to fill, is held for the minute.
static void advance_unknown(struct alert_book *b, struct alert *a, const struct alert_rule *rule,
                            uint64_t wall_ns)
{
    bool is_level = alert_kind_info(a->kind)->measure == ALERT_LEVEL;
    uint64_t hold_ns = rule && !is_level ? rule->window_ns : 0;
    if (a->state == ALERT_PENDING)
        a->state = a->resolved_wall_ns ? ALERT_RESOLVED : ALERT_QUIET;
    if (a->state == ALERT_FIRING && wall_ns - a->known_wall_ns >= (hold_ns > HOLD_NS ? hold_ns : HOLD_NS))
        resolve(b, a, wall_ns);
}

// ---- the book

int alert_book_new(struct alert_book **ret, struct err *e)
{
    *ret = calloc(1, sizeof **ret);
    if (!*ret)
        return err_set(e, ERR_NOMEM, "no memory for alerts");
    alert_rules_init(&(*ret)->rules);
    return 0;
}

void alert_book_clear(struct alert_book *b)
{
    for (size_t i = 0; i < b->n; i++)
        free(b->list[i]);
    b->n = 0;
}

void alert_book_free(struct alert_book *b)
{
    if (b)
        alert_book_clear(b);
    free(b);
}

static void drop(struct alert_book *b, size_t i)
{
    free(b->list[i]);
    memmove(b->list + i, b->list + i + 1, (--b->n - i) * sizeof b->list[0]);
}

static uint64_t fingerprint(const struct alert_rule *rule, const struct alert_reading *r)
{
    static const struct siphash_key KEY = {0x616c657274, 0};
    char text[LIMIT_MODEL_NAME_BYTES + ALERT_NAME_BYTES + ALERT_SUBJECT_BYTES + 64];
    int n = snprintf(text, sizeof text, "%s\n%u\n" STR_FMT "\n%u\n" STR_FMT, rule->name, rule->kind,
                     STR_ARG(r->model), r->version, STR_ARG(r->subject));
    return siphash(KEY, (struct str){text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1});
}

static struct alert *find(const struct alert_book *b, uint64_t print)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->list[i]->fingerprint == print)
            return b->list[i];
    return NULL;
}

// Lets the oldest go that is over and told.
static bool make_room(struct alert_book *b)
{
    size_t oldest = b->n;
    for (size_t i = 0; i < b->n; i++) {
        const struct alert *a = b->list[i];
        if (a->state == ALERT_RESOLVED && a->told == ALERT_TOLD_ALL &&
            (oldest == b->n || a->resolved_wall_ns < b->list[oldest]->resolved_wall_ns))
            oldest = i;
    }
    if (b->n == LIMIT_ALERTS && oldest < b->n)
        drop(b, oldest);
    return b->n < LIMIT_ALERTS;
}

static struct alert *add(struct alert_book *b, uint64_t print, const char *rule, enum alert_kind kind)
{
    struct alert *a = make_room(b) ? calloc(1, sizeof *a) : NULL;
    if (!a) {
        b->n_left_out++;
        return NULL;
    }
    a->fingerprint = print;
    a->kind = kind;
    snprintf(a->rule, sizeof a->rule, "%s", rule);
    b->list[b->n++] = a;
    return a;
}

int alert_book_take(struct alert_book *b, const struct alert *a, struct err *e)
{
    struct alert *to = find(b, a->fingerprint) ? NULL : add(b, a->fingerprint, a->rule, a->kind);
    if (!to)
        return err_set(e, ERR_INVALID, "the state has an alert twice, or too many");
    *to = *a;
    return 0;
}

static struct alert *of_reading(struct alert_book *b, const struct alert_rule *rule,
                                const struct alert_reading *r)
{
    uint64_t print = fingerprint(rule, r);
    struct alert *a = find(b, print);
    if (a || !(a = add(b, print, rule->name, rule->kind)))
        return a;
    snprintf(a->model, sizeof a->model, STR_FMT, STR_ARG(r->model));
    snprintf(a->subject, sizeof a->subject, STR_FMT, STR_ARG(r->subject));
    a->version = r->version;
    return a;
}

static void read_by(struct alert_book *b, const struct alert_rule *rule, const struct alert_reading *r,
                    uint64_t wall_ns)
{
    double value = 0;
    struct alert *a = of_reading(b, rule, r);
    if (!a)
        return;
    a->is_read = true;
    a->limit = rule->limit;
    a->is_critical = rule->is_critical;
    a->is_below = rule->is_below;
    snprintf(a->metric, sizeof a->metric, "%s", rule->metric);
    keep(a, rule, r, wall_ns);
    if (!value_of(a, rule, r, &value)) {
        advance_unknown(b, a, rule, wall_ns);
        return;
    }
    bool is_breached = rule->is_below ? value < rule->limit : value > rule->limit;
    if (a->state != ALERT_RESOLVED || is_breached) // a resolved one shows what it was
        a->value = value;
    a->known_wall_ns = wall_ns;
    advance(b, a, rule, is_breached, wall_ns);
}

void alert_book_set_rules(struct alert_book *b, const struct alert_rules *r, uint64_t wall_ns)
{
    b->rules = *r;
    for (size_t i = b->n; i-- > 0;) {
        struct alert *a = b->list[i];
        const struct alert_rule *rule = alert_rules_find(r, a->rule);
        a->n_slots = 0; // the window may be another
        if (rule && alert_rules_apply(r, rule, a->kind, str_of(a->model)))
            continue;
        if (a->state == ALERT_FIRING)
            resolve(b, a, wall_ns);
        else if (a->state != ALERT_RESOLVED)
            drop(b, i);
    }
}

const struct alert_rules *alert_book_rules(const struct alert_book *b)
{
    return &b->rules;
}

void alert_book_begin(struct alert_book *b)
{
    for (size_t i = 0; i < b->n; i++)
        b->list[i]->is_read = false;
}

void alert_book_read(struct alert_book *b, const struct alert_reading *r, uint64_t wall_ns)
{
    for (uint32_t i = 0; i < b->rules.n; i++)
        if (alert_rules_apply(&b->rules, &b->rules.list[i], r->kind, r->model) &&
            (!r->rule || strcmp(r->rule, b->rules.list[i].name) == 0))
            read_by(b, &b->rules.list[i], r, wall_ns);
}

static bool is_old(const struct alert *a, uint64_t wall_ns)
{
    return a->told == ALERT_TOLD_ALL && wall_ns - a->resolved_wall_ns >= ALERT_KEPT_S * SECONDS_NS;
}

uint32_t alert_book_end(struct alert_book *b, uint64_t wall_ns)
{
    for (size_t i = b->n; i-- > 0;) {
        struct alert *a = b->list[i];
        const struct alert_rule *rule = alert_rules_find(&b->rules, a->rule);
        if (!a->is_read)
            advance_unknown(b, a, rule, wall_ns);
        if (a->state == ALERT_RESOLVED && is_old(a, wall_ns)) {
            a->state = ALERT_QUIET;
            a->resolved_wall_ns = 0;
        }
        if (!a->is_read && a->state == ALERT_QUIET)
            drop(b, i);
    }
    uint32_t n = b->n_changed;
    b->n_changed = 0;
    return n;
}

const struct alert *alert_book_at(const struct alert_book *b, size_t i)
{
    return i < b->n ? b->list[i] : NULL;
}

uint64_t alert_book_n_left_out(const struct alert_book *b)
{
    return b->n_left_out;
}

// ---- its receiver

static bool is_untold(const struct alert *a)
{
    return (a->state == ALERT_FIRING && a->told == ALERT_TOLD_NOTHING) ||
           (a->state == ALERT_RESOLVED && a->told != ALERT_TOLD_ALL);
}

static uint64_t changed_at(const struct alert *a)
{
    return a->state == ALERT_RESOLVED ? a->resolved_wall_ns : a->fired_wall_ns;
}

struct alert *alert_book_untold(struct alert_book *b)
{
    struct alert *first = NULL;
    for (size_t i = 0; i < b->n; i++)
        if (is_untold(b->list[i]) && (!first || changed_at(b->list[i]) < changed_at(first)))
            first = b->list[i];
    return first;
}

uint32_t alert_book_n_untold(const struct alert_book *b)
{
    uint32_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += is_untold(b->list[i]);
    return n;
}

void alert_book_told(struct alert_book *b, uint64_t print, uint64_t fired_wall_ns, bool is_resolved)
{
    struct alert *a = find(b, print);
    if (!a || a->fired_wall_ns != fired_wall_ns)
        return;
    if (is_resolved)
        a->told = ALERT_TOLD_ALL;
    else if (a->told == ALERT_TOLD_NOTHING)
        a->told = ALERT_TOLD_FIRING;
}

void alert_book_forget_resolved(struct alert_book *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->list[i]->state == ALERT_RESOLVED)
            b->list[i]->told = ALERT_TOLD_ALL;
}
