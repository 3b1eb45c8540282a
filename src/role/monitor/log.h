// SPDX-License-Identifier: Apache-2.0
// The prediction log in the monitor: rings of the gateways, what is committed, what was dropped.
#pragma once

#include "role/monitor/monitor.h"
