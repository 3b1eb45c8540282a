// SPDX-License-Identifier: Apache-2.0
// A gateway's state without the process: a loop whose turns the test counts, and clients that are connected.
// No table, so that nothing can be predicted: what connections do with bytes is what can be looked at.
#pragma once

#include "role/gateway/conn.h"
#include "role/gateway/gateway.h"

extern struct gateway served_gateway;

void served_start(void);
// A new connection; *ret_fd is the client's end, which does not block.
struct conn *served_connect(int *ret_fd);
// One turn of the loop, which waits for nothing.
void served_turn(void);
// What the client can read now, as a text that lives until the next call; at most 4095 bytes.
const char *served_read(int fd);
void served_end(void);
