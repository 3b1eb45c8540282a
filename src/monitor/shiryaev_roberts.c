// SPDX-License-Identifier: Apache-2.0
// The detector and its file.
#include "monitor/shiryaev_roberts.h"

#include "base/crc32c.h"
#include "stats/bounds.h"
#include "stats/random.h"

#include <math.h>
#include <string.h>

static const char MAGIC[8] = "SLIPSR1";
static const double Z = 1.959963984540054, P0_MAX = 0.99;
enum { HOUR_MAX = 10000000 }; // some thousand years after 1970

// A rate that is found must stay a rate.
static void expect(struct shiryaev_roberts *d, double p0, double ratio)
{
    d->p0 = fmin(p0, P0_MAX);
    d->p1 = fmin(d->p0 * ratio, (1 + d->p0) / 2);
}

static void learn(struct shiryaev_roberts *d, const struct shiryaev_rule *rule, uint64_t labels,
                  uint64_t wrong)
{
    double lo, hi;
    d->reference += labels;
    d->reference_wrong += wrong;
    if (d->reference == 0 || d->reference < rule->reference)
        return;
    stats_wilson((double)d->reference_wrong, (double)d->reference, Z, &lo, &hi);
    expect(d, hi, rule->ratio);
}

void shiryaev_roberts_add(struct shiryaev_roberts *d, const struct shiryaev_rule *rule, uint64_t labels,
                          uint64_t wrong, uint64_t seed)
{
    struct stats_random random;
    if (d->p0 <= 0 && rule->expected > 0)
        expect(d, rule->expected, rule->ratio);
    if (d->p0 <= 0) {
        learn(d, rule, labels, wrong);
        return;
    }
    double of_wrong = d->p1 / d->p0, of_right = (1 - d->p1) / (1 - d->p0), cap = SHIRYAEV_CAP * rule->limit;
    stats_random_init(&random, seed);
    d->labels += labels;
    d->wrong += wrong;
    for (uint64_t i = 0; labels && i < SHIRYAEV_BATCH_MAX; i++, labels--) {
        bool is_wrong = stats_random_unit(&random) * (double)labels < (double)wrong;
        wrong -= is_wrong;
        d->m = fmin(stats_esr_next(d->m, is_wrong ? of_wrong : of_right), cap);
        d->peak = fmax(d->peak, d->m);
    }
}

void shiryaev_encode(const struct shiryaev_kept *list, uint32_t n, struct buf *out)
{
    uint64_t count = n;
    buf_put(out, MAGIC, sizeof MAGIC);
    buf_put(out, &count, sizeof count);
    buf_put(out, list, n * sizeof *list);
    uint32_t crc = crc32c(0, out->p, out->n);
    buf_put(out, &crc, sizeof crc);
}

static bool is_rate(double p)
{
    return p >= 0 && p < 1; // false of NaN
}

static bool is_sound(const struct shiryaev_roberts *d)
{
    return d->m >= 0 && isfinite(d->m) && d->peak >= 0 && isfinite(d->peak) && is_rate(d->p0) &&
           is_rate(d->p1) && d->p0 <= P0_MAX && (d->p0 > 0 ? d->p1 > d->p0 : d->p1 <= 0) && d->until >= 0 &&
           d->until <= HOUR_MAX && d->wrong <= d->labels && d->reference_wrong <= d->reference;
}

int shiryaev_decode(struct str bytes, struct shiryaev_kept *ret, uint32_t max, uint32_t *ret_n, struct err *e)
{
    const size_t head = sizeof MAGIC + sizeof(uint64_t);
    uint32_t crc;
    uint64_t n;
    *ret_n = 0;
    if (bytes.n < head + sizeof crc || memcmp(bytes.p, MAGIC, sizeof MAGIC) != 0)
        return err_set(e, ERR_DIGEST, "these are no detectors of changes");
    memcpy(&n, bytes.p + sizeof MAGIC, sizeof n);
    memcpy(&crc, bytes.p + bytes.n - sizeof crc, sizeof crc);
    if (n > max || bytes.n != head + n * sizeof *ret + sizeof crc ||
        crc != crc32c(0, bytes.p, bytes.n - sizeof crc))
        return err_set(e, ERR_DIGEST, "the detectors of changes are damaged");
    memcpy(ret, bytes.p + head, n * sizeof *ret);
    for (uint64_t i = 0; i < n; i++)
        if (!is_sound(&ret[i].state))
            return err_set(e, ERR_DIGEST, "detector %llu of changes is damaged", (unsigned long long)i);
    *ret_n = (uint32_t)n;
    return 0;
}
