// SPDX-License-Identifier: Apache-2.0
// Signals as a descriptor for the event loop: no handlers, no interrupted calls.
#pragma once

#include "base/err.h"

#include <signal.h>
#include <stddef.h>

// Blocks the n signals and returns a descriptor that is readable when one of them came. SIGPIPE is ignored as
// well: a broken connection is an error of the write. ERR_IO.
int signals_open(const int *sigs, size_t n, int *ret_fd, struct err *e) ERR_CHECKED;
// The next signal that came, or 0.
int signals_read(int fd);
