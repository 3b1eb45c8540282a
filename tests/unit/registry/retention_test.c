// SPDX-License-Identifier: Apache-2.0
// What the registry says to housekeeping: exactly the versions that a rule lets go, page by page, and who
// needs a blob.
#include "filled.h"

#include "base/arena.h"
#include "unit.h"

enum { VERSIONS = 700, DAY_NS = 1000 }; // a "day" of this test; version i is made at i days

static char dir[TEMPDIR_SIZE];
static struct registry *reg;
static struct arena arena;
static struct err e;
static const struct registry_artifact SHARED = {
    .name = STR("model.json"), .digest.bytes = {9}, .size_bytes = 1};

// Versions of a and b in turns, all with the same file; each tenth was rejected.
static void start(void)
{
    tempdir_new(dir);
    ck_assert_int_eq(registry_sqlite_open(dir, &reg, &e), 0);
    ck_assert_int_eq(arena_init(&arena, 64 << 20, &e), 0);
    for (unsigned i = 0; i < VERSIONS; i++) {
        struct registry_artifact f = SHARED;
        bool rejected = i % 20 >= 18; // the tenth of each
        struct registry_version v = {.model = i % 2 ? STR("b") : STR("a"),
                                     .state = rejected ? STR("rejected") : STR("ready"),
                                     .engine = STR("trees"),
                                     .format = STR("xgboost_json"),
                                     .signature_json = STR("{}"),
                                     .tags_json = i == 4   ? STR("{\"pinned\":\"2026\"}")
                                                  : i == 5 ? STR("{\"pinned\":\"false\"}")
                                                           : STR("{}"),
                                     .created_by = STR("tester"),
                                     .created_wall_ns = (uint64_t)i * DAY_NS,
                                     .artifacts = &f,
                                     .n_artifacts = 1};
        uint64_t id;
        uint32_t number;
        int rc = reg->ops->version_add(reg, &FILLED_CAUSE, &v, i == 6 ? STR("champion") : STR(""), &id,
                                       &number, &e);
        ck_assert_msg(rc == 0, "%s", e.msg);
        ck_assert_uint_eq(id, i + 1);
    }
}

static void stop(void)
{
    reg->ops->close(reg);
    arena_done(&arena);
    tempdir_remove(dir);
}

// Marks what a rule lets go, by the number given to start; how many pages it took.
static unsigned expired(uint32_t newest, uint64_t before_ns, bool ret[VERSIONS])
{
    const struct registry_retention rule = {.newest = newest, .before_wall_ns = before_ns};
    struct registry_expired *list;
    uint64_t after = 0, last = 0;
    unsigned pages = 0;
    size_t n;
    memset(ret, 0, VERSIONS * sizeof *ret);
    do {
        ck_assert_int_eq(reg->ops->expired(reg, &rule, &after, &arena, &list, &n, &e), 0);
        pages++;
        for (size_t i = 0; i < n; i++) {
            ck_assert_uint_gt(list[i].id, last);
            last = list[i].id;
            ck_assert(str_eq(list[i].model, last % 2 ? STR("a") : STR("b")));
            ck_assert_uint_eq(list[i].number, (last + 1) / 2);
            ck_assert_uint_eq(list[i].created_wall_ns, (last - 1) * DAY_NS);
            ck_assert(str_eq(list[i].alias, last == 7 ? STR("champion") : STR("")));
            ck_assert_int_eq(list[i].is_pinned, last == 5);
            ret[last - 1] = true;
        }
    } while (after);
    return pages;
}

START_TEST(a_rule_lets_go_exactly_what_it_says)
{
    static bool got[VERSIONS];
    static const struct {
        uint32_t newest;
        unsigned days;
    } RULES[] = {{10, VERSIONS}, {0, 300},        {10, 300}, {350, VERSIONS},
                 {1, VERSIONS},  {400, VERSIONS}, {0, 0}};
    start();
    for (size_t r = 0; r < sizeof RULES / sizeof RULES[0]; r++) {
        ck_assert_uint_ge(expired(RULES[r].newest, (uint64_t)RULES[r].days * DAY_NS, got), 3);
        unsigned newer[2] = {0, 0}; // ready ones of the model, from the newest down
        for (unsigned i = VERSIONS; i-- > 0;) {
            bool wanted = i < RULES[r].days && (RULES[r].newest == 0 || newer[i % 2] >= RULES[r].newest);
            ck_assert_msg(got[i] == wanted, "rule %zu, version %u: %d", r, i, got[i]);
            newer[i % 2] += i % 20 < 18;
        }
    }
    stop();
}
END_TEST

START_TEST(all_who_need_a_blob_are_told_page_by_page)
{
    static const struct registry_digest NOBODYS = {.bytes = {8}};
    uint64_t ids[64], after = 0, seen = 0;
    size_t n;
    start();
    do {
        ck_assert_int_eq(reg->ops->blob_users(reg, &SHARED.digest, after, ids, 64, &n, &e), 0);
        for (size_t i = 0; i < n; i++)
            ck_assert_uint_eq(ids[i], ++seen);
        after = n ? ids[n - 1] : 0;
    } while (n == 64);
    ck_assert_uint_eq(seen, VERSIONS);
    ck_assert_int_eq(reg->ops->blob_users(reg, &NOBODYS, 0, ids, 64, &n, &e), 0);
    ck_assert_uint_eq(n, 0);
    stop();
}
END_TEST

UNIT_MAIN("registry/retention", a_rule_lets_go_exactly_what_it_says,
          all_who_need_a_blob_are_told_page_by_page)
