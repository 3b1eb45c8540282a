// SPDX-License-Identifier: Apache-2.0
#include "fake_server.h"

#include "base/assert.h"
#include "base/buf.h"
#include "wire/http1.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <yyjson.h>

enum { CONNS = 64 };

struct conn {
    int fd;
    struct buf in;
};

static void send_all(int fd, struct str s)
{
    while (s.n) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        s = (struct str){s.p + n, s.n - (size_t)n};
    }
}

static void put_predictions(struct str body, double add, double add_in_batches, struct buf *out)
{
    yyjson_doc *doc = yyjson_read(body.p, body.n, 0);
    yyjson_val *rows = yyjson_obj_get(yyjson_doc_get_root(doc), "instances"), *row;
    size_t i, n;
    buf_puts(out, "{\"predictions\":[");
    yyjson_arr_foreach(rows, i, n, row)
    {
        double x = yyjson_get_num(yyjson_arr_get_first(row)) + add + (n > 1 ? add_in_batches : 0);
        buf_printf(out, "%s%.17g", i ? "," : "", x);
    }
    buf_puts(out, "]}");
    yyjson_doc_free(doc);
}

static void put_answer(const struct fake_server *f, int status, struct str body, struct buf *out)
{
    buf_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%s", status,
               http_status_reason(status), f->goodbye ? "Connection: close\r\n" : "");
    if (f->chunked) {
        size_t half = body.n / 2;
        buf_printf(out, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n" STR_FMT "\r\n", half, (int)half, body.p);
        buf_printf(out, "%zx\r\n" STR_FMT "\r\n0\r\n\r\n", body.n - half, (int)(body.n - half),
                   body.p + half);
    } else {
        buf_printf(out, "Content-Length: %zu\r\n\r\n" STR_FMT, body.n, STR_ARG(body));
    }
}

static bool every(unsigned n, unsigned count)
{
    return n && count % n == 0;
}

// False: close the connection.
static bool predict(struct fake_server *f, int fd, struct str body)
{
    unsigned count = atomic_fetch_add(&f->n_requests, 1) + 1;
    struct buf out, answer;
    if (count == f->stall_at)
        nanosleep(&(struct timespec){f->stall_ms / 1000, f->stall_ms % 1000 * 1000000L}, NULL);
    if (every(f->close_every, count))
        return false;
    if (f->silent)
        return true;
    buf_init(&out, 1 << 24);
    buf_init(&answer, 1 << 24);
    put_predictions(body, every(f->wrong_every, count) ? 1 : 0, f->wrong_in_batches ? 1 : 0, &answer);
    if (every(f->garbage_every, count))
        buf_puts(&out, "220 mail.example ESMTP\r\n\r\n");
    else if (every(f->refuse_every, count))
        put_answer(f, 503, STR("{\"error\":\"busy\"}"), &out);
    else
        put_answer(f, 200, buf_str(&answer), &out);
    send_all(fd, buf_str(&out));
    buf_done(&out);
    buf_done(&answer);
    return !f->goodbye;
}

static bool serve(struct fake_server *f, struct conn *c)
{
    struct http1_request r;
    struct err e;
    int rc = 0;
    while (c->in.n && (rc = http1_request_parse(c->in.p, c->in.n, &r, &e)) == 1 &&
           c->in.n - r.head_bytes >= r.content_length) {
        bool stays = true;
        if (r.method == HTTP_POST) {
            stays = predict(f, c->fd, (struct str){c->in.p + r.head_bytes, (size_t)r.content_length});
        } else {
            struct buf out;
            buf_init(&out, 4096);
            put_answer(f, 200,
                       STR("{\"name\":\"m\",\"versions\":[\"1\"],\"platform\":\"xgboost_json\",\"inputs\":[{"
                           "\"name\":"
                           "\"input\",\"datatype\":\"FP32\",\"shape\":[-1,5]}],\"outputs\":[]}"),
                       &out);
            send_all(c->fd, buf_str(&out));
            buf_done(&out);
            stays = !f->goodbye;
        }
        buf_consume(&c->in, r.head_bytes + (size_t)r.content_length);
        if (!stays)
            return false;
    }
    return rc >= 0;
}

static bool ready(struct fake_server *f, struct conn *c)
{
    char *to = buf_reserve(&c->in, 1 << 16);
    ssize_t n = to ? recv(c->fd, to, 1 << 16, 0) : 0;
    if (n <= 0)
        return false;
    buf_advance(&c->in, (size_t)n);
    return serve(f, c);
}

static void drop(struct conn *c)
{
    close(c->fd);
    buf_done(&c->in);
    c->fd = -1;
}

static void accept_one(struct fake_server *f, struct conn *conns)
{
    int fd = accept(f->listener, NULL, NULL);
    if (fd < 0)
        return;
    atomic_fetch_add(&f->n_connections, 1);
    for (int i = 0; i < CONNS; i++)
        if (conns[i].fd < 0) {
            conns[i].fd = fd;
            buf_init(&conns[i].in, 1 << 24);
            return;
        }
    close(fd);
}

static void *run(void *arg)
{
    struct fake_server *f = arg;
    struct conn conns[CONNS];
    struct pollfd fds[CONNS + 1];
    for (int i = 0; i < CONNS; i++)
        conns[i].fd = -1;
    while (!atomic_load(&f->stop)) {
        for (int i = 0; i < CONNS; i++)
            fds[i] = (struct pollfd){.fd = conns[i].fd, .events = POLLIN};
        fds[CONNS] = (struct pollfd){.fd = f->listener, .events = POLLIN};
        poll(fds, CONNS + 1, 50);
        for (int i = 0; i < CONNS; i++)
            if (fds[i].revents && !ready(f, &conns[i]))
                drop(&conns[i]);
        if (fds[CONNS].revents)
            accept_one(f, conns);
    }
    for (int i = 0; i < CONNS; i++)
        if (conns[i].fd >= 0)
            drop(&conns[i]);
    return NULL;
}

void fake_server_start(struct fake_server *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(bind(f->listener, (struct sockaddr *)&a, n) == 0 && listen(f->listener, 128) == 0);
    ASSERT(getsockname(f->listener, (struct sockaddr *)&a, &n) == 0);
    f->port = ntohs(a.sin_port);
    ASSERT(pthread_create(&f->thread, NULL, run, f) == 0);
}

void fake_server_stop(struct fake_server *f)
{
    atomic_store(&f->stop, true);
    pthread_join(f->thread, NULL);
    close(f->listener);
}
