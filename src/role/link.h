// SPDX-License-Identifier: Apache-2.0
// What a gateway and a replica say to each other. The supervisor gives each pair a connected Unix socket;
// over it the gateway sends the memory of two rings once (framing: os/msg), then it only tells each that the
// other has ended. All memory is the gateway's, and so are the eventfds: what comes from a replica is never a
// descriptor. Everything in the replica's ring is treated as hostile by the gateway: read once, checked.
//
//   gateway LINK_OPEN    struct link_open + LINK_FDS descriptors, in the order of enum link_fd
//   replica LINK_ACCEPT  struct link_accept. The model is loaded: the replica is ready.
//
// A replica that finds no room for answers says so in its ring: after ring_tell_read a gateway asks
// ring_must_wake_writer, and after its commits ring_must_wake. It reads its answers, or the replica leaves
// its requests alone.
//
// A gateway without requests in flight may send LINK_OPEN again: new rings replace both, their memory goes.
//
// Requests are answered in any order; each id once. A gateway that gives up on a request (its client left)
// writes nothing: it ignores the answer. The gateway frees the memory of a request with its answer, so that
// it can send it to another replica when this one dies.
//
// What a dead replica had begun: before a replica computes, it writes the ids of the requests of this link
// that it computes (link_started_put); they stay there until those of the next batch replace them. So when it
// dies the gateway first takes the answers that are in the ring, then asks link_started_get: a request that
// still waits and is among them may have killed it, and counts as tried; all others were not begun. Ids are
// never used again.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "os/msg.h"
#include "os/ring.h"
#include "tensor/interface.h"

enum link_message { LINK_OPEN = 1, LINK_ACCEPT };

enum link_fd {
    LINK_FD_REQUESTS,  // memory of the gateway's ring, SHM_SEAL_WRITERS: only its own mapping may write
    LINK_FD_RESPONSES, // memory of the replica's ring, SHM_SEAL_SIZE: it maps it writable
    LINK_FD_GATEWAY,   // eventfd that wakes the gateway; one of its own for each replica
    LINK_FD_REPLICA,   // eventfd that wakes the replica
    LINK_FDS,
};

enum {
    LINK_PROTOCOL = 1,
    LINK_PAYLOAD_MAX = 4096,
    LINK_RING_BYTES = 64 << 20,
    LINK_RING_BYTES_MAX = 1 << 30,
    LINK_BATCH_REQUESTS_MAX = RING_NOTE_MAX, // of one link, computed at once
};

struct link_open {
    uint32_t protocol, gateway;
    uint64_t ring_bytes; // of data, each ring; a power of two
};

struct link_accept {
    uint32_t protocol, replica;
};

// Where a tensor lies: offset from the message's start, RING_ALIGN-aligned.
struct link_tensor {
    uint32_t index; // of the interface's inputs, or outputs
    uint32_t dtype; // enum dtype
    uint32_t n_dims, zero;
    int64_t shape[TENSOR_DIMS_MAX];
    uint64_t offset, bytes;
};

struct link_request {
    uint64_t id;
    uint64_t deadline_mono_ns; // not worth computing afterwards: answered with ERR_DEADLINE; 0: none
    uint64_t outputs;          // set of outputs wanted, at least one
    uint32_t n_rows;           // first dimension of all inputs, 0 when the model is never batched
    uint32_t n_tensors;
    uint32_t alone; // computed in a batch of its own: it is suspected of having ended another replica
    uint32_t zero;
    uint64_t sent_mono_ns;        // for queue_ns of the response
    struct link_tensor tensors[]; // then their memory
};

struct link_response {
    uint64_t id;
    int32_t code; // 0, or an enum err_code; then the text follows the struct
    uint32_t n_tensors;
    uint32_t text_bytes;
    uint32_t batch_rows;           // rows computed together with it
    uint64_t queue_ns, compute_ns; // from sent_mono_ns to the computation, of the whole batch
    struct link_tensor tensors[];  // then their memory
};

// What a gateway asked for, to check the response against.
struct link_asked {
    const struct interface *interface;
    uint64_t outputs;
    uint32_t n_rows; // first dimension that every result must have; 0: not checked
};

// The two messages of the handshake as received: type, size, descriptors, protocol, sizes of rings.
// ERR_INVALID. Descriptors of m stay the caller's.
int link_open_read(const struct msg *m, struct link_open *ret, struct err *e) ERR_CHECKED;
int link_accept_read(const struct msg *m, struct link_accept *ret, struct err *e) ERR_CHECKED;

// Size of a request's, or response's, fixed part with n tensors: their memory begins behind it.
size_t link_request_head_bytes(uint32_t n_tensors);
size_t link_response_head_bytes(uint32_t n_tensors);
// Appends one tensor's memory behind what is there and returns the size of the message so far, or 0 when it
// does not fit max_bytes. `to` is the message, RING_ALIGN-aligned, `at` its size so far. A tensor whose data
// lies at that place already is not copied. Fills all of *ret but index.
size_t link_put_tensor(void *to, size_t at, size_t max_bytes, const struct tensor *t,
                       struct link_tensor *ret);
// A response that is an error: *head with the text of *error behind it, cut to fit. Returns its size; 0 when
// not even the head fits max_bytes. `head` may lie in `to`.
size_t link_put_error(void *to, size_t max_bytes, const struct link_response *head, const struct err *error);

// The fixed part of a request, privately copied, and views of its tensors: (n_inputs) inputs, absent ones
// DTYPE_NONE. Checked against the interface: datatypes, shapes, sizes, required inputs, rows. ERR_INVALID;
// then *request is set as far as it could be read, at least its id, which is 0 if not even that.
int link_request_open(const void *message, size_t bytes, const struct interface *i,
                      struct link_request *request, struct tensor *inputs, struct err *e) ERR_CHECKED;

// The fixed part of a response, privately copied, so that the gateway finds the request by its id. The
// message must stay the same for what follows, but may change its bytes. ERR_INTERNAL: the replica broke the
// protocol.
int link_response_head(const void *message, size_t bytes, struct link_response *ret,
                       struct err *e) ERR_CHECKED;
// Of a response with code 0: makes views of its tensors, (n_outputs) results, those not asked for DTYPE_NONE.
// Exactly the outputs asked for are there, with the interface's datatypes and shapes and the rows asked for.
// Views are of the message, whose values the replica may still change, except that BYTES are copied to the
// arena first: sizes and lengths of results are final. ERR_INTERNAL: broken; ERR_NOMEM: the arena is full.
int link_response_open(const void *message, size_t bytes, const struct link_response *head,
                       const struct link_asked *asked, struct arena *arena, struct tensor *results,
                       struct err *e) ERR_CHECKED;
// Of a response with another code: the error that the replica reports, without control characters.
void link_response_error(const void *message, const struct link_response *head, struct err *ret);

// See the top: ids of the requests that are computed now, n <= LINK_BATCH_REQUESTS_MAX.
void link_started_put(struct ring_writer *responses, const uint64_t *ids, size_t n);
size_t link_started_get(const struct ring_reader *responses, uint64_t ret[LINK_BATCH_REQUESTS_MAX]);
