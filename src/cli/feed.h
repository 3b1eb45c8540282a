// SPDX-License-Identifier: Apache-2.0
// Rows for `slipway predict`: a CSV file or JSON lines in, bodies of prediction requests out, a batch at a
// time. Columns are matched to the model's features by name; what does not fit is an error with its row.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/num.h"
#include "wire/csv.h"

#include <yyjson.h>

enum feed_format { FEED_UNKNOWN, FEED_CSV, FEED_JSONL };

struct feed_feature {
    struct str name;
    bool may_be_missing;
    bool used;       // a column of the file
    uint32_t column; // of the file
    // Of a model of tensors:
    uint32_t input;          // that it belongs to
    bool takes_text;         // a text is sent as it stands: the model's signature knows it or reads it
    struct map names;        // of its categories, which are sent as texts also where they look like numbers
    bool is_text, is_listed; // a string; one of several values of its input
};

struct feed {
    const char *name; // of the input, for messages
    int fd;
    enum feed_format format;
    struct buf in;
    size_t at; // consumed of `in`
    bool end;
    uint64_t n_rows, n_bytes;      // taken so far
    struct feed_feature *features; // (n_features)
    uint32_t n_features, n_columns;
    yyjson_val *tensors; // inputs of a model of tensors, whose columns are known when the file is; or NULL
    char *names;         // of columns that have none of their own
    bool is_plain;       // rows are lists of numbers
    bool takes_text;     // some of which may be texts
    const char *const *ignored; // (n_ignored) columns that may be there and are not used
    int n_ignored;
    bool unnamed;     // the names of the features are ours, not the model's
    bool by_position; // columns are the features in their order, whatever the header says
    bool in_order;    // columns are the features in their order, whatever told so
    struct csv_row row;
    bool row_waits; // row is the next row already
};

// signature: the server's {"inputs":[{"name","missing"}…]}, or with a shape for each input of a model of
// tensors, which must outlive the feed. Does not read yet and does not own fd. ERR_INVALID when the signature
// is not understood, ERR_NOMEM.
int feed_init(struct feed *f, int fd, const char *name, yyjson_val *signature, struct err *e) ERR_CHECKED;
void feed_done(struct feed *f);
// Reads enough to know the format, and the header of a CSV file. ERR_UNKNOWN_FEATURE (hint: the nearest name,
// --ignore), ERR_MISSING_FEATURE, ERR_WRONG_COUNT, ERR_IO.
int feed_start(struct feed *f, struct err *e) ERR_CHECKED;
// Appends {"instances":[…]} of at most max_rows rows, fewer when the body reaches max_bytes. *ret_rows: how
// many, 0 at the end. Errors name input, row and column.
int feed_batch(struct feed *f, uint32_t max_rows, size_t max_bytes, struct buf *body, uint32_t *ret_rows,
               struct err *e) ERR_CHECKED;
// Writes a CSV field that is no JSON number as a JSON value: null for the words that say "missing", 1 and 0
// for true and false, numbers as Python writes them. 0 when it is none. Private to the feeds.
size_t feed_write_other(struct str field, char ret[NUM_TEXT_MAX]);
