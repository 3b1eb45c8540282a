// SPDX-License-Identifier: Apache-2.0
#include "os/loop.h"

#include "base/clock.h"
#include "unit.h"

#include <sys/eventfd.h>
#include <unistd.h>

// A watch that counts calls and may remove or free others.
struct probe {
    struct watch w;
    struct loop *l;
    struct probe *victim;
    int calls;
    bool stops;
};

static void on_probe(struct watch *w, uint32_t events)
{
    struct probe *p = (struct probe *)w;
    ck_assert(events & EPOLLIN);
    p->calls++;
    if (p->victim) {
        loop_remove(p->l, &p->victim->w);
        close(p->victim->w.fd);
        p->victim->w.on_ready = NULL; // a call after removal would crash
        p->victim = NULL;
    }
    uint64_t v;
    ck_assert_int_eq(read(w->fd, &v, sizeof v), sizeof v);
    if (p->stops)
        loop_stop(p->l);
}

static struct loop *new_loop(void)
{
    struct err e;
    struct loop *l;
    ck_assert_int_eq(loop_new(&l, &e), 0);
    return l;
}

static void add_probe(struct loop *l, struct probe *p)
{
    struct err e;
    *p = (struct probe){.w = {eventfd(1, EFD_CLOEXEC), on_probe}, .l = l};
    ck_assert_int_eq(loop_add(l, &p->w, EPOLLIN, &e), 0);
}

static void stop_hook(void *ctx)
{
    loop_stop(ctx);
}

START_TEST(one_callback_may_remove_all_others_of_its_turn)
{
    struct loop *l = new_loop();
    struct probe p[2];
    add_probe(l, &p[0]);
    add_probe(l, &p[1]);
    p[0].victim = &p[1]; // whichever comes first removes the other
    p[1].victim = &p[0];
    loop_on_turn_end(l, stop_hook, l);
    struct err e;
    ck_assert_int_eq(loop_run(l, &e), 0);
    ck_assert_int_eq(p[0].calls + p[1].calls, 1);
    loop_free(l);
}
END_TEST

START_TEST(changed_interest_is_honoured)
{
    struct loop *l = new_loop();
    struct probe p;
    add_probe(l, &p);
    struct err e;
    ck_assert_int_eq(loop_change(l, &p.w, 0, &e), 0);
    loop_on_turn_end(l, stop_hook, l);
    loop_set_busy(l, true);
    ck_assert_int_eq(loop_run(l, &e), 0);
    ck_assert_int_eq(p.calls, 0);
    ck_assert_int_eq(loop_change(l, &p.w, EPOLLIN, &e), 0);
    ck_assert_int_eq(loop_run(l, &e), 0);
    ck_assert_int_eq(p.calls, 1);
    ck_assert_int_lt(loop_add(l, &p.w, EPOLLIN, &e), 0); // already there
    loop_free(l);
    close(p.w.fd);
}
END_TEST

struct ticker {
    struct timer t;
    struct loop *l;
    int calls, n_other;
    uint64_t *last_due;
    struct ticker *clears;
    bool again_in_the_past;
};

static void on_tick(struct timer *t)
{
    struct ticker *k = (struct ticker *)t;
    struct err e;
    k->calls++;
    ck_assert_uint_eq(t->heap_index, 0);
    ck_assert_uint_le(t->due_mono_ns, loop_now_ns(k->l));
    if (k->last_due) {
        ck_assert_uint_ge(t->due_mono_ns, *k->last_due);
        *k->last_due = t->due_mono_ns;
    }
    if (k->clears)
        loop_timer_clear(k->l, &k->clears->t);
    if (k->again_in_the_past)
        ck_assert_int_eq(loop_timer_set(k->l, t, 1, &e), 0);
}

START_TEST(timers_come_in_order_whatever_was_moved_or_cleared)
{
    enum { N = 500 };
    static struct ticker k[N];
    struct loop *l = new_loop();
    struct err e;
    uint64_t last = 0, now = clock_mono_ns();
    unsigned seed = 7;
    int live = 0;
    for (int i = 0; i < N; i++)
        k[i] = (struct ticker){.t.on_due = on_tick, .l = l, .last_due = &last};
    for (int i = 0; i < 5000; i++) {
        seed = seed * 1664525u + 1013904223u;
        struct ticker *one = &k[(seed >> 8) % N];
        if (seed >> 28 < 3)
            loop_timer_clear(l, &one->t);
        else
            ck_assert_int_eq(loop_timer_set(l, &one->t, now - (seed >> 4) % 100000, &e), 0);
    }
    for (int i = 0; i < N; i++)
        live += k[i].t.heap_index != 0;
    loop_on_turn_end(l, stop_hook, l);
    ck_assert_int_eq(loop_run(l, &e), 0);
    int called = 0;
    for (int i = 0; i < N; i++) {
        ck_assert_int_le(k[i].calls, 1);
        called += k[i].calls;
    }
    ck_assert_int_gt(live, N / 2);
    ck_assert_int_eq(called, live);
    loop_free(l);
}
END_TEST

START_TEST(a_timer_waits_until_it_is_due)
{
    struct loop *l = new_loop();
    struct err e;
    struct ticker k = {.t.on_due = on_tick, .l = l};
    uint64_t due = clock_mono_ns() + 20000000;
    ck_assert_int_eq(loop_timer_set(l, &k.t, due, &e), 0);
    loop_on_turn_end(l, stop_hook, l);
    loop_set_busy(l, true); // on_tick sees whether a turn before the time calls it
    ck_assert_int_eq(loop_run(l, &e), 0);
    loop_set_busy(l, false);
    while (k.calls == 0)
        ck_assert_int_eq(loop_run(l, &e), 0);
    ck_assert_uint_ge(clock_mono_ns(), due);
    ck_assert_uint_ge(loop_now_ns(l), due);
    loop_free(l);
}
END_TEST

START_TEST(a_timer_that_is_always_due_does_not_starve_the_loop)
{
    struct loop *l = new_loop();
    struct err e;
    struct ticker k = {.t.on_due = on_tick, .l = l, .again_in_the_past = true};
    ck_assert_int_eq(loop_timer_set(l, &k.t, 1, &e), 0);
    loop_on_turn_end(l, stop_hook, l);
    ck_assert_int_eq(loop_run(l, &e), 0);
    ck_assert_int_eq(loop_run(l, &e), 0);
    ck_assert_int_eq(k.calls, 2);
    loop_free(l);
}
END_TEST

START_TEST(a_due_timer_may_clear_another_due_timer)
{
    struct loop *l = new_loop();
    struct err e;
    struct ticker a = {.t.on_due = on_tick, .l = l}, b = {.t.on_due = on_tick, .l = l};
    a.clears = &b;
    b.clears = &a;
    ck_assert_int_eq(loop_timer_set(l, &a.t, 5, &e), 0);
    ck_assert_int_eq(loop_timer_set(l, &b.t, 6, &e), 0);
    loop_on_turn_end(l, stop_hook, l);
    ck_assert_int_eq(loop_run(l, &e), 0);
    ck_assert_int_eq(a.calls, 1);
    ck_assert_int_eq(b.calls, 0);
    loop_timer_clear(l, &b.t); // clearing what is not set is fine
    loop_free(l);
}
END_TEST

UNIT_MAIN("os/loop", one_callback_may_remove_all_others_of_its_turn, changed_interest_is_honoured,
          timers_come_in_order_whatever_was_moved_or_cleared, a_timer_waits_until_it_is_due,
          a_timer_that_is_always_due_does_not_starve_the_loop, a_due_timer_may_clear_another_due_timer)
