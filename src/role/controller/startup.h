// SPDX-License-Identifier: Apache-2.0
// Bringing back what the registry knows after a start: every version is compiled again, several at once, and
// served as soon as it is ready.
#pragma once

#include "role/controller/controller.h"

// Fills the routing table from the registry and starts compiling. Errors of single versions are theirs alone.
int startup_begin(struct controller *c, struct err *e) ERR_CHECKED;
struct deployment;
// Loads one version that somebody asks for; there is room. Its state says what became of it. ERR_BUSY,
// ERR_NOMEM: it is not there.
int startup_load(struct controller *c, const struct registry_version *v, struct deployment **ret,
                 struct err *e) ERR_CHECKED;
// Drops a deployment, stopping its compilation when it still runs.
void startup_forget(struct controller *c, struct deployment *d);
// Stops all that is not ready yet.
void startup_cancel(struct controller *c);
