// SPDX-License-Identifier: Apache-2.0
// Counting rows, closing windows, comparing them.
#include "monitor/observer.h"

#include "base/limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 11 };

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory to watch for drift");
}

// ---- windows

static bool window_init(struct observer_window *w, const struct observer *o)
{
    *w = (struct observer_window){0};
    w->tallies = calloc(o->n_columns + 1, sizeof *w->tallies);
    w->cells = calloc(o->n_cells + 1, sizeof *w->cells);
    for (uint32_t i = 0; w->tallies && w->cells && i < o->n_columns; i++)
        if (o->columns[i].reference)
            w->tallies[i].cells = w->cells + o->columns[i].first_cell;
    return w->tallies && w->cells;
}

static void window_done(struct observer_window *w)
{
    free(w->tallies);
    free(w->cells);
    *w = (struct observer_window){0};
}

static void window_clear(struct observer_window *w, const struct observer *o)
{
    for (uint32_t i = 0; i < o->n_columns; i++)
        w->tallies[i] = (struct tally){.cells = w->tallies[i].cells};
    memset(w->cells, 0, o->n_cells * sizeof *w->cells);
    *w = (struct observer_window){.tallies = w->tallies, .cells = w->cells};
}

static void window_merge(struct observer_window *into, const struct observer_window *from,
                         const struct observer *o)
{
    if (into->n_seen == 0 || from->from_wall_ns < into->from_wall_ns)
        into->from_wall_ns = from->from_wall_ns;
    if (from->to_wall_ns > into->to_wall_ns)
        into->to_wall_ns = from->to_wall_ns;
    into->n_seen += from->n_seen;
    into->n_rows += from->n_rows;
    into->n_requests += from->n_requests;
    into->n_refused += from->n_refused;
    for (uint32_t i = 0; i < o->n_columns; i++)
        tally_merge(&into->tallies[i], &from->tallies[i],
                    o->columns[i].reference ? profile_cells(o->columns[i].reference) : 0);
}

static void windows_done(struct observer *o)
{
    window_done(&o->now);
    for (uint32_t i = 0; i < o->n_kept; i++)
        window_done(&o->closed[i]);
    free(o->closed);
    o->closed = NULL;
    o->n_kept = 0;
    o->n_closed = 0;
    o->to_compare = 0;
}

static size_t window_bytes(const struct observer *o)
{
    return o->n_columns * sizeof(struct tally) + o->n_cells * sizeof(uint64_t);
}

// What a window is taken for when it is said how many are kept: state goes by that number, and was written
// when counts had half the size.
static size_t window_cost(const struct observer *o)
{
    return 2 * ((size_t)64 * o->n_columns + sizeof(uint32_t) * o->n_cells + 1);
}

static int windows_init(struct observer *o, struct err *e)
{
    size_t kept = OBSERVER_WINDOW_BYTES / window_cost(o);
    kept = kept > OBSERVER_WINDOWS ? OBSERVER_WINDOWS : kept;
    kept = kept < OBSERVER_WINDOWS_MIN ? OBSERVER_WINDOWS_MIN : kept;
    o->closed = calloc(kept, sizeof *o->closed);
    bool made = o->closed && window_init(&o->now, o);
    for (; made && o->n_kept < kept; o->n_kept++)
        made = window_init(&o->closed[o->n_kept], o);
    return made ? 0 : no_memory(e);
}

// ---- the baseline

static void builders_free(struct observer *o)
{
    for (uint32_t i = 0; o->builders && i < o->n_columns; i++)
        profile_builder_done(&o->builders[i]);
    free(o->builders);
    o->builders = NULL;
}

static int builders_make(struct observer *o, struct err *e)
{
    o->builders = calloc(o->n_columns + 1, sizeof *o->builders);
    bool made = o->builders != NULL;
    for (uint32_t i = 0; made && i < o->n_columns; i++)
        made = profile_builder_init(&o->builders[i], o->columns[i].column.is_category, PROFILE_BUILD_K_LIVE);
    return made ? 0 : no_memory(e);
}

// Takes the profile: new windows in its bins, and nothing found yet. Without memory for those nothing is
// watched any more: no window, no columns.
static int adopt(struct observer *o, struct profile *p, bool is_own, struct err *e)
{
    uint64_t from = o->now.from_wall_ns;
    windows_done(o);
    if (o->profile != p)
        profile_free(o->profile);
    o->profile = p;
    o->is_own_profile = is_own;
    o->n_cells = 0;
    for (uint32_t i = 0; i < o->n_columns; i++) {
        struct observer_state *s = &o->columns[i];
        bool is_alike = p && (is_own || !s->column.is_coarse);
        s->reference = is_alike ? profile_find(p, s->column.name, s->column.is_output) : NULL;
        s->first_cell = o->n_cells;
        o->n_cells += s->reference ? profile_cells(s->reference) : 0;
        memset(s->findings, 0, sizeof s->findings);
        verdict_of(&(struct tally){0}, NULL, 0, &o->random, &s->last);
        for (int k = 0; k < OBSERVER_HISTORY; k++)
            s->history[k] = (double)NAN;
    }
    o->refused_finding = (struct finding){0};
    int rc = windows_init(o, e);
    o->now.from_wall_ns = from;
    if (rc)
        o->n_columns = 0;
    return rc;
}

static struct profile *profile_of_builders(struct observer *o)
{
    struct profile *p = profile_new(o->n_columns);
    bool made = p && profile_text(p, STR("first window"), &p->source);
    for (uint32_t i = 0; made && i < o->n_columns; i++) {
        const struct observer_column *c = &o->columns[i].column;
        p->columns[i].is_output = c->is_output;
        made = profile_text(p, c->name, &p->columns[i].name) &&
               profile_builder_end(&o->builders[i], p, &p->columns[i]);
    }
    if (made) {
        p->n_rows = o->now.n_rows;
        return p;
    }
    profile_free(p);
    return NULL;
}

// ---- life

int observer_new(const struct observer_spec *spec, struct observer **ret, struct err *e)
{
    struct observer *o = calloc(1, sizeof *o);
    uint32_t n = spec->n_columns < LIMIT_PROFILE_COLUMNS ? spec->n_columns : LIMIT_PROFILE_COLUMNS;
    if (o)
        o->columns = calloc(n + 1, sizeof *o->columns);
    if (!o || !o->columns) {
        free(o);
        profile_free(spec->profile);
        return no_memory(e);
    }
    o->window_ns = spec->window_ns;
    o->window_rows = spec->window_rows;
    o->values_per_s = spec->values_per_s ? spec->values_per_s : OBSERVER_VALUES_PER_S;
    o->stride = 1;
    stats_random_init(&o->random, SEED);
    bool named = true;
    for (; named && o->n_columns < n; o->n_columns++) {
        struct observer_column *c = &o->columns[o->n_columns].column;
        *c = spec->columns[o->n_columns];
        c->name.p = str_dup(c->name);
        named = c->name.p != NULL;
    }
    o->n_names = o->n_columns;
    o->now.from_wall_ns = spec->wall_ns;
    int rc = adopt(o, spec->profile, spec->is_own_profile, e);
    if (!rc && !named)
        rc = no_memory(e);
    if (!rc && !o->profile)
        rc = builders_make(o, e);
    if (rc) {
        observer_free(o);
        return rc;
    }
    *ret = o;
    return 0;
}

void observer_free(struct observer *o)
{
    if (!o)
        return;
    windows_done(o);
    builders_free(o);
    profile_free(o->profile);
    for (uint32_t i = 0; i < o->n_names; i++)
        free((void *)(uintptr_t)o->columns[i].column.name.p);
    free(o->columns);
    free(o);
}

// ---- rows

bool observer_row(struct observer *o)
{
    o->now.n_seen++;
    o->n_tick++;
    if (o->skip) {
        o->skip--;
        return false;
    }
    // A rush within the second that the stride does not know of yet.
    if (o->n_taken_tick >= 2 * (uint64_t)o->values_per_s / (o->n_columns + 1) + 1)
        return false;
    o->skip = o->stride - 1;
    o->n_taken_tick++;
    o->now.n_rows++;
    return true;
}

void observer_number(struct observer *o, uint32_t column, double v)
{
    if (column >= o->n_columns)
        return;
    tally_number(&o->now.tallies[column], o->columns[column].reference, v);
    if (o->builders)
        profile_builder_number(&o->builders[column], v);
}

void observer_text(struct observer *o, uint32_t column, struct str text)
{
    if (column >= o->n_columns)
        return;
    tally_text(&o->now.tallies[column], o->columns[column].reference, text);
    if (o->builders && o->columns[column].column.is_category)
        profile_builder_text(&o->builders[column], text);
}

void observer_request(struct observer *o, bool refused)
{
    o->now.n_requests++;
    o->now.n_refused += refused;
}

// ---- windows end

static void set_stride(struct observer *o)
{
    uint64_t wanted = o->values_per_s / (o->n_columns + 1) + 1;
    o->stride = (uint32_t)((o->n_tick + wanted - 1) / wanted);
    o->stride = o->stride ? o->stride : 1;
    // Not in step with a sender of batches.
    o->skip = (uint32_t)(stats_random_u64(&o->random) % o->stride);
    o->n_tick = o->n_taken_tick = 0;
}

static void close_first(struct observer *o, uint64_t wall_ns)
{
    struct err ignored;
    struct profile *p = profile_of_builders(o);
    if (!p)
        return; // the window goes on
    builders_free(o);
    o->now.from_wall_ns = wall_ns;
    (void)!adopt(o, p, true, &ignored);
}

static void judge_requests(struct observer *o, const struct observer_window *w)
{
    const struct profile_column any = {.n = o->profile->n_rows};
    const struct tally t = {.n = w->n_requests, .n_wrong = w->n_refused, .cells = w->cells};
    struct verdict v;
    verdict_of(&t, &any, HUGE_VAL, &o->random, &v);
    o->refused = v.rates[DRIFT_WRONG];
    finding_next(&o->refused_finding, FINDING_WRONG, &any, &v, w->to_wall_ns);
}

static void close_window(struct observer *o, uint64_t wall_ns)
{
    while (observer_work(o)) // one that is still being compared with the window before
        ;
    struct observer_window *to = &o->closed[o->n_closed % o->n_kept], last = *to;
    o->now.to_wall_ns = wall_ns;
    *to = o->now;
    o->now = last;
    window_clear(&o->now, o);
    o->now.from_wall_ns = wall_ns;
    o->n_closed++;
    o->to_compare = o->n_columns;
    judge_requests(o, to);
}

bool observer_tick(struct observer *o, uint64_t wall_ns)
{
    set_stride(o);
    bool due =
        o->n_columns && wall_ns >= o->now.from_wall_ns + o->window_ns && o->now.n_rows >= o->window_rows;
    if (due && o->builders)
        close_first(o, wall_ns);
    else if (due)
        close_window(o, wall_ns);
    return due;
}

const struct observer_window *observer_last(const struct observer *o)
{
    return o->n_closed ? &o->closed[(o->n_closed - 1) % o->n_kept] : NULL;
}

// The draws follow from the window and the column, so that a restart finds the same.
void observer_compare(struct observer *o, uint32_t column)
{
    struct observer_state *s = &o->columns[column];
    const struct profile_column *c = s->reference;
    struct stats_random random;
    stats_random_init(&random, o->n_closed * LIMIT_PROFILE_COLUMNS + column);
    double ask_from = c ? finding_threshold(FINDING_DISTRIBUTION, c->kind, FINDING_WARN) : HUGE_VAL;
    verdict_of(&observer_last(o)->tallies[column], c, ask_from, &random, &s->last);
}

bool observer_work(struct observer *o)
{
    const struct observer_window *w = observer_last(o);
    if (o->to_compare == 0 || !w)
        return false;
    uint32_t i = --o->to_compare;
    struct observer_state *s = &o->columns[i];
    observer_compare(o, i);
    s->history[(o->n_closed - 1) % OBSERVER_HISTORY] = (float)s->last.effect;
    for (int k = 0; s->reference && k < FINDING_KINDS; k++)
        finding_next(&s->findings[k], k, s->reference, &s->last, w->to_wall_ns);
    return o->to_compare > 0;
}

// ---- over several windows

static uint32_t n_kept_now(const struct observer *o)
{
    return o->n_closed < o->n_kept ? (uint32_t)o->n_closed : o->n_kept;
}

uint32_t observer_sum(struct observer *o, uint32_t n, uint64_t from_wall_ns, struct observer_window *ret)
{
    uint32_t added = 0, kept = n_kept_now(o);
    if (!window_init(ret, o)) {
        window_done(ret);
        return 0;
    }
    for (; added < n && added < kept; added++) {
        const struct observer_window *w = &o->closed[(o->n_closed - 1 - added) % o->n_kept];
        if (w->to_wall_ns <= from_wall_ns)
            break;
        window_merge(ret, w, o);
    }
    if (added == 0)
        window_done(ret);
    return added;
}

void observer_sum_done(struct observer_window *w)
{
    window_done(w);
}

// The column with the counts of a window in the place of its own.
static bool copy_column(struct profile *p, struct profile_column *to, const struct profile_column *from,
                        const struct tally *t)
{
    *to = *from;
    uint32_t cells = profile_cells(from);
    to->counts = profile_alloc(p, cells, sizeof *to->counts);
    to->edges = from->edges ? profile_alloc(p, from->n_bins + 1, sizeof *to->edges) : NULL;
    to->keys = from->keys ? profile_alloc(p, from->n_bins, sizeof *to->keys) : NULL;
    to->labels = from->labels ? profile_alloc(p, from->n_bins, sizeof *to->labels) : NULL;
    if (!to->counts || (from->edges && !to->edges) || (from->keys && (!to->keys || !to->labels)) ||
        !profile_text(p, from->name, &to->name))
        return false;
    to->n = 0;
    to->n_missing = t->n_missing;
    for (uint32_t i = 0; i < cells; i++)
        to->n += to->counts[i] = t->cells[i];
    if (to->edges)
        memcpy(to->edges, from->edges, (from->n_bins + 1) * sizeof *to->edges);
    for (uint32_t i = 0; to->keys && i < from->n_bins; i++) {
        to->keys[i] = from->keys[i];
        if (from->labels[i].n && !profile_text(p, from->labels[i], &to->labels[i]))
            return false;
    }
    to->is_complete = from->is_complete && t->n_unseen == 0;
    to->is_whole = from->is_whole && t->n_wrong == 0;
    to->mean = t->n ? t->sum / (double)t->n : from->mean;
    if (t->has_range) {
        to->min = t->min;
        to->max = t->max;
    }
    return true;
}

// Quantiles and spread by the bins.
static void measure(struct profile_column *c)
{
    double below = 0;
    int q = 0;
    for (uint32_t i = 0; c->kind == PROFILE_NUMBER && c->n && i < c->n_bins; i++) {
        double in = (double)c->counts[i], width = c->edges[i + 1] - c->edges[i];
        for (; q < PROFILE_QUANTILES && in > 0 && below + in >= PROFILE_SHARES[q] * (double)c->n; q++)
            c->quantiles[q] = c->edges[i] + width * fmax(0, PROFILE_SHARES[q] * (double)c->n - below) / in;
        below += in;
    }
    double range = c->quantiles[PROFILE_MEDIAN + 1] - c->quantiles[PROFILE_MEDIAN - 1];
    if (c->kind == PROFILE_NUMBER && range > 0)
        c->spread = range / 1.349;
}

static struct profile *profile_of_window(const struct observer *o, const struct observer_window *w,
                                         struct str source)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n_columns; i++)
        n += o->columns[i].reference != NULL;
    struct profile *p = profile_new(n);
    bool made = p && profile_text(p, source, &p->source);
    for (uint32_t i = 0, to = 0; made && i < o->n_columns; i++) {
        if (!o->columns[i].reference)
            continue;
        made = copy_column(p, &p->columns[to], o->columns[i].reference, &w->tallies[i]);
        if (made)
            measure(&p->columns[to++]);
    }
    if (made) {
        p->n_rows = w->n_rows;
        return p;
    }
    profile_free(p);
    return NULL;
}

int observer_rebase(struct observer *o, uint32_t n, uint64_t from_wall_ns, struct str source, struct err *e)
{
    struct observer_window sum;
    if (o->builders || observer_sum(o, n, from_wall_ns, &sum) == 0) {
        err_set(e, ERR_CONFLICT, "no window has ended within that time");
        err_hint(e, "A window ends when it has lasted drift_window and has drift_window_rows rows.");
        return ERR_CONFLICT;
    }
    bool enough = sum.n_rows >= VERDICT_VALUES_MIN;
    struct profile *p = enough ? profile_of_window(o, &sum, source) : NULL;
    if (p)
        o->now.from_wall_ns = sum.to_wall_ns;
    window_done(&sum);
    if (!enough)
        return err_set(e, ERR_CONFLICT, "there are fewer than %d rows within that time", VERDICT_VALUES_MIN);
    return p ? adopt(o, p, true, e) : no_memory(e);
}

size_t observer_bytes(const struct observer *o)
{
    size_t bytes = sizeof *o + o->n_columns * sizeof *o->columns + (o->n_kept + 1) * window_bytes(o);
    bytes += o->profile ? o->profile->bytes : 0;
    for (uint32_t i = 0; o->builders && i < o->n_columns; i++)
        bytes += profile_builder_bytes(&o->builders[i]);
    return bytes;
}
