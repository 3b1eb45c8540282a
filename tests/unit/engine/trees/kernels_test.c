// SPDX-License-Identifier: Apache-2.0
// Every kernel against the reference evaluator: the same bits, on forests of every shape.
#include "engine/trees/trees.h"

#include "random_forest.h"
#include "unit.h"

enum { N_ROWS = 131 }; // two full blocks and a rest

struct opened {
    struct arena a;
    struct forest f;
    struct buf image;
    void *aligned;
    struct trees *m;
};

static void open_forest(const struct random_shape *s, uint64_t seed, struct opened *o)
{
    struct err e = {0};
    ck_assert_int_eq(arena_init(&o->a, 64 << 20, &e), 0);
    random_forest(s, seed, &o->a, &o->f);
    ck_assert_msg(forest_check(&o->f, &o->a, &e) == 0, "%s", e.msg);
    buf_init(&o->image, (size_t)1 << 30);
    ck_assert_msg(image_build(&o->f, &o->a, &o->image, &e) == 0, "%s", e.msg);
    o->aligned = aligned_alloc(64, (o->image.n + 63) / 64 * 64);
    memcpy(o->aligned, o->image.p, o->image.n);
    ck_assert_msg(trees_open(o->aligned, o->image.n, &o->m, &e) == 0, "%s", e.msg);
}

static void close_forest(struct opened *o)
{
    trees_close(o->m);
    free(o->aligned);
    buf_done(&o->image);
    arena_done(&o->a);
}

static void same_bits(const struct random_shape *s, const char *kernel, const void *got, const void *want,
                      uint32_t n)
{
    size_t bytes = s->n_groups * (s->family == FOREST_XGBOOST ? sizeof(float) : sizeof(double));
    for (uint32_t i = 0; i < n; i++)
        ck_assert_msg(memcmp((const char *)got + i * bytes, (const char *)want + i * bytes, bytes) == 0,
                      "%s differs in row %u of %u: depth %u, %u leaves, %u features, %u trees", kernel, i, n,
                      s->depth, s->leaves, s->n_features, s->n_trees);
}

static void check_kernel(const struct random_shape *s, struct opened *o, const struct kernel *k,
                         const void *rows, const void *want)
{
    const char *name = k ? k->name : "plain";
    size_t bytes = s->n_groups * trees_value_bytes(o->m);
    char *got = malloc(N_ROWS * bytes);
    memset(got, 0xee, N_ROWS * bytes);
    trees_margin_by(o->m, k, rows, N_ROWS, got);
    same_bits(s, name, got, want, N_ROWS);
    uint32_t step = k && !k->one ? 43 : 1; // a block a row is slow, more so where it is emulated
    for (uint32_t i = 0; i < N_ROWS; i += step)
        trees_margin_by(o->m, k, trees_row(o->m, rows, i), 1, got + i * bytes);
    same_bits(s, name, got, want, N_ROWS);
    free(got);
}

// Returns how many kernels ran.
static int check_shape(const struct random_shape *s, uint64_t seed)
{
    struct opened o = {0};
    open_forest(s, seed, &o);
    size_t value = trees_value_bytes(o.m);
    char *rows = malloc(N_ROWS * s->n_features * value), *want = malloc(N_ROWS * s->n_groups * value);
    random_rows(s, seed, N_ROWS, rows);
    for (uint32_t i = 0; i < N_ROWS; i++)
        forest_reference_margin(&o.f, rows + i * s->n_features * value, want + i * s->n_groups * value);
    int n = 0;
    if (!o.m->img.h->coded)
        check_kernel(s, &o, NULL, rows, want);
    for (const struct kernel *k = KERNELS; k->name; k++)
        if (kernel_usable(k, o.m->img.h)) {
            check_kernel(s, &o, k, rows, want);
            n++;
        }
    ck_assert_int_eq(n > 0, o.m->img.h->coded);
    free(rows);
    free(want);
    close_forest(&o);
    return n;
}

static uint32_t depth_under(const struct forest *f, const struct forest_tree *tree, uint32_t node)
{
    const struct forest_node *n = &f->nodes[tree->first_node + node];
    if (n->left == -1)
        return 0;
    uint32_t left = depth_under(f, tree, (uint32_t)n->left), right = depth_under(f, tree, (uint32_t)n->right);
    return 1 + (left > right ? left : right);
}

static void check_both(struct random_shape s, uint64_t seed)
{
    s.family = FOREST_XGBOOST;
    check_shape(&s, seed);
    s.family = FOREST_LIGHTGBM;
    s.weighted = false;
    check_shape(&s, seed + 1);
}

START_TEST(kernels_agree_at_every_depth)
{
    for (uint32_t depth = 0; depth <= 12; depth++)
        for (uint32_t full = 0; full < 2; full++)
            check_both((struct random_shape){.n_features = 20,
                                             .n_groups = 1,
                                             .n_trees = depth < 9 ? 37 : 5,
                                             .depth = depth,
                                             .cuts = 100,
                                             .full = full},
                       depth * 100 + full);
}
END_TEST

#if defined(__x86_64__)
START_TEST(vector_kernels_take_the_common_shapes)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2"))
        return;
    struct random_shape s = {.family = FOREST_XGBOOST,
                             .n_features = 20,
                             .n_groups = 1,
                             .n_trees = 9,
                             .depth = 6,
                             .cuts = 99,
                             .full = true};
    ck_assert_int_ge(check_shape(&s, 1), 4); // sparse, heap, plane, oct
    s = (struct random_shape){.family = FOREST_LIGHTGBM,
                              .n_features = 20,
                              .n_groups = 1,
                              .n_trees = 9,
                              .depth = 30,
                              .leaves = 31,
                              .cuts = 99};
    ck_assert_int_ge(check_shape(&s, 2), 2); // sparse, path
}
END_TEST
#endif

#if defined(__x86_64__)
START_TEST(avx512_kernels_are_tried_where_they_run)
{
    static const char *const KINDS[] = {"heap", "path", "plane"};
#if defined(AVX512_BY_SIMDE)
    ck_assert_int_eq(cpu_avx512(), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"));
#endif
    for (uint32_t levels = 4; levels <= 6; levels++)
        for (int lightgbm = 0; lightgbm < 2; lightgbm++) {
            struct random_shape s = {.family = lightgbm ? FOREST_LIGHTGBM : FOREST_XGBOOST,
                                     .n_features = 20,
                                     .n_groups = 1,
                                     .n_trees = 9,
                                     .depth = levels,
                                     .leaves = 31,
                                     .cuts = 99};
            struct opened o = {0};
            open_forest(&s, levels, &o);
            for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
                char name[32];
                snprintf(name, sizeof name, "%s_avx512_%s", KINDS[i], lightgbm ? "f64" : "f32");
                ck_assert_ptr_nonnull(kernel_find(name));
                ck_assert_int_eq(kernel_usable(kernel_find(name), o.m->img.h), cpu_avx512());
            }
            close_forest(&o);
        }
}
END_TEST
#endif

START_TEST(kernels_agree_on_leaf_wise_trees)
{
    static const uint32_t LEAVES[] = {2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 255, 700};
    for (size_t i = 0; i < sizeof LEAVES / sizeof LEAVES[0]; i++)
        check_both((struct random_shape){.n_features = 13,
                                         .n_groups = 1,
                                         .n_trees = 25,
                                         .depth = 40,
                                         .leaves = LEAVES[i],
                                         .cuts = 60,
                                         .mixed_missing = true},
                   7000 + i);
}
END_TEST

START_TEST(kernels_agree_on_any_number_of_columns)
{
    static const uint32_t FEATURES[] = {1,  2,  15, 16, 17, 31,  32,  33,  47,
                                        48, 49, 63, 64, 65, 127, 128, 129, 500};
    for (size_t i = 0; i < sizeof FEATURES / sizeof FEATURES[0]; i++)
        for (uint32_t depth = 4; depth <= 8; depth += 2)
            check_both(
                (struct random_shape){
                    .n_features = FEATURES[i], .n_groups = 1, .n_trees = 50, .depth = depth, .cuts = 9},
                9000 + i * 10 + depth);
}
END_TEST

START_TEST(kernels_agree_with_many_cuts)
{
    static const uint32_t CUTS[] = {1, 14, 15, 16, 17, 240, 252, 253, 254, 255, 300, 2000};
    for (size_t i = 0; i < sizeof CUTS / sizeof CUTS[0]; i++) {
        check_both(
            (struct random_shape){
                .n_features = 2, .n_groups = 1, .n_trees = 60, .depth = 6, .cuts = CUTS[i], .full = true},
            11000 + i);
        check_both((struct random_shape){.n_features = 3,
                                         .n_groups = 1,
                                         .n_trees = 200,
                                         .depth = 6,
                                         .cuts = CUTS[i],
                                         .plain_cuts = true,
                                         .mixed_missing = true},
                   12000 + i);
    }
}
END_TEST

START_TEST(kernels_agree_on_categories)
{
    static const uint32_t CATEGORIES[] = {1, 2, 31, 32, 33, 100, 1000};
    for (size_t i = 0; i < sizeof CATEGORIES / sizeof CATEGORIES[0]; i++)
        for (uint32_t depth = 3; depth <= 9; depth += 3)
            check_both((struct random_shape){.n_features = 10,
                                             .n_groups = 1 + (uint32_t)i % 2,
                                             .n_trees = 30,
                                             .depth = depth,
                                             .leaves = depth == 9 ? 31 : 0,
                                             .cuts = 40,
                                             .categories = CATEGORIES[i]},
                       13000 + i * 10 + depth);
}
END_TEST

START_TEST(kernels_agree_on_groups_and_weights)
{
    for (uint32_t groups = 1; groups <= 11; groups += 5)
        for (uint32_t depth = 2; depth <= 8; depth += 2)
            check_both((struct random_shape){.n_features = 21,
                                             .n_groups = groups,
                                             .n_trees = groups * 9,
                                             .depth = depth,
                                             .cuts = 40,
                                             .weighted = true},
                       15000 + groups * 10 + depth);
    struct random_shape s = {.family = FOREST_LIGHTGBM,
                             .n_features = 8,
                             .n_groups = 3,
                             .n_trees = 30,
                             .depth = 9,
                             .leaves = 31,
                             .cuts = 50,
                             .average = true};
    check_shape(&s, 16000);
}
END_TEST

START_TEST(what_cannot_be_coded_runs_plain)
{
    struct random_shape vector = {.family = FOREST_XGBOOST,
                                  .n_features = 6,
                                  .n_groups = 4,
                                  .n_trees = 12,
                                  .depth = 5,
                                  .cuts = 30,
                                  .vector = true};
    ck_assert_int_eq(check_shape(&vector, 1), 0);
    struct random_shape linear = {.family = FOREST_LIGHTGBM,
                                  .n_features = 6,
                                  .n_groups = 1,
                                  .n_trees = 12,
                                  .depth = 5,
                                  .cuts = 30,
                                  .linear = true};
    ck_assert_int_eq(check_shape(&linear, 2), 0);
}
END_TEST

START_TEST(the_depth_is_known_with_and_without_columns)
{
    for (int linear = 0; linear < 2; linear++) {
        struct random_shape s = {.family = FOREST_LIGHTGBM,
                                 .n_features = 6,
                                 .n_groups = 1,
                                 .n_trees = 12,
                                 .depth = 9,
                                 .leaves = 20,
                                 .cuts = 30,
                                 .linear = linear};
        struct opened o = {0};
        open_forest(&s, 5, &o);
        uint32_t deepest = 0;
        for (uint32_t t = 0; t < o.f.n_trees; t++) {
            uint32_t depth = depth_under(&o.f, &o.f.trees[t], 0);
            deepest = depth > deepest ? depth : deepest;
        }
        ck_assert_int_eq(o.m->img.h->coded, !linear);
        ck_assert_uint_eq(o.m->img.h->max_depth, deepest);
        close_forest(&o);
    }
}
END_TEST

START_TEST(the_choice_is_a_usable_kernel_with_its_time)
{
    struct random_shape s = {
        .family = FOREST_XGBOOST, .n_features = 20, .n_groups = 1, .n_trees = 20, .depth = 6, .cuts = 99};
    struct opened o = {0};
    struct err e = {0};
    open_forest(&s, 3, &o);
    ck_assert_msg(trees_choose(&o.image, 0, &e) == 0, "%s", e.msg);
    struct image_header h;
    memcpy(&h, o.image.p, sizeof h);
    ck_assert_ptr_nonnull(kernel_find(h.one.kernel));
    ck_assert(kernel_usable(kernel_find(h.one.kernel), &h));
    ck_assert(kernel_usable(kernel_find(h.batch.kernel), &h));
    ck_assert_double_gt(h.one.ns, 0.0);
    ck_assert_double_gt(h.batch.ns, 0.0);
    close_forest(&o);
}
END_TEST

UNIT_MAIN("engine/trees/kernels", kernels_agree_at_every_depth,
#if defined(__x86_64__)
          vector_kernels_take_the_common_shapes, avx512_kernels_are_tried_where_they_run,
#endif
          kernels_agree_on_leaf_wise_trees, kernels_agree_on_any_number_of_columns,
          kernels_agree_with_many_cuts, kernels_agree_on_categories, kernels_agree_on_groups_and_weights,
          what_cannot_be_coded_runs_plain, the_depth_is_known_with_and_without_columns,
          the_choice_is_a_usable_kernel_with_its_time)
