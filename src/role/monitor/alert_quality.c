// SPDX-License-Identifier: Apache-2.0
// Adding up the hours of a version costs some hundred microseconds: sums are kept, and made anew every ten
// seconds, each for all rules that look as far back. Detectors of changes keep themselves.
#include "role/monitor/alert_quality.h"

#include "monitor/alert.h"
#include "role/monitor/quality_parts.h"

#include <math.h>
#include <string.h>

#define NS_PER_HOUR UINT64_C(3600000000000)
#define FRESH_NS    UINT64_C(10000000000)

static void make(struct quality_sum *x, const struct subject *s, uint64_t wall_ns)
{
    struct cohort sum = {0};
    struct err ignored; // without memory nothing is known
    int64_t first = (int64_t)(wall_ns / NS_PER_HOUR) - x->hours + 1;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < s->n; i++)
        if (s->cohorts[i].hour >= first)
            rc = cohort_merge(&sum, &s->cohorts[i], &ignored);
    x->labelled = rc ? 0 : sum.labelled;
    x->n = x->labelled ? cohort_metrics(&sum, x->list) : 0;
    cohort_done(&sum);
}

// NULL: more are asked for than are kept.
static const struct quality_sum *sum_of(struct judge *j, const struct subject *s, uint32_t hours,
                                        uint64_t mono_ns, uint64_t wall_ns)
{
    struct quality_sum *x = NULL, *oldest = &j->sums[0];
    for (unsigned i = 0; i < QUALITY_SUMS && !x; i++) {
        struct quality_sum *k = &j->sums[i];
        if (k->made_mono_ns && k->deployment == s->deployment && k->arm == s->arm && k->hours == hours)
            x = k;
        oldest = k->made_mono_ns < oldest->made_mono_ns ? k : oldest;
    }
    if (x && mono_ns - x->made_mono_ns < FRESH_NS)
        return x;
    if (!x && oldest->made_mono_ns && mono_ns - oldest->made_mono_ns < 2 * FRESH_NS)
        return NULL;
    x = x ? x : oldest;
    *x = (struct quality_sum){
        .deployment = s->deployment, .arm = s->arm, .hours = hours, .made_mono_ns = mono_ns};
    make(x, s, wall_ns);
    return x;
}

static double metric_of(const struct quality_sum *x, const char *name)
{
    for (unsigned i = 0; i < x->n; i++)
        if (strcmp(x->list[i].name, name) == 0)
            return x->list[i].value;
    return nan("");
}

static void read_metric(struct judge *j, const struct alert_rule *rule, const struct subject *s,
                        uint64_t mono_ns, uint64_t wall_ns, struct alert_reading *ret)
{
    uint32_t hours = (uint32_t)((rule->window_ns + NS_PER_HOUR - 1) / NS_PER_HOUR);
    const struct quality_sum *x = sum_of(j, s, hours, mono_ns, wall_ns);
    ret->level = x ? metric_of(x, rule->metric) : nan("");
    ret->n = x ? x->labelled : 0;
}

void alert_quality_read(struct monitor *m, struct alert_book *b, uint64_t mono_ns, uint64_t wall_ns)
{
    const struct alert_rules *rules = alert_book_rules(b);
    struct judge *j = m->judge;
    struct err e;
    for (uint32_t r = 0; r < rules->n; r++) {
        const struct alert_rule *rule = &rules->list[r];
        bool is_change = rule->kind == ALERT_QUALITY_CHANGE;
        for (unsigned i = 0; (is_change || rule->kind == ALERT_QUALITY) && i < j->n_subjects; i++) {
            const struct subject *s = j->subjects[i];
            const struct version *v = quality_version(m->models, s->deployment);
            if (!v || !v->is_served || !alert_rules_apply(rules, rule, rule->kind, str_of(v->model)))
                continue;
            struct alert_reading reading = {.kind = rule->kind,
                                            .model = str_of(v->model),
                                            .version = v->version,
                                            .subject = s->arm ? STR("canary") : STR("stable"),
                                            .rule = rule->name};
            if (is_change)
                reading.level = quality_changes_read(j, rule, s, mono_ns, wall_ns);
            else
                read_metric(j, rule, s, mono_ns, wall_ns, &reading);
            if (!is_change || isfinite(reading.level)) // one that learns needs no room among the alerts
                alert_book_read(b, &reading, wall_ns);
        }
    }
    if (quality_changes_save(j, &e)) // tried again in a second
        log_event(&m->log, LOG_LEVEL_WARN, "changes_not_saved", LOG_Z("message", e.msg));
}
