// SPDX-License-Identifier: Apache-2.0
// What the controller answers: the table of its routes, and which files hear its connections.
#include "base/clock.h"
#include "role/controller/change.h"
#include "role/controller/gateways.h"
#include "role/controller/request.h"
#include "role/peer.h"

static const struct request_route ROUTES[] = {
    {"PUT", "/api/v1/blobs/{}", REQUEST_BODY_STREAM, blob_put_start, blob_put_take, blob_put},
    {"GET", "/api/v1/blobs/{}", REQUEST_BODY_NONE, NULL, NULL, blob_get},
    {"HEAD", "/api/v1/blobs/{}", REQUEST_BODY_NONE, NULL, NULL, blob_get},
    {"GET", "/api/v1/models", REQUEST_BODY_NONE, NULL, NULL, models_list},
    {"GET", "/api/v1/models/{}", REQUEST_BODY_NONE, NULL, NULL, model_show},
    {"DELETE", "/api/v1/models/{}", REQUEST_BODY_NONE, NULL, NULL, model_delete},
    {"POST", "/api/v1/models/{}/versions", REQUEST_BODY_JSON, NULL, NULL, version_create},
    {"GET", "/api/v1/models/{}/versions/{}", REQUEST_BODY_NONE, NULL, NULL, version_show},
    {"DELETE", "/api/v1/models/{}/versions/{}", REQUEST_BODY_NONE, NULL, NULL, version_delete},
    {"GET", "/api/v1/models/{}/aliases", REQUEST_BODY_NONE, NULL, NULL, aliases_list},
    {"PUT", "/api/v1/models/{}/aliases/{}", REQUEST_BODY_JSON, NULL, NULL, alias_put},
    {"DELETE", "/api/v1/models/{}/aliases/{}", REQUEST_BODY_NONE, NULL, NULL, alias_delete},
    {"GET", "/api/v1/models/{}/history", REQUEST_BODY_NONE, NULL, NULL, alias_history},
    {"GET", "/api/v1/models/{}/aliases/{}/history", REQUEST_BODY_NONE, NULL, NULL, alias_history},
    {"POST", "/api/v1/models/{}/rollback", REQUEST_BODY_JSON, NULL, NULL, alias_rollback},
    {"GET", "/api/v1/audit", REQUEST_BODY_NONE, NULL, NULL, audit_list},
    {"GET", "/api/v1/audit/verify", REQUEST_BODY_NONE, NULL, NULL, audit_verify},
    {"POST", "/api/v1/housekeeping/gc", REQUEST_BODY_JSON, NULL, NULL, garbage_collect},
    {"POST", "/api/v1/rollouts", REQUEST_BODY_JSON, NULL, NULL, rollout_start},
    {"GET", "/api/v1/rollouts", REQUEST_BODY_NONE, NULL, NULL, rollouts_list},
    {"POST", "/api/v1/rollouts:plan", REQUEST_BODY_JSON, NULL, NULL, rollout_forecast},
    {"GET", "/api/v1/rollouts/{}", REQUEST_BODY_NONE, NULL, NULL, rollout_get},
    {"POST", "/api/v1/rollouts/{}", REQUEST_BODY_JSON, NULL, NULL, rollout_act},
    {"GET", "/api/v1/rollouts/{}/events", REQUEST_BODY_NONE, NULL, NULL, rollout_events},
    {"POST", "/api/v1/upgrade", REQUEST_BODY_JSON, NULL, NULL, upgrade_start},
    {"GET", "/api/v1/status", REQUEST_BODY_NONE, NULL, NULL, status_show},
};
enum { N_ROUTES = sizeof ROUTES / sizeof ROUTES[0] };

struct registry_cause request_cause(const struct request *r)
{
    return (struct registry_cause){.actor = STR("anonymous"),
                                   .request_id = str_of(r->request_id),
                                   .wall_ns = clock_wall_ns(),
                                   .reason = str_of(r->reason),
                                   .once = r->is_once ? &r->once : NULL};
}

static void on_ended(void *owner)
{
    controller_drain_step(owner);
}

void controller_peers_init(struct controller *c)
{
    static const struct peers_ops OPS = {.routes = ROUTES,
                                         .n_routes = N_ROUTES,
                                         .hello = gateway_hello,
                                         .message = gateway_message,
                                         .pump = gateway_drained,
                                         .lost = gateway_lost,
                                         .once = change_once,
                                         .ended = on_ended};
    c->peers = (struct peers){
        .loop = c->loop, .log = &c->log, .listen_fd = c->args->control_listen_fd, .ops = &OPS, .owner = c};
}
