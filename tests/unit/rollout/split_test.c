// SPDX-License-Identifier: Apache-2.0
#include "rollout/split.h"

#include "unit.h"

#include <math.h>
#include <stdio.h>

enum { KEYS = 1000000 };

static const struct siphash_key SALT = {0x0123456789abcdefu, 0xfedcba9876543210u};

static uint32_t bucket_of_user(struct siphash_key salt, int i)
{
    char key[24];
    int n = snprintf(key, sizeof key, "user-%d", i);
    return split_bucket(salt, (struct str){key, (size_t)n});
}

START_TEST(a_million_keys_follow_the_weight)
{
    const uint32_t weights[] = {100, 500, 1000, 2500, 5000, 9500};
    size_t in[6] = {0}, drawn[6] = {0};
    for (int i = 0; i < KEYS; i++) {
        uint32_t sticky = bucket_of_user(SALT, i), draw = split_draw(SALT, (uint64_t)i);
        for (int k = 0; k < 6; k++) {
            in[k] += split_arm(sticky, &weights[k], 1) == 0;
            drawn[k] += split_arm(draw, &weights[k], 1) == 0;
        }
    }
    for (int k = 0; k < 6; k++) { // 0.2 points of the traffic
        ck_assert_double_le(fabs((double)in[k] / KEYS - weights[k] / 1e4), 0.002);
        ck_assert_double_le(fabs((double)drawn[k] / KEYS - weights[k] / 1e4), 0.002);
    }
}
END_TEST

START_TEST(nobody_leaves_the_canary_when_its_weight_grows)
{
    for (int i = 0; i < 20000; i++) {
        uint32_t bucket = bucket_of_user(SALT, i), before = 1;
        for (uint32_t weight = 0; weight <= SPLIT_BUCKETS; weight += 50) {
            uint32_t arm = split_arm(bucket, &weight, 1);
            ck_assert_uint_le(arm, before);
            before = arm;
        }
        ck_assert_uint_eq(before, 0);
    }
}
END_TEST

START_TEST(another_salt_chooses_other_keys)
{
    int both = 0;
    struct siphash_key other = {SALT.k0 + 1, SALT.k1};
    for (int i = 0; i < 100000; i++)
        both += bucket_of_user(SALT, i) < 1000 && bucket_of_user(other, i) < 1000;
    ck_assert_int_ge(both, 850); // a tenth of a tenth
    ck_assert_int_le(both, 1150);
}
END_TEST

START_TEST(several_arms_share_the_buckets_in_order)
{
    const uint32_t weights[] = {1000, 0, 2500};
    ck_assert_uint_eq(split_arm(0, weights, 3), 0);
    ck_assert_uint_eq(split_arm(999, weights, 3), 0);
    ck_assert_uint_eq(split_arm(1000, weights, 3), 2);
    ck_assert_uint_eq(split_arm(3499, weights, 3), 2);
    ck_assert_uint_eq(split_arm(3500, weights, 3), 3);
    ck_assert_uint_eq(split_arm(9999, weights, 3), 3);
    ck_assert_uint_eq(split_arm(0, weights, 0), 0);
}
END_TEST

START_TEST(a_key_keeps_its_bucket_from_build_to_build)
{
    // Computed apart from this code. Another value would move users between arms at an upgrade.
    ck_assert_uint_eq(split_bucket(SALT, STR("user-1")), 425);
    ck_assert_uint_eq(split_bucket(SALT, STR("")), 7183);
    ck_assert_uint_eq(split_draw(SALT, 0), 8220);
}
END_TEST

UNIT_MAIN("rollout/split", a_million_keys_follow_the_weight, nobody_leaves_the_canary_when_its_weight_grows,
          another_salt_chooses_other_keys, several_arms_share_the_buckets_in_order,
          a_key_keeps_its_bucket_from_build_to_build)
