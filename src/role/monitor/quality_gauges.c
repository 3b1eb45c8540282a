// SPDX-License-Identifier: Apache-2.0
// Quality in /metrics. A family's series stand together, so that there are two texts, put one after the
// other.
#include "base/clock.h"
#include "role/monitor/quality_parts.h"

#include <math.h>

#define NS_PER_HOUR UINT64_C(3600000000000)
enum { HOURS = 24 };

static void put_gauge(struct buf *out, const struct version *v, const struct subject *s,
                      const struct cohort_metric *metric, const char *bound, double value)
{
    if (!isfinite(value))
        return;
    buf_printf(out,
               "slipway_quality{model=\"%s\",version=\"%u\",arm=\"%s\",metric=\"%s\",bound=\"%s\"} %.9g\n",
               v->model, v->version, s->arm ? "canary" : "stable", metric->name, bound, value);
}

static void put_subject(const struct version *v, const struct subject *s, struct buf *coverage,
                        struct buf *quality)
{
    struct err ignored; // without memory it shows less
    struct cohort_metric list[COHORT_METRICS_MAX];
    struct cohort sum = {0};
    int64_t first = (int64_t)(clock_wall_ns() / NS_PER_HOUR) - HOURS + 1;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->cohorts[i].hour >= first && cohort_merge(&sum, &s->cohorts[i], &ignored))
            break;
    unsigned n = sum.labelled ? cohort_metrics(&sum, list) : 0;
    if (sum.predicted)
        buf_printf(coverage, "slipway_label_coverage_ratio{model=\"%s\",version=\"%u\",arm=\"%s\"} %.9g\n",
                   v->model, v->version, s->arm ? "canary" : "stable",
                   fmin(1, (double)sum.labelled / (double)sum.predicted));
    for (unsigned i = 0; i < n; i++) {
        put_gauge(quality, v, s, &list[i], "value", list[i].value);
        put_gauge(quality, v, s, &list[i], "low", list[i].low);
        put_gauge(quality, v, s, &list[i], "high", list[i].high);
    }
    cohort_done(&sum);
}

void quality_make_gauges(struct monitor *m)
{
    struct judge *j = m->judge;
    struct buf quality;
    unsigned left = QUALITY_GAUGES;
    buf_init(&quality, j->gauges.max);
    buf_clear(&j->gauges);
    buf_puts(&j->gauges,
             "# HELP slipway_label_coverage_ratio Labelled part of the predictions of the last 24 "
             "hours.\n# TYPE slipway_label_coverage_ratio gauge\n");
    buf_puts(&quality, "# HELP slipway_quality Metrics of labelled predictions of the last 24 hours, with "
                       "bounds of 95 %.\n# TYPE slipway_quality gauge\n");
    for (unsigned i = 0; i < j->n_subjects && left; i++) {
        const struct version *v = quality_version(m->models, j->subjects[i]->deployment);
        if (!v || !v->is_served)
            continue;
        put_subject(v, j->subjects[i], &j->gauges, &quality);
        left--;
    }
    buf_put_str(&j->gauges, buf_str(&quality));
    buf_done(&quality);
}

void quality_put_metrics(const struct monitor *m, struct buf *out)
{
    if (m->judge && !m->judge->gauges.failed)
        buf_put_str(out, buf_str(&m->judge->gauges));
    if (m->label_news)
        label_news_put_metrics(m->label_news, out);
}
