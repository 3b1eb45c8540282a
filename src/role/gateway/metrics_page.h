// SPDX-License-Identifier: Apache-2.0
// /metrics in Prometheus' formats, text and protobuf: the counters of all gateways, added up.
#pragma once

#include "role/gateway/gateway.h"

// Appends the page. Labels are model, version, arm and code class only, of the versions that are served now
// or were not long ago: never what a client named. In protobuf when the Accept field of the request prefers
// it; histograms are native ones, too, then. *ret_type: the media type. ERR_NOMEM, ERR_INTERNAL.
int metrics_page_put(struct gateway *g, struct str accept, struct buf *out, struct str *ret_type,
                     struct err *e) ERR_CHECKED;
// After the table was swapped: notes which versions left it and when. They stay on the page for the setting
// metrics_retire.
void metrics_page_routed(struct gateway *g);
