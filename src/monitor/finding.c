// SPDX-License-Identifier: Apache-2.0
// Thresholds, persistence, sentences.
#include "monitor/finding.h"

#include <math.h>

static const char *const KINDS[FINDING_KINDS] = {"distribution", "missing", "range", "unseen", "type"};
static const char *const LEVELS[] = {"none", "warn", "alert"};

const char *finding_kind_name(enum finding_kind k)
{
    return KINDS[k];
}

const char *finding_level_name(enum finding_level l)
{
    return LEVELS[l];
}

double finding_threshold(enum finding_kind k, enum profile_kind of, enum finding_level l)
{
    bool alerts = l == FINDING_ALERT;
    if (k != FINDING_DISTRIBUTION)
        return alerts ? 0.05 : 0.01;
    if (of == PROFILE_NUMBER)
        return alerts ? 0.25 : 0.1;
    return alerts ? 0.2 : 0.1;
}

double finding_effect(enum finding_kind k, const struct verdict *v)
{
    if (k == FINDING_DISTRIBUTION)
        return v->effect;
    const struct drift_rate *r = &v->rates[k - FINDING_MISSING];
    return fabs(r->now - r->before);
}

double finding_noise(enum finding_kind k, const struct verdict *v)
{
    return k == FINDING_DISTRIBUTION ? v->noise : v->rates[k - FINDING_MISSING].noise;
}

void finding_next(struct finding *f, enum finding_kind k, const struct profile_column *c,
                  const struct verdict *v, uint64_t wall_ns)
{
    double effect = finding_effect(k, v), noise = finding_noise(k, v);
    if (isnan(effect) || isnan(noise))
        effect = noise = 0;
    bool warn = drift_alert_next(&f->warn, effect, finding_threshold(k, c->kind, FINDING_WARN), noise);
    bool alert = drift_alert_next(&f->alert, effect, finding_threshold(k, c->kind, FINDING_ALERT), noise);
    enum finding_level level = alert ? FINDING_ALERT : warn ? FINDING_WARN : FINDING_NONE;
    if (level == FINDING_NONE)
        f->since_wall_ns = 0;
    else if (f->level == FINDING_NONE)
        f->since_wall_ns = wall_ns;
    f->level = level;
}

// ---- sentences

static void put_label(const struct profile_column *c, uint32_t cell, struct buf *out)
{
    if (cell == c->n_bins)
        buf_puts(out, "other values are");
    else if (c->labels[cell].n)
        buf_printf(out, "'" STR_FMT "' is", STR_ARG(c->labels[cell]));
    else
        buf_printf(out, "%g is", profile_number_of_key(c->keys[cell]));
}

static void put_numbers(const struct profile_column *c, const struct verdict *v, struct buf *out)
{
    double was = c->quantiles[PROFILE_MEDIAN], moved = v->median - was;
    if (fabs(moved) < v->effect * c->spread / 2)
        buf_printf(out, "are spread differently, around a median of %.4g (was %.4g)", v->median, was);
    else
        buf_printf(out, "are %s: the median is %.4g, was %.4g", moved > 0 ? "higher" : "lower", v->median,
                   was);
    buf_printf(out, "; on average they moved by %.2f times the baseline's spread", v->effect);
}

static void put_categories(const struct profile_column *c, const struct tally *t, const struct verdict *v,
                           struct buf *out)
{
    uint32_t cell;
    double before, now;
    buf_puts(out, "are mixed differently");
    if (verdict_largest_change(t, c, &cell, &before, &now)) {
        buf_puts(out, ": ");
        put_label(c, cell, out);
        buf_printf(out, " %.1f %% of them, was %.1f %%", 100 * now, 100 * before);
    }
    buf_printf(out, "; the Jensen-Shannon distance is %.2f", v->effect);
}

static void put_share(enum finding_kind k, const struct profile_column *c, const struct verdict *v,
                      struct buf *out)
{
    const struct drift_rate *r = &v->rates[k - FINDING_MISSING];
    double now = 100 * r->now;
    switch (k) {
    case FINDING_MISSING:
        buf_printf(out, "are missing in %.1f %% of rows, were in %.1f %%", now, 100 * r->before);
        break;
    case FINDING_OUTSIDE:
        buf_printf(out, "lie outside the baseline's range, %.6g to %.6g, in %.1f %% of rows", c->min, c->max,
                   now);
        break;
    case FINDING_UNSEEN:
        buf_printf(out, "are ones that the baseline does not have in %.1f %% of rows", now);
        break;
    default:
        buf_printf(out, "are not of the baseline's type in %.1f %% of rows: %s", now,
                   c->is_whole ? "it has whole numbers only" : "it has finite numbers");
    }
}

void finding_put_text(const struct finding *f, enum finding_kind k, const struct profile_column *c,
                      const struct tally *t, const struct verdict *v, struct buf *out)
{
    buf_printf(out, "values of %s '" STR_FMT "' ", c->is_output ? "output" : "input", STR_ARG(c->name));
    if (k != FINDING_DISTRIBUTION)
        put_share(k, c, v, out);
    else if (c->kind == PROFILE_NUMBER)
        put_numbers(c, v, out);
    else
        put_categories(c, t, v, out);
    double threshold = finding_threshold(k, c->kind, f->level), noise = finding_noise(k, v);
    const char *word = f->level == FINDING_ALERT ? "alerts" : "warns";
    if (k == FINDING_DISTRIBUTION)
        buf_printf(out, ", where %.2f %s and chance gives at most %.2f", threshold, word,
                   isnan(noise) ? 0 : noise);
    else
        buf_printf(out, ", where %g points %s and chance gives at most %.2g", 100 * threshold, word,
                   100 * noise);
    buf_puts(out, ", in two of the last three windows.");
}
