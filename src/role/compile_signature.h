// SPDX-License-Identifier: Apache-2.0
// What the compile process knows of a version's signature (tensor/schema.h) beyond its model file. Its user's
// part is read here first, where reading it can hurt nobody; golden rows are read by it; and a push that
// would break clients is found out before anything expensive is done. The controller then agrees on the
// signature itself (controller/agreement.h) and believes nothing of this.
//
// It is told, as JSON in the memory of COMPILE_FD_SIGNATURE:
//   {"users":{…},"before":{…}}   at a push: what the user says, and the signature of the version whose
//   clients
//                                must not break; each only where there is one
//   {"kept":{…}}                 at a later load: the signature that was agreed
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "tensor/interface.h"
#include "tensor/rule.h"

struct compile_signature {
    bool is_breaking; // clients of the version before would break
    // As requests see the model; NULL where that is as the file has it. One of the two at most.
    const struct signature *rows;
    const struct interface *tensors;

    // Private
    bool is_told;
    struct str users, before, kept; // owned
    struct arena arena;             // of what was read of them
    struct buf agreed;
    struct rules *rules;
    struct interface *own;
};

// Reads what it is told. ERR_IO, ERR_INVALID, ERR_NOMEM.
int compile_signature_read(int fd, struct compile_signature *s, struct err *e) ERR_CHECKED;
// Completes what the file says; `json` is an interface as an image has it. Those of schema_complete with
// paths from $.signature; ERR_NOMEM. Without anything told nothing happens.
int compile_signature_of_rows(struct compile_signature *s, const struct signature *model,
                              struct err *e) ERR_CHECKED;
int compile_signature_of_tensors(struct compile_signature *s, struct str json, struct err *e) ERR_CHECKED;
void compile_signature_done(struct compile_signature *s); // zeroed is fine
