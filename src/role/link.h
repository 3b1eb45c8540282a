// SPDX-License-Identifier: Apache-2.0
// What a gateway and a replica say to each other. The supervisor gives each pair a connected Unix socket;
// over it they exchange the memory of two rings once (framing: os/msg), then it only tells each that the
// other has ended. Everything in the replica's ring is treated as hostile by the gateway: read once, checked.
//
//   gateway LINK_OPEN    struct link_open    + 2 descriptors: memory of its ring (requests; sealed so that
//   only
//                                              its own mapping may write), an eventfd that wakes it
//   replica LINK_ACCEPT  struct link_accept  + 2 descriptors: memory of its ring (responses), an eventfd that
//                                              wakes it. Sent once the model is loaded: the replica is ready.
//
// Requests are answered in any order; each id once. A gateway that gives up on a request (its client left)
// writes nothing: it ignores the answer. The gateway frees the memory of a request with its answer, so that
// it can send it to another replica when this one dies.
#pragma once

#include "base/err.h"
#include "os/ring.h"
#include "tensor/interface.h"

enum link_message { LINK_OPEN = 1, LINK_ACCEPT };

enum { LINK_PROTOCOL = 1, LINK_PAYLOAD_MAX = 4096, LINK_RING_BYTES = 64 << 20 };

struct link_open {
    uint32_t protocol, gateway;
    uint64_t ring_bytes;
};

struct link_accept {
    uint32_t protocol, replica;
    uint64_t ring_bytes;
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
    uint64_t deadline_mono_ns; // not worth computing afterwards: answered with ERR_REQUEST_TIMEOUT
    uint64_t outputs;          // set of outputs wanted
    uint32_t n_rows;           // first dimension of all inputs, 0 when the model is never batched
    uint32_t n_tensors;
    uint32_t alone; // computed in a batch of its own: it is suspected of having ended another replica
    uint32_t zero;
    struct link_tensor tensors[]; // then their memory
};

struct link_response {
    uint64_t id;
    int32_t code; // 0, or an enum err_code; then the text follows the struct
    uint32_t n_tensors;
    uint32_t text_bytes;
    uint32_t batch_rows;           // rows computed together with it
    uint64_t queue_ns, compute_ns; // of waiting in the replica, of the batch
    struct link_tensor tensors[];  // then their memory
};

// Appends one tensor's memory behind what is there and returns the size of the message so far, or 0 when it
// does not fit max_bytes. `to` is the message, `at` its size so far.
size_t link_put_tensor(void *to, size_t at, size_t max_bytes, const struct tensor *t,
                       struct link_tensor *ret);
// Checks a response of `bytes` bytes against the interface and what was asked, and makes views of its
// tensors: (n_outputs) results, unset ones DTYPE_NONE. `response` is a private copy of the fixed part.
// ERR_INTERNAL: the replica broke the protocol; else 0, also for a response that carries an error.
int link_response_open(const void *message, size_t bytes, const struct interface *i,
                       struct link_response *response, struct tensor *results, struct err *e) ERR_CHECKED;
// The same for requests, on the replica's side: (n_inputs) inputs.
int link_request_open(const void *message, size_t bytes, const struct interface *i,
                      struct link_request *request, struct tensor *inputs, struct err *e) ERR_CHECKED;
