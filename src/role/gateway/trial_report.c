// SPDX-License-Identifier: Apache-2.0
// What a gateway counted of a rollout, as a message to the controller (IPC_COHORTS, role/ipc.h).
#include "role/gateway/trial_parts.h"

#include "role/gateway/control.h"
#include "role/ipc.h"

#include <string.h>

enum { REPORT_MAX = 12 << 20 }; // bytes of a message

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

static void put_events(const struct cohort_tick *k, uint32_t from, uint32_t n, struct buf *out)
{
    for (uint32_t i = 0; i < n; i++)
        buf_printf(out, "%s[%llu,%llu]", i ? "," : "", (unsigned long long)k->events[from + i][ARM_CANARY],
                   (unsigned long long)k->events[from + i][ARM_STABLE]);
}

static void put_mark(const struct cohort_mark *m, const char *comma, struct buf *out)
{
    buf_printf(out, "%s[%llu,%u,%u]", comma, (unsigned long long)m->entity, m->arm, m->events);
}

// Without its end: marks may follow.
static void put_tick(const struct trial *t, const struct cohort_tick *k, uint32_t arm, struct buf *out)
{
    buf_printf(out, "{\"opened_ns\":%llu,\"weight\":%u,\"arm\":%u,\"requests\":[%llu,%llu],\"events\":[",
               (unsigned long long)k->opened_ns, k->weight, arm, (unsigned long long)k->requests[ARM_CANARY],
               (unsigned long long)k->requests[ARM_STABLE]);
    put_events(k, 0, t->n_guards, out);
    if (t->scores.n_cuts) {
        buf_puts(out, "],\"ranges\":[");
        put_events(k, GUARDS_MAX, SCORE_RANGES, out);
    }
    buf_puts(out, "],\"firsts\":[");
}

static void put_marks(struct cohorts *c, struct buf *out)
{
    const char *comma = "";
    struct cohort_mark m;
    while (cohorts_take_mark(c, &m)) {
        put_mark(&m, comma, out);
        comma = ",";
    }
    buf_puts(out, "]}");
}

static void put_pair_marks(const struct trial *t, struct buf *out)
{
    for (uint32_t i = 0; i < t->n_pair_marks; i++)
        put_mark(&t->pair_marks[i], i ? "," : "", out);
    buf_puts(out, "]}");
}

static bool is_counted(const struct trial *t)
{
    bool all = true;
    for (uint32_t a = 0; a < t->n_arms; a++)
        all = all && cohorts_is_empty(t->cohorts[a]);
    return all;
}

// All that can be counted; returns the time before which that is everything.
static uint64_t put_ticks(struct trial *t, uint64_t now, struct buf *out)
{
    uint64_t closed = now - now % (TRIAL_COHORT_NS);
    const char *comma = "";
    struct cohort_tick tick;
    buf_puts(out, ",\"ticks\":[");
    for (uint32_t a = 0; a < t->n_arms; a++) {
        while (cohorts_close(t->cohorts[a], now, &tick)) {
            buf_puts(out, comma);
            put_tick(t, &tick, a, out);
            put_marks(t->cohorts[a], out);
            comma = ",";
        }
        uint64_t until = cohorts_closed_until(t->cohorts[a], now);
        closed = until < closed ? until : closed;
    }
    if (t->pair_tick.requests[ARM_CANARY]) {
        t->pair_tick.opened_ns = closed; // it is for this second's end what is known by now
        t->pair_tick.weight = WEIGHT_ONE / 2;
        buf_puts(out, comma);
        put_tick(t, &t->pair_tick, 0, out);
        put_pair_marks(t, out);
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
    t->n_sample = 0;
    for (uint32_t a = 0; a < t->n_arms; a++)
        t->assigned[a].n_rows = t->drawn[a].n_rows = 0;
    memset(&t->stable, 0, sizeof t->stable);
    if (t->pairs.n || t->pairs.dropped)
        memset(&t->pairs, 0, sizeof t->pairs);
    memset(&t->pair_tick, 0, sizeof t->pair_tick);
    t->n_pair_marks = 0;
    if (t->segments)
        segments_clear(t->segments);
    t->overridden = t->fallbacks = 0;
}

bool trial_report(struct trial *t, uint64_t now)
{
    struct buf out;
    trial_settle(t);
    buf_init(&out, REPORT_MAX);
    buf_printf(&out, "{\"rollout\":%llu,\"epoch\":%u", (unsigned long long)t->rollout, t->epoch);
    uint64_t closed = put_ticks(t, now, &out);
    bool ended = !t->split && t->n_parts == 0 && is_counted(t);
    buf_printf(&out, ",\"closed_until_ns\":%llu,\"ended\":%s", (unsigned long long)closed,
               ended ? "true" : "false");
    put_counts(t->assigned, t->n_arms, "assigned", &out);
    put_counts(t->drawn, t->n_arms, "drawn", &out);
    put_hist(&t->stable, &out);
    if (t->n_sample)
        buf_put_json_numbers(&out, "scores", t->sample, t->n_sample);
    if (t->pairs.n || t->pairs.dropped) {
        buf_puts(&out, ",\"pairs\":");
        pairs_encode(&t->pairs, &out);
        if (t->segments) {
            buf_puts(&out, ",\"segments\":");
            segments_encode(t->segments, &out);
        }
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
