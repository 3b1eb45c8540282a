// SPDX-License-Identifier: Apache-2.0
// A request whose answer a process of its own makes (role/look.h), so that what it reads, however much there
// is, holds nobody else up. The answer goes out as it is taken.
#pragma once

#include "role/controller/request.h"

// what: LOOK_AUDIT or LOOK_ROLLOUT; hash: 64 digits, or "". ERR_BUSY while too many are made; ERR_IO,
// ERR_NOMEM. Else the request is answered later.
int look_job_start(struct request *r, const char *what, uint64_t number, const char *hash,
                   struct err *e) ERR_CHECKED;
