// SPDX-License-Identifier: Apache-2.0
// What the prediction log is asked for. Files are read by a process of its own (role/log_worker.h), whose
// lines are passed on as fast as the client takes them.
#include "os/proc.h"
#include "role/ipc.h"
#include "role/log_worker.h"
#include "role/monitor/log_parts.h"
#include "role/monitor/routes.h"
#include "role/monitor/sinks.h"
#include "settings/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

enum { WAITING_MAX = 256 << 10, READ_BYTES = 64 << 10, QUERIES_MAX = 8, LINE_MAX_BYTES = 32 << 20 };

struct query {
    struct request *r;
    struct proc proc;
    struct watch readable; // its pipe; fd -1: at its end
    struct buf text;       // read, not passed on: the last line stays here
    bool is_paused;        // the client is slower
};

static void query_free(struct request *r)
{
    struct query *q = r->state;
    r->state = NULL;
    r->on_drained = NULL;
    r->m->n_queries--;
    if (q->readable.fd >= 0) {
        loop_remove(r->m->loop, &q->readable);
        close(q->readable.fd);
    }
    proc_end(&q->proc); // at its end, or nobody wants its lines any more
    buf_done(&q->text);
    free(q);
}

// The last line: of an error that came before anything else was said, its status.
static void answer(struct query *q)
{
    struct request *r = q->r;
    int status = 200;
    struct str last = buf_str(&q->text);
    if (last.n && last.p[last.n - 1] == '\n')
        last.n--;
    yyjson_doc *doc = r->has_lines ? NULL : yyjson_read(last.p, last.n, 0);
    yyjson_val *said = yyjson_obj_get(yyjson_doc_get_root(doc), "status");
    if (yyjson_obj_get(yyjson_doc_get_root(doc), "error") && r->out.n == 0 && yyjson_get_int(said) >= 400)
        status = yyjson_get_int(said);
    yyjson_doc_free(doc);
    buf_put_str(&r->out, last);
    if (!r->has_lines && r->out.n)
        buf_putc(&r->out, '\n');
    request_answer(r, status, status == 200 ? "application/x-ndjson" : "application/json");
}

// All whole lines but the last.
static void pass_on(struct query *q)
{
    struct str rest = buf_str(&q->text);
    struct request *r = q->r;
    for (const char *end; (end = memchr(rest.p, '\n', rest.n)) && end + 1 < rest.p + rest.n;) {
        struct str line = {rest.p, (size_t)(end - rest.p)};
        if (r->takes_lines)
            request_line(r, line);
        else
            buf_put(&r->out, line.p, line.n + 1);
        if (r->is_over)
            return;
        rest = (struct str){end + 1, rest.n - line.n - 1};
    }
    buf_consume(&q->text, q->text.n - rest.n);
}

static void stop_reading(struct query *q)
{
    loop_remove(q->r->m->loop, &q->readable);
    close(q->readable.fd);
    q->readable.fd = -1;
}

// q may be gone after this.
static void refuse(struct query *q)
{
    struct err e;
    stop_reading(q);
    err_set(&e, ERR_TOO_LARGE, "the lines have more than %d bytes together, or one of them more than %d",
            IPC_ANSWER_MAX, LINE_MAX_BYTES);
    err_hint(&e, "Ask with 'Accept: application/x-ndjson', which has no limit on all of them, or for fewer: "
                 "limit=, from=, to=.");
    request_fail(q->r, &e);
}

static void finish(struct query *q)
{
    stop_reading(q);
    pass_on(q);
    if (!q->r->is_over)
        answer(q);
}

static void on_readable(struct watch *w, uint32_t events)
{
    (void)events;
    struct query *q = (struct query *)((char *)w - offsetof(struct query, readable));
    struct request *r = q->r;
    char *to = buf_reserve(&q->text, READ_BYTES);
    if (!to) {
        refuse(q);
        return;
    }
    ssize_t n = read(w->fd, to, READ_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        finish(q);
        return;
    }
    buf_advance(&q->text, (size_t)n);
    pass_on(q);
    if (r->is_over)
        return;
    if (r->out.failed) {
        refuse(q);
    } else if (r->lines.n > WAITING_MAX && !q->is_paused) {
        q->is_paused = true;
        loop_remove(r->m->loop, w);
    }
}

static void on_drained(struct request *r)
{
    struct query *q = r->state;
    struct err e;
    if (!q || !q->is_paused)
        return;
    q->is_paused = false;
    if (loop_add(r->m->loop, &q->readable, EPOLLIN, &e))
        request_fail(r, &e);
}

static int start(struct query *q, const char *kind, const char *argument, struct err *e)
{
    struct monitor *m = q->r->m;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(e, errno, "open a pipe");
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    char *argv[7] = {NULL};
    const char *words[] = {"slipway", LOG_WORKER_ROLE, kind, m->data_dir, argument};
    int rc = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0] && words[i]; i++)
        if (!(argv[i] = strdup(words[i])))
            rc = err_set(e, ERR_NOMEM, "no memory to look into the prediction log");
    struct proc_spec spec = {.argv = argv, .envp = environ, .fds = &ends[1], .n_fds = 1};
    if (!rc)
        rc = proc_spawn(&spec, &q->proc, e);
    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
    close(ends[1]);
    q->readable = (struct watch){ends[0], on_readable};
    if (!rc)
        rc = loop_add(m->loop, &q->readable, EPOLLIN, e);
    if (rc) {
        close(ends[0]);
        q->readable.fd = -1;
    }
    return rc;
}

static int ask(struct request *r, const char *kind, const char *argument, struct err *e)
{
    if (r->m->n_queries >= QUERIES_MAX)
        return err_set(e, ERR_BUSY, "%d others look into the prediction log", QUERIES_MAX);
    struct query *q = calloc(1, sizeof *q);
    if (!q)
        return err_set(e, ERR_NOMEM, "no memory to look into the prediction log");
    *q = (struct query){.r = r, .proc.pidfd = -1, .readable.fd = -1};
    buf_init(&q->text, LINE_MAX_BYTES);
    r->state = q;
    r->state_free = query_free;
    r->on_drained = on_drained;
    r->m->n_queries++;
    return start(q, kind, argument, e); // on an error the request ends, and with it q
}

int log_lines(struct request *r, struct err *e)
{
    char *query = str_dup(r->query);
    int rc = query ? ask(r, "query", query, e) : err_set(e, ERR_NOMEM, "no memory for a request");
    free(query);
    return rc;
}

int log_manifest(struct request *r, struct err *e)
{
    return ask(r, "manifest", NULL, e);
}

int log_verify(struct request *r, struct err *e)
{
    return ask(r, "verify", NULL, e);
}

void log_put_metrics(const struct monitor *m, struct buf *out)
{
    const struct log_state *l = m->prediction_log;
    if (!l)
        return;
    buf_printf(
        out,
        "# HELP slipway_log_unreadable_files Files of the write-ahead log that could not be opened and "
        "were set aside.\n# TYPE slipway_log_unreadable_files gauge\n"
        "slipway_log_unreadable_files %u\n",
        l->n_aside);
}

int log_status(struct request *r, struct err *e)
{
    const struct log_state *l = r->m->prediction_log;
    struct log_counts c;
    int rc = log_memory_counts(r->m->args->log_fd, r->m->args->n_gateways, &c, e);
    if (rc)
        return rc;
    buf_printf(&r->out,
               "{\"accepted\":%llu,\"committed\":%llu,\"dropped\":%llu,\"waiting\":%llu,\"dropped_by\":{",
               (unsigned long long)c.accepted, (unsigned long long)c.committed,
               (unsigned long long)log_counts_dropped(&c), (unsigned long long)log_counts_waiting(&c));
    for (int k = 0; k < LOG_REASONS; k++)
        buf_printf(&r->out, "%s\"%s\":%llu", k ? "," : "", log_reason_name((enum log_reason)k),
                   (unsigned long long)c.dropped[k]);
    buf_printf(
        &r->out, "},\"committed_seq\":%llu,\"writable\":%s,\"sealing\":%s,\"unreadable_files\":%u,\"sinks\":",
        l->wal ? (unsigned long long)wal_committed_seq(l->wal) : 0ull,
        l->wal && !l->failed_mono_ns ? "true" : "false", l->sealer.pid > 0 ? "true" : "false", l->n_aside);
    sinks_put(r->m, &r->out);
    buf_putc(&r->out, '}');
    request_answer(r, 200, "application/json");
    return 0;
}
