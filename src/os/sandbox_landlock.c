// SPDX-License-Identifier: Apache-2.0
// Landlock: a ruleset that handles every right the kernel knows and grants none. Structures and numbers are
// written out here, because the headers of the oldest distribution we build on know only its first version.
#include "os/sandbox_parts.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SYS_RULESET = 444, SYS_RESTRICT_SELF = 446, GET_VERSION = 1 };

// struct landlock_ruleset_attr; an older kernel takes a longer structure whose end is zero.
struct ruleset {
    uint64_t fs, net, scoped;
};

// Each version's rights, the versions before it included. LANDLOCK_ACCESS_FS_*: 13 of version 1, then REFER,
// TRUNCATE, IOCTL_DEV, RESOLVE_UNIX; LANDLOCK_ACCESS_NET_*: bind, connect; LANDLOCK_SCOPE_*: abstract Unix
// sockets, signals.
static const struct {
    int abi;
    struct ruleset handled;
} versions[] = {
    {9, {0x1ffff, 3, 3}}, {6, {0xffff, 3, 3}}, {5, {0xffff, 3, 0}}, {4, {0x7fff, 3, 0}},
    {3, {0x7fff, 0, 0}},  {2, {0x3fff, 0, 0}}, {1, {0x1fff, 0, 0}},
};

bool sandbox_landlock_scopes_signals(int abi)
{
    return abi >= 6;
}

static const char *why_none(int errno_value)
{
    switch (errno_value) {
    case ENOSYS:
        return "the kernel has no Landlock";
    case EOPNOTSUPP:
        return "Landlock is off in this kernel";
    default: // a container's filter, as a rule
        return "Landlock is refused here";
    }
}

int sandbox_landlock(int *ret_abi, const char **ret_why, struct err *e)
{
    long abi = syscall(SYS_RULESET, NULL, 0, GET_VERSION);
    *ret_abi = 0;
    if (abi < 1) {
        *ret_why = why_none(errno);
        return 0;
    }
    int fd = -1;
    errno = EINVAL;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0] && fd < 0 && errno == EINVAL; i++)
        if (abi >= versions[i].abi)
            fd = (int)syscall(SYS_RULESET, &versions[i].handled, sizeof versions[i].handled, 0);
    if (fd < 0)
        return err_errno(e, errno, "make a Landlock ruleset");
    int rc = syscall(SYS_RESTRICT_SELF, fd, 0) < 0 ? err_errno(e, errno, "enter Landlock") : 0;
    close(fd);
    if (!rc)
        *ret_abi = (int)abi;
    return rc;
}
