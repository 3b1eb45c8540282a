// SPDX-License-Identifier: Apache-2.0
// The reference is drawn anew for each week, as in reality it is a sample, too.
#include "drift_weeks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// Also of programs that are no unit tests.
static void must(bool good)
{
    if (!good)
        abort();
}

static double draw(const struct drift_week *w, uint32_t feature, double shift, struct stats_random *r)
{
    double z = stats_random_normal(r) + (feature == 0 ? shift : 0);
    switch (w->family) {
    case 1:
        return exp(z);
    case 2:
        return rint(40 + 12 * z);
    case 3:
        return rint(2 * z); // some nine values
    default:
        return z;
    }
}

static struct profile *reference(const struct drift_week *w, struct stats_random *r)
{
    struct profile *p = profile_new(w->n_features);
    p->n_rows = w->reference;
    must(profile_text(p, STR("reference"), &p->source));
    for (uint32_t f = 0; f < w->n_features; f++) {
        struct profile_builder b;
        char name[16];
        snprintf(name, sizeof name, "f%u", f);
        must(profile_builder_init(&b, w->family == 3, PROFILE_BUILD_K));
        for (uint32_t i = 0; i < w->reference; i++)
            profile_builder_number(&b, draw(w, f, 0, r));
        must(profile_text(p, str_of(name), &p->columns[f].name));
        must(profile_builder_end(&b, p, &p->columns[f]));
        profile_builder_done(&b);
    }
    return p;
}

static void count_raised(const struct observer *o, enum finding_level *before, struct drift_week_result *ret)
{
    for (uint32_t f = 0; f < o->n_columns; f++)
        for (int k = 0; k < FINDING_KINDS; k++) {
            enum finding_level now = o->columns[f].findings[k].level, *was = &before[f * FINDING_KINDS + k];
            ret->n_warned += now >= FINDING_WARN && *was < FINDING_WARN;
            ret->n_alerted += now == FINDING_ALERT && *was < FINDING_ALERT;
            *was = now;
        }
}

struct drift_week_result drift_week_run(const struct drift_week *w, uint64_t seed)
{
    struct stats_random r;
    struct observer *o;
    struct err e;
    struct drift_week_result ret = {.first_shifted = w->n_windows, .first_alert = w->n_windows};
    struct observer_column *columns = calloc(w->n_features, sizeof *columns);
    char(*names)[16] = calloc(w->n_features, sizeof *names);
    enum finding_level *before = calloc((size_t)w->n_features * FINDING_KINDS, sizeof *before);
    must(columns && names && before);
    for (uint32_t f = 0; f < w->n_features; f++) {
        snprintf(names[f], sizeof names[f], "f%u", f);
        columns[f] = (struct observer_column){.name = str_of(names[f])};
    }
    stats_random_init(&r, seed);
    struct observer_spec spec = {.columns = columns,
                                 .n_columns = w->n_features,
                                 .window_ns = 1,
                                 .window_rows = w->rows,
                                 .profile = reference(w, &r)};
    must(observer_new(&spec, &o, &e) == 0);
    for (uint32_t i = 0; i < w->n_windows; i++) {
        for (uint32_t row = 0; row < w->rows; row++) {
            must(observer_row(o));
            for (uint32_t f = 0; f < w->n_features; f++)
                observer_number(o, f, draw(w, f, w->shift, &r));
        }
        must(observer_tick(o, i + 1));
        while (observer_work(o))
            ;
        count_raised(o, before, &ret);
        enum finding_level level = o->columns[0].findings[FINDING_DISTRIBUTION].level;
        if (level >= FINDING_WARN && ret.first_shifted == w->n_windows)
            ret.first_shifted = i;
        if (level == FINDING_ALERT && ret.first_alert == w->n_windows)
            ret.first_alert = i;
    }
    observer_free(o);
    free(columns);
    free(names);
    free(before);
    return ret;
}
