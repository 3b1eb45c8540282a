// SPDX-License-Identifier: Apache-2.0
// Names of categories as the model parsers find them. Private to the parsers.
#pragma once

#include "base/arena.h"
#include "tensor/signature.h"

// Gives the feature its categories: names (n) in the order of their codes, which live as long as the arena.
// Names that make no sense as such (none, too many, one of them twice) are left out: the codes remain.
// ERR_NOMEM.
int categories_give(struct feature *f, struct str *names, size_t n, struct arena *a,
                    struct err *e) ERR_CHECKED;
// Takes all of them away when they are more, or longer, than is kept of a model (base/limits.h).
void categories_limit(struct signature *s);
