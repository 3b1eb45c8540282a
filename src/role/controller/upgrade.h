// SPDX-License-Identifier: Apache-2.0
// POST /api/v1/upgrade from the controller's side: it asks the supervisor, watches over the moment in which
// that becomes another program, and answers when the processes are new.
#pragma once

#include "role/controller/controller.h"

struct proc;
struct supervision_message;

// CHANGING and UPGRADED. `handle`: of the supervisor's process.
void upgrade_take(struct controller *c, const struct supervision_message *m, int supervisor_handle);
void upgrade_state_came(struct controller *c); // the supervisor is there
void upgrade_supervisor_lost(struct controller *c);
void upgrade_close(struct controller *c);
