// SPDX-License-Identifier: Apache-2.0
// The controller's life: open the registry, serve, and end on SIGTERM after the requests that run.
#include "role/controller/controller.h"

#include "base/clock.h"
#include "os/file.h"
#include "os/signals.h"
#include "role/board.h"
#include "role/controller/adoption.h"
#include "role/controller/deploying.h"
#include "role/controller/helper.h"
#include "role/controller/housekeeping.h"
#include "role/controller/image_cache.h"
#include "role/controller/replace.h"
#include "role/controller/replicas.h"
#include "role/controller/rollouts.h"
#include "role/controller/scaling.h"
#include "role/controller/startup.h"
#include "role/controller/token_keys.h"
#include "role/controller/upgrade.h"
#include "settings/settings.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JOBS_RUNNING_MAX = 16 };

static unsigned n_processors(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > JOBS_RUNNING_MAX ? JOBS_RUNNING_MAX : (unsigned)n;
}

void controller_drain_step(struct controller *c)
{
    if (c->draining && c->peers.n_requests == 0)
        loop_stop(c->loop);
}

static void on_signal(struct watch *w, uint32_t events)
{
    (void)events;
    struct controller *c = (struct controller *)((char *)w - offsetof(struct controller, signals));
    if (signals_read(w->fd) != SIGTERM || c->draining)
        return;
    log_event(&c->log, LOG_LEVEL_INFO, "draining", LOG_INT("requests", c->peers.n_requests));
    c->draining = c->peers.is_draining = true;
    peers_stop_listening(&c->peers);
    controller_drain_step(c);
}

static void on_turn_end(void *ctx)
{
    struct controller *c = ctx;
    peers_free_dead(&c->peers);
    controller_drain_step(c);
}

// The folder may be new: the first start makes it.
static int data_dir_make(struct controller *c, struct err *e)
{
    int fd;
    int rc = file_make_dir_path(c->data_dir, &fd, e);
    if (!rc)
        close(fd);
    return rc;
}

static int set_up(struct controller *c, struct err *e)
{
    static const int SIGNALS[] = {SIGTERM, SIGINT};
    int rc = c->args->board_fd >= 0 ? board_attach(c->args->board_fd, &c->board, e) : 0;
    if (!rc)
        rc = loop_new(&c->loop, e);
    if (!rc)
        controller_peers_init(c);
    if (!rc)
        rc = signals_open(SIGNALS, sizeof SIGNALS / sizeof SIGNALS[0], &c->signals.fd, e);
    if (!rc)
        rc = loop_add(c->loop, &c->signals, EPOLLIN, e);
    c->gateways = calloc(c->args->n_gateways, sizeof *c->gateways);
    if (!rc && !c->gateways)
        rc = err_set(e, ERR_NOMEM, "no memory to start");
    for (unsigned i = 0; !rc && i < c->args->n_gateways; i++)
        c->gateways[i].since_ns = clock_mono_ns();
    if (!rc)
        rc = data_dir_make(c, e);
    if (!rc)
        rc = registry_sqlite_open(c->data_dir, &c->registry, e);
    if (!rc)
        rc = blobs_dir_open(c->data_dir, false, &c->blobs, e);
    if (!rc)
        rc = adoption_open(c, e);
    if (!rc)
        rc = replicas_open(c, e);
    if (!rc)
        rc = scaling_open(c, e);
    if (!rc)
        rc = housekeeping_open(c, e);
    if (!rc)
        rc = replace_open(c, e);
    if (!rc)
        rc = deploying_open(c, e);
    if (!rc)
        rc = rollouts_open(c, e);
    if (!rc)
        image_cache_open(c);
    if (!rc)
        token_keys_open(c);
    c->routing.limit = (unsigned)c->args->settings->max_deployments;
    return rc;
}

static void tear_down(struct controller *c)
{
    if (c->loop)
        peers_close_all(&c->peers);
    rollouts_close(c);
    if (c->loop) {
        startup_cancel(c);
        housekeeping_close(c);
        replicas_close(c);
        helpers_end(c);
        deploying_close(c);
    }
    token_keys_close(c);
    scaling_close(c);
    replace_close(c);
    routing_done(&c->routing);
    image_cache_close(c);
    if (c->registry)
        c->registry->ops->close(c->registry);
    if (c->blobs)
        c->blobs->ops->close(c->blobs);
    if (c->signals.fd >= 0)
        close(c->signals.fd);
    free(c->gateways);
    upgrade_close(c);
    adoption_close(c);
    loop_free(c->loop);
    board_done(c->board);
}

int controller_main(const struct controller_args *args)
{
    struct controller c = {
        .args = args,
        .data_dir = args->settings->data_dir,
        .log = {STDERR_FILENO, (enum log_level)args->settings->log_level, "controller", -1},
        .signals = {-1, on_signal},
        .max_jobs_running = n_processors(),
        .started_wall_ns = clock_wall_ns(),
    };
    struct err e = {0};
    int rc = set_up(&c, &e);
    if (!rc)
        rc = startup_begin(&c, &e);
    if (!rc) {
        loop_on_turn_end(c.loop, on_turn_end, &c);
        peers_listen(&c.peers);
        role_ready(args->ready_fd);
        rc = loop_run(c.loop, &e);
    }
    if (rc)
        log_event(&c.log, LOG_LEVEL_ERROR, "controller_failed", LOG_Z("code", err_name(e.code)),
                  LOG_Z("message", e.msg), LOG_Z("hint", e.hint));
    tear_down(&c);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
