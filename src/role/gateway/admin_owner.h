// SPDX-License-Identifier: Apache-2.0
// Which process answers an admin request: what belongs to the registry and to serving goes to the controller,
// what is watched to the monitor.
#pragma once

#include "base/str.h"

enum admin_owner { ADMIN_CONTROLLER, ADMIN_MONITOR };

// By the path, still percent-encoded.
enum admin_owner admin_owner_of(struct str path);
