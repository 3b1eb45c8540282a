// SPDX-License-Identifier: Apache-2.0
// What other parts of the controller need of models.c.
#pragma once

#include "role/controller/controller.h"

// The version was removed from the registry: nothing routes to it any more.
void models_withdraw(struct controller *c, struct str model, uint32_t version);
