// SPDX-License-Identifier: Apache-2.0
// The engine: one loop that sends what is due, takes what has arrived, and keeps the books. Connections are
// load_conn.c, answers load_reply.c, requests load_set.c.
#include "cli/load_conn.h"

#include "base/clock.h"

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EVENTS = 256, SWEEP_NS = 1000000, RETRY_NS = 10000000, IDLE_NS = 20000000 };

struct engine {
    const struct load_options *o;
    struct load_result *r;
    struct load_conn *conns;
    int epoll;
    struct addrinfo *to;
    // Connections with room, oldest first: a ring of n_connections.
    struct load_conn **line;
    int line_first, line_n;
    size_t next_request;
    uint64_t n_started, n_under_way;
    uint64_t now_ns, start_ns, count_from_ns, end_ns, sweep_ns;
    uint64_t due_ns;  // open loop: when the next request is meant to be sent
    double due_exact; // the same, in ns since start_ns
    uint64_t random;
};

// ---- the schedule of an open loop

static double uniform(uint64_t *state) // in (0, 1]
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53 + 0x1p-53;
}

static void due_next(struct engine *g)
{
    double gap = 1e9 / g->o->rate;
    g->due_exact += g->o->even ? gap : -log(uniform(&g->random)) * gap;
    g->due_ns = g->start_ns + (uint64_t)g->due_exact;
}

// ---- the books

static void note(struct engine *g, const char *what)
{
    if (!g->r->problem[0])
        snprintf(g->r->problem, sizeof g->r->problem, "%s", what);
}

static bool counts(const struct engine *g, const struct load_slot *s)
{
    return s->intended_ns >= g->count_from_ns;
}

static void unanswered(struct engine *g, struct load_conn *c, uint64_t *counter)
{
    while (c->n) {
        struct load_slot s = load_conn_pop(c);
        g->n_under_way--;
        if (!counts(g, &s))
            continue;
        ++*counter;
        // A lower bound of its latency: leaving it out would make a stalled server look fast.
        hist_add(&g->r->latency, g->now_ns - s.intended_ns);
    }
}

static void answered(struct engine *g, const struct load_slot *s, const struct load_reply *a)
{
    char problem[sizeof g->r->problem] = "";
    bool ok = a->status >= 200 && a->status < 300;
    bool right = ok && load_reply_right(g->o->set, s->request, a->body, problem, sizeof problem);
    if (!ok)
        snprintf(problem, sizeof problem, "status %d: '%.*s'", a->status,
                 (int)(a->body.n < 160 ? a->body.n : 160), a->body.n ? a->body.p : "");
    if (!right)
        note(g, problem);
    // Wrong answers of the warm-up are wrong answers.
    g->r->n_refused += !ok;
    g->r->n_wrong += ok && !right;
    if (!counts(g, s))
        return;
    g->r->n_answered++;
    g->r->n_in_time += g->now_ns <= g->end_ns;
    hist_add(&g->r->latency, g->now_ns - s->intended_ns);
}

// ---- connections

static void watch(struct engine *g, struct load_conn *c, int op)
{
    struct epoll_event ev = {.events = EPOLLIN | (c->wants_out ? EPOLLOUT : 0), .data.ptr = c};
    // Fails only for want of kernel memory; the connection then shows as timeouts.
    if (epoll_ctl(g->epoll, op, c->fd, &ev) != 0)
        note(g, "epoll refuses a connection");
}

static void conn_start(struct engine *g, struct load_conn *c)
{
    c->retry_ns = g->now_ns + RETRY_NS;
    if (!load_conn_open(c, g->to->ai_addr, g->to->ai_addrlen)) {
        note(g, strerror(errno));
        return;
    }
    c->wants_out = true;
    watch(g, c, EPOLL_CTL_ADD);
}

static void conn_lost(struct engine *g, struct load_conn *c, uint64_t *counter)
{
    unanswered(g, c, counter);
    load_conn_close(c);
    g->r->n_reconnects++;
    c->retry_ns = g->now_ns;
}

static bool may_start(const struct engine *g)
{
    return g->now_ns < g->end_ns && (!g->o->max_requests || g->n_started < g->o->max_requests);
}

static void push(struct engine *g, struct load_conn *c, uint64_t intended_ns)
{
    struct load_request *q = &g->o->set->requests[g->next_request];
    g->next_request = g->next_request + 1 < g->o->set->n ? g->next_request + 1 : 0;
    load_conn_push(c, q, intended_ns, g->now_ns);
    g->n_started++;
    g->n_under_way++;
    if (intended_ns >= g->count_from_ns)
        hist_add(&g->r->lag, g->now_ns - intended_ns);
}

static void flush(struct engine *g, struct load_conn *c)
{
    struct err e;
    int64_t n = load_conn_flush(c, &e);
    if (n < 0) {
        note(g, e.msg);
        conn_lost(g, c, &g->r->n_broken);
        return;
    }
    g->r->bytes_out += (uint64_t)n;
    bool wants = c->out.n > 0;
    if (wants != c->wants_out) {
        c->wants_out = wants;
        watch(g, c, EPOLL_CTL_MOD);
    }
}

static void line_up(struct engine *g, struct load_conn *c)
{
    if (c->waits || !load_conn_has_room(c))
        return;
    int at = g->line_first + g->line_n++;
    g->line[at < g->o->n_connections ? at : at - g->o->n_connections] = c;
    c->waits = true;
}

// What a connection with room does next: a closed loop fills it, an open loop lets it wait its turn.
static void refill(struct engine *g, struct load_conn *c)
{
    if (g->o->rate > 0) {
        line_up(g, c);
        return;
    }
    while (load_conn_has_room(c) && may_start(g))
        push(g, c, g->now_ns);
    if (c->fd >= 0 && !c->connecting)
        flush(g, c);
}

static void send_due(struct engine *g)
{
    while (g->due_ns <= g->now_ns && g->due_ns < g->end_ns && g->line_n &&
           (!g->o->max_requests || g->n_started < g->o->max_requests)) {
        struct load_conn *c = g->line[g->line_first];
        g->line_first = g->line_first + 1 < g->o->n_connections ? g->line_first + 1 : 0;
        g->line_n--;
        c->waits = false;
        if (!load_conn_has_room(c)) // lost since it lined up
            continue;
        push(g, c, g->due_ns);
        due_next(g);
        flush(g, c);
        line_up(g, c);
        g->now_ns = clock_mono_ns();
    }
}

// Takes all whole answers out of the buffer. False when the connection is to be closed.
static bool take_answers(struct engine *g, struct load_conn *c)
{
    struct err e;
    struct load_reply a;
    size_t at = 0, left;
    int rc = 0;
    bool stays = true;
    while (stays && at < c->in.n) {
        left = c->in.n - at;
        rc = load_reply_take(&c->reader, c->in.p + at, &left, &a, &e);
        c->in.n = at + left;
        if (rc <= 0)
            break;
        if (c->n == 0) {
            rc = err_set(&e, ERR_BAD_HTTP, "an answer that nobody asked for");
            break;
        }
        struct load_slot s = load_conn_pop(c);
        g->n_under_way--;
        answered(g, &s, &a);
        at += a.bytes;
        stays = a.keep_alive;
    }
    buf_consume(&c->in, at);
    if (rc < 0)
        note(g, e.msg);
    return rc >= 0 && stays;
}

static void conn_ready(struct engine *g, struct load_conn *c, uint32_t events)
{
    struct err e;
    if (c->connecting) {
        int why = 0;
        socklen_t n = sizeof why;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &why, &n);
        if (why) {
            note(g, strerror(why));
            load_conn_close(c);
            return;
        }
        if (!(events & EPOLLOUT))
            return;
        c->connecting = false;
        flush(g, c);
        refill(g, c);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        int64_t n = load_conn_read(c, &e);
        g->now_ns = clock_mono_ns();
        g->r->bytes_in += n > 0 ? (uint64_t)n : 0;
        if (n < 0 && c->n)
            note(g, e.msg);
        if (n < 0 || !take_answers(g, c)) {
            conn_lost(g, c, &g->r->n_broken);
            return;
        }
    } else if (events & EPOLLOUT) {
        flush(g, c);
    }
    if (c->fd >= 0)
        refill(g, c);
}

// Once a millisecond: answers that are overdue, connections to make again.
static void sweep(struct engine *g)
{
    g->sweep_ns = g->now_ns + SWEEP_NS;
    for (int i = 0; i < g->o->n_connections; i++) {
        struct load_conn *c = &g->conns[i];
        struct load_slot *oldest = load_conn_oldest(c);
        if (oldest && oldest->sent_ns + g->o->timeout_ns <= g->now_ns) {
            note(g, "no answer in time");
            conn_lost(g, c, &g->r->n_timeouts);
        }
        if (c->fd < 0 && c->retry_ns <= g->now_ns && g->now_ns < g->end_ns)
            conn_start(g, c);
    }
}

static bool backlog(const struct engine *g)
{
    return g->o->rate > 0 && g->due_ns < g->end_ns &&
           (!g->o->max_requests || g->n_started < g->o->max_requests);
}

static bool finished(const struct engine *g)
{
    if (g->now_ns >= g->end_ns + g->o->timeout_ns)
        return true;
    bool all_started = g->o->max_requests && g->n_started >= g->o->max_requests;
    return (g->now_ns >= g->end_ns || all_started) && g->n_under_way == 0 && !backlog(g);
}

// How long the loop may sleep: a sleeping open loop wakes for its next request.
static struct timespec sleep_time(const struct engine *g)
{
    uint64_t ns = IDLE_NS;
    if (g->o->spin)
        ns = 0;
    else if (g->o->rate > 0 && g->line_n && g->due_ns < g->now_ns + ns)
        ns = g->due_ns > g->now_ns ? g->due_ns - g->now_ns : 0;
    return (struct timespec){.tv_nsec = (long)ns};
}

// Older kernels and some sandboxes sleep only whole milliseconds: rather wake too early there.
static int wait_events(struct engine *g, struct epoll_event *events)
{
    struct timespec t = sleep_time(g);
    int n = -1;
    if (t.tv_nsec && (n = epoll_pwait2(g->epoll, events, EVENTS, &t, NULL)) < 0 && errno == ENOSYS)
        t.tv_nsec = t.tv_nsec / 1000000 * 1000000;
    else if (t.tv_nsec)
        return n;
    return epoll_wait(g->epoll, events, EVENTS, (int)(t.tv_nsec / 1000000));
}

static int turn(struct engine *g, struct err *e)
{
    struct epoll_event events[EVENTS];
    int n = wait_events(g, events);
    if (n < 0 && errno != EINTR)
        return err_errno(e, errno, "epoll_wait");
    g->now_ns = clock_mono_ns();
    for (int i = 0; i < n; i++)
        conn_ready(g, events[i].data.ptr, events[i].events);
    if (g->o->rate > 0)
        send_due(g);
    if (g->now_ns >= g->sweep_ns)
        sweep(g);
    return 0;
}

static int until_finished(struct engine *g, struct err *e)
{
    int rc = 0;
    while (!rc && !finished(g))
        rc = turn(g, e);
    return rc;
}

// Requests that were due and found no connection waited as well.
static void count_backlog(struct engine *g)
{
    for (; backlog(g); due_next(g)) {
        g->n_started++;
        if (g->due_ns < g->count_from_ns || g->due_ns >= g->now_ns)
            continue;
        g->r->n_timeouts++;
        hist_add(&g->r->latency, g->now_ns - g->due_ns);
    }
}

// ---- setting up

static int probe(struct engine *g, struct err *e)
{
    const struct load_options *o = g->o;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int rc = getaddrinfo(o->host, o->port, &hints, &g->to);
    if (rc)
        return err_set(e, ERR_UNAVAILABLE, "look up '%s': %s", o->host, gai_strerror(rc));
    int fd = socket(g->to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(e, errno, "open a socket");
    rc = connect(fd, g->to->ai_addr, g->to->ai_addrlen);
    if (rc)
        rc = err_set(e, ERR_UNAVAILABLE, "connect to %s port %s: %s", o->host, o->port, strerror(errno));
    close(fd);
    return rc;
}

static int prepare(struct engine *g, struct err *e)
{
    int n = g->o->n_connections, rc = probe(g, e);
    g->conns = calloc((size_t)n, sizeof *g->conns);
    g->line = calloc((size_t)n, sizeof *g->line);
    if (!rc && (!g->conns || !g->line))
        rc = err_set(e, ERR_NOMEM, "no memory for %d connections", n);
    for (int i = 0; g->conns && i < n; i++)
        g->conns[i].fd = -1;
    for (int i = 0; !rc && i < n; i++)
        rc = load_conn_init(&g->conns[i], g->o->depth, e);
    g->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!rc && g->epoll < 0)
        rc = err_errno(e, errno, "epoll_create1");
    return rc;
}

static void tear_down(struct engine *g)
{
    for (int i = 0; g->conns && i < g->o->n_connections; i++)
        load_conn_done(&g->conns[i]);
    free(g->conns);
    free(g->line);
    if (g->epoll >= 0)
        close(g->epoll);
    if (g->to)
        freeaddrinfo(g->to);
}

static uint64_t own_cpu_ns(void)
{
    struct rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return ((uint64_t)u.ru_utime.tv_sec + (uint64_t)u.ru_stime.tv_sec) * 1000000000U +
           ((uint64_t)u.ru_utime.tv_usec + (uint64_t)u.ru_stime.tv_usec) * 1000U;
}

int load_run(const struct load_options *o, struct load_result *ret, struct err *e)
{
    struct engine g = {.o = o, .r = ret, .epoll = -1, .random = o->seed};
    *ret = (struct load_result){0};
    prctl(PR_SET_TIMERSLACK, 1UL); // a sleeping open loop must not wake 50 us late
    int rc = prepare(&g, e);
    uint64_t cpu_ns = own_cpu_ns();
    g.now_ns = g.start_ns = clock_mono_ns();
    g.count_from_ns = g.start_ns + o->warmup_ns;
    g.end_ns = g.count_from_ns + o->duration_ns;
    if (o->rate > 0)
        due_next(&g);
    for (int i = 0; !rc && i < o->n_connections; i++)
        conn_start(&g, &g.conns[i]);
    if (!rc)
        rc = until_finished(&g, e);
    for (int i = 0; !rc && i < o->n_connections; i++)
        unanswered(&g, &g.conns[i], &ret->n_timeouts);
    ret->n_sent = g.n_started;
    count_backlog(&g);
    uint64_t stop_ns = g.now_ns < g.end_ns ? g.now_ns : g.end_ns;
    ret->window_ns = stop_ns > g.count_from_ns ? stop_ns - g.count_from_ns : 0;
    ret->cpu_ns = own_cpu_ns() - cpu_ns;
    tear_down(&g);
    return rc;
}

double load_result_rate(const struct load_result *r)
{
    return r->window_ns ? (double)r->n_in_time * 1e9 / (double)r->window_ns : 0;
}

bool load_result_clean(const struct load_result *r)
{
    return r->n_answered && !r->n_wrong && !r->n_refused && !r->n_timeouts && !r->n_broken;
}
