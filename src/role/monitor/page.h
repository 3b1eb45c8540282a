// SPDX-License-Identifier: Apache-2.0
// What the monitor knows, for /metrics: text that the gateways append to their page (role/metrics.h). Each
// part appends its families in page.c; whole families, under names that no other part has.
#pragma once

#include "role/monitor/monitor.h"

struct page;

// ERR_IO, ERR_INVALID, ERR_NOMEM.
int page_open(struct monitor *m, struct err *e) ERR_CHECKED;
void page_close(struct monitor *m);
// Writes it anew. Once a second.
void page_tick(struct monitor *m);
