// SPDX-License-Identifier: Apache-2.0
// The runtime with the real library, which setup puts into build/onnxruntime.
#include "engine/onnx/session.h"
#include "engine/runtime.h"

#include "engine/onnx/models.h"
#include "unit.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct library *library;

static const char *library_file(void)
{
    static char path[4096];
    const char *root = getenv("SOURCE_ROOT");
    snprintf(path, sizeof path, "%s/build/onnxruntime/libonnxruntime.so", root ? root : ".");
    return path;
}

// Each test is a process of its own.
static void open_library(void)
{
    struct err e;
    if (library)
        return;
    ck_assert_msg(runtime_onnx.open(library_file(), &library, &e) == 0, "%s", e.msg);
}

static struct session *load_with(struct buf *model, const struct runtime_options *o)
{
    struct err e = {0};
    struct session *s;
    open_library();
    ck_assert_msg(runtime_onnx.load(library, model->p, model->n, o, &s, &e) == 0, "%s", e.msg);
    buf_done(model);
    return s;
}

static struct session *load(struct buf model)
{
    const struct runtime_options o = {.threads = 1};
    return load_with(&model, &o);
}

static struct err refused(struct buf model, const struct runtime_options *o)
{
    struct err e = {0};
    struct session *s;
    open_library();
    int rc = runtime_onnx.load(library, model.p, model.n, o, &s, &e);
    ck_assert_int_lt(rc, 0);
    ck_assert_int_eq(rc, e.code);
    buf_done(&model);
    return e;
}

START_TEST(a_file_that_is_broken_is_a_bad_model)
{
    struct buf m = model_identity("n,4");
    m.n -= 30;
    ck_assert_int_eq(refused(m, &(struct runtime_options){0}).code, ERR_BAD_MODEL);
}
END_TEST

static struct tensor floats(const float *data, int64_t rows, int64_t columns)
{
    return (struct tensor){.dtype = DTYPE_FP32,
                           .n_dims = 2,
                           .shape = {rows, columns},
                           .data = data,
                           .bytes = (size_t)(rows * columns) * sizeof *data};
}

START_TEST(a_missing_library_is_told_in_a_sentence)
{
    struct library *l;
    struct err e;
    ck_assert_int_eq(runtime_onnx.open("/nowhere/libonnxruntime.so", &l, &e), ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(e.msg, "/nowhere/libonnxruntime.so"));
    ck_assert_ptr_nonnull(strstr(e.hint, "onnxruntime_library"));
    ck_assert_uint_lt(strlen(e.hint), sizeof e.hint - 1);
}
END_TEST

START_TEST(another_library_is_not_taken_for_it)
{
    struct library *l;
    struct err e;
    ck_assert_int_eq(runtime_onnx.open("libm.so.6", &l, &e), ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(e.msg, "libm.so.6 is not ONNX Runtime"));
}
END_TEST

START_TEST(a_library_that_is_too_old_says_which_is_needed)
{
    struct library *l;
    struct err e;
    setenv("FAKE_REAL", library_file(), 1);
    setenv("FAKE_OLD", "1", 1);
    ck_assert_int_eq(runtime_onnx.open(FAKE_LIBRARY, &l, &e), ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(e.msg, "is ONNX Runtime 1.2.3; version 1."));
    ck_assert_ptr_nonnull(strstr(e.msg, "or newer is needed"));
}
END_TEST

START_TEST(the_library_says_its_version)
{
    int major, minor;
    open_library();
    ck_assert_int_eq(sscanf(runtime_onnx.version(library), "%d.%d", &major, &minor), 2);
    ck_assert_int_ge(minor, ORT_API_VERSION);
}
END_TEST

START_TEST(an_interface_has_names_types_and_shapes)
{
    struct session *s = load(model_identity("n,4"));
    const struct interface *i = runtime_onnx.interface(s);
    ck_assert_str_eq(i->platform, "onnx_onnxv1");
    ck_assert_uint_eq(i->n_inputs, 1);
    ck_assert(str_eq(i->inputs[0].name, STR("x")) && !i->inputs[0].optional);
    ck_assert_int_eq(i->inputs[0].dtype, DTYPE_FP32);
    ck_assert_uint_eq(i->inputs[0].n_dims, 2);
    ck_assert(i->inputs[0].shape[0] == -1 && i->inputs[0].shape[1] == 4);
    ck_assert(str_eq(i->outputs[0].name, STR("y")));
    runtime_onnx.close(s);
}
END_TEST

START_TEST(results_go_into_the_room_once_their_shape_is_known)
{
    struct session *s = load(model_identity("n,4"));
    const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    _Alignas(TENSOR_ALIGN) char room[256];
    struct tensor in, out;
    struct err e;
    for (int i = 0; i < 4; i++) {
        int64_t rows = 1 + i % 2;
        in = floats(x, rows, 4);
        struct run r = {&in, 1, room, sizeof room, &out};
        ck_assert_msg(runtime_onnx.run(s, &r, &e) == 0, "%s", e.msg);
        ck_assert_int_eq(out.dtype, DTYPE_FP32);
        ck_assert(out.n_dims == 2 && out.shape[0] == rows && out.shape[1] == 4);
        ck_assert_uint_eq(out.bytes, (size_t)rows * 16);
        ck_assert_mem_eq(out.data, x, out.bytes);
        if (i > 0)
            ck_assert_ptr_eq(out.data, room);
    }
    runtime_onnx.close(s);
}
END_TEST

START_TEST(a_room_that_is_too_small_is_not_used)
{
    struct session *s = load(model_identity("n,4"));
    const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    _Alignas(TENSOR_ALIGN) char room[64] = {0}, zero[64] = {0};
    struct tensor in = floats(x, 2, 4), out;
    struct err e;
    for (int i = 0; i < 3; i++) {
        struct run r = {&in, 1, room + 1, 31 + TENSOR_ALIGN - 1 - 32, &out};
        ck_assert_int_eq(runtime_onnx.run(s, &r, &e), 0);
        ck_assert_mem_eq(out.data, x, sizeof x);
    }
    ck_assert_mem_eq(room, zero, sizeof room);
    runtime_onnx.close(s);
}
END_TEST

// y: the elements of x that are not zero, as many as there are. The model claims one per row.
static struct buf model_liar(void)
{
    struct buf g = pb_new();
    pb_node(&g, "NonZero", "", "x", "places", NULL);
    pb_node(&g, "Transpose", "", "places", "y", NULL);
    pb_input(&g, "x", ELEMENT_FLOAT, "?,2");
    pb_output(&g, "y", ELEMENT_INT64, "?,2");
    return pb_model(&g);
}

START_TEST(a_shape_that_was_foreseen_wrongly_is_no_fault_of_the_request)
{
    struct session *s = load(model_liar());
    const float one_each[4] = {1, 0, 0, 1}, all[4] = {1, 1, 1, 1}, none[4] = {0};
    const float *const DATA[] = {one_each, one_each, all, none, one_each};
    const int64_t ROWS[] = {2, 2, 4, 0, 2};
    _Alignas(TENSOR_ALIGN) char room[256];
    struct tensor out;
    struct err e;
    for (int i = 0; i < 5; i++) {
        struct tensor in = floats(DATA[i], 2, 2);
        struct run r = {&in, 1, room, sizeof room, &out};
        ck_assert_msg(runtime_onnx.run(s, &r, &e) == 0, "%s", e.msg);
        ck_assert_int_eq(out.shape[0], ROWS[i]);
        ck_assert_uint_eq(out.bytes, (size_t)ROWS[i] * 16);
        ck_assert_ptr_nonnull(out.data);
    }
    runtime_onnx.close(s);
}
END_TEST

START_TEST(scores_of_a_classifier_are_one_tensor_with_labels)
{
    struct session *s = load(model_zipmap("b,c,a"));
    const struct interface *i = runtime_onnx.interface(s);
    const struct tensor_spec *spec = &i->outputs[0];
    ck_assert_uint_eq(i->n_outputs, 1);
    ck_assert(str_eq(spec->name, STR("maps")) && spec->dtype == DTYPE_FP32);
    ck_assert(spec->n_dims == 2 && spec->shape[0] == -1 && spec->shape[1] == 3);
    ck_assert_uint_eq(spec->n_labels, 3);
    ck_assert(str_eq(spec->labels[0], STR("b")) && str_eq(spec->labels[2], STR("a")));
    const float x[6] = {0, 0, 0, 9, 0, 0};
    struct tensor in = floats(x, 2, 3), out;
    struct err e;
    struct run r = {.inputs = &in, .outputs = 1, .results = &out};
    ck_assert_msg(runtime_onnx.run(s, &r, &e) == 0, "%s", e.msg);
    const float *y = out.data;
    ck_assert(out.shape[0] == 2 && out.shape[1] == 3);
    ck_assert_float_eq_tol(y[0], 1.0F / 3, 1e-6F);
    ck_assert_float_gt(y[3], 0.99F);
    runtime_onnx.close(s);
}
END_TEST

START_TEST(a_provider_that_does_not_start_or_is_not_there_is_told)
{
    struct runtime_options o = {.provider = "cuda"};
    struct err e;
    setenv("FAKE_REAL", library_file(), 1);
    ck_assert_msg(runtime_onnx.open(FAKE_LIBRARY, &library, &e) == 0, "%s", e.msg);
    e = refused(model_identity("n,4"), &o);
    ck_assert_int_eq(e.code, ERR_UNSUPPORTED_MODEL);
    ck_assert_str_eq(e.msg,
                     "the provider 'cuda' does not start: ONNX Runtime: CUDA driver version is insufficient");
    o.provider = "openvino";
    e = refused(model_identity("n,4"), &o);
    ck_assert_str_eq(e.msg, "the provider 'openvino' is not in this ONNX Runtime, which has: cpu, cuda");
    struct buf m = model_identity("n,4");
    o.provider = "cpu";
    runtime_onnx.close(load_with(&m, &o));
}
END_TEST

// y = x * w, whose four numbers lie in the file "w.bin".
static struct buf model_of_two_files(void)
{
    struct buf g = pb_new(), w = pb_new(), entry = pb_new();
    pb_node(&g, "Mul", "", "x,w", "y", NULL);
    pb_int(&w, 1, 4);
    pb_int(&w, 2, ELEMENT_FLOAT);
    pb_str(&w, 8, STR("w"));
    pb_str(&entry, 1, STR("location"));
    pb_str(&entry, 2, STR("w.bin"));
    pb_message(&w, 13, &entry);
    pb_int(&w, 14, 1);
    pb_message(&g, 5, &w);
    pb_input(&g, "x", ELEMENT_FLOAT, "n,4");
    pb_output(&g, "y", ELEMENT_FLOAT, "n,4");
    buf_done(&w);
    buf_done(&entry);
    return pb_model(&g);
}

START_TEST(weights_in_another_file_are_given_or_refused)
{
    const float w[4] = {2, 3, 4, 5}, x[4] = {1, 1, 1, 1};
    const struct runtime_file file = {STR("w.bin"), w, sizeof w}, other = {STR("v.bin"), w, sizeof w};
    struct runtime_options o = {.files = &other, .n_files = 1};
    struct err e = refused(model_of_two_files(), &o);
    ck_assert_int_eq(e.code, ERR_UNSUPPORTED_MODEL);
    ck_assert_ptr_nonnull(strstr(e.msg, "'w.bin'"));
    ck_assert_ptr_nonnull(strstr(e.hint, "--file FILE=NAME"));
    struct buf m = model_of_two_files();
    o.files = &file;
    struct session *s = load_with(&m, &o);
    struct tensor in = floats(x, 1, 4), out;
    struct run r = {.inputs = &in, .outputs = 1, .results = &out};
    ck_assert_msg(runtime_onnx.run(s, &r, &e) == 0, "%s", e.msg);
    ck_assert_mem_eq(out.data, w, sizeof w);
    runtime_onnx.close(s);
}
END_TEST

START_TEST(a_session_of_one_thread_survives_a_fork)
{
    struct session *s = load(model_identity("n,4"));
    const float x[4] = {1, 2, 3, 4};
    struct tensor in = floats(x, 1, 4), out;
    struct run r = {.inputs = &in, .outputs = 1, .results = &out};
    struct err e;
    for (int i = 0; i < 4; i++) {
        pid_t child = fork();
        int status;
        if (child == 0) {
            for (int k = 0; k < 100; k++)
                if (runtime_onnx.run(s, &r, &e) || memcmp(out.data, x, sizeof x) != 0)
                    _exit(EXIT_FAILURE);
            _exit(EXIT_SUCCESS);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(runtime_onnx.run(s, &r, &e), 0);
    runtime_onnx.close(s);
}
END_TEST

START_TEST(strings_that_lie_about_their_length_are_refused)
{
    struct buf g = pb_new();
    pb_node(&g, "Identity", "", "x", "y", NULL);
    pb_input(&g, "x", ELEMENT_STRING, "n");
    pb_output(&g, "y", ELEMENT_STRING, "n");
    struct session *s = load(pb_model(&g));
    static const char GOOD[] = "\2\0\0\0ab\0\0\0\0", LONG[] = "\3\0\0\0ab";
    struct tensor in = {.dtype = DTYPE_BYTES,
                        .n_dims = 1,
                        .shape = {2},
                        .data = GOOD,
                        .bytes = sizeof GOOD - 1},
                  out;
    struct run r = {.inputs = &in, .outputs = 1, .results = &out};
    struct err e;
    ck_assert_msg(runtime_onnx.run(s, &r, &e) == 0, "%s", e.msg);
    ck_assert_uint_eq(out.bytes, sizeof GOOD - 1);
    ck_assert_mem_eq(out.data, GOOD, out.bytes);
    in.bytes = 6;
    ck_assert_int_eq(runtime_onnx.run(s, &r, &e), ERR_INVALID);
    in.data = LONG;
    ck_assert_int_eq(runtime_onnx.run(s, &r, &e), ERR_INVALID);
    ck_assert_int_eq(out.dtype, DTYPE_NONE);
    runtime_onnx.close(s);
}
END_TEST

START_TEST(messages_lose_their_source_files)
{
    static const struct {
        const char *in, *out;
    } CASES[] = {
        {"plain\n  text\n", "plain text"},
        {"Node. /src/onnxruntime/core/providers/cpu/math/matmul_helper.h:60 onnxruntime::common::Status "
         "onnxruntime::MatMulComputeHelper::Compute(const T&, bool) const right operand cannot broadcast",
         "Node. right operand cannot broadcast"},
        {"/a/onnxruntime/core/x.cc:1 void f(g(int)) [with T = float] bad", "bad"},
        {"/a/onnxruntime/core/x.cc:1 no signature", "no signature"},
        {"/a/onnxruntime/core/x.cc:1 f(((", "f((("},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char out[200];
        library_message(CASES[i].in, out, sizeof out);
        ck_assert_str_eq(out, CASES[i].out);
    }
    char tiny[4];
    library_message("abcdef", tiny, sizeof tiny);
    ck_assert_str_eq(tiny, "abc");
}
END_TEST

START_TEST(rows_are_tried_alone_and_together)
{
    double worst;
    struct session *s = load(model_identity("n,4"));
    ck_assert_uint_eq(runtime_onnx.probe_batching(s, &worst), 256);
    ck_assert_double_eq(worst, 0);
    runtime_onnx.close(s);
    struct buf g = pb_new(), axis = pb_new();
    pb_attribute_int(&axis, "axis", 0);
    pb_node(&g, "Softmax", "", "x", "y", &axis);
    pb_input(&g, "x", ELEMENT_FLOAT, "n,4");
    pb_output(&g, "y", ELEMENT_FLOAT, "n,4");
    s = load(pb_model(&g));
    ck_assert_uint_eq(runtime_onnx.probe_batching(s, &worst), 0);
    ck_assert_double_gt(worst, 1e-3);
    runtime_onnx.close(s);
    buf_done(&axis);
}
END_TEST

UNIT_MAIN("engine/onnx/runtime", a_missing_library_is_told_in_a_sentence, another_library_is_not_taken_for_it,
          a_library_that_is_too_old_says_which_is_needed, the_library_says_its_version,
          a_file_that_is_broken_is_a_bad_model, an_interface_has_names_types_and_shapes,
          results_go_into_the_room_once_their_shape_is_known, a_room_that_is_too_small_is_not_used,
          a_shape_that_was_foreseen_wrongly_is_no_fault_of_the_request,
          scores_of_a_classifier_are_one_tensor_with_labels,
          a_provider_that_does_not_start_or_is_not_there_is_told,
          weights_in_another_file_are_given_or_refused, a_session_of_one_thread_survives_a_fork,
          strings_that_lie_about_their_length_are_refused, messages_lose_their_source_files,
          rows_are_tried_alone_and_together)
