// SPDX-License-Identifier: Apache-2.0
// The queue of compile jobs and the life of one process: start, wait for its end or its deadline, read the
// result, seal the image. Nothing that the process says is believed: the image is opened by the engine, which
// checks it, by those who use it.
#include "role/controller/compile_job.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "os/shm.h"
#include "settings/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

static void list_add(struct compile_job **list, struct compile_job *j)
{
    while (*list && (!j->is_urgent || (*list)->is_urgent))
        list = &(*list)->next;
    j->next = *list;
    *list = j;
}

static void list_remove(struct compile_job **list, struct compile_job *j)
{
    while (*list != j)
        list = &(*list)->next;
    *list = j->next;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

// The process has ended, or never began; its exit is not watched any more.
static void release(struct compile_job *j)
{
    struct controller *c = j->c;
    if (j->is_running) {
        list_remove(&c->jobs_running, j);
        c->n_jobs_running--;
    }
    loop_timer_clear(c->loop, &j->deadline);
    close_fd(&j->result_fd);
    j->is_running = false;
}

static int code_named(const char *name)
{
    for (int code = -1; name && code > ERR_CODE_LIMIT; code--)
        if (strcmp(err_name(code), name) == 0)
            return code;
    return ERR_INTERNAL;
}

// What the process reported; every field is a text of bounded length.
static int result_parse(struct compile_job *j, struct str json, struct err *e)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *code = yyjson_get_str(yyjson_obj_get(root, "code"));
    const char *message = yyjson_get_str(yyjson_obj_get(root, "message"));
    const char *path = yyjson_get_str(yyjson_obj_get(root, "path"));
    const char *hint = yyjson_get_str(yyjson_obj_get(root, "hint"));
    const char *engine = yyjson_get_str(yyjson_obj_get(root, "engine"));
    const char *format = yyjson_get_str(yyjson_obj_get(root, "format"));
    int rc = 0;
    if (code) {
        rc = err_set(e, code_named(code), "%s", message ? message : "the model cannot be compiled");
        err_at(e, "%s", path ? path : "");
        err_hint(e, "%s", hint ? hint : "");
    } else if (!engine || !format || strcmp(engine, engine_trees.name) != 0 ||
               strlen(format) >= sizeof j->format) {
        rc = err_set(e, ERR_INTERNAL, "the compile process did not say what it made");
    } else {
        j->engine = &engine_trees;
        snprintf(j->format, sizeof j->format, "%s", format);
    }
    yyjson_doc_free(doc);
    return rc;
}

// Why a process that ended without a result did so.
static int ended_badly(const struct compile_job *j, int status, struct err *e)
{
    if (j->is_late)
        return err_set(e, ERR_TOO_LARGE,
                       "compiling the model took longer than the setting compile_timeout, %llu s",
                       (unsigned long long)j->c->args->settings->compile_timeout_ms / 1000);
    if (status == -SIGXCPU || status == -SIGXFSZ)
        return err_set(e, ERR_TOO_LARGE, "compiling the model went over its limit of %s",
                       status == -SIGXCPU ? "processor time" : "memory");
    if (status == -SIGKILL)
        return err_set(e, ERR_NOMEM,
                       "the process that compiled the model was killed; there may be too little memory");
    if (status < 0)
        return err_set(e, ERR_INTERNAL, "the process that compiled the model ended by signal %d (%s)",
                       -status, strsignal(-status));
    return err_set(e, ERR_INTERNAL, "the process that compiled the model ended with code %d", status);
}

static int collect(struct compile_job *j, int status, struct err *e)
{
    char result[COMPILE_RESULT_MAX];
    ssize_t n = status == 0 ? read(j->result_fd, result, sizeof result) : 0;
    if (n <= 0)
        return ended_badly(j, status, e);
    int rc = result_parse(j, (struct str){result, (size_t)n}, e);
    if (!rc)
        rc = shm_seal(j->image_fd, SHM_SEAL_ALL, e);
    if (!rc) {
        off_t size = lseek(j->image_fd, 0, SEEK_END);
        j->image_bytes = size > 0 ? (uint64_t)size : 0;
    }
    return rc;
}

static void start_next(struct controller *c);

static void on_exit_ready(struct watch *w, uint32_t events)
{
    (void)events;
    struct compile_job *j = (struct compile_job *)((char *)w - offsetof(struct compile_job, exit));
    struct controller *c = j->c;
    struct err e = {0};
    int status;
    loop_remove(c->loop, w); // proc_reap closes it
    if (!proc_reap(&j->proc, &status))
        status = -SIGKILL; // cannot be: it is readable once the process has ended
    int rc = collect(j, status, &e);
    release(j);
    if (rc)
        close_fd(&j->image_fd);
    j->on_done(j, rc ? &e : NULL);
    start_next(c);
}

static void on_late(struct timer *t)
{
    struct compile_job *j = (struct compile_job *)((char *)t - offsetof(struct compile_job, deadline));
    j->is_late = true;
    proc_signal(&j->proc, SIGKILL);
}

static int spawn(struct compile_job *j, int file_fd, int report_fd, struct err *e)
{
    const struct settings *s = j->c->args->settings;
    char digest[REGISTRY_DIGEST_TEXT], memory[24], cpu[24], program[] = "slipway", role[] = COMPILE_ROLE;
    registry_digest_text(&j->digest, digest);
    snprintf(memory, sizeof memory, "%llu", (unsigned long long)s->compile_memory_bytes);
    snprintf(cpu, sizeof cpu, "%llu", (unsigned long long)s->compile_timeout_ms / 1000 + 1);
    char *argv[COMPILE_ARGS + 1] = {program, role, digest, memory, cpu, NULL};
    char *envp[] = {NULL};
    int fds[] = {file_fd, j->image_fd, report_fd};
    struct proc_spec spec = {.argv = argv, .envp = envp, .fds = fds, .n_fds = sizeof fds / sizeof fds[0]};
    int rc = proc_spawn(&spec, &j->proc, e);
    if (rc)
        return rc;
    j->exit = (struct watch){j->proc.pidfd, on_exit_ready};
    j->deadline.on_due = on_late;
    rc = loop_add(j->c->loop, &j->exit, EPOLLIN, e);
    if (!rc)
        rc = loop_timer_set(j->c->loop, &j->deadline, clock_mono_ns() + s->compile_timeout_ms * 1000000, e);
    return rc;
}

static int launch(struct compile_job *j, struct err *e)
{
    int file_fd = -1, pipe_fds[2] = {-1, -1};
    int rc = j->c->blobs->ops->open(j->c->blobs, &j->digest, false, &file_fd, e); // the process verifies it
    if (!rc && pipe2(pipe_fds, O_CLOEXEC) < 0)
        rc = err_errno(e, errno, "start a compile process");
    j->result_fd = pipe_fds[0];
    if (!rc)
        rc = shm_new("slipway-model", 0, &j->image_fd, e);
    if (!rc)
        rc = spawn(j, file_fd, pipe_fds[1], e);
    close_fd(&pipe_fds[1]);
    close_fd(&file_fd);
    return rc;
}

// Kills the process, if there is one, and waits for its end, which is near.
static void kill_now(struct compile_job *j)
{
    int status;
    if (j->proc.pid == 0)
        return;
    loop_remove(j->c->loop, &j->exit);
    proc_signal(&j->proc, SIGKILL);
    while (!proc_reap(&j->proc, &status)) {
        struct pollfd p = {.fd = j->proc.pidfd, .events = POLLIN};
        poll(&p, 1, -1);
    }
}

static void start_next(struct controller *c)
{
    while (c->jobs_waiting && c->n_jobs_running < c->max_jobs_running) {
        struct compile_job *j = c->jobs_waiting;
        struct err e = {0};
        c->jobs_waiting = j->next;
        c->n_jobs_waiting--;
        j->is_queued = false;
        if (launch(j, &e)) {
            kill_now(j);
            release(j);
            close_fd(&j->image_fd);
            j->on_done(j, &e);
            continue;
        }
        j->is_running = true;
        j->next = c->jobs_running;
        c->jobs_running = j;
        c->n_jobs_running++;
    }
}

int compile_job_start(struct controller *c, struct compile_job *j, struct err *e)
{
    j->c = c;
    j->image_fd = j->result_fd = -1;
    j->proc = (struct proc){0, -1};
    if (j->is_urgent && c->n_jobs_waiting >= LIMIT_COMPILES_QUEUED + LIMIT_DEPLOYMENTS)
        return err_set(e, ERR_BUSY, "%u versions wait to be checked already", c->n_jobs_waiting);
    list_add(&c->jobs_waiting, j);
    c->n_jobs_waiting++;
    j->is_queued = true;
    start_next(c);
    return 0;
}

void compile_job_cancel(struct compile_job *j)
{
    struct controller *c = j->c;
    if (j->is_queued) {
        list_remove(&c->jobs_waiting, j);
        c->n_jobs_waiting--;
        j->is_queued = false;
    }
    if (!j->is_running)
        return;
    kill_now(j);
    release(j);
    close_fd(&j->image_fd);
    start_next(c);
}
