// SPDX-License-Identifier: Apache-2.0
// Reading a split, and choosing by it. Nothing here remembers a request, so that every gateway, before and
// after any restart, chooses alike.
#include "role/gateway/split.h"

#include "base/siphash.h"
#include "role/gateway/table.h"
#include "wire/json_path.h"
#include "wire/url.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { SALT_DIGITS = 32 };

static const struct str BASELINE_NAME = STR("stable");

// ---- reading ----

static int wrong(struct err *e, const char *what)
{
    return err_set(e, ERR_INVALID, "the split of a model has a bad '%s'", what);
}

static bool read_text(yyjson_val *v, char *to, size_t size)
{
    if (!yyjson_is_str(v) || yyjson_get_len(v) >= size)
        return false;
    memcpy(to, yyjson_get_str(v), yyjson_get_len(v) + 1);
    return strlen(to) == yyjson_get_len(v);
}

static bool read_uint(yyjson_val *v, uint64_t most, uint64_t *ret)
{
    *ret = yyjson_get_uint(v);
    return yyjson_is_uint(v) && *ret <= most;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The bytes of the key in the order of the digits.
static bool read_salt(yyjson_val *v, struct siphash_key *ret)
{
    const char *text = yyjson_get_str(v);
    uint64_t k[2] = {0};
    if (!text || yyjson_get_len(v) != SALT_DIGITS)
        return false;
    for (int i = 0; i < SALT_DIGITS / 2; i++) {
        int hi = digit(text[2 * i]), lo = digit(text[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        k[i / 8] |= (uint64_t)(hi << 4 | lo) << (8 * (i % 8));
    }
    *ret = (struct siphash_key){k[0], k[1]};
    return true;
}

static struct deployment *find(struct deployment *const *pool, size_t n, yyjson_val *id)
{
    for (size_t i = 0; yyjson_is_uint(id) && i < n; i++)
        if (pool[i]->id == yyjson_get_uint(id))
            return deployment_ref(pool[i]);
    return NULL;
}

// A path that is none is no key: requests are drawn, and nothing stops. ret_name: (ROLLOUT_KEY_BYTES + 1)
static bool read_key(yyjson_val *key, yyjson_val *name, enum rollout_key *ret, char *ret_name)
{
    static const char *const NAMES[] = {
        [KEY_NONE] = "none", [KEY_HEADER] = "header", [KEY_QUERY] = "query", [KEY_JSON] = "json"};
    struct err ignored;
    unsigned k = 0;
    while (key && k <= KEY_JSON && !yyjson_equals_str(key, NAMES[k]))
        k++;
    if (k > KEY_JSON || (k != KEY_NONE && !read_text(name, ret_name, ROLLOUT_KEY_BYTES + 1)))
        return false;
    *ret = (enum rollout_key)k;
    if (*ret == KEY_JSON && json_path_check(str_of(ret_name), &ignored))
        *ret = KEY_NONE;
    return true;
}

static void set_weights(struct split *s)
{
    uint64_t baseline = SPLIT_BUCKETS;
    for (uint32_t i = 0; i < s->n_arms; i++)
        baseline -= s->weights_bp[i];
    s->weights_bp[s->n_arms] = (uint32_t)baseline;
    for (uint32_t i = 0; i < s->n_arms; i++) {
        uint64_t own = s->weights_bp[i], both = own + baseline;
        s->pair_weights[i] = both ? (uint32_t)((own * WEIGHT_ONE + both / 2) / both) : 0;
    }
}

static int read_arms(yyjson_val *list, struct deployment *const *pool, size_t n_pool, struct split *s,
                     struct err *e)
{
    size_t i, n;
    uint64_t sum = 0, weight;
    yyjson_val *row;
    if (yyjson_arr_size(list) > GUARD_ARMS_MAX)
        return wrong(e, "arms");
    yyjson_arr_foreach(list, i, n, row)
    {
        s->arms[i] = find(pool, n_pool, yyjson_obj_get(row, "deployment"));
        s->n_arms++;
        if (!s->arms[i] || !read_uint(yyjson_obj_get(row, "weight"), SPLIT_BUCKETS, &weight) ||
            !read_text(yyjson_obj_get(row, "name"), s->names[i], sizeof s->names[i]))
            return wrong(e, "arms");
        s->weights_bp[i] = (uint32_t)weight;
        sum += weight;
    }
    if (sum > SPLIT_BUCKETS)
        return wrong(e, "arms");
    set_weights(s);
    return 0;
}

static int read_shadow(yyjson_val *json, struct deployment *const *pool, size_t n_pool, struct split *s,
                       struct err *e)
{
    uint64_t share, budget;
    if (!json)
        return 0;
    s->shadow = find(pool, n_pool, yyjson_obj_get(json, "deployment"));
    if (!s->shadow || !read_uint(yyjson_obj_get(json, "share"), SPLIT_BUCKETS, &share) ||
        !read_uint(yyjson_obj_get(json, "budget_percent"), 100, &budget) ||
        !read_key(yyjson_obj_get(json, "segment"), yyjson_obj_get(json, "segment_name"), &s->segment,
                  s->segment_name))
        return wrong(e, "shadow");
    s->shadow_share_bp = (uint32_t)share;
    s->shadow_budget_percent = (uint32_t)budget;
    return 0;
}

static int read_guards(yyjson_val *json, struct split *s, struct err *e)
{
    yyjson_val *list = yyjson_obj_get(json, "guards"), *gates = yyjson_obj_get(json, "latency"), *row;
    size_t i, n;
    if (yyjson_arr_size(list) > GUARDS_MAX)
        return wrong(e, "guards");
    yyjson_arr_foreach(list, i, n, row)
    {
        unsigned m = 0;
        while (m < GUARD_METRICS && !yyjson_equals_str(row, guard_metric_name((enum guard_metric)m)))
            m++;
        if (m == GUARD_METRICS)
            return wrong(e, "guards");
        s->guards[s->n_guards++] = (enum guard_metric)m;
    }
    yyjson_arr_foreach(gates, i, n, row)
    {
        uint64_t guard, stable, canary;
        if (!read_uint(yyjson_obj_get(row, "guard"), GUARDS_MAX - 1, &guard) || guard >= s->n_guards ||
            s->guards[guard] != GUARD_LATENCY ||
            !read_uint(yyjson_obj_get(row, "stable_ns"), UINT64_MAX, &stable) ||
            !read_uint(yyjson_obj_get(row, "canary_ns"), UINT64_MAX, &canary))
            return wrong(e, "latency");
        s->has_gate[guard] = true;
        s->gates[guard].limit_ns[ARM_STABLE] = stable;
        s->gates[guard].limit_ns[ARM_CANARY] = canary;
    }
    return 0;
}

static int read_cuts(yyjson_val *list, struct split *s, struct err *e)
{
    yyjson_val *cut;
    size_t i, n;
    if (yyjson_arr_size(list) > SCORE_RANGES - 1)
        return wrong(e, "cuts");
    yyjson_arr_foreach(list, i, n, cut)
    {
        double x = yyjson_get_num(cut);
        if (!yyjson_is_num(cut) || (i > 0 && !(x > s->scores.cuts[i - 1])))
            return wrong(e, "cuts");
        s->scores.cuts[s->scores.n_cuts++] = x;
    }
    return 0;
}

static int read_all(yyjson_val *json, struct deployment *const *pool, size_t n_pool, struct split *s,
                    struct err *e)
{
    yyjson_val *alias = yyjson_obj_get(json, "alias"), *range = yyjson_obj_get(json, "range");
    uint64_t epoch;
    if (!read_uint(yyjson_obj_get(json, "rollout"), UINT64_MAX, &s->rollout))
        return wrong(e, "rollout");
    if (!read_uint(yyjson_obj_get(json, "epoch"), UINT32_MAX, &epoch))
        return wrong(e, "epoch");
    s->epoch = (uint32_t)epoch;
    if (!read_salt(yyjson_obj_get(json, "salt"), &s->salt))
        return wrong(e, "salt");
    if (!read_key(yyjson_obj_get(json, "key"), yyjson_obj_get(json, "key_name"), &s->key, s->key_name))
        return wrong(e, "key");
    if (alias && !read_text(alias, s->alias, sizeof s->alias))
        return wrong(e, "alias");
    s->baseline = find(pool, n_pool, yyjson_obj_get(json, "baseline"));
    if (!s->baseline)
        return wrong(e, "baseline");
    s->shield = yyjson_is_true(yyjson_obj_get(json, "shield"));
    if (!read_uint(yyjson_obj_get(json, "timeout_ns"), UINT64_C(1000000) * LIMIT_TIMEOUT_MS, &s->timeout_ns))
        return wrong(e, "timeout_ns");
    s->range_lo = range ? yyjson_get_num(yyjson_arr_get(range, 0)) : -HUGE_VAL;
    s->range_hi = range ? yyjson_get_num(yyjson_arr_get(range, 1)) : HUGE_VAL;
    if (range && (yyjson_arr_size(range) != 2 || !(s->range_lo <= s->range_hi)))
        return wrong(e, "range");
    int rc = read_arms(yyjson_obj_get(json, "arms"), pool, n_pool, s, e);
    if (rc == 0)
        rc = read_shadow(yyjson_obj_get(json, "shadow"), pool, n_pool, s, e);
    if (rc == 0)
        rc = read_cuts(yyjson_obj_get(json, "cuts"), s, e);
    return rc ? rc : read_guards(json, s, e);
}

int split_read(yyjson_val *json, struct deployment *const *pool, size_t n_pool, struct split **ret,
               struct err *e)
{
    struct split *s = *ret = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "routes");
    int rc = read_all(json, pool, n_pool, s, e);
    if (rc) {
        split_free(s);
        *ret = NULL;
    }
    return rc;
}

void split_free(struct split *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->n_arms; i++)
        deployment_unref(s->arms[i]);
    deployment_unref(s->baseline);
    deployment_unref(s->shadow);
    free(s);
}

// ---- choosing ----

struct str split_arm_name(const struct split *s, uint32_t arm)
{
    return arm < s->n_arms ? str_of(s->names[arm]) : BASELINE_NAME;
}

uint32_t split_weight_bp(const struct split *s, uint32_t arm)
{
    return s->weights_bp[arm];
}

uint32_t split_pair_weight(const struct split *s, uint32_t arm)
{
    return s->pair_weights[arm];
}

// A key that a tester, or nobody, has: ERR_INVALID lists those that are there.
static int choose_asked(const struct split *s, struct str name, struct split_choice *ret, struct err *e)
{
    for (ret->arm = 0; ret->arm <= s->n_arms; ret->arm++)
        if (str_eq(name, split_arm_name(s, ret->arm))) {
            ret->asked = true;
            return 0;
        }
    char list[ERR_HINT_MAX / 2] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < s->n_arms && used + LIMIT_ALIAS_BYTES + 2 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s, ", s->names[i]);
    err_set(e, ERR_INVALID, "Slipway-Arm asks for '" STR_FMT "', which this model does not have now",
            STR_ARG(name));
    err_hint(e, "There are %sstable. Without the header one is chosen.", list);
    return ERR_INVALID;
}

// False when the request has none.
static bool find_key(enum rollout_key key, struct str name, const struct http1_request *req, struct str body,
                     struct arena *scratch, struct str *ret)
{
    struct err ignored;
    char *out;
    switch (key) {
    case KEY_NONE:
        return false;
    case KEY_HEADER:
        return http1_field_find(req, name, ret) && ret->n > 0;
    case KEY_QUERY:
        out = arena_alloc(scratch, req->query.n);
        return out && url_query_get(req->query, name, out, req->query.n, ret, &ignored) == 1 && ret->n > 0;
    case KEY_JSON:
        return json_path_find(body, name, scratch, ret) && ret->n > 0;
    }
    return false;
}

int split_choose(const struct split *s, const struct http1_request *req, struct str body, uint64_t n_draw,
                 struct arena *scratch, struct split_choice *ret, struct err *e)
{
    struct str text;
    *ret = (struct split_choice){0};
    if (req->arm.p)
        return choose_asked(s, req->arm, ret, e);
    ret->sticky = s->key != KEY_NONE && find_key(s->key, str_of(s->key_name), req, body, scratch, &text);
    if (ret->sticky) {
        // Entities are sampled by this hash: if it were the bucket's, arms would be sampled unevenly.
        ret->entity = siphash((struct siphash_key){~s->salt.k1, s->salt.k0}, text);
        ret->bucket = (uint16_t)split_bucket(s->salt, text);
    } else {
        ret->bucket = (uint16_t)split_draw(s->salt, n_draw);
    }
    ret->arm = split_arm(ret->bucket, s->weights_bp, s->n_arms);
    return 0;
}

void split_segment(const struct split *s, const struct http1_request *req, struct str body,
                   struct arena *scratch, struct str *ret)
{
    if (!find_key(s->segment, str_of(s->segment_name), req, body, scratch, ret))
        *ret = (struct str){0};
}
