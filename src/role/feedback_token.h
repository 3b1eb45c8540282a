// SPDX-License-Identifier: Apache-2.0
// Sealed tokens of feedback: what was predicted, given to the client with the answer and brought back with
// the label, so that a label can be judged however old the prediction is, and without the log. Nobody else
// can read a token, make one, or change one.
//
//   token:  base64url without padding of   u8 form (1) | u8 number of the key | u8 id[16] | sealed | u8
//   tag[16] sealed: struct of 32 bytes, little-endian | values of the output that labels are compared with
//
// AES-256-GCM by libcrypto, whose check of the tag takes the same time wherever it differs. Its key is
// HMAC-SHA256 of all that stands before `sealed` (which is authenticated, too) by the server's key, so each
// prediction id has a key of its own and the nonce may be constant: an id is given to one prediction only.
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

struct yyjson_val;

enum {
    FEEDBACK_VALUES_MAX = 256, // bytes of values; a prediction with more gets no token
    FEEDBACK_PLAIN_MAX = 32 + FEEDBACK_VALUES_MAX,
    FEEDBACK_TOKEN_BYTES_MAX = 18 + FEEDBACK_PLAIN_MAX + 16,
    FEEDBACK_TOKEN_MAX = (FEEDBACK_TOKEN_BYTES_MAX * 4 + 2) / 3, // characters
};

struct feedback_token {
    uint8_t id[16]; // of the prediction
    uint64_t deployment, wall_ns;
    uint32_t version;
    uint16_t weight_bp, bucket; // as in the prediction log
    uint8_t arm;
    bool is_override;
    struct tensor output; // (rows) or (rows, width), not empty; its data as long as what it was read from
};

// How well labels can be compared with an output: 3 a row of probabilities, 2 a number with a fraction, 1 a
// whole number, 0 not at all.
int feedback_output_rank(const struct tensor *t);
uint32_t feedback_output_width(const struct tensor *t); // values of a row; 0: it has no rows

struct feedback_sealer;

// ERR_NOMEM.
int feedback_sealer_new(struct feedback_sealer **ret, struct err *e) ERR_CHECKED;
void feedback_sealer_free(struct feedback_sealer *s); // NULL is fine
// From now on by these: "tokens" of IPC_ROUTES (role/ipc.h); NULL: none. ERR_INVALID: those before stay.
int feedback_sealer_take(struct feedback_sealer *s, struct yyjson_val *tokens, struct err *e) ERR_CHECKED;
bool feedback_sealer_has_keys(const struct feedback_sealer *s);

// Writes the token to ret, which has FEEDBACK_TOKEN_MAX bytes, and returns its length; 0: there is no key, or
// the output is none that fits. Allocates nothing.
size_t feedback_token_seal(struct feedback_sealer *s, const struct feedback_token *t, char *ret);
// plain: FEEDBACK_PLAIN_MAX bytes, 8-aligned, that ret points into. ERR_INVALID: no token of ours, or one
// that has expired.
int feedback_token_open(struct feedback_sealer *s, struct str text, uint64_t now_ns, void *plain,
                        struct feedback_token *ret, struct err *e) ERR_CHECKED;

// What lies under the seal; the id is not in it. plain: 8-aligned. ERR_INVALID.
size_t feedback_token_write(const struct feedback_token *t, void *plain); // 0: see feedback_token_seal
int feedback_token_read(const void *plain, size_t n, struct feedback_token *ret, struct err *e) ERR_CHECKED;
