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

START_TEST(the_champion_answers_else_the_newest_version)
{
    add("churn", 7, 1, DEPLOYMENT_READY);
    struct deployment *third = add("churn", 9, 3, DEPLOYMENT_READY);
    add("churn", 8, 2, DEPLOYMENT_READY);
    routing_set_newest(&table, add("other", 4, 9, DEPLOYMENT_READY));
    ck_assert_uint_eq(routing_default(&table, STR("churn")),
                      0); // a newer one may be there that is not loaded
    routing_set_newest(&table, routing_find(&table, STR("churn"), 1));
    routing_set_newest(&table, third);
    ck_assert_uint_eq(routing_default(&table, STR("churn")), 3);
    routing_set_newest(&table, routing_find(&table, STR("churn"), 2)); // pushed before 3, ready after it
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

START_TEST(aliases_are_found_however_they_came)
{
    alias("b", "two", 2);
    alias("b", "one", 1);
    alias("a", "two", 7);
    alias("b", "champion", 1);
    alias("b", "one", 3);
    ck_assert_uint_eq(table.n_aliases, 4);
    ck_assert_uint_eq(routing_alias_target(&table, STR("b"), STR("one")), 3);
    ck_assert_uint_eq(routing_alias_target(&table, STR("a"), STR("two")), 7);
    ck_assert(routing_has_alias(&table, STR("b"), 1) && !routing_has_alias(&table, STR("a"), 1));
    routing_alias_remove(&table, STR("b"), STR("champion"));
    routing_alias_remove(&table, STR("b"), STR("none"));
    ck_assert_uint_eq(routing_alias_target(&table, STR("b"), STR("champion")), 0);
    ck_assert_uint_eq(routing_alias_target(&table, STR("b"), STR("two")), 2);
    routing_aliases_drop(&table, STR("b"), 0);
    ck_assert(table.n_aliases == 1 && routing_alias_target(&table, STR("a"), STR("two")) == 7);
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
    struct deployment *asked = add("churn", 5, 4, DEPLOYMENT_LOADING); // nothing waits for it
    asked->is_on_demand = true;
    expect_routes("{\"generation\":12,\"ready\":false,\"models\":[{\"name\":\"churn\","
                  "\"versions\":[{\"version\":2,\"deployment\":8}],"
                  "\"aliases\":[{\"alias\":\"challenger\",\"deployment\":8}]}]}");
    loading->state = DEPLOYMENT_READY; // the other one may be asked for, as if it were not here
    expect_routes(
        "{\"generation\":12,\"ready\":true,\"more\":true,\"models\":[{\"name\":\"churn\",\"default\":9,"
        "\"versions\":[{\"version\":2,\"deployment\":8},{\"version\":3,\"deployment\":9}],"
        "\"aliases\":[{\"alias\":\"challenger\",\"deployment\":8},"
        "{\"alias\":\"champion\",\"deployment\":9}]}]}");
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

START_TEST(a_restored_version_keeps_its_slot_if_that_is_free)
{
    struct deployment *d, *second, *third;
    table.limit = 3;
    ck_assert_int_eq(routing_restore(&table, STR("churn"), 5, 1, 1, &d, &e), 0);
    ck_assert(d->slot == 1 && d->state == DEPLOYMENT_LOADING && routing_find(&table, STR("churn"), 1) == d);
    ck_assert_int_eq(routing_restore(&table, STR("churn"), 6, 2, 1, &second, &e), 0);
    ck_assert_int_eq(routing_restore(&table, STR("churn"), 7, 3, LIMIT_DEPLOYMENTS, &third, &e), 0);
    ck_assert(second->slot == 2 && third->slot == 0 && !routing_has_room(&table));
    ck_assert_int_eq(routing_restore(&table, STR("churn"), 8, 4, 2, &d, &e), ERR_CONFLICT);
    table.has_more = true;
    table.generation = 2;
    expect_routes("{\"generation\":2,\"ready\":false,\"more\":true,\"models\":[{\"name\":\"churn\","
                  "\"versions\":[],\"aliases\":[]}]}");
    routing_done(&table);
    table = (struct routing){0};
}
END_TEST

UNIT_MAIN("role/controller/routing", the_champion_answers_else_the_newest_version,
          aliases_are_found_however_they_came, the_routes_name_what_is_ready_and_nothing_else,
          a_freed_slot_rests_before_it_is_reused, a_restored_version_keeps_its_slot_if_that_is_free)
