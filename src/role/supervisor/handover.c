// SPDX-License-Identifier: Apache-2.0
// Records and descriptors of a handover, and the messages that carry them. What is in the records is put and
// taken by those whom it concerns: succession.c, child.c, crew_handover.c.
#include "role/supervisor/handover.h"

#include "base/clock.h"
#include "os/file.h"
#include "os/shm.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECEIVE_MS = 5000 };

struct head {
    uint32_t type, bytes;
};

struct handover *handover_new(void)
{
    struct handover *h = calloc(1, sizeof *h);
    if (h)
        buf_init(&h->records, HANDOVER_BYTES_MAX);
    return h;
}

void handover_free(struct handover *h)
{
    if (!h)
        return;
    for (unsigned i = 0; h->is_owner && i < h->n_fds; i++)
        if (h->fds[i] >= 0)
            close(h->fds[i]);
    buf_done(&h->records);
    free(h);
}

void handover_put(struct handover *h, enum handover_type type, const void *record, size_t bytes)
{
    struct head head = {type, (uint32_t)bytes};
    buf_put(&h->records, &head, sizeof head);
    buf_put(&h->records, record, bytes);
}

int32_t handover_keep(struct handover *h, int fd)
{
    if (fd < 0)
        return -1;
    if (h->n_fds == HANDOVER_FDS_MAX) {
        h->records.failed = true;
        return -1;
    }
    h->fds[h->n_fds] = fd;
    return (int32_t)h->n_fds++;
}

static int records_memfd(const struct handover *h, int *ret_fd, struct err *e)
{
    int rc = h->records.failed ? err_set(e, ERR_NOMEM, "the state of the server is too large to be kept")
                               : shm_new("slipway-state", 0, ret_fd, e);
    if (rc)
        return rc;
    rc = file_write_all(*ret_fd, h->records.p, h->records.n, e);
    if (rc == 0)
        rc = shm_seal(*ret_fd, SHM_SEAL_ALL, e);
    if (rc)
        close(*ret_fd);
    return rc;
}

int handover_send(struct handover *h, struct msg_conn *c, struct err *e)
{
    int fd, rc = records_memfd(h, &fd, e);
    if (rc)
        return rc;
    for (unsigned at = 0; rc == 0 && at < h->n_fds; at += MSG_FDS_MAX) {
        unsigned n = h->n_fds - at < MSG_FDS_MAX ? h->n_fds - at : MSG_FDS_MAX;
        rc = supervision_send(c, SUPERVISION_KEEP, NULL, &h->fds[at], n, e);
    }
    if (rc == 0)
        rc = supervision_send(c, SUPERVISION_STATE, &(struct supervision_state){.n_kept = h->n_fds}, &fd, 1,
                              e);
    close(fd);
    return rc;
}

int handover_store(struct handover *h, int *ret_fd, struct err *e)
{
    handover_put(h, HANDOVER_FDS, h->fds, h->n_fds * sizeof h->fds[0]);
    return records_memfd(h, ret_fd, e);
}

void handover_keep_open(const struct handover *h, int store_fd, bool yes)
{
    for (unsigned i = 0; i < h->n_fds; i++)
        fcntl(h->fds[i], F_SETFD, yes ? 0 : FD_CLOEXEC);
    fcntl(store_fd, F_SETFD, yes ? 0 : FD_CLOEXEC);
}

static int read_records(struct handover *h, int fd, struct err *e);

int handover_load(struct handover *h, int fd, bool has_fds, struct err *e)
{
    int rc = read_records(h, fd, e);
    if (rc || !has_fds)
        return rc;
    while (handover_peek(h) && handover_peek(h) != HANDOVER_FDS)
        (void)handover_next_bytes(h);
    struct str fds = handover_next_bytes(h);
    h->n_fds = (unsigned)(fds.n / sizeof h->fds[0]);
    if (h->n_fds == 0 || h->n_fds > HANDOVER_FDS_MAX)
        return err_set(e, ERR_INVALID, "the server's state came without descriptors");
    memcpy(h->fds, fds.p, h->n_fds * sizeof h->fds[0]);
    h->is_owner = true;
    h->read = 0;
    handover_keep_open(h, fd, false);
    return 0;
}

static int take_records(struct handover *h, const struct supervision_message *m, struct err *e)
{
    if (m->state.n_kept != h->n_fds)
        return err_set(e, ERR_INVALID, "%u descriptors came with a state of %u", h->n_fds, m->state.n_kept);
    return read_records(h, m->fds[0], e);
}

static int read_records(struct handover *h, int fd, struct err *e)
{
    const void *p;
    size_t n;
    int rc = shm_map_immutable(fd, 1, HANDOVER_BYTES_MAX, &p, &n, e);
    if (rc)
        return rc;
    buf_put(&h->records, p, n);
    shm_unmap(p, n);
    return h->records.failed ? err_set(e, ERR_NOMEM, "no memory for the server's state") : 0;
}

// One message: 1 when it was the last.
static int take(struct handover *h, struct supervision_message *m, struct err *e)
{
    if (m->type == SUPERVISION_KEEP && h->n_fds + m->n_fds <= HANDOVER_FDS_MAX) {
        memcpy(&h->fds[h->n_fds], m->fds, m->n_fds * sizeof m->fds[0]);
        h->n_fds += m->n_fds;
        return 0;
    }
    int rc = m->type == SUPERVISION_STATE
                 ? take_records(h, m, e)
                 : err_set(e, ERR_INVALID, "message type %d before the server's state", (int)m->type);
    for (unsigned i = 0; i < m->n_fds; i++)
        close(m->fds[i]);
    return rc ? rc : 1;
}

int handover_receive(struct handover *h, struct msg_conn *c, struct err *e)
{
    uint64_t deadline = clock_mono_ns() + RECEIVE_MS * UINT64_C(1000000);
    struct supervision_message m;
    h->is_owner = true;
    for (;;) {
        int rc = msg_conn_fill(c, e), got;
        while ((got = supervision_take(c, SUPERVISION_FROM_CONTROLLER, &m, e)) > 0) {
            int last = take(h, &m, e);
            if (last)
                return last < 0 ? last : 0;
        }
        if (rc || got < 0)
            return rc ? rc : got;
        uint64_t now = clock_mono_ns();
        if (now >= deadline)
            return err_set(e, ERR_UNAVAILABLE, "the server's state did not come within %d ms", RECEIVE_MS);
        (void)poll(&(struct pollfd){.fd = c->fd, .events = POLLIN}, 1, (int)((deadline - now) / 1000000) + 1);
    }
}

static bool has_head(const struct handover *h, struct head *ret)
{
    size_t left = h->records.n - h->read;
    if (left < sizeof *ret)
        return false;
    memcpy(ret, h->records.p + h->read, sizeof *ret);
    return ret->bytes <= left - sizeof *ret;
}

uint32_t handover_peek(const struct handover *h)
{
    struct head head;
    return has_head(h, &head) ? head.type : 0;
}

struct str handover_next_bytes(struct handover *h)
{
    struct head head;
    if (!has_head(h, &head))
        return (struct str){"", 0};
    struct str bytes = {h->records.p + h->read + sizeof head, head.bytes};
    h->read += sizeof head + head.bytes;
    return bytes;
}

void handover_next(struct handover *h, void *ret, size_t bytes)
{
    struct str has = handover_next_bytes(h);
    memset(ret, 0, bytes);
    memcpy(ret, has.p, has.n < bytes ? has.n : bytes);
}

int handover_take(struct handover *h, int32_t place)
{
    if (place < 0 || (unsigned)place >= h->n_fds)
        return -1;
    int fd = h->fds[place];
    h->fds[place] = -1;
    return fd;
}
