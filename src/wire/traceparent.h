// SPDX-License-Identifier: Apache-2.0
// The header `traceparent` of W3C Trace Context, level 1: which trace a request is part of.
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct traceparent {
    uint8_t trace[16], parent[8]; // never all zero
    bool is_sampled;              // the caller records it
};

// Reads "00-<32 hex>-<16 hex>-<2 hex>", lower case only. Of a later version what version 00 knows is read.
// False for anything else: the request then begins a trace of its own, as the specification asks.
bool traceparent_read(struct str header, struct traceparent *ret);
