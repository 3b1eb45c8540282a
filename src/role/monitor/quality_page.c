// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/models/M/quality. A cohort is mature when nine tenths of the labels that it will have, as far
// as the delays of this version's labels tell (monitor/delay.h), have had the time to come.
#include "base/clock.h"
#include "base/limits.h"
#include "role/monitor/outcome.h"
#include "role/monitor/quality_parts.h"
#include "role/monitor/routes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_HOUR UINT64_C(3600000000000)
enum { ANSWER_BYTES = 64 << 20 };

// What is known of a version in an arm whatever part of it is asked for.
struct known {
    uint64_t now;
    struct delay_curve delays;
    struct score_map map;
};

static int know(const struct subject *s, struct known *ret, struct err *e)
{
    struct ledger_unit units[QUALITY_UNITS];
    struct cohort all = {0};
    ret->now = clock_wall_ns();
    quality_delays(units, quality_units(s, units), ret->now, &ret->delays);
    int rc = cohort_merge(&all, &s->older, e);
    for (uint32_t i = 0; !rc && i < s->n; i++)
        rc = cohort_merge(&all, &s->cohorts[i], e);
    score_map_learn(&ret->map, all.scores);
    cohort_done(&all);
    return rc;
}

static void put_delay(const struct delay_curve *d, struct buf *out)
{
    uint64_t mature_s = delay_maturity_s(d);
    buf_puts(out, ",\"label_delay\":{\"known\":");
    buf_puts(out, d->n ? "true" : "false");
    buf_put_json_number(out, "p50_s", delay_quantile(d, 0.5));
    buf_put_json_number(out, "p90_s", delay_quantile(d, 0.9));
    buf_put_json_number(out, "final_coverage", delay_final(d));
    buf_put_json_number(out, "mature_after_s", mature_s < UINT64_MAX ? (double)mature_s : nan(""));
    buf_putc(out, '}');
}

static void put_estimate(const struct cohort *c, const struct score_map *map, struct buf *out)
{
    struct estimate x;
    if (!cohort_estimate(c, map, &x))
        return;
    buf_printf(out, ",\"estimate\":{\"assumes\":\"covariate shift only\",\"rows\":%llu,\"learned_from\":%llu",
               (unsigned long long)x.rows, (unsigned long long)map->labels);
    buf_put_json_number(out, "accuracy", x.accuracy);
    buf_put_json_number(out, "low", x.low);
    buf_put_json_number(out, "high", x.high);
    buf_put_json_number(out, "precision", x.precision);
    buf_put_json_number(out, "recall", x.recall);
    buf_put_json_number(out, "f1", x.f1);
    buf_put_json_number(out, "auc", x.auc);
    buf_putc(out, '}');
}

static void put_cohort(const struct cohort *c, const struct known *k, struct buf *out)
{
    char from[CLOCK_RFC3339_SIZE];
    struct ledger_unit u;
    cohort_unit(c, &u);
    uint64_t age_s = ledger_unit_age_s(&u, k->now);
    clock_rfc3339((uint64_t)c->hour * NS_PER_HOUR, from);
    buf_printf(out, "{\"from\":\"%s\",\"mature\":%s", from,
               age_s >= delay_maturity_s(&k->delays) ? "true" : "false");
    buf_put_json_number(out, "expected_labels", (double)c->predicted * delay_final(&k->delays));
    buf_put_json_number(out, "expected_share", delay_share(&k->delays, age_s));
    buf_putc(out, ',');
    cohort_put(c, false, NULL, 0, out);
    put_estimate(c, &k->map, out);
    buf_putc(out, '}');
}

static int put_subject(const struct judge *j, const struct subject *s, const struct version *v,
                       uint64_t hours, struct buf *out, struct err *e)
{
    struct known known;
    struct cohort total = {0};
    const struct str *names;
    uint32_t n_names = outcome_names(v, &names), n = 0;
    int rc = know(s, &known, e);
    int64_t first = hours ? (int64_t)(known.now / NS_PER_HOUR) - (int64_t)hours + 1 : INT64_MIN;
    if (!rc && !hours)
        rc = cohort_merge(&total, &s->older, e);
    for (uint32_t i = 0; !rc && i < s->n; i++)
        if (s->cohorts[i].hour >= first)
            rc = cohort_merge(&total, &s->cohorts[i], e);
    buf_printf(out, "{\"version\":%u,\"arm\":\"%s\",", v->version, s->arm ? "canary" : "stable");
    cohort_put(&total, true, names, n_names, out);
    put_delay(&known.delays, out);
    put_estimate(&total, &known.map, out);
    buf_puts(out, ",\"changes\":");
    quality_changes_put(j, s, out);
    buf_puts(out, ",\"cohorts\":[");
    for (uint32_t i = 0; !rc && i < s->n; i++) {
        if (s->cohorts[i].hour < first)
            continue;
        buf_puts(out, n++ ? "," : "");
        put_cohort(&s->cohorts[i], &known, out);
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
    size_t counters = quality_changes_bytes(j);
    for (unsigned i = 0; i < j->n_subjects; i++) {
        const struct subject *s = j->subjects[i];
        counters += sizeof *s + cohort_bytes(&s->older) + (s->days ? sizeof *s->days : 0);
        for (uint32_t k = 0; k < s->n; k++)
            counters += cohort_bytes(&s->cohorts[k]);
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
        rc = put_subject(j, j->subjects[i], v, q->hours, out, e);
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
