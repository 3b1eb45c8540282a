// SPDX-License-Identifier: Apache-2.0
// What people see: errors with what to do next, colours and progress bars (only on a terminal, and colours
// not with NO_COLOR), sizes and tables.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum term_style { TERM_BOLD, TERM_DIM, TERM_RED, TERM_GREEN };

// Whether colours may be written to the stream.
bool term_colours(FILE *to);
// Escape sequences to begin a style and to end all; "" where there are no colours.
const char *term_on(FILE *to, enum term_style style);
const char *term_off(FILE *to);

// Writes "slipway: message", place and hint to stderr; as one JSON line {"error","code",…} when json.
// Returns the exit code that fits: 3 for ERR_REFUSED, 2 for `usage`, else 1.
int term_fail(const struct err *e, bool json);
// The same of what a server refused: with `json` its whole object, which may say more, where there is one.
struct yyjson_val;
int term_refused(const struct err *e, bool json, struct yyjson_val *said);
int term_usage(const struct err *e);

// Writes the buffer to stdout, all of it. 0, or ERR_IO (stdout closed or full).
int term_write(const struct buf *b, struct err *e) ERR_CHECKED;

// Appends a JSON value, indented, with a newline. ERR_NOMEM.
int term_put_json(struct yyjson_val *v, struct buf *out, struct err *e) ERR_CHECKED;

void term_put_bytes(uint64_t bytes, struct buf *out); // "1.4 MiB"
void term_put_count(uint64_t count, struct buf *out); // "1,234,567"
// Appends text with control characters as \xNN, so that what a server says cannot drive the terminal.
void term_put_safe(struct str text, struct buf *out);

// Appends rows of cells (n_rows, n_columns), row-major, in aligned columns, two blanks before each line. NULL
// cells are empty. Control characters come out as term_put_safe writes them.
void term_put_table(const char *const *cells, size_t n_rows, size_t n_columns, struct buf *out);

// A line on stderr that is redrawn at most ten times a second; nothing where stderr is no terminal.
struct progress {
    const char *what; // "Uploading"
    const char *unit; // "rows"; NULL: bytes
    uint64_t total;   // 0: unknown
    uint64_t start_ns, drawn_ns;
    bool on, drawn;
};
void progress_start(struct progress *p, const char *what, const char *unit, uint64_t total);
void progress_at(struct progress *p, uint64_t done);
void progress_end(struct progress *p); // removes the line
