// SPDX-License-Identifier: Apache-2.0
// The loop: epoll for descriptors, a binary heap for timers. A busy gateway turns it 150,000 times a second,
// so a turn without timers due costs one system call and one read of the clock.
#include "os/loop.h"

#include "base/assert.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, TIMERS_MAX = 1 << 24 };

struct loop {
    int epoll_fd;
    bool busy, stopped;
    int at, n_ready; // this turn's events: being called, known
    uint64_t now_ns;
    void (*hook)(void *ctx);
    void *hook_ctx;
    struct timer **heap; // [1 … n_timers], the earliest first
    uint32_t n_timers, cap_timers;
    struct epoll_event ready[EVENTS_MAX];
};

int loop_new(struct loop **ret, struct err *e)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(e, ERR_NOMEM, "event loop: out of memory");
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0) {
        int code = err_errno(e, errno, "create an epoll instance");
        free(l);
        return code;
    }
    l->now_ns = clock_mono_ns();
    *ret = l;
    return 0;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    close(l->epoll_fd);
    free(l->heap);
    free(l);
}

static int control(struct loop *l, int op, struct watch *w, uint32_t events, struct err *e)
{
    struct epoll_event ev = {.events = events, .data.ptr = w};
    if (epoll_ctl(l->epoll_fd, op, w->fd, &ev) < 0)
        return err_errno(e, errno, "watch descriptor %d", w->fd);
    return 0;
}

int loop_add(struct loop *l, struct watch *w, uint32_t events, struct err *e)
{
    return control(l, EPOLL_CTL_ADD, w, events, e);
}

int loop_change(struct loop *l, struct watch *w, uint32_t events, struct err *e)
{
    return control(l, EPOLL_CTL_MOD, w, events, e);
}

void loop_remove(struct loop *l, struct watch *w)
{
    // Fails only when fd was closed already, and then the kernel has forgotten it by itself.
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    for (int i = l->at; i < l->n_ready; i++)
        if (l->ready[i].data.ptr == w)
            l->ready[i].data.ptr = NULL;
}

static void heap_put(struct loop *l, uint32_t i, struct timer *t)
{
    l->heap[i] = t;
    t->heap_index = i;
}

static void sift_up(struct loop *l, uint32_t i, struct timer *t)
{
    for (; i > 1 && t->due_mono_ns < l->heap[i / 2]->due_mono_ns; i /= 2)
        heap_put(l, i, l->heap[i / 2]);
    heap_put(l, i, t);
}

static void sift_down(struct loop *l, uint32_t i, struct timer *t)
{
    for (;;) {
        uint32_t child = 2 * i;
        if (child > l->n_timers)
            break;
        if (child < l->n_timers && l->heap[child + 1]->due_mono_ns < l->heap[child]->due_mono_ns)
            child++;
        if (t->due_mono_ns <= l->heap[child]->due_mono_ns)
            break;
        heap_put(l, i, l->heap[child]);
        i = child;
    }
    heap_put(l, i, t);
}

// Puts t, whose due time may have changed either way, where it belongs from place i on.
static void sift(struct loop *l, uint32_t i, struct timer *t)
{
    if (i > 1 && t->due_mono_ns < l->heap[i / 2]->due_mono_ns)
        sift_up(l, i, t);
    else
        sift_down(l, i, t);
}

static int heap_grow(struct loop *l, struct err *e)
{
    uint32_t cap = l->cap_timers ? 2 * l->cap_timers : 16;
    struct timer **heap = cap <= TIMERS_MAX ? realloc(l->heap, cap * sizeof(struct timer *)) : NULL;
    if (!heap)
        return err_set(e, ERR_NOMEM, "event loop: no memory for %u timers", cap);
    l->heap = heap;
    l->cap_timers = cap;
    return 0;
}

int loop_timer_set(struct loop *l, struct timer *t, uint64_t due_mono_ns, struct err *e)
{
    if (t->heap_index == 0) {
        if (l->n_timers + 1 >= l->cap_timers) { // place 0 is not used
            int code = heap_grow(l, e);
            if (code)
                return code;
        }
        t->due_mono_ns = due_mono_ns;
        sift_up(l, ++l->n_timers, t);
        return 0;
    }
    t->due_mono_ns = due_mono_ns;
    sift(l, t->heap_index, t);
    return 0;
}

void loop_timer_clear(struct loop *l, struct timer *t)
{
    uint32_t i = t->heap_index;
    if (i == 0)
        return;
    ASSERT(i <= l->n_timers && l->heap[i] == t);
    struct timer *last = l->heap[l->n_timers--];
    t->heap_index = 0;
    if (last != t)
        sift(l, i, last);
}

void loop_on_turn_end(struct loop *l, void (*hook)(void *ctx), void *ctx)
{
    l->hook = hook;
    l->hook_ctx = ctx;
}

void loop_set_busy(struct loop *l, bool busy)
{
    l->busy = busy;
}

uint64_t loop_now_ns(const struct loop *l)
{
    return l->now_ns;
}

// Milliseconds until the next timer, rounded up so that it is due when epoll returns; -1 for ever.
static int wait_ms(const struct loop *l)
{
    if (l->busy)
        return 0;
    if (l->n_timers == 0)
        return -1;
    uint64_t due = l->heap[1]->due_mono_ns, now = clock_mono_ns();
    if (due <= now)
        return 0;
    uint64_t ms = (due - now - 1) / 1000000 + 1;
    return ms < 3600000 ? (int)ms : 3600000;
}

static void call_due(struct loop *l)
{
    // As many as there are now: a timer that sets itself anew for the past waits for the next turn.
    for (uint32_t n = l->n_timers; n > 0 && l->n_timers > 0; n--) {
        struct timer *t = l->heap[1];
        if (t->due_mono_ns > l->now_ns)
            return;
        loop_timer_clear(l, t);
        t->on_due(t);
    }
}

int loop_run(struct loop *l, struct err *e)
{
    l->stopped = false;
    while (!l->stopped) {
        int n = epoll_wait(l->epoll_fd, l->ready, EVENTS_MAX, wait_ms(l));
        if (n < 0 && errno != EINTR)
            return err_errno(e, errno, "wait for events");
        l->now_ns = clock_mono_ns();
        l->n_ready = n > 0 ? n : 0;
        for (l->at = 0; l->at < l->n_ready;) {
            struct epoll_event *ev = &l->ready[l->at++];
            struct watch *w = ev->data.ptr;
            if (w)
                w->on_ready(w, ev->events);
        }
        l->at = l->n_ready = 0;
        call_due(l);
        if (l->hook)
            l->hook(l->hook_ctx);
    }
    return 0;
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}
