// SPDX-License-Identifier: Apache-2.0
// What labels say of predictions that a rollout had drawn an arm for: gathered here as they come, and told to
// the controller about once a second (IPC_LABELS, role/ipc.h), which knows the rollouts. What it does not
// take waits. What is lost with this process, with the connection, or because there was too much, which is
// counted, is lost whatever the arm was.
#pragma once

#include "base/buf.h"
#include "monitor/join.h"
#include "role/monitor/monitor.h"

enum { LABEL_NEWS_MAX = 1 << 16 }; // that are kept until they are told

struct label_news;

// ERR_NOMEM.
int label_news_open(struct monitor *m, struct err *e) ERR_CHECKED;
void label_news_close(struct monitor *m);
// A prediction has its first label. Of a request with several rows the first one counts.
void label_news_add(struct label_news *n, const struct join_row *row);
// Appends a message with those from the given one on, and returns the number of the first that it has not.
uint32_t label_news_put(const struct label_news *n, uint32_t from, struct buf *out);
// Sends what the controller takes; the others wait for the next time.
void label_news_tell(struct monitor *m);
// Appends the family slipway_rollout_labels_lost_total.
void label_news_put_metrics(const struct label_news *n, struct buf *out);
