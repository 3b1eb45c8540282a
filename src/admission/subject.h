// SPDX-License-Identifier: Apache-2.0
// A model that is tried out before it may serve, whatever engine computes it: tensors in, tensors out. A
// model of rows (trees) is one of a single input that holds all features and a single output.
#pragma once

#include "admission/examples.h"

struct engine;
struct model;
struct runtime;
struct session;
struct signature;

struct subject {
    const struct interface *interface; // of a model of rows: made by subject_of_model
    const struct signature *signature; // NULL: a model of tensors
    // As requests see the model, with its user's names, categories and rules; NULL: as the file has it,
    // above. Golden rows are read by them.
    const struct signature *asked_signature;
    const struct interface *asked_interface;
    bool is_exact; // rows together and alone must have the same bits, not only the same numbers but for
                   // rounding
    // Whether rows are computed independently of each other, so that they may be taken apart.
    bool has_rows;
    struct tensor *results; // (n_outputs) of the last run, valid until the next

    // Private
    const struct engine *engine;
    struct model *model;
    const struct runtime *runtime;
    struct session *session;
    struct interface own;
    struct tensor_spec specs[2];
    struct buf out;
};

// Both borrow all they are given. max_batch_rows: as it was found for the session.
void subject_of_model(struct subject *s, const struct engine *engine, struct model *m);
int subject_of_session(struct subject *s, const struct runtime *runtime, struct session *session,
                       uint32_t max_batch_rows, struct err *e) ERR_CHECKED;
void subject_done(struct subject *s);

// Computes the examples into s->results. ERR_INVALID when the model refuses them; ERR_NOMEM, ERR_INTERNAL.
int subject_run(struct subject *s, const struct examples *x, struct err *e) ERR_CHECKED;
// The same by the i-th of the ways that there are: its name, or NULL.
const char *subject_run_by(struct subject *s, uint32_t i, const struct examples *x);
// Rows to try it with: n where it has_rows or leaves it open. ERR_INVALID when it takes nothing of what was
// tried; ERR_NOMEM.
int subject_make_up(struct subject *s, uint32_t n, uint64_t seed, struct examples *ret,
                    struct err *e) ERR_CHECKED;
