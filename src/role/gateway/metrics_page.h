// SPDX-License-Identifier: Apache-2.0
// /metrics in the Prometheus text format: the counters of all gateways, added up.
#pragma once

#include "role/gateway/gateway.h"

// Appends the page. Labels are model, version, arm and code class only, of the versions that are served now
// or were not long ago: never what a client named.
void metrics_page_put(struct gateway *g, struct buf *out);
// After the table was swapped: notes which versions left it and when. They stay on the page for the setting
// metrics_retire.
void metrics_page_routed(struct gateway *g);
