// SPDX-License-Identifier: Apache-2.0
// Rows of a file → columns by name → one pass that counts, and runs the model a batch at a time.
#include "role/baseline.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/near.h"
#include "engine/engine.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/sandbox.h"
#include "registry/registry.h"
#include "role/baseline_rows.h"
#include "role/drift_columns.h"
#include "role/helper_report.h"
#include "tensor/rule.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BATCH_ROWS = 512, ARENA_BYTES = 1 << 30, ROWS_MIN = VERDICT_VALUES_MIN };
enum { NOT_THERE = UINT32_MAX };

struct work {
    struct arena arena;
    struct str name; // of the file
    char *bytes;
    size_t size;
    const void *image; // NULL: of an engine that is not run here
    size_t image_size;
    struct str document;
    const struct engine *engine;
    struct model *model; // NULL: outputs are not computed
    struct rules *rules;
    const struct signature *signature; // of a model of rows, with its user's names and categories
    struct schema schema;
    struct drift_columns columns;
    struct profile_builder *builders; // (columns.n)
    uint32_t *place;                  // (columns.n_inputs) column of the file; NOT_THERE
    uint32_t n_found, n_unused;       // inputs that are in the file; its columns that are none
    struct str missing;               // an input that is not
    struct baseline_rows *rows;
    struct cell *cells;
    uint64_t n_rows;
    double *batch; // (BATCH_ROWS, n_inputs)
    uint32_t n_batch;
    void *in, *out; // the same for the engine
};

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the baseline");
}

// ---- what comes in

static int map(int fd, int protection, void **ret, size_t *ret_size, struct err *e)
{
    uint64_t size;
    int rc = file_size(fd, &size, e);
    if (!rc && size == 0)
        rc = err_set(e, ERR_INVALID, "the baseline is empty");
    if (rc)
        return rc;
    *ret = mmap(NULL, size, protection, MAP_PRIVATE, fd, 0);
    *ret_size = size;
    return *ret == MAP_FAILED ? err_errno(e, errno, "map the baseline") : 0;
}

static int check_digest(const char *text, struct err *e)
{
    struct registry_digest want, is;
    int rc = registry_digest_parse(str_of(text), &want) ? 0 : err_set(e, ERR_INTERNAL, "baseline: no digest");
    if (!rc)
        rc = registry_digest_file(BASELINE_FD_FILE, &is, e);
    if (!rc && !registry_digest_eq(&want, &is)) {
        rc = err_set(e, ERR_DIGEST, "the stored baseline is damaged");
        err_hint(e, "Push the file again to replace it.");
    }
    return rc;
}

static int read_model(struct work *w, struct err *e)
{
    void *document;
    int rc = map(BASELINE_FD_SIGNATURE, PROT_READ, &document, &w->document.n, e);
    w->document.p = rc ? NULL : document;
    if (!rc)
        rc = schema_read(w->document, false, "$", &w->arena, &w->schema, e);
    if (!rc)
        rc = drift_columns_of(&w->schema, &w->arena, &w->columns, e);
    if (rc || w->engine->runtime)
        return rc;
    rc = map(BASELINE_FD_IMAGE, PROT_READ, (void **)(uintptr_t)&w->image, &w->image_size, e);
    if (!rc)
        rc = w->engine->open(w->image, w->image_size, &w->model, e);
    if (!rc)
        rc = rules_bind(w->engine->signature(w->model), w->document, &w->rules, e);
    if (!rc)
        w->signature = rules_signature(w->rules);
    return rc;
}

// ---- columns of the file

static uint32_t find_name(const struct baseline_rows *r, struct str name)
{
    for (uint32_t i = 0; i < baseline_rows_width(r); i++)
        if (str_eq(baseline_rows_name(r, i), name))
            return i;
    return NOT_THERE;
}

static int no_column(const struct work *w, struct err *e)
{
    struct str shown = w->columns.n_inputs ? w->columns.items[0].as.name : STR("");
    err_set(e, ERR_INVALID, "the baseline has no column with the name of an input, as '" STR_FMT "' is one",
            STR_ARG(shown));
    err_hint(e, "It must name the columns as the model does; a CSV file in its first line.");
    return ERR_INVALID;
}

// By name; by position where the model has no names of its own and the file has as many columns.
static int place_columns(struct work *w, struct err *e)
{
    uint32_t n = w->columns.n_inputs, width = baseline_rows_width(w->rows);
    for (uint32_t i = 0; i < n; i++) {
        w->place[i] = find_name(w->rows, w->columns.items[i].as.name);
        w->n_found += w->place[i] != NOT_THERE;
        if (w->place[i] == NOT_THERE && w->missing.n == 0)
            w->missing = w->columns.items[i].as.name;
    }
    bool unnamed = w->columns.is_table ? !w->schema.named && !w->schema.renamed : w->schema.n_inputs == 1;
    if (w->n_found == 0 && unnamed && width == n)
        for (uint32_t i = 0; i < n; i++)
            w->place[i] = i, w->n_found++;
    w->n_unused = width - (w->n_found < width ? w->n_found : width);
    return w->n_found ? 0 : no_column(w, e);
}

static const struct categories *texts_of(const struct work *w, uint32_t i)
{
    if (!w->signature || i >= w->signature->n_features)
        return NULL;
    const struct feature *f = &w->signature->features[i];
    return f->rule && f->rule->texts ? f->rule->texts : f->categories;
}

static int use_columns(struct work *w, struct err *e)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < w->columns.n_inputs; i++)
        if (w->place[i] != NOT_THERE)
            rc = baseline_rows_use(w->rows, w->place[i], w->columns.items[i].is_text || texts_of(w, i), e);
    return rc;
}

static int make_room(struct work *w, struct err *e)
{
    uint32_t n = w->columns.n;
    w->cells = calloc(baseline_rows_width(w->rows) + 1, sizeof *w->cells);
    w->place = calloc(n + 1, sizeof *w->place);
    w->builders = calloc(n + 1, sizeof *w->builders);
    if (!w->cells || !w->place || !w->builders)
        return no_memory(e);
    for (uint32_t i = 0; i < n; i++)
        if (!profile_builder_init(&w->builders[i], w->columns.items[i].as.is_category, PROFILE_BUILD_K))
            return no_memory(e);
    int rc = place_columns(w, e);
    if (!rc)
        rc = use_columns(w, e);
    // A model that lacks an input would give outputs that mean nothing.
    if (rc || !w->model || w->n_found < w->signature->n_features || w->columns.n_left_out)
        return rc;
    const struct signature *s = w->signature;
    w->batch = calloc((size_t)BATCH_ROWS * s->n_features, sizeof *w->batch);
    w->in =
        aligned_alloc(64, ((size_t)BATCH_ROWS * s->n_features * dtype_size(s->input_dtype) + 63) / 64 * 64);
    w->out =
        aligned_alloc(64, ((size_t)BATCH_ROWS * s->n_outputs * dtype_size(s->output_dtype) + 63) / 64 * 64);
    return w->batch && w->in && w->out ? 0 : no_memory(e);
}

// ---- rows

static double output_at(const struct signature *s, const void *out, size_t i)
{
    if (s->output_dtype == DTYPE_FP32)
        return (double)((const float *)out)[i];
    if (s->output_dtype == DTYPE_INT64)
        return (double)((const int64_t *)out)[i];
    return ((const double *)out)[i];
}

static void run_batch(struct work *w)
{
    const struct signature *s = w->signature;
    size_t n = (size_t)w->n_batch * s->n_features;
    for (size_t i = 0; i < n && s->input_dtype == DTYPE_FP32; i++)
        ((float *)w->in)[i] = (float)w->batch[i];
    if (s->input_dtype != DTYPE_FP32)
        memcpy(w->in, w->batch, n * sizeof *w->batch);
    w->engine->predict(w->model, w->in, w->n_batch, w->out);
    for (uint32_t row = 0; row < w->n_batch; row++)
        for (uint32_t i = w->columns.n_inputs; i < w->columns.n; i++)
            profile_builder_number(
                &w->builders[i],
                output_at(s, w->out, (size_t)row * s->n_outputs + w->columns.items[i].element));
    w->n_batch = 0;
}

static int wrong_cell(const struct work *w, uint32_t i, const struct cell *c, struct err *e)
{
    struct str shown = {c->text.p, c->text.n < 40 ? c->text.n : 40};
    err_set(e, ERR_WRONG_TYPE,
            "row %" PRIu64 " of the baseline has '" STR_FMT "' in column '" STR_FMT
            "', which is neither a number nor a category of it",
            baseline_rows_at(w->rows), STR_ARG(shown), STR_ARG(w->columns.items[i].as.name));
    err_hint(e, "Write missing values as nothing, NA or null.");
    return ERR_WRONG_TYPE;
}

// Counts a cell of input i as the model would take it; *ret is that.
static int take_cell(struct work *w, uint32_t i, const struct cell *c, double *ret, struct err *e)
{
    struct profile_builder *b = &w->builders[i];
    const struct categories *texts = texts_of(w, i);
    int64_t category = c->kind == CELL_TEXT && texts ? categories_find(texts, c->text) : MAP_NONE;
    *ret = (double)NAN;
    if (c->kind == CELL_MISSING) {
        profile_builder_missing(b);
    } else if (w->columns.items[i].is_text) {
        profile_builder_text(b, c->text);
    } else if (category >= 0) {
        *ret = texts->codes ? texts->codes[category] : (double)category;
        profile_builder_named(b, *ret, c->text);
    } else if (c->kind == CELL_NUMBER || c->is_number) {
        // As the model compares it, so that live values fall into the same bins.
        bool narrow = w->signature && w->signature->input_dtype == DTYPE_FP32;
        *ret = narrow ? (double)(float)c->number : c->number;
        profile_builder_number(b, *ret);
    } else {
        return wrong_cell(w, i, c, e);
    }
    return 0;
}

static int take_row(struct work *w, struct err *e)
{
    double *row = w->batch ? w->batch + (size_t)w->n_batch * w->columns.n_inputs : NULL, v;
    w->n_rows++;
    for (uint32_t i = 0; i < w->columns.n_inputs; i++) {
        if (w->place[i] == NOT_THERE)
            continue;
        int rc = take_cell(w, i, &w->cells[w->place[i]], &v, e);
        if (rc)
            return rc;
        if (row)
            row[i] = v;
    }
    if (row && ++w->n_batch == BATCH_ROWS)
        run_batch(w);
    return 0;
}

static int take_rows(struct work *w, struct err *e)
{
    int rc = baseline_rows_open(w->bytes, w->size, &w->rows, e);
    if (!rc)
        rc = make_room(w, e);
    while (!rc && (rc = baseline_rows_next(w->rows, w->cells, e)) > 0)
        rc = take_row(w, e);
    if (!rc && w->batch && w->n_batch)
        run_batch(w);
    return rc;
}

// ---- the profile

static bool has_values(const struct work *w, uint32_t i)
{
    return i < w->columns.n_inputs ? w->place[i] != NOT_THERE : w->batch != NULL;
}

static int build(struct work *w, struct profile **ret, struct err *e)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->columns.n; i++)
        n += has_values(w, i);
    struct profile *p = *ret = profile_new(n);
    bool made = p && profile_text(p, w->name, &p->source);
    for (uint32_t i = 0, to = 0; made && i < w->columns.n; i++) {
        if (!has_values(w, i))
            continue;
        struct profile_column *c = &p->columns[to++];
        c->is_output = w->columns.items[i].as.is_output;
        made = profile_text(p, w->columns.items[i].as.name, &c->name) &&
               profile_builder_end(&w->builders[i], p, c);
    }
    if (!made)
        return no_memory(e);
    p->n_rows = w->n_rows;
    return 0;
}

// A profile that comes from an export, or was made elsewhere.
static int take_profile(struct work *w, struct profile **ret, struct err *e)
{
    int rc = profile_decode((struct str){w->bytes, w->size}, ret, e);
    for (uint32_t i = 0; !rc && i < w->columns.n_inputs; i++) {
        bool found = profile_find(*ret, w->columns.items[i].as.name, false) != NULL;
        w->n_found += found;
        if (!found && w->missing.n == 0)
            w->missing = w->columns.items[i].as.name;
    }
    if (!rc && w->n_found == 0)
        rc = no_column(w, e);
    w->n_rows = rc ? 0 : (*ret)->n_rows;
    return rc;
}

static void put_detail(const struct work *w, const struct profile *p, struct buf *out)
{
    buf_printf(out, "%" PRIu64 " rows of " STR_FMT "; %u of %u inputs, %u output%s", w->n_rows,
               STR_ARG(p->source), w->n_found, w->columns.n_inputs, p->n_columns - w->n_found,
               p->n_columns - w->n_found == 1 ? "" : "s");
    if (w->n_rows < ROWS_MIN)
        buf_printf(out, "; too few to compare with, %d are the least", ROWS_MIN);
    if (w->missing.n)
        buf_printf(out, "; '" STR_FMT "' is not there", STR_ARG(w->missing));
    if (w->n_unused)
        buf_printf(out, "; %u column%s not used", w->n_unused, w->n_unused == 1 ? "" : "s");
}

static int write_profile(const struct profile *p, struct err *e)
{
    struct buf json;
    buf_init(&json, LIMIT_PROFILE_BYTES);
    profile_encode(p, &json);
    int rc = json.failed ? err_set(e, ERR_TOO_LARGE, "the profile of the baseline is larger than %d MiB",
                                   LIMIT_PROFILE_BYTES >> 20)
                         : file_write_all(BASELINE_FD_PROFILE, json.p, json.n, e);
    buf_done(&json);
    return rc;
}

static int work(struct work *w, struct profile **ret, struct err *e)
{
    void *bytes;
    int rc = arena_init(&w->arena, ARENA_BYTES, e);
    if (!rc)
        rc = read_model(w, e);
    if (!rc)
        rc = map(BASELINE_FD_FILE, PROT_READ | PROT_WRITE, &bytes, &w->size, e);
    w->bytes = rc ? NULL : bytes;
    if (!rc && profile_is_one((struct str){w->bytes, w->size}))
        rc = take_profile(w, ret, e);
    else if (!rc && !(rc = take_rows(w, e)))
        rc = build(w, ret, e);
    return rc ? rc : write_profile(*ret, e);
}

static int report(int rc, const struct work *w, const struct profile *p, uint64_t began_ns,
                  const struct err *e)
{
    struct buf b, detail;
    struct err ignored;
    buf_init(&b, HELPER_REPORT_MAX);
    buf_init(&detail, HELPER_REPORT_MAX);
    if (rc) {
        helper_report_error(e, &b);
    } else {
        put_detail(w, p, &detail);
        buf_puts(&b, "{\"step\":\"baseline\",\"result\":\"passed\",\"detail\":");
        buf_put_json_str(&b, buf_str(&detail));
        buf_printf(&b, ",\"ms\":%.1f}", (double)(clock_mono_ns() - began_ns) / 1e6);
    }
    buf_putc(&b, '\n');
    int failed = b.failed || file_write_all(BASELINE_FD_RESULT, b.p, b.n, &ignored);
    buf_done(&b);
    buf_done(&detail);
    return failed;
}

int baseline_main(int argc, char *const *argv)
{
    struct err e = {0};
    uint64_t memory_bytes, cpu_s, size = 0, began_ns = clock_mono_ns();
    struct profile *p = NULL;
    static struct work w;
    if (argc != BASELINE_ARGS ||
        !str_to_u64(str_of(argv[BASELINE_ARG_MEMORY_BYTES]), UINT64_MAX, &memory_bytes) ||
        !str_to_u64(str_of(argv[BASELINE_ARG_CPU_S]), UINT64_MAX, &cpu_s))
        return 2;
    w.name = str_of(argv[BASELINE_ARG_NAME]);
    w.engine = engine_find(str_of(argv[BASELINE_ARG_ENGINE]));
    proc_give_way();
    int rc =
        w.engine ? file_size(BASELINE_FD_FILE, &size, &e) : err_set(&e, ERR_INTERNAL, "baseline: no engine");
    // The file is mapped for writing: a page in which quotes are undoubled becomes the process' own.
    const struct sandbox box = {.memory_bytes = memory_bytes + size,
                                .mapped_bytes = memory_bytes + size + ARENA_BYTES,
                                .file_bytes = LIMIT_PROFILE_BYTES,
                                .n_files = BASELINE_FD_LIMIT,
                                .cpu_s = cpu_s > UINT_MAX ? UINT_MAX : (unsigned)cpu_s};
    struct sandbox_report ignored;
    if (!rc)
        rc = sandbox_enter(&box, &ignored, &e);
    if (!rc)
        rc = check_digest(argv[BASELINE_ARG_DIGEST], &e);
    if (!rc)
        rc = work(&w, &p, &e);
    return report(rc, &w, p, began_ns, &e);
}
