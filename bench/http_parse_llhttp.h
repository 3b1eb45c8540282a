// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Time for llhttp to read the head `rounds` times, with or without callbacks that gather its fields; 0 when
// it refuses the head.
uint64_t llhttp_ns(const char *head, size_t n, unsigned rounds, bool gather);
