// SPDX-License-Identifier: Apache-2.0
// Listening sockets and Unix connections.
#include "os/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096 }; // the kernel lowers it to net.core.somaxconn

// The two kinds of address that there are.
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage all;
};

void sock_address_format(const struct sockaddr_storage *a, char ret[SOCK_ADDRESS_SIZE])
{
    const union address u = {.all = *a};
    char ip[INET6_ADDRSTRLEN] = "";
    if (a->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &u.v6.sin6_addr, ip, sizeof ip);
        snprintf(ret, SOCK_ADDRESS_SIZE, "[%s]:%u", ip, ntohs(u.v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &u.v4.sin_addr, ip, sizeof ip);
        snprintf(ret, SOCK_ADDRESS_SIZE, "%s:%u", ip, ntohs(u.v4.sin_port));
    }
}

void sock_address_url(const struct sockaddr_storage *a, char ret[SOCK_ADDRESS_SIZE + 8])
{
    union address u = {.all = *a};
    if (a->ss_family == AF_INET && u.v4.sin_addr.s_addr == htonl(INADDR_ANY))
        u.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (a->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&u.v6.sin6_addr))
        u.v6.sin6_addr = in6addr_loopback;
    char text[SOCK_ADDRESS_SIZE];
    sock_address_format(&u.all, text);
    snprintf(ret, SOCK_ADDRESS_SIZE + 8, "http://%s", text);
}

static int bind_error(const struct sockaddr_storage *a, struct err *e)
{
    int saved = errno;
    char text[SOCK_ADDRESS_SIZE];
    sock_address_format(a, text);
    if (saved == EADDRINUSE)
        return err_set(e, ERR_CONFLICT, "%s is in use by another process", text);
    if (saved == EACCES || saved == EPERM)
        return err_set(e, ERR_REFUSED, "no permission to listen on %s", text);
    return err_errno(e, saved, "listen on %s", text);
}

static bool set_on(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

// A bound socket, or -1 with errno. Without `share`, binding fails where anybody listens.
static int open_tcp(struct sockaddr_storage *a, bool share)
{
    bool v6 = a->ss_family == AF_INET6;
    struct sockaddr *any = (struct sockaddr *)a;
    socklen_t size = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = socket(a->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool ok = set_on(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
              (!share || set_on(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
              // Accepted connections inherit it: answers go out at once, without a system call each.
              set_on(fd, IPPROTO_TCP, TCP_NODELAY, 1) && (!v6 || set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) &&
              bind(fd, any, size) == 0 && getsockname(fd, any, &size) == 0;
    if (ok)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int open_listener(struct sockaddr_storage *a, int *ret_fd, struct err *e)
{
    int fd = open_tcp(a, true);
    if (fd < 0)
        return bind_error(a, e);
    if (listen(fd, BACKLOG) < 0) {
        int code = bind_error(a, e);
        close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

int sock_listen_tcp(struct sockaddr_storage *a, size_t n, int *ret_fds, struct err *e)
{
    // SO_REUSEPORT would let a second server of the same user take half of the first one's connections.
    // Binding once without it finds out.
    struct sockaddr_storage probe = *a;
    int fd = open_tcp(&probe, false);
    if (fd < 0)
        return bind_error(a, e);
    close(fd);
    for (size_t i = 0; i < n; i++) {
        int code = open_listener(a, &ret_fds[i], e);
        if (code) {
            while (i-- > 0)
                close(ret_fds[i]);
            return code;
        }
    }
    return 0;
}

// Unix socket addresses hold 107 bytes. A longer path goes through a descriptor of its folder (*ret_dir_fd,
// else -1), so that only its last part has to fit.
static int unix_address(const char *path, struct sockaddr_un *ret, int *ret_dir_fd, struct err *e)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char dir[4096];
    int n = slash ? snprintf(dir, sizeof dir, "%.*s", (int)(slash - path + 1), path)
                  : snprintf(dir, sizeof dir, ".");
    if (n < 0 || (size_t)n >= sizeof dir || !*name)
        return err_set(e, ERR_INVALID, "'%s' is not the path of a socket", path);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    *ret_dir_fd = -1;
    if (strlen(path) < sizeof ret->sun_path) {
        memcpy(ret->sun_path, path, strlen(path));
        return 0;
    }
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "open '%s'", dir);
    n = snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", fd, name);
    if (n < 0 || (size_t)n >= sizeof ret->sun_path) {
        close(fd);
        return err_set(e, ERR_INVALID, "'%s': the name of the socket is too long", path);
    }
    *ret_dir_fd = fd;
    return 0;
}

int sock_listen_unix(const char *path, mode_t mode, int *ret_fd, struct err *e)
{
    struct sockaddr_un a;
    int dir_fd, code = unix_address(path, &a, &dir_fd, e);
    if (code)
        return code;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && unlink(a.sun_path) < 0 && errno != ENOENT) {
        code = err_errno(e, errno, "remove '%s'", path);
        goto out;
    }
    // The file takes the socket's mode, so that at no time anybody else can connect.
    if (fd < 0 || fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(fd, BACKLOG) < 0) {
        code = err_errno(e, errno, "listen on '%s'", path);
        goto out;
    }
    *ret_fd = fd;
    fd = -1;
out:
    if (fd >= 0)
        close(fd);
    if (dir_fd >= 0)
        close(dir_fd);
    return code;
}

int sock_unix_connect(const char *path, int *ret_fd, struct err *e)
{
    struct sockaddr_un a;
    int dir_fd, code = unix_address(path, &a, &dir_fd, e);
    if (code)
        return code;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        code = err_errno(e, errno, "open a socket");
    } else if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        bool nobody = errno == ECONNREFUSED || errno == ENOENT || errno == EAGAIN;
        code = nobody ? err_set(e, ERR_UNAVAILABLE, "nobody listens on '%s'", path)
                      : err_errno(e, errno, "connect to '%s'", path);
        close(fd);
    } else {
        *ret_fd = fd;
    }
    if (dir_fd >= 0)
        close(dir_fd);
    return code;
}

bool sock_peer_is_local(int fd)
{
    struct sockaddr_storage a;
    socklen_t size = sizeof a;
    if (getpeername(fd, (struct sockaddr *)&a, &size) < 0)
        return false;
    if (a.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)&a)->sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)&a)->sin6_addr;
    return a.ss_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127));
}
