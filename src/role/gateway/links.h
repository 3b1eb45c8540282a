// SPDX-License-Identifier: Apache-2.0
// The gateway's end of the supervision socket: the supervisor introduces replicas over it.
#pragma once

#include "role/gateway/gateway.h"

// Listens on the gateway's supervision descriptor, which it owns; -1 is fine: there are no replicas then.
// ERR_NOMEM, ERR_IO.
int links_start(struct gateway *g, int fd, struct err *e) ERR_CHECKED;
void links_free(struct gateway *g);
// Tells the supervisor that a replica broke the protocol, or answers nothing: it is replaced.
void links_distrust(struct gateway *g, uint64_t deployment, uint32_t replica, const char *why);
