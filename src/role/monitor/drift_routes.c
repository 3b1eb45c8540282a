// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/models/{}/drift?window=&version= and PUT /api/v1/models/{}/baseline
// {"window":"6h","version":"3"}.
#include "role/monitor/routes.h"

#include "base/clock.h"
#include "monitor/observer_json.h"
#include "role/monitor/drift_feed.h"
#include "role/monitor/models.h"

#include <string.h>
#include <yyjson.h>

enum { TEXT_MAX = 80 };

// "last"; "6": so many windows; "90m", "24h", "7d": those that ended within that time.
static int read_window(struct str text, uint32_t *ret_n, uint64_t *ret_from_wall_ns, struct err *e)
{
    static const struct {
        char unit;
        uint64_t s;
    } UNITS[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    uint64_t n, now = clock_wall_ns();
    *ret_from_wall_ns = 0;
    *ret_n = 1;
    if (text.n == 0 || str_eq(text, STR("last")))
        return 0;
    if (str_to_u64(text, OBSERVER_WINDOWS, &n) && n) {
        *ret_n = (uint32_t)n;
        return 0;
    }
    for (size_t i = 0; i < 4; i++)
        if (text.p[text.n - 1] == UNITS[i].unit &&
            str_to_u64((struct str){text.p, text.n - 1}, 1 << 20, &n) && n) {
            uint64_t back = n * UNITS[i].s * UINT64_C(1000000000);
            *ret_from_wall_ns = back < now ? now - back : 1;
            *ret_n = OBSERVER_WINDOWS;
            return 0;
        }
    err_set(e, ERR_INVALID,
            "a window is 'last', a number of windows up to %d, or a time as '24h', not '" STR_FMT "'",
            OBSERVER_WINDOWS, STR_ARG(text));
    err_at(e, "window");
    return ERR_INVALID;
}

static int find(struct request *r, const char *selector, struct version **ret_v, struct observer **ret_o,
                struct err *e)
{
    int rc = models_find(r->m->models, r->args[0], str_of(selector), ret_v, e);
    *ret_o = rc ? NULL : drift_observer(r->m, *ret_v);
    if (!rc && !*ret_o)
        rc = err_set(e, ERR_UNAVAILABLE, "version %u of '" STR_FMT "' is not watched for drift",
                     (*ret_v)->version, STR_ARG(r->args[0]));
    return rc;
}

int drift_show(struct request *r, struct err *e)
{
    char window[TEXT_MAX] = "", selector[TEXT_MAX] = "";
    const struct request_param PARAMS[] = {{.name = "window", .text = window, .size = sizeof window},
                                           {.name = "version", .text = selector, .size = sizeof selector}};
    struct version *v = NULL;
    struct observer *o;
    uint32_t n = 1;
    uint64_t from = 0;
    int rc = request_params(r, PARAMS, 2, e);
    if (!rc)
        rc = read_window(str_of(window), &n, &from, e);
    if (!rc)
        rc = find(r, selector, &v, &o, e);
    if (rc)
        return rc;
    buf_puts(&r->out, "{\"model\":");
    buf_put_json_str(&r->out, str_of(v->model));
    buf_printf(&r->out, ",\"version\":%u,", v->version);
    observer_put(o, from, n, &r->out);
    drift_put_unwatched(r->m, v, &r->out);
    buf_puts(&r->out, "}\n");
    request_answer(r, 200, "application/json");
    return 0;
}

static int read_text(yyjson_val *root, const char *field, char ret[TEXT_MAX], struct err *e)
{
    yyjson_val *v = yyjson_obj_get(root, field);
    if (yyjson_is_uint(v))
        snprintf(ret, TEXT_MAX, "%llu", (unsigned long long)yyjson_get_uint(v));
    else if (yyjson_is_str(v) && yyjson_get_len(v) < TEXT_MAX)
        snprintf(ret, TEXT_MAX, "%s", yyjson_get_str(v));
    else if (v) {
        err_set(e, ERR_WRONG_TYPE, "expected a text or a number");
        err_at(e, "$.%s", field);
        return ERR_WRONG_TYPE;
    }
    return 0;
}

static int read_body(const struct request *r, char window[TEXT_MAX], char selector[TEXT_MAX], struct err *e)
{
    yyjson_doc *doc = yyjson_read(r->body.p, r->body.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *key, *value;
    size_t i, n;
    int rc = yyjson_is_obj(root) ? 0 : err_set(e, ERR_BAD_JSON, "expected an object with \"window\"");
    yyjson_obj_foreach(root, i, n, key, value)
    {
        if (!rc && !yyjson_equals_str(key, "window") && !yyjson_equals_str(key, "version"))
            rc = err_set(e, ERR_UNKNOWN_FIELD, "the fields are window and version");
    }
    if (!rc)
        rc = read_text(root, "window", window, e);
    if (!rc)
        rc = read_text(root, "version", selector, e);
    if (!rc && !window[0])
        rc = err_set(e, ERR_INVALID, "the field \"window\" says which windows become the baseline");
    yyjson_doc_free(doc);
    return rc;
}

int baseline_put(struct request *r, struct err *e)
{
    char window[TEXT_MAX] = "", selector[TEXT_MAX] = "", source[2 * TEXT_MAX], now[CLOCK_RFC3339_SIZE];
    struct version *v = NULL;
    struct observer *o;
    uint32_t n = 1;
    uint64_t from = 0;
    int rc = read_body(r, window, selector, e);
    if (!rc)
        rc = read_window(str_of(window), &n, &from, e);
    if (!rc)
        rc = find(r, selector, &v, &o, e);
    if (rc)
        return rc;
    clock_rfc3339(clock_wall_ns(), now);
    snprintf(source, sizeof source, "live window %s, set %s", window, now);
    rc = observer_rebase(o, n, from, str_of(source), e);
    if (!rc)
        rc = drift_keep_baseline(r->m, v, e);
    if (rc)
        return rc;
    log_event(&r->m->log, LOG_LEVEL_INFO, "baseline_set", LOG_Z("model", v->model),
              LOG_INT("version", v->version), LOG_Z("window", window), LOG_Z("request_id", r->request_id));
    buf_puts(&r->out, "{\"model\":");
    buf_put_json_str(&r->out, str_of(v->model));
    buf_printf(&r->out, ",\"version\":%u,", v->version);
    observer_put(o, 0, 1, &r->out);
    drift_put_unwatched(r->m, v, &r->out);
    buf_puts(&r->out, "}\n");
    request_answer(r, 200, "application/json");
    return 0;
}
