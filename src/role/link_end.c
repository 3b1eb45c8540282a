// SPDX-License-Identifier: Apache-2.0
// Memory and descriptors of a link's end. That the writes never block holds because the replica's sandbox
// denies it to change the mode of a descriptor.
#include "role/link_end.h"

#include "os/shm.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void close_one(int fd)
{
    if (fd >= 0)
        close(fd);
}

static int new_event(int *ret_fd, struct err *e)
{
    *ret_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return *ret_fd < 0 ? err_errno(e, errno, "create an eventfd") : 0;
}

static int new_memory(struct link_end *l, int ret_fds[LINK_FDS], struct err *e)
{
    size_t mapped;
    void *in;
    int code =
        shm_new_mapped("slipway-requests", l->memory_bytes, &ret_fds[LINK_FD_REQUESTS], &l->out_memory, e);
    if (code == 0)
        code = shm_seal(ret_fds[LINK_FD_REQUESTS], SHM_SEAL_WRITERS, e);
    if (code == 0)
        code = shm_new("slipway-responses", l->memory_bytes, &ret_fds[LINK_FD_RESPONSES], e);
    if (code == 0)
        code = shm_seal(ret_fds[LINK_FD_RESPONSES], SHM_SEAL_SIZE, e);
    if (code == 0)
        code = shm_map(ret_fds[LINK_FD_RESPONSES], false, l->memory_bytes, l->memory_bytes, &in, &mapped, e);
    if (code == 0)
        l->in_memory = in;
    return code;
}

static void init_rings(struct link_end *l, size_t ring_bytes)
{
    ring_writer_init(&l->out, l->out_memory, ring_bytes);
    ring_reader_init(&l->in, l->in_memory, ring_bytes);
}

int link_end_new(struct link_end *l, size_t ring_bytes, int ret_fds[LINK_FDS], struct err *e)
{
    *l = (struct link_end){.memory_bytes = ring_memory_bytes(ring_bytes), .own_event = -1, .other_event = -1};
    for (int i = 0; i < LINK_FDS; i++)
        ret_fds[i] = -1;
    int code = new_memory(l, ret_fds, e);
    if (code == 0)
        code = new_event(&l->own_event, e);
    if (code == 0)
        code = new_event(&l->other_event, e);
    if (code) {
        close_one(ret_fds[LINK_FD_REQUESTS]);
        close_one(ret_fds[LINK_FD_RESPONSES]);
        link_end_done(l);
        return code;
    }
    init_rings(l, ring_bytes);
    ret_fds[LINK_FD_GATEWAY] = l->own_event;
    ret_fds[LINK_FD_REPLICA] = l->other_event;
    return 0;
}

int link_end_attach(struct link_end *l, const struct link_open *o, const int fds[LINK_FDS], struct err *e)
{
    size_t n = ring_memory_bytes(o->ring_bytes), mapped;
    void *in = NULL;
    *l = (struct link_end){
        .memory_bytes = n, .own_event = fds[LINK_FD_REPLICA], .other_event = fds[LINK_FD_GATEWAY]};
    int code = shm_map(fds[LINK_FD_REQUESTS], false, n, n, &in, &mapped, e);
    l->in_memory = in;
    if (code == 0)
        code = shm_map(fds[LINK_FD_RESPONSES], true, n, n, &l->out_memory, &mapped, e);
    close(fds[LINK_FD_REQUESTS]);
    close(fds[LINK_FD_RESPONSES]);
    if (code) {
        link_end_done(l);
        return code;
    }
    init_rings(l, o->ring_bytes);
    return 0;
}

void link_end_done(struct link_end *l)
{
    if (l->memory_bytes == 0)
        return;
    shm_unmap(l->in_memory, l->memory_bytes);
    shm_unmap(l->out_memory, l->memory_bytes);
    close_one(l->own_event);
    close_one(l->other_event);
    *l = (struct link_end){0};
}

void link_end_wake_other(const struct link_end *l)
{
    uint64_t one = 1;
    (void)!write(l->other_event, &one, sizeof one); // fails when it is full, and then it wakes
}
