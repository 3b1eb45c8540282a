// SPDX-License-Identifier: Apache-2.0
// Every error ends in fields_wrong, which quotes the value, cut where it is long.
#include "rollout/fields.h"

#include "base/assert.h"
#include "base/near.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KNOWN_MAX = 32, QUOTED_BYTES = 60 };

static size_t list_length(const char *const *known)
{
    size_t n = 0;
    while (known[n])
        n++;
    return n;
}

static void hint_near(struct str name, const char *const *known, struct err *e)
{
    struct str names[KNOWN_MAX];
    size_t n = list_length(known);
    for (size_t i = 0; i < n; i++)
        names[i] = str_of(known[i]);
    int at = near_find(name, names, n);
    if (at >= 0)
        err_hint(e, "Did you mean '%s'?", known[at]);
}

int fields_open(struct fields *f, yyjson_val *json, const char *const *known, struct err *e, const char *path,
                ...)
{
    va_list ap;
    size_t i, max, n = list_length(known);
    yyjson_val *key, *value;
    uint32_t seen = 0;
    va_start(ap, path);
    vsnprintf(f->path, sizeof f->path, path, ap);
    va_end(ap);
    f->object = json;
    if (!yyjson_is_obj(json)) {
        err_set(e, ERR_WRONG_TYPE, "expected an object");
        err_at(e, "%s", f->path);
        return ERR_WRONG_TYPE;
    }
    yyjson_obj_foreach(json, i, max, key, value)
    {
        size_t k = 0;
        while (k < n && !yyjson_equals_str(key, known[k]))
            k++;
        if (k < n && !(seen & 1u << k)) {
            seen |= 1u << k;
            continue;
        }
        struct str name = {yyjson_get_str(key), yyjson_get_len(key)};
        ASSERT(name.p);
        int code = k < n ? ERR_DUPLICATE_KEY : ERR_UNKNOWN_FIELD;
        err_set(e, code, "the field '%.*s' is %s", QUOTED_BYTES, name.p, k < n ? "there twice" : "not known");
        err_at(e, "%s", f->path);
        if (k == n)
            hint_near(name, known, e);
        return code;
    }
    return 0;
}

yyjson_val *fields_get(const struct fields *f, const char *name)
{
    return yyjson_obj_get(f->object, name);
}

int fields_wrong(const struct fields *f, const char *name, int code, struct err *e, const char *expected, ...)
{
    va_list ap;
    char text[ERR_MSG_MAX / 2];
    yyjson_val *value = fields_get(f, name);
    char *quoted = value ? yyjson_val_write(value, YYJSON_WRITE_ALLOW_INVALID_UNICODE, NULL) : NULL;
    ASSERT(expected);
    va_start(ap, expected);
    vsnprintf(text, sizeof text, expected, ap);
    va_end(ap);
    if (quoted)
        err_set(e, code, "expected %s, not %.*s%s", text, QUOTED_BYTES, quoted,
                strlen(quoted) > QUOTED_BYTES ? "…" : "");
    else
        err_set(e, code, "expected %s", text);
    err_at(e, "%s.%s", f->path, name);
    free(quoted);
    return code;
}

int fields_number(const struct fields *f, const char *name, double lo, double hi, double *ret, struct err *e)
{
    yyjson_val *v = fields_get(f, name);
    if (!v)
        return 0;
    double x = yyjson_get_num(v);
    if (!yyjson_is_num(v) || !isfinite(x) || x < lo || x > hi)
        return fields_wrong(f, name, yyjson_is_num(v) ? ERR_OUT_OF_RANGE : ERR_WRONG_TYPE, e,
                            "a number from %g to %g", lo, hi);
    *ret = x;
    return 0;
}

int fields_whole(const struct fields *f, const char *name, uint64_t lo, uint64_t hi, uint64_t *ret,
                 struct err *e)
{
    yyjson_val *v = fields_get(f, name);
    if (!v)
        return 0;
    uint64_t x = yyjson_get_uint(v);
    if (!yyjson_is_uint(v) || x < lo || x > hi)
        return fields_wrong(f, name, yyjson_is_num(v) ? ERR_OUT_OF_RANGE : ERR_WRONG_TYPE, e,
                            "a whole number from %llu to %llu", (unsigned long long)lo,
                            (unsigned long long)hi);
    *ret = x;
    return 0;
}

int fields_whole32(const struct fields *f, const char *name, uint32_t lo, uint32_t hi, uint32_t *ret,
                   struct err *e)
{
    uint64_t x = *ret;
    int rc = fields_whole(f, name, lo, hi, &x, e);
    *ret = (uint32_t)x;
    return rc;
}

int fields_bool(const struct fields *f, const char *name, bool *ret, struct err *e)
{
    yyjson_val *v = fields_get(f, name);
    if (v && !yyjson_is_bool(v))
        return fields_wrong(f, name, ERR_WRONG_TYPE, e, "true or false");
    if (v)
        *ret = yyjson_get_bool(v);
    return 0;
}

int fields_text(const struct fields *f, const char *name, char *ret, size_t n_bytes, struct err *e)
{
    yyjson_val *v = fields_get(f, name);
    if (!v)
        return 0;
    size_t n = yyjson_get_len(v);
    if (!yyjson_is_str(v) || n == 0 || n >= n_bytes || memchr(yyjson_get_str(v), 0, n))
        return fields_wrong(f, name, yyjson_is_str(v) ? ERR_OUT_OF_RANGE : ERR_WRONG_TYPE, e,
                            "a string of 1 to %zu bytes", n_bytes - 1);
    memcpy(ret, yyjson_get_str(v), n + 1);
    return 0;
}

int fields_choice(const struct fields *f, const char *name, const char *const *names, int n, int *ret,
                  struct err *e)
{
    yyjson_val *v = fields_get(f, name);
    char list[ERR_MSG_MAX / 4] = "";
    size_t used = 0;
    if (!v)
        return 0;
    for (int i = 0; i < n; i++)
        if (yyjson_equals_str(v, names[i])) {
            *ret = i;
            return 0;
        }
    for (int i = 0; i < n && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                 i == 0       ? ""
                                 : i == n - 1 ? " or "
                                              : ", ",
                                 names[i]);
    return fields_wrong(f, name, yyjson_is_str(v) ? ERR_OUT_OF_RANGE : ERR_WRONG_TYPE, e, "%s", list);
}

int fields_weight(const struct fields *f, const char *name, uint32_t lo_bp, uint32_t hi_bp, uint32_t *ret_bp,
                  struct err *e)
{
    double percent = *ret_bp / 100.0;
    int rc = fields_number(f, name, lo_bp / 100.0, hi_bp / 100.0, &percent, e);
    // 0.29 * 100 is not 29 exactly; what is meant is clear.
    double bp = round(percent * 100);
    if (rc == 0 && fabs(bp - percent * 100) > 1e-6)
        rc = fields_wrong(f, name, ERR_OUT_OF_RANGE, e, "a percentage in steps of 0.01");
    *ret_bp = (uint32_t)bp;
    return rc;
}

int fields_array(const struct fields *f, const char *name, size_t most, yyjson_val **ret, struct err *e)
{
    *ret = fields_get(f, name);
    if (*ret && (!yyjson_is_arr(*ret) || yyjson_arr_size(*ret) == 0 || yyjson_arr_size(*ret) > most))
        return fields_wrong(f, name, yyjson_is_arr(*ret) ? ERR_WRONG_COUNT : ERR_WRONG_TYPE, e,
                            "an array of 1 to %zu elements", most);
    return 0;
}

int fields_need(const struct fields *f, const char *name, struct err *e)
{
    if (fields_get(f, name))
        return 0;
    err_set(e, ERR_INVALID, "the field '%s' is missing", name);
    err_at(e, "%s", f->path);
    return ERR_INVALID;
}
