// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/models/M/quality. A cohort is mature when nine tenths of the labels that it will have, as far
// as the delays of this version's labels tell, have had the time to come.
#include "base/clock.h"
#include "base/limits.h"
#include "role/monitor/outcome.h"
#include "role/monitor/quality_parts.h"
#include "role/monitor/routes.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_HOUR UINT64_C(3600000000000)
enum { NS_PER_S = 1000000000, ANSWER_BYTES = 64 << 20 };

// The share of all labels that came within so many seconds.
static double share_within(const struct cohort *all, uint64_t seconds)
{
    uint64_t within = 0, n = 0;
    for (int i = 0; i < COHORT_DELAYS; i++) {
        n += all->delays[i];
        within += i < COHORT_DELAYS - 1 && (UINT64_C(1) << i) <= seconds ? all->delays[i] : 0;
    }
    return n ? (double)within / (double)n : 0;
}

static bool is_mature(const struct cohort *all, int64_t hour, uint64_t now)
{
    uint64_t end = ((uint64_t)hour + 1) * NS_PER_HOUR;
    return now > end && share_within(all, (now - end) / NS_PER_S) >= 0.9;
}

static void put_cohort(const struct cohort *c, const struct cohort *all, uint64_t now, struct buf *out)
{
    char from[CLOCK_RFC3339_SIZE];
    clock_rfc3339((uint64_t)c->hour * NS_PER_HOUR, from);
    buf_printf(out, "{\"from\":\"%s\",\"mature\":%s,", from, is_mature(all, c->hour, now) ? "true" : "false");
    cohort_put(c, false, NULL, 0, out);
    buf_putc(out, '}');
}

static int put_subject(const struct subject *s, const struct version *v, uint64_t hours, struct buf *out,
                       struct err *e)
{
    uint64_t now = clock_wall_ns();
    int64_t first = hours ? (int64_t)(now / NS_PER_HOUR) - (int64_t)hours + 1 : INT64_MIN;
    struct cohort total = {0};
    const struct str *names;
    uint32_t n_names = outcome_names(v, &names), n = 0;
    int rc = hours ? 0 : cohort_merge(&total, &s->older, e);
    for (uint32_t i = 0; !rc && i < s->n; i++)
        if (s->cohorts[i].hour >= first)
            rc = cohort_merge(&total, &s->cohorts[i], e);
    buf_printf(out, "{\"version\":%u,\"arm\":\"%s\",", v->version, s->arm ? "canary" : "stable");
    cohort_put(&total, true, names, n_names, out);
    buf_puts(out, ",\"cohorts\":[");
    for (uint32_t i = 0; !rc && i < s->n; i++) {
        if (s->cohorts[i].hour < first)
            continue;
        buf_puts(out, n++ ? "," : "");
        put_cohort(&s->cohorts[i], &total, now, out);
    }
    buf_puts(out, "]}");
    cohort_done(&total);
    return rc;
}

static void put_join(const struct judge *j, struct buf *out)
{
    struct join_counts n, left;
    struct late_counts late;
    late_count(j->late, &late);
    join_count(j->join, &n);
    join_count(j->labelled, &left);
    size_t counters = 0;
    for (unsigned i = 0; i < j->n_subjects; i++) {
        counters += sizeof *j->subjects[i];
        for (uint32_t k = 0; k < j->subjects[i]->n; k++) {
            const struct cohort *c = &j->subjects[i]->cohorts[k];
            counters += c->binary ? sizeof *c->binary : 0;
            counters += c->sizes ? COHORT_SIZES * sizeof *c->sizes : 0;
            counters += c->classes.pairs ? (size_t)c->classes.n * c->classes.n * sizeof *c->classes.pairs : 0;
        }
    }
    buf_printf(
        out,
        "\"join\":{\"rows\":%llu,\"capacity\":%llu,\"bytes\":%llu,\"counter_bytes\":%zu,\"labelled\":%llu,"
        "\"waiting\":%llu,\"forgotten_predictions\":%llu,\"forgotten_labels\":%llu,\"unusable_labels\":%"
        "llu,\"unreadable_rows\":%llu,\"damaged_entries\":%llu,\"looked_for_in_log\":%llu,\"found_in_log\":%"
        "llu}",
        (unsigned long long)n.rows, (unsigned long long)n.capacity,
        (unsigned long long)(n.bytes + left.bytes + odds_bytes(j->odds)), counters,
        (unsigned long long)(n.judged + left.judged), (unsigned long long)n.waiting,
        (unsigned long long)n.evicted_predictions, (unsigned long long)n.evicted_labels,
        (unsigned long long)j->unusable, (unsigned long long)j->unreadable, (unsigned long long)j->damaged,
        (unsigned long long)late.looked, (unsigned long long)late.found);
}

int quality_put(const struct monitor *m, const struct quality_query *q, struct buf *out, struct err *e)
{
    const struct judge *j = m->judge;
    int rc = 0;
    bool first = true;
    buf_puts(out, "{\"model\":");
    buf_put_json_str(out, q->model);
    buf_puts(out, ",\"versions\":[");
    for (unsigned i = 0; !rc && i < j->n_subjects; i++) {
        const struct version *v = quality_version(m->models, j->subjects[i]->deployment);
        if (!v || !str_eq(q->model, str_of(v->model)) || (q->only && v != q->only))
            continue;
        buf_puts(out, first ? "" : ",");
        first = false;
        rc = put_subject(j->subjects[i], v, q->hours, out, e);
    }
    buf_puts(out, "],");
    put_join(j, out);
    buf_putc(out, '}');
    return rc;
}

// "24h", "7d"; 0 where it is neither.
static uint64_t hours_of(struct str text)
{
    uint64_t n;
    if (text.n < 2 || !str_to_u64((struct str){text.p, text.n - 1}, 100000, &n))
        return 0;
    char unit = text.p[text.n - 1];
    return unit == 'h' ? n : unit == 'd' ? 24 * n : 0;
}

int quality_show(struct request *r, struct err *e)
{
    char selector[LIMIT_ALIAS_BYTES + 1] = "", window[16] = "";
    struct request_param params[] = {{"version", .text = selector, .size = sizeof selector},
                                     {"window", .text = window, .size = sizeof window}};
    struct version *v = NULL;
    struct quality_query q = {.model = r->args[0]};
    int rc = request_params(r, params, 2, e);
    if (rc)
        return rc;
    q.hours = hours_of(str_of(window));
    if (*window && !q.hours)
        return err_set(e, ERR_INVALID, "query parameter 'window' must be a time as 24h or 7d");
    rc = models_find(r->m->models, r->args[0], str_of(selector), &v, e);
    if (rc && !(rc == ERR_UNKNOWN_VERSION && !*selector)) // none may be the default
        return rc;
    q.only = *selector ? v : NULL;
    rc = quality_put(r->m, &q, &r->out, e);
    if (rc)
        buf_clear(&r->out);
    else
        request_answer(r, 200, "application/json");
    return rc;
}
