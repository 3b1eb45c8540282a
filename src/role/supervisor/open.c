// SPDX-License-Identifier: Apache-2.0
// Everything the supervisor opens once and keeps for its whole life.
#include "os/file.h"
#include "os/shm.h"
#include "os/signals.h"
#include "os/sock.h"
#include "role/entry.h"
#include "role/log_memory.h"
#include "role/metrics.h"
#include "role/supervisor/crew.h"
#include "role/supervisor/handover.h"
#include "role/supervisor/post.h"
#include "role/supervisor/state.h"
#include "role/supervisor/upgrade.h"
#include "settings/settings.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

// Cores this process may run on: in a container, that is what it was given.
static unsigned n_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? (unsigned)n : 1;
}

static int open_data_dir(struct supervisor *s, struct err *e)
{
    const char *dir = s->settings->data_dir;
    int dir_fd, run_fd, code = file_make_dir_path(dir, &dir_fd, e);
    if (code)
        return code;
    code = file_make_dir(dir_fd, "run", &run_fd, e);
    if (code == 0) {
        code = fchmod(run_fd, 0700) < 0 ? err_errno(e, errno, "chmod '%s/run'", dir)
                                        : file_lock(run_fd, "lock", &s->lock_fd, e);
        close(run_fd);
    }
    close(dir_fd);
    if (code == ERR_CONFLICT) {
        err_wrap(e, "data directory '%s' is in use by another server", dir);
        err_hint(e, "Stop that server, or choose another directory with --data-dir.");
    }
    return code;
}

static int name_control(struct supervisor *s, struct err *e)
{
    if (asprintf(&s->control_path, "%s/run/control.sock", s->settings->data_dir) >= 0)
        return 0;
    s->control_path = NULL;
    return err_set(e, ERR_NOMEM, "out of memory");
}

// The Unix listeners.
static int open_control(struct supervisor *s, struct err *e)
{
    char monitor_path[ENTRY_PATH_BYTES];
    entry_monitor_path(s->settings, monitor_path);
    int code = name_control(s, e);
    if (code == 0)
        code = sock_listen_unix(s->control_path, 0600, &supervisor_controller(s)->listen_fd, e);
    return code ? code : sock_listen_unix(monitor_path, 0600, &supervisor_monitor(s)->listen_fd, e);
}

static int open_listeners(struct supervisor *s, struct err *e)
{
    struct sockaddr_storage a;
    socklen_t size;
    int fds[BOARD_CHILDREN_MAX];
    int code = settings_address_parse(str_of(s->settings->listen), &a, &size, e);
    if (code)
        return code;
    if (!service_take(s, &a)) {
        code = sock_listen_tcp(&a, s->n_gateways, fds, e);
        if (code)
            return code;
        for (unsigned i = 0; i < s->n_gateways; i++)
            s->children[i].listen_fd = fds[i];
    }
    service_store(s);
    char url[SOCK_ADDRESS_SIZE + 8];
    sock_address_url(&a, url);
    s->url = strdup(url);
    return s->url ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

static int open_metrics(struct supervisor *s, struct err *e)
{
    int code = shm_new("slipway-metrics", metrics_segment_bytes(supervisor_n_shards(s)), &s->metrics_fd, e);
    return code ? code : shm_seal(s->metrics_fd, SHM_SEAL_SIZE, e);
}

// An upgrade to a program that counts otherwise: its counters start at zero, as monitoring expects of a
// restart. The log's memory stays, for there may be records in it.
static int renew_metrics(struct supervisor *s, struct err *e)
{
    struct stat st;
    if (fstat(s->metrics_fd, &st) == 0 && (size_t)st.st_size == metrics_segment_bytes(supervisor_n_shards(s)))
        return 0;
    close(s->metrics_fd);
    return open_metrics(s, e);
}

static int count_gateways(const struct settings *settings, unsigned *ret_n, struct err *e)
{
    *ret_n = settings->gateways ? settings->gateways : n_cores();
    enum { MOST = BOARD_CHILDREN_MAX - 2 };
    if (*ret_n > MOST) {
        if (settings->gateways)
            return err_set(e, ERR_OUT_OF_RANGE, "%u gateways are more than the %d that one server runs",
                           *ret_n, MOST);
        *ret_n = MOST;
    }
    return 0;
}

struct child *supervisor_controller(struct supervisor *s)
{
    return &s->children[s->n_gateways];
}

struct child *supervisor_monitor(struct supervisor *s)
{
    return &s->children[s->n_gateways + 1];
}

static void init_children(struct supervisor *s, unsigned n_gateways)
{
    s->n_gateways = n_gateways;
    s->n_children = s->n_gateways + 2;
    for (unsigned i = 0; i < s->n_children; i++) {
        bool gateway = i < s->n_gateways;
        s->children[i] = (struct child){
            .sup = s,
            .proc.pidfd = -1,
            .old.pidfd = -1,
            .ended.fd = -1,
            .says_ready.fd = -1,
            .says.fd = -1,
            .listen_fd = -1,
            .row = {.kind = gateway              ? BOARD_GATEWAY
                            : i == s->n_gateways ? BOARD_CONTROLLER
                                                 : BOARD_MONITOR,
                    .index = gateway ? i : 0,
                    .replica = gateway ? i : 0},
        };
    }
}

// As many descriptors as the system lets us have; the children inherit it.
static void raise_descriptor_limit(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r); // the soft limit was enough to start
    }
}

// What every supervisor makes for itself; the rest is found, or left to it by its predecessor.
static int open_own(struct supervisor *s, struct err *e)
{
    static const int SIGNALS[] = {SIGTERM, SIGINT, SIGHUP};
    int code = proc_open_self(&s->self_fd, e);
    if (code == 0)
        code = board_new(&s->board, &s->board_fd, e);
    if (code == 0)
        code = loop_new(&s->loop, e);
    if (code == 0)
        code = crew_new(s, &s->crew, e);
    if (code == 0)
        code = upgrade_new(s, e);
    if (code == 0)
        code = signals_open(SIGNALS, sizeof SIGNALS / sizeof SIGNALS[0], &s->signal_fd, e);
    return code;
}

static void begin_open(struct supervisor *s)
{
    s->lock_fd = s->signal_fd = s->board_fd = s->metrics_fd = s->log_fd = s->self_fd = -1;
    raise_descriptor_limit();
}

int supervisor_open(struct supervisor *s, struct err *e)
{
    begin_open(s);
    unsigned n_gateways;
    int code = count_gateways(s->settings, &n_gateways, e);
    if (code)
        return code;
    init_children(s, n_gateways);
    code = open_data_dir(s, e);
    if (code == 0)
        code = open_listeners(s, e);
    if (code == 0)
        code = open_control(s, e);
    if (code == 0)
        code = open_metrics(s, e);
    if (code == 0)
        code = log_memory_new(supervisor_n_shards(s), s->settings->log_ring_bytes, &s->log_fd, e);
    return code ? code : open_own(s, e);
}

int supervisor_reopen(struct supervisor *s, struct handover *h, struct msg_conn *conn, struct err *e)
{
    struct handover_server r = {0};
    begin_open(s);
    if (handover_peek(h) == HANDOVER_SERVER)
        handover_next(h, &r, sizeof r);
    if (r.format != HANDOVER_FORMAT || r.n_gateways == 0 || r.n_gateways > BOARD_CHILDREN_MAX - 2)
        return err_set(e, ERR_INVALID, "the server's state is of another form: %u, not %d", r.format,
                       HANDOVER_FORMAT);
    init_children(s, r.n_gateways);
    s->lock_fd = handover_take(h, r.lock);
    s->metrics_fd = handover_take(h, r.metrics);
    s->log_fd = handover_take(h, r.log);
    s->announced = r.announced;
    s->stopping = r.stopping;
    s->exit_code = r.exit_code;
    s->started_mono_ns = r.started_mono_ns;
    r.url[sizeof r.url - 1] = '\0';
    s->url = strdup(r.url);
    if (s->lock_fd < 0 || s->metrics_fd < 0 || s->log_fd < 0)
        return err_set(e, ERR_INVALID, "the server's state came without its lock, its counters or its log");
    if (!s->url)
        return err_set(e, ERR_NOMEM, "out of memory");
    file_lock_sign(s->lock_fd);
    int code = renew_metrics(s, e);
    if (code == 0)
        code = succession_restore_sources(s, h, e);
    if (code == 0)
        code = name_control(s, e);
    if (code == 0)
        code = open_own(s, e);
    if (code)
        return code;
    s->crew->last_number = r.last_number;
    return succession_restore(s, h, conn, e);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void supervisor_close(struct supervisor *s)
{
    char monitor_path[ENTRY_PATH_BYTES];
    upgrade_free(s);
    crew_free(s->crew);
    for (unsigned i = 0; i < s->n_children; i++) {
        close_if_open(s->children[i].listen_fd);
        close_if_open(s->children[i].says_ready.fd);
        if (s->children[i].says.fd >= 0)
            msg_conn_done(&s->children[i].supervision);
        close_if_open(s->children[i].proc.pidfd);
        if (s->children[i].old.pid)
            msg_conn_done(&s->children[i].old_supervision);
        close_if_open(s->children[i].old.pidfd);
    }
    if (s->control_path)
        unlink(s->control_path);
    entry_monitor_path(s->settings, monitor_path);
    if (s->control_path)
        unlink(monitor_path);
    free(s->control_path);
    free(s->url);
    free(s->own_flags);
    board_done(s->board);
    loop_free(s->loop);
    close_if_open(s->board_fd);
    close_if_open(s->metrics_fd);
    close_if_open(s->log_fd);
    close_if_open(s->signal_fd);
    close_if_open(s->self_fd);
    close_if_open(s->lock_fd); // the last: until here the directory is ours
}
