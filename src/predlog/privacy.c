// SPDX-License-Identifier: Apache-2.0
// A program of a table is a list of steps, of which neighbours that are kept make one: a table that is kept
// whole is copied by one memcpy.
#include "predlog/privacy.h"

#include "base/assert.h"
#include "base/num.h"
#include "predlog/keyed_hash.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct step { // of a row
    enum privacy_what what;
    uint32_t first, n; // columns; n above 1 only where they are kept
    double by;
};

struct privacy {
    bool is_table;
    uint32_t n_columns, n_plain, n_hashed, n_steps;
    struct keyed_hash hash;
    struct step *steps; // of tensors: one for each
};

static const struct {
    const char *name;
    bool has_number;
} RULES[] = {
    [PRIVACY_KEEP] = {"keep", false},        [PRIVACY_DROP] = {"drop", false},
    [PRIVACY_HASH] = {"hash", false},        [PRIVACY_BUCKET] = {"bucket", true},
    [PRIVACY_TRUNCATE] = {"truncate", true},
};

enum { N_RULES = sizeof RULES / sizeof RULES[0], DECIMALS_MAX = 15, TEXT_MAX = 1 << 20 };

int privacy_rule_read(struct str text, struct privacy_rule *ret, struct err *e)
{
    struct str rest = text, name = str_split(&rest, ':');
    bool said = name.n < text.n;
    for (int i = 0; i < N_RULES; i++) {
        if (!str_eq(name, str_of(RULES[i].name)) || said != RULES[i].has_number)
            continue;
        size_t used = 0;
        *ret = (struct privacy_rule){.what = (enum privacy_what)i};
        if (!said)
            return 0;
        if (!num_parse_double(rest.p, rest.n, &ret->by, &used) || used != rest.n || !isfinite(ret->by))
            break;
        if (i == PRIVACY_BUCKET && !(ret->by > 0))
            return err_set(e, ERR_INVALID, "'%.60s': the width of a bucket is above 0", text.p);
        if (i == PRIVACY_TRUNCATE && (ret->by != floor(ret->by) || fabs(ret->by) > TEXT_MAX))
            return err_set(e, ERR_INVALID, "truncate: expected a whole number of decimals or bytes");
        return 0;
    }
    err_set(e, ERR_INVALID, "'" STR_FMT "' does not say how a column is logged",
            STR_ARG(((struct str){text.p, text.n < 60 ? text.n : 60})));
    err_hint(e, "One of keep, drop, hash, bucket:WIDTH, truncate:DIGITS.");
    return ERR_INVALID;
}

void privacy_rule_write(const struct privacy_rule *r, struct buf *text)
{
    char number[NUM_TEXT_MAX];
    buf_puts(text, RULES[r->what].name);
    if (RULES[r->what].has_number) {
        buf_putc(text, ':');
        buf_put(text, number, num_write_double(r->by, number));
    }
}

int privacy_rule_check(const struct privacy_rule *r, enum dtype t, struct err *e)
{
    bool number = t != DTYPE_BYTES && t != DTYPE_BOOL && t != DTYPE_FP16 && t != DTYPE_NONE;
    if (r->what == PRIVACY_BUCKET && !number)
        return err_set(e, ERR_INVALID, "values of datatype %s cannot be put in buckets", dtype_name(t));
    if (r->what == PRIVACY_TRUNCATE && t == DTYPE_BYTES && r->by < 0)
        return err_set(e, ERR_INVALID, "a text cannot be truncated to fewer than 0 bytes");
    if (r->what == PRIVACY_TRUNCATE && t != DTYPE_BYTES && (!number || fabs(r->by) > DECIMALS_MAX))
        return err_set(e, ERR_INVALID, "values of datatype %s cannot be truncated to %g decimals",
                       dtype_name(t), r->by);
    return 0;
}

static void add_column(struct privacy *p, uint32_t column, const struct privacy_rule *r)
{
    struct step *last = p->n_steps ? &p->steps[p->n_steps - 1] : NULL;
    p->n_plain += r->what != PRIVACY_DROP && r->what != PRIVACY_HASH;
    p->n_hashed += r->what == PRIVACY_HASH;
    if (p->is_table && last && last->what == PRIVACY_KEEP && r->what == PRIVACY_KEEP)
        last->n++;
    else
        p->steps[p->n_steps++] = (struct step){.what = r->what, .first = column, .n = 1, .by = r->by};
}

int privacy_new(bool is_table, const struct privacy_rule *rules, const enum dtype *dtypes, uint32_t n,
                struct str key, struct privacy **ret, struct err *e)
{
    struct privacy *p = calloc(1, sizeof *p);
    struct step *steps = calloc((size_t)n + 1, sizeof *steps);
    int rc = p && steps ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    if (!rc)
        *p = (struct privacy){.is_table = is_table, .n_columns = n, .steps = steps};
    for (uint32_t i = 0; !rc && i < n; i++) {
        rc = privacy_rule_check(&rules[i], dtypes[i], e);
        if (!rc)
            add_column(p, i, &rules[i]);
    }
    if (rc) {
        free(steps);
        free(p);
        return rc;
    }
    keyed_hash_init(&p->hash, key);
    *ret = p;
    return 0;
}

void privacy_free(struct privacy *p)
{
    if (p) {
        explicit_bzero(&p->hash, sizeof p->hash);
        free(p->steps);
    }
    free(p);
}

bool privacy_is_table(const struct privacy *p)
{
    return p->is_table;
}

bool privacy_keeps_all(const struct privacy *p)
{
    return p->n_steps == 0 || (p->n_steps == 1 && p->steps[0].what == PRIVACY_KEEP);
}

uint32_t privacy_n_columns(const struct privacy *p)
{
    return p->n_columns;
}

uint32_t privacy_n_plain(const struct privacy *p)
{
    return p->n_plain;
}

uint32_t privacy_n_hashed(const struct privacy *p)
{
    return p->n_hashed;
}

enum privacy_what privacy_of(const struct privacy *p, uint32_t column)
{
    for (uint32_t i = 0; i < p->n_steps; i++)
        if (column - p->steps[i].first < p->steps[i].n)
            return p->steps[i].what;
    return PRIVACY_DROP;
}

// One element of any number's datatype.
union cell {
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    float f32;
    double f64;
};

static double limited(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static double cell_double(const union cell *c, enum dtype t)
{
    switch (t) {
    case DTYPE_UINT8:
        return c->u8;
    case DTYPE_UINT16:
        return c->u16;
    case DTYPE_UINT32:
        return c->u32;
    case DTYPE_UINT64:
        return (double)c->u64;
    case DTYPE_INT8:
        return c->i8;
    case DTYPE_INT16:
        return c->i16;
    case DTYPE_INT32:
        return c->i32;
    case DTYPE_INT64:
        return (double)c->i64;
    case DTYPE_FP32:
        return (double)c->f32;
    case DTYPE_FP64:
        return c->f64;
    default:
        return (double)NAN;
    }
}

// The largest doubles that 64 bits hold, not the largest integers: those round up.
static void cell_set(union cell *c, enum dtype t, double x)
{
    switch (t) {
    case DTYPE_UINT8:
        c->u8 = (uint8_t)limited(x, 0, UINT8_MAX);
        break;
    case DTYPE_UINT16:
        c->u16 = (uint16_t)limited(x, 0, UINT16_MAX);
        break;
    case DTYPE_UINT32:
        c->u32 = (uint32_t)limited(x, 0, UINT32_MAX);
        break;
    case DTYPE_UINT64:
        c->u64 = (uint64_t)limited(x, 0, 0x1.fffffffffffffp63);
        break;
    case DTYPE_INT8:
        c->i8 = (int8_t)limited(x, INT8_MIN, INT8_MAX);
        break;
    case DTYPE_INT16:
        c->i16 = (int16_t)limited(x, INT16_MIN, INT16_MAX);
        break;
    case DTYPE_INT32:
        c->i32 = (int32_t)limited(x, INT32_MIN, INT32_MAX);
        break;
    case DTYPE_INT64:
        c->i64 = (int64_t)limited(x, -0x1p63, 0x1.fffffffffffffp62);
        break;
    case DTYPE_FP32:
        c->f32 = (float)x;
        break;
    case DTYPE_FP64:
        c->f64 = x;
        break;
    default:
        break;
    }
}

static double coarser(const struct step *s, double x)
{
    if (!isfinite(x))
        return x;
    if (s->what == PRIVACY_BUCKET)
        return floor(x / s->by) * s->by;
    // By what tens are exact in: dividing by 10^-d would not be.
    double ten = pow(10, fabs(s->by));
    double y = s->by >= 0 ? trunc(x * ten) / ten : trunc(x / ten) * ten;
    return isfinite(y) ? y : x;
}

static void coarsen(const struct step *s, enum dtype t, const char *from, char *to)
{
    union cell c = {0};
    memcpy(&c, from, dtype_size(t));
    if (s->what != PRIVACY_KEEP)
        cell_set(&c, t, coarser(s, cell_double(&c, t)));
    memcpy(to, &c, dtype_size(t));
}

static uint64_t hash_of(const struct privacy *p, enum dtype t, const char *from)
{
    char text[NUM_TEXT_MAX];
    union cell c = {0};
    size_t n;
    memcpy(&c, from, dtype_size(t));
    double x = cell_double(&c, t);
    if (t == DTYPE_BOOL)
        return keyed_hash_64(&p->hash, c.u8 ? STR("true") : STR("false"));
    if (t == DTYPE_FP16)
        return keyed_hash_64(&p->hash, (struct str){from, 2});
    if (isnan(x))
        return 0;
    if (isinf(x))
        return keyed_hash_64(&p->hash, x > 0 ? STR("inf") : STR("-inf"));
    if (t == DTYPE_FP32)
        n = num_write_float(c.f32, text);
    else if (t == DTYPE_FP64)
        n = num_write_double(x, text);
    else if (t == DTYPE_INT64)
        n = num_write_i64(c.i64, text);
    else if (t == DTYPE_UINT64)
        n = (size_t)snprintf(text, sizeof text, "%" PRIu64, c.u64);
    else
        n = num_write_i64((int64_t)x, text);
    return keyed_hash_64(&p->hash, (struct str){text, n});
}

void privacy_plain(const struct privacy *p, enum dtype t, const void *rows, uint64_t n_rows, void *to)
{
    size_t size = dtype_size(t), row_bytes = p->n_columns * size;
    const char *from = rows;
    char *at = to;
    if (privacy_keeps_all(p)) {
        memcpy(to, rows, n_rows * row_bytes);
        return;
    }
    for (uint64_t r = 0; r < n_rows; r++, from += row_bytes) {
        for (uint32_t i = 0; i < p->n_steps; i++) {
            const struct step *s = &p->steps[i];
            if (s->what == PRIVACY_KEEP)
                memcpy(at, from + s->first * size, s->n * size);
            else if (s->what == PRIVACY_BUCKET || s->what == PRIVACY_TRUNCATE)
                coarsen(s, t, from + s->first * size, at);
            else
                continue;
            at += s->n * size;
        }
    }
}

void privacy_hashed(const struct privacy *p, enum dtype t, const void *rows, uint64_t n_rows, uint64_t *to)
{
    size_t size = dtype_size(t), row_bytes = p->n_columns * size;
    const char *from = rows;
    for (uint64_t r = 0; r < n_rows; r++, from += row_bytes)
        for (uint32_t i = 0; i < p->n_steps; i++)
            if (p->steps[i].what == PRIVACY_HASH)
                *to++ = hash_of(p, t, from + p->steps[i].first * size);
}

// The longest beginning of at most n bytes that ends between two characters.
static uint32_t text_cut(const char *p, uint32_t n, double most)
{
    if ((double)n <= most)
        return n;
    n = (uint32_t)most;
    while (n && ((uint8_t)p[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static size_t texts(const struct privacy *p, const struct step *s, const struct tensor *t, char *to)
{
    const char *from = t->data, *end = from + t->bytes;
    size_t n = 0;
    while (from < end) {
        uint32_t length;
        memcpy(&length, from, sizeof length);
        from += sizeof length;
        if (s->what == PRIVACY_HASH) {
            uint64_t hash = keyed_hash_64(&p->hash, (struct str){from, length});
            memcpy(to + n, &hash, sizeof hash);
            n += sizeof hash;
        } else {
            uint32_t kept = text_cut(from, length, s->by);
            memcpy(to + n, &kept, sizeof kept);
            memcpy(to + n + sizeof kept, from, kept);
            n += sizeof kept + kept;
        }
        from += length;
    }
    return n;
}

size_t privacy_tensor(const struct privacy *p, uint32_t i, const struct tensor *t, void *to)
{
    const struct step *s = &p->steps[i];
    ASSERT(!p->is_table && i < p->n_steps && s->what != PRIVACY_DROP);
    if (s->what == PRIVACY_KEEP) {
        memcpy(to, t->data, t->bytes);
        return t->bytes;
    }
    if (t->dtype == DTYPE_BYTES)
        return texts(p, s, t, to);
    size_t size = dtype_size(t->dtype), n = t->bytes / size;
    const char *from = t->data;
    for (size_t k = 0; k < n; k++) {
        if (s->what == PRIVACY_HASH) {
            uint64_t hash = hash_of(p, t->dtype, from + k * size);
            memcpy((char *)to + k * sizeof hash, &hash, sizeof hash);
        } else {
            coarsen(s, t->dtype, from + k * size, (char *)to + k * size);
        }
    }
    return s->what == PRIVACY_HASH ? n * sizeof(uint64_t) : t->bytes;
}
