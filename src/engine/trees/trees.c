// SPDX-License-Identifier: Apache-2.0
// The tree engine: struct engine over images and kernels.
#include "engine/trees/trees.h"

#include "engine/engine.h"
#include "engine/trees/formats.h"
#include "engine/trees/xgboost.h"

#include "base/limits.h"

#include <string.h>

typedef int parse_fn(const uint8_t *bytes, size_t size, struct arena *a, struct forest *ret, struct err *e);

struct format {
    const char *name;
    bool (*detect)(const uint8_t *bytes, size_t size);
    parse_fn *parse;
};

static const struct format FORMATS[] = {
    {"xgboost_json", xgboost_json_detect, xgboost_json_parse},
    {"xgboost_ubj", xgboost_ubj_detect, xgboost_ubj_parse},
    {"lightgbm_txt", lightgbm_text_detect, lightgbm_text_parse},
};

static const struct format *format_of(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof FORMATS / sizeof FORMATS[0]; i++)
        if (FORMATS[i].detect(bytes, size))
            return &FORMATS[i];
    return NULL;
}

static const char *detect(const uint8_t *bytes, size_t size)
{
    const struct format *f = format_of(bytes, size);
    return f ? f->name : NULL;
}

// Address space for a parse: a forest is smaller than its text, its tables are a few times its size.
static size_t arena_bytes(size_t size)
{
    size_t most = (size_t)LIMIT_TREES_COMPILE_MB << 20, least = (size_t)256 << 20;
    return size > (most - least) / 16 ? most : least + 16 * size;
}

static int compile(const uint8_t *bytes, size_t size, struct buf *image, struct err *e)
{
    const struct format *format = format_of(bytes, size);
    if (!format)
        return err_set(e, ERR_UNSUPPORTED_MODEL, "not a model file that the tree engine knows");
    struct arena a;
    int rc = arena_init(&a, arena_bytes(size), e);
    if (rc)
        return rc;
    size_t start = image->n;
    struct forest f;
    rc = format->parse(bytes, size, &a, &f, e);
    if (!rc)
        rc = image_build(&f, &a, image, e);
    arena_done(&a);
    return rc ? rc : trees_choose(image, start, e);
}

static struct trees *of(struct model *m)
{
    return (struct trees *)m;
}

static const struct trees *of_const(const struct model *m)
{
    return (const struct trees *)m;
}

static int open_model(const void *image, size_t size, struct model **ret, struct err *e)
{
    struct trees *m;
    int rc = trees_open(image, size, &m, e);
    if (!rc)
        *ret = (struct model *)m;
    return rc;
}

static void close_model(struct model *m)
{
    trees_close(of(m));
}

static const struct signature *signature(const struct model *m)
{
    return &of_const(m)->img.forest.sig;
}

// A kernel that is not for one row works on whole blocks: a few rows take it as long as CODE_ROWS of them, so
// that one row after another may be faster.
static const struct kernel *kernel_for(const struct trees *m, uint32_t n_rows)
{
    const struct image_header *h = m->img.h;
    bool blocks = m->batch && !m->batch->one;
    bool few = n_rows == 1 || (blocks && n_rows < CODE_ROWS && n_rows * h->one.ns < CODE_ROWS * h->batch.ns);
    return few ? m->one : m->batch;
}

static void margin(struct model *model, const void *rows, uint32_t n_rows, void *out)
{
    struct trees *m = of(model);
    trees_margin_by(m, kernel_for(m, n_rows), rows, n_rows, out);
}

// By a kernel, or by the one that is for so many rows.
static void predict_with(struct trees *m, bool is_given, const struct kernel *k, const void *rows,
                         uint32_t n_rows, void *out)
{
    size_t bytes = trees_value_bytes(m), margins = m->img.h->n_groups * bytes,
           outputs = m->img.h->n_outputs * bytes;
    for (uint32_t r = 0; r < n_rows;) {
        uint32_t here = n_rows - r < CODE_ROWS ? n_rows - r : CODE_ROWS;
        trees_margin_by(m, is_given ? k : kernel_for(m, here), trees_row(m, rows, r), here, m->margins);
        for (uint32_t i = 0; i < here; i++)
            forest_transform(&m->img.forest, (char *)m->margins + i * margins,
                             (char *)out + (r + i) * outputs);
        r += here;
    }
}

static void predict(struct model *m, const void *rows, uint32_t n_rows, void *out)
{
    predict_with(of(m), false, NULL, rows, n_rows, out);
}

// What cannot be coded is walked plainly, and by no kernel; the image of what can has nothing to walk.
static const char *predict_by(struct model *model, uint32_t i, const void *rows, uint32_t n_rows, void *out)
{
    struct trees *m = of(model);
    const struct kernel *k = KERNELS;
    for (; m->img.h->coded && k->name; k++)
        if (kernel_usable(k, m->img.h) && i-- == 0)
            break;
    if (m->img.h->coded ? !k->name : i > 0)
        return NULL;
    predict_with(m, true, m->img.h->coded ? k : NULL, rows, n_rows, out);
    return m->img.h->coded ? k->name : "plain";
}

static void make_rows(struct model *model, uint64_t seed, uint32_t n_rows, void *rows)
{
    const struct trees *m = of(model);
    uint64_t state = seed * 0x9E3779B97F4A7C15ull | 1;
    for (uint32_t i = 0; i < n_rows; i++)
        trees_make_row(m, (char *)rows + i * m->img.h->n_features * trees_value_bytes(m), &state);
}

static uint32_t n_margins(const struct model *m)
{
    return of_const(m)->img.h->n_groups;
}

static void describe_choice(const char *key, const struct kernel *k, double ns, const char *unit,
                            struct buf *json)
{
    buf_printf(json, ",\"%s\":{\"name\":", key);
    buf_put_json_str(json, str_of(k ? k->name : "plain"));
    buf_printf(json, ",\"%s\":%.1f}", unit, ns);
}

static void describe(const struct model *model, struct buf *json)
{
    const struct trees *m = of_const(model);
    const struct image_header *h = m->img.h;
    buf_puts(json, "{\"format\":");
    buf_put_json_str(json, str_of(h->platform));
    buf_puts(json, ",\"objective\":");
    buf_put_json_str(json, str_of(h->objective));
    buf_printf(json, ",\"n_features\":%u,\"n_trees\":%u,\"n_nodes\":%u,\"max_depth\":%u,\"image_bytes\":%llu",
               h->n_features, h->n_trees, h->n_nodes, h->max_depth, (unsigned long long)h->size);
    // A kernel that replaces the chosen one on this processor has no measured time.
    bool own_one = m->one && strcmp(m->one->name, h->one.kernel) != 0;
    bool own_batch = m->batch && strcmp(m->batch->name, h->batch.kernel) != 0;
    describe_choice("kernel_one", m->one, own_one ? 0.0 : h->one.ns, "ns", json);
    describe_choice("kernel_batch", m->batch, own_batch ? 0.0 : h->batch.ns, "ns_per_row", json);
    buf_putc(json, '}');
}

const struct engine engine_trees = {
    .name = "trees",
    .detect = detect,
    .compile = compile,
    .open = open_model,
    .close = close_model,
    .signature = signature,
    .predict = predict,
    .margin = margin,
    .n_margins = n_margins,
    .predict_by = predict_by,
    .make_rows = make_rows,
    .describe = describe,
};
