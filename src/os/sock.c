// SPDX-License-Identifier: Apache-2.0
// Listening sockets and Unix connections.
#include "os/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096 }; // the kernel lowers it to net.core.somaxconn

// Splits "host:port" and "[host]:port"; false without a colon.
static bool split_port(struct str s, struct str *ret_host, struct str *ret_port, bool *ret_brackets)
{
    size_t colon = s.n;
    while (colon > 0 && s.p[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return false;
    struct str host = {s.p, colon - 1};
    *ret_port = (struct str){s.p + colon, s.n - colon};
    *ret_brackets = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    *ret_host = *ret_brackets ? (struct str){host.p + 1, host.n - 2} : host;
    return true;
}

int sock_address_parse(struct str s, union sock_address *ret, struct err *e)
{
    struct str host, port_text;
    bool brackets;
    uint64_t port;
    if (!split_port(s, &host, &port_text, &brackets))
        return err_set(e, ERR_INVALID, "'" STR_FMT "' has no port; expected for example 127.0.0.1:8080",
                       STR_ARG(s));
    if (!str_to_u64(port_text, 65535, &port))
        return err_set(e, ERR_INVALID, "'" STR_FMT "': the port must be a number from 0 to 65535",
                       STR_ARG(s));
    char z[INET6_ADDRSTRLEN];
    if (host.n >= sizeof z)
        return err_set(e, ERR_INVALID, "'" STR_FMT "' is not an IP address and a port", STR_ARG(s));
    memcpy(z, host.n ? host.p : "", host.n);
    z[host.n] = '\0';
    if (str_eq(host, STR("localhost")))
        memcpy(z, "127.0.0.1", sizeof "127.0.0.1");

    *ret = (union sock_address){0};
    if (!brackets && (host.n == 0 || str_eq(host, STR("*")))) {
        ret->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    } else if (!brackets && inet_pton(AF_INET, z, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons((uint16_t)port);
    } else if (brackets && inet_pton(AF_INET6, z, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons((uint16_t)port);
    } else {
        err_set(e, ERR_INVALID, "'" STR_FMT "': '" STR_FMT "' is not an IP address", STR_ARG(s),
                STR_ARG(host));
        err_hint(e, "Use an address such as 127.0.0.1, 0.0.0.0 or [::1].");
        return ERR_INVALID;
    }
    return 0;
}

void sock_address_format(const union sock_address *a, char ret[SOCK_ADDRESS_SIZE])
{
    char ip[INET6_ADDRSTRLEN] = "";
    if (a->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->v6.sin6_addr, ip, sizeof ip);
        snprintf(ret, SOCK_ADDRESS_SIZE, "[%s]:%u", ip, ntohs(a->v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &a->v4.sin_addr, ip, sizeof ip);
        snprintf(ret, SOCK_ADDRESS_SIZE, "%s:%u", ip, ntohs(a->v4.sin_port));
    }
}

void sock_address_url(const union sock_address *a, char ret[SOCK_ADDRESS_SIZE + 8])
{
    union sock_address reach = *a;
    if (a->any.sa_family == AF_INET && a->v4.sin_addr.s_addr == htonl(INADDR_ANY))
        reach.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (a->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr)) {
        // Bound to both families, see open_tcp.
        reach = (union sock_address){.v4 = {.sin_family = AF_INET, .sin_port = a->v6.sin6_port}};
        reach.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    char text[SOCK_ADDRESS_SIZE];
    sock_address_format(&reach, text);
    snprintf(ret, SOCK_ADDRESS_SIZE + 8, "http://%s", text);
}

static int bind_error(const union sock_address *a, struct err *e)
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
static int open_tcp(union sock_address *a, bool share)
{
    bool v6 = a->any.sa_family == AF_INET6;
    socklen_t size = v6 ? sizeof a->v6 : sizeof a->v4;
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool ok = set_on(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
              (!share || set_on(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
              // Accepted connections inherit it: answers go out at once, without a system call each.
              set_on(fd, IPPROTO_TCP, TCP_NODELAY, 1) && (!v6 || set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) &&
              bind(fd, &a->any, size) == 0 && getsockname(fd, &a->any, &size) == 0;
    if (ok)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int open_listener(union sock_address *a, int *ret_fd, struct err *e)
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

// A kernel without IPv6 cannot bind the address that stands for both families: then IPv4 alone.
static void without_ipv6(union sock_address *a)
{
    if (a->any.sa_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr))
        return;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    else
        *a = (union sock_address){.v4 = {.sin_family = AF_INET, .sin_port = a->v6.sin6_port}};
}

int sock_listen_tcp(union sock_address *a, size_t n, int *ret_fds, struct err *e)
{
    without_ipv6(a);
    // SO_REUSEPORT would let a second server of the same user take half of the first one's connections.
    // Binding once without it finds out.
    union sock_address probe = *a;
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
    // The mode of the inode follows that of the socket, so nobody can connect between bind and chmod.
    if (fd < 0 || fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        chmod(a.sun_path, mode) < 0 || listen(fd, BACKLOG) < 0) {
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
