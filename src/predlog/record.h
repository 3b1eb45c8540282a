// SPDX-License-Identifier: Apache-2.0
// One entry of the prediction log: bytes that a gateway writes into memory it is given, that cross a ring,
// lie in the write-ahead log and are read by the monitor. Pure: no clock, no file, and no allocation.
//
//   record:  struct record_head | blocks of the inputs | blocks of the outputs      (kinds prediction,
//   failure)
//            struct record_head | struct record_gap                                 (kind gap)
//            struct record_head | JSON of predlog/schema.h, zero-padded             (kind schema)
//   block:   struct record_block_head | u64 shape[n_dims] | data, zero-padded to 8
//
// Little-endian, each part a multiple of 8 bytes. A table of columns is one block of its numbers and one of
// its hashes, both with RECORD_TABLE as index; models of tensors have one block for each tensor that is
// logged.
#pragma once

#include "base/err.h"
#include "predlog/privacy.h"
#include "tensor/tensor.h"

enum {
    RECORD_HEAD_BYTES = 136,
    RECORD_BYTES_MAX = 16 << 20, // what readers take; a writer is given less
    RECORD_TABLE = 0xffff,
};

enum record_kind { RECORD_PREDICTION = 1, RECORD_FAILURE, RECORD_GAP, RECORD_SCHEMA };

enum record_flag {
    RECORD_TRUNCATED = 1, // rows or tensors that did not fit were left out
    RECORD_SAMPLED = 2,   // it stands for `sample_weight` like it
    RECORD_FALLBACK = 4,  // answered by another version than the one meant
    RECORD_OVERRIDE = 8,  // the request named its arm
    RECORD_TRACED = 16,   // its traceparent (wire/traceparent.h) says that the trace is recorded
};

struct record_head {
    uint32_t bytes;    // of the record; a multiple of 8
    uint32_t crc;      // CRC-32C of all that follows; in a ring it may be left 0
    uint64_t log_seq;  // given by the log when it is written there; 0 before
    uint64_t ring_seq; // counts the records of one ring
    uint64_t wall_ns;  // when the request was read
    uint8_t id[16];    // prediction id
    uint64_t schema;   // key of the version's schema; 0 none
    uint32_t version;
    uint16_t model; // slot of its metrics
    uint8_t arm;    // 0 stable, or no rollout
    uint8_t kind;   // enum record_kind
    uint16_t status;
    uint16_t weight_bp;    // of the arm
    float sample_weight;   // 1 / rate; at least 1
    uint16_t bucket;       // of the request's key
    uint16_t flags;        // enum record_flag
    uint32_t latency_us;   // request read to answer written
    uint32_t queue_us;     // of which it waited
    uint32_t compute_us;   // and was computed
    uint8_t trace[16];     // of traceparent; zero none
    uint8_t parent[8];     // its span
    uint32_t rows;         // of the request
    uint32_t rows_kept;    // of which are here
    uint32_t input_bytes;  // of blocks
    uint32_t output_bytes; // of blocks
    uint32_t stream;       // which life of the ring it is: ring_seq counts anew in each
    uint16_t ring;         // number of the gateway
    uint16_t error;        // of a failure: -(enum err_code)
};

enum record_gap_reason {
    RECORD_GAP_OVERFLOW = 1, // the ring was full
    RECORD_GAP_TORN,         // the end of a file of the log was not whole
    RECORD_GAP_DAMAGED,      // bytes within it were not as they were written
    RECORD_GAP_RING_LOST,    // a ring ended with records that nobody had read
    RECORD_GAP_DISK,         // the disk did not take them
    RECORD_GAP_HOSTILE,      // what lay in the ring was no record
    RECORD_GAP_REASONS,
};

// What is missing at this place.
struct record_gap {
    uint32_t reason; // enum record_gap_reason
    uint32_t zero;
    uint64_t n_records;           // 0: unknown, at least one
    uint64_t first_seq, last_seq; // of the log where torn or damaged, else of the ring; 0, 0: unknown
    uint64_t bytes;
};

enum record_form { RECORD_VALUES, RECORD_HASHED, RECORD_LEFT_OUT };

struct record_block_head {
    uint8_t dtype, n_dims, form, zero1;
    uint16_t index, zero2;
    uint32_t bytes; // of data, without padding
    uint32_t zero3;
};

// What is logged of a version: the programs of its inputs and outputs. Borrowed.
struct record_plan {
    const struct privacy *inputs, *outputs;
    bool is_plain; // one table or tensor in, one out, and all of both is kept: no program has to run
};

// What the records of a model of rows have in common where all of them is kept: heads of blocks, and sizes.
struct record_side {
    struct record_block_head head;
    uint64_t columns;
    uint32_t head_bytes, row_bytes;
};
struct record_rows {
    struct record_side in, out;
    size_t one_bytes; // of a record of one row
};

// Writes a prediction, or a failure with what is known of it (n_in, n_out may be 0), into to[0..cap), which
// is 8-aligned, and returns its bytes; 0 when not even its head fits. head: bytes, rows_kept, input_bytes,
// output_bytes are set here, RECORD_TRUNCATED is added where rows or tensors had to be left out. The checksum
// is left 0: record_set_log_seq makes it.
// in, out: as many as the programs have tensors, or for a table one of shape (rows, n_columns) or (rows); of
// sound sizes. Tensors of DTYPE_NONE, which a request left out or did not ask for, have no block. Of a batch
// that does not fit the first rows are kept. Allocates nothing; costs a copy.
size_t record_write(const struct record_head *head, const struct record_plan *plan, const struct tensor *in,
                    uint32_t n_in, const struct tensor *out, uint32_t n_out, void *to, size_t cap);
// What record_write needs to keep all of this.
size_t record_bytes(const struct record_plan *plan, const struct tensor *in, uint32_t n_in,
                    const struct tensor *out, uint32_t n_out);
// The same in one step, for a plan that is plain of a model of rows: what record_write makes of a table
// (n_rows, n_in) and of a tensor (n_rows), or (n_rows, n_out) where it is a vector or n_out > 1.
void record_rows_init(struct record_rows *p, const struct record_plan *plan, enum dtype in, uint32_t n_in,
                      enum dtype out, uint32_t n_out, bool is_vector);
size_t record_rows_bytes(const struct record_rows *p, uint32_t n_rows);
// to: 8-aligned room for record_rows_bytes(p, to->rows), whose head is set but for bytes, crc, rows_kept,
// input_bytes and output_bytes.
void record_rows_write(const struct record_rows *p, struct record_head *to, const void *in, const void *out);
// As record_write, with its checksum, a gap; to: RECORD_GAP_BYTES. head: of it kind, bytes, crc and sizes are
// set here.
enum { RECORD_GAP_BYTES = RECORD_HEAD_BYTES + 40 };
size_t record_write_gap(const struct record_head *head, const struct record_gap *gap, void *to, size_t cap);
// And for a schema, head->schema being its key; 0 when it does not fit.
size_t record_write_schema(const struct record_head *head, struct str json, void *to, size_t cap);
// Gives a record its place in the log, and makes its checksum.
void record_set_log_seq(void *record, uint64_t log_seq);

// A decoded record; the strings point into its bytes.
struct record {
    struct record_head head;
    struct str inputs, outputs; // blocks, for record_block_next
    struct str schema_json;
    struct record_gap gap;
    struct str bytes; // the whole record
};

struct record_block {
    enum record_form form;
    uint16_t index;  // RECORD_TABLE, or of the input or output
    struct tensor t; // without a name; no data where left out; DTYPE_UINT64 where hashed
};

// Reads the record at the start of p[0..n), 8-aligned. Everything that is said of sizes is checked, so that
// the blocks can be walked; memory that another process may change must be copied first. ERR_TOO_LARGE: fewer
// bytes than the record has (more may come); ERR_INVALID: no record, with what is wrong.
int record_read(const void *p, size_t n, struct record *ret, struct err *e) ERR_CHECKED;
// Whether RECORD_HEAD_BYTES bytes at p look like the head of one: for who searches, before a checksum is
// made.
bool record_is_likely(const void *p);
// The same without looking at the checksum, for memory that no disk has had: what is returned as sizes is as
// sound, what is returned as values is as the writer left it.
int record_look(const void *p, size_t n, struct record *ret, struct err *e) ERR_CHECKED;
// The next block of r.inputs or r.outputs, which is advanced; false at the end.
bool record_block_next(struct str *rest, struct record_block *ret);

const char *record_kind_name(uint8_t kind);          // "prediction"; "" unknown
const char *record_gap_reason_name(uint32_t reason); // "overflow"; "" unknown
// Reads "0190…-…" (36 characters) into 16 bytes, and writes it with its NUL.
bool record_id_read(struct str text, uint8_t ret[16]);
void record_id_write(const uint8_t id[16], char ret[37]);
