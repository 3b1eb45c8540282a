// SPDX-License-Identifier: Apache-2.0
#include "os/sock.h"

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sockaddr_storage v4(const char *ip, uint16_t port)
{
    struct sockaddr_storage a = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&a;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    ck_assert_int_eq(inet_pton(AF_INET, ip, &in->sin_addr), 1);
    return a;
}

static struct sockaddr_storage v6(const char *ip, uint16_t port)
{
    struct sockaddr_storage a = {0};
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)&a;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    ck_assert_int_eq(inet_pton(AF_INET6, ip, &in->sin6_addr), 1);
    return a;
}

START_TEST(addresses_are_written_as_people_and_clients_read_them)
{
    const struct {
        struct sockaddr_storage a;
        const char *text, *url;
    } cases[] = {
        {v4("127.0.0.1", 8080), "127.0.0.1:8080", "http://127.0.0.1:8080"},
        {v4("0.0.0.0", 80), "0.0.0.0:80", "http://127.0.0.1:80"},
        {v6("::1", 1), "[::1]:1", "http://[::1]:1"},
        {v6("::", 65535), "[::]:65535", "http://[::1]:65535"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[SOCK_ADDRESS_SIZE], url[SOCK_ADDRESS_SIZE + 8];
        sock_address_format(&cases[i].a, text);
        sock_address_url(&cases[i].a, url);
        ck_assert_str_eq(text, cases[i].text);
        ck_assert_str_eq(url, cases[i].url);
    }
}
END_TEST

START_TEST(all_listeners_share_the_port_that_was_chosen)
{
    enum { N = 3, CONNECTIONS = 64 };
    struct sockaddr_storage a = v4("127.0.0.1", 0);
    struct err e;
    struct pollfd listeners[N];
    int fds[N], accepted = 0, had[N] = {0}, busy = 0;
    ck_assert_int_eq(sock_listen_tcp(&a, N, fds, &e), 0);
    ck_assert_uint_ne(((struct sockaddr_in *)&a)->sin_port, 0);
    int clients[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(clients[i], (struct sockaddr *)&a, sizeof(struct sockaddr_in)), 0);
    }
    for (int i = 0; i < N; i++)
        listeners[i] = (struct pollfd){fds[i], POLLIN, 0};
    // A client may know of its connection a moment before the listener does.
    while (accepted < CONNECTIONS) {
        ck_assert_int_gt(poll(listeners, N, 20000), 0);
        for (int i = 0, fd; i < N; i++)
            while ((fd = accept(fds[i], NULL, NULL)) >= 0) {
                accepted++;
                had[i]++;
                close(fd);
            }
    }
    for (int i = 0; i < N; i++) {
        busy += had[i] > 0;
        close(fds[i]);
    }
    ck_assert_int_gt(busy, 1);
    for (int i = 0; i < CONNECTIONS; i++)
        close(clients[i]);
}
END_TEST

START_TEST(a_port_in_use_is_refused_even_by_our_own_user)
{
    struct sockaddr_storage a = v4("127.0.0.1", 0);
    struct err e;
    int fds[2], more[2];
    ck_assert_int_eq(sock_listen_tcp(&a, 2, fds, &e), 0);
    ck_assert_int_eq(sock_listen_tcp(&a, 2, more, &e), ERR_CONFLICT);
    close(fds[0]);
    close(fds[1]);
    ck_assert_int_eq(sock_listen_tcp(&a, 2, more, &e), 0);
    close(more[0]);
    close(more[1]);
}
END_TEST

static void unix_socket_works_at(const char *path)
{
    struct err e;
    int l, c;
    ck_assert_int_eq(sock_unix_connect(path, &c, &e), ERR_UNAVAILABLE);
    ck_assert_int_eq(sock_listen_unix(path, 0600, &l, &e), 0);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(sock_unix_connect(path, &c, &e), 0);
    int s = accept(l, NULL, NULL);
    ck_assert_int_ge(s, 0);
    close(s);
    close(c);
    close(l);
    ck_assert_int_eq(sock_unix_connect(path, &c, &e), ERR_UNAVAILABLE); // the file is there, nobody listens
    ck_assert_int_eq(sock_listen_unix(path, 0600, &l, &e), 0);          // and is replaced
    close(l);
    unlink(path);
}

START_TEST(unix_paths_may_be_long)
{
    char dir[] = "/tmp/slipway-sock-XXXXXX", deep[512], path[600];
    ck_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/control.sock", dir);
    unix_socket_works_at(path);
    snprintf(deep, sizeof deep, "%s/%0200d", dir, 7);
    ck_assert_int_eq(mkdir(deep, 0700), 0);
    snprintf(path, sizeof path, "%s/control.sock", deep);
    unix_socket_works_at(path);
    struct err e;
    int fd;
    ck_assert_int_lt(sock_listen_unix("/tmp/", 0600, &fd, &e), 0);
    rmdir(deep);
    rmdir(dir);
}
END_TEST

UNIT_MAIN("os/sock", addresses_are_written_as_people_and_clients_read_them,
          all_listeners_share_the_port_that_was_chosen, a_port_in_use_is_refused_even_by_our_own_user,
          unix_paths_may_be_long)
