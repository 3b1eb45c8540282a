// SPDX-License-Identifier: Apache-2.0
// Adding labelled predictions to the counters of their task, and counters to each other.
#include "monitor/cohort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NS_PER_S = 1000000000 };

void cohort_done(struct cohort *c)
{
    free(c->binary);
    free(c->sizes);
    free(c->classes.pairs);
    free(c->scores);
    c->scores = NULL;
    c->binary = NULL;
    c->sizes = NULL;
    c->classes.pairs = NULL;
}

static int need_binary(struct cohort *c, struct err *e)
{
    if (!c->binary)
        c->binary = calloc(1, sizeof *c->binary);
    return c->binary ? 0 : err_set(e, ERR_NOMEM, "no memory for the counters of quality");
}

static int need_sizes(struct cohort *c, struct err *e)
{
    if (!c->sizes)
        c->sizes = calloc(COHORT_SIZES, sizeof *c->sizes);
    return c->sizes ? 0 : err_set(e, ERR_NOMEM, "no memory for the counters of quality");
}

// A version's number of classes never changes; without a signature it shows as higher ones come.
static int need_classes(struct class_counts *c, uint32_t n, struct err *e)
{
    if (n <= c->n || n > COHORT_CLASSES_MAX) {
        if (n > c->n) {
            free(c->pairs);
            c->pairs = NULL;
            c->n = n;
        }
        return 0;
    }
    uint32_t *pairs = calloc((size_t)n * n, sizeof *pairs);
    if (!pairs)
        return err_set(e, ERR_NOMEM, "no memory for the counters of quality");
    for (uint32_t i = 0; c->pairs && i < c->n; i++)
        memcpy(pairs + (size_t)i * n, c->pairs + (size_t)i * c->n, c->n * sizeof *pairs);
    free(c->pairs);
    c->pairs = pairs;
    c->n = n;
    return 0;
}

bool cohort_takes(const struct outcome *o, double truth)
{
    if (o->kind == OUTCOME_NUMBER)
        return isfinite(truth);
    return truth >= 0 && truth < o->n_classes && truth == floor(truth);
}

static int need_scores(struct cohort *c, struct err *e)
{
    if (!c->scores)
        c->scores = calloc(1, sizeof *c->scores);
    return c->scores ? 0 : err_set(e, ERR_NOMEM, "no memory for the counters of quality");
}

// The score that an estimate goes by; NaN where there is none.
static double estimated_by(const struct outcome *o)
{
    if (o->kind == OUTCOME_CLASS)
        return o->confidence > 0 ? (double)o->confidence : nan("");
    return o->score >= 0 && o->score <= 1 ? o->score : nan("");
}

void cohort_predict(struct cohort *c, const struct outcome *o)
{
    struct err ignored; // without memory it estimates of fewer
    double score = estimated_by(o);
    c->predicted++;
    c->not_scores += o->kind == OUTCOME_NUMBER && isnan(score);
    c->of_class += o->kind == OUTCOME_CLASS && !isnan(score);
    if (!isnan(score) && need_scores(c, &ignored) == 0)
        c->scores->predicted[estimate_bin(score)]++;
}

// What an older build had counted is not in the sizes, and cannot be taken from them.
static void add_cell(uint32_t *cell, int sign)
{
    if (sign > 0 || *cell)
        *cell += (uint32_t)sign;
}

bool cohort_judges(const struct outcome *o, double truth, bool *ret_wrong)
{
    bool is_score = o->kind != OUTCOME_CLASS && o->score >= 0 && o->score <= 1 && (truth == 0 || truth == 1);
    *ret_wrong = is_score ? (o->score >= 0.5) != (truth == 1) : (double)o->class != truth;
    return is_score || o->kind == OUTCOME_CLASS;
}

static void add_rank(struct class_ranks *r, unsigned rank, double p, int sign)
{
    const double least = 1e-15; // as in quality.c
    double loss = -log(fmin(fmax(p, least), 1 - least));
    uint64_t one = (uint64_t)(int64_t)sign;
    r->n += one;
    if (rank <= COHORT_RANKS)
        r->by_rank[rank - 1] += one;
    r->log_loss += sign * loss;
    r->log_loss2 += sign * loss * loss;
}

static void add_scores(struct class_scores *s, const struct outcome *o, bool is_right, int sign)
{
    uint64_t one = (uint64_t)(int64_t)sign;
    double brier = 1 - 2 * o->score + o->squares, confidence = (double)o->confidence;
    int bin = quality_calibration_bin(confidence);
    s->n += one;
    s->brier += sign * brier;
    s->brier2 += sign * brier * brier;
    s->calibration_n[bin] += one;
    s->calibration_true[bin] += is_right ? one : 0;
    s->calibration_score[bin] += sign * confidence;
}

static void add_class(struct class_counts *c, const struct outcome *o, double truth, int sign)
{
    uint64_t one = (uint64_t)(int64_t)sign; // minus one by wrapping
    uint32_t label = (uint32_t)truth;
    c->labelled += one;
    c->hits += o->class == (int32_t)label ? one : 0;
    if (c->pairs && o->class >= 0 && (uint32_t)o->class < c->n)
        c->pairs[label * c->n + (uint32_t)o->class] += (uint32_t)one;
    if (o->rank)
        add_rank(&c->ranks, o->rank, o->score, sign);
    if (o->rank && o->squares > 0)
        add_scores(&c->scores, o, o->class == (int32_t)label, sign);
}

uint64_t cohort_delay_s(const struct outcome *o, uint64_t labelled_ns)
{
    return labelled_ns > o->wall_ns ? (labelled_ns - o->wall_ns) / NS_PER_S : 0;
}

int cohort_add(struct cohort *c, const struct outcome *o, double truth, uint64_t labelled_ns, int sign,
               struct err *e)
{
    uint64_t one = (uint64_t)(int64_t)sign; // minus one by wrapping
    bool is_wrong, is_score = cohort_judges(o, truth, &is_wrong) && o->kind != OUTCOME_CLASS,
                   has_scores = is_score || (o->rank && o->squares > 0);
    int rc = is_score ? need_binary(c, e) : 0;
    if (!rc && has_scores)
        rc = need_scores(c, e);
    if (!rc && o->kind == OUTCOME_NUMBER)
        rc = need_sizes(c, e);
    if (!rc && o->kind == OUTCOME_CLASS)
        rc = need_classes(&c->classes, o->n_classes, e);
    if (rc)
        return rc;
    c->labelled += one;
    c->delays[delay_bin(cohort_delay_s(o, labelled_ns))] += one;
    if (has_scores) // of two classes: which it was; of several: whether it was right
        add_cell(&c->scores->labelled[is_score ? truth == 1 : !is_wrong][estimate_bin(estimated_by(o))],
                 sign);
    if (is_score)
        quality_add(c->binary, o->score, truth == 1, 0.5, sign);
    if (o->kind == OUTCOME_NUMBER) {
        quality_error_add(&c->errors, o->score, truth, sign);
        add_cell(&c->sizes[sketch_bucket(fabs(o->score - truth)) + 1], sign);
        c->not_binary += is_score ? 0 : one;
    }
    if (o->kind == OUTCOME_CLASS)
        add_class(&c->classes, o, truth, sign);
    return 0;
}

static void merge_scores(struct class_scores *into, const struct class_scores *from)
{
    into->n += from->n;
    into->brier += from->brier;
    into->brier2 += from->brier2;
    for (int i = 0; i < CALIBRATION_BINS; i++) {
        into->calibration_n[i] += from->calibration_n[i];
        into->calibration_true[i] += from->calibration_true[i];
        into->calibration_score[i] += from->calibration_score[i];
    }
}

static int merge_classes(struct class_counts *into, const struct class_counts *from, struct err *e)
{
    int rc = need_classes(into, from->n, e);
    if (rc)
        return rc;
    into->labelled += from->labelled;
    into->hits += from->hits;
    into->ranks.n += from->ranks.n;
    into->ranks.log_loss += from->ranks.log_loss;
    into->ranks.log_loss2 += from->ranks.log_loss2;
    for (int i = 0; i < COHORT_RANKS; i++)
        into->ranks.by_rank[i] += from->ranks.by_rank[i];
    merge_scores(&into->scores, &from->scores);
    for (uint32_t i = 0; into->pairs && from->pairs && i < from->n; i++)
        for (uint32_t k = 0; k < from->n; k++)
            into->pairs[i * into->n + k] += from->pairs[i * from->n + k];
    return 0;
}

int cohort_merge(struct cohort *into, const struct cohort *from, struct err *e)
{
    int rc = from->binary ? need_binary(into, e) : 0;
    if (!rc && from->sizes)
        rc = need_sizes(into, e);
    if (!rc && from->scores)
        rc = need_scores(into, e);
    if (!rc)
        rc = merge_classes(&into->classes, &from->classes, e);
    if (rc)
        return rc;
    into->predicted += from->predicted;
    into->labelled += from->labelled;
    into->not_binary += from->not_binary;
    into->not_scores += from->not_scores;
    into->of_class += from->of_class;
    if (from->scores)
        score_counts_merge(into->scores, from->scores);
    if (from->binary)
        quality_merge(into->binary, from->binary);
    quality_error_merge(&into->errors, &from->errors);
    for (int i = 0; from->sizes && i < COHORT_SIZES; i++)
        into->sizes[i] += from->sizes[i];
    for (int i = 0; i < COHORT_DELAYS; i++)
        into->delays[i] += from->delays[i];
    return 0;
}

const char *cohort_task(const struct cohort *c)
{
    if (c->classes.labelled)
        return "classes";
    if (c->not_binary)
        return "regression";
    return c->binary && quality_count(c->binary) ? "binary" : "none";
}

void cohort_unit(const struct cohort *c, struct ledger_unit *ret)
{
    uint64_t judged = c->classes.labelled, wrong = c->classes.labelled - c->classes.hits;
    if (c->binary) {
        judged += quality_count(c->binary);
        wrong += c->binary->n[0][1] + c->binary->n[1][0];
    }
    *ret = (struct ledger_unit){.hour = c->hour,
                                .hours = 1,
                                .predicted = c->predicted,
                                .judged = (uint32_t)judged,
                                .wrong = (uint32_t)wrong};
    for (int i = 0; i < COHORT_DELAYS; i++)
        ret->delays[i] = (uint32_t)c->delays[i];
}

bool cohort_estimate(const struct cohort *c, const struct score_map *map, struct estimate *ret)
{
    if (!c->scores || c->not_scores || c->not_binary)
        return false;
    estimate_of(c->scores, map, c->of_class == 0, ret);
    return ret->rows > 0;
}

size_t cohort_bytes(const struct cohort *c)
{
    size_t n = c->classes.n;
    return (c->binary ? sizeof *c->binary : 0) + (c->sizes ? COHORT_SIZES * sizeof *c->sizes : 0) +
           (c->classes.pairs ? n * n * sizeof *c->classes.pairs : 0) + (c->scores ? sizeof *c->scores : 0);
}
