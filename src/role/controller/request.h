// SPDX-License-Identifier: Apache-2.0
// The controller's admin requests (role/request.h); the table of its routes is in routes.c. What they do is
// in blobs.c, models.c, versions.c, aliases.c and audit.c.
#pragma once

#include "role/controller/controller.h"
#include "role/request.h"

// Who asks, for the audit.
struct registry_cause request_cause(const struct request *r);

int blob_put_start(struct request *r, struct err *e);
int blob_put_take(struct request *r, struct str bytes, struct err *e);
int blob_put(struct request *r, struct err *e);
int blob_get(struct request *r, struct err *e);
int models_list(struct request *r, struct err *e);
int model_show(struct request *r, struct err *e);
int model_delete(struct request *r, struct err *e);
int version_show(struct request *r, struct err *e);
int version_delete(struct request *r, struct err *e);
int version_create(struct request *r, struct err *e);
int alias_put(struct request *r, struct err *e);
int alias_delete(struct request *r, struct err *e);
int alias_history(struct request *r, struct err *e);
int alias_rollback(struct request *r, struct err *e);
int aliases_list(struct request *r, struct err *e);
int audit_list(struct request *r, struct err *e);
int audit_verify(struct request *r, struct err *e);
int garbage_collect(struct request *r, struct err *e);
int upgrade_start(struct request *r, struct err *e);
int status_show(struct request *r, struct err *e);
int rollout_start(struct request *r, struct err *e);
int rollout_get(struct request *r, struct err *e);
int rollouts_list(struct request *r, struct err *e);
int rollout_events(struct request *r, struct err *e);
int rollout_act(struct request *r, struct err *e);
int rollout_forecast(struct request *r, struct err *e);
