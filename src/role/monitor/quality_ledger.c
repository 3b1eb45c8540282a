// SPDX-License-Identifier: Apache-2.0
// What is known of a version's predictions and labels by their age: the hours that are kept, and the days of
// those before (monitor/ledger.h).
#include "role/monitor/quality_parts.h"

#include <stdlib.h>

#define NS_PER_HOUR UINT64_C(3600000000000)

static struct ledger_unit *day_of(struct subject *s, int64_t hour)
{
    if (!s->days)
        s->days = calloc(1, sizeof *s->days);
    return s->days && hour >= 0 ? ledger_day(s->days, hour) : NULL;
}

void quality_ledger_fold(struct subject *s, const struct cohort *c)
{
    struct ledger_unit hour, *day = day_of(s, c->hour);
    cohort_unit(c, &hour);
    if (day)
        ledger_unit_merge(day, &hour);
}

void quality_ledger_label(struct subject *s, const struct join_row *row, int sign)
{
    const struct outcome *o = &row->outcome;
    bool is_wrong, is_judged = cohort_judges(o, row->truth, &is_wrong);
    struct ledger_unit *day = day_of(s, (int64_t)(o->wall_ns / NS_PER_HOUR));
    if (day)
        ledger_unit_label(day, cohort_delay_s(o, row->label.wall_ns), is_judged, is_wrong, sign);
}

void quality_ledger_predicted(struct subject *s, uint64_t wall_ns, uint64_t rows)
{
    struct ledger_unit *day = day_of(s, (int64_t)(wall_ns / NS_PER_HOUR));
    if (day)
        day->predicted += rows;
}

unsigned quality_units(const struct subject *s, struct ledger_unit ret[QUALITY_UNITS])
{
    unsigned n = 0;
    for (uint32_t i = 0; s->days && i < s->days->n; i++)
        ret[n++] = s->days->days[i];
    for (uint32_t i = 0; i < s->n; i++)
        cohort_unit(&s->cohorts[i], &ret[n++]);
    return n;
}

void quality_delays(const struct ledger_unit *units, unsigned n, uint64_t wall_ns, struct delay_curve *ret)
{
    *ret = (struct delay_curve){0};
    for (unsigned i = 0; i < n; i++)
        delay_curve_add(ret, units[i].predicted, units[i].delays, ledger_unit_age_s(&units[i], wall_ns));
    delay_curve_finish(ret);
}
