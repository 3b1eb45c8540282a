// SPDX-License-Identifier: Apache-2.0
// The table of what is served, and its two messages.
#include "role/controller/routing.h"

#include "base/assert.h"
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SHADOW_SHARE_BP = 10000,    // of the requests that are mirrored, as far as the budget allows
    SHADOW_BUDGET_PERCENT = 20, // of a gateway's time
};

static void name_copy(char *to, size_t size, struct str from)
{
    ASSERT(from.n < size);
    memcpy(to, from.p, from.n);
    to[from.n] = '\0';
}

static void deployment_free(struct deployment *d)
{
    if (d->image_fd >= 0)
        close(d->image_fd);
    if (d->rules_fd >= 0)
        close(d->rules_fd);
    free(d->describe_json);
    free(d->log_json);
    free(d->files);
    free(d->scaler);
    free(d);
}

void routing_done(struct routing *r)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++)
        if (r->slots[i])
            deployment_free(r->slots[i]);
    free(r->aliases);
    *r = (struct routing){0};
}

static struct deployment *place(struct routing *r, struct str model, uint32_t slot, struct err *e)
{
    struct deployment *d = calloc(1, sizeof *d);
    if (!d) {
        err_set(e, ERR_NOMEM, "no memory for another version");
        return NULL;
    }
    *d = (struct deployment){.slot = slot, .image_fd = -1, .rules_fd = -1};
    name_copy(d->model, sizeof d->model, model);
    return r->slots[slot] = d;
}

unsigned routing_limit(const struct routing *r)
{
    return r->limit && r->limit < LIMIT_DEPLOYMENTS ? r->limit : LIMIT_DEPLOYMENTS;
}

static unsigned n_taken(const struct routing *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < LIMIT_DEPLOYMENTS; i++)
        n += r->slots[i] != NULL;
    return n;
}

bool routing_has_room(const struct routing *r)
{
    return n_taken(r) < routing_limit(r);
}

// A free slot below the limit, not that of a deployment which has just left if there is another. So the
// counters of a slot tell what is loaded, or was last.
static int next_free(struct routing *r, uint32_t *ret, struct err *e)
{
    if (!routing_has_room(r)) {
        err_set(e, ERR_CONFLICT, "%u versions are loaded, which is the limit", routing_limit(r));
        err_hint(e, "Try again in a moment.");
        return ERR_CONFLICT;
    }
    while (r->slots[r->next_slot])
        r->next_slot = (r->next_slot + 1) % routing_limit(r);
    *ret = r->next_slot;
    return 0;
}

static int place_next(struct routing *r, struct str model, uint32_t slot, struct deployment **ret,
                      struct err *e)
{
    *ret = place(r, model, slot, e);
    r->next_slot = (slot + 1) % routing_limit(r);
    return *ret ? 0 : ERR_NOMEM;
}

int routing_reserve(struct routing *r, struct str model, struct deployment **ret, struct err *e)
{
    uint32_t slot;
    int rc = next_free(r, &slot, e);
    return rc ? rc : place_next(r, model, slot, ret, e);
}

int routing_restore(struct routing *r, struct str model, uint64_t id, uint32_t version, uint32_t slot,
                    struct deployment **ret, struct err *e)
{
    uint32_t free;
    int rc = next_free(r, &free, e);
    if (rc == 0)
        rc = place_next(r, model, slot < routing_limit(r) && !r->slots[slot] ? slot : free, ret, e);
    if (rc)
        return rc;
    (*ret)->id = id;
    (*ret)->version = version;
    (*ret)->state = DEPLOYMENT_LOADING;
    return 0;
}

void routing_drop(struct routing *r, struct deployment *d)
{
    ASSERT(r->slots[d->slot] == d);
    r->slots[d->slot] = NULL;
    deployment_free(d);
}

struct deployment *routing_find(const struct routing *r, struct str model, uint32_t version)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *d = r->slots[i];
        if (d && d->id && d->version == version && str_eq(str_of(d->model), model))
            return d;
    }
    return NULL;
}

static int compare(const struct routing_alias *a, struct str model, struct str alias)
{
    int c = str_cmp(str_of(a->model), model);
    return c ? c : str_cmp(str_of(a->name), alias);
}

// Where the alias is, or would be.
static size_t alias_place(const struct routing *r, struct str model, struct str alias)
{
    size_t low = 0, high = r->n_aliases;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(&r->aliases[middle], model, alias) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct routing_alias *alias_find(const struct routing *r, struct str model, struct str alias)
{
    size_t at = alias_place(r, model, alias);
    return at < r->n_aliases && compare(&r->aliases[at], model, alias) == 0 ? &r->aliases[at] : NULL;
}

// The aliases of a model: from *ret on, so many.
static size_t aliases_of(const struct routing *r, struct str model, const struct routing_alias **ret)
{
    size_t from = alias_place(r, model, STR("")), to = from;
    while (to < r->n_aliases && str_eq(str_of(r->aliases[to].model), model))
        to++;
    *ret = to > from ? r->aliases + from : NULL;
    return to - from;
}

int routing_alias_reserve(struct routing *r, struct err *e)
{
    if (r->n_aliases < r->cap_aliases)
        return 0;
    size_t cap = r->cap_aliases ? 2 * r->cap_aliases : 16;
    if (cap > LIMIT_SERVED_ALIASES)
        return err_set(e, ERR_CONFLICT, "there are %zu aliases, which is the limit", r->n_aliases);
    struct routing_alias *grown = realloc(r->aliases, cap * sizeof *grown);
    if (!grown)
        return err_set(e, ERR_NOMEM, "no memory for another alias");
    r->aliases = grown;
    r->cap_aliases = cap;
    return 0;
}

void routing_alias_set(struct routing *r, struct str model, struct str alias, uint32_t version)
{
    size_t at = alias_place(r, model, alias);
    struct routing_alias *a = &r->aliases[at];
    if (!alias_find(r, model, alias)) {
        ASSERT(r->n_aliases < r->cap_aliases);
        memmove(a + 1, a, (r->n_aliases++ - at) * sizeof *a);
        name_copy(a->model, sizeof a->model, model);
        name_copy(a->name, sizeof a->name, alias);
    }
    a->version = version;
}

uint32_t routing_alias_target(const struct routing *r, struct str model, struct str alias)
{
    const struct routing_alias *a = alias_find(r, model, alias);
    return a ? a->version : 0;
}

void routing_alias_remove(struct routing *r, struct str model, struct str alias)
{
    struct routing_alias *a = alias_find(r, model, alias);
    if (a)
        memmove(a, a + 1, (size_t)(r->aliases + r->n_aliases-- - (a + 1)) * sizeof *a);
}

void routing_aliases_drop(struct routing *r, struct str model, uint32_t version)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->n_aliases; i++) {
        const struct routing_alias *a = &r->aliases[i];
        if (!str_eq(str_of(a->model), model) || (version && a->version != version))
            r->aliases[kept++] = *a;
    }
    r->n_aliases = kept;
}

bool routing_has_alias(const struct routing *r, struct str model, uint32_t version)
{
    const struct routing_alias *list;
    for (size_t n = aliases_of(r, model, &list); n-- > 0;)
        if (list[n].version == version)
            return true;
    return false;
}

void routing_set_newest(struct routing *r, struct deployment *d)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        struct deployment *other = r->slots[i];
        if (!other || strcmp(other->model, d->model) != 0)
            continue;
        if (other->is_newest && other->version > d->version)
            return; // of two that are pushed at once, the later one may be there first
        other->is_newest = false;
    }
    d->is_newest = true;
}

uint32_t routing_default(const struct routing *r, struct str model)
{
    const struct routing_alias *champion = alias_find(r, model, STR("champion"));
    if (champion)
        return champion->version;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        const struct deployment *d = r->slots[i];
        if (d && d->id && d->is_newest && str_eq(str_of(d->model), model))
            return d->version;
    }
    return 0;
}

bool routing_is_complete(const struct routing *r)
{
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++)
        if (r->slots[i] && r->slots[i]->state == DEPLOYMENT_LOADING && !r->slots[i]->is_on_demand)
            return false;
    return true;
}

void routing_deploy_encode(const struct deployment *d, struct buf *out)
{
    buf_printf(out, "{\"deployment\":%llu,\"model\":", (unsigned long long)d->id);
    buf_put_json_str(out, str_of(d->model));
    buf_printf(out, ",\"version\":%u,\"slot\":%u,\"engine\":\"%s\"}", d->version, d->slot, d->engine->name);
}

static int by_model_and_version(const void *a, const void *b)
{
    const struct deployment *x = *(struct deployment *const *)a, *y = *(struct deployment *const *)b;
    int c = strcmp(x->model, y->model);
    return c ? c : (x->version > y->version) - (x->version < y->version);
}

static bool is_routed(const struct deployment *d)
{
    return d && d->state == DEPLOYMENT_READY && !d->is_away;
}

static void guards_encode(const struct routing_split *s, struct buf *out)
{
    const char *comma = "";
    buf_puts(out, ",\"guards\":[");
    for (uint32_t i = 0; i < s->n_guards; i++)
        buf_printf(out, "%s\"%s\"", i ? "," : "", guard_metric_name(s->guards[i].metric));
    buf_puts(out, "],\"latency\":[");
    for (uint32_t i = 0; i < s->n_guards; i++) {
        const uint64_t *limits = s->gates[i].limit_ns;
        if (limits[ARM_STABLE] == 0)
            continue;
        buf_printf(out, "%s{\"guard\":%u,\"stable_ns\":%llu,\"canary_ns\":%llu}", comma, i,
                   (unsigned long long)limits[ARM_STABLE], (unsigned long long)limits[ARM_CANARY]);
        comma = ",";
    }
    buf_puts(out, "]");
    for (uint32_t i = 0; i < s->n_guards; i++)
        if (s->guards[i].has_bounds)
            buf_put_json_numbers(out, "range", (const double[]){s->guards[i].lo, s->guards[i].hi}, 2);
    if (s->scores && s->scores->n_cuts)
        buf_put_json_numbers(out, "cuts", s->scores->cuts, s->scores->n_cuts);
}

// The number of a version's deployment; 0 when it is not routed.
static uint64_t routed_id(const struct routing *r, const struct routing_split *s, uint32_t version)
{
    const struct deployment *d = version ? routing_find(r, str_of(s->model), version) : NULL;
    return is_routed(d) ? d->id : 0;
}

static bool split_is_routed(const struct routing *r, const struct routing_split *s)
{
    bool all = routed_id(r, s, s->baseline) && (s->shadow == 0 || routed_id(r, s, s->shadow));
    for (uint32_t i = 0; i < s->n_arms; i++)
        all = all && routed_id(r, s, s->arms[i].version);
    return all && (s->n_arms || s->shadow);
}

static const char *const KEYS[] = {
    [KEY_NONE] = "none", [KEY_HEADER] = "header", [KEY_QUERY] = "query", [KEY_JSON] = "json"};

static void shadow_encode(const struct routing *r, const struct routing_split *s, struct buf *out)
{
    buf_printf(out, ",\"shadow\":{\"deployment\":%llu,\"share\":%d,\"budget_percent\":%d",
               (unsigned long long)routed_id(r, s, s->shadow), SHADOW_SHARE_BP, SHADOW_BUDGET_PERCENT);
    if (s->segment != KEY_NONE) {
        buf_printf(out, ",\"segment\":\"%s\",\"segment_name\":", KEYS[s->segment]);
        buf_put_json_str(out, str_of(s->segment_name));
    }
    buf_putc(out, '}');
}

static void split_encode(const struct routing *r, const struct routing_split *s, struct buf *out)
{
    buf_printf(out, ",\"split\":{\"rollout\":%llu,\"epoch\":%u,\"salt\":\"%s\",\"key\":\"%s\",\"key_name\":",
               (unsigned long long)s->rollout, s->epoch, s->salt, KEYS[s->key]);
    buf_put_json_str(out, str_of(s->key_name));
    buf_puts(out, ",\"alias\":");
    buf_put_json_str(out, str_of(s->alias));
    buf_printf(out, ",\"baseline\":%llu,\"arms\":[", (unsigned long long)routed_id(r, s, s->baseline));
    for (uint32_t i = 0; i < s->n_arms; i++) {
        buf_puts(out, i ? ",{\"name\":" : "{\"name\":");
        buf_put_json_str(out, str_of(s->arms[i].name));
        buf_printf(out, ",\"deployment\":%llu,\"weight\":%u}",
                   (unsigned long long)routed_id(r, s, s->arms[i].version), s->arms[i].weight_bp);
    }
    buf_putc(out, ']');
    if (s->shadow)
        shadow_encode(r, s, out);
    buf_printf(out, ",\"shield\":%s,\"timeout_ns\":%llu", s->shield ? "true" : "false",
               (unsigned long long)s->timeout_ns);
    guards_encode(s, out);
    buf_putc(out, '}');
}

static const struct routing_split *split_of(const struct routing *r, struct str model)
{
    const struct routing_split *s = r->splits;
    while (s && !str_eq(str_of(s->model), model))
        s = s->next;
    return s && split_is_routed(r, s) ? s : NULL;
}

// One model: its deployments are list[0 … n), by version. Those that are not ready are left out, and so is
// what names them: the gateways then say that they are not ready, instead of using another version.
static void model_encode(const struct routing *r, struct deployment *const *list, size_t n, struct buf *out)
{
    struct str model = str_of(list[0]->model);
    const struct deployment *d = routing_find(r, model, routing_default(r, model));
    buf_puts(out, "{\"name\":");
    buf_put_json_str(out, model);
    if (d && d->is_away)
        buf_puts(out, ",\"replacing\":true");
    if (is_routed(d))
        buf_printf(out, ",\"default\":%llu", (unsigned long long)d->id);
    buf_puts(out, ",\"versions\":[");
    const char *comma = "";
    for (size_t i = 0; i < n; i++) {
        if (!is_routed(list[i]))
            continue;
        buf_printf(out, "%s{\"version\":%u,\"deployment\":%llu%s}", comma, list[i]->version,
                   (unsigned long long)list[i]->id,
                   list[i]->is_declared && list[i]->settings.min_replicas == 0 ? ",\"may_be_empty\":true"
                                                                               : "");
        comma = ",";
    }
    buf_puts(out, "],\"aliases\":[");
    comma = "";
    const struct routing_alias *aliases;
    size_t n_aliases = aliases_of(r, model, &aliases);
    for (size_t i = 0; i < n_aliases; i++) {
        const struct routing_alias *a = &aliases[i];
        d = routing_find(r, model, a->version);
        if (!is_routed(d))
            continue;
        buf_printf(out, "%s{\"alias\":\"%s\",\"deployment\":%llu}", comma, a->name,
                   (unsigned long long)d->id);
        comma = ",";
    }
    buf_putc(out, ']');
    const struct routing_split *s = split_of(r, model);
    if (s)
        split_encode(r, s, out);
    buf_putc(out, '}');
}

// Once all is ready that must be, what is not is asked for like what is not here.
static bool is_loading_more(const struct routing *r)
{
    if (!routing_is_complete(r))
        return false;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++)
        if (r->slots[i] && r->slots[i]->state == DEPLOYMENT_LOADING && r->slots[i]->is_on_demand)
            return true;
    return false;
}

void routing_routes_encode(const struct routing *r, struct buf *out)
{
    struct deployment *list[LIMIT_DEPLOYMENTS];
    size_t n = 0;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++)
        if (r->slots[i] && r->slots[i]->id)
            list[n++] = r->slots[i];
    qsort(list, n, sizeof list[0], by_model_and_version);
    buf_printf(out, "{\"generation\":%llu,\"ready\":%s,%s\"models\":[", (unsigned long long)r->generation,
               routing_is_complete(r) ? "true" : "false",
               r->has_more || is_loading_more(r) ? "\"more\":true," : "");
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && strcmp(list[end]->model, list[i]->model) == 0;)
            end++;
        if (i)
            buf_putc(out, ',');
        model_encode(r, list + i, end - i, out);
    }
    buf_puts(out, "]}");
}

const char *deployment_state_name(enum deployment_state s)
{
    static const char *const NAMES[] = {"reserved", "loading", "ready", "failed"};
    return NAMES[s];
}
