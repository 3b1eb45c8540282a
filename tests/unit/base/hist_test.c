// SPDX-License-Identifier: Apache-2.0
#include "base/hist.h"

#include "unit.h"

#include <stdbool.h>
#include <string.h>

START_TEST(quantiles_are_within_their_bucket)
{
    static struct hist h;
    for (uint64_t v = 1; v <= 100000; v++)
        hist_add(&h, v * 10);
    const double qs[] = {0.01, 0.5, 0.9, 0.99, 0.999};
    for (size_t i = 0; i < sizeof qs / sizeof qs[0]; i++) {
        double exact = qs[i] * 1000000, got = (double)hist_quantile(&h, qs[i]);
        ck_assert_double_ge(got, exact * 0.999);
        ck_assert_double_le(got, exact * 1.033);
    }
    ck_assert_uint_eq(hist_quantile(&h, 1), 1000000);
    ck_assert_uint_eq(h.count, 100000);
}
END_TEST

START_TEST(merged_histograms_equal_one)
{
    static struct hist a, b, both;
    for (uint64_t v = 0; v < 5000; v++) {
        hist_add(v % 2 ? &a : &b, v * v);
        hist_add(&both, v * v);
    }
    hist_merge(&a, &b);
    ck_assert_mem_eq(&a, &both, sizeof a);
}
END_TEST

// Counted one by one beside it: values around each edge, and all over.
START_TEST(counts_at_the_edges_are_exact)
{
    static struct hist h, parts[2];
    static uint64_t at_most[HIST_EDGES];
    uint64_t n = 0;
    for (unsigned i = 0; i < HIST_EDGES; i++)
        for (int64_t off = -40; off <= 40; off++, n++)
            for (unsigned k = 0; k < 1 + (unsigned)(off & 3); k++) {
                uint64_t v = hist_edge(i) + (uint64_t)(off * (int64_t)(1 + hist_edge(i) / 2000));
                hist_add(&h, v);
                hist_add_n(&parts[k & 1], v, 3);
                for (unsigned e = 0; e < HIST_EDGES; e++)
                    at_most[e] += v <= hist_edge(e);
            }
    for (uint64_t v = 1, k = 0; k < 60; v = v * 2 + k++) {
        hist_add(&h, v);
        hist_add_n(&parts[0], v, 3);
        for (unsigned e = 0; e < HIST_EDGES; e++)
            at_most[e] += v <= hist_edge(e);
    }
    hist_merge(&parts[0], &parts[1]);
    for (unsigned e = 0; e < HIST_EDGES; e++) {
        ck_assert_uint_gt(at_most[e], 0);
        ck_assert_uint_eq(hist_count_at_edge(&h, e), at_most[e]);
        ck_assert_uint_eq(hist_count_at_edge(&parts[0], e), 3 * at_most[e]);
        ck_assert(e == 0 || hist_edge(e) > hist_edge(e - 1));
    }
}
END_TEST

// ---- bounds, by whole numbers of any size ----

enum { LIMBS = 24 };

struct big {
    uint32_t limb[LIMBS];
};

static void times(struct big *x, uint64_t by)
{
    struct big high = *x;
    uint64_t carry = 0, carry_high = 0;
    for (int i = 0; i < LIMBS; i++) {
        uint64_t low = x->limb[i] * (by & UINT32_MAX) + carry;
        x->limb[i] = (uint32_t)low;
        carry = low >> 32;
        uint64_t up = high.limb[i] * (by >> 32) + carry_high;
        high.limb[i] = (uint32_t)up;
        carry_high = up >> 32;
    }
    ck_assert(carry == 0 && carry_high == 0 && high.limb[LIMBS - 1] == 0);
    carry = 0;
    for (int i = 1; i < LIMBS; i++) {
        carry += (uint64_t)x->limb[i] + high.limb[i - 1];
        x->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static struct big product(uint64_t base, int n, int n_doubled)
{
    struct big x = {.limb = {1}};
    for (int i = 0; i < n; i++)
        times(&x, base);
    for (int i = 0; i < n_doubled; i++)
        times(&x, 2);
    return x;
}

// Whether v ns are at most 2^(i / 8) s: v^8 <= 10^72 * 2^i.
static bool is_at_most(uint64_t v, int i)
{
    struct big left = product(v, 8, i < 0 ? -i : 0), right = product(1000000000, 8, i < 0 ? 0 : i);
    for (int k = LIMBS - 1; k >= 0; k--)
        if (left.limb[k] != right.limb[k])
            return left.limb[k] < right.limb[k];
    return true;
}

START_TEST(bounds_are_those_of_prometheus)
{
    for (int i = HIST_NATIVE_FIRST; i <= HIST_BOUND_LAST; i++) {
        ck_assert(is_at_most(hist_bound(i), i));
        ck_assert(!is_at_most(hist_bound(i) + 1, i));
    }
    ck_assert(hist_bound(HIST_NATIVE_FIRST) == 1 && hist_bound(HIST_NATIVE_FIRST - 1) == 0);
    ck_assert_uint_eq(hist_bound(0), 1000000000);  // 1 s
    ck_assert_uint_eq(hist_bound(-72), 1953125);   // 2^-9 s, the last that is a whole number
    ck_assert_uint_eq(hist_bound(8), 2000000000u); // 2 s
}
END_TEST

static uint64_t native_at(const struct hist_native *n, int bucket)
{
    return n->n[bucket - HIST_NATIVE_FIRST];
}

// Each value is the only one: it must be in the bucket whose limits, told by is_at_most, it lies between.
START_TEST(a_value_on_a_bound_is_below_it_and_the_next_one_is_above)
{
    static struct hist h;
    static struct hist_native native;
    for (int i = HIST_NATIVE_FIRST; i <= HIST_BOUND_LAST; i++)
        for (uint64_t v = hist_bound(i); v <= hist_bound(i) + 1; v++) {
            int bucket = i;
            while (is_at_most(v, bucket - 1))
                bucket--;
            while (!is_at_most(v, bucket))
                bucket++;
            memset(&h, 0, sizeof h);
            hist_add_n(&h, v, 3);
            hist_native(&h, &native);
            ck_assert_msg(native_at(&native, bucket) == 3, "%llu ns are not in bucket %d",
                          (unsigned long long)v, bucket);
        }
    memset(&h, 0, sizeof h);
    hist_add_n(&h, 0, 5);
    hist_add_n(&h, UINT64_MAX >> 1, 7);
    hist_native(&h, &native);
    ck_assert(native.zero == 5 && native_at(&native, HIST_BOUND_LAST + 1) == 7);
}
END_TEST

START_TEST(native_buckets_are_counted_one_by_one)
{
    static struct hist parts[2], h;
    static struct hist_native native, want;
    uint64_t x = 88172645463325252u, n = 0;
    for (int k = 0; k < 200000; k++, n++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t v = x >> (24 + x % 40);
        hist_add(&parts[k & 1], v);
        int i = HIST_NATIVE_FIRST;
        while (i <= HIST_BOUND_LAST && v > hist_bound(i))
            i++;
        if (v)
            want.n[i - HIST_NATIVE_FIRST]++;
        else
            want.zero++;
    }
    hist_merge(&h, &parts[0]);
    hist_merge(&h, &parts[1]);
    ck_assert_uint_eq(h.count, n);
    hist_native(&h, &native);
    ck_assert_mem_eq(&native, &want, sizeof native);
}
END_TEST

// As a reader in another process may see it: one number is newer than another.
START_TEST(a_histogram_that_is_being_added_to_is_merged_so_that_it_agrees)
{
    static struct hist h, merged;
    static struct hist_native native;
    hist_add_n(&h, hist_bound(-100), 4);
    hist_add_n(&h, hist_edge(3), 4);
    h.count += 2;
    for (unsigned i = 0; i < HIST_BOUNDS; i++)
        h.at_bound[i] += 3;
    for (unsigned i = 0; i < HIST_EDGES; i++)
        h.at_edge[i] += 3;
    hist_merge(&merged, &h);
    hist_native(&merged, &native);
    uint64_t sum = native.zero;
    for (unsigned i = 0; i < HIST_NATIVE_BUCKETS; i++)
        sum += native.n[i];
    ck_assert(merged.count == 8 && sum == 8 && native_at(&native, -100) == 4);
    for (unsigned e = 0; e < HIST_EDGES; e++)
        ck_assert_uint_le(hist_count_at_edge(&merged, e),
                          e + 1 < HIST_EDGES ? hist_count_at_edge(&merged, e + 1) : 8);
}
END_TEST

UNIT_MAIN("base/hist", quantiles_are_within_their_bucket, merged_histograms_equal_one,
          counts_at_the_edges_are_exact, bounds_are_those_of_prometheus,
          a_value_on_a_bound_is_below_it_and_the_next_one_is_above, native_buckets_are_counted_one_by_one,
          a_histogram_that_is_being_added_to_is_merged_so_that_it_agrees)
