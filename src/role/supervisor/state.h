// SPDX-License-Identifier: Apache-2.0
// What the supervisor's files share: its state. open.c builds it, child.c starts and restarts processes,
// supervisor.c holds the loop, the signals and the end.
#pragma once

#include "base/log.h"
#include "os/loop.h"
#include "os/msg.h"
#include "os/proc.h"
#include "role/board.h"
#include "role/supervision.h"
#include "role/supervisor/restart.h"

struct crew;
struct handover;
struct settings;
struct supervisor;
struct upgrade;

// One child, alive or not; its place in supervisor.children is its slot on the board.
struct child {
    struct supervisor *sup;
    struct proc proc;
    struct watch ended;          // proc.pidfd
    struct watch says_ready;     // read end of its ready pipe; fd -1 once it was heard
    struct msg_conn supervision; // our end of its supervision socket
    struct watch says;           // that socket; fd -1 while it does not run
    struct timer restart_due;
    struct restart restart;
    struct board_row row; // what the board shows
    int listen_fd;        // TCP of a gateway, Unix of the others; -1 once given up
    // While it is replaced by an upgrade: the one before, which serves until this one is ready, and then
    // drains
    struct proc old;
    struct watch old_ended;
    uint64_t old_started_mono_ns;
    struct msg_conn old_supervision; // kept open, not read
    bool is_stopped_for_renewal;     // of one that ends before its successor begins
};

struct supervisor {
    struct loop *loop;
    struct log log;
    struct settings *settings;
    int n_flags; // where they came from, to read them again
    char *const *flags;
    uint64_t started_mono_ns;
    int lock_fd, signal_fd, board_fd, metrics_fd, log_fd;
    int self_fd; // handle of this process: the controller sees by it that we have ended
    struct board *board;
    char *control_path;
    char *url;
    char **own_flags;                // flags, when a predecessor left them
    unsigned n_gateways, n_children; // children: gateways 0 … n_gateways - 1, then controller and monitor
    struct child children[BOARD_CHILDREN_MAX];
    struct crew *crew;       // what runs in replicas
    struct upgrade *upgrade; // NULL: none
    struct watch signals;
    struct timer drain_due, watchdog;
    bool moved;       // a child moved in this turn: supervisor.c acts at its end
    bool unsaved;     // something changed that the controller's copy does not have yet (succession.c)
    bool save_failed; // the last copy could not be made: tried again in each sweep (crew.c)
    bool announced;   // "ready" was said
    bool stopping;
    int exit_code;
};

struct child *supervisor_controller(struct supervisor *s);
struct child *supervisor_monitor(struct supervisor *s);
// Gateways that may live at once: each place twice, for the time of an upgrade. They and the controller know
// them by these numbers only.
unsigned supervisor_n_shards(const struct supervisor *s);
unsigned child_shard(const struct child *c); // of the gateway that runs there, or will next

// open.c: the data directory and its lock, listeners, shared memory, the loop. On failure everything is
// closed again by supervisor_close, which takes half-opened state.
int supervisor_open(struct supervisor *s, struct err *e) ERR_CHECKED;
void supervisor_close(struct supervisor *s);
// The same after a supervisor that ended: takes what it left. Children that served go on. The controller
// speaks through `conn`, which is taken.
int supervisor_reopen(struct supervisor *s, struct handover *h, struct msg_conn *conn,
                      struct err *e) ERR_CHECKED;

// succession.c: the flags and the environment that SIGHUP reads again; freed by supervisor_close.
int succession_restore_sources(struct supervisor *s, struct handover *h, struct err *e) ERR_CHECKED;
// Gives the controller what a successor would need, if something changed. Cheap if not.
void succession_save(struct supervisor *s);
void succession_put(const struct supervisor *s, struct handover *h); // all there is
// Takes all that h has, after supervisor_reopen made what is not in it. The children get the new board.
int succession_restore(struct supervisor *s, struct handover *h, struct msg_conn *conn,
                       struct err *e) ERR_CHECKED;

// reload.c: SIGHUP. An invalid file is logged and changes nothing.
void supervisor_reload(struct supervisor *s);

// service.c: what systemd is told, if there is one.
struct sockaddr_storage;
void service_begin(struct supervisor *s); // the watchdog
void service_ready(const struct supervisor *s);
void service_stopping(void);
void service_reloading(void); // service_ready when it is done
void service_store(const struct supervisor *s);
// Takes the listeners of an earlier start, if they are as the settings want them now; *a gets their address.
bool service_take(struct supervisor *s, struct sockaddr_storage *a);

// The environment of all processes that are started: what the C library and debugging tools heed, nothing
// else of ours.
enum { CHILD_ENVIRON_MAX = 16 };
void child_environ(char *ret[CHILD_ENVIRON_MAX]);

// child.c: starts the child's process; a failure counts as a death.
void child_start(struct child *c);
// Puts it into h; takes it from there as far as it runs, else a successor follows. `conn`: of the controller,
// taken; else NULL.
void child_save(const struct child *c, struct handover *h);
void child_restore(struct child *c, struct handover *h, struct msg_conn *conn);
// Replaces it by one that is started now: a gateway serves until its successor is ready, the others end
// first. A gateway that has no ready successor after all its attempts goes on itself.
void child_renew(struct child *c);
bool child_is_renewed(const struct child *c); // the successor is ready
// Asks it to finish (SIGTERM), or ends it (SIGKILL).
void child_stop(struct child *c, int sig);
// Sends it a supervision message (role/supervision.h). False when it does not run or cannot be reached.
bool child_tell(struct child *c, enum supervision_type type, const void *payload, const int *fds,
                unsigned n_fds);
