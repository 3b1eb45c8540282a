// SPDX-License-Identifier: Apache-2.0
// See harness.h. The controller runs in a forked child; its compile processes are this program again.
#include "harness.h"

#include "engine/engine.h"
#include "engine/runtime.h"
#include "os/shm.h"
#include "os/sock.h"
#include "registry/registry.h"
#include "role/compile.h"
#include "role/forecast.h"
#include "role/ipc.h"
#include "role/look.h"
#include "role/notify.h"
#include "role/role.h"
#include "role/store.h"
#include "role/supervision.h"
#include "role/sweep.h"
#include "settings/settings.h"

#include <check.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yyjson.h>

enum { WAIT_MS = 60000 };
static char socket_path[1024];
static struct msg_conn supervisor; // our end, when there is one
static bool has_supervisor;
static unsigned most_fds;
static int metrics_fd = -1;
enum { SETTINGS_MAX = 8 };
static const char *set_keys[SETTINGS_MAX], *set_values[SETTINGS_MAX];
static unsigned n_set;

struct model {
    struct signature sig;
    char (*names)[16]; // (n_features)
};
struct image {
    char magic[8];
    uint64_t n_features;
};

static const char *fake_detect(const uint8_t *bytes, size_t size)
{
    return size > 5 && memcmp(bytes, "fake ", 5) == 0 ? "fake_text" : NULL;
}

static int fake_compile(const uint8_t *bytes, size_t size, struct buf *image, struct err *e)
{
    struct str word = {(const char *)bytes + 5, size - 5};
    struct image i = {"fakeimg", 0};
    if (str_starts(word, STR("bad"))) {
        err_set(e, ERR_BAD_MODEL, "tree 3 refers to node 99 of 7");
        err_at(e, "$.trees[3]");
        return ERR_BAD_MODEL;
    }
    if (str_starts(word, STR("crash")))
        raise(SIGSEGV);
    if (str_starts(word, STR("stop")))
        raise(SIGSTOP);
    if (str_starts(word, STR("leave"))) { // a child keeps all that is open here, and nothing is reported
        if (fork() == 0)
            pause();
        _exit(0);
    }
    for (volatile bool spin = str_starts(word, STR("spin")); spin;)
        ;
    if (str_starts(word, STR("liar")))
        i.magic[0] = 'X';
    if (str_starts(word, STR("ok ")))
        i.n_features = strtoul(word.p + 3, NULL, 10);
    buf_put(image, &i, sizeof i);
    return 0;
}

static int fake_open(const void *image, size_t size, struct model **ret, struct err *e)
{
    const struct image *i = image;
    if (size != sizeof *i || memcmp(i->magic, "fakeimg", 8) != 0 || i->n_features > 1000)
        return err_set(e, ERR_BAD_MODEL, "not an image");
    struct model *m = calloc(1, sizeof *m);
    m->sig = (struct signature){.n_features = (uint32_t)i->n_features,
                                .n_outputs = 1,
                                .input_dtype = DTYPE_FP32,
                                .output_dtype = DTYPE_FP32,
                                .platform = "fake_text",
                                .output_name = "prediction",
                                .features = calloc(i->n_features + 1, sizeof *m->sig.features)};
    m->names = calloc(i->n_features + 1, sizeof *m->names);
    for (uint64_t f = 0; f < i->n_features; f++) {
        snprintf(m->names[f], sizeof m->names[f], "column%u", (unsigned)f);
        m->sig.features[f] = (struct feature){.name = str_of(m->names[f]), .may_be_missing = true};
    }
    *ret = m;
    return 0;
}

static void fake_close(struct model *m)
{
    if (m) {
        free(m->sig.features);
        free(m->names);
    }
    free(m);
}

static const struct signature *fake_signature(const struct model *m)
{
    return &m->sig;
}

static void fake_describe(const struct model *m, struct buf *json)
{
    buf_printf(json, "{\"features\":%u}", m->sig.n_features);
}

static void fake_predict(struct model *m, const void *rows, uint32_t n_rows, void *out)
{
    (void)rows;
    memset(out, 0, (size_t)n_rows * m->sig.n_outputs * dtype_size(m->sig.output_dtype));
}

static void fake_make_rows(struct model *m, uint64_t seed, uint32_t n_rows, void *rows)
{
    (void)seed;
    memset(rows, 0, (size_t)n_rows * m->sig.n_features * dtype_size(m->sig.input_dtype));
}

const struct engine engine_trees = {
    .name = "trees",
    .detect = fake_detect,
    .compile = fake_compile,
    .open = fake_open,
    .close = fake_close,
    .signature = fake_signature,
    .describe = fake_describe,
    .predict = fake_predict,
    .make_rows = fake_make_rows,
};

// The engine that runs in replicas: its "library" reads the number of columns.
struct session {
    struct tensor_spec input, output;
    struct interface interface;
};

static const char *onnx_detect(const uint8_t *bytes, size_t size)
{
    return size > 5 && memcmp(bytes, "onnx ", 5) == 0 ? "onnx" : NULL;
}

static int onnx_open(const char *path, struct library **ret, struct err *e)
{
    (void)path, (void)e;
    *ret = (struct library *)(uintptr_t)1;
    return 0;
}

static int onnx_load(struct library *l, const void *bytes, size_t size, const struct runtime_options *o,
                     struct session **ret, struct err *e)
{
    static struct session s;
    (void)l, (void)size, (void)o, (void)e;
    s.input = (struct tensor_spec){.name = STR("x"), .dtype = DTYPE_FP32, .n_dims = 2, .shape = {-1, 0}};
    s.input.shape[1] = (int64_t)strtoul((const char *)bytes + 5, NULL, 10);
    s.output = (struct tensor_spec){.name = STR("y"), .dtype = DTYPE_FP32, .n_dims = 1, .shape = {-1}};
    s.interface = (struct interface){
        .platform = "onnx_onnxv1", .n_inputs = 1, .n_outputs = 1, .inputs = &s.input, .outputs = &s.output};
    *ret = &s;
    return 0;
}

static const struct interface *onnx_interface(const struct session *s)
{
    return &s->interface;
}

static uint32_t onnx_probe(struct session *s, double *ret_worst)
{
    (void)s;
    *ret_worst = 0;
    return 32;
}

static const char *onnx_version(const struct library *l)
{
    (void)l;
    return "1";
}

static int onnx_run(struct session *s, const struct run *r, struct err *e)
{
    static float zeros[2048];
    int64_t n = r->inputs[0].shape[0];
    (void)s, (void)e;
    r->results[0] = (struct tensor){
        .dtype = DTYPE_FP32, .n_dims = 1, .shape = {n}, .data = zeros, .bytes = (size_t)n * sizeof zeros[0]};
    return 0;
}

static void onnx_close(struct session *s)
{
    (void)s;
}

const struct runtime runtime_onnx = {.name = "onnx",
                                     .open = onnx_open,
                                     .version = onnx_version,
                                     .run = onnx_run,
                                     .load = onnx_load,
                                     .interface = onnx_interface,
                                     .probe_batching = onnx_probe,
                                     .close = onnx_close};
const struct engine engine_onnx = {.name = "onnx", .runtime = &runtime_onnx, .detect = onnx_detect};

static void wait_for_leave_to_look(const char *data_dir)
{
    int fd = open(data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (faccessat(fd, HARNESS_LOOKS_WAIT, F_OK, 0) == 0)
        usleep(1000);
    close(fd);
}

void harness_helper_entry(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], COMPILE_ROLE) == 0)
        exit(compile_main(argc, argv));
    if (argc > 1 && strcmp(argv[1], STORE_ROLE) == 0)
        exit(store_main(argc, argv));
    if (argc > 1 && strcmp(argv[1], SWEEP_ROLE) == 0)
        exit(sweep_main(argc, argv));
    if (argc > 1 && strcmp(argv[1], FORECAST_ROLE) == 0)
        exit(forecast_main(argc, argv));
    if (argc == LOOK_ARGS && strcmp(argv[1], LOOK_ROLE) == 0)
        wait_for_leave_to_look(argv[LOOK_ARG_DATA_DIR]);
    if (argc > 1 && strcmp(argv[1], LOOK_ROLE) == 0)
        exit(look_main(argc, argv));
    if (argc > 1 && strcmp(argv[1], NOTIFY_ROLE) == 0)
        exit(notify_main(argc, argv));
}

void harness_setting(const char *key, const char *value)
{
    n_set = key[0] ? n_set : 0;
    if (!key[0])
        return;
    ck_assert_uint_lt(n_set, SETTINGS_MAX);
    set_keys[n_set] = key;
    set_values[n_set++] = value;
}

void harness_limit_fds(unsigned most)
{
    most_fds = most;
}

void harness_metrics(int fd)
{
    metrics_fd = fd;
}

static pid_t start(const char *dir, unsigned n_gateways, int supervision_fd)
{
    struct err e;
    int listen_fd, ready[2];
    snprintf(socket_path, sizeof socket_path, "%s/control.sock", dir);
    ck_assert_int_eq(sock_listen_unix(socket_path, 0600, &listen_fd, &e), 0);
    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        static struct settings s;
        settings_init(&s);
        s.log_level = SETTINGS_LOG_ERROR;
        s.replica_cores = 8; // whatever the machine has
        snprintf(s.data_dir, sizeof s.data_dir, "%s/data", dir);
        for (unsigned i = 0; i < n_set; i++)
            ck_assert_int_eq(settings_set(&s, str_of(set_keys[i]), str_of(set_values[i]), &e), 0);
        close(ready[0]);
        struct rlimit limit = {most_fds, most_fds};
        if (most_fds)
            setrlimit(RLIMIT_NOFILE, &limit);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        struct controller_args args = {.n_gateways = n_gateways,
                                       .control_listen_fd = listen_fd,
                                       .board_fd = -1,
                                       .metrics_fd = metrics_fd,
                                       .ready_fd = ready[1],
                                       .supervision_fd = supervision_fd,
                                       .settings = &s};
        exit(controller_main(&args));
    }
    close(listen_fd);
    close(ready[1]);
    char c;
    ck_assert_int_eq(read(ready[0], &c, 1), 1);
    close(ready[0]);
    return pid;
}

pid_t harness_start(const char *dir, unsigned n_gateways)
{
    return start(dir, n_gateways, -1);
}

pid_t harness_start_supervised(const char *dir, unsigned n_gateways)
{
    struct err e;
    int pair[2];
    if (supervisor.fd > 0) // of a controller before this one
        msg_conn_done(&supervisor);
    ck_assert_int_eq(supervision_pair(pair, &e), 0);
    if (has_supervisor) // of a controller that was killed
        msg_conn_done(&supervisor);
    has_supervisor = true;
    supervision_init(&supervisor, pair[0]);
    pid_t pid = start(dir, n_gateways, pair[1]);
    close(pair[1]);
    return pid;
}

void harness_supervisor_hears(unsigned type, struct supervision_message *ret)
{
    struct err e;
    int got;
    while ((got = supervision_take(&supervisor, SUPERVISION_FROM_CONTROLLER, ret, &e)) == 0) {
        struct pollfd p = {.fd = supervisor.fd, .events = POLLIN};
        ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
        ck_assert_int_eq(msg_conn_fill(&supervisor, &e), 0);
    }
    ck_assert_msg(got == 1, "%s", e.msg);
    ck_assert_uint_eq(ret->type, type);
}

bool harness_supervisor_is_told(void)
{
    struct pollfd p = {.fd = supervisor.fd, .events = POLLIN};
    return supervisor.in.n > supervisor.in_at || poll(&p, 1, 0) == 1;
}

void harness_supervisor_says(uint64_t deployment, uint32_t replica, unsigned state, uint32_t ready,
                             const char *why)
{
    struct err e;
    struct supervision_replica r = {
        .deployment = deployment, .replica = replica, .state = state, .ready = ready, .load_ns = 7000000};
    snprintf(r.why, sizeof r.why, "%s", why);
    ck_assert_int_eq(supervision_send(&supervisor, SUPERVISION_REPLICA, &r, NULL, 0, &e), 0);
}

void harness_supervisor_upgraded(int code, const char *why)
{
    struct err e;
    struct supervision_failed f = {.code = code};
    snprintf(f.why, sizeof f.why, "%s", why);
    ck_assert_int_eq(supervision_send(&supervisor, SUPERVISION_UPGRADED, &f, NULL, 0, &e), 0);
}

void harness_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int harness_stop(pid_t pid)
{
    int status;
    kill(pid, SIGTERM);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Waits for one message; the end of the connection fails the test.
static struct msg receive(struct msg_conn *c)
{
    struct msg m;
    struct err e;
    for (;;) {
        int got = msg_conn_take(c, &m, &e);
        ck_assert_msg(got >= 0, "%s", e.msg);
        if (got)
            return m;
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
        int rc = msg_conn_fill(c, &e);
        ck_assert_msg(rc == 0, "%s", e.msg);
    }
}

static void flush(struct msg_conn *c)
{
    struct err e;
    while (msg_conn_pending(c)) {
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
        if (msg_conn_flush(c, &e))
            return; // it may have answered early
    }
}

static void connect_to(struct msg_conn *c)
{
    struct err e;
    int fd;
    ck_assert_msg(sock_unix_connect(socket_path, &fd, &e) == 0, "%s", e.msg);
    msg_conn_init(c, fd, IPC_PAYLOAD_MAX);
}

int harness_connect(void)
{
    struct msg_conn c;
    connect_to(&c);
    return c.fd;
}

static void send_text(struct msg_conn *c, uint16_t type, const char *text, size_t n)
{
    struct err e;
    int rc = msg_conn_send(c, type, (struct str){text, n}, NULL, 0, &e);
    ck_assert_msg(rc == 0 || rc == ERR_UNAVAILABLE, "%s", e.msg);
    flush(c);
}

static char once_key[64];

void harness_key(const char *key)
{
    snprintf(once_key, sizeof once_key, "%s", key);
}

int harness_send(const char *method, const char *target, const char *body, size_t n)
{
    struct msg_conn c;
    char head[2048];
    const char *query = strchr(target, '?');
    int path_n = (int)(query ? (size_t)(query - target) : strlen(target));
    int head_n = snprintf(head, sizeof head,
                          "{\"method\":\"%s\",\"path\":\"%.*s\",\"query\":\"%s\",\"content_type\":\"\","
                          "\"request_id\":\"req-7\",\"idempotency_key\":\"%s\",\"body\":%s}",
                          method, path_n, target, query ? query + 1 : "", once_key, body ? "true" : "false");
    connect_to(&c);
    send_text(&c, IPC_REQUEST, head, (size_t)head_n);
    for (size_t at = 0; body && at < n;) {
        size_t part = n - at < 5000 ? n - at : 5000;
        send_text(&c, IPC_BODY, body + at, part);
        at += part;
    }
    send_text(&c, IPC_END, "", 0);
    int fd = dup(c.fd);
    msg_conn_done(&c);
    return fd;
}

void harness_receive(int fd, struct answer *ret)
{
    struct msg_conn c;
    msg_conn_init(&c, fd, IPC_PAYLOAD_MAX);
    struct msg m = receive(&c);
    ck_assert_int_eq(m.type, IPC_RESPONSE);
    yyjson_doc *doc = yyjson_read(m.payload.p, m.payload.n, 0);
    ret->status = yyjson_get_int(yyjson_obj_get(yyjson_doc_get_root(doc), "status"));
    yyjson_doc_free(doc);
    ret->n = 0;
    while ((m = receive(&c)).type == IPC_BODY) {
        ck_assert_uint_lt(ret->n + m.payload.n, sizeof ret->body);
        memcpy(ret->body + ret->n, m.payload.p, m.payload.n);
        ret->n += m.payload.n;
    }
    ck_assert_int_eq(m.type, IPC_END);
    ret->body[ret->n] = '\0';
    msg_conn_done(&c);
}

void harness_request(const char *method, const char *target, const char *body, struct answer *ret)
{
    harness_receive(harness_send(method, target, body, body ? strlen(body) : 0), ret);
}

bool harness_is_answered(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

void harness_digest(const char *text, char ret[72])
{
    struct registry_digest d;
    SHA256((const unsigned char *)text, strlen(text), d.bytes);
    registry_digest_text(&d, ret);
}

void harness_upload(const char *text, char ret[72], struct answer *a)
{
    char target[128];
    harness_digest(text, ret);
    snprintf(target, sizeof target, "/api/v1/blobs/%s", ret);
    harness_request("PUT", target, text, a);
}

int harness_push(const char *model, const char *text, const char *more_json)
{
    static struct answer a;
    char digest[72], target[256], body[1024];
    harness_upload(text, digest, &a);
    ck_assert_msg(a.status == 201 || a.status == 200, "%s", a.body);
    snprintf(target, sizeof target, "/api/v1/models/%s/versions", model);
    int n = snprintf(body, sizeof body,
                     "{\"artifacts\":[{\"name\":\"model.json\",\"digest\":\"%s\",\"size\":%zu}],\"allow_"
                     "breaking\":true%s}",
                     digest, strlen(text), more_json);
    return harness_send("POST", target, body, (size_t)n);
}

void harness_gateway_reconnect(struct harness_gateway *g, unsigned index, unsigned generation)
{
    char hello[96];
    int n =
        snprintf(hello, sizeof hello, "{\"gateway\":%u,\"protocol\":1,\"generation\":%u}", index, generation);
    memset(g, 0, sizeof *g);
    connect_to(&g->conn);
    send_text(&g->conn, IPC_HELLO, hello, (size_t)n);
}

void harness_gateway_connect(struct harness_gateway *g, unsigned index)
{
    harness_gateway_reconnect(g, index, 0);
}

static void take_deploy(struct harness_gateway *g, const struct msg *m)
{
    struct err e;
    const void *p;
    size_t size;
    ck_assert_int_eq(m->n_fds, 1);
    ck_assert_msg(shm_map_immutable(m->fds[0], 1, 1 << 20, &p, &size, &e) == 0, "%s", e.msg);
    g->image_features = size == sizeof(struct image) ? ((const struct image *)p)->n_features : 0;
    shm_unmap(p, size);
    close(m->fds[0]);
    g->n_deploys++;
    snprintf(g->last_deploy, sizeof g->last_deploy, STR_FMT, STR_ARG(m->payload));
}

// Whether it was a table.
static bool take_message(struct harness_gateway *g, const struct msg *m)
{
    if (m->type == IPC_DEPLOY)
        take_deploy(g, m);
    if (m->type == IPC_METRICS)
        snprintf(g->metrics, sizeof g->metrics, STR_FMT, STR_ARG(m->payload));
    if (m->type != IPC_ROUTES) {
        ck_assert(m->type == IPC_DEPLOY || m->type == IPC_SCALE || m->type == IPC_METRICS);
        return false;
    }
    ck_assert_uint_lt(m->payload.n, sizeof g->routes);
    memcpy(g->routes, m->payload.p, m->payload.n);
    g->routes[m->payload.n] = '\0';
    return true;
}

bool harness_gateway_take(struct harness_gateway *g)
{
    struct msg m;
    struct err e;
    struct pollfd p = {.fd = g->conn.fd, .events = POLLIN};
    int got;
    while ((got = msg_conn_take(&g->conn, &m, &e)) == 0 && poll(&p, 1, 0) == 1)
        ck_assert_int_eq(msg_conn_fill(&g->conn, &e), 0);
    ck_assert_int_ge(got, 0);
    return got && (take_message(g, &m) || harness_gateway_take(g));
}

void harness_gateway_routes(struct harness_gateway *g)
{
    struct msg m;
    do
        m = receive(&g->conn);
    while (!take_message(g, &m));
}

void harness_gateway_ack(struct harness_gateway *g)
{
    char ack[64];
    const char *at = strstr(g->routes, "\"generation\":");
    ck_assert_ptr_nonnull(at);
    int n = snprintf(ack, sizeof ack, "{\"generation\":%llu}", strtoull(at + 13, NULL, 10));
    send_text(&g->conn, IPC_ACK, ack, (size_t)n);
}

void harness_gateway_until(struct harness_gateway *g, const char *text)
{
    do {
        harness_gateway_routes(g);
        harness_gateway_ack(g);
    } while (!strstr(g->routes, text));
}

void harness_gateway_counts(struct harness_gateway *g, const char *json)
{
    send_text(&g->conn, IPC_COHORTS, json, strlen(json));
}

static struct msg_conn monitor;

void harness_monitor_connect(void)
{
    static const char HELLO[] = "{\"role\":\"monitor\",\"protocol\":1}";
    static bool is_open;
    if (is_open) // to the controller before
        msg_conn_done(&monitor);
    is_open = true;
    connect_to(&monitor);
    send_text(&monitor, IPC_HELLO, HELLO, sizeof HELLO - 1);
}

void harness_monitor_labels(const char *json)
{
    send_text(&monitor, IPC_LABELS, json, strlen(json));
}

void harness_gateway_want(struct harness_gateway *g, uint64_t deployment)
{
    char want[64];
    int n = snprintf(want, sizeof want, "{\"deployment\":%llu}", (unsigned long long)deployment);
    send_text(&g->conn, IPC_WANT, want, (size_t)n);
}
