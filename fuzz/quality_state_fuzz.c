// SPDX-License-Identifier: Apache-2.0
// The snapshot of quality, as it stands on the disk: refused, or counters that can be added up and shown.
#include "fuzz.h"

#include "role/monitor/quality_parts.h"

#include <yyjson.h>

static void use(const struct subject *s)
{
    struct cohort all = {0};
    struct ledger_unit units[QUALITY_UNITS];
    struct delay_curve delays;
    struct score_map map;
    struct estimate estimate;
    struct cohort_metric metrics[COHORT_METRICS_MAX];
    struct buf out;
    struct err e;
    if (cohort_merge(&all, &s->older, &e) == 0)
        for (uint32_t i = 0; i < s->n; i++)
            if (cohort_merge(&all, &s->cohorts[i], &e))
                break;
    unsigned n = quality_units(s, units);
    EXPECT(n <= QUALITY_UNITS);
    quality_delays(units, n, UINT64_C(1790000000000000000), &delays);
    (void)delay_quantile(&delays, 0.5);
    EXPECT(cohort_metrics(&all, metrics) <= COHORT_METRICS_MAX);
    score_map_learn(&map, all.scores);
    (void)cohort_estimate(&all, &map, &estimate);
    buf_init(&out, 1 << 22);
    buf_putc(&out, '{');
    cohort_put(&all, true, NULL, 0, &out);
    buf_putc(&out, '}');
    yyjson_doc *doc = yyjson_read(out.p, out.n, 0);
    EXPECT(doc);
    yyjson_doc_free(doc);
    buf_done(&out);
    cohort_done(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct judge *j = calloc(1, sizeof *j);
    EXPECT(j);
    if (quality_take_snapshot(j, (struct str){(const char *)data, n}))
        for (unsigned i = 0; i < j->n_subjects; i++)
            use(j->subjects[i]);
    quality_forget(j);
    free(j);
    return 0;
}
