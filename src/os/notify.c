// SPDX-License-Identifier: Apache-2.0
// NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS and LISTEN_FDNAMES.
#include "os/notify.h"

#include "base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3, TEXT_MAX = 512 };

// The address that NOTIFY_SOCKET names: a path, or with '@' a name in the abstract space.
static bool address(struct sockaddr_un *ret, socklen_t *ret_size)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof ret->sun_path || (path[0] != '/' && path[0] != '@'))
        return false;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, n);
    if (path[0] == '@')
        ret->sun_path[0] = '\0';
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/'));
    return true;
}

static bool send_with(const char *text, int fd)
{
    struct sockaddr_un to;
    socklen_t size;
    if (!address(&to, &size))
        return false;
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return false;
    struct iovec io = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr m = {.msg_name = &to, .msg_namelen = size, .msg_iov = &io, .msg_iovlen = 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {0};
    if (fd >= 0) {
        m.msg_control = control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    bool sent = sendmsg(s, &m, MSG_NOSIGNAL) == (ssize_t)io.iov_len;
    close(s);
    return sent;
}

bool notify_send(const char *text)
{
    return send_with(text, -1);
}

bool notify_store(const char *name, int fd)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s", name);
    return send_with(text, fd);
}

static bool number(const char *variable, uint64_t max, uint64_t *ret)
{
    const char *text = getenv(variable);
    return text && str_to_u64(str_of(text), max, ret);
}

uint64_t notify_watchdog_ns(void)
{
    uint64_t usec, pid;
    if (!number("WATCHDOG_USEC", UINT64_MAX / 1000, &usec))
        return 0;
    if (getenv("WATCHDOG_PID") && (!number("WATCHDOG_PID", INT32_MAX, &pid) || (pid_t)pid != getpid()))
        return 0;
    return usec * 1000 / 2;
}

size_t notify_take(const char *name, int *ret_fds, size_t n)
{
    uint64_t pid, n_fds;
    const char *names = getenv("LISTEN_FDNAMES");
    size_t taken = 0;
    if (!number("LISTEN_PID", INT32_MAX, &pid) || (pid_t)pid != getpid() || !names ||
        !number("LISTEN_FDS", NOTIFY_FDS_MAX, &n_fds))
        return 0;
    struct str rest = str_of(names);
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)n_fds && taken < n; fd++) {
        if (!str_eq(str_split(&rest, ':'), str_of(name)))
            continue;
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            continue;
        ret_fds[taken++] = fd;
    }
    return taken;
}
