// SPDX-License-Identifier: Apache-2.0
// The one table of routes: method, path, who may call it, what answers. The gate and the documentation are
// generated from it; a row without a rule does not compile.
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "wire/http1.h"

// Who may call a route.
enum route_rule {
    RULE_PUBLIC = 1, // anyone who reaches the port: health
    RULE_PREDICT,    // callers of models
    RULE_READ,       // descriptions of models, metrics
    RULE_ADMIN,      // changes: forwarded to the controller
};

// What answers, in role/gateway.
enum route_handler {
    ROUTE_V1_PREDICT = 1,
    ROUTE_V2_INFER,
    ROUTE_V1_MODELS,
    ROUTE_V1_MODEL,
    ROUTE_V2_SERVER,
    ROUTE_V2_MODELS,
    ROUTE_V2_MODEL,
    ROUTE_V2_MODEL_READY,
    ROUTE_LIVE,
    ROUTE_READY,
    ROUTE_METRICS,
    ROUTE_ADMIN,
    ROUTE_INDEX,
};

//        method  path                                        rule          handler               summary
// {model} and {version} take one path segment up to '/' or ':'; a final * takes the rest.
#define ROUTES(ROUTE)                                                                                        \
    ROUTE(POST, "/v1/models/{model}:predict", RULE_PREDICT, ROUTE_V1_PREDICT,                                \
          "Predict (KServe V1, TF Serving)")                                                                 \
    ROUTE(POST, "/v2/models/{model}/infer", RULE_PREDICT, ROUTE_V2_INFER,                                    \
          "Predict (Open Inference Protocol V2)")                                                            \
    ROUTE(POST, "/v1/models/{model}/versions/{version}:predict", RULE_PREDICT, ROUTE_V1_PREDICT,             \
          "Predict with one version or alias")                                                               \
    ROUTE(POST, "/v1/models/{model}/labels/{version}:predict", RULE_PREDICT, ROUTE_V1_PREDICT,               \
          "Predict with an alias (TF Serving)")                                                              \
    ROUTE(POST, "/v2/models/{model}/versions/{version}/infer", RULE_PREDICT, ROUTE_V2_INFER,                 \
          "Predict with one version or alias")                                                               \
    ROUTE(GET, "/v1/models", RULE_READ, ROUTE_V1_MODELS, "List models")                                      \
    ROUTE(GET, "/v1/models/{model}", RULE_READ, ROUTE_V1_MODEL, "Status of a model")                         \
    ROUTE(GET, "/v1/models/{model}/versions/{version}", RULE_READ, ROUTE_V1_MODEL, "Status of a version")    \
    ROUTE(GET, "/v1/models/{model}/labels/{version}", RULE_READ, ROUTE_V1_MODEL,                             \
          "Status of an alias (TF Serving)")                                                                 \
    ROUTE(GET, "/v2", RULE_READ, ROUTE_V2_SERVER, "Server metadata")                                         \
    ROUTE(GET, "/v2/", RULE_READ, ROUTE_V2_SERVER, "Server metadata")                                        \
    ROUTE(GET, "/v2/health/live", RULE_PUBLIC, ROUTE_LIVE, "Is the process up?")                             \
    ROUTE(GET, "/v2/health/ready", RULE_PUBLIC, ROUTE_READY, "Are the models loaded?")                       \
    ROUTE(GET, "/live", RULE_PUBLIC, ROUTE_LIVE, "The same, short")                                          \
    ROUTE(GET, "/ready", RULE_PUBLIC, ROUTE_READY, "The same, short")                                        \
    ROUTE(GET, "/v2/models", RULE_READ, ROUTE_V2_MODELS, "List models")                                      \
    ROUTE(GET, "/v2/models/{model}", RULE_READ, ROUTE_V2_MODEL, "Metadata of a model")                       \
    ROUTE(GET, "/v2/models/{model}/ready", RULE_READ, ROUTE_V2_MODEL_READY, "Is the model ready?")           \
    ROUTE(GET, "/v2/models/{model}/versions/{version}", RULE_READ, ROUTE_V2_MODEL, "Metadata of a version")  \
    ROUTE(GET, "/v2/models/{model}/versions/{version}/ready", RULE_READ, ROUTE_V2_MODEL_READY,               \
          "Is the version ready?")                                                                           \
    ROUTE(GET, "/metrics", RULE_READ, ROUTE_METRICS, "Prometheus metrics")                                   \
    ROUTE(GET, "/", RULE_PUBLIC, ROUTE_INDEX, "What this is")                                                \
    ROUTE(GET, "/api/v1/*", RULE_ADMIN, ROUTE_ADMIN, "Registry: read")                                       \
    ROUTE(HEAD, "/api/v1/*", RULE_ADMIN, ROUTE_ADMIN, "Registry: does it exist?")                            \
    ROUTE(POST, "/api/v1/*", RULE_ADMIN, ROUTE_ADMIN, "Registry: create")                                    \
    ROUTE(PUT, "/api/v1/*", RULE_ADMIN, ROUTE_ADMIN, "Registry: upload, set")                                \
    ROUTE(DELETE, "/api/v1/*", RULE_ADMIN, ROUTE_ADMIN, "Registry: delete")

struct route {
    enum http_method method;
    struct str pattern;
    enum route_rule rule;
    enum route_handler handler;
    const char *summary;
};

// What a path matched, with the captured segments (still percent-encoded, borrowed from the path).
struct route_match {
    const struct route *route;
    struct str model, version; // empty when the pattern has none
};

// Finds the route. ERR_NO_ROUTE (with the nearest path as a hint), ERR_METHOD when only the method is wrong;
// the hint then names the methods that would be right. HEAD matches the GET route where it has none of its
// own.
int route_find(enum http_method method, struct str path, struct route_match *ret, struct err *e) ERR_CHECKED;
enum { ROUTE_METHODS_SIZE = 64 };
// The methods a path is answered for, as the Allow field has them: "GET, HEAD"; empty for an unknown path.
void route_methods(struct str path, char ret[ROUTE_METHODS_SIZE]);
// All rows, for documentation.
const struct route *route_all(size_t *ret_n);
