// SPDX-License-Identifier: Apache-2.0
// Looks through a whole log, sealed and not, for lines: what the commands show, what an export takes, and
// what the server answers. Works beside the writer and the sealer, also of another process: each line comes
// once. In the order of the log's numbers within a file; sealed files come before the write-ahead log.
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct yyjson_val;

// What is looked for; zeroed fields do not restrict but where said.
struct predlog_query {
    struct str model;
    uint32_t version;
    bool has_arm;
    uint8_t arm;
    uint16_t status_min, status_max; // 0, 0: any
    uint64_t from_ns, to_ns;         // of the wall clock: from <= t < to; to 0: no end
    struct str id;                   // prediction id, 36 characters
    const uint8_t (*ids)[16];        // (n_ids) sorted: only lines of one of them; n_ids 0: of all
    size_t n_ids;
    uint64_t after_seq; // only numbers above it
    bool with_gaps;     // also lines that tell what is missing (of any model)
    uint64_t limit;     // 0: none
};

// Sets one restriction by its name, as the flags and the parameters of /api/v1/log have them: model, version,
// arm (stable, canary or a number), status (503, 5xx or 400-499), from, to, id, after, limit, gaps (true).
// Texts are borrowed. ERR_UNKNOWN_FIELD, ERR_INVALID.
int predlog_query_set(struct predlog_query *q, struct str name, struct str value, struct err *e) ERR_CHECKED;

// A line, without newline, and what it says. Returns 0 to go on; other than 0 ends the search and is
// returned.
typedef int predlog_line_fn(void *ctx, struct str line, struct yyjson_val *root, struct err *e);

struct predlog_query_done {
    uint64_t n_lines;  // handed out
    uint64_t last_seq; // highest number met, also of what did not match
    uint32_t n_bad;    // lines or files that could not be read
};

// data_dir: of the server. A log that is not there yet is an empty one. ERR_IO, ERR_NOMEM, ERR_DIGEST: a
// sealed file is not what was written; what on_line returned. *ret is right also then.
int predlog_query(const char *data_dir, const struct predlog_query *q, predlog_line_fn *on_line, void *ctx,
                  struct predlog_query_done *ret, struct err *e) ERR_CHECKED;
// The last q->limit lines that match, oldest first. ERR_INVALID without a limit; as above.
int predlog_query_last(const char *data_dir, const struct predlog_query *q, predlog_line_fn *on_line,
                       void *ctx, struct predlog_query_done *ret, struct err *e) ERR_CHECKED;
// The time that "2026-11-22", "2026-11-22T10:49:29Z" (fractions allowed) means, in UTC.
bool predlog_time_read(struct str text, uint64_t *ret_wall_ns);

// Checks a whole log: that each sealed file is there, has the digest and the lines that the manifest says,
// that the numbers of each are in order, and what of the write-ahead log can be read.
struct predlog_verify {
    uint64_t n_files, rows, bytes;     // sealed
    uint64_t n_wal_files, wal_records; // not sealed yet
    uint32_t n_gaps;                   // that the log tells of itself, sealed or not
    uint64_t gap_records;              // as far as they are known
    uint32_t n_faults;                 // given to on_fault
};
int predlog_verify(const char *data_dir, void (*on_fault)(void *ctx, const char *file, const char *what),
                   void *ctx, struct predlog_verify *ret, struct err *e) ERR_CHECKED;
