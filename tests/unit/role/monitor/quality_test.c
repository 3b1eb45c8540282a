// SPDX-License-Identifier: Apache-2.0
// Labels early, late, twice and corrected, through the log of feedback and a process that ends at any time.
// Expected numbers of quality are scikit-learn's on the same data.
#include "role/monitor/quality.h"

#include "base/clock.h"
#include "base/crc32c.h"
#include "monitor/alert.h"
#include "monitor/cohort.h"
#include "predlog/schema.h"
#include "role/feedback_token.h"
#include "role/monitor/alert_quality.h"
#include "role/monitor/label_news.h"
#include "role/monitor/labels.h"
#include "role/monitor/quality_parts.h"
#include "unit.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yyjson.h>

enum { ROWS = 500, DEPLOYMENT = 7 };

static char folder[] = "quality-XXXXXX";
static struct monitor m = {.data_dir = folder, .log = {-1, LOG_LEVEL_ERROR, "test", -1}};
static uint64_t now;
static struct record_head drawn; // what a rollout drew of the requests that follow

static void begin(void)
{
    struct err e;
    ck_assert_int_eq(models_new(&m.models, &e), 0);
    ck_assert_int_eq(
        models_take_deploy(m.models,
                           STR("{\"deployment\":7,\"model\":\"churn\",\"version\":3,\"slot\":0,"
                               "\"engine\":\"trees\",\"log\":{\"schema\":{\"key\":\"0000000000000007\"}}}"),
                           &e),
        0);
    ck_assert_int_eq(
        models_take_routes(m.models,
                           STR("{\"ready\":true,\"models\":[{\"name\":\"churn\",\"default\":7,"
                               "\"aliases\":[],\"versions\":[{\"version\":3,\"deployment\":7}]}]}"),
                           &e),
        0);
    ck_assert_int_eq(quality_open(&m, &e), 0);
}

static void start(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    now = clock_wall_ns();
    begin();
}

static void end(void)
{
    quality_close(&m);
    models_free(m.models);
}

static void id_of(unsigned i, uint8_t ret[16])
{
    memset(ret, 0x11, 16);
    memcpy(ret, &i, sizeof i);
}

// A request of `rows` rows, each with `width` values.
static void predict(unsigned id, const float *values, int64_t rows, int64_t width)
{
    static _Alignas(8) char bytes[8192];
    struct err e;
    struct predlog_schema *s;
    struct record_plan plan;
    struct record r;
    struct record_head head = {.kind = RECORD_PREDICTION,
                               .schema = DEPLOYMENT,
                               .version = 3,
                               .wall_ns = now,
                               .status = 200,
                               .sample_weight = 1,
                               .arm = drawn.arm,
                               .weight_bp = drawn.weight_bp,
                               .bucket = drawn.bucket,
                               .flags = drawn.flags,
                               .rows = (uint32_t)rows};
    float in[64] = {0};
    struct tensor input = {
        .dtype = DTYPE_FP32, .n_dims = 2, .shape = {rows, 1}, .data = in, .bytes = 4 * rows};
    struct tensor output = {.dtype = DTYPE_FP32,
                            .n_dims = width > 1 ? 2 : 1,
                            .shape = {rows, width},
                            .data = values,
                            .bytes = (size_t)(rows * width) * sizeof *values};
    id_of(id, head.id);
    ck_assert_int_eq(predlog_schema_read(
                         STR("{\"key\":\"0000000000000007\",\"model\":\"churn\",\"version\":3,\"table\":true,"
                             "\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\"}],"
                             "\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\"}]}"),
                         &s, &e),
                     0);
    ck_assert_int_eq(predlog_plan_init(&plan, s, STR("key"), &e), 0);
    size_t n = record_write(&head, &plan, &input, 1, &output, 1, bytes, sizeof bytes);
    ck_assert_int_gt(n, 0);
    ck_assert_int_eq(record_look(bytes, n, &r, &e), 0);
    quality_record(&m, &r);
    predlog_plan_done(&plan);
    predlog_schema_free(s);
}

static int label_as(unsigned id, uint32_t row, double number, enum quality_verdict *ret, struct err *e)
{
    uint8_t bytes[16];
    struct label label = {.kind = LABEL_NUMBER, .number = number, .wall_ns = now + 60000000000};
    id_of(id, bytes);
    return quality_label(&m, bytes, row, &label, (struct str){0}, ret, e);
}

static enum quality_verdict label(unsigned id, uint32_t row, double number)
{
    struct err e;
    enum quality_verdict verdict;
    ck_assert_int_eq(label_as(id, row, number, &verdict, &e), 0);
    return verdict;
}

static double value_at(yyjson_val *v, const char *a, const char *b)
{
    v = yyjson_obj_get(v, a);
    return yyjson_get_num(*b ? yyjson_obj_get(yyjson_obj_get(v, b), "value") : v);
}

// The answer's first version; the caller frees the document.
static yyjson_doc *shown(yyjson_val **ret)
{
    struct err e;
    struct buf out;
    buf_init(&out, 1 << 20);
    ck_assert_int_eq(quality_put(&m, &(struct quality_query){.model = STR("churn")}, &out, &e), 0);
    yyjson_doc *doc = yyjson_read(out.p, out.n, 0);
    ck_assert_ptr_nonnull(doc);
    buf_done(&out);
    *ret = yyjson_arr_get(yyjson_obj_get(yyjson_doc_get_root(doc), "versions"), 0);
    return doc;
}

static void expect(const char *task, const char *const names[], const double values[], int n,
                   double tolerance)
{
    yyjson_val *v;
    yyjson_doc *doc = shown(&v);
    ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(v, "task")), task);
    for (int i = 0; i < n; i++)
        ck_assert_double_eq_tol(value_at(v, "metrics", names[i]), values[i], tolerance);
    yyjson_doc_free(doc);
}

static float score_of(int i)
{
    return (float)((((double)(i * 7919 % 1000)) + 0.5) / 1000);
}

static int truth_of(int i)
{
    return (double)((long)i * 104729 % 997) / 997 < (double)score_of(i);
}

static void expect_binary(void)
{
    static const char *const NAMES[] = {"accuracy", "precision", "recall", "f1", "log_loss", "brier"};
    static const double VALUES[] = {0.746,
                                    0.7211155378486056,
                                    0.7605042016806722,
                                    0.7402862985685071,
                                    0.5089868225800165,
                                    0.16768824992045206};
    expect("binary", NAMES, VALUES, 6, 1e-9);
    expect("binary", (const char *const[]){"auc"}, (const double[]){0.832141253447944}, 1, 2e-4);
}

START_TEST(labels_early_late_twice_and_corrected_give_scikit_learns_numbers)
{
    start();
    for (int i = 0; i < ROWS; i += 2) // half of them early
        ck_assert_int_eq(label((unsigned)i, 0, truth_of(i)), QUALITY_WAITING);
    for (int i = 0; i < ROWS; i++) {
        float s = score_of(i);
        predict((unsigned)i, &s, 1, 1);
    }
    for (int i = 1; i < ROWS; i += 2) // the others first wrong
        ck_assert_int_eq(label((unsigned)i, 0, !truth_of(i)), QUALITY_JOINED);
    for (int i = 1; i < ROWS; i += 2)
        ck_assert_int_eq(label((unsigned)i, 0, truth_of(i)), QUALITY_CORRECTED);
    for (int i = 0; i < ROWS; i++)
        ck_assert_int_eq(label((unsigned)i, 0, truth_of(i)), QUALITY_UNCHANGED);
    expect_binary();
    yyjson_val *v;
    yyjson_doc *doc = shown(&v);
    ck_assert_double_eq(value_at(v, "predicted", ""), ROWS);
    ck_assert_double_eq(value_at(v, "labelled", ""), ROWS);
    ck_assert_double_eq(value_at(v, "coverage", ""), 1);
    yyjson_doc_free(doc);
    struct buf page;
    buf_init(&page, 1 << 20);
    quality_tick(&m, UINT64_C(1) << 60);
    quality_put_metrics(&m, &page);
    buf_putc(&page, '\0');
    ck_assert_ptr_nonnull(strstr(page.p, "{model=\"churn\",version=\"3\",arm=\"stable\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(page.p, "metric=\"accuracy\",bound=\"value\"} 0.746\n"));
    ck_assert_ptr_nonnull(strstr(page.p, "metric=\"log_loss\",bound=\"high\"} 0.5"));
    buf_done(&page);
    struct quality_wrong wrong;
    ck_assert(quality_wrong(&m, DEPLOYMENT, 0, 0, &wrong));
    ck_assert_uint_eq(wrong.labelled, ROWS);
    ck_assert_uint_eq(wrong.wrong, 127); // 0.254 of them
    ck_assert(!quality_wrong(&m, DEPLOYMENT, 1, 0, &wrong));
    end();
}
END_TEST

// The alerts of the rules that are given, as ten seconds pass before each round.
static unsigned n_firing(struct alert_book *book)
{
    static uint64_t mono = 1000000000;
    const struct alert *a;
    unsigned n = 0;
    mono += UINT64_C(10000000000);
    alert_book_begin(book);
    alert_quality_read(&m, book, mono, now);
    alert_book_end(book, now);
    for (size_t i = 0; (a = alert_book_at(book, i)) != NULL; i++)
        n += a->state == ALERT_FIRING;
    return n;
}

START_TEST(alerts_of_quality_see_the_metric_that_their_rule_asks_for)
{
    static struct alert_rules r;
    struct alert_book *book;
    struct err e;
    start();
    alert_rules_init(&r);
    ck_assert_int_eq(
        alert_rules_read(
            &r,
            STR("{\"rules\":[{\"name\":\"quality_change\",\"off\":true},"
                "{\"name\":\"a\",\"kind\":\"quality\",\"metric\":\"accuracy\",\"below\":0.747},"
                "{\"name\":\"b\",\"kind\":\"quality\",\"metric\":\"accuracy\",\"below\":0.745,\"window\":"
                "\"1h\"},"
                "{\"name\":\"c\",\"kind\":\"quality\",\"metric\":\"rmse\",\"above\":0},"
                "{\"name\":\"d\",\"kind\":\"quality\",\"metric\":\"recall\",\"above\":0,\"model\":\"other\"},"
                "{\"name\":\"e\",\"kind\":\"quality\",\"metric\":\"brier\",\"above\":0.1,\"at_least\":501}]"
                "}"),
            &e),
        0);
    ck_assert_int_eq(alert_book_new(&book, &e), 0);
    alert_book_set_rules(book, &r, now);
    ck_assert_uint_eq(n_firing(book), 0);
    ck_assert_ptr_null(alert_book_at(book, 0)); // nothing was predicted
    for (int i = 0; i < ROWS; i++) {
        float s = score_of(i);
        predict((unsigned)i, &s, 1, 1);
        ck_assert_int_eq(label((unsigned)i, 0, truth_of(i)), QUALITY_JOINED);
    }
    ck_assert_uint_eq(n_firing(book), 1);
    const struct alert *a = alert_book_at(book, 0);
    ck_assert_str_eq(a->rule, "a");
    ck_assert_double_eq_tol(a->value, 0.746, 1e-9);
    ck_assert(strcmp(a->subject, "stable") == 0 && a->version == 3 && strcmp(a->model, "churn") == 0);
    for (int i = 0; i < ROWS; i++) // what was wrong becomes right
        (void)label((unsigned)i, 0, score_of(i) >= 0.5f);
    ck_assert_uint_eq(n_firing(book), 0);
    ck_assert_int_eq(alert_book_at(book, 0)->state, ALERT_RESOLVED);
    alert_book_free(book);
    end();
}
END_TEST

START_TEST(regressions_and_classes_as_scikit_learn)
{
    start();
    for (int i = 0; i < ROWS; i++) {
        float x = (float)((((double)(i * 7919 % 1000)) + 0.5) / 50);
        predict((unsigned)i, &x, 1, 1);
        ck_assert_int_eq(label((unsigned)i, 0, (double)(i * 31 % 211) / 10 - 3.0), QUALITY_JOINED);
    }
    expect("regression", (const char *const[]){"mae", "rmse", "bias"},
           (const double[]){7.202760002263636, 8.818496255743478, 2.5460000083856285}, 3, 1e-9);
    expect("regression", (const char *const[]){"quantile_loss_10", "quantile_loss_90"},
           (const double[]){4.619780004486069, 2.5829799977775663}, 2, 1e-9);
    expect("regression", (const char *const[]){"median_error"}, (const double[]){6.350000095367431}, 1,
           0.011 * 6.350000095367431); // of a bucket
    end();
    snprintf(folder, sizeof folder, "quality-XXXXXX");
    start();
    for (int i = 0; i < ROWS; i += 10) { // requests of ten rows
        float p[40];
        for (int k = 0; k < 10; k++) {
            int row = i + k, class = row * row * 13 % 10 < 6 ? row * 7 % 4 : (row * row + row / 7) % 4;
            for (int c = 0; c < 4; c++)
                p[4 * k + c] = c == class ? 0.7f : 0.1f;
        }
        predict((unsigned)i, p, 10, 4);
        for (uint32_t k = 0; k < 10; k++)
            ck_assert_int_eq(label((unsigned)i, k, (i + (int)k) * 7 % 4), QUALITY_JOINED);
    }
    static const char *const NAMES[] = {"accuracy", "macro_precision", "macro_recall", "macro_f1"};
    expect("classes", NAMES,
           (const double[]){0.688, 0.6888189088462626, 0.6880000000000001, 0.6877766793525948}, 4, 1e-9);
    struct err e;
    enum quality_verdict verdict;
    ck_assert_int_eq(label_as(0, 0, 4, &verdict, &e), ERR_INVALID);
    ck_assert_int_eq(label_as(0, 0, 0.5, &verdict, &e), ERR_INVALID);
    predict(ROWS, (const float[]){0.1f, 0.1f, 0.1f, 0.7f}, 1, 4); // one row has classes, too
    ck_assert_int_eq(label_as(ROWS, 0, 4, &verdict, &e), ERR_INVALID);
    ck_assert_int_eq(label(ROWS, 0, 3), QUALITY_JOINED);
    end();
}
END_TEST

enum { CLASSES = 6 };

// Some of a row's probabilities are equal.
static void predict_classes(int row)
{
    float p[CLASSES];
    int weights[CLASSES], sum = 0;
    for (int c = 0; c < CLASSES; c++)
        sum += weights[c] = 1 + (row * 31 + c * c * 17 + c * 7) % 23;
    for (int c = 0; c < CLASSES; c++)
        p[c] = (float)weights[c] / (float)sum;
    predict((unsigned)row, p, 1, CLASSES);
}

static int class_of(int row)
{
    return (row * 7 + row / 5) % CLASSES;
}

static void expect_classes(void)
{
    static const char *const NAMES[] = {"log_loss", "top_2_accuracy", "top_3_accuracy", "top_5_accuracy",
                                        "accuracy", "macro_f1",       "brier",          "calibration_error"};
    expect("classes", NAMES,
           (const double[]){1.9849976196963206, 0.392, 0.488, 0.8, 0.2, 0.1282347044661561,
                            0.8798454008292761, 0.06571451497077942},
           8, 1e-9);
}

static uint64_t with_probabilities(void)
{
    yyjson_val *v, *n;
    yyjson_doc *doc = shown(&v);
    n = yyjson_obj_get(v, "with_probabilities");
    uint64_t found = n ? yyjson_get_uint(n) : yyjson_get_uint(yyjson_obj_get(v, "labelled"));
    yyjson_doc_free(doc);
    return found;
}

static void without_snapshot(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/state/feedback/quality", folder);
    ck_assert_int_eq(unlink(path), 0);
}

// The rows of the first n bins, of which there is no other with any.
static void expect_calibration(const double *rows, size_t n)
{
    size_t i, max;
    yyjson_val *v, *bin;
    yyjson_doc *doc = shown(&v);
    yyjson_arr_foreach(yyjson_obj_get(v, "calibration"), i, max, bin)
    {
        double score = value_at(bin, "score", ""), low = value_at(bin, "low", ""),
               is = value_at(bin, "true", "");
        ck_assert_double_eq(value_at(bin, "rows", ""), i < n ? rows[i] : 0);
        if (i < n && rows[i] > 0)
            ck_assert(score >= (double)i / 10 && score <= (double)(i + 1) / 10 && low < is &&
                      is < value_at(bin, "high", ""));
    }
    ck_assert_uint_eq(max, 10);
    yyjson_doc_free(doc);
}

START_TEST(several_classes_have_the_log_loss_and_the_top_k_of_scikit_learn)
{
    start();
    for (int i = 0; i < ROWS; i++) {
        if (i % 4 == 0) // early
            ck_assert_int_eq(label((unsigned)i, 0, class_of(i)), QUALITY_WAITING);
        predict_classes(i);
        if (i % 4)
            ck_assert_int_eq(label((unsigned)i, 0, (class_of(i) + i % 3) % CLASSES), QUALITY_JOINED);
    }
    for (int i = 0; i < ROWS; i++)
        if (i % 4 && i % 3)
            ck_assert_int_eq(label((unsigned)i, 0, class_of(i)), QUALITY_CORRECTED);
    ck_assert_uint_eq(with_probabilities(), ROWS);
    expect_classes();
    end();
    begin(); // the snapshot
    expect_classes();
    end();
    without_snapshot();
    begin(); // what is in the log says it all
    expect_classes();
    expect_calibration((const double[]){0, 0, 369, 109, 22}, 5);
    // The probabilities are gone, so that a correction is one without.
    ck_assert_int_eq(label(1, 0, (class_of(1) + 1) % CLASSES), QUALITY_CORRECTED);
    ck_assert_uint_eq(with_probabilities(), ROWS - 1);
    struct err e;
    ck_assert_int_eq(quality_commit(&m, &e), 0);
    ck_assert_int_eq(quality_save(m.judge, &e), 0);
    end();
    begin();
    ck_assert_uint_eq(with_probabilities(), ROWS - 1);
    end();
}
END_TEST

START_TEST(shares_have_bounds_that_hold_at_every_look)
{
    yyjson_val *v, *metric;
    start();
    for (int i = 0; i < 1000; i++) {
        float s = i % 10 < 7 ? 0.9f : 0.1f;
        predict((unsigned)i, &s, 1, 1);
        (void)label((unsigned)i, 0, 1);
    }
    yyjson_doc *doc = shown(&v);
    metric = yyjson_obj_get(yyjson_obj_get(v, "metrics"), "accuracy");
    ck_assert_double_lt(yyjson_get_num(yyjson_obj_get(metric, "always_low")),
                        yyjson_get_num(yyjson_obj_get(metric, "low")) - 0.01);
    ck_assert_double_gt(yyjson_get_num(yyjson_obj_get(metric, "always_high")),
                        yyjson_get_num(yyjson_obj_get(metric, "high")) + 0.01);
    ck_assert_double_gt(yyjson_get_num(yyjson_obj_get(metric, "always_low")), 0.64);
    ck_assert_ptr_null(yyjson_obj_get(yyjson_obj_get(yyjson_obj_get(v, "metrics"), "brier"), "always_low"));
    yyjson_doc_free(doc);
    end();
}
END_TEST

START_TEST(labels_that_come_again_are_known_when_their_predictions_had_to_go)
{
    enum { AT_ONCE = 50 };
    static float rows[AT_ONCE];
    yyjson_val *v;
    start();
    for (unsigned i = 0; i < 100; i++) {
        predict(i, &(float){0.9f}, 1, 1);
        ck_assert_int_eq(label(i, 0, 1), QUALITY_JOINED);
    }
    for (unsigned i = 100; i < 100 + QUALITY_JOIN_ROWS / AT_ONCE + 1; i++)
        predict(i, rows, AT_ONCE, 1);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(label(i, 0, 1), QUALITY_UNCHANGED);
    ck_assert_int_eq(label(50, 0, 0), QUALITY_CORRECTED);
    yyjson_doc *doc = shown(&v);
    ck_assert_double_eq(value_at(v, "labelled", ""), 100);
    ck_assert_double_eq_tol(value_at(v, "metrics", "accuracy"), 0.99, 1e-12);
    yyjson_doc_free(doc);
    end();
}
END_TEST

static void expect_counts(double predicted, double labelled)
{
    yyjson_val *v;
    yyjson_doc *doc = shown(&v);
    ck_assert_double_eq(value_at(v, "predicted", ""), predicted);
    ck_assert_double_eq(value_at(v, "labelled", ""), labelled);
    yyjson_doc_free(doc);
}

// A line of the log for the prediction of that number.
static unsigned late(unsigned id, const char *members)
{
    char line[512], text[37];
    uint8_t bytes[16];
    id_of(id, bytes);
    record_id_write(bytes, text);
    int n =
        snprintf(line, sizeof line,
                 "{\"seq\":1,\"kind\":\"prediction\",\"id\":\"%s\",\"time\":\"2026-11-22T10:49:29.123456Z\","
                 "\"model\":\"churn\",\"version\":3,\"arm\":0,\"bucket\":0,\"weight_bp\":10000,"
                 "\"override\":false,%s}",
                 text, members);
    ck_assert_int_lt(n, sizeof line);
    return late_take_line(m.judge->late, (struct str){line, (size_t)n});
}

START_TEST(a_line_of_the_log_is_as_good_as_the_record)
{
    struct err e;
    struct late_counts counts;
    start();
    for (int i = 0; i < ROWS; i++) {
        char members[64];
        float s = score_of(i);
        if (i % 2)
            predict((unsigned)i, &s, 1, 1);
        ck_assert_int_eq(label((unsigned)i, 0, truth_of(i)), i % 2 ? QUALITY_JOINED : QUALITY_WAITING);
        snprintf(members, sizeof members, "\"row\":0,\"outputs\":{\"prediction\":%.9g}", (double)s);
        ck_assert_uint_eq(late((unsigned)i, members), i % 2 ? 0 : 1);
        ck_assert_uint_eq(late((unsigned)i, members), 0);
        ck_assert_int_eq(label((unsigned)i, 0, truth_of(i)), QUALITY_UNCHANGED);
    }
    expect_binary();
    late_count(m.judge->late, &counts);
    ck_assert_uint_eq(counts.queued, ROWS / 2);
    ck_assert_int_eq(quality_commit(&m, &e), 0);
    end();
    begin();
    expect_binary();
    end();
}
END_TEST

START_TEST(lines_are_read_row_by_row_or_as_whole_tensors)
{
    start();
    for (unsigned i = 0; i < 6; i++)
        for (uint32_t row = 0; row < 3; row++)
            ck_assert_int_eq(label(i, row, 1), QUALITY_WAITING);
    ck_assert_uint_eq(late(0, "\"row\":2,\"outputs\":{\"p\":[0.1,0.5,0.2,0.2]}"), 1);
    ck_assert_uint_eq(late(1, "\"outputs\":{\"p\":[[0.1,0.5,0.2,0.2],[0.5,0.1,0.2,0.2],[1,0,0,0]]}"), 3);
    // What is no number for a row, or none that can be judged, is passed over.
    ck_assert_uint_eq(late(2, "\"row\":0,\"outputs\":{\"p\":null,\"q\":\"00c0ffee00c0ffee\"}"), 0);
    ck_assert_uint_eq(late(2, "\"row\":0,\"outputs\":{\"p\":[0.9,0.9,0.9]}"), 0);
    ck_assert_uint_eq(late(2, "\"outputs\":{\"p\":[[0.1,0.9],[0.5]]}"), 0);
    ck_assert_uint_eq(late(2, "\"outputs\":null"), 0);
    ck_assert_uint_eq(late(2, "\"outputs\":{\"p\":[]}"), 0);
    ck_assert_uint_eq(late_take_line(m.judge->late, STR("{\"error\":")), 0);
    ck_assert_uint_eq(late(7, "\"row\":0,\"outputs\":{\"p\":[0.1,0.5,0.2,0.2]}"), 0); // nobody waits for it
    expect_counts(0, 4);
    expect("classes", (const char *const[]){"accuracy", "top_3_accuracy"}, (const double[]){0.5, 0.5}, 2,
           1e-12);
    end();
}
END_TEST

START_TEST(a_float_of_a_line_is_the_float_that_was_predicted)
{
    start();
    ck_assert_int_eq(label(0, 0, 5), QUALITY_WAITING);
    ck_assert_uint_eq(late(0, "\"row\":0,\"outputs\":{\"p\":0.1}"), 1);
    expect("regression", (const char *const[]){"mae"}, (const double[]){5 - (double)0.1f}, 1, 1e-12);
    end();
}
END_TEST

static int label_sealed(unsigned id, const float *values, int64_t width, double number,
                        enum quality_verdict *ret, struct err *e)
{
    struct label label = {.kind = LABEL_NUMBER, .number = number, .wall_ns = now + 60000000000};
    struct feedback_token t = {.deployment = DEPLOYMENT,
                               .version = 3,
                               .wall_ns = now,
                               .weight_bp = 10000,
                               .output = {.dtype = DTYPE_FP32,
                                          .n_dims = width > 1 ? 2 : 1,
                                          .shape = {1, width},
                                          .data = values,
                                          .bytes = (size_t)width * sizeof *values}};
    id_of(id, t.id);
    return quality_label_sealed(&m, &t, 0, &label, (struct str){0}, ret, e);
}

static enum quality_verdict by_token(unsigned id, float score, double number)
{
    struct err e;
    enum quality_verdict verdict;
    ck_assert_int_eq(label_sealed(id, &score, 1, number, &verdict, &e), 0);
    return verdict;
}

START_TEST(a_token_is_as_good_as_the_record)
{
    const float p[4] = {0.4f, 0.3f, 0.2f, 0.1f};
    struct err e;
    enum quality_verdict verdict;
    start();
    for (int i = 0; i < ROWS; i++) {
        float s = score_of(i);
        if (i % 3 == 0) // the record comes first, or last, or not at all
            predict((unsigned)i, &s, 1, 1);
        if (i % 5 == 0)
            ck_assert_int_eq(label((unsigned)i, 0, truth_of(i)), i % 3 ? QUALITY_WAITING : QUALITY_JOINED);
        ck_assert_int_eq(by_token((unsigned)i, s, truth_of(i)),
                         i % 5 || i % 3 ? QUALITY_JOINED : QUALITY_UNCHANGED);
        if (i % 3 == 1)
            predict((unsigned)i, &s, 1, 1);
        ck_assert_int_eq(by_token((unsigned)i, s, truth_of(i)), QUALITY_UNCHANGED);
        ck_assert_int_eq(label((unsigned)i, 0, truth_of(i)), QUALITY_UNCHANGED);
    }
    expect_binary();
    expect_counts((ROWS + 2) / 3 + (ROWS + 1) / 3, ROWS);
    for (int i = 0; i < ROWS; i += 3) { // a second time, from a ring that is read again
        float s = score_of(i);
        predict((unsigned)i, &s, 1, 1);
    }
    expect_counts((ROWS + 2) / 3 + (ROWS + 1) / 3, ROWS);
    ck_assert_int_eq(by_token(7, score_of(7), !truth_of(7)), QUALITY_CORRECTED);
    ck_assert_int_eq(by_token(7, score_of(7), truth_of(7)), QUALITY_CORRECTED);
    ck_assert_int_eq(quality_commit(&m, &e), 0);
    end();
    begin(); // what the log says
    expect_binary();
    ck_assert_int_eq(by_token(7, score_of(7), truth_of(7)), QUALITY_UNCHANGED);
    ck_assert_int_eq(label_sealed(ROWS, p, 4, 4, &verdict, &e), ERR_INVALID);
    ck_assert_int_eq(label_sealed(ROWS, (const float[]){0.4f, 0.4f}, 2, 1, &verdict, &e), ERR_INVALID);
    expect_counts((ROWS + 2) / 3 + (ROWS + 1) / 3, ROWS);
    end();
}
END_TEST

START_TEST(tokens_of_several_classes_bring_their_probabilities)
{
    const float p[4] = {0.4f, 0.3f, 0.2f, 0.1f};
    struct err e;
    enum quality_verdict verdict;
    start();
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(label_sealed(i, p, 4, i, &verdict, &e), 0);
        ck_assert_int_eq(verdict, QUALITY_JOINED);
    }
    ck_assert_uint_eq(with_probabilities(), 4);
    expect("classes", (const char *const[]){"accuracy", "top_2_accuracy", "top_3_accuracy"},
           (const double[]){0.25, 0.5, 0.75}, 3, 1e-12);
    end();
}
END_TEST

START_TEST(a_token_of_what_is_not_served_is_refused)
{
    struct err e;
    enum quality_verdict verdict;
    const float score = 0.5f;
    struct feedback_token t = {
        .deployment = DEPLOYMENT + 1,
        .output = {.dtype = DTYPE_FP32, .n_dims = 1, .shape = {1}, .data = &score, .bytes = sizeof score}};
    struct label label = {.kind = LABEL_NUMBER, .number = 1};
    start();
    ck_assert_int_eq(quality_label_sealed(&m, &t, 0, &label, (struct str){0}, &verdict, &e),
                     ERR_UNKNOWN_VERSION);
    t.deployment = DEPLOYMENT;
    ck_assert_int_eq(quality_label_sealed(&m, &t, 0, &label, STR("other"), &verdict, &e), ERR_CONFLICT);
    ck_assert_int_eq(quality_label_sealed(&m, &t, 1, &label, STR("churn"), &verdict, &e), ERR_INVALID);
    ck_assert_int_eq(quality_label_sealed(&m, &t, 0, &label, STR("churn"), &verdict, &e), 0);
    end();
}
END_TEST

// As a build before wrote it: one version that was right 30 times of 40. It is given twice: as it was first,
// and with what came next, where two cohorts have more between them.
struct kept_more {
    double over_squares;
    uint64_t n_ranks, by_rank[COHORT_RANKS];
    double log_loss, log_loss2;
    uint32_t n_sizes, zero;
};

static void write_older_snapshot(bool is_second)
{
    struct {
        char magic[8];
        uint64_t seq, n;
        uint64_t deployment;
        uint32_t version, n_cohorts, arm, zero;
        struct {
            int64_t hour;
            uint64_t predicted, labelled, not_binary, class_labelled, class_hits;
            uint64_t n_errors;
            double sum, absolute, squares;
            uint64_t delays[COHORT_DELAYS];
            uint32_t has_binary, n_classes, n_pairs, zero;
        } older, hour;
        uint32_t pairs[4 * 4];
    } x = {.magic = "SLIPQ1",
           .n = 1,
           .deployment = DEPLOYMENT,
           .version = 3,
           .n_cohorts = 1,
           .older.hour = -1,
           .hour = {.hour = (int64_t)(now / UINT64_C(3600000000000)),
                    .predicted = 50,
                    .labelled = 40,
                    .class_labelled = 40,
                    .class_hits = 30,
                    .n_classes = 4,
                    .n_pairs = 16},
           .pairs = {30, 10}};
    const struct kept_more more = {.n_ranks = 40, .by_rank = {30, 10}, .log_loss = 20};
    struct buf b;
    buf_init(&b, 1 << 16);
    x.magic[5] = is_second ? '2' : '1';
    buf_put(&b, &x, offsetof(__typeof__(x), hour));
    buf_put(&b, &(struct kept_more){0}, is_second ? sizeof more : 0);
    buf_put(&b, &x.hour, sizeof x.hour);
    buf_put(&b, &more, is_second ? sizeof more : 0);
    buf_put(&b, x.pairs, sizeof x.pairs);
    uint32_t crc = crc32c(0, b.p, b.n);
    buf_put(&b, &crc, sizeof crc);
    char path[64];
    snprintf(path, sizeof path, "%s/state/feedback/quality", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, b.p, b.n), b.n);
    close(fd);
    buf_done(&b);
}

START_TEST(what_an_older_build_counted_goes_on)
{
    const float p[4] = {0.7f, 0.1f, 0.1f, 0.1f};
    start();
    end();
    write_older_snapshot(true);
    begin();
    expect("classes", (const char *const[]){"accuracy", "log_loss", "top_2_accuracy"},
           (const double[]){0.75, 0.5, 1}, 3, 1e-12);
    end();
    write_older_snapshot(false);
    begin();
    expect("classes", (const char *const[]){"accuracy"}, (const double[]){0.75}, 1, 1e-12);
    ck_assert_uint_eq(with_probabilities(), 0);
    predict(1, p, 1, 4);
    ck_assert_int_eq(label(1, 0, 0), QUALITY_JOINED);
    expect("classes", (const char *const[]){"accuracy", "top_2_accuracy", "brier"},
           (const double[]){31.0 / 41, 1, 1 - 2 * 0.7 + 0.52}, 3, 1e-6);
    ck_assert_uint_eq(with_probabilities(), 1);
    end();
}
END_TEST

// The child labels, commits, and is killed; what it had said is counted when it begins again.
START_TEST(what_was_committed_survives_a_kill)
{
    start();
    end();
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct err e;
        begin();
        for (int i = 0; i < ROWS; i++) {
            float s = score_of(i);
            if (i % 3)
                predict((unsigned)i, &s, 1, 1);
            ck_assert_int_ge(label((unsigned)i, 0, i % 5 ? truth_of(i) : !truth_of(i)), 0);
            if (i % 3 == 0)
                predict((unsigned)i, &s, 1, 1);
        }
        for (int i = 0; i < ROWS; i += 5)
            ck_assert_int_eq(label((unsigned)i, 0, truth_of(i)), QUALITY_CORRECTED);
        ck_assert_int_eq(quality_commit(&m, &e), 0);
        quality_tick(&m, UINT64_C(1) << 60);
        kill(getpid(), SIGKILL);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    begin();
    expect_binary();
    ck_assert_int_eq(label(3, 0, truth_of(3)), QUALITY_UNCHANGED);
    ck_assert_int_eq(label(3, 0, !truth_of(3)), QUALITY_CORRECTED);
    ck_assert_int_eq(label(3, 0, truth_of(3)), QUALITY_CORRECTED);
    yyjson_val *v;
    yyjson_doc *doc = shown(&v);
    ck_assert_double_eq(value_at(v, "predicted", ""), ROWS);
    yyjson_doc_free(doc);
    end();
}
END_TEST

static void count(void *ctx, const struct labels_entry *x)
{
    (void)x;
    ++*(unsigned *)ctx;
}

START_TEST(a_damaged_entry_costs_itself_alone)
{
    struct err e;
    uint64_t bad;
    unsigned n = 0;
    start();
    for (unsigned i = 0; i < 100; i++)
        label(i, 0, 1);
    end();
    char path[64];
    snprintf(path, sizeof path, "%s/state/feedback/00000000000000000001.labels", folder);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, "x", 1, 96 * 40 + 33), 1);
    ck_assert_int_eq(ftruncate(fd, 96 * 99 + 50), 0);
    close(fd);
    struct labels *l;
    ck_assert_int_eq(labels_open(folder, &l, &e), 0);
    ck_assert_int_eq(labels_replay(l, count, &n, &bad, &e), 0);
    ck_assert_uint_eq(n, 98);
    ck_assert_uint_eq(bad, 2);
    struct labels_entry x = {.kind = LABELS_WAITING};
    ck_assert_int_eq(labels_append(l, &x, &e), 0);
    ck_assert_uint_eq(x.seq, 100); // the torn one was never told to be durable
    labels_close(l);
}
END_TEST

// ---- changes

enum { IN_HOUR = 100 };
static struct alert_book *watching;

static void watch_changes(void)
{
    static struct alert_rules r;
    struct err e;
    alert_rules_init(&r);
    ck_assert_int_eq(
        alert_rules_read(&r,
                         STR("{\"rules\":[{\"name\":\"quality_change\",\"above\":1000,\"at_least\":500},"
                             "{\"name\":\"stated\",\"kind\":\"quality_change\",\"above\":1e9,"
                             "\"expected\":0.02,\"ratio\":1.5}]}"),
                         &e),
        0);
    ck_assert_int_eq(alert_book_new(&watching, &e), 0);
    alert_book_set_rules(watching, &r, now);
}

// An hour in which so many of 100 predictions were wrong, each labelled after a minute.
static void pass_hour(unsigned wrong)
{
    static unsigned id;
    for (unsigned i = 0; i < IN_HOUR; i++, id++) {
        predict(id, &(float){0.9f}, 1, 1);
        ck_assert_int_eq(label(id, 0, i * 37 % IN_HOUR >= wrong), QUALITY_JOINED);
    }
    now += UINT64_C(3600000000000);
}

static enum alert_state state_of(const char *rule)
{
    const struct alert *a;
    (void)n_firing(watching);
    for (size_t i = 0; (a = alert_book_at(watching, i)) != NULL; i++)
        if (strcmp(a->rule, rule) == 0)
            return a->state;
    return ALERT_QUIET;
}

// What the answer says of the rule that learns.
static double change_says(const char *key, const char *state)
{
    yyjson_val *v;
    yyjson_doc *doc = shown(&v);
    v = yyjson_arr_get(yyjson_obj_get(v, "changes"), 0);
    ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(v, "rule")), "quality_change");
    ck_assert_str_eq(yyjson_get_str(yyjson_obj_get(v, "state")), state);
    double said = yyjson_get_num(yyjson_obj_get(v, key));
    yyjson_doc_free(doc);
    return said;
}

START_TEST(more_wrong_predictions_than_before_are_an_alert_once_their_hour_is_mature)
{
    struct err e;
    start();
    now -= now % UINT64_C(3600000000000);
    now -= 60 * UINT64_C(3600000000000);
    watch_changes();
    for (int i = 0; i < 5; i++)
        pass_hour(10);
    ck_assert_int_eq(state_of("quality_change"), ALERT_QUIET);
    ck_assert_double_eq(change_says("reference_labels", "learning"), 400); // the last hour has just ended
    for (int i = 0; i < 20; i++)
        pass_hour(10);
    ck_assert_int_eq(state_of("quality_change"), ALERT_QUIET);
    ck_assert_double_eq(change_says("reference_labels", "watching"), 500);
    ck_assert_double_eq(change_says("labels", "watching"), 1900);
    ck_assert_double_eq_tol(change_says("expected", "watching"), 0.1294219096319401, 1e-12);
    pass_hour(40);
    ck_assert_int_eq(state_of("quality_change"), ALERT_QUIET); // not mature
    now += 120 * UINT64_C(1000000000);
    ck_assert_int_eq(state_of("quality_change"), ALERT_FIRING);
    ck_assert_int_eq(state_of("stated"), ALERT_FIRING); // 0.02 was never so
    now -= 120 * UINT64_C(1000000000);
    // Neither do an hour without labels, corrections or a second look change what is known: each label is
    // judged once.
    double evidence = change_says("evidence", "alarm");
    for (unsigned i = 0; i < IN_HOUR; i++)
        predict(100000 + i, &(float){0.9f}, 1, 1);
    now += UINT64_C(3600000000000) + 300 * UINT64_C(1000000000);
    ck_assert_int_eq(state_of("quality_change"), ALERT_FIRING);
    ck_assert_double_eq(change_says("evidence", "alarm"), evidence);
    now -= 300 * UINT64_C(1000000000);
    for (unsigned i = 0; i < 26 * IN_HOUR; i++)
        (void)label(i, 0, 1);
    ck_assert_int_eq(state_of("quality_change"), ALERT_FIRING);
    ck_assert_double_eq(change_says("evidence", "alarm"), evidence);
    ck_assert_double_eq(change_says("labels", "alarm"), 2100);
    ck_assert_int_eq(quality_commit(&m, &e), 0);
    end();
    begin(); // what it knew is on the disk
    ck_assert_int_eq(state_of("quality_change"), ALERT_FIRING);
    ck_assert_double_eq(change_says("evidence", "alarm"), evidence);
    ck_assert_double_eq(change_says("labels", "alarm"), 2100);
    for (int i = 0; i < 6 && state_of("quality_change") == ALERT_FIRING; i++)
        pass_hour(10);
    ck_assert_int_eq(state_of("quality_change"), ALERT_RESOLVED);
    ck_assert_int_eq(state_of("stated"), ALERT_FIRING);
    alert_book_free(watching);
    end();
}
END_TEST

START_TEST(a_new_rule_takes_in_the_days_and_hours_that_are_kept_each_once)
{
    enum { HOURS = QUALITY_COHORTS + 28 }; // a day and four hours of the next are kept by the day
    start();
    now -= now % UINT64_C(86400000000000);
    now -= 6 * UINT64_C(86400000000000);
    for (int i = 0; i < HOURS; i++)
        pass_hour(10);
    now += 120 * UINT64_C(1000000000);
    watch_changes();
    for (int again = 0; again < 3; again++) {
        ck_assert_int_eq(state_of("quality_change"), ALERT_QUIET);
        // The first day is more than the 500 labels that it learns from.
        ck_assert_double_eq(change_says("reference_labels", "watching"), 24 * IN_HOUR);
        ck_assert_double_eq(change_says("labels", "watching"), (HOURS - 24) * IN_HOUR);
        ck_assert_double_eq(change_says("wrong", "watching"), (HOURS - 24) * IN_HOUR / 10);
        pass_hour(10); // the oldest hour joins its day, which changes nothing
        now -= UINT64_C(3600000000000);
    }
    alert_book_free(watching);
    end();
}
END_TEST

START_TEST(a_day_of_which_hours_were_judged_is_not_judged_again)
{
    start();
    now -= now % UINT64_C(86400000000000);
    now -= 6 * UINT64_C(86400000000000);
    watch_changes();
    for (int i = 0; i < 36; i++)
        pass_hour(10);
    now += 120 * UINT64_C(1000000000);
    ck_assert_int_eq(state_of("quality_change"), ALERT_QUIET);
    ck_assert_double_eq(change_says("labels", "watching"), 31 * IN_HOUR);
    for (int i = 36; i < 48 + QUALITY_COHORTS; i++) // and nobody looks meanwhile
        pass_hour(10);
    ck_assert_int_eq(state_of("quality_change"), ALERT_QUIET);
    ck_assert_double_eq(change_says("labels", "watching"), (31 + QUALITY_COHORTS) * IN_HOUR);
    alert_book_free(watching);
    end();
}
END_TEST

// What is told of delays.
static void expect_delays(void)
{
    yyjson_val *v;
    yyjson_doc *doc = shown(&v);
    yyjson_val *delay = yyjson_obj_get(v, "label_delay");
    ck_assert_double_eq_tol(value_at(delay, "final_coverage", ""), 0.8, 1e-9);
    ck_assert_double_gt(value_at(delay, "p50_s", ""), 4 * 86400);
    ck_assert_double_lt(value_at(delay, "p90_s", ""), 6.1 * 86400);
    ck_assert_double_eq(value_at(delay, "mature_after_s", ""), 1 << 19);
    yyjson_doc_free(doc);
}

START_TEST(labels_that_take_days_are_judged_by_the_day)
{
    start();
    now -= now % UINT64_C(86400000000000);
    now -= 30 * UINT64_C(86400000000000);
    uint64_t first = now;
    watch_changes();
    for (unsigned day = 0; day < 24; day++)
        for (unsigned i = 0; i < IN_HOUR; i++) {
            now = first + day * UINT64_C(86400000000000) + i * UINT64_C(600000000000);
            predict(day * IN_HOUR + i, &(float){0.9f}, 1, 1);
        }
    // Five days later, or never
    for (unsigned day = 0; day < 24; day++)
        for (unsigned i = 0; i < IN_HOUR; i++) {
            now = first + (day + 5) * UINT64_C(86400000000000);
            if (i % 5)
                ck_assert_int_eq(label(day * IN_HOUR + i, 0, i % (day < 14 ? 10 : 3) != 0), QUALITY_JOINED);
        }
    now = first + 29 * UINT64_C(86400000000000);
    ck_assert_int_eq(state_of("quality_change"), ALERT_FIRING);
    expect_delays();
    ck_assert_double_gt(change_says("labels", "alarm"), 500);
    end();
    begin();
    ck_assert_int_eq(state_of("quality_change"), ALERT_FIRING);
    expect_delays();
    alert_book_free(watching);
    end();
}
END_TEST

START_TEST(an_estimate_without_labels_learns_from_those_there_are)
{
    yyjson_val *v, *x;
    start();
    for (unsigned i = 0; i < 1000; i++)
        predict(i, &(float){i % 4 ? 0.95f : 0.1f}, 1, 1);
    yyjson_doc *doc = shown(&v);
    x = yyjson_obj_get(v, "estimate");
    ck_assert_double_eq(value_at(x, "rows", ""), 1000);
    ck_assert_double_eq(value_at(x, "learned_from", ""), 0);
    ck_assert_double_eq_tol(value_at(x, "accuracy", ""), 0.9375, 0.002);
    ck_assert_double_eq_tol(value_at(x, "precision", ""), 0.95, 0.002);
    ck_assert_double_eq_tol(value_at(x, "recall", ""), 0.9661, 0.002);
    yyjson_doc_free(doc);
    for (unsigned i = 0; i < 400; i++) // of both it is true seven times of ten, and two
        (void)label(i, 0, i / 4 % 10 < (i % 4 ? 7 : 2));
    for (int again = 0; again < 2; again++) {
        doc = shown(&v);
        x = yyjson_obj_get(v, "estimate");
        ck_assert_double_eq(value_at(x, "learned_from", ""), 400);
        ck_assert_double_eq_tol(value_at(x, "accuracy", ""), 0.725, 0.01);
        ck_assert_double_eq_tol(value_at(x, "precision", ""), 0.7, 0.01);
        ck_assert_ptr_nonnull(yyjson_obj_get(yyjson_arr_get(yyjson_obj_get(v, "cohorts"), 0), "estimate"));
        yyjson_doc_free(doc);
        end();
        begin(); // scores are in no log, but in what is saved
    }
    predict(2000, &(float){17}, 1, 1); // no probability: a regression
    doc = shown(&v);
    ck_assert_ptr_null(yyjson_obj_get(v, "estimate"));
    yyjson_doc_free(doc);
    end();
}
END_TEST

// What rollouts are told, as it stands in the message.
static void news_are(const char *json)
{
    struct buf out;
    char expected[512], *p = expected;
    for (; *json; json++)
        if (*json == '@') // the time of the prediction
            p += snprintf(p, 32, "%llu", (unsigned long long)now);
        else
            *p++ = *json;
    *p = '\0';
    buf_init(&out, 4096);
    (void)label_news_put(m.label_news, 0, &out);
    buf_putc(&out, '\0');
    ck_assert_str_eq(out.p, expected);
    buf_done(&out);
}

START_TEST(rollouts_are_told_of_the_first_label_of_what_they_drew)
{
    const float right[] = {0.2f, 0.8f}, wrong[] = {0.7f}, far[] = {17};
    start();
    predict(1, wrong, 1, 1); // drawn by nobody
    label(1, 0, 0);
    drawn = (struct record_head){.arm = 1, .weight_bp = 2000, .bucket = 77};
    predict(2, wrong, 1, 1);
    predict(3, right, 2, 1);
    predict(4, far, 1, 1); // no decision
    label(2, 0, 0);
    label(2, 0, 1); // corrected
    label(3, 1, 0); // not the first row
    label(3, 0, 0);
    label(4, 0, 3);
    drawn = (struct record_head){.weight_bp = 8000, .bucket = 9000};
    label(5, 0, 1); // before its prediction
    predict(5, wrong, 1, 1);
    drawn.flags = RECORD_OVERRIDE;
    predict(6, wrong, 1, 1);
    label(6, 0, 0);
    drawn = (struct record_head){0};
    news_are("{\"labels\":[[7,1,2000,77,@,1],[7,1,2000,77,@,0],[7,0,8000,9000,@,0]]}");
    label_news_tell(&m); // to nobody: they wait
    news_are("{\"labels\":[[7,1,2000,77,@,1],[7,1,2000,77,@,0],[7,0,8000,9000,@,0]]}");
    end();
}
END_TEST

static uint64_t predicted_of(uint8_t arm, int64_t hour, uint64_t *ret_untold)
{
    uint64_t n = 0;
    *ret_untold = 0;
    for (unsigned i = 0; i < m.judge->n_subjects; i++) {
        const struct subject *s = m.judge->subjects[i];
        for (uint32_t k = 0; k < s->n; k++) {
            if (s->arm != arm || s->cohorts[k].hour != hour)
                continue;
            n += s->cohorts[k].predicted;
            *ret_untold += s->untold[k];
        }
    }
    return n;
}

START_TEST(predictions_are_counted_by_arm_and_hour_in_whatever_order_they_come)
{
    static const unsigned ORDER[] = {0, 0, 1, 0, 2, 2, 3, 0, 1, 1, 3, 2, 0, 4, 4, 0, 5, 4, 3, 1};
    const uint64_t HOUR = UINT64_C(3600000000000);
    enum { ARMS = 2, HOURS = 3, N = sizeof ORDER / sizeof ORDER[0] };
    uint64_t wanted[ARMS * HOURS] = {0};
    float score = .25f;
    start();
    uint64_t base = now / HOUR * HOUR;
    for (unsigned i = 0; i < N; i++) {
        drawn.arm = ORDER[i] % ARMS;
        now = base + HOUR - ORDER[i] / ARMS * HOUR + (i % 2 ? HOUR - 1 : 0); // also of hours that were before
        wanted[ORDER[i]]++;
        predict(i, &score, 1, 1);
    }
    for (unsigned k = 0; k < ARMS * HOURS; k++) {
        int64_t hour = (int64_t)(base / HOUR) + 1 - k / ARMS;
        uint64_t untold;
        ck_assert_uint_eq(predicted_of(k % ARMS, hour, &untold), wanted[k]);
        ck_assert_uint_eq(untold, wanted[k]);
    }
    quality_forget(m.judge); // what the one before was counted in is gone
    ck_assert_ptr_null(m.judge->last);
    predict(N, &score, 1, 1);
    ck_assert_uint_eq(m.judge->n_subjects, 1);
    end();
}
END_TEST

UNIT_MAIN("role/monitor/quality", labels_early_late_twice_and_corrected_give_scikit_learns_numbers,
          alerts_of_quality_see_the_metric_that_their_rule_asks_for, regressions_and_classes_as_scikit_learn,
          several_classes_have_the_log_loss_and_the_top_k_of_scikit_learn,
          shares_have_bounds_that_hold_at_every_look,
          labels_that_come_again_are_known_when_their_predictions_had_to_go,
          a_line_of_the_log_is_as_good_as_the_record, lines_are_read_row_by_row_or_as_whole_tensors,
          a_float_of_a_line_is_the_float_that_was_predicted, a_token_is_as_good_as_the_record,
          tokens_of_several_classes_bring_their_probabilities, a_token_of_what_is_not_served_is_refused,
          what_an_older_build_counted_goes_on, what_was_committed_survives_a_kill,
          a_damaged_entry_costs_itself_alone,
          more_wrong_predictions_than_before_are_an_alert_once_their_hour_is_mature,
          a_new_rule_takes_in_the_days_and_hours_that_are_kept_each_once,
          a_day_of_which_hours_were_judged_is_not_judged_again, labels_that_take_days_are_judged_by_the_day,
          an_estimate_without_labels_learns_from_those_there_are,
          rollouts_are_told_of_the_first_label_of_what_they_drew,
          predictions_are_counted_by_arm_and_hour_in_whatever_order_they_come)
