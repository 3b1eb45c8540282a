// SPDX-License-Identifier: Apache-2.0
// Records of models of rows of which all is kept, for who asks for the room first: nearly every prediction.
#include "predlog/record.h"

#include <string.h>

static size_t padded(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static void side_init(struct record_side *s, enum dtype t, uint32_t columns, bool is_vector, uint16_t index)
{
    *s = (struct record_side){
        .head = {.dtype = (uint8_t)t, .n_dims = is_vector ? 2 : 1, .form = RECORD_VALUES, .index = index},
        .columns = columns,
        .row_bytes = (uint32_t)(columns * dtype_size(t))};
    s->head_bytes = sizeof s->head + s->head.n_dims * (uint32_t)sizeof(uint64_t);
}

static size_t side_bytes(const struct record_side *s, uint32_t n_rows)
{
    return s->head_bytes + padded((size_t)n_rows * s->row_bytes);
}

void record_rows_init(struct record_rows *p, const struct record_plan *plan, enum dtype in, uint32_t n_in,
                      enum dtype out, uint32_t n_out, bool is_vector)
{
    side_init(&p->in, in, n_in, true, privacy_is_table(plan->inputs) ? RECORD_TABLE : 0);
    side_init(&p->out, out, n_out, is_vector || n_out > 1,
              privacy_is_table(plan->outputs) ? RECORD_TABLE : 0);
    p->one_bytes = RECORD_HEAD_BYTES + side_bytes(&p->in, 1) + side_bytes(&p->out, 1);
}

size_t record_rows_bytes(const struct record_rows *p, uint32_t n_rows)
{
    if (n_rows == 1)
        return p->one_bytes;
    return RECORD_HEAD_BYTES + side_bytes(&p->in, n_rows) + side_bytes(&p->out, n_rows);
}

// A copy of a few bytes is most often one of a word, which needs no call.
static char *put_data(char *to, const void *data, size_t n)
{
    if (n % 8) // the padding of the last word
        memset(to + (n & ~(size_t)7), 0, 8);
    if (n == sizeof(uint32_t))
        memcpy(to, data, sizeof(uint32_t));
    else if (n == sizeof(uint64_t))
        memcpy(to, data, sizeof(uint64_t));
    else
        memcpy(to, data, n);
    return to + padded(n);
}

static char *put_side(const struct record_side *s, uint32_t n_rows, const void *data, char *to)
{
    size_t n = (size_t)n_rows * s->row_bytes;
    struct record_block_head *b = (struct record_block_head *)(void *)to;
    uint64_t *shape = (uint64_t *)(void *)(b + 1);
    *b = s->head;
    b->bytes = (uint32_t)n;
    shape[0] = n_rows;
    if (s->head.n_dims > 1)
        shape[1] = s->columns;
    return put_data(to + s->head_bytes, data, n);
}

void record_rows_write(const struct record_rows *p, struct record_head *to, const void *in, const void *out)
{
    uint32_t n_rows = to->rows;
    char *outputs = put_side(&p->in, n_rows, in, (char *)(to + 1));
    char *end = put_side(&p->out, n_rows, out, outputs);
    to->crc = 0;
    to->bytes = (uint32_t)(end - (char *)to);
    to->rows_kept = n_rows;
    to->input_bytes = (uint32_t)(outputs - (char *)(to + 1));
    to->output_bytes = (uint32_t)(end - outputs);
}
