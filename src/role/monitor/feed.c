// SPDX-License-Identifier: Apache-2.0
// The order of the parts.
#include "role/monitor/feed.h"

#include "role/monitor/alerts.h"
#include "role/monitor/drift_feed.h"
#include "role/monitor/log.h"
#include "role/monitor/page.h"
#include "role/monitor/quality.h"
#include "role/monitor/sinks.h"
#include "role/monitor/spans.h"

void feed_record(struct monitor *m, const struct record *r)
{
    spans_record(m, r);
    drift_record(m, r);
    quality_record(m, r);
    sinks_record(m, r);
}

void feed_models_changed(struct monitor *m)
{
    log_models_changed(m);
    drift_models_changed(m);
}

void feed_tick(struct monitor *m, uint64_t now_mono_ns)
{
    log_tick(m, now_mono_ns);
    spans_tick(m, now_mono_ns);
    sinks_tick(m, now_mono_ns);
    quality_tick(m, now_mono_ns);
    alerts_tick(m, now_mono_ns);
    page_tick(m);
    drift_tick(m);
}

void feed_stop(struct monitor *m)
{
    log_close(m); // hands on what the rings still have
    if (m->draining)
        sinks_stop(m);
    page_tick(m);
    drift_stop(m);
    alerts_stop(m);
}
