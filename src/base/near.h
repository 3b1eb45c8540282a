// SPDX-License-Identifier: Apache-2.0
// Finds the name somebody probably meant.
#pragma once

#include "base/str.h"

// Index of the candidate nearest to `name` by edit distance (insert, delete, replace, swap of neighbours,
// case counts half), or -1 when none is near enough to be worth suggesting. Names over 64 bytes are not
// compared.
int near_find(struct str name, const struct str *candidates, size_t n);
// "a, b, c" for a hint: as many names as fit into ret (size bytes with the NUL), ", ..." where some do not.
void near_list(const struct str *names, size_t n, char *ret, size_t size);
