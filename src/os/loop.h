// SPDX-License-Identifier: Apache-2.0
// The event loop of every role: epoll, timers, a hook at the end of each turn. One thread, no locks.
// A turn: wait, call what is ready, call due timers, call the turn hook.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

// Embedded in whatever owns the descriptor; lives until loop_remove. The loop does not close fd.
struct watch {
    int fd;
    void (*on_ready)(struct watch *w,
                     uint32_t events); // EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR …; level-triggered
};

// Embedded likewise; zero-initialised is "not set".
struct timer {
    void (*on_due)(struct timer *t);
    uint64_t due_mono_ns;
    uint32_t heap_index; // private; 0 = not set
};

int loop_new(struct loop **ret, struct err *e) ERR_CHECKED;
void loop_free(struct loop *l);
int loop_add(struct loop *l, struct watch *w, uint32_t events, struct err *e) ERR_CHECKED;
int loop_change(struct loop *l, struct watch *w, uint32_t events, struct err *e) ERR_CHECKED;
// Also drops events of w that are waiting in this turn, so that w may be freed at once.
void loop_remove(struct loop *l, struct watch *w);
int loop_timer_set(struct loop *l, struct timer *t, uint64_t due_mono_ns,
                   struct err *e) ERR_CHECKED; // or moves it
void loop_timer_clear(struct loop *l, struct timer *t);
// Called after the last event of a turn, before the next wait. One hook a loop.
void loop_on_turn_end(struct loop *l, void (*hook)(void *ctx), void *ctx);
// While set, the loop does not sleep: for work that is computed in slices over several turns.
void loop_set_busy(struct loop *l, bool busy);
// Monotonic time, read once a turn after the wait: costs nothing. Timers never come early, and at most 1 ms
// late on an idle machine.
uint64_t loop_now_ns(const struct loop *l);
// Turns until loop_stop is called. ERR_IO when epoll fails.
int loop_run(struct loop *l, struct err *e) ERR_CHECKED;
void loop_stop(struct loop *l);
