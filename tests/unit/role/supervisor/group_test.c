// SPDX-License-Identifier: Apache-2.0
// The policy of replicas with fake processes: a clock that the test moves, and a record of what was done.
#include "role/supervisor/group.h"

#include "role/role.h"
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MS UINT64_C(1000000)

// What the ops did. Members are counted by place; the loader is at LIMIT_REPLICAS.
static struct world {
    struct group g;
    uint64_t now;
    uint32_t last_number;
    unsigned n_spawned, n_asked, n_pings, n_links, n_changes;
    int last_signal[LIMIT_REPLICAS + 1];
    bool cannot_spawn;
    uint64_t memory;
    enum board_state shown[LIMIT_REPLICAS + 1];
    unsigned n_failed; // moves of the group to FAILED
} W;

static unsigned at(const struct member *m)
{
    return m->is_loader ? LIMIT_REPLICAS : m->place;
}

static int spawn(struct member *m, struct err *e)
{
    (void)m;
    W.n_spawned++;
    return W.cannot_spawn ? err_set(e, ERR_IO, "no more processes") : 0;
}

static int ask(struct member *loader, struct member *m, struct err *e)
{
    (void)e;
    ck_assert(loader->is_loader && loader->state == BOARD_READY && m->is_asked);
    W.n_asked++;
    return 0;
}

static void ping(struct member *m)
{
    ck_assert_int_eq(m->state, BOARD_READY);
    W.n_pings++;
}

static void signal_member(struct member *m, int sig)
{
    ck_assert(m->has_process);
    W.last_signal[at(m)] = sig;
}

static uint64_t memory(struct member *m)
{
    (void)m;
    return W.memory;
}

static uint32_t next_number(struct group *g)
{
    (void)g;
    return ++W.last_number;
}

static void changed(struct group *g, struct member *m)
{
    enum board_state *shown = W.shown;
    W.n_changes++;
    if (!m) {
        W.n_failed += g->state == BOARD_FAILED;
        return;
    }
    ck_assert(shown[at(m)] == m->state || board_move_allowed(shown[at(m)], m->state));
    W.n_links += m->state == BOARD_READY && shown[at(m)] != BOARD_READY && !m->is_loader;
    shown[at(m)] = m->state;
}

static const struct group_ops OPS = {spawn, ask, ping, signal_member, memory, next_number, changed};

static struct supervision_serve serve(uint32_t replicas, uint32_t threads)
{
    return (struct supervision_serve){.deployment = 7,
                                      .version = 3,
                                      .model = "churn",
                                      .engine = "onnx",
                                      .replicas = replicas,
                                      .threads = threads,
                                      .start_timeout_ms = 60000,
                                      .hang_ms = 1500};
}

static void begin(uint32_t replicas, uint32_t threads)
{
    struct supervision_serve s = serve(replicas, threads);
    W.now = 1000 * MS;
    memset(W.shown, 0, sizeof W.shown);
    group_init(&W.g, &OPS, NULL, &s, 10000 * MS);
    group_step(&W.g, W.now);
}

static void loaded(struct member *m)
{
    group_loaded(m, &(struct supervision_loaded){.load_ns = 5 * MS}, W.now);
    group_step(&W.g, W.now);
}

static void load_failed(int code, const char *why)
{
    struct supervision_failed f = {.code = code};
    snprintf(f.why, sizeof f.why, "%s", why);
    group_load_failed(&W.g.loader, &f);
}

// The loader answers a request for a fork; the fork is loaded.
static void forked(uint32_t number)
{
    struct member *m = group_asked(&W.g, number);
    ck_assert_ptr_nonnull(m);
    group_forked(m, W.now);
    loaded(m);
}

static void ended(struct member *m, int status)
{
    group_ended(m, status, W.now);
    group_step(&W.g, W.now);
}

// Lets time pass; those in `silent` (a set of places) do not answer pings.
static void pass(uint64_t ms, uint64_t silent)
{
    for (uint64_t i = 0; i < ms; i += 10) {
        W.now += 10 * MS;
        group_step(&W.g, W.now);
        for (unsigned k = 0; k < LIMIT_REPLICAS; k++)
            if (W.g.members[k].pinged_mono_ns && !(silent >> k & 1))
                group_pong(&W.g.members[k], W.now);
        if (W.g.loader.pinged_mono_ns)
            group_pong(&W.g.loader, W.now);
    }
}

// Two replicas, forked and ready.
static void two_ready(void)
{
    begin(2, 1);
    loaded(&W.g.loader);
    forked(W.g.members[0].number);
    forked(W.g.members[1].number);
    ck_assert_uint_eq(group_n_ready(&W.g), 2);
}

START_TEST(the_model_is_loaded_once_and_replicas_are_forks)
{
    begin(2, 1);
    ck_assert_uint_eq(W.n_spawned, 1);
    ck_assert_uint_eq(W.n_asked, 0); // before it is loaded there is nothing to fork from
    ck_assert_int_eq(W.g.members[0].state, BOARD_STARTING);
    loaded(&W.g.loader);
    ck_assert_uint_eq(W.n_asked, 2);
    ck_assert_int_eq(W.g.state, BOARD_STARTING);
    forked(W.g.members[1].number);
    ck_assert_int_eq(W.g.state, BOARD_READY);
    ck_assert_uint_eq(group_n_ready(&W.g), 1);
    forked(W.g.members[0].number);
    ck_assert_uint_eq(group_n_ready(&W.g), 2);
    ck_assert_uint_eq(W.n_links, 2);
    ck_assert_uint_eq(W.n_spawned, 1);
}
END_TEST

START_TEST(a_fork_is_ready_when_it_said_so_and_its_process_is_known)
{
    begin(1, 1);
    loaded(&W.g.loader);
    struct member *m = &W.g.members[0];
    loaded(m); // it was faster than its loader
    ck_assert_int_eq(m->state, BOARD_STARTING);
    group_forked(m, W.now);
    ck_assert_int_eq(m->state, BOARD_READY);
    ck_assert_uint_eq(m->load_ns, 5 * MS);
}
END_TEST

START_TEST(with_more_threads_each_replica_loads_for_itself)
{
    begin(3, 2);
    ck_assert_uint_eq(W.n_spawned, 3);
    ck_assert_int_eq(W.g.loader.state, BOARD_EMPTY);
    loaded(&W.g.members[2]);
    ck_assert_uint_eq(group_n_ready(&W.g), 1);
    ck_assert_uint_eq(W.n_asked, 0);
}
END_TEST

START_TEST(a_dead_replica_is_forked_anew_at_once)
{
    two_ready();
    uint32_t before = W.g.members[0].number;
    ended(&W.g.members[0], -SIGSEGV);
    ck_assert_uint_eq(W.n_asked, 3); // without any time in between
    ck_assert_uint_gt(W.g.members[0].number, before);
    ck_assert_str_eq(W.g.members[0].why, "ended by signal 11");
    ck_assert_int_eq(W.g.members[0].last_exit, -SIGSEGV);
    ck_assert_uint_eq(group_n_ready(&W.g), 1);
    forked(W.g.members[0].number);
    ck_assert_uint_eq(group_n_ready(&W.g), 2);
    ck_assert_uint_eq(W.g.members[0].restarts, 1);
    ck_assert_uint_eq(W.n_links, 3);
}
END_TEST

START_TEST(five_crashes_in_30_s_fail_the_deployment_and_end_no_replica_that_serves)
{
    two_ready();
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(W.g.state, BOARD_READY);
        ended(&W.g.members[0], -SIGABRT);
        pass(200, 0);
        if (i < 4)
            forked(W.g.members[0].number);
    }
    ck_assert_int_eq(W.g.state, BOARD_FAILED);
    ck_assert_uint_eq(W.n_failed, 1);
    ck_assert_str_eq(W.g.why, "ended by signal 6, the last of 5 deaths in 30 s");
    ck_assert_int_eq(W.g.members[0].state, BOARD_FAILED);
    ck_assert_int_eq(W.g.members[1].state, BOARD_READY);
    ck_assert_int_eq(W.last_signal[1], 0);
    ck_assert_int_eq(W.last_signal[LIMIT_REPLICAS], SIGKILL); // the loader has nothing left to do
    // The last one is not replaced either.
    unsigned asked = W.n_asked;
    ended(&W.g.members[1], -SIGABRT);
    pass(60000, 0);
    ck_assert_uint_eq(W.n_asked, asked);
    ck_assert_uint_eq(group_n_ready(&W.g), 0);
}
END_TEST

START_TEST(crashes_far_apart_are_forgiven)
{
    two_ready();
    for (int i = 0; i < 20; i++) {
        ended(&W.g.members[0], -SIGSEGV);
        pass(10000, 0);
        forked(W.g.members[0].number);
    }
    ck_assert_int_eq(W.g.state, BOARD_READY);
}
END_TEST

START_TEST(kills_from_outside_never_fail_a_deployment)
{
    two_ready();
    for (int i = 0; i < 200; i++) {
        ended(&W.g.members[i % 2], -SIGKILL);
        pass(200, 0);
        forked(W.g.members[i % 2].number);
    }
    ck_assert_int_eq(W.g.state, BOARD_READY);
    ck_assert_str_eq(W.g.members[0].why, "ended by signal 9");
    // Those of a replica that never served may be the model's fault: too little memory.
    begin(1, 2);
    for (int i = 0; i < 5; i++) {
        ended(&W.g.members[0], -SIGKILL);
        pass(200, 0);
    }
    ck_assert_int_eq(W.g.state, BOARD_FAILED);
}
END_TEST

START_TEST(a_hung_replica_is_killed_within_2_s_and_replaced)
{
    two_ready();
    pass(1000, 0);
    uint64_t stopped = W.now;
    while (!W.last_signal[1] && W.now - stopped < 5000 * MS)
        pass(10, 2);
    ck_assert_int_eq(W.last_signal[1], SIGKILL);
    ck_assert_uint_le(W.now - stopped, 2000 * MS);
    ck_assert_uint_ge(W.now - stopped, 1500 * MS);
    ended(&W.g.members[1], -SIGKILL);
    ck_assert_str_eq(W.g.members[1].why, "hung: no answer for 1500 ms");
    forked(W.g.members[1].number);
    ck_assert_int_eq(W.last_signal[0], 0);
    // Five times: that one counts.
    for (int i = 0; i < 4; i++) {
        pass(2000, 2);
        ended(&W.g.members[1], -SIGKILL);
        pass(200, 0);
        if (i < 3)
            forked(W.g.members[1].number);
    }
    ck_assert_int_eq(W.g.state, BOARD_FAILED);
    ck_assert_str_eq(W.g.why, "hung: no answer for 1500 ms, the last of 5 deaths in 30 s");
}
END_TEST

START_TEST(pings_go_four_times_a_second_and_the_time_of_the_next_is_told)
{
    two_ready();
    ck_assert_uint_eq(group_step(&W.g, W.now), W.now + GROUP_PING_MS * MS);
    pass(10000, 0);
    ck_assert_uint_ge(W.n_pings, 3 * 36); // the loader, too
    ck_assert_uint_le(W.n_pings, 3 * 40);
}
END_TEST

START_TEST(a_loader_that_cannot_load_fails_the_deployment_at_once)
{
    begin(2, 1);
    load_failed(ERR_UNSUPPORTED_MODEL, "operator Foo(17) is not known");
    ck_assert_int_eq(W.g.state, BOARD_FAILED);
    ck_assert_str_eq(W.g.why, "cannot load: operator Foo(17) is not known");
    ck_assert_int_eq(W.g.members[1].state, BOARD_FAILED);
    ended(&W.g.loader, 1);
    pass(60000, 0);
    ck_assert_uint_eq(W.n_spawned, 1);
    begin(2, 1);
    load_failed(ERR_NOMEM, "no memory");
    ck_assert_str_eq(W.g.why, "cannot load: no memory");
    begin(2, 1);
    W.g.want.memory_bytes = 64 << 20;
    load_failed(ERR_NOMEM, "no memory");
    ck_assert_str_eq(W.g.why, "cannot load within its memory limit of 64 MiB: no memory");
}
END_TEST

START_TEST(loading_has_its_time)
{
    begin(2, 1);
    pass(59900, 0);
    ck_assert_int_eq(W.g.state, BOARD_STARTING);
    pass(200, 0);
    ck_assert_int_eq(W.g.state, BOARD_FAILED);
    ck_assert_int_eq(W.last_signal[LIMIT_REPLICAS], SIGKILL);
    ck_assert_str_eq(W.g.why, "cannot load: it takes longer than the 60 s of the setting start_timeout");
}
END_TEST

START_TEST(replicas_serve_on_while_the_loader_is_replaced)
{
    two_ready();
    ended(&W.g.loader, -SIGSEGV);
    ck_assert_uint_eq(W.n_spawned, 2);
    ck_assert_uint_eq(group_n_ready(&W.g), 2);
    ended(&W.g.members[0], -SIGSEGV);
    pass(500, 0);
    unsigned asked = W.n_asked;
    ck_assert_uint_eq(W.g.members[0].is_asked, false); // it waits
    loaded(&W.g.loader);
    ck_assert_uint_eq(W.n_asked, asked + 1);
    forked(W.g.members[0].number);
    ck_assert_uint_eq(group_n_ready(&W.g), 2);
}
END_TEST

START_TEST(a_fork_that_its_loader_took_with_it_is_asked_for_again)
{
    begin(1, 1);
    loaded(&W.g.loader);
    uint32_t first = W.g.members[0].number;
    ended(&W.g.loader, -SIGKILL);
    ck_assert_ptr_null(group_asked(&W.g, first));
    loaded(&W.g.loader);
    ck_assert_uint_eq(W.n_asked, 2);
    forked(W.g.members[0].number);
    ck_assert_uint_eq(group_n_ready(&W.g), 1);
}
END_TEST

START_TEST(over_its_memory_limit_a_replica_is_replaced_and_says_so)
{
    struct supervision_serve s = serve(1, 2);
    s.memory_bytes = 512 << 20;
    W.now = 1000 * MS;
    group_init(&W.g, &OPS, NULL, &s, 10000 * MS);
    group_step(&W.g, W.now);
    loaded(&W.g.members[0]);
    W.memory = 512 << 20;
    pass(1000, 0);
    ck_assert_int_eq(W.last_signal[0], 0);
    W.memory += 100 << 20;
    pass(300, 0);
    ck_assert_int_eq(W.last_signal[0], SIGKILL);
    ended(&W.g.members[0], -SIGKILL);
    ck_assert_str_eq(W.g.members[0].why, "over its memory limit: 612 MiB of 512 MiB");
    loaded(&W.g.members[0]);
    ended(&W.g.members[0], ROLE_EXIT_MEMORY);
    ck_assert_str_eq(W.g.members[0].why, "over its memory limit");
}
END_TEST

START_TEST(scaling_down_ends_the_last_and_up_starts_them_again)
{
    two_ready();
    group_scale(&W.g, 1);
    group_step(&W.g, W.now);
    ck_assert_int_eq(W.last_signal[1], SIGTERM);
    ck_assert_int_eq(W.g.members[1].state, BOARD_STOPPING);
    ended(&W.g.members[1], 0);
    ck_assert_int_eq(W.g.members[1].state, BOARD_EMPTY);
    pass(5000, 0);
    ck_assert_uint_eq(W.n_asked, 2);
    group_scale(&W.g, 2);
    group_step(&W.g, W.now);
    ck_assert_uint_eq(W.n_asked, 3);
    forked(W.g.members[1].number);
    ck_assert_uint_eq(group_n_ready(&W.g), 2);
}
END_TEST

START_TEST(at_zero_the_loader_ends_too_and_the_next_one_loads_again)
{
    two_ready();
    group_scale(&W.g, 0);
    group_step(&W.g, W.now);
    ck_assert_int_eq(W.last_signal[0], SIGTERM);
    ck_assert_int_eq(W.last_signal[LIMIT_REPLICAS], SIGTERM);
    ended(&W.g.members[0], 0);
    ended(&W.g.members[1], 0);
    group_scale(&W.g, 1); // while the loader is still ending
    group_step(&W.g, W.now);
    ck_assert_uint_eq(W.n_spawned, 1);
    ended(&W.g.loader, 0);
    ck_assert_uint_eq(W.n_spawned, 2);
    ck_assert_int_eq(W.g.state, BOARD_READY); // as a deployment it is as it was
    group_loaded(&W.g.loader, &(struct supervision_loaded){0}, W.now);
    group_step(&W.g, W.now);
    forked(W.g.members[0].number);
    ck_assert_uint_eq(group_n_ready(&W.g), 1);
    ck_assert(!group_is_gone(&W.g));
}
END_TEST

START_TEST(one_that_begins_at_zero_starts_nothing)
{
    begin(0, 1);
    pass(5000, 0);
    ck_assert_uint_eq(W.n_spawned, 0);
    ck_assert_uint_eq(W.n_changes, 0);
    group_scale(&W.g, 1);
    group_step(&W.g, W.now);
    ck_assert_uint_eq(W.n_spawned, 1);
}
END_TEST

START_TEST(one_that_does_not_end_when_asked_is_killed)
{
    two_ready();
    group_withdraw(&W.g, W.now);
    group_step(&W.g, W.now);
    ck_assert_int_eq(W.last_signal[0], SIGTERM);
    ck_assert_int_eq(W.last_signal[LIMIT_REPLICAS], SIGTERM);
    ended(&W.g.members[0], 0);
    ended(&W.g.loader, 0);
    ck_assert(!group_is_gone(&W.g));
    pass(9900, 3);
    ck_assert_int_eq(W.last_signal[1], SIGTERM);
    pass(200, 3);
    ck_assert_int_eq(W.last_signal[1], SIGKILL);
    ended(&W.g.members[1], -SIGKILL);
    ck_assert(group_is_gone(&W.g));
    ck_assert_uint_eq(W.n_asked, 2);
}
END_TEST

START_TEST(a_failed_deployment_can_be_withdrawn)
{
    begin(2, 1);
    load_failed(ERR_BAD_MODEL, "no");
    group_withdraw(&W.g, W.now);
    ck_assert(!group_is_gone(&W.g)); // the loader has not ended yet
    ended(&W.g.loader, -SIGKILL);
    ck_assert(group_is_gone(&W.g));
    W.cannot_spawn = true;
    begin(1, 2);
    pass(1000, 0);
    ck_assert_int_eq(W.g.state, BOARD_FAILED);
    ck_assert_str_eq(W.g.why, "cannot be started: no more processes, the last of 5 deaths in 30 s");
    group_withdraw(&W.g, W.now);
    ck_assert(group_is_gone(&W.g));
}
END_TEST

// Does what the processes would: forks that were asked for begin, those that were asked to end do.
static bool processes_act(void)
{
    bool any = false;
    for (unsigned i = 0; i < 4 && !any; i++) {
        struct member *m = &W.g.members[i];
        any = m->is_asked || m->state == BOARD_STOPPING;
        if (m->is_asked)
            forked(m->number);
        else if (m->state == BOARD_STOPPING)
            ended(m, 0);
    }
    return any;
}

START_TEST(all_are_replaced_and_never_fewer_serve)
{
    two_ready();
    uint32_t newest = W.last_number;
    group_renew(&W.g);
    group_step(&W.g, W.now);
    ck_assert(W.g.is_renewing);
    for (int i = 0; processes_act(); i++) {
        ck_assert_uint_ge(group_n_ready(&W.g), 2);
        ck_assert_int_lt(i, 20);
    }
    ck_assert(!W.g.is_renewing);
    ck_assert_uint_eq(group_n_ready(&W.g), 2);
    for (int i = 0; i < 2; i++)
        ck_assert(W.g.members[i].state == BOARD_READY && W.g.members[i].number > newest);
    ck_assert_int_eq(W.g.members[2].state, BOARD_EMPTY);
}
END_TEST

START_TEST(one_that_dies_meanwhile_counts_as_replaced)
{
    two_ready();
    group_renew(&W.g);
    group_step(&W.g, W.now);
    ended(&W.g.members[1], -9);
    for (int i = 0; processes_act() || i < 3; i++) {
        W.now += 200 * MS;
        for (int k = 0; k < 3; k++)
            if (W.g.members[k].state == BOARD_READY)
                group_pong(&W.g.members[k], W.now);
        group_step(&W.g, W.now);
        ck_assert_int_lt(i, 40);
    }
    ck_assert(!W.g.is_renewing);
    ck_assert_uint_eq(group_n_ready(&W.g), 2);
}
END_TEST

START_TEST(only_the_number_of_replicas_may_differ)
{
    two_ready();
    struct supervision_serve s = serve(9, 1);
    s.start_timeout_ms++; // a reload of the settings changes it
    ck_assert(group_is_same(&W.g, &s));
    s.hang_ms++;
    ck_assert(!group_is_same(&W.g, &s));
    struct err e;
    s.replicas = LIMIT_REPLICAS + 1;
    ck_assert_int_eq(group_check(&s, &e), ERR_OUT_OF_RANGE);
}
END_TEST

UNIT_MAIN("role/supervisor/group", the_model_is_loaded_once_and_replicas_are_forks,
          a_fork_is_ready_when_it_said_so_and_its_process_is_known,
          with_more_threads_each_replica_loads_for_itself, a_dead_replica_is_forked_anew_at_once,
          five_crashes_in_30_s_fail_the_deployment_and_end_no_replica_that_serves,
          crashes_far_apart_are_forgiven, kills_from_outside_never_fail_a_deployment,
          a_hung_replica_is_killed_within_2_s_and_replaced,
          pings_go_four_times_a_second_and_the_time_of_the_next_is_told,
          a_loader_that_cannot_load_fails_the_deployment_at_once, loading_has_its_time,
          replicas_serve_on_while_the_loader_is_replaced,
          a_fork_that_its_loader_took_with_it_is_asked_for_again,
          over_its_memory_limit_a_replica_is_replaced_and_says_so,
          scaling_down_ends_the_last_and_up_starts_them_again, one_that_does_not_end_when_asked_is_killed,
          all_are_replaced_and_never_fewer_serve, one_that_dies_meanwhile_counts_as_replaced,
          a_failed_deployment_can_be_withdrawn, only_the_number_of_replicas_may_differ,
          at_zero_the_loader_ends_too_and_the_next_one_loads_again, one_that_begins_at_zero_starts_nothing)
