// SPDX-License-Identifier: Apache-2.0
// Framed messages over a Unix stream. The kernel hands descriptors over with the first byte of the write that
// carried them and never merges two such writes into one read, so descriptors come in the order of the
// messages; each header says how many are its own.
#include "os/msg.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BYTES = 16 << 10,
    KEEP_BYTES = 64 << 10,     // an empty buffer larger than this is given back
    OUT_FLOOR_BYTES = 1 << 20, // small messages that may wait whatever max_payload is
    OUT_FDS_MAX = 1024,        // descriptors that may wait
    CONTROL_FDS_MAX = 253,     // the most the kernel hands over at once (SCM_MAX_FD)
};

struct msg_out_fds {
    size_t at; // place in out of the message's first byte
    int fds[MSG_FDS_MAX];
    uint16_t n;
};

static uint16_t get_u16(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint16_t)(u[0] | u[1] << 8);
}

static uint32_t get_u32(const char *p)
{
    return get_u16(p) | (uint32_t)get_u16(p + 2) << 16;
}

static void put_u16(char *p, uint16_t v)
{
    p[0] = (char)(v & 0xff);
    p[1] = (char)(v >> 8);
}

void msg_conn_init(struct msg_conn *c, int fd, uint32_t max_payload)
{
    *c = (struct msg_conn){.fd = fd, .max_payload = max_payload};
    size_t whole = (size_t)max_payload + MSG_HEADER_BYTES;
    buf_init(&c->in, whole + READ_BYTES);
    buf_init(&c->out, 2 * whole + OUT_FLOOR_BYTES);
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

void msg_conn_done(struct msg_conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    close_all(c->fds, c->n_fds);
    for (size_t i = 0; i < c->n_out_fds; i++)
        close_all(c->out_fds[i].fds, c->out_fds[i].n);
    free(c->out_fds);
    buf_done(&c->in);
    buf_done(&c->out);
    *c = (struct msg_conn){.fd = -1};
}

// Moves what is left to the front, or gives the memory back when nothing is left of a large message.
static void compact(struct buf *b, size_t *at)
{
    buf_consume(b, *at);
    *at = 0;
    if (b->n == 0 && b->cap > KEEP_BYTES) {
        size_t max = b->max;
        buf_done(b);
        buf_init(b, max);
    }
}

// Takes over the descriptors of one recvmsg.
static int receive_fds(struct msg_conn *c, struct msghdr *h, struct err *e)
{
    bool fits = !(h->msg_flags & MSG_CTRUNC);
    for (struct cmsghdr *cm = CMSG_FIRSTHDR(h); cm; cm = CMSG_NXTHDR(h, cm)) {
        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cm) + i * sizeof fd, sizeof fd);
            if (c->n_fds < MSG_FDS_WAITING_MAX) {
                c->fds[c->n_fds++] = fd;
            } else {
                close(fd);
                fits = false;
            }
        }
    }
    return fits ? 0 : err_set(e, ERR_INVALID, "more descriptors than a message may carry");
}

// One read into `room` bytes at `to`. The count, 0 at the end of the stream, or a negative code; *ret_wait is
// set when there is nothing to read now.
static ssize_t receive(struct msg_conn *c, char *to, size_t room, bool *ret_wait, struct err *e)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
    struct iovec io = {.iov_base = to, .iov_len = room};
    struct msghdr h = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n;
    do
        n = recvmsg(c->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    *ret_wait = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (*ret_wait)
        return 0;
    if (n < 0)
        return errno == ECONNRESET ? 0 : err_errno(e, errno, "read a message");
    int code = receive_fds(c, &h, e);
    return code ? code : n;
}

int msg_conn_fill(struct msg_conn *c, struct err *e)
{
    if (c->closed)
        return err_set(e, ERR_UNAVAILABLE, "the other end closed the connection");
    compact(&c->in, &c->in_at);
    // No read while more than one message's descriptors wait: those belong to messages that can be taken now.
    while (c->n_fds <= MSG_FDS_WAITING_MAX - MSG_FDS_MAX) {
        size_t left = c->in.max - c->in.n;
        if (left == 0)
            return 0;
        size_t room = c->in.cap - c->in.n;
        if (room < READ_BYTES && room < left)
            room = left < READ_BYTES ? left : READ_BYTES;
        char *to = buf_reserve(&c->in, room);
        if (!to) {
            c->in.failed = false;
            return err_set(e, ERR_NOMEM, "no memory for a message");
        }
        bool wait;
        ssize_t n = receive(c, to, room, &wait, e);
        if (wait)
            return 0;
        if (n < 0)
            return (int)n;
        buf_advance(&c->in, (size_t)n);
        if (n == 0) {
            c->closed = true;
            return c->in.n ? 0 : msg_conn_fill(c, e);
        }
    }
    return 0;
}

int msg_conn_take(struct msg_conn *c, struct msg *ret, struct err *e)
{
    size_t have = c->in.n - c->in_at;
    const char *p = have ? c->in.p + c->in_at : NULL;
    uint32_t n = have >= MSG_HEADER_BYTES ? get_u32(p) : 0;
    if (n > c->max_payload)
        return err_set(e, ERR_INVALID, "a message announces %u bytes, more than %u", n, c->max_payload);
    if (have < MSG_HEADER_BYTES || have - MSG_HEADER_BYTES < n) {
        if (c->n_fds > (have ? MSG_FDS_MAX : 0))
            return err_set(e, ERR_INVALID, "descriptors came that no message announced");
        return 0;
    }
    *ret =
        (struct msg){.type = get_u16(p + 4), .n_fds = get_u16(p + 6), .payload = {p + MSG_HEADER_BYTES, n}};
    if (ret->n_fds > MSG_FDS_MAX || ret->n_fds > c->n_fds) {
        unsigned said = ret->n_fds;
        ret->n_fds = 0;
        return err_set(e, ERR_INVALID, "a message announces %u descriptors, %u came", said, c->n_fds);
    }
    memcpy(ret->fds, c->fds, ret->n_fds * sizeof(int));
    c->n_fds = (uint16_t)(c->n_fds - ret->n_fds);
    memmove(c->fds, c->fds + ret->n_fds, c->n_fds * sizeof(int));
    c->in_at += MSG_HEADER_BYTES + n;
    return 1;
}

// Duplicates the caller's descriptors into the queue for a message that starts at `at` in out.
static int queue_fds(struct msg_conn *c, size_t at, const int *fds, uint16_t n, struct err *e)
{
    if (n == 0)
        return 0;
    if (c->n_out_fds == c->cap_out_fds) {
        size_t cap = c->cap_out_fds ? 2 * c->cap_out_fds : 8;
        if (cap > OUT_FDS_MAX)
            return err_set(e, ERR_BUSY, "too many descriptors wait to be sent");
        struct msg_out_fds *q = realloc(c->out_fds, cap * sizeof *q);
        if (!q)
            return err_set(e, ERR_NOMEM, "no memory to send descriptors");
        c->out_fds = q;
        c->cap_out_fds = cap;
    }
    struct msg_out_fds *o = &c->out_fds[c->n_out_fds];
    *o = (struct msg_out_fds){.at = at};
    for (uint16_t i = 0; i < n; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            int code = err_errno(e, errno, "duplicate descriptor %d to send it", fds[i]);
            close_all(o->fds, o->n);
            return code;
        }
        o->fds[o->n++] = fd;
    }
    c->n_out_fds++;
    return 0;
}

int msg_conn_send(struct msg_conn *c, uint16_t type, struct str payload, const int *fds, uint16_t n_fds,
                  struct err *e)
{
    ASSERT(n_fds <= MSG_FDS_MAX);
    if (payload.n > c->max_payload)
        return err_set(e, ERR_TOO_LARGE, "a message of %zu bytes is over the limit of %u", payload.n,
                       c->max_payload);
    size_t whole = MSG_HEADER_BYTES + payload.n;
    if (whole > c->out.max - c->out.n)
        return err_set(e, ERR_BUSY, "%zu bytes wait to be sent", msg_conn_pending(c));
    char *to = buf_reserve(&c->out, whole);
    if (!to) {
        c->out.failed = false;
        return err_set(e, ERR_NOMEM, "no memory for a message of %zu bytes", whole);
    }
    int code = queue_fds(c, c->out.n, fds, n_fds, e);
    if (code)
        return code;
    put_u16(to, (uint16_t)(payload.n & 0xffff));
    put_u16(to + 2, (uint16_t)(payload.n >> 16));
    put_u16(to + 4, type);
    put_u16(to + 6, n_fds);
    if (payload.n)
        memcpy(to + MSG_HEADER_BYTES, payload.p, payload.n);
    buf_advance(&c->out, whole);
    return msg_conn_flush(c, e);
}

size_t msg_conn_pending(const struct msg_conn *c)
{
    return c->out.n - c->out_at;
}

// Writes up to `end`, with the descriptors of `o` if given. The count, or -1 with errno.
static ssize_t transmit(struct msg_conn *c, size_t end, const struct msg_out_fds *o)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(MSG_FDS_MAX * sizeof(int))] = {0};
    struct iovec io = {.iov_base = c->out.p + c->out_at, .iov_len = end - c->out_at};
    struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1};
    if (o) {
        h.msg_control = control;
        h.msg_controllen = CMSG_SPACE(o->n * sizeof(int));
        struct cmsghdr *cm = CMSG_FIRSTHDR(&h);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(o->n * sizeof(int));
        memcpy(CMSG_DATA(cm), o->fds, o->n * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(c->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n;
}

// Drops the first `gone` queued descriptor sets, which were sent, and the bytes before out_at.
static void drop_sent(struct msg_conn *c, size_t gone)
{
    for (size_t i = 0; i < gone; i++)
        close_all(c->out_fds[i].fds, c->out_fds[i].n);
    c->n_out_fds -= gone;
    if (gone)
        memmove(c->out_fds, c->out_fds + gone, c->n_out_fds * sizeof *c->out_fds);
    for (size_t i = 0; i < c->n_out_fds; i++)
        c->out_fds[i].at -= c->out_at;
    compact(&c->out, &c->out_at);
}

int msg_conn_flush(struct msg_conn *c, struct err *e)
{
    int code = 0;
    size_t gone = 0;
    while (c->out_at < c->out.n) {
        const struct msg_out_fds *next = gone < c->n_out_fds ? &c->out_fds[gone] : NULL;
        bool with = next && next->at == c->out_at;
        const struct msg_out_fds *after = !with ? next : gone + 1 < c->n_out_fds ? next + 1 : NULL;
        ssize_t n = transmit(c, after ? after->at : c->out.n, with ? next : NULL);
        if (n < 0) {
            // ETOOMANYREFS: the user's descriptors in flight are at their limit until somebody reads.
            if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ETOOMANYREFS)
                code = errno == EPIPE || errno == ECONNRESET
                           ? err_set(e, ERR_UNAVAILABLE, "the other end closed the connection")
                           : err_errno(e, errno, "send a message");
            break;
        }
        gone += with;
        c->out_at += (size_t)n;
    }
    drop_sent(c, gone);
    return code;
}
