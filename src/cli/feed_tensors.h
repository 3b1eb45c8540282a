// SPDX-License-Identifier: Apache-2.0
// CSV rows for a model of tensors: which columns its inputs are, and rows as KServe V1 has them. Private to
// feed.c, which reads.
#pragma once

#include "cli/feed.h"

// Whether an input is one of strings; a CSV file for it must have a header, as any row could be one.
bool feed_tensors_has_text(const struct feed *f);
// Makes f->features of the inputs' columns: an input of shape [-1] or [-1, 1] is one with its name, one of
// [-1, N] is N, called "name_0" and so on; where N is open, the only input takes all n_columns.
// ERR_UNSUPPORTED_MODEL for inputs that have no form in CSV, ERR_TOO_LARGE, ERR_NOMEM.
int feed_tensors_columns(struct feed *f, uint32_t n_columns, struct err *e) ERR_CHECKED;
// Appends the row that f->row holds. False with *ret_wrong, the feature whose field is no value.
bool feed_tensors_put_row(const struct feed *f, struct buf *body, uint32_t *ret_wrong);
