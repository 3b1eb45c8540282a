// SPDX-License-Identifier: Apache-2.0
// The table of what is served: slots, defaults, the messages made of it.
#include "role/controller/routing.h"

#include "engine/engine.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const struct engine ENGINE = {.name = "trees"};
static struct routing table;
static struct err e;

static struct deployment *add(const char *model, uint64_t id, uint32_t version, enum deployment_state state)
{
    struct deployment *d;
    ck_assert_int_eq(routing_reserve(&table, str_of(model), &d, &e), 0);
    d->id = id;
    d->version = version;
    d->state = state;
    d->engine = &ENGINE;
    return d;
}

static void alias(const char *model, const char *name, uint32_t version)
{
    ck_assert_int_eq(routing_alias_reserve(&table, &e), 0);
    routing_alias_set(&table, str_of(model), str_of(name), version);
}

static void expect_routes(const char *json)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    routing_routes_encode(&table, &b);
    buf_putc(&b, '\0');
    ck_assert(!b.failed);
    ck_assert_str_eq(b.p, json);
    buf_done(&b);
}

START_TEST(the_champion_answers_else_the_highest_version)
{
    add("churn", 7, 1, DEPLOYMENT_READY);
    add("churn", 9, 3, DEPLOYMENT_READY);
    add("churn", 8, 2, DEPLOYMENT_READY);
    add("other", 4, 9, DEPLOYMENT_READY);
    ck_assert_uint_eq(routing_default(&table, STR("churn")), 3);
    alias("churn", "champion", 2);
    ck_assert_uint_eq(routing_default(&table, STR("churn")), 2);
    ck_assert_uint_eq(routing_default(&table, STR("other")), 9);
    ck_assert_uint_eq(routing_default(&table, STR("none")), 0);
    routing_aliases_drop(&table, STR("churn"), 2);
    ck_assert_uint_eq(routing_default(&table, STR("churn")), 3);
    routing_done(&table);
}
END_TEST

START_TEST(the_routes_name_what_is_ready_and_nothing_else)
{
    table.generation = 12;
    expect_routes("{\"generation\":12,\"ready\":true,\"models\":[]}");
    struct deployment *d;
    ck_assert_int_eq(routing_reserve(&table, STR("pushed"), &d, &e), 0); // a push that is not committed
    add("churn", 8, 2, DEPLOYMENT_READY);
    struct deployment *loading = add("churn", 9, 3, DEPLOYMENT_LOADING);
    add("churn", 7, 1, DEPLOYMENT_FAILED);
    alias("churn", "champion", 3);
    alias("churn", "challenger", 2);
    expect_routes("{\"generation\":12,\"ready\":false,\"models\":[{\"name\":\"churn\","
                  "\"versions\":[{\"version\":2,\"deployment\":8}],"
                  "\"aliases\":[{\"alias\":\"challenger\",\"deployment\":8}]}]}");
    loading->state = DEPLOYMENT_READY;
    expect_routes("{\"generation\":12,\"ready\":true,\"models\":[{\"name\":\"churn\",\"default\":9,"
                  "\"versions\":[{\"version\":2,\"deployment\":8},{\"version\":3,\"deployment\":9}],"
                  "\"aliases\":[{\"alias\":\"champion\",\"deployment\":9},"
                  "{\"alias\":\"challenger\",\"deployment\":8}]}]}");
    struct buf b;
    buf_init(&b, 1000);
    routing_deploy_encode(loading, &b);
    buf_putc(&b, '\0');
    ck_assert_str_eq(b.p,
                     "{\"deployment\":9,\"model\":\"churn\",\"version\":3,\"slot\":2,\"engine\":\"trees\"}");
    buf_done(&b);
    routing_done(&table);
}
END_TEST

START_TEST(a_freed_slot_rests_before_it_is_reused)
{
    struct deployment *d[LIMIT_DEPLOYMENTS], *more;
    for (uint32_t i = 0; i < 3; i++)
        d[i] = add("churn", i + 1, i + 1, DEPLOYMENT_READY);
    routing_drop(&table, d[1]);
    ck_assert_uint_eq(add("churn", 4, 4, DEPLOYMENT_READY)->slot, 3);
    for (uint32_t i = 4; i < LIMIT_DEPLOYMENTS; i++)
        add("churn", i + 1, i + 1, DEPLOYMENT_READY);
    ck_assert_uint_eq(add("churn", 900, 900, DEPLOYMENT_READY)->slot, 1);
    ck_assert_int_eq(routing_reserve(&table, STR("churn"), &more, &e), ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(e.msg, "256"));
    routing_done(&table);
}
END_TEST

START_TEST(a_restored_version_keeps_its_slot)
{
    struct deployment *d, *second;
    ck_assert_int_eq(routing_restore(&table, STR("churn"), 5, 1, 17, &d, &e), 0);
    ck_assert(d->slot == 17 && d->state == DEPLOYMENT_LOADING && routing_find(&table, STR("churn"), 1) == d);
    ck_assert_int_eq(routing_restore(&table, STR("churn"), 6, 2, 17, &second, &e), ERR_INTERNAL);
    ck_assert_int_eq(routing_restore(&table, STR("churn"), 6, 2, LIMIT_DEPLOYMENTS, &second, &e),
                     ERR_INTERNAL);
    ck_assert_uint_eq(add("churn", 6, 2, DEPLOYMENT_READY)->slot, 18);
    routing_done(&table);
}
END_TEST

UNIT_MAIN("role/controller/routing", the_champion_answers_else_the_highest_version,
          the_routes_name_what_is_ready_and_nothing_else, a_freed_slot_rests_before_it_is_reused,
          a_restored_version_keeps_its_slot)
