// SPDX-License-Identifier: Apache-2.0
// The probabilities that a prediction gave its classes, until its label comes: bytes in a ring, whose oldest
// go. What is kept is found by its place, which fits beside a row of the join. Pure; all memory is asked for
// at once, and is used as predictions come.
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    ODDS_CELL = 8,
    ODDS_BYTES_MAX = 8192, // of one prediction
    ODDS_RANK_MAX = 15,    // and what is ranked lower
};

struct odds;

// bytes: a power of two, at least 2 * ODDS_BYTES_MAX. ERR_NOMEM.
int odds_new(size_t bytes, struct odds **ret, struct err *e) ERR_CHECKED;
void odds_free(struct odds *o); // NULL is fine
size_t odds_bytes(const struct odds *o);
// Copies them; returns their place, or 0 where they are none or more than ODDS_BYTES_MAX. A place may be
// asked for while fewer than 2^32 cells were put since, which is 2^22 of the longest.
uint32_t odds_put(struct odds *o, const void *p, size_t bytes);
// As many bytes as were put, or NULL: they are gone. Good until the next odds_put.
const void *odds_get(const struct odds *o, uint32_t place, size_t bytes);
// How many classes were thought as likely as `truth` or likelier, itself included, so 1 is the best; of equal
// ones the later comes first, as in scikit-learn. p: (n) floats or doubles, `size` bytes each; truth < n.
// *ret_p is what the truth had.
unsigned odds_rank(const void *p, size_t size, uint32_t n, uint32_t truth, double *ret_p);
// The sum of their squares.
double odds_squares(const void *p, size_t size, uint32_t n);
