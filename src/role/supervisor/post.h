// SPDX-License-Identifier: Apache-2.0
// What crew.c, crew_link.c, crew_orders.c and crew_handover.c share: the processes of all deployments. A
// member's process, socket and row on the board belong to its struct post, which it has while it is not
// EMPTY.
#pragma once

#include "os/loop.h"
#include "os/msg.h"
#include "os/proc.h"
#include "role/supervisor/group.h"

struct supervisor;

struct post {
    struct crew *crew;
    struct member *member;
    unsigned row; // on the board
    struct proc proc;
    struct watch ended; // proc.pidfd
    struct msg_conn conn;
    struct watch says;                    // its supervision socket; fd -1: none
    bool is_unlinked[BOARD_CHILDREN_MAX]; // gateways that it could not be introduced to; tried again
};

struct deployment {
    struct group group;
    struct crew *crew;
    struct deployment *next;
    int model_fd, interface_fd;
    uint64_t due_mono_ns;
    struct post posts[LIMIT_REPLICAS + 1]; // of the members by place, then of the loader
};

struct crew {
    struct supervisor *sup;
    struct deployment *deployments;
    struct timer due;   // of the earliest group_step
    struct timer sweep; // for children of ours that nobody told us of
    uint32_t last_number;
    bool is_stopping;
    bool rows_taken[BOARD_ROWS_MAX];
};

enum { CREW_SWEEP_MS = 1000 };

// A deployment of the crew without any process; owns both descriptors from now on. NULL without memory.
struct deployment *crew_deployment_new(struct crew *c, const struct supervision_serve *want, int model_fd,
                                       int interface_fd);
// Whether the process is one of the server's that was started or adopted already: whoever watches it reaps
// it.
bool crew_knows(const struct crew *c, pid_t pid);
void crew_step(struct crew *c);                                      // does what is due in all groups
int post_watch(struct post *p, struct err *e) ERR_CHECKED;           // the end of its process
int post_connect(struct post *p, int fd, struct err *e) ERR_CHECKED; // owns fd from now on
struct board_row post_row(const struct post *p);                     // as it is to be seen
// Tells it a supervision message; one that cannot be reached is left to end, or to be found hung.
void post_tell(struct post *p, enum supervision_type type, const void *payload, const int *fds,
               unsigned n_fds);
void deployment_step(struct deployment *d);     // does what is due in it; may free it
void deployment_withdraw(struct deployment *d); // likewise
void crew_tell_controller(const struct group *g, const struct member *m); // m NULL: of the group as a whole

// crew_link.c
struct child;
void crew_link_pair(struct post *p, struct child *gateway);
void crew_link_again(struct crew *c); // what failed for want of descriptors
