// SPDX-License-Identifier: Apache-2.0
// Non-blocking sockets with a buffer on either side. Many small requests leave in one write, and many answers
// are taken from one read.
#include "cli/load_conn.h"

#include "base/assert.h"
#include "base/limits.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10 };

int load_conn_init(struct load_conn *c, int depth, struct err *e)
{
    *c = (struct load_conn){.fd = -1, .depth = depth, .slots = calloc((size_t)depth, sizeof *c->slots)};
    buf_init(&c->out, (size_t)depth * LIMIT_LOAD_MESSAGE_BYTES);
    buf_init(&c->in, LIMIT_LOAD_MESSAGE_BYTES);
    return c->slots ? 0 : err_set(e, ERR_NOMEM, "no memory for a connection");
}

void load_conn_done(struct load_conn *c)
{
    load_conn_close(c);
    free(c->slots);
    buf_done(&c->out);
    buf_done(&c->in);
}

bool load_conn_open(struct load_conn *c, const struct sockaddr *to, socklen_t n)
{
    c->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return false;
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->connecting = connect(c->fd, to, n) != 0;
    if (!c->connecting || errno == EINPROGRESS)
        return true;
    int why = errno;
    load_conn_close(c);
    errno = why;
    return false;
}

void load_conn_close(struct load_conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->connecting = c->wants_out = false;
    c->n = c->first = 0;
    c->reader = (struct load_reader){0};
    buf_clear(&c->out);
    buf_clear(&c->in);
}

void load_conn_push(struct load_conn *c, struct load_request *q, uint64_t intended_ns, uint64_t now_ns)
{
    ASSERT(c->n < c->depth);
    int at = c->first + c->n++;
    c->slots[at < c->depth ? at : at - c->depth] = (struct load_slot){intended_ns, now_ns, q};
    buf_put_str(&c->out, q->message);
}

struct load_slot *load_conn_oldest(struct load_conn *c)
{
    return c->n ? &c->slots[c->first] : NULL;
}

struct load_slot load_conn_pop(struct load_conn *c)
{
    ASSERT(c->n > 0);
    struct load_slot s = c->slots[c->first];
    c->first = c->first + 1 < c->depth ? c->first + 1 : 0;
    c->n--;
    return s;
}

int64_t load_conn_flush(struct load_conn *c, struct err *e)
{
    if (c->out.failed)
        return err_set(e, ERR_NOMEM, "no memory to send requests");
    if (c->out.n == 0)
        return 0;
    ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return err_errno(e, errno, "send");
    buf_consume(&c->out, (size_t)n);
    return n;
}

int64_t load_conn_read(struct load_conn *c, struct err *e)
{
    char *to = buf_reserve(&c->in, READ_BYTES);
    if (!to)
        return err_set(e, ERR_NOMEM, "answer over %d bytes, or no memory for it", LIMIT_LOAD_MESSAGE_BYTES);
    ssize_t n = recv(c->fd, to, c->in.cap - c->in.n, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return err_errno(e, errno, "receive");
    if (n == 0)
        return err_set(e, ERR_UNAVAILABLE, "the server closed the connection");
    buf_advance(&c->in, (size_t)n);
    return n;
}
