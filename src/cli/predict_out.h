// SPDX-License-Identifier: Apache-2.0
// Where predictions go: as CSV with a header, or as JSON lines. A file appears whole or not at all. Numbers
// keep the digits that the server sent.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>
#include <yyjson.h>

struct predict_out {
    struct buf buffer;
    char *path, *part; // of the file and of its name while it is written; NULL: standard output
    int fd;
    bool jsonl;
    uint32_t n_columns; // values per row, 0 until the first answer; 1 also for plain numbers
    uint64_t n_rows;
    yyjson_val
        *outputs; // of a model of tensors, as its signature has them; NULL: another; set after the opening
};

// path NULL: standard output. ERR_IO, ERR_NOMEM.
int predict_out_open(struct predict_out *o, const char *path, bool jsonl, struct err *e) ERR_CHECKED;
// Writes the predictions of one answer's body, which must be n_rows. ERR_BAD_JSON, ERR_WRONG_COUNT, ERR_IO,
// ERR_NO_SPACE, ERR_NOMEM.
int predict_out_put(struct predict_out *o, struct str answer, uint32_t n_rows, struct err *e) ERR_CHECKED;
// Writes the rest; with `keep` the file gets its name, else it is removed. Safe on a zeroed struct.
int predict_out_close(struct predict_out *o, bool keep, struct err *e) ERR_CHECKED;
