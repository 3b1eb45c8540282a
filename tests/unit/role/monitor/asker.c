// SPDX-License-Identifier: Apache-2.0
// See asker.h. Both ends are in one loop.
#include "asker.h"

#include "os/sock.h"
#include "role/ipc.h"

#include <stddef.h>
#include <string.h>
#include <yyjson.h>

enum { BODY_MAX = 512 << 20 };

static char folder[TEMPDIR_SIZE], path[TEMPDIR_SIZE + 16];
static struct monitor_args args;

static struct client {
    struct watch watch;
    struct msg_conn conn;
    struct loop *loop;
    struct answer *answer;
} client;

static void on_turn_end(void *m)
{
    peers_free_dead(&((struct monitor *)m)->peers);
}

void asker_start(struct monitor *m, struct settings *settings)
{
    struct err e;
    tempdir_new(folder);
    snprintf(path, sizeof path, "%s/monitor.sock", folder);
    args = (struct monitor_args){.log_fd = -1, .settings = settings};
    ck_assert_int_eq(sock_listen_unix(path, 0600, &args.listen_fd, &e), 0);
    ck_assert_int_eq(loop_new(&m->loop, &e), 0);
    m->args = &args;
    m->settings = settings;
    m->data_dir = folder;
    monitor_peers_init(m);
    loop_on_turn_end(m->loop, on_turn_end, m);
    peers_listen(&m->peers);
}

void asker_stop(struct monitor *m)
{
    peers_close_all(&m->peers);
    peers_stop_listening(&m->peers);
    close(args.listen_fd);
    loop_free(m->loop);
    tempdir_remove(folder);
}

static void take(const struct msg *m)
{
    struct answer *a = client.answer;
    if (m->type == IPC_RESPONSE) {
        yyjson_doc *doc = yyjson_read(m->payload.p, m->payload.n, 0);
        a->status = (int)yyjson_get_int(yyjson_obj_get(yyjson_doc_get_root(doc), "status"));
        yyjson_doc_free(doc);
    } else if (m->type == IPC_BODY) {
        buf_put_str(&a->body, m->payload);
    } else {
        ck_assert_uint_eq(m->type, IPC_END);
        loop_stop(client.loop);
    }
}

static void on_ready(struct watch *w, uint32_t events)
{
    struct err e;
    struct msg m;
    int rc = events & EPOLLOUT ? msg_conn_flush(&client.conn, &e) : 0, taken;
    if (rc == 0)
        rc = msg_conn_fill(&client.conn, &e);
    while ((taken = msg_conn_take(&client.conn, &m, &e)) > 0)
        take(&m);
    ck_assert_int_eq(taken, 0);
    if (rc)
        loop_stop(client.loop); // cut off, or at its end
    else
        ck_assert_int_eq(
            loop_change(client.loop, w, msg_conn_pending(&client.conn) ? EPOLLIN | EPOLLOUT : EPOLLIN, &e),
            0);
}

static void send_message(enum ipc_type type, struct str payload)
{
    struct err e;
    ck_assert_int_eq(msg_conn_send(&client.conn, (uint16_t)type, payload, NULL, 0, &e), 0);
}

void asker_ask(struct monitor *m, const char *method, const char *target, bool takes_lines, struct str body,
               struct answer *ret)
{
    struct err e;
    char head[512];
    int fd, n = snprintf(head, sizeof head,
                         "{\"method\":\"%s\",\"path\":\"%s\",\"query\":\"\",\"request_id\":\"r\",\"body\":%s,"
                         "\"lines\":%s}",
                         method, target, body.n ? "true" : "false", takes_lines ? "true" : "false");
    *ret = (struct answer){0};
    buf_init(&ret->body, BODY_MAX);
    ck_assert_int_eq(sock_unix_connect(path, &fd, &e), 0);
    client = (struct client){.watch = {fd, on_ready}, .loop = m->loop, .answer = ret};
    msg_conn_init(&client.conn, fd, IPC_PAYLOAD_MAX);
    ck_assert_int_eq(loop_add(m->loop, &client.watch, EPOLLIN | EPOLLOUT, &e), 0);
    send_message(IPC_REQUEST, (struct str){head, (size_t)n});
    while (body.n) {
        struct str part = {body.p, body.n < IPC_BODY_MAX ? body.n : IPC_BODY_MAX};
        send_message(IPC_BODY, part);
        body = (struct str){body.p + part.n, body.n - part.n};
    }
    send_message(IPC_END, STR(""));
    ck_assert_int_eq(loop_run(m->loop, &e), 0);
    loop_remove(m->loop, &client.watch);
    msg_conn_done(&client.conn);
    buf_putc(&ret->body, '\0');
    ck_assert(!ret->body.failed);
    ret->body.n--;
}
