// SPDX-License-Identifier: Apache-2.0
// The blocking HTTP client of the verbs.
#include "cli/client.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEFAULT_TIMEOUT_S = 30, UPLOAD_CHUNK_BYTES = 256 << 10, READ_BYTES = 64 << 10 };

// ---- where the server is

static int bad_url(const char *url, struct err *e)
{
    err_set(e, ERR_INVALID, "'%.120s' is not a server's URL", url);
    err_hint(e, str_starts(str_of(url), STR("https:"))
                    ? "This client speaks plain http only: http://HOST:PORT."
                    : "Write it as http://HOST:PORT.");
    return ERR_INVALID;
}

int client_init_url(struct client *c, const char *url, uint64_t timeout_ms, struct err *e)
{
    *c = (struct client){.fd = -1, .timeout_ms = timeout_ms};
    reader_init(&c->reader);
    struct str rest = str_of(url), scheme = STR("http://");
    if (!str_starts(rest, scheme))
        return bad_url(url, e);
    rest = (struct str){rest.p + scheme.n, rest.n - scheme.n};
    while (rest.n && rest.p[rest.n - 1] == '/')
        rest.n--;
    struct str host = rest, port = STR("80");
    bool v6 = rest.n && rest.p[0] == '[';
    const char *from = v6 ? memchr(rest.p, ']', rest.n) : rest.p;
    const char *colon = from ? memchr(from, ':', (size_t)(rest.p + rest.n - from)) : NULL;
    if (!from)
        return bad_url(url, e);
    if (colon) {
        host.n = (size_t)(colon - rest.p);
        port = (struct str){colon + 1, rest.n - host.n - 1};
    }
    snprintf(c->url, sizeof c->url, "http://" STR_FMT, STR_ARG(rest));
    if (v6)
        host = (struct str){host.p + 1, host.n - 2};
    uint64_t number;
    if (host.n == 0 || host.n >= sizeof c->host || memchr(host.p, '/', host.n) ||
        !str_to_u64(port, 65535, &number))
        return bad_url(url, e);
    memcpy(c->host, host.p, host.n);
    snprintf(c->port, sizeof c->port, "%u", (unsigned)number);
    return 0;
}

int client_init(struct client *c, const struct args *a, struct err *e)
{
    uint64_t seconds;
    const char *url = args_value(a, "url");
    if (!url)
        url = getenv("SLIPWAY_URL");
    int rc = args_number(a, "timeout", DEFAULT_TIMEOUT_S, 1, 86400, &seconds, e);
    if (rc)
        return rc;
    return client_init_url(c, url && *url ? url : "http://127.0.0.1:8080", seconds * 1000, e);
}

void client_done(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    reader_done(&c->reader);
}

// ---- the connection

int client_unreachable(const struct client *c, int errno_value, struct err *e)
{
    if (errno_value == ECONNREFUSED || errno_value == 0) {
        err_set(e, ERR_UNAVAILABLE, "Nothing answers at %s.", c->url);
        err_hint(e, "Start it with: slipway serve. Another server is chosen by --url or SLIPWAY_URL.");
    } else {
        err_set(e, ERR_UNAVAILABLE, "%s cannot be reached: %s", c->url, strerrordesc_np(errno_value));
        err_hint(e, "Check the address given by --url or SLIPWAY_URL.");
    }
    return ERR_UNAVAILABLE;
}

static void set_timeouts(int fd, uint64_t timeout_ms)
{
    struct timeval t = {(time_t)(timeout_ms / 1000), (suseconds_t)(timeout_ms % 1000 * 1000)};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

int client_connect(const struct client *c, int *ret_fd, struct err *e)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all;
    int problem = getaddrinfo(c->host, c->port, &hints, &all), last = 0, one = 1;
    if (problem) {
        err_set(e, ERR_UNAVAILABLE, "%s: the host name is not known: %s", c->url, gai_strerror(problem));
        err_hint(e, "Check the address given by --url or SLIPWAY_URL.");
        return ERR_UNAVAILABLE;
    }
    *ret_fd = -1;
    for (struct addrinfo *i = all; i && *ret_fd < 0; i = i->ai_next) {
        int fd = socket(i->ai_family, i->ai_socktype | SOCK_CLOEXEC, i->ai_protocol);
        if (fd >= 0)
            set_timeouts(fd, c->timeout_ms);
        if (fd >= 0 && connect(fd, i->ai_addr, i->ai_addrlen) == 0) {
            *ret_fd = fd;
            break;
        }
        last = errno;
        if (fd >= 0)
            close(fd);
    }
    freeaddrinfo(all);
    if (*ret_fd < 0)
        return client_unreachable(c, last == EINPROGRESS ? ETIMEDOUT : last, e);
    (void)setsockopt(*ret_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return 0;
}

static void drop(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    reader_reset(&c->reader);
}

// ---- one request

static int timed_out(const struct client *c, uint64_t timeout_ms, struct err *e)
{
    err_set(e, ERR_REQUEST_TIMEOUT, "%s did not answer within %" PRIu64 " seconds", c->url,
            timeout_ms / 1000);
    err_hint(e, "A longer wait is set by --timeout SECONDS.");
    return ERR_REQUEST_TIMEOUT;
}

// ERR_UNAVAILABLE: the other end closed, which may well mean that an answer is waiting to be read.
static int send_all(const struct client *c, const char *p, size_t n, struct err *e)
{
    while (n) {
        ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return timed_out(c, c->timeout_ms, e);
        if (sent < 0)
            return err_set(e, ERR_UNAVAILABLE, "%s closed the connection: %s", c->url,
                           strerrordesc_np(errno));
        p += sent;
        n -= (size_t)sent;
    }
    return 0;
}

// Sends the file. Stops early, without an error, when the server answers before it has everything: it
// refuses.
static int send_upload(const struct client *c, const struct client_upload *u, struct err *e)
{
    uint64_t sent = 0;
    int rc = 0;
    char *chunk = malloc(UPLOAD_CHUNK_BYTES);
    if (!chunk)
        return err_set(e, ERR_NOMEM, "out of memory");
    while (rc == 0 && sent < u->size) {
        uint64_t left = u->size - sent;
        struct pollfd early = {c->fd, POLLIN, 0};
        if (poll(&early, 1, 0) > 0)
            break;
        ssize_t n =
            pread(u->fd, chunk, left < UPLOAD_CHUNK_BYTES ? (size_t)left : UPLOAD_CHUNK_BYTES, (off_t)sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_errno(e, errno, "read the file");
        else if (n == 0)
            rc = err_set(e, ERR_IO, "the file became shorter while it was sent");
        else if ((rc = send_all(c, chunk, (size_t)n, e)) == 0 && u->on_sent)
            u->on_sent(u->ctx, sent += (uint64_t)n);
        else
            sent += (uint64_t)n;
    }
    free(chunk);
    return rc;
}

static int send_request(const struct client *c, const struct client_request *q, struct err *e)
{
    struct buf head;
    uint64_t size = q->upload ? q->upload->size : q->body.n;
    bool v6 = strchr(c->host, ':') != NULL;
    buf_init(&head, 16 << 10);
    buf_printf(&head, "%s %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nUser-Agent: slipway-cli\r\nAccept: %s\r\n",
               q->method, q->path, v6 ? "[" : "", c->host, v6 ? "]" : "", c->port,
               q->accept ? q->accept : "application/json");
    if (q->idempotency_key)
        buf_printf(&head, "Idempotency-Key: %s\r\n", q->idempotency_key);
    if (q->content_type)
        buf_printf(&head, "Content-Type: %s\r\n", q->content_type);
    if (size || strcmp(q->method, "POST") == 0 || strcmp(q->method, "PUT") == 0)
        buf_printf(&head, "Content-Length: %" PRIu64 "\r\n", size);
    buf_puts(&head, "\r\n");
    int rc = head.failed ? err_set(e, ERR_TOO_LARGE, "the request's address is too long")
                         : send_all(c, head.p, head.n, e);
    buf_done(&head);
    if (rc == 0)
        rc = q->upload ? send_upload(c, q->upload, e) : send_all(c, q->body.p, q->body.n, e);
    return rc;
}

static int receive(struct client *c, const struct client_request *q, struct reply *ret, struct err *e)
{
    bool end = false, head = strcmp(q->method, "HEAD") == 0;
    uint64_t timeout_ms = q->timeout_ms ? q->timeout_ms : c->timeout_ms;
    set_timeouts(c->fd, timeout_ms);
    for (;;) {
        int rc = reader_take(&c->reader, end, head, ret, e);
        if (rc)
            return rc < 0 ? rc : 0;
        char *to = buf_reserve(&c->reader.in, READ_BYTES);
        ssize_t n = to ? recv(c->fd, to, READ_BYTES, 0) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return timed_out(c, timeout_ms, e);
        if (n > 0)
            buf_advance(&c->reader.in, (size_t)n);
        end = n <= 0;
    }
}

int client_call(struct client *c, const struct client_request *q, struct reply *ret, struct err *e)
{
    for (;;) {
        bool reused = c->used && c->fd >= 0;
        int rc = c->fd < 0 ? client_connect(c, &c->fd, e) : 0;
        if (rc)
            return rc;
        c->used = true;
        int sent = send_request(c, q, e);
        rc = sent == 0 || sent == ERR_UNAVAILABLE ? receive(c, q, ret, e) : sent;
        if (rc == 0 && (!ret->keep_alive || sent != 0 || q->upload)) {
            // The body lies in the reader's buffer, which closing leaves alone. A refused upload may not have
            // been sent whole: the next request would be read as the rest of it.
            close(c->fd);
            c->fd = -1;
        }
        if (rc == 0)
            return 0;
        drop(c);
        // A kept connection that the server closed meanwhile says nothing about the request: once more,
        // except where the request might have been carried out.
        if (!(reused && rc == ERR_UNAVAILABLE && strcmp(q->method, "POST") != 0))
            return rc;
    }
}

// ---- answers

static void copy_text(yyjson_val *object, const char *key, void (*put)(struct err *e, const char *fmt, ...),
                      struct err *e)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    if (text)
        put(e, "%s", text);
}

static int code_of(int status, const char *name)
{
    for (int code = -1; name && code > ERR_CODE_LIMIT; code--)
        if (strcmp(err_name(code), name) == 0)
            return code;
    switch (status) {
    case 403:
        return ERR_REFUSED;
    case 404:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    case 413:
        return ERR_TOO_LARGE;
    case 429:
        return ERR_BUSY;
    case 503:
        return ERR_UNAVAILABLE;
    default:
        return status < 500 ? ERR_INVALID : ERR_INTERNAL;
    }
}

int client_refusal(const struct reply *r, struct err *e)
{
    yyjson_doc *doc = r->body.n ? yyjson_read(r->body.p, r->body.n, 0) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *message = yyjson_get_str(yyjson_obj_get(root, "error"));
    int code = code_of(r->status, yyjson_get_str(yyjson_obj_get(root, "code")));
    if (message)
        err_set(e, code, "%s", message);
    else
        err_set(e, code, "the server answered %d %s", r->status, http_status_reason(r->status));
    copy_text(root, "path", err_at, e);
    copy_text(root, "hint", err_hint, e);
    yyjson_doc_free(doc);
    return code;
}

int client_download(struct client *c, const char *path,
                    int (*sink)(void *ctx, const char *p, size_t n, struct err *e), void *ctx, struct err *e)
{
    struct reply r;
    struct client_request q = {.method = "GET", .path = path};
    drop(c); // on a new connection nothing is asked twice: the sink must not get a body from the start again
    c->reader.sink = sink;
    c->reader.sink_ctx = ctx;
    int rc = client_call(c, &q, &r, e);
    c->reader.sink = NULL;
    return rc == 0 && r.status != 200 ? client_refusal(&r, e) : rc;
}

int client_json(struct client *c, const struct client_request *q, yyjson_doc **ret, struct err *e)
{
    int rc = client_ask(c, q, ret, e);
    if (rc) {
        yyjson_doc_free(*ret);
        *ret = NULL;
    }
    return rc;
}

int client_ask(struct client *c, const struct client_request *q, yyjson_doc **ret, struct err *e)
{
    struct reply r;
    *ret = NULL;
    int rc = client_call(c, q, &r, e);
    if (rc)
        return rc;
    *ret = r.body.n ? yyjson_read(r.body.p, r.body.n, 0) : NULL;
    if (r.status >= 300)
        return client_refusal(&r, e);
    if (r.body.n == 0 || *ret)
        return 0;
    err_set(e, ERR_BAD_JSON, "%s answered with something that is not JSON", c->url);
    err_hint(e, "Is it a Slipway server?");
    return ERR_BAD_JSON;
}

void client_put_segment(struct str segment, struct buf *out)
{
    for (size_t i = 0; i < segment.n; i++) {
        char c = segment.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '.' || c == '_' || c == '~';
        if (plain)
            buf_putc(out, c);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
    }
}

const char *client_path(struct buf *b, ...)
{
    va_list ap;
    va_start(ap, b);
    const char *part;
    for (bool fixed = true; (part = va_arg(ap, const char *)) != NULL; fixed = !fixed)
        if (fixed)
            buf_puts(b, part);
        else
            client_put_segment(str_of(part), b);
    va_end(ap);
    buf_putc(b, '\0');
    return b->failed ? "" : b->p;
}
