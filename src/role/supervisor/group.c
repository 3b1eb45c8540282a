// SPDX-License-Identifier: Apache-2.0
// Members move as the board's drawing says; every move is told through changed(). A death is followed by a
// successor (restart.h) until there are too many of them in a short time: then the group is FAILED, which
// ends no replica that still serves, but replaces none either.
#include "role/supervisor/group.h"

#include "base/assert.h"
#include "role/role.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MIB = 1 << 20, KILLED_AGAIN_MS = 1000, KILLED_DELAY_MS = 120 };
static const uint64_t MS = 1000000, NEVER = UINT64_MAX;

int group_check(const struct supervision_serve *serve, struct err *e)
{
    if (serve->replicas <= LIMIT_REPLICAS)
        return 0;
    return err_set(e, ERR_OUT_OF_RANGE, "%u replicas are more than the %d that one version may have",
                   serve->replicas, LIMIT_REPLICAS);
}

void group_init(struct group *g, const struct group_ops *ops, void *ctx,
                const struct supervision_serve *serve, uint64_t drain_ns)
{
    *g =
        (struct group){.ops = ops, .ctx = ctx, .want = *serve, .drain_ns = drain_ns, .state = BOARD_STARTING};
    g->loader = (struct member){.group = g, .is_loader = true};
    for (uint32_t i = 0; i < LIMIT_REPLICAS; i++)
        g->members[i] = (struct member){.group = g, .place = i};
}

bool group_is_same(const struct group *g, const struct supervision_serve *serve)
{
    const struct supervision_serve *a = &g->want, *b = serve;
    return a->deployment == b->deployment && a->version == b->version && strcmp(a->model, b->model) == 0 &&
           strcmp(a->engine, b->engine) == 0 && strcmp(a->digest, b->digest) == 0 &&
           a->threads == b->threads && strcmp(a->optimization, b->optimization) == 0 &&
           strcmp(a->provider, b->provider) == 0 && a->memory_bytes == b->memory_bytes &&
           a->hang_ms == b->hang_ms && a->batch_budget_us == b->batch_budget_us;
}

void group_scale(struct group *g, uint32_t replicas)
{
    g->want.replicas = replicas;
}

unsigned group_n_ready(const struct group *g)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < LIMIT_REPLICAS; i++)
        n += g->members[i].state == BOARD_READY;
    return n;
}

bool group_is_gone(const struct group *g)
{
    if (g->state != BOARD_STOPPING || g->loader.state != BOARD_EMPTY)
        return false;
    for (uint32_t i = 0; i < LIMIT_REPLICAS; i++)
        if (g->members[i].state != BOARD_EMPTY)
            return false;
    return true;
}

static bool has_loader(const struct group *g)
{
    return g->want.threads == 1;
}

static bool loads_itself(const struct member *m)
{
    return m->is_loader || !has_loader(m->group);
}

static void move(struct member *m, enum board_state to)
{
    ASSERT(board_move_allowed(m->state, to));
    m->state = to;
    m->group->ops->changed(m->group, m);
}

static void set_why(struct member *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void set_why(struct member *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(m->why, sizeof m->why, format, args);
    va_end(args);
}

static void kill_for(struct member *m)
{
    m->is_killed = true;
    m->group->ops->signal(m, SIGKILL);
}

// Nothing of it runs any more, and nobody wants it to.
static void vanish(struct member *m)
{
    if (m->state == BOARD_STARTING || m->state == BOARD_READY)
        move(m, BOARD_STOPPING);
    move(m, BOARD_STOPPED);
    m->state = BOARD_EMPTY;
    m->group->ops->changed(m->group, m);
    *m = (struct member){.group = m->group, .is_loader = m->is_loader, .place = m->place, .io = m->io};
}

static void stop(struct member *m, uint64_t now)
{
    switch (m->state) {
    case BOARD_STARTING:
    case BOARD_READY:
        if (!m->has_process) {
            m->is_asked = false; // a fork that comes nevertheless finds nobody and ends
            vanish(m);
            return;
        }
        m->stop_mono_ns = now + m->group->drain_ns;
        m->group->ops->signal(m, SIGTERM);
        move(m, BOARD_STOPPING);
        return;
    case BOARD_RESTARTING:
    case BOARD_FAILED:
        if (!m->has_process)
            vanish(m);
        return;
    default:
        return;
    }
}

static void fail_member(struct member *m, const char *why)
{
    if (m->state != BOARD_STARTING && m->state != BOARD_RESTARTING && m->state != BOARD_READY)
        return;
    if (m->has_process)
        kill_for(m);
    m->is_asked = false;
    set_why(m, "%s", why);
    move(m, BOARD_FAILED);
}

// No more successors. Replicas that serve go on; the loader has nothing left to do.
static void fail(struct group *g, const char *why)
{
    if (g->state == BOARD_FAILED || g->state == BOARD_STOPPING)
        return;
    g->state = BOARD_FAILED;
    snprintf(g->why, sizeof g->why, "%s", why);
    if (has_loader(g))
        fail_member(&g->loader, why);
    for (uint32_t i = 0; i < LIMIT_REPLICAS; i++)
        if (g->members[i].state != BOARD_READY)
            fail_member(&g->members[i], why);
    g->ops->changed(g, NULL);
}

// What forks of it are still to come will not come.
static void forget_forks(struct group *g)
{
    for (uint32_t i = 0; i < LIMIT_REPLICAS; i++) {
        struct member *m = &g->members[i];
        if (!m->is_asked)
            continue;
        m->is_asked = m->is_loaded = false;
        g->ops->changed(g, m);
    }
}

// Whether there is to be a successor, and when. Deaths that do not count are slowed down only.
static bool restarts(struct group *g, bool counts, uint64_t now, uint64_t *ret_delay_ns)
{
    if (counts)
        return restart_after_death(&g->restart, now, ret_delay_ns);
    bool soon = g->killed_mono_ns && now - g->killed_mono_ns < KILLED_AGAIN_MS * MS;
    *ret_delay_ns = soon ? KILLED_DELAY_MS * MS : 0;
    g->killed_mono_ns = now;
    return true;
}

// A death nobody asked for; `why` is set. `counts`: it may be the model's fault.
static void died(struct member *m, bool counts, uint64_t now)
{
    struct group *g = m->group;
    uint64_t delay_ns = 0;
    m->is_asked = m->is_loaded = m->is_killed = false;
    m->pinged_mono_ns = m->started_mono_ns = m->ready_mono_ns = 0;
    if (g->state == BOARD_FAILED) {
        move(m, BOARD_FAILED);
        g->ops->changed(g, NULL);
        return;
    }
    bool again = restarts(g, counts, now, &delay_ns);
    m->restart_mono_ns = now + delay_ns;
    move(m, BOARD_RESTARTING);
    if (m->is_loader)
        forget_forks(g);
    if (!again) {
        char why[SUPERVISION_WHY_BYTES + 64];
        snprintf(why, sizeof why, "%s, the last of %d deaths in %d s", m->why, RESTART_INTENSITY,
                 RESTART_WINDOW_S);
        fail(g, why);
    }
}

static void begin(struct member *m, uint64_t now)
{
    struct group *g = m->group;
    struct err e;
    if (loads_itself(m)) {
        m->number = g->ops->next_number(g);
        m->started_mono_ns = now;
        m->has_process = g->ops->spawn(m, &e) == 0;
        if (m->has_process) {
            g->ops->changed(g, m);
            return;
        }
    } else {
        if (g->loader.state != BOARD_READY)
            return; // it waits
        m->number = g->ops->next_number(g);
        m->started_mono_ns = now;
        m->is_asked = true;
        if (g->ops->fork(&g->loader, m, &e) == 0)
            return;
    }
    set_why(m, "cannot be started: %.200s", e.msg);
    died(m, true, now);
}

static void too_slow(struct member *m, uint64_t now)
{
    unsigned s = m->group->want.start_timeout_ms / 1000;
    if (loads_itself(m)) {
        char why[SUPERVISION_WHY_BYTES];
        snprintf(why, sizeof why, "cannot load: it takes longer than the %u s of the setting start_timeout",
                 s);
        fail(m->group, why);
        return;
    }
    set_why(m, "did not start within %u s", s);
    if (m->has_process)
        kill_for(m);
    else
        died(m, true, now);
}

static uint64_t step_starting(struct member *m, uint64_t now)
{
    if (!m->has_process && !m->is_asked)
        begin(m, now);
    if (m->state != BOARD_STARTING || (!m->has_process && !m->is_asked) || m->is_killed)
        return m->state == BOARD_RESTARTING ? m->restart_mono_ns : NEVER;
    uint64_t due = m->started_mono_ns + m->group->want.start_timeout_ms * MS;
    if (now < due)
        return due;
    too_slow(m, now);
    return m->state == BOARD_RESTARTING ? m->restart_mono_ns : NEVER;
}

static bool is_over_memory(struct member *m)
{
    uint64_t limit = m->group->want.memory_bytes;
    m->memory_bytes = m->group->ops->memory(m);
    if (!limit || m->memory_bytes <= limit)
        return false;
    set_why(m, "over its memory limit: %llu MiB of %llu MiB", (unsigned long long)m->memory_bytes / MIB,
            (unsigned long long)limit / MIB);
    return true;
}

static uint64_t step_ready(struct member *m, uint64_t now)
{
    uint64_t hang_ns = m->group->want.hang_ms * MS;
    if (m->is_killed)
        return NEVER;
    if (m->pinged_mono_ns) {
        if (now < m->pinged_mono_ns + hang_ns)
            return m->pinged_mono_ns + hang_ns;
        set_why(m, "hung: no answer for %u ms", m->group->want.hang_ms);
        kill_for(m);
        return NEVER;
    }
    if (now < m->next_ping_mono_ns)
        return m->next_ping_mono_ns;
    if (is_over_memory(m)) {
        kill_for(m);
        return NEVER;
    }
    m->pinged_mono_ns = now;
    m->group->ops->ping(m);
    return now + hang_ns;
}

static uint64_t step_member(struct member *m, uint64_t now)
{
    if (m->state == BOARD_RESTARTING && now >= m->restart_mono_ns) {
        m->restarts++;
        move(m, BOARD_STARTING);
    }
    switch (m->state) {
    case BOARD_STARTING:
        return step_starting(m, now);
    case BOARD_RESTARTING:
        return m->restart_mono_ns;
    case BOARD_READY:
        return step_ready(m, now);
    case BOARD_STOPPING:
        if (m->is_killed)
            return NEVER;
        if (now < m->stop_mono_ns)
            return m->stop_mono_ns;
        set_why(m, "did not end when it was asked to");
        kill_for(m);
        return NEVER;
    default:
        return NEVER;
    }
}

void group_renew(struct group *g)
{
    g->is_renewing = true;
    for (uint32_t i = 0; i < LIMIT_REPLICAS; i++)
        g->members[i].is_old = g->members[i].state == BOARD_READY;
}

// So many places are filled now.
static uint32_t n_places(const struct group *g)
{
    return g->want.replicas + (g->is_renewing && g->want.replicas && g->want.replicas < LIMIT_REPLICAS);
}

// Ends one that is old when there are enough without it. The surplus place goes when all others are new.
static void renew(struct group *g, uint64_t now)
{
    struct member *old = NULL;
    uint32_t n_in_place = 0;
    for (uint32_t i = 0; i < LIMIT_REPLICAS; i++) {
        struct member *m = &g->members[i];
        if (m->is_old && m->state == BOARD_READY)
            old = old ? old : m;
        else if (m->state == BOARD_READY && i < g->want.replicas)
            n_in_place++;
    }
    if (old && group_n_ready(g) >= n_places(g))
        stop(old, now);
    else if (!old && n_in_place == g->want.replicas)
        g->is_renewing = false;
}

static void fill(struct group *g)
{
    uint32_t n = n_places(g);
    if (has_loader(g) && g->want.replicas && g->loader.state == BOARD_EMPTY)
        move(&g->loader, BOARD_STARTING);
    for (uint32_t i = 0; i < n; i++)
        if (g->members[i].state == BOARD_EMPTY)
            move(&g->members[i], BOARD_STARTING);
}

uint64_t group_step(struct group *g, uint64_t now)
{
    if (g->state == BOARD_STARTING || g->state == BOARD_READY)
        fill(g);
    if (g->is_renewing && g->state == BOARD_READY)
        renew(g, now);
    for (uint32_t i = n_places(g); i < LIMIT_REPLICAS; i++)
        stop(&g->members[i], now);
    if (g->want.replicas == 0) // the model's memory is given back
        stop(&g->loader, now);
    // The loader first: the others may wait for it.
    uint64_t due = step_member(&g->loader, now);
    for (uint32_t i = 0; i < LIMIT_REPLICAS; i++) {
        uint64_t d = step_member(&g->members[i], now);
        due = d < due ? d : due;
    }
    return due;
}

void group_withdraw(struct group *g, uint64_t now)
{
    if (g->state == BOARD_STOPPING)
        return;
    g->state = BOARD_STOPPING;
    for (uint32_t i = 0; i < LIMIT_REPLICAS; i++)
        stop(&g->members[i], now);
    stop(&g->loader, now);
}

static void try_ready(struct member *m, uint64_t now)
{
    struct group *g = m->group;
    if (m->state != BOARD_STARTING || !m->is_loaded || !m->has_process || m->is_killed)
        return;
    m->ready_mono_ns = now;
    m->next_ping_mono_ns = now + GROUP_PING_MS * MS;
    move(m, BOARD_READY);
    if (!m->is_loader && g->state == BOARD_STARTING) {
        g->state = BOARD_READY;
        g->ops->changed(g, NULL);
    }
}

void group_loaded(struct member *m, const struct supervision_loaded *l, uint64_t now)
{
    if (m->state == BOARD_STARTING && m->is_loaded) {
        group_misbehaved(m, "said twice that it is loaded");
        return;
    }
    m->is_loaded = true;
    m->load_ns = l->load_ns;
    m->memory_bytes = l->memory_bytes;
    try_ready(m, now);
}

void group_load_failed(struct member *m, const struct supervision_failed *f)
{
    char text[SUPERVISION_WHY_BYTES], limit[64] = "";
    uint64_t bytes = m->group->want.memory_bytes;
    if (m->state != BOARD_STARTING)
        return;
    if (f->code == ERR_NOMEM && bytes)
        snprintf(limit, sizeof limit, " within its memory limit of %llu MiB",
                 (unsigned long long)bytes / MIB);
    snprintf(text, sizeof text, "cannot load%s: %.180s", limit, f->why);
    fail(m->group, text);
}

void group_pong(struct member *m, uint64_t now)
{
    m->pinged_mono_ns = 0;
    m->next_ping_mono_ns = now + GROUP_PING_MS * MS;
}

struct member *group_asked(struct group *g, uint32_t number)
{
    for (uint32_t i = 0; i < LIMIT_REPLICAS; i++)
        if (g->members[i].is_asked && g->members[i].number == number)
            return &g->members[i];
    return NULL;
}

void group_forked(struct member *m, uint64_t now)
{
    m->is_asked = false;
    m->has_process = true;
    m->group->ops->changed(m->group, m);
    try_ready(m, now);
}

void group_not_forked(struct member *m, const char *why, uint64_t now)
{
    set_why(m, "cannot be forked: %.200s", why);
    died(m, true, now);
}

void group_misbehaved(struct member *m, const char *why)
{
    if (!m->has_process || m->is_killed)
        return;
    set_why(m, "%.200s", why);
    kill_for(m);
}

static void set_why_of_status(struct member *m, int status)
{
    if (status == ROLE_EXIT_MEMORY)
        set_why(m, "over its memory limit");
    else if (status < 0)
        set_why(m, "ended by signal %d", -status);
    else if (status > UINT8_MAX) // its parent was a supervisor before this one
        set_why(m, "ended");
    else
        set_why(m, "ended with code %d", status);
}

void group_ended(struct member *m, int status, uint64_t now)
{
    bool was_ready = m->state == BOARD_READY, was_killed = m->is_killed;
    m->has_process = false;
    m->last_exit = status > UINT8_MAX ? 0 : status;
    if (m->state == BOARD_STOPPING) {
        vanish(m);
        return;
    }
    if (m->state == BOARD_FAILED) {
        m->is_killed = false;
        if (m->group->state == BOARD_STOPPING)
            vanish(m);
        else
            m->group->ops->changed(m->group, m);
        return;
    }
    if (!was_killed)
        set_why_of_status(m, status);
    // A model cannot send itself SIGKILL: whoever did that to a replica that served was no model.
    died(m, was_killed || status != -SIGKILL || !was_ready, now);
}
