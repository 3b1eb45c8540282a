// SPDX-License-Identifier: Apache-2.0
// POST /api/v1/feedback: an array of items, or items one after the other (NDJSON), each judged by itself. The
// answer is given when all that was taken is durable.
//
//   {"prediction_id":"0190…","row":0,"label":true,"timestamp":1763850000.25}
//   {"token":"AQE…","label":true}       by the token of the answer (role/feedback_token.h)
//
// "row" is for predictions of several rows, 0 without it; a label that is an array is one for each row.
// "timestamp", seconds since 1970, is when the label became known; now without it.
#include "base/clock.h"
#include "predlog/record.h"
#include "role/feedback_token.h"
#include "role/monitor/quality.h"
#include "role/monitor/routes.h"

#include <math.h>
#include <string.h>
#include <yyjson.h>

enum { VERDICTS = QUALITY_UNCHANGED + 1 };
enum { LABELS_MAX = 100000 }; // of one request
static const char *const NAMES[VERDICTS] = {"joined", "waiting", "corrected", "unchanged"};

struct tally {
    struct request *r;
    struct str model;
    uint64_t now_ns, n[VERDICTS], refused;
    struct buf results;
};

static int read_label(yyjson_val *v, struct label *ret, struct err *e)
{
    ret->kind = LABEL_NUMBER;
    if (yyjson_is_bool(v)) {
        ret->number = yyjson_get_bool(v);
    } else if (yyjson_is_num(v) && isfinite(yyjson_get_num(v))) {
        ret->number = yyjson_get_num(v);
    } else if (yyjson_is_str(v)) {
        ret->kind = LABEL_TEXT;
        ret->text = label_text_hash(yyjson_get_str(v), yyjson_get_len(v));
    } else {
        return err_set(e, ERR_WRONG_TYPE, "'label' must be a number, true, false, or the name of a class");
    }
    if (ret->kind == LABEL_NUMBER && ret->number == 0)
        ret->number = 0; // not -0, which has other bits
    return 0;
}

struct item {
    bool has_id, has_token;
    uint8_t id[16];
    uint32_t row;
    uint64_t wall_ns;
    yyjson_val *label;
    struct feedback_token token;
    _Alignas(8) uint8_t plain[FEEDBACK_PLAIN_MAX]; // of the token
};

static int read_token(struct tally *t, yyjson_val *v, struct item *ret, struct err *e)
{
    struct feedback_sealer *s = t->r->m->sealer;
    ret->has_token = true;
    if (!yyjson_is_str(v))
        return err_set(e, ERR_WRONG_TYPE, "'token' must be a text");
    if (!feedback_sealer_has_keys(s))
        return err_set(e, ERR_UNAVAILABLE,
                       "the keys of feedback tokens are not here; see the setting feedback_tokens");
    return feedback_token_open(s, (struct str){yyjson_get_str(v), yyjson_get_len(v)}, t->now_ns, ret->plain,
                               &ret->token, e);
}

static int read_member(struct tally *t, const char *key, yyjson_val *v, struct item *ret, struct err *e)
{
    if (strcmp(key, "token") == 0)
        return read_token(t, v, ret, e);
    if (strcmp(key, "prediction_id") == 0) {
        ret->has_id = true;
        if (yyjson_is_str(v) && record_id_read((struct str){yyjson_get_str(v), yyjson_get_len(v)}, ret->id))
            return 0;
        return err_set(e, ERR_INVALID, "'prediction_id' must be the id of a prediction, as its answer said");
    }
    if (strcmp(key, "label") == 0) {
        ret->label = v;
        return 0;
    }
    if (strcmp(key, "row") == 0) {
        ret->row = (uint32_t)yyjson_get_uint(v);
        return yyjson_is_uint(v) && yyjson_get_uint(v) <= INT32_MAX
                   ? 0
                   : err_set(e, ERR_WRONG_TYPE, "'row' must be a whole number from 0");
    }
    if (strcmp(key, "timestamp") == 0) {
        double s = yyjson_get_num(v);
        if (!yyjson_is_num(v) || !(s >= 0 && s < 1e10))
            return err_set(e, ERR_WRONG_TYPE, "'timestamp' must be seconds since 1970");
        ret->wall_ns = (uint64_t)(s * 1e9);
        return 0;
    }
    return err_set(e, ERR_UNKNOWN_FIELD, "'%.60s' is not understood here", key);
}

static int read_item(struct tally *t, yyjson_val *v, struct item *ret, struct err *e)
{
    size_t i, n;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(v))
        return err_set(e, ERR_WRONG_TYPE, "an item must be an object");
    yyjson_obj_foreach(v, i, n, key, value)
    {
        int rc = read_member(t, yyjson_get_str(key), value, ret, e);
        if (rc)
            return rc;
    }
    if (!ret->has_id && !ret->has_token)
        return err_set(e, ERR_INVALID, "'prediction_id' is missing, or 'token'");
    if (ret->has_id && ret->has_token && memcmp(ret->id, ret->token.id, sizeof ret->id) != 0)
        return err_set(e, ERR_CONFLICT, "'token' is of another prediction than 'prediction_id'");
    return ret->label ? 0 : err_set(e, ERR_INVALID, "'label' is missing");
}

static int take_label(struct tally *t, const struct item *item, uint32_t row, yyjson_val *value,
                      enum quality_verdict *ret, struct err *e)
{
    struct label label = {.wall_ns = item->wall_ns};
    int rc = read_label(value, &label, e);
    if (rc)
        return rc;
    return item->has_token ? quality_label_sealed(t->r->m, &item->token, row, &label, t->model, ret, e)
                           : quality_label(t->r->m, item->id, row, &label, t->model, ret, e);
}

static void put_result(struct tally *t, uint32_t row, int rc, enum quality_verdict verdict,
                       const struct err *e)
{
    struct buf *out = &t->results;
    if (rc)
        t->refused++;
    else
        t->n[verdict]++;
    buf_printf(out, "%s{\"status\":\"%s\"", out->n ? "," : "", rc ? "refused" : NAMES[verdict]);
    if (row)
        buf_printf(out, ",\"row\":%u", row);
    if (rc) {
        buf_printf(out, ",\"code\":\"%s\",\"message\":", err_name(e->code));
        buf_put_json_str(out, str_of(e->msg));
    }
    buf_putc(out, '}');
}

static uint64_t n_accepted(const struct tally *t)
{
    uint64_t n = 0;
    for (int i = 0; i < VERDICTS; i++)
        n += t->n[i];
    return n;
}

static bool is_full(const struct tally *t)
{
    return n_accepted(t) + t->refused >= LABELS_MAX;
}

// False, and not taken, where a request has no more labels.
static bool take_item(struct tally *t, yyjson_val *v)
{
    struct err e = {0};
    enum quality_verdict verdict = QUALITY_UNCHANGED;
    struct item item = {.wall_ns = t->now_ns};
    if (is_full(t))
        return false;
    int rc = read_item(t, v, &item, &e);
    if (rc || !yyjson_is_arr(item.label)) {
        rc = rc ? rc : take_label(t, &item, item.row, item.label, &verdict, &e);
        put_result(t, item.row, rc, verdict, &e);
        return true;
    }
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(item.label, i, n, one)
    {
        if (is_full(t))
            return false;
        rc = take_label(t, &item, item.row + (uint32_t)i, one, &verdict, &e);
        put_result(t, item.row + (uint32_t)i, rc, verdict, &e);
    }
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Bytes of the value that begins here, so that its reader is given no more than it: by brackets and quotes
// alone, as what is no value is for the reader to say.
static size_t value_bytes(struct str s)
{
    size_t depth = 0, i = 0;
    bool in_text = false;
    for (; i < s.n; i++) {
        char c = s.p[i];
        if (in_text && c == '\\') {
            i++;
        } else if (c == '"') {
            if (!in_text && depth == 0 && i > 0)
                return i; // the next one
            in_text = !in_text;
            if (!in_text && depth == 0)
                return i + 1;
        } else if (in_text) {
            continue;
        } else if (c == '{' || c == '[') {
            if (depth++ == 0 && i > 0)
                return i;
        } else if ((c == '}' || c == ']') && depth > 0) {
            if (--depth == 0)
                return i + 1;
        } else if (depth == 0 && is_space(c)) {
            return i;
        }
    }
    return s.n;
}

static int take_value(struct tally *t, struct str value, struct err *e)
{
    yyjson_read_err why;
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)value.p, value.n, 0, NULL, &why);
    if (!doc)
        return err_set(e, ERR_BAD_JSON, "not JSON at byte %zu: %s",
                       (size_t)(value.p - t->r->body.p) + why.pos, why.msg);
    yyjson_val *root = yyjson_doc_get_root(doc), *v;
    size_t i, n;
    bool taken = true;
    if (yyjson_is_arr(root)) {
        yyjson_arr_foreach(root, i, n, v) taken = taken && take_item(t, v);
    } else {
        taken = take_item(t, root);
    }
    yyjson_doc_free(doc);
    return taken ? 0 : err_set(e, ERR_TOO_LARGE, "a request may have at most %d labels", LABELS_MAX);
}

// What stands in the body, one value or several; an error for the first that cannot be taken: those before it
// are taken already, and are told.
static int take_body(struct tally *t, struct err *e)
{
    struct str rest = buf_str(&t->r->body);
    int rc = 0;
    while (!rc) {
        while (rest.n && is_space(*rest.p))
            rest = (struct str){rest.p + 1, rest.n - 1};
        if (rest.n == 0)
            break;
        struct str value = {rest.p, value_bytes(rest)};
        rc = take_value(t, value, e);
        rest = (struct str){rest.p + value.n, rest.n - value.n};
    }
    return rc;
}

static void put_counts(const struct tally *t, struct buf *out)
{
    buf_printf(out, "\"accepted\":%llu", (unsigned long long)n_accepted(t));
    for (int i = 0; i < VERDICTS; i++)
        buf_printf(out, ",\"%s\":%llu", NAMES[i], (unsigned long long)t->n[i]);
    buf_printf(out, ",\"refused\":%llu,\"results\":[", (unsigned long long)t->refused);
    buf_put_str(out, buf_str(&t->results));
    buf_putc(out, ']');
}

// why NULL: all was taken.
static void answer(const struct tally *t, const struct err *why, struct str counts)
{
    if (why) {
        request_fail_with(t->r, why, counts);
        return;
    }
    buf_putc(&t->r->out, '{');
    buf_put_str(&t->r->out, counts);
    buf_putc(&t->r->out, '}');
    request_answer(t->r, 200, "application/json");
}

int feedback_take(struct request *r, struct err *e)
{
    char model[LIMIT_MODEL_NAME_BYTES + 1] = "";
    struct request_param params[] = {{"model", .text = model, .size = sizeof model}};
    struct err why;
    struct buf counts;
    int rc = request_params(r, params, 1, e);
    if (rc)
        return rc;
    struct tally t = {.r = r, .model = str_of(model), .now_ns = clock_wall_ns()};
    buf_init(&t.results, 64 << 20);
    buf_init(&counts, 65 << 20);
    bool is_whole = take_body(&t, &why) == 0;
    rc = quality_commit(r->m, e); // on an error a client tries again, to the same effect
    put_counts(&t, &counts);
    if (!rc && (t.results.failed || counts.failed))
        rc = err_set(e, ERR_NOMEM, "no memory for the answer");
    if (!rc)
        answer(&t, is_whole ? NULL : &why, buf_str(&counts));
    buf_done(&t.results);
    buf_done(&counts);
    return rc;
}
