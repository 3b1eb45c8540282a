// SPDX-License-Identifier: Apache-2.0
// One end of a link: the two rings and the two eventfds, for gateway and replica alike. What is said through
// them is in link.h.
#pragma once

#include "os/ring.h"
#include "role/link.h"

struct link_end {
    struct ring_writer out;
    struct ring_reader in;
    void *out_memory;
    const void *in_memory;
    size_t memory_bytes; // of each
    int own_event;       // readable when the other side wakes us
    int other_event;
};

// The gateway's end: makes everything. ret_fds are what LINK_OPEN sends, in the order of enum link_fd; the
// caller closes the two of memory (LINK_FD_REQUESTS, LINK_FD_RESPONSES) when they are sent. On failure
// nothing is open. ERR_IO, ERR_NOMEM.
int link_end_new(struct link_end *l, size_t ring_bytes, int ret_fds[LINK_FDS], struct err *e) ERR_CHECKED;
// The replica's end, from the descriptors of LINK_OPEN, which it owns from now on, also on failure.
// ERR_INVALID when the memory is not as announced, ERR_IO.
int link_end_attach(struct link_end *l, const struct link_open *o, const int fds[LINK_FDS],
                    struct err *e) ERR_CHECKED;
void link_end_done(struct link_end *l); // zeroed is fine

// One system call that never blocks: wakes the other side, which watches own_event for edges (EPOLLET) and
// reads nothing.
void link_end_wake_other(const struct link_end *l);
