// SPDX-License-Identifier: Apache-2.0
// Means over bins. The variance of the accuracy has two parts: labels fall as they do though their
// probabilities are known, and the map was learned from some.
#include "monitor/estimate.h"

#include "monitor/quality.h"

#include <math.h>

static const double Z = 1.959963984540054;

_Static_assert(QUALITY_BINS % ESTIMATE_BINS == 0, "0.5 is an edge of both");

unsigned estimate_bin(double score)
{
    return (unsigned)quality_score_bin(score) / (QUALITY_BINS / ESTIMATE_BINS);
}

void score_counts_merge(struct score_counts *into, const struct score_counts *from)
{
    for (int i = 0; i < ESTIMATE_BINS; i++) {
        into->predicted[i] += from->predicted[i];
        into->labelled[0][i] += from->labelled[0][i];
        into->labelled[1][i] += from->labelled[1][i];
    }
}

static double middle(int bin)
{
    return 1 / (1 + exp(12 - (bin + 0.5) * 24 / ESTIMATE_BINS));
}

struct block {
    double sum, weight;
    int from; // the first bin
};

// Adjacent bins that would fall are put together until none does.
static void pool(struct score_map *m, const double sum[], const double weight[])
{
    struct block blocks[ESTIMATE_BINS + 1];
    int n = 0;
    for (int i = 0; i < ESTIMATE_BINS; i++) {
        blocks[n++] = (struct block){sum[i], weight[i], i};
        while (n > 1 &&
               blocks[n - 2].sum * blocks[n - 1].weight >= blocks[n - 1].sum * blocks[n - 2].weight) {
            blocks[n - 2].sum += blocks[n - 1].sum;
            blocks[n - 2].weight += blocks[n - 1].weight;
            n--;
        }
    }
    blocks[n].from = ESTIMATE_BINS;
    for (int b = 0; b < n; b++) {
        double p = blocks[b].sum / blocks[b].weight;
        for (int i = blocks[b].from; i < blocks[b + 1].from; i++) {
            m->p[i] = p;
            m->block[i] = (uint8_t)b;
            m->variance[i] = p * (1 - p) / blocks[b].weight;
        }
    }
}

void score_map_learn(struct score_map *m, const struct score_counts *c)
{
    double sum[ESTIMATE_BINS], weight[ESTIMATE_BINS];
    m->labels = 0;
    for (int i = 0; i < ESTIMATE_BINS; i++) {
        double right = c ? c->labelled[1][i] : 0, n = right + (c ? c->labelled[0][i] : 0);
        m->labels += (uint64_t)n;
        sum[i] = right + middle(i);
        weight[i] = n + 1;
    }
    if (m->labels >= ESTIMATE_LABELS_MIN) {
        pool(m, sum, weight);
        return;
    }
    m->labels = 0;
    for (int i = 0; i < ESTIMATE_BINS; i++) {
        m->p[i] = middle(i);
        m->variance[i] = 0;
        m->block[i] = 0;
    }
}

// [true][predicted to be]: how many are expected.
struct expected {
    double n[2][2];
};

static void put_shares(const struct expected *x, struct estimate *ret)
{
    double tp = x->n[1][1], fp = x->n[0][1], fn = x->n[1][0];
    ret->precision = tp / (tp + fp);
    ret->recall = tp / (tp + fn);
    ret->f1 = 2 * tp / (2 * tp + fp + fn);
}

static double area(const struct score_counts *c, const struct score_map *m)
{
    double below = 0, positives = 0, sum = 0;
    for (int i = 0; i < ESTIMATE_BINS; i++) {
        double of_true = c->predicted[i] * m->p[i], of_false = c->predicted[i] - of_true;
        sum += of_true * (below + of_false / 2);
        positives += of_true;
        below += of_false;
    }
    return sum / (positives * below);
}

void estimate_of(const struct score_counts *c, const struct score_map *m, bool is_binary,
                 struct estimate *ret)
{
    struct expected x = {{{0}}};
    double variance = 0, learned[ESTIMATE_BINS] = {0};
    *ret = (struct estimate){.precision = nan(""), .recall = nan(""), .f1 = nan(""), .auc = nan("")};
    for (int i = 0; i < ESTIMATE_BINS; i++) {
        double n = c->predicted[i], p = m->p[i];
        bool says_true = !is_binary || i >= ESTIMATE_BINS / 2;
        ret->rows += c->predicted[i];
        x.n[1][says_true] += n * p;
        x.n[0][says_true] += n * (1 - p);
        variance += n * p * (1 - p);
        learned[m->block[i]] += (says_true ? n : -n) * sqrt(m->variance[i]);
    }
    for (int i = 0; i < ESTIMATE_BINS; i++)
        variance += learned[i] * learned[i];
    double rows = (double)ret->rows;
    ret->accuracy = (x.n[1][1] + x.n[0][0]) / rows;
    double margin = Z * sqrt(variance) / rows;
    ret->low = fmax(0, ret->accuracy - margin);
    ret->high = fmin(1, ret->accuracy + margin);
    if (!is_binary)
        return;
    put_shares(&x, ret);
    ret->auc = area(c, m);
}
