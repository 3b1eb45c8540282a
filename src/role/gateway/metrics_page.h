// SPDX-License-Identifier: Apache-2.0
// /metrics in the Prometheus text format: the counters of all gateways, added up.
#pragma once

#include "role/gateway/gateway.h"

// Appends the page. Labels are model, version, arm and code class only, of the deployments that are served
// now.
void metrics_page_put(struct gateway *g, struct buf *out);
