// SPDX-License-Identifier: Apache-2.0
// Included before all else into every source that names a protocol's number or the size of the counters: the
// program that is linked of them is the real one, but speaks the next protocol with its other processes or
// over its rings, or lays its counters out otherwise.
#pragma once

#include "role/ipc.h"
#include "role/link.h"
#include "role/metrics.h"

// A macro is not expanded within itself: what is left there is the header's own number.
#define IPC_PROTOCOL             (IPC_PROTOCOL + OTHER_IPC)
#define LINK_PROTOCOL            (LINK_PROTOCOL + OTHER_LINK)
#define metrics_segment_bytes(n) (metrics_segment_bytes(n) + OTHER_METRICS)
