// SPDX-License-Identifier: Apache-2.0
// Requests about rollouts: started, shown, listed, moved by hand, their records read and replayed.
#include "api/request_path.h"
#include "role/controller/change.h"
#include "role/controller/deploying.h"
#include "role/controller/describe.h"
#include "role/controller/look_job.h"
#include "role/controller/rollout_state.h"
#include "role/look.h"

#include "base/clock.h"
#include "tensor/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <yyjson.h>

enum { READ_ARENA_BYTES = 256 << 20, CHANGES_BYTES = 64 << 20 };

// ---- starting ----

// A version by its number or alias that serves.
static int find_version(struct request *r, struct str model, const char *selector, struct arena *a,
                        const char *field, uint32_t *ret, struct err *e)
{
    struct controller *c = r->c;
    struct registry_version v;
    int rc = c->registry->ops->version_find(c->registry, model, str_of(selector), a, &v, e);
    if (rc) {
        if (rc == ERR_UNKNOWN_VERSION)
            err_at(e, "$.%s", field);
        return rc;
    }
    char number[16];
    snprintf(number, sizeof number, "%u", v.number);
    const struct deployment *d = routing_find(&c->routing, model, v.number);
    *ret = v.number;
    if (!d && !registry_version_is_rejected(&v)) { // it is ready when it is loaded
        rc = deploying_ask(c, model, str_of(number), e);
        if (rc)
            return rc;
        d = routing_find(&c->routing, model, v.number);
    }
    if (d && d->state != DEPLOYMENT_FAILED)
        return 0;
    err_set(e, ERR_CONFLICT, "version %u of '" STR_FMT "' does not serve%s%.120s", v.number, STR_ARG(model),
            d ? ": " : "", d ? d->why.msg : "");
    err_at(e, "$.%s", field);
    return ERR_CONFLICT;
}

static int find_candidates(struct request *r, struct rollout *o, struct arena *a, struct err *e)
{
    const struct rollout_spec *s = &o->spec;
    for (uint32_t i = 0; i < s->n_arms; i++) {
        char field[32] = "candidate";
        if (s->strategy == STRATEGY_AB)
            snprintf(field, sizeof field, "arms[%u].version", i);
        int rc = find_version(r, str_of(s->model), s->arms[i].version, a, field, &o->candidates[i], e);
        if (rc)
            return rc;
        bool twice = o->candidates[i] == o->baseline;
        for (uint32_t k = 0; k < i; k++)
            twice |= o->candidates[k] == o->candidates[i];
        if (!twice)
            continue;
        err_set(e, ERR_CONFLICT, "version %u of '%s' is the baseline, or another arm, already",
                o->candidates[i], s->model);
        err_at(e, "$.%s", field);
        return ERR_CONFLICT;
    }
    return 0;
}

// The alias whose requests are shared, and the version that it names.
static int find_baseline(struct request *r, struct rollout *o, struct arena *a, struct err *e)
{
    const struct rollout_spec *s = &o->spec;
    const struct routing *routing = &r->c->routing;
    struct str model = str_of(s->model);
    uint32_t answers = routing_default(routing, model);
    uint64_t number;
    bool is_number = str_to_u64(str_of(s->baseline), UINT32_MAX, &number);
    snprintf(o->split.alias, sizeof o->split.alias, "%s", is_number ? "champion" : s->baseline);
    if (!is_number && strcmp(s->baseline, "champion") == 0 && answers) {
        char text[16];
        snprintf(text, sizeof text, "%u", answers);
        return find_version(r, model, text, a, "baseline", &o->baseline, e);
    }
    int rc = find_version(r, model, s->baseline, a, "baseline", &o->baseline, e);
    if (rc || !is_number || o->baseline == answers)
        return rc;
    err_set(e, ERR_CONFLICT, "requests of '%s' that name no version go to version %u, not to the baseline %u",
            s->model, answers, o->baseline);
    err_at(e, "$.baseline");
    err_hint(e, "Leave baseline out, or name the alias whose requests are to be shared.");
    return ERR_CONFLICT;
}

// One that was promoted and can only be undone makes way.
static int make_way(struct request *r, struct str model, struct err *e)
{
    rollouts_sweep(r->c->rollouts);
    struct rollout *old = rollout_of_model(r->c, model);
    if (!old)
        return 0;
    if (old->plan.state == PLAN_PROMOTED) {
        const struct rollout_cause cause = {
            .event = EVENT_SUPERSEDE, .actor = STR("rollout"), .note = STR("another rollout began")};
        int rc = rollout_make(old, &cause, e);
        if (!rc)
            rollouts_sweep(r->c->rollouts);
        return rc;
    }
    err_set(e, ERR_CONFLICT, "rollout %llu of '" STR_FMT "' is %s", (unsigned long long)old->id,
            STR_ARG(model), plan_state_name(old->plan.state));
    err_hint(e, "End it first: slipway rollout rollback %llu, or promote.", (unsigned long long)old->id);
    return ERR_CONFLICT;
}

// A place in the body that no request can have would be no key, and nobody would notice.
static int check_place(const struct schema *s, const char *field, enum rollout_key key, const char *path,
                       struct err *e)
{
    char example[160];
    if (key != KEY_JSON || request_path_is_possible(s, str_of(path)))
        return 0;
    request_path_example(s, example, sizeof example);
    err_set(e, ERR_OUT_OF_RANGE, "expected a value that requests of this model can have, not \"%s\"", path);
    err_at(e, "%s", field);
    err_hint(e, "Such as %s, or header:NAME, or query:NAME.", example);
    return ERR_OUT_OF_RANGE;
}

// By the signature of the version whose clients it is about.
static int check_places(struct request *r, const struct rollout *o, struct arena *a, struct err *e)
{
    const struct rollout_spec *s = &o->spec;
    struct registry_version v;
    struct schema schema;
    if (s->key != KEY_JSON && s->segment != KEY_JSON)
        return 0;
    int rc = registry_version_find(r->c->registry, str_of(s->model), o->baseline, a, &v, e);
    if (!rc)
        rc = schema_read(v.signature_json, false, "$", a, &schema, e);
    if (!rc)
        rc = check_place(&schema, "$.key", s->key, s->key_name, e);
    return rc ? rc : check_place(&schema, "$.shadow.segment", s->segment, s->segment_name, e);
}

static int draw_salt(struct rollout *o, struct err *e)
{
    uint8_t bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return err_errno(e, errno, "draw a salt");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(o->split.salt + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

// changes: as rollout_compare gives them.
static int set_up(struct request *r, struct rollout *o, struct buf *changes, struct err *e)
{
    struct registry *reg = r->c->registry;
    struct str model = str_of(o->spec.model);
    char candidates[ROLLOUT_CANDIDATES_SIZE];
    struct arena a;
    int rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    rc = find_baseline(r, o, &a, e);
    if (!rc)
        rc = find_candidates(r, o, &a, e);
    if (!rc)
        rc = check_places(r, o, &a, e);
    if (!rc)
        rc = rollout_compare(o, changes, e);
    if (!rc)
        rc = make_way(r, model, e);
    if (!rc)
        rc = draw_salt(o, e);
    rollout_candidates_encode(o, candidates);
    if (!rc)
        rc = reg->ops->rollout_next(reg, model, str_of(candidates), &o->id, &o->attempt, e);
    o->created_wall_ns = clock_wall_ns();
    arena_done(&a);
    return rc;
}

static int begin(struct request *r, struct rollout *o, struct err *e)
{
    const struct rollout_cause cause = {.event = EVENT_START, .actor = request_cause(r).actor, .request = r};
    int rc = change_new(r, e);
    if (!rc)
        rc = rollout_make(o, &cause, e);
    if (rc)
        return rc;
    rollout_enter(o);
    change_publish(r);
    return 0;
}

int rollout_start(struct request *r, struct err *e)
{
    struct rollout_spec spec;
    struct rollout *o = NULL;
    struct buf changes;
    buf_init(&changes, CHANGES_BYTES);
    int rc = rollout_request_decode(buf_str(&r->body), &spec, e);
    if (!rc)
        rc = r->c->registry->ops->room(r->c->registry, e);
    if (!rc)
        rc = rollout_new(r->c, &spec, buf_str(&r->body), &o, e);
    if (!rc)
        rc = set_up(r, o, &changes, e);
    if (changes.n)
        change_refuse(r, e, buf_str(&changes));
    bool is_refused = changes.n > 0;
    buf_done(&changes);
    if (!rc)
        rc = begin(r, o, e);
    if (rc)
        rollout_free(o);
    return is_refused ? 0 : rc;
}

// ---- showing ----

// A rollout of the path: one that goes on, or as it ended. The caller ends what is in *ret_loaded.
static int find(struct request *r, struct str id_text, struct rollout **ret, struct rollout **ret_loaded,
                struct err *e)
{
    struct registry *reg = r->c->registry;
    struct registry_rollout v;
    struct arena a;
    uint64_t id;
    *ret_loaded = NULL;
    if (!str_to_u64(id_text, INT64_MAX, &id))
        return err_set(e, ERR_NOT_FOUND, "'" STR_FMT "' is not the number of a rollout", STR_ARG(id_text));
    *ret = rollout_find(r->c, id);
    if (*ret)
        return 0;
    int rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    rc = reg->ops->rollout_find(reg, id, &a, &v, e);
    if (!rc)
        rc = rollout_load(r->c, &v, ret_loaded, e);
    if (!rc)
        *ret = *ret_loaded;
    arena_done(&a);
    return rc;
}

// One that was set aside, as far as the registry itself knows it.
static bool show_unreadable(struct request *r, const struct err *why)
{
    struct registry *reg = r->c->registry;
    struct registry_rollout v;
    struct arena a;
    struct err e;
    uint64_t id;
    if (why->code == ERR_NOMEM || !str_to_u64(r->args[0], INT64_MAX, &id) ||
        arena_init(&a, READ_ARENA_BYTES, &e))
        return false;
    bool is_there = reg->ops->rollout_find(reg, id, &a, &v, &e) == 0 && v.is_over;
    if (is_there) {
        rollout_show_stored(&v, &r->out);
        request_answer(r, 200, "application/json");
    }
    arena_done(&a);
    return is_there;
}

int rollout_get(struct request *r, struct err *e)
{
    struct rollout *o, *loaded;
    int rc = find(r, r->args[0], &o, &loaded, e);
    if (rc)
        return show_unreadable(r, e) ? 0 : rc;
    rollout_show(o, &r->out);
    rollout_free(loaded);
    request_answer(r, 200, "application/json");
    return 0;
}

int rollouts_list(struct request *r, struct err *e)
{
    struct registry *reg = r->c->registry;
    char model[LIMIT_MODEL_NAME_BYTES + 1] = "";
    bool active = false;
    struct request_page page = {0};
    const struct request_param params[] = {{"model", .text = model, .size = sizeof model},
                                           {"active", .flag = &active}};
    struct registry_rollout *list = NULL;
    struct arena a;
    size_t n = 0;
    int rc = request_page(r, &page, params, 2, e);
    if (!rc)
        rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    const struct registry_rollouts_query which = {
        .model = str_of(model), .not_over = active, .before = page.after, .limit = (uint32_t)page.limit + 1};
    rc = reg->ops->rollouts(reg, &which, &a, &list, &n, e);
    buf_puts(&r->out, "{\"rollouts\":[");
    for (size_t i = 0; !rc && i < n && i < page.limit; i++) {
        buf_puts(&r->out, i ? "," : "");
        rollout_show_stored(&list[i], &r->out);
    }
    buf_putc(&r->out, ']');
    if (n > page.limit)
        buf_printf(&r->out, ",\"next\":%llu", (unsigned long long)list[page.limit - 1].id);
    buf_putc(&r->out, '}');
    arena_done(&a);
    if (!rc)
        request_answer(r, 200, "application/json");
    return rc;
}

// ---- the record ----

static int put_records(struct request *r, const struct rollout *o, const struct request_page *page,
                       struct arena *a, struct err *e)
{
    struct registry *reg = r->c->registry;
    struct registry_rollout_record *list = NULL;
    size_t n = 0;
    int rc = reg->ops->rollout_records(reg, o->id, page->after, (uint32_t)page->limit + 1, a, &list, &n, e);
    if (rc)
        return rc;
    buf_printf(&r->out, "{\"rollout\":%llu,\"model\":", (unsigned long long)o->id);
    buf_put_json_str(&r->out, str_of(o->spec.model));
    buf_puts(&r->out, ",\"events\":[");
    for (size_t i = 0; i < n && i < page->limit; i++) {
        buf_puts(&r->out, i ? "," : "");
        buf_put_str(&r->out, list[i].record_json);
    }
    buf_putc(&r->out, ']');
    if (n > page->limit)
        buf_printf(&r->out, ",\"next\":%llu", (unsigned long long)list[page->limit - 1].number);
    buf_putc(&r->out, '}');
    return 0;
}

int rollout_events(struct request *r, struct err *e)
{
    struct rollout *o, *loaded;
    struct request_page page = {0};
    struct arena a;
    bool verify = false;
    const struct request_param params[] = {{"verify", .flag = &verify}};
    int rc = request_page(r, &page, params, 1, e);
    if (!rc)
        rc = find(r, r->args[0], &o, &loaded, e);
    if (rc)
        return rc;
    if (verify) {
        uint64_t id = o->id;
        rollout_free(loaded);
        return look_job_start(r, LOOK_ROLLOUT, id, "", e);
    }
    rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (!rc) {
        rc = put_records(r, o, &page, &a, e);
        arena_done(&a);
    }
    rollout_free(loaded);
    if (!rc)
        request_answer(r, 200, "application/json");
    return rc;
}

// ---- moving ----

// {"reason":"…"}, or nothing.
static int read_reason(struct request *r, struct err *e)
{
    if (r->body.n == 0)
        return 0;
    yyjson_doc *doc = yyjson_read(r->body.p, r->body.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *key;
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    int rc = yyjson_is_obj(root) ? 0 : err_set(e, ERR_BAD_JSON, "the body is no JSON object");
    while (!rc && (key = yyjson_obj_iter_next(&it)) != NULL) {
        yyjson_val *v = yyjson_obj_iter_get_val(key);
        struct str text = {yyjson_get_str(v), yyjson_get_len(v)};
        if (!yyjson_equals_str(key, "reason"))
            rc = err_set(e, ERR_UNKNOWN_FIELD, "the field '%.80s' is not understood here",
                         yyjson_get_str(key));
        else if (!yyjson_is_str(v) || text.n > LIMIT_ROLLOUT_NOTE_BYTES || memchr(text.p, 0, text.n))
            rc = err_set(e, ERR_INVALID, "expected a reason of at most %d bytes", LIMIT_ROLLOUT_NOTE_BYTES);
        else
            request_reason(r, text);
    }
    yyjson_doc_free(doc);
    return rc;
}

static bool is_by_hand(enum plan_event event)
{
    return event >= EVENT_PAUSE && event < EVENT_SUPERSEDE;
}

// The last segment of the path: "12:pause".
int rollout_act(struct request *r, struct err *e)
{
    struct str name = r->args[0], id = str_split(&name, ':');
    enum plan_event event;
    struct rollout *o, *loaded;
    if (!plan_event_find(name, &event) || !is_by_hand(event)) {
        err_set(e, ERR_NO_ROUTE, "a rollout cannot be told to '%.*s'", (int)(name.n < 80 ? name.n : 80),
                name.p);
        err_hint(e, "One of :pause, :resume, :advance, :freeze, :promote, :rollback.");
        return ERR_NO_ROUTE;
    }
    int rc = read_reason(r, e);
    if (!rc)
        rc = find(r, id, &o, &loaded, e);
    if (rc)
        return rc;
    if (loaded) {
        err_set(e, ERR_CONFLICT, "rollout " STR_FMT " is over: %s", STR_ARG(id),
                plan_state_name(loaded->plan.state));
        rollout_free(loaded);
        return ERR_CONFLICT;
    }
    rc = change_new(r, e);
    if (rc)
        return rc;
    const struct rollout_cause cause = {
        .event = event, .actor = request_cause(r).actor, .note = str_of(r->reason), .request = r};
    rc = rollout_make(o, &cause, e);
    if (rc)
        return rc;
    change_publish(r);
    return 0;
}
