// SPDX-License-Identifier: Apache-2.0
// Answers in the load generator: where one ends, and whether it is right. Private to load*.c.
#pragma once

#include "cli/load.h"
#include "wire/http1.h"

struct load_reply {
    int status;
    bool keep_alive;
    struct str body;
    size_t bytes; // head and body, as they lie in the buffer
};

// What is known of an answer whose end has not arrived; zero between answers.
struct load_reader {
    struct http1_chunked chunked;
    struct load_reply reply;
    size_t head_bytes, body_bytes; // of a chunked answer: decoded so far
    bool in_chunks;
};

// Takes the answer at the start of the *n bytes at p. A chunked body is decoded in place, which makes *n
// smaller. 1: *ret is filled and points into p. 0: more bytes are needed. ERR_BAD_HTTP.
int load_reply_take(struct load_reader *r, char *p, size_t *n, struct load_reply *ret,
                    struct err *e) ERR_CHECKED;

// Whether the body is what the request must be answered with; if not, says why in problem.
bool load_reply_right(const struct load_set *s, struct load_request *q, struct str body, char *problem,
                      size_t problem_size);

// The numbers of a JSON value in order, arrays and objects flattened; true and false are 1 and 0. Returns how
// many there are and stores the first cap of them.
struct yyjson_val;
size_t load_numbers(struct yyjson_val *v, double *to, size_t cap);
// The numbers that an answer predicts: those of "predictions" (KServe V1 and its kin) or of the data of all
// "outputs" (Open Inference Protocol V2), else all in it. As load_numbers otherwise.
size_t load_predictions(struct yyjson_val *root, double *to, size_t cap);
