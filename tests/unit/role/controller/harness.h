// SPDX-License-Identifier: Apache-2.0
// A controller in a process of its own, with an engine of test formats, and the gateway's side of both kinds
// of connection, blocking. Time-outs end a test that waits in vain.
#pragma once

#include "base/buf.h"
#include "os/msg.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { HARNESS_ANSWER_MAX = 1 << 20 };

// The engine reads text: "fake ok N" has N features; "fake bad" is refused; "fake crash", "fake spin" and
// "fake stop" do that to the process that compiles them; with "fake leave" it ends, and a child of it stays;
// "fake liar" compiles to an image that does not open.

// "onnx N" is a model of an engine that runs in replicas, with an input of N columns.

// The counters of the gateways for the controllers that are started from now on; -1: none.
void harness_metrics(int fd);
// Starts a controller on `dir` for n gateways; it listens before this returns.
pid_t harness_start(const char *dir, unsigned n_gateways);
void harness_setting(const char *key, const char *value); // likewise; "" "" forgets all
void harness_limit_fds(unsigned most);                    // of the controllers started from now on
// The same with a supervisor, which the test plays through these.
struct supervision_message;
pid_t harness_start_supervised(const char *dir, unsigned n_gateways);
// Waits for the next message of the controller, which is of this type (enum supervision_type).
void harness_supervisor_hears(unsigned type, struct supervision_message *ret);
bool harness_supervisor_is_told(void); // there is a message to be heard
// SUPERVISION_REPLICA; replica 0 is the deployment as a whole.
void harness_supervisor_says(uint64_t deployment, uint32_t replica, unsigned state, uint32_t ready,
                             const char *why);
void harness_supervisor_upgraded(int code, const char *why); // SUPERVISION_UPGRADED; code 0: why is a version
void harness_kill(pid_t pid);                                // SIGKILL, and waits
int harness_stop(pid_t pid);                                 // SIGTERM; its exit code
// A file in the data directory; as long as it is there, processes that look at the registry wait.
#define HARNESS_LOOKS_WAIT "looks_wait"
// When argv is that of a compile or store process, runs it and exits.
void harness_helper_entry(int argc, char **argv);

// Admin requests. NULL: no body.
struct answer {
    int status;
    char body[HARNESS_ANSWER_MAX]; // NUL at the end
    size_t n;
};
int harness_send(const char *method, const char *target, const char *body, size_t n); // the connection
void harness_key(const char *key);                // the Idempotency-Key of what is sent from now on; "": none
int harness_connect(void);                        // a connection that says nothing
void harness_receive(int fd, struct answer *ret); // closes it
void harness_request(const char *method, const char *target, const char *body, struct answer *ret);
bool harness_is_answered(int fd);                    // something can be read now
void harness_digest(const char *text, char ret[72]); // "sha256:…"
// Uploads text and returns its digest in ret ("sha256:…", 72 bytes).
void harness_upload(const char *text, char ret[72], struct answer *a);
// Uploads text and starts a push of it; the connection of the push.
int harness_push(const char *model, const char *text, const char *more_json);

// A gateway's routing connection.
struct harness_gateway {
    struct msg_conn conn;
    char routes[1 << 16]; // the last table
    unsigned n_deploys;   // received on this connection
    char last_deploy[1024];
    uint64_t image_features; // in the last image
    char metrics[1 << 16];   // lines of /metrics, as they came last
};
void harness_gateway_connect(struct harness_gateway *g, unsigned index);
void harness_gateway_reconnect(struct harness_gateway *g, unsigned index,
                               unsigned generation);    // it has a table
void harness_gateway_routes(struct harness_gateway *g); // waits for the next table
bool harness_gateway_take(struct harness_gateway *g);   // all that is there, up to a table: there was one
void harness_gateway_ack(struct harness_gateway *g);    // the last table
// Acknowledges tables until one contains `text`.
void harness_gateway_until(struct harness_gateway *g, const char *text);
void harness_gateway_counts(struct harness_gateway *g, const char *json); // IPC_COHORTS
// Connects as the monitor of the controller that runs now.
void harness_monitor_connect(void);
void harness_monitor_labels(const char *json); // IPC_LABELS
// Says that requests for the deployment wait.
void harness_gateway_want(struct harness_gateway *g, uint64_t deployment);
