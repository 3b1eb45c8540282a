// SPDX-License-Identifier: Apache-2.0
#include "role/gateway/quarantine.h"

#include "role/gateway/gateway.h"
#include "unit.h"

static const uint64_t SECOND = 1000000000;
static struct metrics_shard shards[2];

static struct gateway gateway(unsigned index)
{
    return (struct gateway){.shards = shards, .metrics = &shards[index], .index = index, .n_gateways = 2};
}

START_TEST(what_one_gateway_adds_every_gateway_refuses_for_a_minute)
{
    struct gateway a = gateway(0), b = gateway(1);
    uint64_t h = quarantine_hash(7, "body", 4);
    ck_assert(quarantine_is_empty(&b, SECOND));
    quarantine_add(&a, h, SECOND);
    ck_assert(!quarantine_is_empty(&b, SECOND));
    ck_assert(quarantine_has(&b, h, SECOND));
    ck_assert(quarantine_has(&a, h, 60 * SECOND));
    ck_assert(!quarantine_has(&b, h + 1, SECOND));
    ck_assert(!quarantine_has(&b, h, 61 * SECOND));
    ck_assert(quarantine_is_empty(&b, 61 * SECOND));
}
END_TEST

START_TEST(the_oldest_entry_makes_room)
{
    struct gateway a = gateway(0);
    for (uint64_t i = 0; i <= QUARANTINE_ENTRIES; i++)
        quarantine_add(&a, 100 + i, SECOND);
    ck_assert(!quarantine_has(&a, 100, SECOND));
    ck_assert(quarantine_has(&a, 101, SECOND));
    ck_assert(quarantine_has(&a, 100 + QUARANTINE_ENTRIES, SECOND));
}
END_TEST

START_TEST(the_hash_knows_every_byte_the_length_and_the_deployment)
{
    char body[19] = "eighteen bytes here";
    uint64_t h = quarantine_hash(7, body, sizeof body);
    ck_assert_uint_ne(h, quarantine_hash(8, body, sizeof body));
    ck_assert_uint_ne(h, quarantine_hash(7, body, sizeof body - 1));
    for (size_t i = 0; i < sizeof body; i++) {
        body[i] ^= 1;
        ck_assert_uint_ne(h, quarantine_hash(7, body, sizeof body));
        body[i] ^= 1;
    }
}
END_TEST

UNIT_MAIN("role/gateway/quarantine", what_one_gateway_adds_every_gateway_refuses_for_a_minute,
          the_oldest_entry_makes_room, the_hash_knows_every_byte_the_length_and_the_deployment)
