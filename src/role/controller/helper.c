// SPDX-License-Identifier: Apache-2.0
// The life of a throw-away process. Nothing that it does may hold the loop: its pipe is read without waiting,
// it is killed with all processes it may have started, and one that does not die at once is reaped later.
#include "role/controller/helper.h"

#include "base/clock.h"
#include "os/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 4096 };

struct helper {
    struct controller *c;
    struct helper *next, **link;
    struct proc proc;
    struct watch ended, readable;
    struct timer deadline;
    int report_fd;
    struct buf report; // what was read of it so far
    size_t n_told;     // bytes of it that on_line has had
    void (*on_line)(void *owner, struct str line);
    void (*on_end)(void *owner, const struct helper_end *end); // NULL once nobody is interested
    void *owner;
};

static void helper_free(struct helper *h)
{
    loop_timer_clear(h->c->loop, &h->deadline);
    loop_remove(h->c->loop, &h->readable);
    if (h->report_fd >= 0)
        close(h->report_fd);
    buf_done(&h->report);
    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
    free(h);
}

static void tell(struct helper *h, const struct helper_end *end)
{
    void (*on_end)(void *, const struct helper_end *) = h->on_end;
    h->on_end = NULL;
    if (on_end)
        on_end(h->owner, end);
}

// Reads what is there. One that writes more than it may is not read any more.
static void read_report(struct helper *h)
{
    ssize_t n = 1;
    while (n > 0 && !h->report.failed) {
        char *to = buf_reserve(&h->report, READ_BYTES);
        n = to ? read(h->report_fd, to, READ_BYTES) : 0;
        if (n > 0)
            buf_advance(&h->report, (size_t)n);
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        loop_remove(h->c->loop, &h->readable);
}

static void tell_lines(struct helper *h)
{
    if (h->n_told == h->report.n)
        return;
    struct str rest = {h->report.p + h->n_told, h->report.n - h->n_told};
    for (const char *end;
         rest.n && h->on_line && h->on_end && (end = memchr(rest.p, '\n', rest.n)) != NULL;) {
        struct str line = {rest.p, (size_t)(end - rest.p)};
        h->n_told += line.n + 1;
        rest = (struct str){end + 1, rest.n - line.n - 1};
        h->on_line(h->owner, line);
    }
}

static void on_readable(struct watch *w, uint32_t events)
{
    (void)events;
    struct helper *h = (struct helper *)((char *)w - offsetof(struct helper, readable));
    read_report(h);
    tell_lines(h);
}

static void on_ended(struct watch *w, uint32_t events)
{
    (void)events;
    struct helper *h = (struct helper *)((char *)w - offsetof(struct helper, ended));
    struct helper_end end = {0};
    proc_kill_group(&h->proc);  // what it left behind
    loop_remove(h->c->loop, w); // proc_reap closes it
    if (!proc_reap(&h->proc, &end.status))
        end.status = -SIGKILL; // cannot be: it is readable once the process has ended
    // All it wrote lies in the pipe. One that let another process keep the other end does not hold us.
    read_report(h);
    tell_lines(h);
    end.report = h->report.failed ? (struct str){0} : buf_str(&h->report);
    tell(h, &end);
    helper_free(h);
}

static void on_late(struct timer *t)
{
    struct helper *h = (struct helper *)((char *)t - offsetof(struct helper, deadline));
    proc_kill_group(&h->proc);
    tell(h, &(struct helper_end){.status = -SIGKILL, .is_late = true});
}

// On failure what was made so far is the caller's to undo.
static int launch(struct helper *h, const struct helper_spec *s, struct err *e)
{
    int pipe_fds[2], fds[HELPER_FDS_MAX + 1];
    char *no_environ[] = {NULL};
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_errno(e, errno, "open a pipe");
    h->report_fd = pipe_fds[0];
    memcpy(fds, s->fds, s->n_fds * sizeof fds[0]);
    fds[s->n_fds] = pipe_fds[1];
    struct proc_spec spec = {.argv = s->argv, .envp = no_environ, .fds = fds, .n_fds = s->n_fds + 1};
    int rc = fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK) < 0 ? err_errno(e, errno, "prepare a pipe") : 0;
    if (!rc)
        rc = proc_spawn(&spec, &h->proc, e);
    close(pipe_fds[1]);
    if (rc)
        return rc;
    h->ended = (struct watch){h->proc.pidfd, on_ended};
    h->readable = (struct watch){h->report_fd, on_readable};
    h->deadline.on_due = on_late;
    rc = loop_timer_set(h->c->loop, &h->deadline, clock_mono_ns() + s->timeout_ms * UINT64_C(1000000), e);
    if (!rc)
        rc = loop_add(h->c->loop, &h->readable, EPOLLIN, e);
    return rc ? rc : loop_add(h->c->loop, &h->ended, EPOLLIN, e);
}

int helper_start(struct controller *c, const struct helper_spec *s, struct helper **ret, struct err *e)
{
    struct helper *h = calloc(1, sizeof *h);
    if (!h)
        return err_set(e, ERR_NOMEM, "no memory for a process");
    *h = (struct helper){.c = c,
                         .proc.pidfd = -1,
                         .report_fd = -1,
                         .on_line = s->on_line,
                         .on_end = s->on_end,
                         .readable = {-1, on_readable},
                         .owner = s->owner,
                         .next = c->helpers,
                         .link = &c->helpers};
    if (h->next)
        h->next->link = &h->next;
    c->helpers = h;
    buf_init(&h->report, HELPER_REPORT_MAX + READ_BYTES);
    int rc = launch(h, s, e);
    if (rc) {
        proc_end(&h->proc);
        helper_free(h);
        return rc;
    }
    *ret = h;
    return 0;
}

void helper_cancel(struct helper *h)
{
    if (!h)
        return;
    h->on_end = NULL;
    proc_kill_group(&h->proc);
}

void helpers_end(struct controller *c)
{
    while (c->helpers) {
        struct helper *h = c->helpers;
        loop_remove(c->loop, &h->ended);
        proc_kill_group(&h->proc);
        proc_end(&h->proc);
        helper_free(h);
    }
}
