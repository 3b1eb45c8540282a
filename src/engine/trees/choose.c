// SPDX-License-Identifier: Apache-2.0
// Which kernel is fastest is a matter of the forest's shape, its size against the caches, and the processor.
// It is not predicted but measured, once, when a model is compiled.
#include "engine/trees/trees.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_ROWS = 256,
    LEAST_ROWS = 16,
    MOST_BYTES = 8 << 20,
    MOST_KERNELS = 32,
    LEAST_ROUNDS = 3, // before a kernel drops out
    MOST_ROUNDS = 31,
    BUDGET_NS = 4000000,    // no round starts after this, once there were LEAST_ROUNDS
    MOST_NS = 10000000,     // nor after this in any case
    PASS_NS = 50000,        // short passes are repeated to last about this long
    LONG_PASS_NS = 1500000, // fewer rows, and only one pass, rather than a longer one
};

// xorshift64*: the rows need only be scattered, and the same every time.
static uint64_t scatter(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

static float value_of_key(int32_t key)
{
    int32_t bits = key ^ (key >> 31 & INT32_MAX);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// One of the column's thresholds, so that rows spread over the model's branches.
static double some_cut(const struct trees *m, const struct code_col *col, uint64_t *state)
{
    const int32_t *keys = m->coder.keys + col->table + (col->n_buckets > 1 ? CODE_BUCKET : 0);
    uint32_t n = 0;
    while (n < (uint32_t)col->n_buckets * CODE_BUCKET && keys[n] != CODE_KEY_NEVER)
        n++;
    uint32_t i = n ? (uint32_t)(scatter(state) % n) : 0;
    if (!n)
        return 0.0;
    return m->coder.lightgbm ? m->coder.cuts[col->cuts + i] : (double)value_of_key(keys[i] + 1);
}

static void put(const struct trees *m, void *row, uint32_t feature, double x)
{
    if (m->coder.lightgbm)
        ((double *)row)[feature] = x;
    else
        ((float *)row)[feature] = (float)x;
}

void trees_make_row(const struct trees *m, void *row, uint64_t *state)
{
    memset(row, 0, m->img.h->n_features * trees_value_bytes(m));
    for (uint32_t i = 0; i < m->coder.n_num; i++) {
        const struct code_col *col = &m->coder.cols[i];
        bool missing = scatter(state) % 32 == 0;
        put(m, row, col->feature, missing ? (double)NAN : some_cut(m, col, state));
    }
    for (uint32_t i = 0; i < m->coder.n_cats; i++)
        put(m, row, m->coder.cats[i].feature, (double)(scatter(state) % (m->coder.cats[i].n_cats + 1)));
}

struct bench {
    struct trees *m;
    void *rows, *margins;
    uint32_t n_rows;
};

static void pass(const struct bench *b, const struct kernel *k, bool batch)
{
    if (batch)
        trees_margin_by(b->m, k, b->rows, b->n_rows, b->margins);
    else
        for (uint32_t i = 0; i < b->n_rows; i++)
            trees_margin_by(b->m, k, trees_row(b->m, b->rows, i), 1, b->margins);
}

struct runner {                  // a kernel in the contest
    const struct kernel *kernel; // NULL: plain
    uint32_t repeat;             // passes in one measurement
    double best;                 // ns a row
};

static double timed(const struct bench *b, const struct runner *r, bool batch)
{
    uint64_t started = clock_thread_ns();
    for (uint32_t i = 0; i < r->repeat; i++)
        pass(b, r->kernel, batch);
    return (double)(clock_thread_ns() - started) / r->repeat / b->n_rows;
}

static struct runner enter(const struct bench *b, const struct kernel *k, bool batch)
{
    struct runner r = {.kernel = k, .repeat = 1};
    r.best = timed(b, &r, batch); // also fills the caches
    if (r.best * b->n_rows < LONG_PASS_NS / 2)
        r.best = timed(b, &r, batch);
    double ns = r.best * b->n_rows;
    r.repeat = ns >= PASS_NS ? 1 : (uint32_t)(PASS_NS / (ns + 1.0)) + 1;
    return r;
}

// The least of many short passes counts, because noise only adds; the kernels take turns, so that a machine
// that is slow for a while is slow for all. Who is behind by half after some rounds does not come back.
static struct image_choice fastest(const struct bench *b, bool batch)
{
    struct runner r[MOST_KERNELS];
    uint32_t n = 0, best = 0;
    uint64_t started = clock_thread_ns();
    if (!b->m->img.h->coded)
        r[n++] = enter(b, NULL, batch);
    for (const struct kernel *k = KERNELS; k->name && n < MOST_KERNELS; k++)
        if (kernel_usable(k, b->m->img.h) && (batch ? k->batch : k->one))
            r[n++] = enter(b, k, batch);
    for (uint32_t i = 0; i < n; i++)
        best = r[i].best < r[best].best ? i : best;
    for (int round = 0; round < MOST_ROUNDS; round++) {
        uint64_t spent = clock_thread_ns() - started;
        if (spent > MOST_NS || (spent > BUDGET_NS && round >= LEAST_ROUNDS))
            break;
        for (uint32_t i = 0; i < n; i++) {
            if (round >= LEAST_ROUNDS && r[i].best > 1.5 * r[best].best)
                continue;
            double ns = timed(b, &r[i], batch);
            r[i].best = ns < r[i].best ? ns : r[i].best;
        }
        for (uint32_t i = 0; i < n; i++)
            best = r[i].best < r[best].best ? i : best;
    }
    struct image_choice choice = {.kernel = "plain"};
    if (n)
        choice.ns = r[best].best;
    if (n && r[best].kernel) {
        memset(choice.kernel, 0, sizeof choice.kernel);
        memcpy(choice.kernel, r[best].kernel->name, strlen(r[best].kernel->name));
    }
    return choice;
}

// How many of the rows make a pass that does not last too long, guessed from two of them.
static uint32_t affordable_rows(const struct bench *b)
{
    uint64_t started = clock_thread_ns();
    for (uint32_t i = 0; i < 2; i++)
        trees_margin_by(b->m, b->m->one, trees_row(b->m, b->rows, i), 1, b->margins);
    uint64_t n = LONG_PASS_NS / ((clock_thread_ns() - started) / 2 + 1);
    return n > b->n_rows ? b->n_rows : n < LEAST_ROWS ? LEAST_ROWS : (uint32_t)n;
}

// Measures an image that lies as aligned as when it is mapped, and writes the choice into *h.
static int choose(const void *image, size_t size, struct image_header *h, struct err *e)
{
    struct trees *m;
    struct bench b = {0};
    int rc = trees_open(image, size, &m, e);
    if (rc)
        return rc;
    size_t row_bytes = m->img.h->n_features * trees_value_bytes(m);
    b.m = m;
    b.n_rows = (uint32_t)(MOST_BYTES / row_bytes);
    b.n_rows = b.n_rows > MOST_ROWS ? MOST_ROWS : b.n_rows < LEAST_ROWS ? LEAST_ROWS : b.n_rows;
    b.rows = calloc(b.n_rows, row_bytes);
    b.margins = calloc(b.n_rows, m->img.h->n_groups * trees_value_bytes(m));
    if (!b.rows || !b.margins)
        rc = err_set(e, ERR_NOMEM, "no memory for %u rows to measure with", b.n_rows);
    uint64_t state = 0x9E3779B97F4A7C15ull;
    for (uint32_t i = 0; !rc && i < b.n_rows; i++)
        trees_make_row(m, (char *)b.rows + i * row_bytes, &state);
    if (!rc) {
        b.n_rows = affordable_rows(&b);
        h->one = fastest(&b, false);
        h->batch = fastest(&b, true);
    }
    free(b.rows);
    free(b.margins);
    trees_close(m);
    return rc;
}

int trees_choose(struct buf *image, size_t start, struct err *e)
{
    size_t size = image->n - start;
    void *copy = aligned_alloc(IMAGE_ALIGN, (size + IMAGE_ALIGN - 1) / IMAGE_ALIGN * IMAGE_ALIGN);
    if (!copy)
        return err_set(e, ERR_NOMEM, "no memory for a copy of the image, %zu bytes", size);
    memcpy(copy, image->p + start, size);
    struct image_header h;
    memcpy(&h, copy, sizeof h);
    int rc = choose(copy, size, &h, e);
    if (!rc)
        memcpy(image->p + start, &h, sizeof h);
    free(copy);
    return rc;
}
