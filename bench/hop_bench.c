// SPDX-License-Identifier: Apache-2.0
// The hop from a gateway to a replica and back: this process plays the gateway, a fork of it is a real
// replica whose runtime copies its input. Prints for 1, 8 and 64 requests under way the time and the
// processor time of both sides for each request. Both run on one core unless told otherwise: what is measured
// is work, not the machine's way of waking another core.
//   hop_bench [requests [gateway_core replica_core]]
#include "base/clock.h"
#include "engine/runtime.h"
#include "os/shm.h"
#include "role/entry.h"
#include "role/link_end.h"
#include "role/supervision.h"
#include "settings/settings.h"

#include <openssl/evp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WIDTH = 32, RING = 1 << 20 };
static const char INTERFACE[] = "{\"platform\":\"identity\",\"max_batch_rows\":64,"
                                "\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,32]}],"
                                "\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[-1,32]}]}";

struct library {
    char unused;
};
struct session {
    struct interface *interface;
};

static int identity_open(const char *path, struct library **ret, struct err *e)
{
    static struct library l;
    (void)path;
    (void)e;
    *ret = &l;
    return 0;
}

static int identity_load(struct library *l, const void *bytes, size_t size, const struct runtime_options *o,
                         struct session **ret, struct err *e)
{
    static struct session s;
    (void)l;
    (void)o;
    *ret = &s;
    return interface_decode((struct str){bytes, size}, &s.interface, e);
}

static const struct interface *identity_interface(const struct session *s)
{
    return s->interface;
}

static int identity_run(struct session *s, const struct run *r, struct err *e)
{
    (void)s;
    if (r->inputs[0].bytes > r->room_bytes)
        return err_set(e, ERR_INTERNAL, "no room");
    r->results[0] = r->inputs[0];
    memcpy(r->room, r->inputs[0].data, r->inputs[0].bytes);
    r->results[0].data = r->room;
    return 0;
}

static const struct runtime identity = {.name = "identity",
                                        .open = identity_open,
                                        .load = identity_load,
                                        .interface = identity_interface,
                                        .run = identity_run};

const struct runtime *runtime_find(struct str engine)
{
    (void)engine;
    return &identity;
}

static void must(int code, const char *what)
{
    if (code < 0) {
        fprintf(stderr, "hop_bench: %s failed\n", what);
        exit(1);
    }
}

static void pin(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    must(sched_setaffinity(0, sizeof set, &set), "sched_setaffinity");
}

static int memfd_of(const char *text)
{
    struct err e;
    int fd;
    must(shm_new("hop", strlen(text), &fd, &e), "memfd");
    must((int)pwrite(fd, text, strlen(text), 0), "write");
    must(shm_seal(fd, SHM_SEAL_ALL, &e), "seal");
    return fd;
}

static int start_replica(struct msg_conn *supervisor, int core)
{
    static struct settings settings;
    static char title[64], digest[80];
    struct err e;
    int pair[2];
    unsigned char sum[32];
    EVP_Digest(INTERFACE, strlen(INTERFACE), sum, NULL, EVP_sha256(), NULL);
    int at = snprintf(digest, sizeof digest, "sha256:");
    for (unsigned i = 0; i < sizeof sum; i++)
        at += snprintf(digest + at, sizeof digest - (size_t)at, "%02x", sum[i]);
    settings_init(&settings);
    must(supervision_pair(pair, &e), "socketpair");
    struct replica_args a = {.replica = 1,
                             .model = "identity",
                             .engine = "identity",
                             .digest = digest,
                             .threads = 1,
                             .supervision_fd = pair[1],
                             .model_fd = memfd_of(INTERFACE),
                             .interface_fd = memfd_of(INTERFACE),
                             .title = title,
                             .title_bytes = sizeof title,
                             .settings = &settings};
    int pid = fork();
    if (pid == 0) {
        close(pair[0]);
        pin(core);
        _exit(replica_main(&a));
    }
    close(pair[1]);
    supervision_init(supervisor, pair[0]);
    return pid;
}

static void wait_readable(int fd)
{
    struct pollfd f = {fd, POLLIN, 0};
    must(poll(&f, 1, 10000) - 1, "waiting for the replica");
}

static void connect_replica(struct msg_conn *supervisor, struct link_end *end)
{
    struct err e;
    struct supervision_message s;
    struct msg_conn c;
    struct msg m;
    int pair[2], fds[LINK_FDS];
    while (supervision_take(supervisor, SUPERVISION_FROM_REPLICA, &s, &e) == 0) {
        wait_readable(supervisor->fd);
        must(msg_conn_fill(supervisor, &e), "reading");
    }
    must(s.type == SUPERVISION_LOADED ? 0 : -1, "loading");
    must(supervision_pair(pair, &e), "socketpair");
    struct supervision_link link = {.replica = 1};
    must(supervision_send(supervisor, SUPERVISION_LINK, &link, &pair[1], 1, &e), "LINK");
    msg_conn_init(&c, pair[0], LINK_PAYLOAD_MAX);
    must(link_end_new(end, RING, fds, &e), "rings");
    struct link_open o = {.protocol = LINK_PROTOCOL, .ring_bytes = RING};
    must(msg_conn_send(&c, LINK_OPEN, (struct str){(const char *)&o, sizeof o}, fds, LINK_FDS, &e), "OPEN");
    while (msg_conn_take(&c, &m, &e) == 0) {
        wait_readable(c.fd);
        must(msg_conn_fill(&c, &e), "reading");
    }
    must(m.type == LINK_ACCEPT ? 0 : -1, "accepting");
}

static void put(struct link_end *end, uint64_t id)
{
    size_t head = link_request_head_bytes(1), max = head + RING_ALIGN + WIDTH * sizeof(float);
    struct link_request *r = ring_reserve(&end->out, max);
    must(r ? 0 : -1, "room");
    *r = (struct link_request){.id = id, .outputs = 1, .n_rows = 1, .n_tensors = 1};
    float x[WIDTH] = {(float)(id & 0xffff)};
    struct tensor t = {.dtype = DTYPE_FP32, .n_dims = 2, .shape = {1, WIDTH}, .data = x, .bytes = sizeof x};
    ring_commit(&end->out, link_put_tensor(r, head, max, &t, &r->tensors[0]));
}

// Takes all answers that are there; how many.
static uint64_t take(struct link_end *end, const struct link_asked *asked, struct arena *arena)
{
    struct err e;
    const void *message;
    size_t bytes;
    uint64_t n = 0;
    struct link_response head;
    struct tensor y;
    while (ring_take(&end->in, &message, &bytes, &e) == 1) {
        must(link_response_head(message, bytes, &head, &e), "the answer");
        must(link_response_open(message, bytes, &head, asked, arena, &y, &e), "the answer");
        must(*(const float *)y.data == (float)(head.id & 0xffff) ? 0 : -1, "comparing");
        n++;
    }
    ring_tell_read(&end->out, &end->in);
    if (ring_must_wake_writer(&end->in))
        link_end_wake_other(end);
    return n;
}

static uint64_t cpu_ns(struct timeval t)
{
    return ((uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec) * 1000;
}

static void run(struct link_end *end, const struct link_asked *asked, uint64_t n, uint64_t depth)
{
    struct arena arena;
    struct err e;
    must(arena_init(&arena, 1 << 20, &e), "arena");
    uint64_t sent = 0, got = 0;
    while (got < n) {
        for (; sent < n && sent - got < depth; sent++)
            put(end, sent);
        if (ring_must_wake(&end->in))
            link_end_wake_other(end);
        uint64_t now = take(end, asked, &arena);
        got += now;
        if (now == 0) {
            if (ring_sleep(&end->out, &end->in))
                wait_readable(end->own_event);
            ring_wake(&end->out);
            uint64_t ignored; // poll knows no edges
            (void)!read(end->own_event, &ignored, sizeof ignored);
        }
        if (got == sent)
            ring_free_to(&end->out, end->out.at);
    }
    ring_free_to(&end->out, end->out.at);
    arena_done(&arena);
}

static double of_replica(int pid, const char *what)
{
    // utime and stime are in ticks of 10 ms: enough over seconds.
    char path[64], line[1024] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    must(f && fgets(line, sizeof line, f) ? 0 : -1, "stat");
    fclose(f);
    unsigned long user, system;
    must(sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                &system) -
             2,
         "stat");
    return (double)(*what == 'u' ? user : system) * 1e9 / (double)sysconf(_SC_CLK_TCK);
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 500000;
    int gateway_core = argc > 3 ? atoi(argv[2]) : 0, replica_core = argc > 3 ? atoi(argv[3]) : 0;
    struct msg_conn supervisor;
    struct link_end end;
    struct err e;
    struct interface *interface;
    must(interface_decode((struct str){INTERFACE, strlen(INTERFACE)}, &interface, &e), "the interface");
    struct link_asked asked = {.interface = interface, .outputs = 1};
    int pid = start_replica(&supervisor, replica_core);
    pin(gateway_core);
    connect_replica(&supervisor, &end);
    static const uint64_t depths[] = {1, 8, 32, 64};
    for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++) {
        run(&end, &asked, n / 10, depths[d]);
        struct rusage before, after;
        double user = of_replica(pid, "user"), sys = of_replica(pid, "system");
        getrusage(RUSAGE_SELF, &before);
        uint64_t start = clock_mono_ns();
        run(&end, &asked, n, depths[d]);
        uint64_t dur = clock_mono_ns() - start;
        getrusage(RUSAGE_SELF, &after);
        printf("depth %2llu: %6.0f ns a request; gateway user %5.0f system %5.0f; replica user %5.0f system "
               "%5.0f\n",
               (unsigned long long)depths[d], (double)dur / (double)n,
               (double)(cpu_ns(after.ru_utime) - cpu_ns(before.ru_utime)) / (double)n,
               (double)(cpu_ns(after.ru_stime) - cpu_ns(before.ru_stime)) / (double)n,
               (of_replica(pid, "user") - user) / (double)n, (of_replica(pid, "system") - sys) / (double)n);
    }
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    return 0;
}
