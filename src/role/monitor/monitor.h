// SPDX-License-Identifier: Apache-2.0
// The monitor process: takes the records of predictions out of the gateways' rings, makes them durable, and
// hands each to what watches (feed.h). One event loop; answers its own admin requests over run/monitor.sock.
// This header is for the files of this folder; others start it through monitor_main in role/role.h.
#pragma once

#include "base/log.h"
#include "os/loop.h"
#include "os/msg.h"
#include "role/peer.h"
#include "role/role.h"

#include <stdbool.h>
#include <stdint.h>

struct alerts;
struct board;
struct drift;
struct feedback_sealer;
struct served;
struct log_state;
struct models;
struct judge;
struct label_news;
struct page;
struct settings;
struct sinks;
struct traces;

enum { MONITOR_TICK_MS = 1000 };

struct monitor {
    const struct monitor_args *args;
    struct settings *settings;
    const char *data_dir;
    struct loop *loop;
    struct log log;
    const struct board *board;
    struct peers peers; // admin requests (routes.c)
    struct watch signals;
    struct watch says; // the supervisor (supervision.c); fd -1: none
    struct msg_conn supervision;
    struct timer tick;                // once a second: feed_tick
    struct served *served;            // the connection to the controller (served.c)
    struct drift *drift;              // drift_feed.c
    struct models *models;            // what that said (models.c)
    struct alerts *alerts;            // alerts.c
    struct page *page;                // for /metrics (page.c)
    struct traces *traces;            // to a collector (spans.c)
    struct sinks *sinks;              // of the log's lines (sinks.c)
    struct judge *judge;              // labels and what follows from them (quality.c)
    struct feedback_sealer *sealer;   // opens feedback tokens; its keys come with the routes (served.c)
    struct label_news *label_news;    // what rollouts learn of them (label_news.c)
    struct log_state *prediction_log; // log.c
    unsigned n_queries;               // that read the log (log_query.c)
    bool draining;                    // SIGTERM came: ends when all is durable and no request runs
};

// Ends the process once nothing is in progress; called whenever something ended while draining.
void monitor_drain_step(struct monitor *m);
// From now on no request is taken, what the rings have is taken over, then the process ends.
void monitor_drain(struct monitor *m);

// routes.c: who may connect, and what is answered.
void monitor_peers_init(struct monitor *m);
// supervision.c: new settings, a new board; without a supervisor the process ends.
int monitor_hear_supervisor(struct monitor *m, struct err *e) ERR_CHECKED;
void monitor_leave_supervisor(struct monitor *m);
