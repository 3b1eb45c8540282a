// SPDX-License-Identifier: Apache-2.0
// Completion scripts for shells.
#pragma once

#include "base/buf.h"

#include <stdbool.h>

// Appends the script of "bash", "zsh" or "fish"; false for another shell.
bool completion_put(const char *shell, struct buf *out);
