// SPDX-License-Identifier: Apache-2.0
#include "engine/onnx/scan.h"

#include "engine/onnx/models.h"
#include "unit.h"

static struct arena arena;

static int scan(struct buf *model, struct scan *ret, struct err *e)
{
    ck_assert_int_eq(arena_init(&arena, 1 << 20, e), 0);
    return scan_model(buf_str(model), &arena, ret, e);
}

static const char *detect(struct str s)
{
    return scan_detect((const uint8_t *)s.p, s.n);
}

START_TEST(models_are_known_by_their_content)
{
    struct buf m = model_identity("n,4");
    ck_assert_str_eq(detect(buf_str(&m)), "onnx");
    buf_done(&m);
}
END_TEST

START_TEST(a_model_that_was_cut_short_is_still_one)
{
    struct buf m = model_identity("n,4");
    struct scan s;
    struct err e;
    m.n = 20;
    ck_assert_str_eq(detect(buf_str(&m)), "onnx");
    ck_assert_int_eq(scan(&m, &s, &e), ERR_BAD_MODEL);
    ck_assert_ptr_nonnull(strstr(e.msg, "cut short"));
    arena_done(&arena);
    buf_done(&m);
}
END_TEST

START_TEST(other_files_are_no_models)
{
    static const struct str FILES[] = {
        {NULL, 0},
        {"{\"learner\":{\"a\":1}}", 19},
        {"{L\0\0\0\0\0\0\0\7learner", 17},
        {"tree\nversion=v4\n", 16},
        {"\x80\4\x95\0\0\0\0", 7},
        {"\x89HDF\r\n\x1a\n", 8},
        {"PK\3\4\x14\0\0\0", 8},
        {"\x08\x08", 2},                                 // a version alone
        {"\x08\x08\x3a\x02\x0a\0", 6},                   // no opset
        {"\x08\0\x3a\x02\x0a\0\x42\x02\x10\x11", 10},    // version 0
        {"\x0a\x01x\x3a\x02\x0a\0\x42\x02\x10\x11", 11}, // a version that is text
    };
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++)
        ck_assert_msg(!detect(FILES[i]), "file %zu", i);
    ck_assert_str_eq(detect((struct str){"\x08\x08\x3a\x02\x0a\0\x42\x02\x10\x11", 10}), "onnx");
}
END_TEST

START_TEST(files_with_weights_are_found_wherever_they_are_named)
{
    struct buf g = pb_new(), t = pb_new(), entry = pb_new(), attribute = pb_new(), attributes = pb_new();
    struct scan s;
    struct err e;
    pb_str(&entry, 1, STR("location"));
    pb_str(&entry, 2, STR("w.bin"));
    pb_message(&t, 13, &entry);
    pb_int(&t, 14, 1);
    pb_str(&g, 5, buf_str(&t)); // an initializer
    pb_str(&entry, 1, STR("location"));
    pb_str(&entry, 2, STR("c.bin"));
    pb_message(&t, 13, &entry);
    pb_int(&t, 14, 1);
    pb_message(&attribute, 5, &t); // the value of a Constant
    pb_message(&attributes, 5, &attribute);
    pb_node(&g, "Constant", "", "", "c", &attributes);
    struct buf m = pb_model(&g);
    ck_assert_int_eq(scan(&m, &s, &e), 0);
    // The second tensor names two files: what stands last counts.
    ck_assert(str_eq(s.files->name, STR("c.bin")) && s.files->in_attribute);
    ck_assert(str_eq(s.files->next->name, STR("w.bin")) && !s.files->next->in_attribute);
    ck_assert_ptr_null(s.files->next->next);
    arena_done(&arena);
    buf_done(&attributes);
    buf_done(&m);
}
END_TEST

START_TEST(ports_without_a_shape_are_told_from_scalars)
{
    struct buf g = pb_new();
    struct scan s;
    struct err e;
    pb_node(&g, "Identity", "", "x", "y", NULL);
    pb_input(&g, "x", ELEMENT_FLOAT, "");
    pb_output(&g, "y", ELEMENT_FLOAT, "-");
    struct buf m = pb_model(&g);
    ck_assert_int_eq(scan(&m, &s, &e), 0);
    ck_assert(s.inputs->has_shape);
    ck_assert(!s.outputs->has_shape);
    arena_done(&arena);
    buf_done(&m);
}
END_TEST

START_TEST(a_zipmap_gives_its_labels_in_the_columns_order)
{
    struct buf m = model_zipmap("b,c,a");
    struct scan s;
    struct err e;
    ck_assert_int_eq(scan(&m, &s, &e), 0);
    ck_assert(str_eq(s.zipmaps->input, STR("scores")) && str_eq(s.zipmaps->output, STR("maps")));
    ck_assert_uint_eq(s.zipmaps->n_labels, 3);
    ck_assert(str_eq(s.zipmaps->labels[0], STR("b")) && str_eq(s.zipmaps->labels[2], STR("a")));
    ck_assert_int_eq(m.p[s.zipmaps->node], 1 << 3 | 2);
    ck_assert_int_eq(m.p[s.zipmaps->result], 12 << 3 | 2);
    arena_done(&arena);
    buf_done(&m);
}
END_TEST

START_TEST(a_zipmap_that_another_node_reads_stays)
{
    struct buf g = pb_new(), a = pb_new();
    struct scan s;
    struct err e;
    pb_attribute_ints(&a, "classlabels_int64s", "0,1");
    pb_node(&g, "ZipMap", "ai.onnx.ml", "x", "maps", &a);
    pb_node(&g, "SequenceLength", "", "maps", "n", NULL);
    pb_input(&g, "x", ELEMENT_FLOAT, "n,2");
    pb_port(&g, 12, "maps", ELEMENT_FLOAT, "", WRAP_MAPS);
    struct buf m = pb_model(&g);
    ck_assert_int_eq(scan(&m, &s, &e), 0);
    ck_assert_ptr_null(s.zipmaps);
    arena_done(&arena);
    buf_done(&a);
    buf_done(&m);
}
END_TEST

START_TEST(labels_may_be_numbers_one_by_one_or_packed)
{
    for (int packed = 0; packed < 2; packed++) {
        struct buf g = pb_new(), a = pb_new(), list = pb_new();
        struct scan s;
        struct err e;
        if (packed) {
            pb_str(&list, 1, STR("classlabels_int64s"));
            pb_str(&list, 8, STR("\7\xac\2"));
            pb_message(&a, 5, &list);
        } else {
            pb_attribute_ints(&a, "classlabels_int64s", "7,300");
        }
        pb_node(&g, "ZipMap", "ai.onnx.ml", "x", "maps", &a);
        pb_input(&g, "x", ELEMENT_FLOAT, "n,2");
        pb_port(&g, 12, "maps", ELEMENT_FLOAT, "", WRAP_MAPS);
        struct buf m = pb_model(&g);
        ck_assert_int_eq(scan(&m, &s, &e), 0);
        ck_assert_uint_eq(s.zipmaps->n_labels, 2);
        ck_assert(str_eq(s.zipmaps->labels[0], STR("7")) && str_eq(s.zipmaps->labels[1], STR("300")));
        arena_done(&arena);
        buf_done(&list);
        buf_done(&a);
        buf_done(&m);
    }
}
END_TEST

START_TEST(graphs_nested_too_deep_are_refused)
{
    struct buf inner = pb_new();
    struct scan s;
    struct err e;
    for (int i = 0; i < 40; i++) {
        struct buf a = pb_new(), attributes = pb_new(), g = pb_new();
        pb_message(&a, 6, &inner);
        pb_message(&attributes, 5, &a);
        pb_node(&g, "If", "", "c", "y", &attributes);
        pb_str(&inner, 1, (struct str){NULL, 0});
        buf_done(&inner);
        inner = g;
        buf_done(&a);
        buf_done(&attributes);
    }
    struct buf m = pb_model(&inner);
    ck_assert_int_eq(scan(&m, &s, &e), ERR_BAD_MODEL);
    ck_assert_ptr_nonnull(strstr(e.msg, "nested"));
    arena_done(&arena);
    buf_done(&m);
}
END_TEST

UNIT_MAIN("engine/onnx/scan", models_are_known_by_their_content, a_model_that_was_cut_short_is_still_one,
          other_files_are_no_models, files_with_weights_are_found_wherever_they_are_named,
          ports_without_a_shape_are_told_from_scalars, a_zipmap_gives_its_labels_in_the_columns_order,
          a_zipmap_that_another_node_reads_stays, labels_may_be_numbers_one_by_one_or_packed,
          graphs_nested_too_deep_are_refused)
