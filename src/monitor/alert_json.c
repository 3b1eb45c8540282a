// SPDX-License-Identifier: Apache-2.0
// Alerts as JSON: for the API and receivers, and the state that survives.
#include "base/clock.h"
#include "monitor/alert.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

static const char *const STATES[ALERT_STATES] = {"quiet", "pending", "firing", "resolved"};

const char *alert_state_name(enum alert_state s)
{
    return STATES[s];
}

void alert_id(const struct alert *a, char ret[ALERT_ID_BYTES])
{
    snprintf(ret, ALERT_ID_BYTES, "%016llx-%llu-%s", (unsigned long long)a->fingerprint,
             (unsigned long long)(a->fired_wall_ns / 1000000), STATES[a->state]);
}

static void put_time(struct buf *out, const char *key, uint64_t wall_ns)
{
    char text[CLOCK_RFC3339_SIZE];
    if (!wall_ns)
        return;
    clock_rfc3339(wall_ns, text);
    buf_printf(out, ",\"%s\":\"%s\"", key, text);
}

static void put_text(struct buf *out, const char *key, const char *text)
{
    if (!text[0])
        return;
    buf_printf(out, ",\"%s\":", key);
    buf_put_json_str(out, str_of(text));
}

// "churn version 3: share of predictions answered with 5xx is 0.25, above 0.01",
// "churn version 3 stable: accuracy of labelled predictions is 0.7, below 0.8"
static void put_summary(const struct alert *a, struct buf *out)
{
    char text[512], version[32] = "";
    bool is_over = a->state == ALERT_RESOLVED;
    if (a->version)
        snprintf(version, sizeof version, " version %u", a->version);
    snprintf(text, sizeof text, "%s%s%s%s: %s%s%s %s %.4g, %s %.4g", a->model[0] ? a->model : "server",
             version, a->subject[0] ? " " : "", a->subject, a->metric, a->metric[0] ? " " : "",
             alert_kind_info(a->kind)->what, is_over ? "was" : "is", a->value,
             is_over       ? "the limit is"
             : a->is_below ? "below"
                           : "above",
             a->limit);
    put_text(out, "summary", text);
}

void alert_put(const struct alert *a, struct buf *out)
{
    char id[ALERT_ID_BYTES];
    alert_id(a, id);
    buf_printf(out, "{\"id\":\"%s\",\"fingerprint\":\"%016llx\",\"state\":\"%s\",\"kind\":\"%s\"", id,
               (unsigned long long)a->fingerprint, STATES[a->state], alert_kind_info(a->kind)->name);
    put_text(out, "rule", a->rule);
    buf_printf(out, ",\"severity\":\"%s\"", a->is_critical ? "critical" : "warning");
    put_text(out, "model", a->model);
    if (a->version)
        buf_printf(out, ",\"version\":%u", a->version);
    put_text(out, "subject", a->subject);
    put_text(out, "metric", a->metric);
    buf_printf(out, ",\"value\":%.9g,\"%s\":%.9g", a->value, a->is_below ? "below" : "above", a->limit);
    put_time(out, "since", a->since_wall_ns);
    if (a->state != ALERT_PENDING)
        put_time(out, "fired", a->fired_wall_ns);
    if (a->state == ALERT_RESOLVED)
        put_time(out, "resolved", a->resolved_wall_ns);
    put_summary(a, out);
    buf_putc(out, '}');
}

// ---- state

// X(key, field): the numbers.
#define NUMBERS(X)                                                                                           \
    X("fingerprint", fingerprint)                                                                            \
    X("since", since_wall_ns)                                                                                \
    X("fired", fired_wall_ns)                                                                                \
    X("resolved", resolved_wall_ns)                                                                          \
    X("calm", calm_wall_ns)                                                                                  \
    X("known", known_wall_ns)

void alert_book_save(const struct alert_book *b, struct buf *out)
{
    const struct alert *a;
    bool first = true;
    buf_puts(out, "{\"alerts\":[");
    for (size_t i = 0; (a = alert_book_at(b, i)) != NULL; i++) {
        if (a->state != ALERT_FIRING && a->state != ALERT_RESOLVED)
            continue;
        buf_printf(out, "%s{\"state\":%u,\"told\":%u,\"kind\":\"%s\",\"version\":%u,\"critical\":%s",
                   first ? "" : ",", a->state, a->told, alert_kind_info(a->kind)->name, a->version,
                   a->is_critical ? "true" : "false");
        buf_printf(out, ",\"value\":%.17g,\"limit\":%.17g", a->value, a->limit);
#define PUT_NUMBER(key, field) buf_printf(out, ",\"%s\":%llu", key, (unsigned long long)a->field);
        NUMBERS(PUT_NUMBER)
        put_text(out, "rule", a->rule);
        put_text(out, "model", a->model);
        put_text(out, "subject", a->subject);
        put_text(out, "metric", a->metric);
        if (a->is_below)
            buf_puts(out, ",\"below\":true");
        buf_putc(out, '}');
        first = false;
    }
    buf_puts(out, "]}\n");
}

static bool take_text(yyjson_val *row, const char *key, char *to, size_t size)
{
    yyjson_val *v = yyjson_obj_get(row, key);
    if (v && (!yyjson_is_str(v) || yyjson_get_len(v) >= size))
        return false;
    snprintf(to, size, "%s", v ? yyjson_get_str(v) : "");
    return true;
}

static bool take_alert(yyjson_val *row, struct alert *a)
{
    yyjson_val *state = yyjson_obj_get(row, "state"), *told = yyjson_obj_get(row, "told"),
               *kind = yyjson_obj_get(row, "kind");
    while (a->kind < ALERT_N_KINDS && !yyjson_equals_str(kind, alert_kind_info(a->kind)->name))
        a->kind++;
    a->state = (enum alert_state)yyjson_get_uint(state);
    a->told = (enum alert_told)yyjson_get_uint(told);
    a->version = (uint32_t)yyjson_get_uint(yyjson_obj_get(row, "version"));
    a->is_critical = yyjson_get_bool(yyjson_obj_get(row, "critical"));
    a->is_below = yyjson_get_bool(yyjson_obj_get(row, "below"));
    a->value = yyjson_get_num(yyjson_obj_get(row, "value"));
    a->limit = yyjson_get_num(yyjson_obj_get(row, "limit"));
#define TAKE_NUMBER(key, field) a->field = yyjson_get_uint(yyjson_obj_get(row, key));
    NUMBERS(TAKE_NUMBER)
    return yyjson_is_uint(state) && yyjson_is_uint(told) && a->told <= ALERT_TOLD_ALL &&
           a->kind < ALERT_N_KINDS && (a->state == ALERT_FIRING || a->state == ALERT_RESOLVED) &&
           isfinite(a->value) && isfinite(a->limit) && take_text(row, "rule", a->rule, sizeof a->rule) &&
           take_text(row, "model", a->model, sizeof a->model) &&
           take_text(row, "subject", a->subject, sizeof a->subject) &&
           take_text(row, "metric", a->metric, sizeof a->metric);
}

int alert_book_load(struct alert_book *b, struct str json, struct err *e)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "alerts"), *row;
    size_t i, n;
    int rc = yyjson_is_arr(list) ? 0 : err_set(e, ERR_INVALID, "the state of alerts is damaged");
    yyjson_arr_foreach(list, i, n, row)
    {
        struct alert a = {0};
        if (rc == 0 && !take_alert(row, &a))
            rc = err_set(e, ERR_INVALID, "alert %zu of the state is damaged", i);
        if (rc == 0)
            rc = alert_book_take(b, &a, e);
        if (rc)
            break;
    }
    yyjson_doc_free(doc);
    if (rc)
        alert_book_clear(b);
    return rc;
}
