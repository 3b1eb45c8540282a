// SPDX-License-Identifier: Apache-2.0
#include "admission/admission.h"

#include "models.h"

#include <yyjson.h>

static const char GOLDEN[] = "{\"inputs\":[[1,2],[3,4],[5,6]],\"outputs\":[5,11,17]}";

static struct admission A; // large

static void admit(struct model *m, const char *golden, bool in_full)
{
    struct subject s;
    struct err e = {0};
    A = (struct admission){0};
    subject_of_model(&s, &ROWS_ENGINE, m);
    ck_assert_msg(admission_run(&A, &s, golden ? str_of(golden) : (struct str){0}, in_full, &e) == 0, "%s",
                  e.msg);
    subject_done(&s);
}

static const struct admission_step *step(const char *name)
{
    for (uint32_t i = 0; i < A.report.n_steps; i++)
        if (strcmp(A.report.steps[i].name, name) == 0)
            return &A.report.steps[i];
    return NULL;
}

#define RESULT(name, want)                                                                                   \
    ck_assert_msg(step(name) && step(name)->result == (want), "%s: %s", name,                                \
                  step(name) ? step(name)->detail : "not done")

START_TEST(a_sound_model_passes_every_step_in_order)
{
    static const char *const ORDER[] = {"golden", "batch", "stability", "extremes", "warm-up", "latency"};
    struct model m;
    model_init(&m, true, 1);
    admit(&m, GOLDEN, true);
    ck_assert_uint_eq(A.report.n_steps, 6);
    for (uint32_t i = 0; i < 6; i++)
        ck_assert_str_eq(A.report.steps[i].name, ORDER[i]);
    ck_assert(!admission_is_rejected(&A.report));
    RESULT("golden", ADMISSION_PASSED);
    RESULT("batch", ADMISSION_PASSED);
    RESULT("stability", ADMISSION_PASSED);
    RESULT("extremes", ADMISSION_WARNED); // the largest numbers add up to infinity
    ck_assert_ptr_nonnull(strstr(step("extremes")->detail, "missing values"));
    ck_assert_uint_eq(A.report.n_latency, ADMISSION_PROFILE);
    for (uint32_t i = 0; i < ADMISSION_PROFILE; i++)
        ck_assert(A.report.latency[i].p50_us > 0 && A.report.latency[i].p99_us >= A.report.latency[i].p50_us);
    model_done(&m);
}
END_TEST

START_TEST(without_golden_rows_the_step_is_skipped_and_said_so)
{
    struct model m;
    model_init(&m, false, 1);
    admit(&m, NULL, true);
    RESULT("golden", ADMISSION_SKIPPED);
    RESULT("batch", ADMISSION_PASSED);
    RESULT("latency", ADMISSION_PASSED);
    ck_assert(!A.report.has_golden);
    model_done(&m);
}
END_TEST

START_TEST(a_wrong_golden_row_rejects_and_ends_it)
{
    struct model m;
    model_init(&m, false, 1);
    admit(&m, "{\"inputs\":[[1,2],[3,4],[5,6]],\"outputs\":[5,11.5,17]}", true);
    ck_assert(admission_is_rejected(&A.report));
    ck_assert_uint_eq(A.report.n_steps, 1);
    ck_assert_int_eq(A.why.code, ERR_REJECTED);
    ck_assert_ptr_nonnull(
        strstr(A.why.msg, "golden row 1, output 'prediction': expected 11.5, got 11, 0.5 off"));
    ck_assert_str_eq(A.why.path, "$.outputs[1]");
    model_done(&m);
}
END_TEST

START_TEST(at_a_later_load_golden_rows_and_kernels_are_enough)
{
    struct model m;
    model_init(&m, false, 1);
    admit(&m, GOLDEN, false);
    ck_assert_uint_eq(A.report.n_steps, 2);
    RESULT("golden", ADMISSION_PASSED);
    RESULT("batch", ADMISSION_PASSED);
    model_done(&m);
}
END_TEST

START_TEST(rows_that_differ_among_others_reject_a_model_of_rows)
{
    struct model m;
    model_init(&m, false, 1);
    m.fault = 1e-6f; // within the tolerance, but other bits
    admit(&m, NULL, true);
    RESULT("batch", ADMISSION_FAILED);
    admit(&m, "{\"inputs\":[[1,0],[0,1]],\"outputs\":[1,2]}", true);
    RESULT("golden", ADMISSION_PASSED);
    RESULT("batch", ADMISSION_FAILED);
    ck_assert(!A.report.batched_equal);
    model_done(&m);
}
END_TEST

START_TEST(a_kernel_that_computes_other_bits_rejects)
{
    struct model m;
    model_init(&m, false, 1);
    m.bad_kernel = "quick";
    admit(&m, GOLDEN, true);
    RESULT("batch", ADMISSION_FAILED);
    ck_assert_ptr_nonnull(strstr(A.why.msg, "'quick'"));
    model_done(&m);
}
END_TEST

START_TEST(the_report_is_json)
{
    struct model m;
    struct buf b;
    model_init(&m, false, 2);
    admit(&m, "{\"inputs\":[[1,2]],\"outputs\":[[5,-5.000001]]}", true);
    snprintf(A.report.library, sizeof A.report.library, "a \"library\"");
    buf_init(&b, 1 << 16);
    admission_report_encode(&A.report, &b);
    yyjson_doc *doc = yyjson_read(b.p, b.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *golden = yyjson_obj_get(root, "golden");
    ck_assert_ptr_nonnull(doc);
    ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(root, "verdict")), "accepted");
    ck_assert_uint_eq(yyjson_arr_size(yyjson_obj_get(root, "steps")), 6);
    ck_assert_uint_eq(yyjson_arr_size(yyjson_obj_get(root, "latency")), ADMISSION_PROFILE);
    ck_assert_uint_eq(yyjson_get_uint(yyjson_obj_get(golden, "rows")), 1);
    ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(yyjson_obj_get(golden, "worst"), "output")),
                     "prediction[1]");
    ck_assert(yyjson_is_true(yyjson_obj_get(golden, "batched_equal")));
    ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(root, "library")), "a \"library\"");
    yyjson_doc_free(doc);
    buf_done(&b);
    model_done(&m);
}
END_TEST

static struct session S;

static bool admit_tensors(const char *golden, uint32_t max_batch_rows)
{
    struct subject s;
    struct err e = {0};
    A = (struct admission){0};
    ck_assert_int_eq(subject_of_session(&s, &TENSORS_RUNTIME, &S, max_batch_rows, &e), 0);
    ck_assert_msg(admission_run(&A, &s, golden ? str_of(golden) : (struct str){0}, true, &e) == 0, "%s",
                  e.msg);
    bool has_rows = s.has_rows;
    subject_done(&s);
    return has_rows;
}

START_TEST(a_model_of_tensors_passes_with_and_without_golden_rows)
{
    session_init(&S);
    ck_assert(admit_tensors("{\"inputs\":[{\"x\":[1,2],\"word\":\"abc\"},{\"x\":[5,1],\"word\":\"\"}],"
                            "\"outputs\":[{\"score\":[2,-2]},{\"label\":1}]}",
                            32));
    ck_assert(!admission_is_rejected(&A.report));
    ck_assert_uint_eq(A.report.n_steps, 6);
    ck_assert(admit_tensors(NULL, 32));
    RESULT("batch", ADMISSION_PASSED);
    ck_assert(!admit_tensors(NULL, 0));
    RESULT("batch", ADMISSION_SKIPPED);
}
END_TEST

START_TEST(rows_that_depend_on_each_other_are_warned_of_and_never_put_together)
{
    session_init(&S);
    S.of_batch = true;
    ck_assert(!admit_tensors(NULL, 32));
    RESULT("batch", ADMISSION_WARNED);
}
END_TEST

START_TEST(a_model_that_draws_is_rejected)
{
    session_init(&S);
    S.draws = true;
    (void)admit_tensors(NULL, 0);
    RESULT("stability", ADMISSION_FAILED);
}
END_TEST

START_TEST(a_model_that_takes_no_made_up_input_is_not_rejected)
{
    session_init(&S);
    S.refuses = true;
    (void)admit_tensors(NULL, 32);
    ck_assert(!admission_is_rejected(&A.report));
    RESULT("latency", ADMISSION_SKIPPED);
    (void)admit_tensors("{\"inputs\":[{\"x\":[1,2],\"word\":\"abc\"}],\"outputs\":[{\"score\":[2,-2]}]}", 32);
    RESULT("golden", ADMISSION_FAILED);
    ck_assert_ptr_nonnull(strstr(A.why.msg, "not for this model"));
}
END_TEST

UNIT_MAIN("admission/admission", a_sound_model_passes_every_step_in_order,
          without_golden_rows_the_step_is_skipped_and_said_so, a_wrong_golden_row_rejects_and_ends_it,
          at_a_later_load_golden_rows_and_kernels_are_enough,
          rows_that_differ_among_others_reject_a_model_of_rows, a_kernel_that_computes_other_bits_rejects,
          the_report_is_json, a_model_of_tensors_passes_with_and_without_golden_rows,
          rows_that_depend_on_each_other_are_warned_of_and_never_put_together, a_model_that_draws_is_rejected,
          a_model_that_takes_no_made_up_input_is_not_rejected)
