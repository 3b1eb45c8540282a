// SPDX-License-Identifier: Apache-2.0
// Losses clip a score to [1e-15, 1 - 1e-15], as scikit-learn did; the log loss of a sure error is 34.5 then.
#include "monitor/quality.h"

#include <math.h>

static const double LEAST = 1e-15;

int quality_score_bin(double score)
{
    score = fmin(fmax(score, LEAST), 1 - LEAST);
    double logit = log(score) - log1p(-score), at = (logit + 12) / 24 * QUALITY_BINS;
    return at < 0 ? 0 : at >= QUALITY_BINS ? QUALITY_BINS - 1 : (int)at;
}

int quality_calibration_bin(double score)
{
    return (int)fmin(fmax(score, 0) * CALIBRATION_BINS, CALIBRATION_BINS - 1);
}

void quality_add(struct quality *q, double score, bool label, double threshold, int sign)
{
    double p = fmin(fmax(score, LEAST), 1 - LEAST), loss = -log(label ? p : 1 - p);
    double miss = score - label, square = miss * miss;
    uint64_t one = (uint64_t)(int64_t)sign; // minus one by wrapping
    int bin = quality_calibration_bin(score);
    q->n[label][score >= threshold] += one;
    q->by_score[label][quality_score_bin(score)] += one;
    q->calibration_n[bin] += one;
    q->calibration_true[bin] += label ? one : 0;
    q->calibration_score[bin] += sign * score;
    q->log_loss += sign * loss;
    q->log_loss2 += sign * loss * loss;
    q->brier += sign * square;
    q->brier2 += sign * square * square;
}

void quality_merge(struct quality *into, const struct quality *from)
{
    for (int label = 0; label < 2; label++) {
        for (int predicted = 0; predicted < 2; predicted++)
            into->n[label][predicted] += from->n[label][predicted];
        for (int i = 0; i < QUALITY_BINS; i++)
            into->by_score[label][i] += from->by_score[label][i];
    }
    for (int i = 0; i < CALIBRATION_BINS; i++) {
        into->calibration_n[i] += from->calibration_n[i];
        into->calibration_true[i] += from->calibration_true[i];
        into->calibration_score[i] += from->calibration_score[i];
    }
    into->log_loss += from->log_loss;
    into->log_loss2 += from->log_loss2;
    into->brier += from->brier;
    into->brier2 += from->brier2;
}

uint64_t quality_count(const struct quality *q)
{
    return q->n[0][0] + q->n[0][1] + q->n[1][0] + q->n[1][1];
}

static double share(uint64_t part, uint64_t rest)
{
    return part + rest ? (double)part / (double)(part + rest) : nan("");
}

double quality_accuracy(const struct quality *q)
{
    return share(q->n[0][0] + q->n[1][1], q->n[0][1] + q->n[1][0]);
}

double quality_precision(const struct quality *q)
{
    return share(q->n[1][1], q->n[0][1]);
}

double quality_recall(const struct quality *q)
{
    return share(q->n[1][1], q->n[1][0]);
}

double quality_specificity(const struct quality *q)
{
    return share(q->n[0][0], q->n[0][1]);
}

double quality_f1(const struct quality *q)
{
    return share(2 * q->n[1][1], q->n[0][1] + q->n[1][0]);
}

static double mean(const struct quality *q, double sum)
{
    uint64_t n = quality_count(q);
    return n ? sum / (double)n : nan("");
}

double quality_log_loss(const struct quality *q)
{
    return mean(q, q->log_loss);
}

double quality_brier(const struct quality *q)
{
    return mean(q, q->brier);
}

double quality_calibration_error(const struct quality *q)
{
    double sum = 0;
    for (int i = 0; i < CALIBRATION_BINS; i++)
        sum += fabs(q->calibration_score[i] - (double)q->calibration_true[i]);
    return mean(q, sum);
}

double quality_auc(const struct quality *q)
{
    double below = 0, sum = 0, positives = (double)(q->n[1][0] + q->n[1][1]),
           negatives = (double)(q->n[0][0] + q->n[0][1]);
    for (int i = 0; i < QUALITY_BINS; i++) {
        double n = (double)q->by_score[0][i];
        sum += (double)q->by_score[1][i] * (below + n / 2);
        below += n;
    }
    return positives > 0 && negatives > 0 ? sum / (positives * negatives) : nan("");
}

double quality_auc_error(double auc, double n1, double n0)
{
    double square = auc * auc, q1 = auc / (2 - auc) - square, q2 = 2 * square / (1 + auc) - square;
    return sqrt((auc * (1 - auc) + (n1 - 1) * q1 + (n0 - 1) * q2) / (n1 * n0));
}

void quality_error_add(struct quality_errors *e, double predicted, double truth, int sign)
{
    double error = predicted - truth;
    e->n += (uint64_t)(int64_t)sign;
    e->sum += sign * error;
    e->absolute += sign * fabs(error);
    e->squares += sign * error * error;
    e->over_squares += error > 0 ? sign * error * error : 0;
}

void quality_error_merge(struct quality_errors *into, const struct quality_errors *from)
{
    into->n += from->n;
    into->sum += from->sum;
    into->absolute += from->absolute;
    into->squares += from->squares;
    into->over_squares += from->over_squares;
}

double quality_quantile_loss(const struct quality_errors *e, double q, double *ret_squares)
{
    double n = (double)e->n, over = (e->absolute + e->sum) / 2, under = (e->absolute - e->sum) / 2;
    *ret_squares = nan("");
    if (e->n == 0)
        return nan("");
    *ret_squares = ((1 - q) * (1 - q) * e->over_squares + q * q * (e->squares - e->over_squares)) / n;
    return ((1 - q) * over + q * under) / n;
}
