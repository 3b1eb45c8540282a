// SPDX-License-Identifier: Apache-2.0
#include "predlog/record.h"

#include "predlog/schema.h"
#include "unit.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COLUMNS = 4, CAP = 4096 };

static _Alignas(8) char memory[CAP + 64];

static struct privacy *program(bool is_table, const char *rules, enum dtype t)
{
    struct privacy_rule list[8];
    enum dtype dtypes[8];
    struct str rest = str_of(rules);
    uint32_t n = 0;
    struct privacy *p;
    for (; rest.n; n++, dtypes[n - 1] = t)
        ck_assert_int_eq(privacy_rule_read(str_split(&rest, ' '), &list[n], NULL), 0);
    ck_assert_int_eq(privacy_new(is_table, list, dtypes, n, STR("key"), &p, NULL), 0);
    return p;
}

static struct record_head head(uint32_t rows)
{
    struct record_head h = {.ring_seq = 7,
                            .wall_ns = 1234567890123456789,
                            .id = {1, 2, 3},
                            .schema = 99,
                            .version = 3,
                            .model = 5,
                            .arm = 1,
                            .kind = RECORD_PREDICTION,
                            .status = 200,
                            .weight_bp = 10000,
                            .sample_weight = 1,
                            .latency_us = 17,
                            .rows = rows};
    return h;
}

struct table {
    float in[8][COLUMNS], out[8];
    struct tensor ti, to;
    struct record_plan plan;
};

static void table_init(struct table *t, const char *rules, uint32_t rows)
{
    for (uint32_t i = 0; i < 8; i++) {
        for (uint32_t k = 0; k < COLUMNS; k++)
            t->in[i][k] = (float)(10 * i + k);
        t->out[i] = (float)i / 8;
    }
    t->ti = (struct tensor){.dtype = DTYPE_FP32,
                            .n_dims = 2,
                            .shape = {rows, COLUMNS},
                            .data = t->in,
                            .bytes = rows * sizeof t->in[0]};
    t->to = (struct tensor){
        .dtype = DTYPE_FP32, .n_dims = 1, .shape = {rows}, .data = t->out, .bytes = rows * sizeof t->out[0]};
    t->plan = (struct record_plan){.inputs = program(true, rules, DTYPE_FP32),
                                   .outputs = program(true, "keep", DTYPE_FP32)};
}

static size_t table_write(struct table *t, uint32_t rows, size_t cap)
{
    struct record_head h = head(rows);
    memset(memory, 0xee, sizeof memory);
    size_t n = record_write(&h, &t->plan, &t->ti, 1, &t->to, 1, memory, cap);
    for (size_t i = cap; i < sizeof memory; i++)
        ck_assert_msg((uint8_t)memory[i] == 0xee, "written %zu behind the end", i - cap);
    return n;
}

static struct record read_sealed(size_t n)
{
    struct record r;
    struct err e;
    ck_assert_msg(record_read(memory, n, &r, &e) == 0, "%s", e.msg);
    ck_assert_uint_eq(r.head.bytes, n);
    return r;
}

// What record_write made, which has no checksum yet: it is seen as it is, and read once it has one.
static struct record read_back(size_t n)
{
    struct record r;
    struct err e;
    ck_assert_int_eq(record_read(memory, n, &r, &e), ERR_INVALID);
    ck_assert_msg(record_look(memory, n, &r, &e) == 0, "%s", e.msg);
    ck_assert(r.head.crc == 0 && r.head.log_seq == 0);
    record_set_log_seq(memory, 12);
    r = read_sealed(n);
    ck_assert_uint_eq(r.head.log_seq, 12);
    return r;
}

START_TEST(a_table_comes_back_as_it_was)
{
    struct table t;
    struct record_block b;
    table_init(&t, "keep keep keep keep", 3);
    size_t n = table_write(&t, 3, CAP);
    ck_assert_uint_le(n, record_bytes(&t.plan, &t.ti, 1, &t.to, 1));
    struct record r = read_back(n);
    ck_assert(r.head.ring_seq == 7 && r.head.schema == 99 && r.head.version == 3 && r.head.arm == 1);
    ck_assert(r.head.rows == 3 && r.head.rows_kept == 3 && r.head.flags == 0 && r.head.status == 200);
    ck_assert(record_block_next(&r.inputs, &b));
    ck_assert(b.form == RECORD_VALUES && b.index == RECORD_TABLE && b.t.dtype == DTYPE_FP32);
    ck_assert(b.t.n_dims == 2 && b.t.shape[0] == 3 && b.t.shape[1] == COLUMNS);
    ck_assert_int_eq(memcmp(b.t.data, t.in, 3 * sizeof t.in[0]), 0);
    ck_assert(!record_block_next(&r.inputs, &b));
    ck_assert(record_block_next(&r.outputs, &b));
    ck_assert(b.t.n_dims == 1 && b.t.shape[0] == 3);
    ck_assert_int_eq(memcmp(b.t.data, t.out, 3 * sizeof t.out[0]), 0);
    ck_assert(!record_block_next(&r.outputs, &b));
    predlog_plan_done(&t.plan);
}
END_TEST

START_TEST(what_may_not_be_kept_is_not_in_the_bytes)
{
    struct table t;
    struct record_block b;
    table_init(&t, "keep drop hash keep", 2);
    t.in[0][1] = t.in[1][1] = 123456.75f;
    t.in[0][2] = t.in[1][2] = 654321.25f;
    size_t n = table_write(&t, 2, CAP);
    struct record r = read_back(n);
    ck_assert(!memmem(memory, n, &t.in[0][1], sizeof(float)));
    ck_assert(!memmem(memory, n, &t.in[0][2], sizeof(float)));
    ck_assert(record_block_next(&r.inputs, &b));
    ck_assert(b.form == RECORD_VALUES && b.t.shape[0] == 2 && b.t.shape[1] == 2);
    const float *plain = b.t.data;
    ck_assert(plain[0] == t.in[0][0] && plain[1] == t.in[0][3] && plain[2] == t.in[1][0]);
    ck_assert(record_block_next(&r.inputs, &b));
    const uint64_t *hashes = b.t.data;
    ck_assert(b.form == RECORD_HASHED && b.t.dtype == DTYPE_UINT64 && b.t.shape[1] == 1);
    ck_assert(hashes[0] == hashes[1] && hashes[0] != 0);
    predlog_plan_done(&t.plan);
}
END_TEST

// At every capacity: nothing outside it, always readable, never more rows than fit, and marked.
START_TEST(a_batch_is_cut_to_the_room_there_is)
{
    struct table t;
    struct record_block b;
    uint32_t before = 0;
    table_init(&t, "keep keep hash keep", 8);
    size_t all = record_bytes(&t.plan, &t.ti, 1, &t.to, 1);
    for (size_t cap = 0; cap <= all + 16; cap++) {
        size_t n = table_write(&t, 8, cap);
        ck_assert_uint_le(n, cap);
        ck_assert_int_eq(n == 0, cap < RECORD_HEAD_BYTES);
        if (n == 0)
            continue;
        struct record r = read_back(n);
        ck_assert_uint_ge(r.head.rows_kept, before);
        ck_assert_int_eq(!(r.head.flags & RECORD_TRUNCATED), r.head.rows_kept == 8);
        before = r.head.rows_kept;
        if (r.head.rows_kept == 0)
            continue;
        ck_assert(record_block_next(&r.inputs, &b) && b.t.shape[0] == before);
        ck_assert_int_eq(memcmp((const char *)b.t.data, t.in, 2 * sizeof(float)), 0);
        ck_assert(record_block_next(&r.outputs, &b) && b.t.shape[0] == before);
    }
    ck_assert_uint_eq(before, 8);
    predlog_plan_done(&t.plan);
}
END_TEST

START_TEST(tensors_that_do_not_fit_leave_their_shape)
{
    static const char TEXTS[] = "\2\0\0\0hi\1\0\0\0x\0\0\0";
    static float picture[600];
    enum dtype dtypes[2] = {DTYPE_FP32, DTYPE_BYTES};
    struct privacy_rule rules[2] = {{.what = PRIVACY_KEEP}, {.what = PRIVACY_KEEP}};
    struct tensor in[2] = {
        {.dtype = DTYPE_FP32, .n_dims = 3, .shape = {2, 10, 30}, .data = picture, .bytes = sizeof picture},
        {.dtype = DTYPE_BYTES, .n_dims = 1, .shape = {2}, .data = TEXTS, .bytes = 11}};
    struct privacy *p;
    struct record_block b;
    ck_assert_int_eq(privacy_new(false, rules, dtypes, 2, STR(""), &p, NULL), 0);
    struct record_plan plan = {.inputs = p, .outputs = program(false, "hash", DTYPE_FP32)};
    struct record_head h = head(2);
    struct record r = read_back(record_write(&h, &plan, in, 2, in, 1, memory, 2048));
    ck_assert(r.head.flags & RECORD_TRUNCATED);
    ck_assert(record_block_next(&r.inputs, &b) && b.index == 0 && b.form == RECORD_LEFT_OUT);
    ck_assert(b.t.shape[2] == 30 && b.t.bytes == 0 && b.t.dtype == DTYPE_FP32);
    ck_assert(record_block_next(&r.inputs, &b) && b.index == 1 && b.form == RECORD_VALUES);
    ck_assert_int_eq(memcmp(b.t.data, TEXTS, 11), 0);
    ck_assert(record_block_next(&r.outputs, &b) && b.form == RECORD_LEFT_OUT);
    for (size_t cap = 0; cap < 3000; cap += 3) {
        memset(memory, 0xee, sizeof memory);
        size_t n = record_write(&h, &plan, in, 2, in, 1, memory, cap);
        ck_assert_uint_le(n, cap);
        ck_assert_uint_eq((uint8_t)memory[cap], 0xee);
        if (n)
            read_back(n);
    }
    predlog_plan_done(&plan);
}
END_TEST

static void rows_are_written_alike(const struct table *t, uint32_t columns, const char *slow, size_t n)
{
    struct record_rows p;
    struct record_head *h = (struct record_head *)(void *)memory;
    uint32_t rows = (uint32_t)t->ti.shape[0];
    record_rows_init(&p, &t->plan, DTYPE_FP32, COLUMNS, t->to.dtype, columns ? columns : 1, columns > 0);
    ck_assert_uint_eq(record_rows_bytes(&p, rows), n);
    memset(memory, 0xee, sizeof memory);
    *h = head(rows);
    record_rows_write(&p, h, t->in, t->to.data);
    ck_assert_int_eq(memcmp(memory, slow, n), 0);
    for (size_t i = n; i < sizeof memory; i++)
        ck_assert_uint_eq((uint8_t)memory[i], 0xee);
}

// What is copied without running a program is the same record, to the byte, at every length of its last word.
START_TEST(what_is_kept_whole_is_written_alike_in_one_step)
{
    static _Alignas(8) char slow[CAP];
    struct table t;
    uint8_t bytes[8 * 21] = {1, 2, 3};
    for (uint32_t rows = 0; rows <= 8; rows++) {
        table_init(&t, "keep keep keep keep", rows);
        predlog_plan_done(&t.plan); // of an output that is a tensor
        t.plan.inputs = program(true, "keep keep keep keep", DTYPE_FP32);
        t.plan.outputs = program(false, "keep", DTYPE_FP32);
        for (uint32_t odd = 0; odd <= 21; odd++) {
            if (odd)
                t.to = (struct tensor){.dtype = DTYPE_UINT8,
                                       .n_dims = 2,
                                       .shape = {rows, odd},
                                       .data = bytes,
                                       .bytes = rows * odd};
            t.plan.is_plain = false;
            size_t n = table_write(&t, rows, CAP);
            memcpy(slow, memory, n);
            t.plan.is_plain = true;
            size_t needed = record_bytes(&t.plan, &t.ti, 1, &t.to, 1);
            ck_assert_uint_eq(table_write(&t, rows, needed), n);
            ck_assert_int_eq(memcmp(memory, slow, n), 0);
            if (rows)
                rows_are_written_alike(&t, odd, slow, n);
            ck_assert_uint_le(table_write(&t, rows, needed - 8), needed - 8);
        }
        predlog_plan_done(&t.plan);
    }
}
END_TEST

// Inputs that may be left out, outputs that were not asked for.
START_TEST(tensors_that_are_absent_have_no_block_whatever_their_rule_is)
{
    static const char *const RULES[] = {"keep keep keep", "hash hash hash", "drop keep keep"};
    static float values[6] = {1, 2, 3, 4, 5, 6};
    struct record_block b;
    for (int k = 0; k < 3; k++)
        for (uint32_t rows = 1; rows <= 3; rows += 2) { // as many as the first dimension has, or not
            struct tensor in[3] = {
                {.dtype = DTYPE_NONE},
                {.dtype = DTYPE_FP32, .n_dims = 2, .shape = {3, 2}, .data = values, .bytes = 24},
                {.dtype = DTYPE_NONE}};
            struct record_plan plan = {.inputs = program(false, RULES[k], DTYPE_FP32),
                                       .outputs = program(false, RULES[k], DTYPE_FP32),
                                       .is_plain = k == 0};
            struct record_head h = head(rows);
            size_t room = record_bytes(&plan, in, 3, in, 3);
            struct record r = read_back(record_write(&h, &plan, in, 3, in, 3, memory, room));
            ck_assert(!(r.head.flags & RECORD_TRUNCATED) && r.head.rows_kept == rows);
            ck_assert(record_block_next(&r.inputs, &b) && b.index == 1 && b.t.shape[0] == 3);
            ck_assert(k == 1 || memcmp(b.t.data, values, sizeof values) == 0);
            ck_assert(!record_block_next(&r.inputs, &b));
            ck_assert(record_block_next(&r.outputs, &b) && b.index == 1);
            ck_assert(!record_block_next(&r.outputs, &b));
            r = read_back(record_write(&h, &plan, in, 1, in, 1, memory, room));
            ck_assert(!record_block_next(&r.inputs, &b) && !record_block_next(&r.outputs, &b));
            predlog_plan_done(&plan);
        }
}
END_TEST

// A block as it lies in a record, before its data.
struct block {
    struct record_block_head h;
    uint64_t shape[TENSOR_DIMS_MAX + 1];
};

// The end of memory behind which there is none: who reads on does not come back.
static char *before_nothing(void)
{
    static char *end;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (end)
        return end;
    char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(p, MAP_FAILED);
    end = p + page;
    ck_assert_int_eq(mprotect(end, page, PROT_NONE), 0);
    return end;
}

// Whether a record whose inputs are this block, in so many bytes, is taken; `has_checksum` says by whom.
static bool is_taken(const struct block *b, uint32_t input_bytes, bool has_checksum)
{
    struct record_head h = head(1);
    struct record r;
    struct err e;
    h.kind = RECORD_PREDICTION;
    h.rows_kept = 1;
    h.input_bytes = input_bytes;
    h.bytes = RECORD_HEAD_BYTES + ((input_bytes + 7) & ~7u);
    memset(memory, 0, sizeof memory);
    memcpy(memory, &h, sizeof h);
    memcpy(memory + RECORD_HEAD_BYTES, b, sizeof *b);
    record_set_log_seq(memory, 1);
    char *at = memcpy(before_nothing() - h.bytes, memory, h.bytes);
    int rc = has_checksum ? record_read(at, h.bytes, &r, &e) : record_look(at, h.bytes, &r, &e);
    ck_assert(rc == 0 || rc == ERR_INVALID);
    return rc == 0;
}

// With and without a checksum: a gateway that is not what it should be makes sound checksums.
START_TEST(a_block_that_is_not_sound_is_refused)
{
    const struct block good = {{DTYPE_FP32, 1, RECORD_VALUES, .bytes = 8}, {2}};
    const struct block hashed = {{DTYPE_UINT64, 1, RECORD_HASHED, .bytes = 8}, {1}};
    const struct block left_out = {{DTYPE_FP32, 1, RECORD_LEFT_OUT, .bytes = 0}, {9}};
    const uint32_t head_bytes = sizeof good.h + sizeof(uint64_t), whole = head_bytes + 8;
    for (int has_checksum = 0; has_checksum < 2; has_checksum++) {
        ck_assert(is_taken(&good, whole, has_checksum));
        ck_assert(is_taken(&hashed, whole, has_checksum));
        ck_assert(is_taken(&left_out, head_bytes, has_checksum));
        for (uint32_t n = 1; n < whole; n++) // cut off in the head, in the shape, in the data
            ck_assert_msg(!is_taken(&good, n, has_checksum), "%u bytes", n);
        for (uint32_t n = 1; n < head_bytes; n++)
            ck_assert_msg(!is_taken(&left_out, n, has_checksum), "%u bytes", n);
        struct block b = good;
        b.h.n_dims = TENSOR_DIMS_MAX + 1;
        for (uint32_t i = 1; i <= TENSOR_DIMS_MAX; i++)
            b.shape[i] = 1;
        ck_assert(!is_taken(&b, whole + TENSOR_DIMS_MAX * (uint32_t)sizeof(uint64_t), has_checksum));
        b = left_out;
        b.h.n_dims = TENSOR_DIMS_MAX + 1;
        ck_assert(!is_taken(&b, head_bytes + TENSOR_DIMS_MAX * (uint32_t)sizeof(uint64_t), has_checksum));
        b = good;
        b.h.form = RECORD_LEFT_OUT + 1;
        ck_assert(!is_taken(&b, whole, has_checksum));
        b = good;
        b.h.bytes = UINT32_MAX; // would reach far behind the record
        ck_assert(!is_taken(&b, whole, has_checksum));
        b = good;
        b.shape[0] = 3; // more than there is
        ck_assert(!is_taken(&b, whole, has_checksum));
        b = good;
        b.h.dtype = DTYPE_BYTES + 1;
        ck_assert(!is_taken(&b, whole, has_checksum));
        b = hashed;
        b.h.dtype = DTYPE_INT64;
        ck_assert(!is_taken(&b, whole, has_checksum));
        b = left_out;
        b.h.bytes = 8; // is there after all
        ck_assert(!is_taken(&b, whole, has_checksum));
        b = left_out;
        b.h.dtype = DTYPE_NONE;
        ck_assert(!is_taken(&b, head_bytes, has_checksum));
        b.h.dtype = DTYPE_BYTES + 1;
        ck_assert(!is_taken(&b, head_bytes, has_checksum));
        b = left_out;
        b.shape[0] = UINT64_MAX;
        ck_assert(!is_taken(&b, head_bytes, has_checksum));
    }
}
END_TEST

START_TEST(failures_gaps_and_schemas)
{
    struct record_head h = head(4);
    struct record_plan none = {0};
    h.kind = RECORD_FAILURE;
    h.status = 503;
    struct record r = read_back(record_write(&h, &none, NULL, 0, NULL, 0, memory, CAP));
    ck_assert(r.head.status == 503 && r.head.rows == 4 && r.head.rows_kept == 0);
    ck_assert(r.inputs.n == 0 && r.outputs.n == 0 && !(r.head.flags & RECORD_TRUNCATED));
    struct record_gap gap = {.reason = RECORD_GAP_OVERFLOW, .n_records = 12, .first_seq = 5, .last_seq = 16};
    r = read_sealed(record_write_gap(&h, &gap, memory, CAP));
    ck_assert(r.head.kind == RECORD_GAP && r.gap.n_records == 12 && r.gap.last_seq == 16);
    ck_assert_str_eq(record_gap_reason_name(r.gap.reason), "overflow");
    r = read_sealed(record_write_schema(&h, STR("{\"a\":1}"), memory, CAP));
    ck_assert(r.head.kind == RECORD_SCHEMA && str_eq(r.schema_json, STR("{\"a\":1}")));
    record_set_log_seq(memory, 77);
    ck_assert_uint_eq(read_sealed(r.bytes.n).head.log_seq, 77);
    ck_assert_uint_eq(record_write_gap(&h, &gap, memory, RECORD_GAP_BYTES - 1), 0);
}
END_TEST

START_TEST(no_changed_byte_goes_unseen)
{
    struct table t;
    struct record r;
    struct err e;
    table_init(&t, "keep keep hash keep", 2);
    size_t n = table_write(&t, 2, CAP);
    record_set_log_seq(memory, 5);
    for (size_t i = 0; i < n; i++) {
        memory[i] ^= 0x10;
        ck_assert_msg(record_read(memory, n, &r, &e) != 0, "byte %zu", i);
        memory[i] ^= 0x10;
    }
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(record_read(memory, i, &r, &e), ERR_TOO_LARGE);
    ck_assert_int_eq(record_read(memory, n, &r, &e), 0);
    predlog_plan_done(&t.plan);
}
END_TEST

START_TEST(ids_are_read_and_written)
{
    uint8_t id[16];
    char text[37];
    ck_assert(record_id_read(STR("019aab3c-0f10-7b25-8abc-0123456789ab"), id));
    ck_assert(id[0] == 0x01 && id[6] == 0x7b && id[15] == 0xab);
    record_id_write(id, text);
    ck_assert_str_eq(text, "019aab3c-0f10-7b25-8abc-0123456789ab");
    ck_assert(!record_id_read(STR("019aab3c-0f10-7b25-8abc-0123456789a"), id));
    ck_assert(!record_id_read(STR("019aab3c00f10-7b25-8abc-0123456789ab"), id));
    ck_assert(!record_id_read(STR("019aab3c-0f10-7b25-8abc-0123456789aB"), id));
}
END_TEST

// Of the input of a table, whose block begins behind the head: word 0 has datatype, dimensions, form and
// place, word 1 its bytes, words 2 and 3 its shape.
START_TEST(a_block_whose_size_and_shape_differ_is_refused)
{
    enum { ROWS = 3, BYTES = ROWS * COLUMNS * (int)sizeof(float) };
    static const struct {
        int word;
        uint64_t value;
        bool is_good;
    } CASES[] = {
        {2, ROWS, true},
        {2, ROWS + 1, false},
        {2, 0, false},
        {2, UINT64_C(1) << 62 | ROWS, false}, // its product with the rest wraps to the same
        {2, UINT64_MAX, false},
        {3, COLUMNS - 1, false},
        {3, UINT64_C(1) << 60 | COLUMNS, false},
        {1, BYTES + 8, false},
        {1, BYTES - 4, false},
        {1, UINT32_MAX, false},
        {0, UINT64_C(0xffff00000200) | DTYPE_FP64, false},
        {0, UINT64_C(0xffff00000200) | DTYPE_INT32, true},
        {0, UINT64_C(0xffff00000200) | DTYPE_BYTES, false},
        {0, UINT64_C(0xffff00000200) | (DTYPE_BYTES + 1), false},
        {0, UINT64_C(0xffff00000200), false},              // no datatype
        {0, UINT64_C(0xffff00000000) | DTYPE_FP32, false}, // no dimension
        {0, UINT64_C(0xffff00000100) | DTYPE_FP32, false}, // one: 3 numbers
        {0, UINT64_C(0xffff00000900) | DTYPE_FP32, false}, // nine
        {0, UINT64_C(0xffff00030200) | DTYPE_FP32, false}, // no form
    };
    struct table t;
    struct record r;
    struct err e;
    table_init(&t, "keep keep keep keep", ROWS);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        size_t n = table_write(&t, ROWS, CAP);
        memcpy(memory + RECORD_HEAD_BYTES + 8 * CASES[i].word, &CASES[i].value, 8);
        int rc = record_look(memory, n, &r, &e);
        ck_assert_msg(rc == (CASES[i].is_good ? 0 : ERR_INVALID), "case %zu: %d", i, rc);
    }
    predlog_plan_done(&t.plan);
}
END_TEST

UNIT_MAIN("predlog/record", a_table_comes_back_as_it_was, what_may_not_be_kept_is_not_in_the_bytes,
          a_batch_is_cut_to_the_room_there_is, tensors_that_do_not_fit_leave_their_shape,
          what_is_kept_whole_is_written_alike_in_one_step,
          tensors_that_are_absent_have_no_block_whatever_their_rule_is, a_block_that_is_not_sound_is_refused,
          failures_gaps_and_schemas, no_changed_byte_goes_unseen,
          a_block_whose_size_and_shape_differ_is_refused, ids_are_read_and_written)
