// SPDX-License-Identifier: Apache-2.0
// Windows, findings and their sentences, learning, a new baseline, sampling, state; and test 10: false alarms
// of a week, power.
#include "base/siphash.h"
#include "drift_weeks.h"
#include "monitor/observer_json.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

enum { N = 1000 }; // rows of a window

// Memory runs out at the n-th calloc from now on (--wrap); 0: never.
static int n_callocs_left;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
    if (n_callocs_left == 1)
        return NULL;
    n_callocs_left -= n_callocs_left > 1;
    return __real_calloc(n, size);
}

static const struct observer_column COLUMNS[] = {{STR("age"), false, false, false},
                                                 {STR("color"), false, true, false},
                                                 {STR("more"), false, false, false},
                                                 {STR("score"), true, false, false}};
enum { AGE, COLOR, MORE, SCORE, N_COLUMNS };

// What traffic is like.
struct like {
    double age_shift, missing, unseen, fraction, outside, spread;
    double red; // share; 0: a third
};

static void row(struct observer *o, struct stats_random *r, const struct like *l, struct profile_builder *b)
{
    double z = stats_random_normal(r) * (l->spread != 0 ? l->spread : 1), u = stats_random_unit(r);
    double age = rint(40 + 12 * fmax(-1.8, fmin(4, z + l->age_shift)));
    if (stats_random_unit(r) < l->missing)
        age = (double)NAN;
    if (stats_random_unit(r) < l->fraction)
        age += .5;
    if (stats_random_unit(r) < l->outside)
        age = 500;
    double red = l->red > 0 ? l->red : 1.0 / 3;
    struct str color = u < red ? STR("red") : u < red + (1 - red) / 2 ? STR("green") : STR("blue");
    if (stats_random_unit(r) < l->unseen)
        color = STR("violet");
    double score = stats_random_unit(r);
    if (b) {
        profile_builder_number(&b[0], age);
        profile_builder_text(&b[1], color);
        profile_builder_number(&b[2], score);
    } else if (observer_row(o)) {
        observer_number(o, AGE, age);
        observer_text(o, COLOR, color);
        observer_number(o, MORE, 7);
        observer_number(o, SCORE, score);
    }
}

// The baseline has no column "more".
static struct profile *baseline(struct stats_random *r)
{
    static const struct like usual = {.missing = .02};
    struct profile_builder b[3];
    struct profile *p = profile_new(3);
    for (int i = 0; i < 3; i++)
        ck_assert(profile_builder_init(&b[i], i == 1, PROFILE_BUILD_K));
    for (int i = 0; i < 10000; i++)
        row(NULL, r, &usual, b);
    p->n_rows = 10000;
    ck_assert(profile_text(p, STR("train.csv"), &p->source));
    for (int i = 0; i < 3; i++) {
        const struct observer_column *c = &COLUMNS[i == 2 ? SCORE : i];
        p->columns[i].is_output = c->is_output;
        ck_assert(profile_text(p, c->name, &p->columns[i].name));
        ck_assert(profile_builder_end(&b[i], p, &p->columns[i]));
        profile_builder_done(&b[i]);
    }
    return p;
}

static struct observer *observe(struct profile *p, uint32_t rows)
{
    struct observer *o;
    struct err e;
    struct observer_spec spec = {.columns = COLUMNS,
                                 .n_columns = N_COLUMNS,
                                 .window_ns = 100,
                                 .window_rows = rows,
                                 .profile = p,
                                 .wall_ns = 1000};
    ck_assert_int_eq(observer_new(&spec, &o, &e), 0);
    return o;
}

static void windows(struct observer *o, struct stats_random *r, const struct like *l, int n)
{
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < N; k++)
            row(o, r, l, NULL);
        ck_assert(observer_tick(o, o->now.from_wall_ns + 100));
        while (observer_work(o))
            ;
    }
}

static const struct finding *finding_of(const struct observer *o, int column, enum finding_kind k)
{
    return &o->columns[column].findings[k];
}

static int n_findings(const struct observer *o)
{
    int n = 0;
    for (uint32_t i = 0; i < o->n_columns; i++)
        for (int k = 0; k < FINDING_KINDS; k++)
            n += finding_of(o, (int)i, k)->level != FINDING_NONE;
    return n;
}

START_TEST(each_kind_of_change_is_found_and_nothing_else)
{
    static const struct {
        struct like like;
        int column;
        enum finding_kind kind;
        const char *text;
    } CASES[] = {
        {{.missing = .02, .age_shift = .5},
         AGE,
         FINDING_DISTRIBUTION,
         "values of input 'age' are higher: the"},
        {{.missing = .02, .age_shift = -.5},
         AGE,
         FINDING_DISTRIBUTION,
         "values of input 'age' are lower: the"},
        {{.missing = .02, .spread = .5}, AGE, FINDING_DISTRIBUTION, "values of input 'age' are spread diff"},
        {{.missing = .02, .red = .5},
         COLOR,
         FINDING_DISTRIBUTION,
         "values of input 'color' are mixed differently: 'red' is"},
        {{.missing = .10}, AGE, FINDING_MISSING, "values of input 'age' are missing in "},
        {{.missing = .02, .outside = .02},
         AGE,
         FINDING_OUTSIDE,
         "values of input 'age' lie outside the base"},
        {{.missing = .02, .unseen = .015},
         COLOR,
         FINDING_UNSEEN,
         "values of input 'color' are ones that the"},
        {{.missing = .02, .fraction = .03}, AGE, FINDING_WRONG, "values of input 'age' are not of the basel"},
    };
    static const struct like usual = {.missing = .02};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct stats_random r;
        struct buf text;
        stats_random_init(&r, 40 + i);
        struct observer *o = observe(baseline(&r), N);
        windows(o, &r, &usual, 4);
        ck_assert_int_eq(n_findings(o), 0);
        windows(o, &r, &CASES[i].like, 2);
        const struct finding *f = finding_of(o, CASES[i].column, CASES[i].kind);
        ck_assert_msg(f->level != FINDING_NONE, "case %zu", i);
        ck_assert_uint_eq(f->since_wall_ns, 1600);
        ck_assert_int_eq(n_findings(o), 1);
        buf_init(&text, 4096);
        const struct observer_state *s = &o->columns[CASES[i].column];
        finding_put_text(f, CASES[i].kind, s->reference, &observer_last(o)->tallies[CASES[i].column],
                         &s->last, &text);
        buf_putc(&text, '\0');
        ck_assert_msg(strncmp(text.p, CASES[i].text, strlen(CASES[i].text)) == 0, "%s", text.p);
        ck_assert_ptr_eq(strstr(text.p, ". "), NULL); // one sentence
        buf_done(&text);
        windows(o, &r, &usual, 3);
        ck_assert_int_eq(n_findings(o), 0);
        ck_assert_uint_eq(f->since_wall_ns, 0);
        observer_free(o);
    }
}
END_TEST

START_TEST(one_window_is_no_finding)
{
    static const struct like usual = {.missing = .02}, other = {.missing = .02, .age_shift = 2};
    struct stats_random r;
    stats_random_init(&r, 50);
    struct observer *o = observe(baseline(&r), N);
    windows(o, &r, &usual, 2);
    windows(o, &r, &other, 1);
    ck_assert_double_gt(o->columns[AGE].last.effect, 1.5);
    ck_assert_double_gt(o->columns[AGE].last.effect, o->columns[AGE].last.noise);
    ck_assert_int_eq(n_findings(o), 0);
    windows(o, &r, &usual, 1);
    windows(o, &r, &other, 1);
    ck_assert_int_eq(finding_of(o, AGE, FINDING_DISTRIBUTION)->level, FINDING_ALERT);
    observer_free(o);
}
END_TEST

START_TEST(a_window_ends_when_it_has_time_and_rows)
{
    struct stats_random r;
    static const struct like usual = {.missing = .02};
    stats_random_init(&r, 51);
    struct observer *o = observe(baseline(&r), 10);
    for (int i = 0; i < 9; i++)
        row(o, &r, &usual, NULL);
    ck_assert(!observer_tick(o, 5000)); // too few rows
    row(o, &r, &usual, NULL);
    ck_assert(observer_tick(o, 5001));
    for (int i = 0; i < 50; i++)
        row(o, &r, &usual, NULL);
    ck_assert(!observer_tick(o, 5100)); // too early
    ck_assert(observer_tick(o, 5101));
    ck_assert_uint_eq(o->n_closed, 2);
    ck_assert_uint_eq(observer_last(o)->n_rows, 50);
    ck_assert_uint_eq(observer_last(o)->from_wall_ns, 5001);
    observer_free(o);
}
END_TEST

START_TEST(requests_that_are_refused_are_a_finding)
{
    struct stats_random r;
    struct buf json;
    static const struct like usual = {.missing = .02};
    stats_random_init(&r, 52);
    struct observer *o = observe(baseline(&r), N);
    for (int w = 0; w < 3; w++) {
        for (int i = 0; i < N; i++)
            observer_request(o, w && i % 10 == 0);
        windows(o, &r, &usual, 1);
        ck_assert_int_eq(o->refused_finding.level, w < 2 ? FINDING_NONE : FINDING_ALERT);
    }
    buf_init(&json, 1 << 16);
    observer_put_findings(o, &json);
    buf_putc(&json, '\0');
    ck_assert_ptr_nonnull(strstr(json.p, "10.0 % of requests were refused"));
    buf_done(&json);
    observer_free(o);
}
END_TEST

START_TEST(rounded_values_are_compared_with_rounded_ones_alone)
{
    static const struct like usual = {.missing = .02};
    struct observer_column columns[N_COLUMNS];
    struct stats_random r;
    struct err e;
    stats_random_init(&r, 61);
    memcpy(columns, COLUMNS, sizeof columns);
    columns[AGE].is_coarse = true;
    for (int how = 0; how < 3; how++) { // a baseline of raw values, one of windows before, the first window
        struct observer *o;
        struct observer_spec spec = {.columns = columns,
                                     .n_columns = N_COLUMNS,
                                     .window_ns = 100,
                                     .window_rows = N,
                                     .profile = how < 2 ? baseline(&r) : NULL,
                                     .is_own_profile = how == 1,
                                     .wall_ns = 1000};
        ck_assert_int_eq(observer_new(&spec, &o, &e), 0);
        windows(o, &r, &usual, 3);
        ck_assert_int_eq(o->columns[AGE].reference != NULL, how > 0);
        ck_assert_ptr_nonnull(o->columns[SCORE].reference);
        ck_assert_int_eq(isnan(o->columns[AGE].last.effect), how == 0);
        ck_assert_double_gt(o->columns[AGE].last.mean, 30);
        ck_assert_int_eq(o->is_own_profile, how > 0);
        observer_free(o);
    }
}
END_TEST

// Without a baseline the first window becomes one; later windows become the next.
START_TEST(live_windows_become_the_baseline)
{
    static const struct like usual = {.missing = .02}, later = {.missing = .02, .age_shift = 1};
    struct stats_random r;
    struct err e;
    stats_random_init(&r, 53);
    struct observer *o = observe(NULL, N);
    ck_assert_int_eq(observer_rebase(o, 9, 0, STR("x"), &e), ERR_CONFLICT);
    windows(o, &r, &usual, 1);
    ck_assert_ptr_nonnull(o->profile);
    ck_assert(o->is_own_profile);
    ck_assert_uint_eq(o->profile->n_rows, N);
    ck_assert_uint_eq(o->n_closed, 0);
    windows(o, &r, &usual, 3);
    ck_assert_int_eq(n_findings(o), 0);
    uint64_t from = observer_last(o)->to_wall_ns;
    windows(o, &r, &later, 3);
    ck_assert_int_eq(finding_of(o, AGE, FINDING_DISTRIBUTION)->level, FINDING_ALERT);
    ck_assert_int_eq(observer_rebase(o, 9, UINT64_MAX, STR("none"), &e), ERR_CONFLICT);
    ck_assert_int_eq(observer_rebase(o, 9, from, STR("the last 3 windows"), &e), 0);
    ck_assert_uint_eq(o->profile->n_rows, 3 * N);
    ck_assert_int_eq(n_findings(o), 0);
    ck_assert_double_eq_tol(o->columns[AGE].reference->quantiles[PROFILE_MEDIAN], 52, 2);
    windows(o, &r, &later, 4);
    ck_assert_int_eq(n_findings(o), 0);
    windows(o, &r, &usual, 2);
    ck_assert_int_eq(finding_of(o, AGE, FINDING_DISTRIBUTION)->level, FINDING_ALERT);
    observer_free(o);
}
END_TEST

// A baseline that cannot be taken, at each of its allocations; traffic goes on.
START_TEST(without_memory_for_a_baseline_nothing_is_watched_and_nothing_breaks)
{
    static const struct like usual = {.missing = .02};
    int rc = -1;
    unsigned n_unwatched = 0;
    for (int at = 1; rc; at++) {
        struct stats_random r;
        struct err e;
        struct buf text;
        stats_random_init(&r, 58);
        struct observer *o = observe(baseline(&r), N);
        windows(o, &r, &usual, 3);
        n_callocs_left = at;
        rc = observer_rebase(o, 3, 0, STR("live"), &e);
        n_callocs_left = 0;
        n_unwatched += o->n_columns == 0;
        for (int i = 0; i < N; i++)
            row(o, &r, &usual, NULL);
        ck_assert_int_eq(observer_tick(o, o->now.from_wall_ns + 1000), o->n_columns != 0);
        while (observer_work(o))
            ;
        buf_init(&text, 1 << 20);
        observer_put(o, 0, 3, &text);
        buf_putc(&text, '\0');
        ck_assert_int_eq(strstr(text.p, "unwatched") != NULL, o->n_columns == 0);
        buf_clear(&text);
        observer_save(o, &text);
        buf_done(&text);
        observer_free(o);
    }
    ck_assert_uint_gt(n_unwatched, OBSERVER_WINDOWS);
}
END_TEST

START_TEST(of_many_rows_a_share_is_taken_and_memory_does_not_grow)
{
    struct stats_random r;
    static const struct like usual = {.missing = .02};
    stats_random_init(&r, 54);
    struct observer *o = observe(baseline(&r), N);
    size_t before = observer_bytes(o);
    const uint64_t second = OBSERVER_VALUES_PER_S / (N_COLUMNS + 1) + 1;
    for (int s = 0; s < 30; s++) {
        uint64_t taken = o->now.n_rows;
        for (uint64_t i = 0; i < 5 * second; i++)
            row(o, &r, &usual, NULL);
        taken = o->now.n_rows - taken;
        ck_assert_uint_le(taken, s ? second + 5 : 2 * second);
        ck_assert_uint_ge(taken, second - 5);
        observer_tick(o, 1050); // does not end the window
    }
    ck_assert_uint_eq(o->now.n_seen, 30 * 5 * second);
    ck_assert_uint_eq(o->stride, 5);
    ck_assert_uint_eq(observer_bytes(o), before);
    observer_free(o);
}
END_TEST

static void check_same(const struct buf *a, const struct buf *b)
{
    size_t i = 0;
    while (i < a->n && i < b->n && a->p[i] == b->p[i])
        i++;
    size_t from = i > 100 ? i - 100 : 0, n = a->n < b->n ? a->n : b->n;
    int shown = (int)(n - from < 200 ? n - from : 200);
    ck_assert_msg(i == a->n && i == b->n, "%.*s\n%.*s", shown, a->p + from, shown, b->p + from);
}

// As bytes: the same answer, and what follows is the same too.
static void check_restored(bool learns, int n_windows)
{
    static const struct like usual = {.missing = .02}, other = {.missing = .02, .age_shift = .6};
    struct stats_random r, again;
    struct err e;
    struct buf state, a, b;
    stats_random_init(&r, 55);
    stats_random_init(&again, 55);
    struct observer *o = observe(learns ? NULL : baseline(&r), N);
    struct observer *p = observe(learns ? NULL : baseline(&again), N);
    buf_init(&state, 1 << 24);
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    if (n_windows)
        windows(o, &r, &usual, n_windows - 1);
    if (n_windows)
        windows(o, &r, &other, 1);
    for (int i = 0; i < 700; i++)
        row(o, &r, &other, NULL);
    observer_save(o, &state);
    ck_assert_msg(observer_load(p, buf_str(&state), &e) == 0, "%s", e.msg);
    again = r;
    o->random = p->random;
    o->stride = p->stride;
    o->skip = p->skip;
    o->n_taken_tick = p->n_taken_tick;
    for (int round = 0; round < 2; round++) {
        buf_clear(&a);
        buf_clear(&b);
        observer_put(o, 0, 1, &a);
        observer_put(p, 0, 1, &b);
        if (!learns) // there memory is allocated in other steps
            check_same(&a, &b);
        windows(o, &r, &other, 2);
        windows(p, &again, &other, 2);
        ck_assert_uint_eq(o->n_closed, p->n_closed);
        ck_assert_uint_eq(o->profile->n_rows, p->profile->n_rows);
    }
    ck_assert_int_eq(n_findings(p), n_findings(o));
    observer_free(o);
    observer_free(p);
    buf_done(&state);
    buf_done(&a);
    buf_done(&b);
}

START_TEST(state_survives_as_bytes)
{
    check_restored(false, 3);
    check_restored(false, 40); // the ring has gone round
    check_restored(true, 0);
}
END_TEST

// The state as builds wrote it whose counts had 32 bits: a walk over that of today.
struct narrow {
    const char *from;
    struct buf *to;
};

static void copy(struct narrow *w, size_t bytes)
{
    buf_put(w->to, w->from, bytes);
    w->from += bytes;
}

static void narrow(struct narrow *w, uint32_t n)
{
    for (uint64_t v; n--; w->from += sizeof v) {
        memcpy(&v, w->from, sizeof v);
        ck_assert_uint_le(v, UINT32_MAX);
        buf_put(w->to, &(uint32_t){(uint32_t)v}, sizeof(uint32_t));
    }
}

static void narrow_window(struct narrow *w, const struct observer *o)
{
    copy(w, 6 * sizeof(uint64_t));
    for (uint32_t i = 0; i < o->n_columns; i++) {
        narrow(w, 6);
        copy(w, 3 * sizeof(double) + 1);
        narrow(w, o->columns[i].reference ? profile_cells(o->columns[i].reference) : 0);
    }
}

static void state_of_format_1(const struct observer *o, const struct buf *state, struct buf *ret)
{
    static const struct siphash_key SEAL = {0x6f627365, 0x72766572};
    enum { FINDING_BYTES = 13 };
    struct narrow w = {state->p + sizeof(uint32_t), ret};
    buf_put(ret, &(uint32_t){1}, sizeof(uint32_t));
    copy(&w, sizeof(uint64_t) + 1 + sizeof(uint64_t)); // shape, whether it learns, windows
    narrow_window(&w, o);
    copy(&w, o->n_columns * (FINDING_KINDS * FINDING_BYTES + OBSERVER_HISTORY * sizeof(float)));
    for (uint32_t i = 0; i < o->n_kept && i < o->n_closed; i++)
        narrow_window(&w, o);
    copy(&w, FINDING_BYTES);
    uint64_t seal = siphash(SEAL, buf_str(ret));
    buf_put(ret, &seal, sizeof seal);
    ck_assert_ptr_eq(w.from + sizeof seal, state->p + state->n);
}

START_TEST(state_of_the_first_format_is_read)
{
    static const struct like usual = {.missing = .02, .outside = .02};
    struct stats_random r, again;
    struct err e;
    struct buf state, old, a, b;
    stats_random_init(&r, 60);
    stats_random_init(&again, 60);
    struct observer *o = observe(baseline(&r), N), *p = observe(baseline(&again), N);
    windows(o, &r, &usual, 3);
    for (int i = 0; i < 700; i++)
        row(o, &r, &usual, NULL);
    buf_init(&state, 1 << 24);
    buf_init(&old, 1 << 24);
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    observer_save(o, &state);
    state_of_format_1(o, &state, &old);
    ck_assert_msg(observer_load(p, buf_str(&old), &e) == 0, "%s", e.msg);
    p->stride = o->stride;
    observer_put(o, 0, 3, &a);
    observer_put(p, 0, 3, &b);
    check_same(&a, &b);
    ck_assert_int_eq(observer_load(p, (struct str){old.p, old.n - 1}, &e), ERR_INVALID);
    observer_free(o);
    observer_free(p);
    buf_done(&state);
    buf_done(&old);
    buf_done(&a);
    buf_done(&b);
}
END_TEST

// Windows that have more than fits 32 bits, alone and together.
START_TEST(counts_go_beyond_what_32_bits_hold)
{
    static const struct like usual = {.missing = .02};
    static const uint64_t MUCH = UINT64_C(3000000000);
    struct stats_random r;
    struct observer_window sum;
    struct buf state;
    struct err e;
    stats_random_init(&r, 59);
    struct observer *o = observe(baseline(&r), N);
    windows(o, &r, &usual, 2);
    for (int i = 0; i < 2; i++) {
        struct tally *t = &o->closed[i].tallies[AGE];
        uint64_t *all[] = {&t->n,        &t->n_missing, &t->n_below, &t->n_above,
                           &t->n_unseen, &t->n_wrong,   &t->cells[3]};
        for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
            *all[k] = MUCH;
    }
    ck_assert_uint_eq(observer_sum(o, 2, 0, &sum), 2);
    const struct tally *t = &sum.tallies[AGE];
    ck_assert(t->n == 2 * MUCH && t->n_missing == 2 * MUCH && t->n_below == 2 * MUCH &&
              t->n_above == 2 * MUCH && t->n_unseen == 2 * MUCH && t->n_wrong == 2 * MUCH &&
              t->cells[3] == 2 * MUCH);
    observer_sum_done(&sum);
    o->now.tallies[AGE].n = o->now.tallies[AGE].cells[0] = UINT32_MAX;
    for (int i = 0; i < 50; i++) {
        (void)observer_row(o);
        observer_number(o, AGE, -1000);
    }
    ck_assert_uint_eq(o->now.tallies[AGE].n, UINT32_MAX + UINT64_C(50));
    ck_assert_uint_eq(o->now.tallies[AGE].cells[0], UINT32_MAX + UINT64_C(50));
    buf_init(&state, 1 << 24);
    observer_save(o, &state);
    o->now.tallies[AGE].n = o->now.tallies[AGE].cells[0] = 0;
    ck_assert_int_eq(observer_load(o, buf_str(&state), &e), 0);
    ck_assert_uint_eq(o->now.tallies[AGE].n, UINT32_MAX + UINT64_C(50));
    ck_assert_uint_eq(o->now.tallies[AGE].cells[0], UINT32_MAX + UINT64_C(50));
    o->now.n_requests = 10 * MUCH;
    o->now.n_refused = MUCH;
    windows(o, &r, &usual, 1);
    ck_assert_double_eq_tol(o->refused.now, .1, 1e-9);
    observer_free(o);
    buf_done(&state);
}
END_TEST

START_TEST(damaged_or_other_state_is_refused)
{
    static const struct like usual = {.missing = .02};
    struct stats_random r;
    struct err e;
    struct buf state;
    stats_random_init(&r, 56);
    struct observer *o = observe(baseline(&r), N), *other = observe(baseline(&r), N),
                    *learner = observe(NULL, N);
    windows(o, &r, &usual, 2);
    buf_init(&state, 1 << 24);
    observer_save(o, &state);
    ck_assert_int_eq(observer_load(other, buf_str(&state), &e), ERR_INVALID); // of other bins
    ck_assert_int_eq(observer_load(learner, buf_str(&state), &e), ERR_INVALID);
    for (size_t at = 0; at < state.n; at += 997) {
        state.p[at] = (char)(state.p[at] ^ 4);
        ck_assert_int_eq(observer_load(o, buf_str(&state), &e), ERR_INVALID);
        state.p[at] = (char)(state.p[at] ^ 4);
        ck_assert_int_eq(observer_load(o, (struct str){state.p, at}, &e), ERR_INVALID);
    }
    ck_assert_int_eq(observer_load(o, buf_str(&state), &e), 0);
    observer_free(o);
    observer_free(other);
    observer_free(learner);
    buf_done(&state);
}
END_TEST

START_TEST(the_answer_is_json_with_every_column)
{
    static const struct like other = {.missing = .3, .age_shift = 1, .unseen = .1};
    struct stats_random r;
    struct buf json;
    stats_random_init(&r, 57);
    struct observer *o = observe(baseline(&r), N);
    windows(o, &r, &other, 3);
    for (uint32_t n = 1; n < 4; n += 2) {
        buf_init(&json, 1 << 20);
        buf_putc(&json, '{');
        observer_put(o, 0, n, &json);
        buf_putc(&json, '}');
        yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
        ck_assert_ptr_nonnull(doc);
        yyjson_val *root = yyjson_doc_get_root(doc), *inputs = yyjson_obj_get(root, "inputs");
        ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(root, "state")), "alert");
        ck_assert_uint_eq(yyjson_arr_size(inputs), 3);
        ck_assert_uint_eq(yyjson_arr_size(yyjson_obj_get(root, "outputs")), 1);
        ck_assert_uint_eq(yyjson_arr_size(yyjson_obj_get(root, "findings")), 4);
        yyjson_val *more = yyjson_arr_get(inputs, MORE), *window = yyjson_obj_get(root, "window");
        ck_assert(yyjson_is_null(yyjson_obj_get(more, "effect")));
        ck_assert(yyjson_is_false(yyjson_obj_get(more, "in_baseline")));
        ck_assert_uint_eq(yyjson_get_uint(yyjson_obj_get(window, "rows")), n * N);
        ck_assert_uint_gt(yyjson_get_uint(yyjson_obj_get(root, "memory_bytes")), 1000);
        yyjson_doc_free(doc);
        buf_done(&json);
    }
    observer_free(o);
}
END_TEST

// Test 10: 50 features, 168 hourly windows of 300 rows, a reference of 10,000. Here a part of it, in
// tests/slow the whole, many times.
START_TEST(weeks_without_drift_raise_nothing)
{
    for (int family = 0; family < 4; family++) {
        struct drift_week w = {.n_features = family ? 5 : 12,
                               .n_windows = family ? 20 : 60,
                               .rows = 300,
                               .reference = 10000,
                               .family = family};
        struct drift_week_result r = drift_week_run(&w, 60 + family);
        ck_assert_msg(r.n_warned == 0, "family %d: %u warned, %u alerted", family, r.n_warned, r.n_alerted);
    }
}
END_TEST

START_TEST(half_a_deviation_is_found_within_three_windows)
{
    for (int family = 0; family < 4; family++) {
        int found = 0;
        for (uint64_t seed = 0; seed < 15; seed++) {
            struct drift_week w = {.n_features = 1,
                                   .n_windows = 3,
                                   .rows = 300,
                                   .reference = 10000,
                                   .shift = .5,
                                   .family = family};
            found += drift_week_run(&w, 70 + seed).first_shifted < 3;
        }
        ck_assert_msg(found == 15, "family %d: %d of 15", family, found);
    }
}
END_TEST

UNIT_MAIN("monitor/observer", each_kind_of_change_is_found_and_nothing_else, one_window_is_no_finding,
          a_window_ends_when_it_has_time_and_rows, requests_that_are_refused_are_a_finding,
          rounded_values_are_compared_with_rounded_ones_alone, live_windows_become_the_baseline,
          of_many_rows_a_share_is_taken_and_memory_does_not_grow,
          without_memory_for_a_baseline_nothing_is_watched_and_nothing_breaks, state_survives_as_bytes,
          counts_go_beyond_what_32_bits_hold, state_of_the_first_format_is_read,
          damaged_or_other_state_is_refused, the_answer_is_json_with_every_column,
          weeks_without_drift_raise_nothing, half_a_deviation_is_found_within_three_windows)
