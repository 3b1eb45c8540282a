// SPDX-License-Identifier: Apache-2.0
// The supervisor's insurance: the controller holds copies of every descriptor that a new supervisor would
// need, and the newest record of how everything stands. When the supervisor dies, a new one is started and
// gets them.
#pragma once

#include "role/controller/controller.h"

struct supervision_message;

int adoption_open(struct controller *c, struct err *e) ERR_CHECKED;
void adoption_close(struct controller *c);
// KEEP, STATE and BOARD: takes their descriptors out of m.
void adoption_take(struct controller *c, struct supervision_message *m);
