// SPDX-License-Identifier: Apache-2.0
// Where `slipway log` has its lines from: a data directory that it reads itself, or a server that it asks.
#pragma once

#include "cli/args.h"
#include "cli/client.h"
#include "predlog/query.h"

struct log_source {
    const char *data_dir; // NULL: the server
    struct client client;
    const struct args *args;
};

// By --data-dir, or --url. ERR_INVALID.
int log_source_open(struct log_source *s, const struct args *a, struct err *e) ERR_CHECKED;
void log_source_close(struct log_source *s);
// What the flags and the words after the first one restrict a search to. ERR_INVALID.
int log_source_query(const struct args *a, struct predlog_query *ret, struct err *e) ERR_CHECKED;
// Hands the lines that match to on_line; is_last: the last q->limit ones. *ret_last_seq: of the highest line
// met; not changed where none was.
int log_source_lines(struct log_source *s, const struct predlog_query *q, bool is_last,
                     predlog_line_fn *on_line, void *ctx, uint64_t *ret_last_seq, struct err *e) ERR_CHECKED;
