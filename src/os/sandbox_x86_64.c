// SPDX-License-Identifier: Apache-2.0
// The sandbox's rules for system calls that only x86-64 has: older forms that the C library still uses, and
// more ways to harm the machine.
#include "os/sandbox_parts.h"

#include <linux/audit.h>
#include <sys/syscall.h>

#define ALLOW(name)                                                                                          \
    {                                                                                                        \
        .nr = SYS_##name                                                                                     \
    }
#define KILL(name)                                                                                           \
    {                                                                                                        \
        .nr = SYS_##name, .otherwise = RULE_KILL                                                             \
    }

const struct sandbox_arch sandbox_arch = {
    .audit = AUDIT_ARCH_X86_64, // not i386, by int 0x80
    .call_limit = 0x40000000,   // not x32
    .call_newest = 469,
};

static const struct rule rules[] = {
    ALLOW(poll),      ALLOW(select), ALLOW(epoll_create), ALLOW(epoll_wait), ALLOW(eventfd),
    ALLOW(dup2),      ALLOW(time),   ALLOW(getrlimit),    KILL(ioperm),      KILL(iopl),
    KILL(modify_ldt), KILL(uselib),  KILL(create_module),
};
const struct rules sandbox_rules_arch = {rules, sizeof rules / sizeof rules[0]};
