// SPDX-License-Identifier: Apache-2.0
#include "role/replica/harness.h"

#include "../../../fakes/fake_runtime.h"
#include "base/clock.h"
#include "os/shm.h"
#include "role/entry.h"
#include "settings/settings.h"
#include "unit.h"

#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARENA_BYTES = 64 << 20, SLOW_MS = 100 };

static const char INPUTS[] = "[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,3]},"
                             "{\"name\":\"words\",\"datatype\":\"BYTES\",\"shape\":[-1],\"optional\":true}]";
static const char OUTPUTS[] = "[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[-1,2]},"
                              "{\"name\":\"wide\",\"datatype\":\"FP32\",\"shape\":[-1,-1]},"
                              "{\"name\":\"text\",\"datatype\":\"BYTES\",\"shape\":[-1]}]";

static int interface_json(char *to, size_t size, uint32_t max_batch_rows, const char *outputs)
{
    return snprintf(to, size, "{\"platform\":\"fake\",\"max_batch_rows\":%u,\"inputs\":%s,\"outputs\":%s}",
                    max_batch_rows, INPUTS, outputs);
}

int harness_role(int argc, char **argv)
{
    if (!entry_is_role(argc, argv))
        return -1;
    return entry_main(&(struct entry_mains){.replica = replica_main}, argc, argv);
}

static void digest_of(const void *p, size_t n, char ret[80])
{
    unsigned char sum[32];
    unsigned n_sum;
    EVP_Digest(p, n, sum, &n_sum, EVP_sha256(), NULL);
    int at = snprintf(ret, 80, "sha256:");
    for (unsigned i = 0; i < n_sum; i++)
        at += snprintf(ret + at, 80 - (size_t)at, "%02x", sum[i]);
}

static int memfd_of(const void *p, size_t n)
{
    struct err e;
    int fd;
    ck_assert_int_eq(shm_new("test", n, &fd, &e), 0);
    ck_assert_int_eq(pwrite(fd, p, n, 0), n);
    ck_assert_int_eq(shm_seal(fd, SHM_SEAL_ALL, &e), 0);
    return fd;
}

void process_start(struct process *p, const struct process_options *o)
{
    static struct settings settings;
    settings_init(&settings);
    char admitted[2048], digest[80];
    size_t n_admitted = (size_t)interface_json(admitted, sizeof admitted, o->max_batch_rows,
                                               o->other_outputs ? o->other_outputs : OUTPUTS);
    char *model = calloc(1, sizeof admitted + o->weights);
    size_t n_model = (size_t)interface_json(model, sizeof admitted, 0, OUTPUTS) + 1;
    memset(model + n_model, 'w', o->weights);
    n_model += o->weights;
    digest_of(model, n_model, digest);
    struct replica_args a = {.is_loader = o->is_loader,
                             .deployment = 7,
                             .replica = o->is_loader ? 0 : 1,
                             .model = "churn",
                             .version = 3,
                             .engine = "fake",
                             .digest = o->digest ? o->digest : digest,
                             .threads = 1,
                             .optimization = "all",
                             .provider = "cpu",
                             .memory_bytes = o->memory_bytes,
                             .batch_budget_us = o->batch_budget_us,
                             .settings = &settings};
    struct err e;
    int pair[2];
    ck_assert_int_eq(supervision_pair(pair, &e), 0);
    int fds[] = {pair[1], memfd_of(model, n_model), memfd_of(admitted, n_admitted)};
    char **argv = entry_replica_argv_new(&a);
    struct proc_spec spec = {.argv = argv, .envp = environ, .fds = fds, .n_fds = 3};
    ck_assert_int_eq(proc_spawn(&spec, &p->proc, &e), 0);
    entry_argv_free(argv);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    free(model);
    supervision_init(&p->supervisor, pair[0]);
}

void process_send(struct process *p, enum supervision_type type, const void *payload, int fd)
{
    struct err e;
    ck_assert_int_eq(supervision_send(&p->supervisor, type, payload, &fd, fd >= 0, &e), 0);
}

static void wait_for(int fd)
{
    struct pollfd f = {fd, POLLIN, 0};
    ck_assert_msg(poll(&f, 1, PATIENCE_MS) == 1, "nothing came for %d s", PATIENCE_MS / 1000);
}

struct supervision_message process_expect(struct process *p, enum supervision_type type)
{
    struct supervision_message m;
    struct err e;
    int taken;
    while ((taken = supervision_take(&p->supervisor, SUPERVISION_FROM_REPLICA, &m, &e)) == 0) {
        wait_for(p->supervisor.fd);
        ck_assert_int_eq(msg_conn_fill(&p->supervisor, &e), 0);
    }
    ck_assert_int_eq(taken, 1);
    ck_assert_int_eq(m.type, type);
    return m;
}

int process_end(struct process *p)
{
    siginfo_t info = {0};
    if (p->proc.pidfd >= 0) {
        wait_for(p->proc.pidfd);
        int status;
        ck_assert(proc_reap(&p->proc, &status));
        return status;
    }
    ck_assert_int_eq(waitid(P_PID, (id_t)p->proc.pid, &info, WEXITED), 0);
    p->proc.pid = 0;
    return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

void process_stop(struct process *p)
{
    siginfo_t info;
    ck_assert_int_eq(kill(p->proc.pid, SIGSTOP), 0);
    ck_assert_int_eq(waitid(P_PID, (id_t)p->proc.pid, &info, WSTOPPED), 0);
}

void process_go_on(struct process *p)
{
    ck_assert_int_eq(kill(p->proc.pid, SIGCONT), 0);
}

void process_close(struct process *p)
{
    msg_conn_done(&p->supervisor);
    if (p->proc.pidfd >= 0) {
        proc_end(&p->proc);
    } else if (p->proc.pid > 0) {
        kill(p->proc.pid, SIGKILL);
        process_end(p);
    }
}

static void send_open(struct gate *g, size_t ring_bytes)
{
    struct err e;
    int fds[LINK_FDS];
    ck_assert_int_eq(link_end_new(&g->end, ring_bytes, fds, &e), 0);
    struct link_open o = {.protocol = LINK_PROTOCOL, .gateway = 5, .ring_bytes = ring_bytes};
    ck_assert_int_eq(
        msg_conn_send(&g->socket, LINK_OPEN, (struct str){(const char *)&o, sizeof o}, fds, LINK_FDS, &e), 0);
    close(fds[LINK_FD_REQUESTS]);
    close(fds[LINK_FD_RESPONSES]);
    struct msg m;
    struct link_accept accept;
    while (msg_conn_take(&g->socket, &m, &e) == 0) {
        wait_for(g->socket.fd);
        ck_assert_int_eq(msg_conn_fill(&g->socket, &e), 0);
    }
    ck_assert_int_eq(link_accept_read(&m, &accept, &e), 0);
}

void gate_connect(struct gate *g, struct process *p, size_t ring_bytes, uint32_t max_batch_rows)
{
    struct err e;
    int pair[2];
    char json[2048];
    *g = (struct gate){.next_id = 1};
    size_t n = (size_t)interface_json(json, sizeof json, max_batch_rows, OUTPUTS);
    ck_assert_int_eq(interface_decode((struct str){json, n}, &g->interface, &e), 0);
    ck_assert_int_eq(arena_init(&g->arena, ARENA_BYTES, &e), 0);
    ck_assert_int_eq(supervision_pair(pair, &e), 0);
    process_send(p, SUPERVISION_LINK, &(struct supervision_link){.deployment = 7, .replica = 1}, pair[1]);
    close(pair[1]);
    msg_conn_init(&g->socket, pair[0], LINK_PAYLOAD_MAX);
    send_open(g, ring_bytes);
}

void gate_reopen(struct gate *g, size_t ring_bytes)
{
    link_end_done(&g->end);
    send_open(g, ring_bytes);
}

void gate_close(struct gate *g)
{
    link_end_done(&g->end);
    msg_conn_done(&g->socket);
    interface_free(g->interface);
    arena_done(&g->arena);
}

static size_t put_words(char *to, const char *const *words, uint32_t n)
{
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t length = (uint32_t)strlen(words[i]);
        memcpy(to + at, &length, 4);
        memcpy(to + at + 4, words[i], length);
        at += 4 + length;
    }
    return at;
}

uint64_t gate_put(struct gate *g, const struct ask *a)
{
    size_t n_words = 0, n_x = (size_t)a->n_rows * X_WIDTH * sizeof(float);
    for (uint32_t i = 0; a->words && i < a->n_rows; i++)
        n_words += 4 + strlen(a->words[i]);
    size_t max = link_request_head_bytes(2) + 2 * RING_ALIGN + n_x + n_words;
    struct link_request *r = ring_reserve(&g->end.out, max);
    if (!r)
        return 0;
    g->sent_ns = clock_mono_ns();
    *r = (struct link_request){.id = g->next_id++,
                               .outputs = a->outputs ? a->outputs : OUT_Y,
                               .n_rows = g->interface->max_batch_rows ? a->n_rows : 0,
                               .n_tensors = a->words ? 2 : 1,
                               .deadline_mono_ns = a->deadline_mono_ns,
                               .alone = a->alone,
                               .sent_mono_ns = g->sent_ns};
    uint64_t id = r->id;
    struct tensor x = {
        .dtype = DTYPE_FP32, .n_dims = 2, .shape = {a->n_rows, X_WIDTH}, .data = a->x, .bytes = n_x};
    size_t at = link_put_tensor(r, link_request_head_bytes(r->n_tensors), max, &x, &r->tensors[0]);
    r->tensors[0].index = 0;
    if (a->words) {
        size_t from = (at + RING_ALIGN - 1) & ~(size_t)(RING_ALIGN - 1);
        struct tensor words = {.dtype = DTYPE_BYTES,
                               .n_dims = 1,
                               .shape = {a->n_rows},
                               .data = (char *)r + from,
                               .bytes = put_words((char *)r + from, a->words, a->n_rows)};
        at = link_put_tensor(r, at, max, &words, &r->tensors[1]);
        r->tensors[1].index = 1;
    }
    ring_commit(&g->end.out, at);
    return id;
}

void gate_rouse(struct gate *g)
{
    if (ring_must_wake(&g->end.in))
        link_end_wake_other(&g->end);
}

void gate_free_requests(struct gate *g)
{
    ring_free_to(&g->end.out, g->end.out.at);
}

// Takes what there is; sleeps as a gateway does.
static int take(struct gate *g, const void **ret, size_t *ret_bytes, int timeout_ms)
{
    struct err e;
    int taken;
    while ((taken = ring_take(&g->end.in, ret, ret_bytes, &e)) == 0) {
        struct pollfd f[2] = {{g->end.own_event, POLLIN, 0}, {g->socket.fd, POLLIN, 0}};
        int ready = ring_sleep(&g->end.out, &g->end.in) ? poll(f, 2, timeout_ms) : 1;
        ring_wake(&g->end.out);
        uint64_t ignored; // poll knows no edges
        (void)!read(g->end.own_event, &ignored, sizeof ignored);
        if (ready == 0)
            return -1;
        if (f[1].revents && !f[0].revents && ring_take(&g->end.in, ret, ret_bytes, &e) == 0)
            return 0;
    }
    ck_assert_int_eq(taken, 1);
    return 1;
}

int gate_next(struct gate *g, struct reply *r, uint64_t outputs, int timeout_ms)
{
    const void *message;
    size_t bytes;
    // What was taken before may be written over from now on.
    ring_tell_read(&g->end.out, &g->end.in);
    if (ring_must_wake_writer(&g->end.in))
        link_end_wake_other(&g->end);
    int taken = take(g, &message, &bytes, timeout_ms);
    if (taken <= 0)
        return taken;
    arena_reset(&g->arena, 1 << 20);
    struct link_asked asked = {.interface = g->interface, .outputs = outputs};
    if (link_response_head(message, bytes, &r->head, &r->error))
        ck_abort_msg("%s", r->error.msg);
    r->error.code = 0;
    if (r->head.code)
        link_response_error(message, &r->head, &r->error);
    else if (link_response_open(message, bytes, &r->head, &asked, &g->arena, r->results, &r->error))
        ck_abort_msg("%s", r->error.msg);
    return 1;
}

void gate_ask(struct gate *g, const struct ask *a, struct reply *ret)
{
    uint64_t id = gate_put(g, a);
    ck_assert_uint_ne(id, 0);
    gate_rouse(g);
    ck_assert_int_eq(gate_next(g, ret, a->outputs ? a->outputs : OUT_Y, PATIENCE_MS), 1);
    ck_assert_uint_eq(ret->head.id, id);
    gate_free_requests(g);
}

void gate_wait_begun(struct gate *g, uint64_t id, size_t n)
{
    uint64_t begun[LINK_BATCH_REQUESTS_MAX], end = clock_mono_ns() + PATIENCE_MS * UINT64_C(1000000);
    for (;;) {
        size_t n_begun = link_started_get(&g->end.in, begun);
        for (size_t i = 0; i < n_begun && n_begun == n; i++)
            if (begun[i] == id)
                return;
        ck_assert_msg(clock_mono_ns() < end, "request %d is not begun", (int)id);
        usleep(1000);
    }
}

void gate_put_slow(struct gate *g, struct process *p)
{
    float x[3] = {FAKE_SLEEP, SLOW_MS, 0};
    uint64_t id = gate_put(g, &(struct ask){.x = x, .n_rows = 1, .alone = true});
    ck_assert_uint_ne(id, 0);
    gate_rouse(g);
    gate_wait_begun(g, id, 1);
    process_stop(p);
}

void start(struct process *p, struct gate *g, const struct process_options *o)
{
    process_start(p, o);
    struct supervision_message m = process_expect(p, SUPERVISION_LOADED);
    ck_assert_uint_gt(m.loaded.load_ns, 0);
    ck_assert_uint_gt(m.loaded.memory_bytes, 0);
    gate_connect(g, p, RING, o->max_batch_rows);
}

void start_default(struct process *p, struct gate *g)
{
    start(p, g, &(struct process_options){.max_batch_rows = MAX_ROWS});
}

void stop(struct process *p, struct gate *g)
{
    gate_close(g);
    process_close(p);
}

void check_y(const struct reply *r, uint32_t row, float sum)
{
    const float *y = r->results[0].data;
    if (y[2 * row] != sum || y[2 * row + 1] != 2 * sum)
        ck_abort_msg("row %u: %g %g, expected sum %g", row, (double)y[2 * row], (double)y[2 * row + 1],
                     (double)sum);
}
