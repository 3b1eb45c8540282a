// SPDX-License-Identifier: Apache-2.0
// A runtime for tests of the replica process, in place of engine/runtime.c: its model file is the JSON of an
// interface, and whatever follows a NUL, which it holds as if it were weights. Computes for each row the sum
// of its FP32 inputs and of the lengths of its BYTES inputs:
//   FP32 [-1, n]   sum × 1, sum × 2, … sum × n; with n unknown three of them, in memory of its own
//   BYTES [-1]     the sum as text
// A row whose first value is one of enum fake_mode does something else. Weights that say "twist FIRST MODE
// SECOND" make rows whose first value is FIRST such rows, as if MODE and SECOND were their values.
#include "fake_runtime.h"

#include "engine/runtime.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct library {
    char unused;
};

struct session {
    struct interface *interface;
    char *weights;
    size_t n_weights;
    int twist_first, twist_mode, twist_second; // mode 0: none
    char *own[TENSORS_MAX];                    // results that did not go into the room
};

static int fake_open(const char *path, struct library **ret, struct err *e)
{
    static struct library library;
    (void)path;
    (void)e;
    *ret = &library;
    return 0;
}

static const char *fake_version(const struct library *l)
{
    (void)l;
    return "1";
}

static int fake_load(struct library *l, const void *bytes, size_t size, const struct runtime_options *o,
                     struct session **ret, struct err *e)
{
    (void)l;
    (void)o;
    struct session *s = calloc(1, sizeof *s);
    s->weights = malloc(size);
    s->n_weights = size;
    memcpy(s->weights, bytes, size);
    *ret = s;
    size_t n_json = strnlen(s->weights, size);
    char twist[64] = "";
    if (n_json < size)
        snprintf(twist, sizeof twist, "%.*s", (int)(size - n_json - 1), s->weights + n_json + 1);
    if (sscanf(twist, "twist %d %d %d", &s->twist_first, &s->twist_mode, &s->twist_second) != 3)
        s->twist_mode = 0;
    return interface_decode((struct str){s->weights, strnlen(s->weights, size)}, &s->interface, e);
}

static const struct interface *fake_interface(const struct session *s)
{
    return s->interface;
}

static float first_value(const struct run *r, int64_t row)
{
    const struct tensor *t = &r->inputs[0];
    int64_t width = t->n_dims > 1 ? t->shape[1] : 1;
    return ((const float *)t->data)[row * width];
}

static bool is_twisted(const struct session *s, const struct run *r, int64_t row)
{
    return s->twist_mode && (int)first_value(r, row) == s->twist_first;
}

static int mode_of(const struct session *s, const struct run *r, int64_t row)
{
    return is_twisted(s, r, row) ? s->twist_mode : (int)first_value(r, row);
}

static float own_second(const struct run *r, int64_t row)
{
    return ((const float *)r->inputs[0].data)[row * r->inputs[0].shape[1] + 1];
}

static float second_value(const struct session *s, const struct run *r, int64_t row)
{
    return is_twisted(s, r, row) ? (float)s->twist_second : own_second(r, row);
}

static void sleep_ms(double ms)
{
    long us = (long)(ms * 1000);
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

static double sum_of(const struct session *s, const struct run *r, int64_t row)
{
    double sum = 0;
    for (uint32_t k = 0; k < s->interface->n_inputs; k++) {
        const struct tensor *t = &r->inputs[k];
        int64_t width = t->n_dims > 1 ? t->shape[1] : 1;
        if (t->dtype == DTYPE_FP32)
            for (int64_t c = 0; c < width; c++)
                sum += (double)((const float *)t->data)[row * width + c];
        if (t->dtype == DTYPE_BYTES) {
            const char *p = t->data;
            uint32_t n;
            for (int64_t i = 0; i < row; i++, p += 4 + n)
                memcpy(&n, p, 4);
            memcpy(&n, p, 4);
            sum += n;
        }
    }
    return sum;
}

static void take_all_memory(void)
{
    for (char *volatile p; (p = malloc(1 << 20)) != NULL;) // volatile, lest the compiler takes it for granted
        memset(p, 1, 1 << 20);
}

static int misbehave(const struct session *s, const struct run *r, int64_t row, struct err *e)
{
    switch (mode_of(s, r, row)) {
    case FAKE_ABORT:
        abort();
    case FAKE_LOOP:
        for (volatile int i = 0;; i++)
            ;
    case FAKE_SLEEP:
        sleep_ms((double)(long)second_value(s, r, row));
        return 0;
    case FAKE_SLOWER:
        sleep_ms((double)own_second(r, row) * s->twist_second / 100);
        return 0;
    case FAKE_ALL_MEMORY:
        take_all_memory();
        return err_set(e, ERR_NOMEM, "no memory for the model");
    case FAKE_ERROR:
        err_set(e, ERR_INVALID, "row %d is not for this model", (int)row);
        err_hint(e, "Send another.");
        return ERR_INVALID;
    default:
        return 0;
    }
}

static bool any_row(const struct session *s, const struct run *r, int64_t n, enum fake_mode mode)
{
    for (int64_t row = 0; row < n; row++)
        if (mode_of(s, r, row) == (int)mode)
            return true;
    return false;
}

// Memory for a result: of the room where its size was known, else our own.
static char *place(struct session *s, struct run *r, uint32_t k, size_t bytes)
{
    const struct tensor_spec *o = &s->interface->outputs[k];
    bool known = o->dtype != DTYPE_BYTES && o->n_dims == 2 && o->shape[1] >= 0;
    size_t padded = (bytes + TENSOR_ALIGN - 1) & ~(size_t)(TENSOR_ALIGN - 1);
    if (known && padded <= r->room_bytes) {
        char *p = r->room;
        r->room = p + padded;
        r->room_bytes -= padded;
        return p;
    }
    free(s->own[k]);
    return s->own[k] = aligned_alloc(TENSOR_ALIGN, padded ? padded : TENSOR_ALIGN);
}

static void put_numbers(struct session *s, struct run *r, uint32_t k, int64_t n, int64_t n_out)
{
    const struct tensor_spec *o = &s->interface->outputs[k];
    int64_t width = o->n_dims == 2 && o->shape[1] >= 0 ? o->shape[1] : FAKE_WIDTH;
    float *to = (float *)place(s, r, k, (size_t)(n_out * width) * sizeof *to);
    for (int64_t row = 0; row < n_out; row++) {
        int64_t from = row < n ? row : 0;
        double sum = sum_of(s, r, from);
        if (mode_of(s, r, from) == FAKE_NAN)
            sum = (double)NAN;
        if (mode_of(s, r, from) == FAKE_OF_BATCH)
            sum += (double)n;
        for (int64_t c = 0; c < width; c++)
            to[row * width + c] = (float)(sum * (double)(c + 1));
    }
    r->results[k] = (struct tensor){.dtype = DTYPE_FP32,
                                    .n_dims = 2,
                                    .shape = {n_out, width},
                                    .data = to,
                                    .bytes = (size_t)(n_out * width) * sizeof *to};
}

static void put_texts(struct session *s, struct run *r, uint32_t k, int64_t n)
{
    enum { MAX = 32 };
    size_t at = 0, longest = MAX;
    for (int64_t row = 0; row < n; row++)
        if (mode_of(s, r, row) == FAKE_LONG_TEXT)
            longest = (size_t)second_value(s, r, row) > longest ? (size_t)second_value(s, r, row) : longest;
    char *to = place(s, r, k, (size_t)n * (4 + longest));
    for (int64_t row = 0; row < n; row++) {
        if (mode_of(s, r, row) == FAKE_LONG_TEXT) {
            uint32_t many = (uint32_t)second_value(s, r, row);
            memcpy(to + at, &many, 4);
            memset(to + at + 4, 'x', many);
            at += 4 + many;
            continue;
        }
        char text[MAX];
        uint32_t length = (uint32_t)snprintf(text, sizeof text, "%.0f", sum_of(s, r, row));
        memcpy(to + at, &length, 4);
        memcpy(to + at + 4, text, length);
        at += 4 + length;
    }
    r->results[k] = (struct tensor){.dtype = DTYPE_BYTES, .n_dims = 1, .shape = {n}, .data = to, .bytes = at};
}

static int fake_run(struct session *s, const struct run *asked, struct err *e)
{
    struct run r = *asked;
    int64_t n = r.inputs[0].shape[0];
    for (int64_t row = 0; row < n; row++) {
        int code = misbehave(s, &r, row, e);
        if (code)
            return code;
    }
    int64_t n_out = n + any_row(s, &r, n, FAKE_MORE_ROWS);
    for (uint32_t k = 0; k < s->interface->n_outputs; k++) {
        if (!(r.outputs >> k & 1))
            continue;
        if (s->interface->outputs[k].dtype == DTYPE_BYTES)
            put_texts(s, &r, k, n);
        else
            put_numbers(s, &r, k, n, n_out);
        if (any_row(s, &r, n, FAKE_WRONG_TYPE))
            r.results[k].dtype = DTYPE_INT32;
    }
    return 0;
}

static void fake_close(struct session *s)
{
    interface_free(s->interface);
    for (int k = 0; k < TENSORS_MAX; k++)
        free(s->own[k]);
    free(s->weights);
    free(s);
}

static uint32_t fake_probe(struct session *s, double *ret_worst)
{
    (void)s;
    *ret_worst = 0;
    return FAKE_BATCH_ROWS;
}

const struct runtime runtime_fake = {
    .name = "fake",
    .open = fake_open,
    .version = fake_version,
    .load = fake_load,
    .interface = fake_interface,
    .run = fake_run,
    .close = fake_close,
    .probe_batching = fake_probe,
};

const struct runtime *runtime_find(struct str engine)
{
    return str_eq(engine, STR("fake")) ? &runtime_fake : NULL;
}
