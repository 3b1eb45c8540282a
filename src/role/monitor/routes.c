// SPDX-License-Identifier: Apache-2.0
// What the monitor answers: the table of its routes. The gateway's list of what goes here is in
// role/gateway/admin_owner.c.
#include "role/monitor/routes.h"

#include "role/monitor/log.h"

static const struct request_route ROUTES[] = {
    {"GET", "/api/v1/log", REQUEST_BODY_NONE, NULL, NULL, log_lines},
    {"GET", "/api/v1/log/status", REQUEST_BODY_NONE, NULL, NULL, log_status},
    {"GET", "/api/v1/log/manifest", REQUEST_BODY_NONE, NULL, NULL, log_manifest},
    {"GET", "/api/v1/log/verify", REQUEST_BODY_NONE, NULL, NULL, log_verify},
    {"GET", "/api/v1/alerts", REQUEST_BODY_NONE, NULL, NULL, alerts_show},
    {"GET", "/api/v1/models/{}/drift", REQUEST_BODY_NONE, NULL, NULL, drift_show},
    {"PUT", "/api/v1/models/{}/baseline", REQUEST_BODY_JSON, NULL, NULL, baseline_put},
    {"POST", "/api/v1/feedback", REQUEST_BODY_JSON, NULL, NULL, feedback_take},
    {"GET", "/api/v1/models/{}/quality", REQUEST_BODY_NONE, NULL, NULL, quality_show},
};
enum { N_ROUTES = sizeof ROUTES / sizeof ROUTES[0] };

static void on_ended(void *owner)
{
    monitor_drain_step(owner);
}

static void on_sent(struct peer *p)
{
    (void)p; // what gateways are told waits for nothing
}

void monitor_peers_init(struct monitor *m)
{
    static const struct peers_ops OPS = {.routes = ROUTES,
                                         .n_routes = N_ROUTES,
                                         .hello = log_gateway_hello,
                                         .message = log_gateway_message,
                                         .pump = on_sent,
                                         .lost = log_gateway_lost,
                                         .ended = on_ended};
    m->peers = (struct peers){
        .loop = m->loop, .log = &m->log, .listen_fd = m->args->listen_fd, .ops = &OPS, .owner = m};
}
