// SPDX-License-Identifier: Apache-2.0
// The sandbox on 64-bit Arm, which has no system call of its own that would need a rule.
#include "os/sandbox_parts.h"

#include <linux/audit.h>

const struct sandbox_arch sandbox_arch = {
    .audit = AUDIT_ARCH_AARCH64, // not the calls of 32-bit Arm
    .call_limit = 0x40000000,
    .call_newest = 469,
};

const struct rules sandbox_rules_arch = {NULL, 0};
