// SPDX-License-Identifier: Apache-2.0
// The order of the parts.
#include "role/monitor/feed.h"

void feed_record(struct monitor *m, const struct record *r)
{
    (void)m;
    (void)r;
}

void feed_models_changed(struct monitor *m)
{
    (void)m;
}

void feed_tick(struct monitor *m, uint64_t now_mono_ns)
{
    (void)m;
    (void)now_mono_ns;
}

void feed_stop(struct monitor *m)
{
    (void)m;
}
