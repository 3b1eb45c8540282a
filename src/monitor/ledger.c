// SPDX-License-Identifier: Apache-2.0
#include "monitor/ledger.h"

#include <string.h>

enum { HOUR_S = 3600, NS_PER_S = 1000000000 };

struct ledger_unit *ledger_day(struct ledger *l, int64_t hour)
{
    int64_t first = hour - hour % LEDGER_DAY_HOURS;
    uint32_t i = l->n;
    while (i > 0 && l->days[i - 1].hour > first)
        i--;
    if (i > 0 && l->days[i - 1].hour == first)
        return &l->days[i - 1];
    if (l->n == LEDGER_DAYS) {
        if (i == 0)
            return NULL;
        memmove(l->days, l->days + 1, --l->n * sizeof l->days[0]);
        i--;
    }
    memmove(l->days + i + 1, l->days + i, (l->n++ - i) * sizeof l->days[0]);
    l->days[i] = (struct ledger_unit){.hour = first, .hours = LEDGER_DAY_HOURS};
    return &l->days[i];
}

void ledger_unit_merge(struct ledger_unit *into, const struct ledger_unit *from)
{
    into->predicted += from->predicted;
    into->judged += from->judged;
    into->wrong += from->wrong;
    for (int i = 0; i < DELAY_BINS; i++)
        into->delays[i] += from->delays[i];
}

static void count(uint32_t *cell, bool is_one, int sign)
{
    if (is_one && (sign > 0 || *cell))
        *cell += (uint32_t)sign;
}

void ledger_unit_label(struct ledger_unit *u, uint64_t delay_s, bool is_judged, bool is_wrong, int sign)
{
    count(&u->delays[delay_bin(delay_s)], true, sign);
    count(&u->judged, is_judged, sign);
    count(&u->wrong, is_judged && is_wrong, sign);
}

uint64_t ledger_unit_age_s(const struct ledger_unit *u, uint64_t wall_ns)
{
    uint64_t end = ((uint64_t)u->hour + u->hours) * HOUR_S, now = wall_ns / NS_PER_S;
    return now > end ? now - end : 0;
}
