// SPDX-License-Identifier: Apache-2.0
// What parquet_read.c, parquet_footer.c and parquet_page.c share.
#pragma once

#include "base/buf.h"
#include "predlog/parquet_read.h"
#include "predlog/thrift_read.h"

#include <zstd.h>

// The numbers are those of parquet.thrift.
enum parquet_physical {
    PARQUET_PHYSICAL_BOOLEAN,
    PARQUET_PHYSICAL_INT32,
    PARQUET_PHYSICAL_INT64,
    PARQUET_PHYSICAL_INT96,
    PARQUET_PHYSICAL_FLOAT,
    PARQUET_PHYSICAL_DOUBLE,
    PARQUET_PHYSICAL_BYTES,
    PARQUET_PHYSICAL_FIXED,
    PARQUET_PHYSICALS
};
enum parquet_codec {
    PARQUET_PLAIN_BYTES,
    PARQUET_SNAPPY,
    PARQUET_GZIP,
    PARQUET_ZSTD = 6,
    PARQUET_CODECS = 8
};
enum parquet_encoding {
    PARQUET_PLAIN = 0,
    PARQUET_PLAIN_DICTIONARY = 2,
    PARQUET_RLE = 3,
    PARQUET_RLE_DICTIONARY = 8,
    PARQUET_ENCODINGS = 10
};
const char *parquet_codec_name(int64_t codec);       // "LZ4"; "" unknown
const char *parquet_encoding_name(int64_t encoding); // "DELTA_BINARY_PACKED"; "" unknown

// A column's part of a row group.
struct parquet_chunk {
    uint64_t offset, bytes;
    int64_t n_values;
    uint8_t codec;
};

// Numbers in runs, or packed by bits: levels, places in a dictionary, booleans.
struct parquet_hybrid {
    const uint8_t *p, *end;
    unsigned width; // bits of one
    uint64_t left;  // of the run at hand
    bool is_packed;
    uint32_t value;     // of a run of equal ones
    const uint8_t *run; // of a packed one
    uint64_t bit;
};

struct parquet_column_in {
    struct str name;
    const char *refused; // what it is, where that is not read; NULL: it is read
    uint32_t leaf;       // its place among the chunks of a row group
    enum parquet_physical physical;
    bool may_be_null, is_unsigned, is_used;
    // Of the chunk at hand
    struct thrift_in rest; // its pages that are left
    uint8_t codec;
    struct buf dictionary;
    const uint8_t *entries, *entries_end;
    uint32_t n_entries;
    struct str *texts; // (n_entries) of a dictionary of texts
    // Of the page at hand
    uint64_t n_left;
    struct buf page;
    struct parquet_hybrid levels; // 1: there, 0: null
    bool has_levels;
    enum parquet_encoding encoding;
    struct parquet_hybrid indexes; // of a dictionary; of booleans in runs
    const uint8_t *values, *values_end;
    unsigned bit; // of a packed boolean
};

struct parquet_file {
    struct str bytes;
    uint64_t body_end; // where the footer begins
    uint32_t n_columns, n_leaves, n_groups;
    struct parquet_column_in *columns;
    struct buf chunks; // struct parquet_chunk[n_leaves] for each row group
    struct buf groups; // int64_t rows of each
    uint32_t next_group;
    uint64_t rows_left; // of the row group at hand
    uint64_t n_rows;    // that were read
    ZSTD_DCtx *zstd;
};

int parquet_bad(struct err *e, const char *what); // ERR_INVALID
int parquet_footer_read(struct parquet_file *f, struct err *e) ERR_CHECKED;
// The first page of a chunk comes with its first value.
void parquet_chunk_begin(struct parquet_file *f, struct parquet_column_in *c, const struct parquet_chunk *k);
int parquet_value_next(struct parquet_file *f, struct parquet_column_in *c, struct parquet_cell *ret,
                       struct err *e) ERR_CHECKED;
void parquet_hybrid_init(struct parquet_hybrid *h, const uint8_t *p, const uint8_t *end, unsigned width);
bool parquet_hybrid_next(struct parquet_hybrid *h, uint32_t *ret); // false: damaged
