// SPDX-License-Identifier: Apache-2.0
// What of a column may be logged: a rule for each, made a small program once, which runs while a record is
// written, so that what must not be kept never leaves the process that answers.
//
//   keep         as the engine got it          bucket:W    the lower end of its bucket of width W
//   drop         not at all                    truncate:D  numbers to D decimals (negative: tens, hundreds
//   …), hash         64 bits of HMAC-SHA256                    texts to D bytes, never through a character
//
// A hash is of the value's text as the log would write it, so equal values of different datatypes that are
// written alike agree; a missing value has the hash 0.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "tensor/tensor.h"

enum privacy_what { PRIVACY_KEEP, PRIVACY_DROP, PRIVACY_HASH, PRIVACY_BUCKET, PRIVACY_TRUNCATE };

struct privacy_rule {
    enum privacy_what what;
    double by; // width of a bucket; decimals or bytes
};

// ERR_INVALID.
int privacy_rule_read(struct str text, struct privacy_rule *ret, struct err *e) ERR_CHECKED;
void privacy_rule_write(const struct privacy_rule *r, struct buf *text);
// Whether a column of this datatype can have the rule. ERR_INVALID.
int privacy_rule_check(const struct privacy_rule *r, enum dtype t, struct err *e) ERR_CHECKED;

struct privacy;

// rules, dtypes: (n) in the order of the columns of one table (all of one datatype), or of the tensors.
// `key` is of the hashes; the program keeps none of the memory given. ERR_INVALID, ERR_NOMEM.
int privacy_new(bool is_table, const struct privacy_rule *rules, const enum dtype *dtypes, uint32_t n,
                struct str key, struct privacy **ret, struct err *e) ERR_CHECKED;
void privacy_free(struct privacy *p); // NULL is fine

bool privacy_is_table(const struct privacy *p);
bool privacy_keeps_all(const struct privacy *p);
uint32_t privacy_n_columns(const struct privacy *p);
// Columns of a table that come out as numbers of its datatype, and as hashes.
uint32_t privacy_n_plain(const struct privacy *p);
uint32_t privacy_n_hashed(const struct privacy *p);
enum privacy_what privacy_of(const struct privacy *p, uint32_t column);

// rows (n_rows, n_columns) of dtype -> to (n_rows, n_plain) of dtype. Allocates nothing, as the next two.
void privacy_plain(const struct privacy *p, enum dtype t, const void *rows, uint64_t n_rows, void *to);
// rows (n_rows, n_columns) of dtype -> to (n_rows, n_hashed).
void privacy_hashed(const struct privacy *p, enum dtype t, const void *rows, uint64_t n_rows, uint64_t *to);
// The i-th tensor as it may be logged: at most its own size, or 8 bytes an element when hashed. Returns the
// bytes written. Not for PRIVACY_DROP.
size_t privacy_tensor(const struct privacy *p, uint32_t i, const struct tensor *t, void *to);
