// SPDX-License-Identifier: Apache-2.0
// An observer's counts as bytes: a header that says of which columns and bins they are, fields of fixed size
// in little-endian, a hash of all of it at the end.
#include "monitor/observer.h"

#include "base/siphash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t FORMAT = 2, NARROW_FORMAT = 1; // counts of 64 and of 32 bits
static const struct siphash_key SEAL = {0x6f627365, 0x72766572}, SHAPE = {0x636f6c75, 0x6d6e7321};
enum { STEPS_MAX = 1 << 20 };

// One walk for both ways, so that what is written is what is read.
struct walk {
    struct buf *out; // writing; else
    struct str in;   // reading
    bool is_narrow;  // NARROW_FORMAT
    bool failed;
};

static void bytes(struct walk *w, void *p, size_t n)
{
    if (w->out) {
        buf_put(w->out, p, n);
    } else if (w->in.n < n) {
        w->failed = true;
        memset(p, 0, n);
    } else {
        memcpy(p, w->in.p, n);
        w->in.p += n;
        w->in.n -= n;
    }
}

static void u64(struct walk *w, uint64_t *v)
{
    bytes(w, v, sizeof *v);
}

static void u32(struct walk *w, uint32_t *v)
{
    bytes(w, v, sizeof *v);
}

static void number(struct walk *w, double *v)
{
    bytes(w, v, sizeof *v);
}

static void flag(struct walk *w, bool *v)
{
    uint8_t byte = *v;
    bytes(w, &byte, 1);
    *v = byte != 0;
}

static void counts(struct walk *w, uint64_t *v, uint32_t n)
{
    if (!w->is_narrow) {
        bytes(w, v, n * sizeof *v);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t narrow = 0;
        u32(w, &narrow);
        v[i] = narrow;
    }
}

// A count that memory follows: bounded before it is believed.
static void size(struct walk *w, uint32_t *v, uint32_t max)
{
    u32(w, v);
    if (*v > max || (!w->out && *v > w->in.n)) {
        w->failed = true;
        *v = 0;
    }
}

// ---- parts

static void walk_tally(struct walk *w, struct tally *t, uint32_t n_cells)
{
    uint64_t *const all[] = {&t->n, &t->n_missing, &t->n_below, &t->n_above, &t->n_unseen, &t->n_wrong};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        counts(w, all[i], 1);
    number(w, &t->sum);
    number(w, &t->min);
    number(w, &t->max);
    flag(w, &t->has_range);
    if (t->cells)
        counts(w, t->cells, n_cells);
}

static void walk_window(struct walk *w, const struct observer *o, struct observer_window *x)
{
    uint64_t *const all[] = {&x->from_wall_ns, &x->to_wall_ns, &x->n_seen,
                             &x->n_rows,       &x->n_requests, &x->n_refused};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        u64(w, all[i]);
    for (uint32_t i = 0; i < o->n_columns; i++)
        walk_tally(w, &x->tallies[i], o->columns[i].reference ? profile_cells(o->columns[i].reference) : 0);
}

static void walk_finding(struct walk *w, struct finding *f)
{
    uint8_t level = (uint8_t)f->level;
    bytes(w, &f->warn.recent, 1);
    flag(w, &f->warn.raised);
    bytes(w, &f->alert.recent, 1);
    flag(w, &f->alert.raised);
    bytes(w, &level, 1);
    u64(w, &f->since_wall_ns);
    f->level = level > FINDING_ALERT ? FINDING_NONE : level;
}

static void walk_column(struct walk *w, struct observer_state *s)
{
    for (int k = 0; k < FINDING_KINDS; k++)
        walk_finding(w, &s->findings[k]);
    bytes(w, s->history, sizeof s->history);
}

static void walk_kll(struct walk *w, struct kll *s)
{
    u64(w, &s->n);
    size(w, &s->n_levels, KLL_LEVELS);
    for (uint32_t i = 0; !w->failed && i < s->n_levels; i++) {
        struct kll_level *l = &s->levels[i];
        size(w, &l->n, STEPS_MAX);
        if (!w->out && l->n > l->cap) {
            double *grown = realloc(l->items, l->n * sizeof *grown);
            l->cap = grown ? l->n : l->cap;
            l->items = grown ? grown : l->items;
            l->n = grown ? l->n : 0;
            w->failed |= !grown;
        }
        if (l->n)
            bytes(w, l->items, l->n * sizeof *l->items);
    }
    s->n_levels = s->n_levels ? s->n_levels : 1;
    if (!w->out)
        kll_restored(s);
}

static void walk_tops(struct walk *w, struct tops *t)
{
    uint32_t n = t->n_items;
    uint64_t total = t->n;
    bool exact = t->is_exact;
    size(w, &n, t->k);
    u64(w, &total);
    flag(w, &exact);
    for (uint32_t i = 0; !w->failed && i < n; i++) {
        struct top item = w->out ? t->items[i] : (struct top){0};
        u64(w, &item.key);
        u64(w, &item.n);
        u64(w, &item.error);
        bytes(w, item.label, sizeof item.label);
        item.label[sizeof item.label - 1] = '\0';
        if (w->out)
            continue;
        tops_add(t, item.key, str_of(item.label), item.n);
        t->items[t->n_items - 1].error = item.error;
    }
    t->n = total;
    t->is_exact = exact;
}

static void walk_builder(struct walk *w, struct profile_builder *b)
{
    flag(w, &b->is_whole);
    u64(w, &b->n);
    u64(w, &b->n_missing);
    number(w, &b->min);
    number(w, &b->max);
    number(w, &b->mean);
    number(w, &b->squares);
    walk_kll(w, &b->kll);
    walk_tops(w, &b->tops);
    bytes(w, b->distinct.registers, sizeof b->distinct.registers);
    for (int i = 0; i < DISTINCT_REGISTERS; i++)
        if (b->distinct.registers[i] > 64 - DISTINCT_BITS + 1)
            b->distinct.registers[i] = 0;
}

// Of which columns and bins the counts are.
static uint64_t shape(const struct observer *o)
{
    uint64_t sum = siphash(SHAPE, (struct str){(const char *)&o->n_kept, sizeof o->n_kept});
    for (uint32_t i = 0; i < o->n_columns; i++) {
        const struct observer_state *s = &o->columns[i];
        const struct profile_column *c = s->reference;
        sum = sum * 31 + siphash(SHAPE, s->column.name) + s->column.is_output;
        sum = sum * 31 + (c ? c->kind + 2 * profile_cells(c) : 0);
        if (c && c->edges)
            sum = sum * 31 +
                  siphash(SHAPE, (struct str){(const char *)c->edges, (c->n_bins + 1) * sizeof *c->edges});
        if (c && c->n_bins && c->keys)
            sum = sum * 31 + siphash(SHAPE, (struct str){(const char *)c->keys, c->n_bins * sizeof *c->keys});
    }
    return sum;
}

static void walk_observer(struct walk *w, struct observer *o)
{
    bool learns = o->builders != NULL;
    flag(w, &learns);
    if (learns != (o->builders != NULL))
        w->failed = true;
    u64(w, &o->n_closed);
    walk_window(w, o, &o->now);
    for (uint32_t i = 0; !w->failed && i < o->n_columns; i++) {
        walk_column(w, &o->columns[i]);
        if (learns)
            walk_builder(w, &o->builders[i]);
    }
    uint32_t kept = o->n_closed < o->n_kept ? (uint32_t)o->n_closed : o->n_kept;
    for (uint32_t i = 0; !w->failed && i < kept; i++)
        walk_window(w, o, &o->closed[i]);
    walk_finding(w, &o->refused_finding);
}

void observer_save(const struct observer *o, struct buf *out)
{
    uint64_t shaped = shape(o);
    size_t from = out->n;
    buf_put(out, &FORMAT, sizeof FORMAT);
    buf_put(out, &shaped, sizeof shaped);
    // The walk writes out of it and changes nothing.
    walk_observer(&(struct walk){.out = out}, (struct observer *)(uintptr_t)o);
    if (out->failed)
        return;
    uint64_t seal = siphash(SEAL, (struct str){out->p + from, out->n - from});
    buf_put(out, &seal, sizeof seal);
}

static bool is_sealed(const struct observer *o, struct str *bytes_in, bool *ret_narrow)
{
    uint32_t format;
    uint64_t shaped, seal;
    if (bytes_in->n < sizeof format + sizeof shaped + sizeof seal)
        return false;
    bytes_in->n -= sizeof seal;
    memcpy(&seal, bytes_in->p + bytes_in->n, sizeof seal);
    memcpy(&format, bytes_in->p, sizeof format);
    memcpy(&shaped, bytes_in->p + sizeof format, sizeof shaped);
    *ret_narrow = format == NARROW_FORMAT;
    if ((format != FORMAT && !*ret_narrow) || shaped != shape(o) || seal != siphash(SEAL, *bytes_in))
        return false;
    bytes_in->p += sizeof format + sizeof shaped;
    bytes_in->n -= sizeof format + sizeof shaped;
    return true;
}

int observer_load(struct observer *o, struct str bytes_in, struct err *e)
{
    struct walk w = {.in = bytes_in};
    if (!is_sealed(o, &w.in, &w.is_narrow))
        return err_set(e, ERR_INVALID, "the state of the drift monitor is of another baseline, or damaged");
    walk_observer(&w, o);
    if (w.failed || w.in.n)
        return err_set(e, ERR_INVALID, "the state of the drift monitor is not whole");
    // The newest window is compared again for what is shown; its findings are those that were kept.
    for (uint32_t i = 0; o->n_closed && i < o->n_columns; i++)
        observer_compare(o, i);
    return 0;
}
