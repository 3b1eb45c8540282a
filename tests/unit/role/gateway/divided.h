// SPDX-License-Identifier: Apache-2.0
// A gateway's state without the process: a loop, a table whose one model is divided, and a controller that
// reads what is reported. Deployments 7 and 9 are the baseline and the candidate; they compute nothing.
#pragma once

#include "role/gateway/gateway.h"
#include "role/gateway/table.h"
#include "role/gateway/trial.h"

#define DIVIDED_CANARY(weight) "\"arms\":[{\"name\":\"canary\",\"deployment\":9,\"weight\":" weight "}],"
#define DIVIDED_BY_USER        "\"key\":\"header\",\"key_name\":\"x-user\","

extern struct gateway divided_gateway;

void divided_start(void);
// The table from now on; more: members of the split, ending with a comma. NULL: it is not divided.
void divided_route(const char *more);
// A request; user, arm: its headers, or NULL. Its part, and the deployment that is to answer.
struct trial_part *divided_begin(const char *user, const char *arm, struct deployment **ret);
void divided_turn(void); // 20 ms of the loop
// Waits until what was reported so far, as one text, has `text`.
const char *divided_wait(const char *text);
// Adds up the numbers behind each `"name":` in what was reported.
unsigned divided_sum(const char *name);
void divided_end(void);
