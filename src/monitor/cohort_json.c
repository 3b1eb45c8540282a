// SPDX-License-Identifier: Apache-2.0
// Metrics with their intervals of 95 %: Wilson's for shares; for F1 the same of TP / (TP + FP + FN), of which
// F1 is a rising function; for means the asymptotic confidence sequence, which holds at every look.
#include "monitor/cohort.h"

#include "stats/bounds.h"

#include <math.h>
#include <string.h>

static const double Z = 1.959963984540054, ALPHA = 0.05, T_OPT = 1000; // T_OPT: labels, where it is tightest

static void put_number(double v, struct buf *out)
{
    if (isfinite(v))
        buf_printf(out, "%.17g", v);
    else
        buf_puts(out, "null");
}

struct list {
    struct cohort_metric *at; // the next
};

static void put_metric(const char *name, double value, double low, double high, struct list *out)
{
    *out->at++ = (struct cohort_metric){name, value, low, high, 0, 0};
}

static void put_share(const char *name, double value, uint64_t k, uint64_t n, struct list *out)
{
    double lo = nan(""), hi = nan("");
    if (n)
        stats_wilson((double)k, (double)n, Z, &lo, &hi);
    *out->at++ = (struct cohort_metric){name, value, lo, hi, k, n};
}

// sum, and sum of squares, of n values.
static void put_mean(const char *name, double sum, double squares, uint64_t count, struct list *out)
{
    double n = (double)count, mean = n > 0 ? sum / n : nan(""),
           deviation = sqrt(fmax(0, squares / n - mean * mean)),
           margin = count > 1
                        ? deviation * stats_asymp_margin(n, ALPHA, stats_asymp_rho2(T_OPT, ALPHA), false)
                        : nan("");
    put_metric(name, mean, mean - margin, mean + margin, out);
}

static void put_binary(const struct quality *q, struct list *out)
{
    uint64_t tp = q->n[1][1], fp = q->n[0][1], fn = q->n[1][0], tn = q->n[0][0], n = quality_count(q);
    double lo = nan(""), hi = nan(""), auc = quality_auc(q),
           margin = Z * quality_auc_error(auc, (double)(tp + fn), (double)(fp + tn));
    put_share("accuracy", quality_accuracy(q), tp + tn, n, out);
    put_share("precision", quality_precision(q), tp, tp + fp, out);
    put_share("recall", quality_recall(q), tp, tp + fn, out);
    put_share("specificity", quality_specificity(q), tn, tn + fp, out);
    if (tp + fp + fn)
        stats_wilson((double)tp, (double)(tp + fp + fn), Z, &lo, &hi);
    put_metric("f1", quality_f1(q), 2 * lo / (1 + lo), 2 * hi / (1 + hi), out);
    put_metric("auc", auc, fmax(auc - margin, 0), fmin(auc + margin, 1), out);
    put_mean("log_loss", q->log_loss, q->log_loss2, n, out);
    put_mean("brier", q->brier, q->brier2, n, out);
    put_metric("calibration_error", quality_calibration_error(q), nan(""), nan(""), out);
}

// The q-quantile of the absolute errors, within a percent of it.
static double error_quantile(const struct cohort *c, double q)
{
    uint64_t n = 0, seen = 0;
    for (int i = 0; c->sizes && i < COHORT_SIZES; i++)
        n += c->sizes[i];
    uint64_t rank = (uint64_t)(q * (double)n);
    for (int i = 0; n && i < COHORT_SIZES; i++) {
        seen += c->sizes[i];
        if (seen > rank)
            return i ? sketch_middle(i - 1) : 0;
    }
    return nan("");
}

static void put_quantile_loss(const char *name, const struct quality_errors *r, double q, struct list *out)
{
    double squares, n = (double)r->n, mean = quality_quantile_loss(r, q, &squares);
    put_mean(name, mean * n, squares * n, r->n, out);
}

static void put_regression(const struct cohort *c, struct list *out)
{
    const struct quality_errors *r = &c->errors;
    put_mean("mae", r->absolute, r->squares, r->n, out);
    put_metric("rmse", sqrt(fmax(0, r->squares / (double)r->n)), nan(""), nan(""), out);
    put_mean("bias", r->sum, r->squares, r->n, out);
    put_metric("median_error", error_quantile(c, 0.5), nan(""), nan(""), out);
    put_metric("error_p90", error_quantile(c, 0.9), nan(""), nan(""), out);
    put_quantile_loss("quantile_loss_10", r, 0.1, out);
    put_quantile_loss("quantile_loss_90", r, 0.9, out);
}

// Brier's score is the sum over the classes, from 0 to 2; the calibration is that of the predicted class.
static void put_class_scores(const struct class_scores *s, struct list *out)
{
    double off = 0;
    for (int i = 0; i < CALIBRATION_BINS; i++)
        off += fabs(s->calibration_score[i] - (double)s->calibration_true[i]);
    put_mean("brier", s->brier, s->brier2, s->n, out);
    put_metric("calibration_error", off / (double)s->n, nan(""), nan(""), out);
}

// A share of the first k that has as many classes below it says nothing.
static void put_classes(const struct class_counts *c, struct list *out)
{
    static const char *const TOP[COHORT_RANKS] = {NULL, "top_2_accuracy", "top_3_accuracy", NULL,
                                                  "top_5_accuracy"};
    const struct class_ranks *r = &c->ranks;
    uint64_t within = 0;
    put_share("accuracy", (double)c->hits / (double)c->labelled, c->hits, c->labelled, out);
    if (r->n == 0)
        return;
    put_mean("log_loss", r->log_loss, r->log_loss2, r->n, out);
    if (c->scores.n)
        put_class_scores(&c->scores, out);
    for (uint32_t i = 0; i < COHORT_RANKS; i++) {
        within += r->by_rank[i];
        if (TOP[i] && i + 1 < c->n)
            put_share(TOP[i], (double)within / (double)r->n, within, r->n, out);
    }
}

// Means over the classes that were labelled or predicted; a share without a denominator is 0 in them.
static void put_macro(const struct class_counts *c, struct list *out)
{
    double precision = 0, recall = 0, f1 = 0;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        uint64_t labelled = 0, predicted = 0, hits = c->pairs[i * c->n + i];
        for (uint32_t k = 0; k < c->n; k++) {
            labelled += c->pairs[i * c->n + k];
            predicted += c->pairs[k * c->n + i];
        }
        seen += labelled + predicted > 0;
        precision += predicted ? (double)hits / (double)predicted : 0;
        recall += labelled ? (double)hits / (double)labelled : 0;
        f1 += labelled + predicted ? 2 * (double)hits / (double)(labelled + predicted) : 0;
    }
    put_metric("macro_precision", precision / seen, nan(""), nan(""), out);
    put_metric("macro_recall", recall / seen, nan(""), nan(""), out);
    put_metric("macro_f1", f1 / seen, nan(""), nan(""), out);
}

unsigned cohort_metrics(const struct cohort *c, struct cohort_metric ret[COHORT_METRICS_MAX])
{
    const char *task = cohort_task(c);
    struct list list = {ret};
    if (strcmp(task, "binary") == 0)
        put_binary(c->binary, &list);
    else if (strcmp(task, "classes") == 0)
        put_classes(&c->classes, &list);
    else if (c->errors.n)
        put_regression(c, &list);
    if (strcmp(task, "classes") == 0 && c->classes.pairs)
        put_macro(&c->classes, &list);
    return (unsigned)(list.at - ret);
}

bool cohort_metric_is_known(struct str name)
{
    struct str rest = STR(COHORT_METRIC_NAMES);
    while (rest.n) {
        struct str one = str_split(&rest, ',');
        if (str_eq(one, name))
            return true;
        if (rest.n) // the space
            rest = (struct str){rest.p + 1, rest.n - 1};
    }
    return false;
}

// Wilson's is for one look; who looks again and again needs one that holds at all of them.
static void put_always(const struct cohort_metric *m, struct buf *out)
{
    double lo, hi;
    stats_bernoulli_interval((double)m->k, (double)m->n, ALPHA, T_OPT, &lo, &hi);
    buf_puts(out, ",\"always_low\":");
    put_number(lo, out);
    buf_puts(out, ",\"always_high\":");
    put_number(hi, out);
}

static void put_metrics(const struct cohort *c, bool detail, struct buf *out)
{
    struct cohort_metric list[COHORT_METRICS_MAX];
    unsigned n = cohort_metrics(c, list);
    for (unsigned i = 0; i < n; i++) {
        buf_printf(out, "%s\"%s\":{\"value\":", i ? "," : "", list[i].name);
        put_number(list[i].value, out);
        if (isfinite(list[i].value) && isfinite(list[i].low) && isfinite(list[i].high)) {
            buf_puts(out, ",\"low\":");
            put_number(list[i].low, out);
            buf_puts(out, ",\"high\":");
            put_number(list[i].high, out);
        }
        if (detail && list[i].n)
            put_always(&list[i], out);
        buf_putc(out, '}');
    }
}

static void put_pairs(const struct class_counts *c, const struct str *names, uint32_t n_names,
                      struct buf *out)
{
    buf_puts(out, ",\"classes\":[");
    for (uint32_t i = 0; i < c->n; i++) {
        buf_puts(out, i ? "," : "");
        if (i < n_names)
            buf_put_json_str(out, names[i]);
        else
            buf_printf(out, "\"%u\"", i);
    }
    buf_puts(out, "],\"confusion\":[");
    for (uint32_t i = 0; i < c->n; i++) {
        buf_puts(out, i ? ",[" : "[");
        for (uint32_t k = 0; k < c->n; k++)
            buf_printf(out, "%s%u", k ? "," : "", c->pairs[i * c->n + k]);
        buf_putc(out, ']');
    }
    buf_putc(out, ']');
}

static void put_binary_pairs(const struct quality *q, struct buf *out)
{
    buf_printf(out, ",\"confusion\":[[%llu,%llu],[%llu,%llu]]", (unsigned long long)q->n[0][0],
               (unsigned long long)q->n[0][1], (unsigned long long)q->n[1][0],
               (unsigned long long)q->n[1][1]);
}

// Each (CALIBRATION_BINS).
static void put_calibration(const uint64_t *rows, const uint64_t *hits, const double *score, struct buf *out)
{
    buf_puts(out, ",\"calibration\":[");
    for (int i = 0; i < CALIBRATION_BINS; i++) {
        double lo = nan(""), hi = nan(""), n = (double)rows[i], k = (double)hits[i];
        buf_printf(out, "%s{\"rows\":%llu,\"score\":", i ? "," : "", (unsigned long long)rows[i]);
        put_number(score[i] / n, out);
        buf_puts(out, ",\"true\":");
        put_number(k / n, out);
        if (n > 0)
            stats_wilson(k, n, Z, &lo, &hi);
        buf_puts(out, ",\"low\":");
        put_number(lo, out);
        buf_puts(out, ",\"high\":");
        put_number(hi, out);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_delays(const struct cohort *c, struct buf *out)
{
    int last = COHORT_DELAYS - 1;
    while (last > 0 && !c->delays[last])
        last--;
    buf_puts(out, ",\"delays\":[");
    for (int i = 0; i <= last; i++)
        buf_printf(out, "%s{\"below_s\":%llu,\"rows\":%llu}", i ? "," : "", 1ull << i,
                   (unsigned long long)c->delays[i]);
    buf_putc(out, ']');
}

void cohort_put(const struct cohort *c, bool detail, const struct str *names, uint32_t n_names,
                struct buf *out)
{
    const char *task = cohort_task(c);
    bool is_binary = strcmp(task, "binary") == 0, has_classes = strcmp(task, "classes") == 0;
    buf_printf(out, "\"predicted\":%llu,\"labelled\":%llu,\"coverage\":", (unsigned long long)c->predicted,
               (unsigned long long)c->labelled);
    put_number(c->predicted ? fmin(1, (double)c->labelled / (double)c->predicted) : nan(""), out);
    buf_printf(out, ",\"task\":\"%s\",\"metrics\":{", task);
    put_metrics(c, detail, out);
    buf_putc(out, '}');
    if (has_classes && c->classes.ranks.n != c->labelled)
        buf_printf(out, ",\"with_probabilities\":%llu", (unsigned long long)c->classes.ranks.n);
    if (!detail)
        return;
    const struct quality *q = c->binary;
    const struct class_scores *s = &c->classes.scores;
    if (is_binary) {
        put_binary_pairs(q, out);
        put_calibration(q->calibration_n, q->calibration_true, q->calibration_score, out);
    }
    if (has_classes && s->n)
        put_calibration(s->calibration_n, s->calibration_true, s->calibration_score, out);
    if (has_classes && c->classes.pairs)
        put_pairs(&c->classes, names, n_names, out);
    put_delays(c, out);
}
