// SPDX-License-Identifier: Apache-2.0
// IDLE → (connect) → writes all of it → reads the head of the answer → IDLE. Whatever goes wrong ends it.
#include "role/http_post.h"

#include "base/assert.h"
#include "base/clock.h"
#include "settings/settings.h"
#include "wire/http1.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HEAD_BYTES = 4096 };

int http_post_url_parse(struct str text, const char *path, struct http_post_url *ret, struct err *e)
{
    static const struct str SCHEME = {"http://", 7};
    *ret = (struct http_post_url){0};
    bool good = str_starts(text, SCHEME);
    struct str rest = good ? (struct str){text.p + SCHEME.n, text.n - SCHEME.n} : text;
    for (size_t i = 0; i < text.n; i++)
        good = good && text.p[i] > ' ' && text.p[i] < 0x7f;
    const char *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
    struct str host = {rest.p, slash ? (size_t)(slash - rest.p) : rest.n};
    struct str at = slash && rest.n > host.n + 1 ? (struct str){slash, rest.n - host.n} : str_of(path);
    if (!good || host.n >= sizeof ret->host || at.n >= sizeof ret->path ||
        settings_address_parse(host, &ret->address, &ret->address_bytes, e))
        return err_set(e, ERR_INVALID,
                       "'%.200s' is not of the form http://127.0.0.1:4318/path with an address or localhost",
                       text.n ? text.p : "");
    memcpy(ret->host, host.p, host.n);
    memcpy(ret->path, at.p, at.n);
    return 0;
}

void http_post_init(struct http_post *p, struct loop *l, uint64_t timeout_ms, size_t body_max)
{
    p->loop = l;
    p->timeout_ms = timeout_ms;
    p->is_busy = false;
    buf_init(&p->out, body_max + HEAD_BYTES);
}

static void close_all(struct http_post *p)
{
    if (!p->is_busy)
        return;
    loop_timer_clear(p->loop, &p->due);
    loop_remove(p->loop, &p->socket);
    close(p->socket.fd);
    p->is_busy = false;
}

void http_post_done(struct http_post *p)
{
    close_all(p);
    buf_done(&p->out);
}

static void finish(struct http_post *p, int status, const struct err *why)
{
    close_all(p);
    p->on_done(p, status, why);
}

static void fail(struct http_post *p, const char *what, int number)
{
    struct err e;
    (void)err_set(&e, ERR_UNAVAILABLE, "%s%s%s", what, number ? ": " : "", number ? strerror(number) : "");
    finish(p, 0, &e);
}

static void on_due(struct timer *t)
{
    fail((struct http_post *)((char *)t - offsetof(struct http_post, due)), "no answer in time", 0);
}

static bool may_wait(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void send_some(struct http_post *p)
{
    struct err e;
    ssize_t n = send(p->socket.fd, p->out.p + p->sent, p->out.n - p->sent, MSG_NOSIGNAL);
    if (n < 0 && !may_wait(n)) {
        fail(p, "it cannot be sent", errno);
        return;
    }
    p->sent += n > 0 ? (size_t)n : 0;
    if (p->sent == p->out.n && loop_change(p->loop, &p->socket, EPOLLIN, &e))
        finish(p, 0, &e);
}

static void read_some(struct http_post *p)
{
    struct http1_response r;
    struct err e;
    ssize_t n = recv(p->socket.fd, p->answer + p->got, sizeof p->answer - p->got, 0);
    if (may_wait(n))
        return;
    if (n <= 0) {
        fail(p, n < 0 ? "no answer" : "the connection ended before the answer", n < 0 ? errno : 0);
        return;
    }
    p->got += (size_t)n;
    int rc = http1_response_parse(p->answer, p->got, &r, &e);
    if (rc > 0)
        finish(p, r.status, NULL);
    else if (rc < 0)
        finish(p, 0, &e);
    else if (p->got == sizeof p->answer)
        fail(p, "the head of the answer is too long", 0);
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct http_post *p = (struct http_post *)((char *)w - offsetof(struct http_post, socket));
    (void)events;
    if (p->sent < p->out.n)
        send_some(p);
    else
        read_some(p);
}

static int watch_it(struct http_post *p, struct err *e)
{
    int rc = loop_add(p->loop, &p->socket, EPOLLOUT, e);
    if (rc)
        return rc;
    p->due.on_due = on_due;
    rc = loop_timer_set(p->loop, &p->due, clock_mono_ns() + p->timeout_ms * UINT64_C(1000000), e);
    if (rc)
        loop_remove(p->loop, &p->socket);
    return rc;
}

int http_post_begin(struct http_post *p, const struct http_post_url *to, const char *headers, struct str body,
                    struct err *e)
{
    ASSERT(!p->is_busy);
    buf_clear(&p->out);
    buf_printf(&p->out, "POST %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
               to->path, to->host, headers, body.n);
    buf_put_str(&p->out, body);
    if (p->out.failed)
        return err_set(e, ERR_NOMEM, "no memory to send %zu bytes", body.n);
    int fd = socket(to->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(e, errno, "open a socket");
    p->socket = (struct watch){fd, on_ready};
    p->sent = p->got = 0;
    int rc = connect(fd, (const struct sockaddr *)&to->address, to->address_bytes) < 0 && errno != EINPROGRESS
                 ? err_set(e, ERR_UNAVAILABLE, "connect to %s: %s", to->host, strerror(errno))
                 : watch_it(p, e);
    if (rc) {
        close(fd);
        return rc;
    }
    p->is_busy = true;
    return 0;
}
