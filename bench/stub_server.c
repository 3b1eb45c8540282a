// SPDX-License-Identifier: Apache-2.0
// The least a server can do: one thread, our parser, one fixed answer for each request. It shows what the
// load generator and the loopback cost, which is the floor under every other figure.
#include "base/buf.h"
#include "wire/http1.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n"
                             "Slipway-Model-Version: 1\r\n\r\n{\"predictions\": [0.5, 1.5]}";

struct conn {
    int fd;
    struct buf in, out;
};

static bool answer_all(struct conn *c)
{
    size_t at = 0;
    struct http1_request r;
    struct err e;
    int rc = 0;
    while (at < c->in.n && (rc = http1_request_parse(c->in.p + at, c->in.n - at, &r, &e)) == 1) {
        if (r.chunked || r.content_length > c->in.n - at - r.head_bytes)
            break;
        at += r.head_bytes + (size_t)r.content_length;
        buf_put(&c->out, answer, sizeof answer - 1);
    }
    buf_consume(&c->in, at);
    if (c->out.n && send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL) != (ssize_t)c->out.n)
        return false; // a client that does not read is not served
    buf_clear(&c->out);
    return rc >= 0;
}

static bool ready(struct conn *c)
{
    char *to = buf_reserve(&c->in, 64 << 10);
    ssize_t n = to ? recv(c->fd, to, c->in.cap - c->in.n, 0) : 0;
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    buf_advance(&c->in, (size_t)n);
    return answer_all(c);
}

static void drop(struct conn *c)
{
    close(c->fd);
    buf_done(&c->in);
    buf_done(&c->out);
    free(c);
}

static void take(int epoll, int listener)
{
    int one = 1;
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        return;
    c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    buf_init(&c->in, 64 << 20);
    buf_init(&c->out, 64 << 20);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (c->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
        drop(c);
}

// Prints its port on the first line and serves until it is ended.
int main(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    if (bind(listener, (struct sockaddr *)&a, n) || listen(listener, 1024) ||
        getsockname(listener, (struct sockaddr *)&a, &n) || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev)) {
        perror("stub_server");
        return 1;
    }
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    for (;;) {
        int got = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < got; i++) {
            if (!events[i].data.ptr)
                take(epoll, listener);
            else if (!ready(events[i].data.ptr))
                drop(events[i].data.ptr);
        }
    }
}
