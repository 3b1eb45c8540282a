// SPDX-License-Identifier: Apache-2.0
// The signature of a version: what its file says, completed by who pushes it, compared with the version that
// it would replace. Kept with the version; gateways get it where it has rules.
#pragma once

#include "base/buf.h"
#include "role/controller/controller.h"
#include "role/controller/routing.h"

struct agreement {
    struct str users;    // the user's signature as JSON, or empty
    bool allow_breaking; // changes that break clients
    uint32_t before;     // the version that it is compared with, the model's champion; 0: none
};

// What changes for the clients of an alias of the model that moves from one version to another.
struct agreement_move {
    struct str model;
    uint32_t from, to;   // from 0: it named nothing
    bool allow_breaking; // it moves in any case; what cannot be compared is not told then
};
// Appends the object of changes to *changes where there are any, also with ERR_CONFLICT: there are breaking
// ones that are not allowed. Of a version that was rejected nothing is said: it gets no alias. Errors of the
// registry, ERR_NOMEM.
int agreement_compare(struct controller *c, const struct agreement_move *m, struct buf *changes,
                      struct err *e) ERR_CHECKED;

// Appends what a process that compiles the model is told (role/compile_signature.h): at a push, and at a
// later load of a version. Errors of the registry, ERR_NOMEM.
int agreement_tell(struct controller *c, const struct agreement *a, struct str model, struct buf *json,
                   struct err *e) ERR_CHECKED;
int agreement_tell_kept(struct controller *c, struct str model, uint32_t number, struct buf *json,
                        struct err *e) ERR_CHECKED;

// Makes *signature, as it was inferred from the model file, the one that is kept: completed and with its
// changes since the version before. d, which has its image, gets what gateways need. Appends the object of
// changes to *changes, also with ERR_CONFLICT: there are breaking ones that are not allowed. Those of
// schema_complete with paths from $.signature; ERR_TOO_LARGE, ERR_IO, ERR_NOMEM.
int agreement_make(struct controller *c, const struct agreement *a, struct deployment *d,
                   struct buf *signature, struct buf *changes, struct err *e) ERR_CHECKED;
// Gives a deployment of the registry what its gateways need; `inferred` is what its image says of itself now.
// ERR_INVALID when that is another model than the one that was pushed.
int agreement_restore(struct controller *c, struct deployment *d, struct str inferred,
                      struct err *e) ERR_CHECKED;
