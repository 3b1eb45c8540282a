// SPDX-License-Identifier: Apache-2.0
// The query of an admin request, read by a table of parameters.
#include "role/request.h"

#include "base/near.h"
#include "wire/url.h"

#include <string.h>

enum { PARAMS_MAX = 8 };

void request_reason(struct request *r, struct str reason)
{
    size_t n = reason.n < sizeof r->reason ? reason.n : sizeof r->reason - 1;
    memcpy(r->reason, reason.p, n);
    r->reason[n] = '\0';
}

static int unknown(struct str key, const struct request_param *params, size_t n, struct err *e)
{
    struct str names[PARAMS_MAX];
    for (size_t i = 0; i < n; i++)
        names[i] = str_of(params[i].name);
    err_set(e, ERR_UNKNOWN_FIELD, "query parameter '%.*s' is not understood here",
            (int)(key.n < 80 ? key.n : 80), key.p);
    int near = near_find(key, names, n);
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(names[near]));
    else if (n == 1)
        err_hint(e, "The only one is '" STR_FMT "'.", STR_ARG(names[0]));
    return ERR_UNKNOWN_FIELD;
}

static int take(const struct request_param *p, struct str value, struct err *e)
{
    if (p->text) {
        if (value.n >= p->size)
            return err_set(e, ERR_TOO_LARGE, "query parameter '%s' has at most %zu bytes", p->name,
                           p->size - 1);
        memcpy(p->text, value.p, value.n);
        p->text[value.n] = '\0';
        return 0;
    }
    if (p->number) {
        if (str_to_u64(value, p->max, p->number))
            return 0;
        return err_set(e, ERR_INVALID, "query parameter '%s' must be a whole number up to %llu", p->name,
                       (unsigned long long)p->max);
    }
    *p->flag = str_eq(value, STR("true")) || str_eq(value, STR("1"));
    if (!*p->flag && !str_eq(value, STR("false")) && !str_eq(value, STR("0")))
        return err_set(e, ERR_INVALID, "query parameter '%s' must be true or false", p->name);
    return 0;
}

int request_params(const struct request *r, const struct request_param *params, size_t n, struct err *e)
{
    char decoded[LIMIT_HTTP_TARGET_BYTES];
    struct str rest = r->query, key, value;
    while (url_query_next(&rest, &key, &value)) {
        size_t i = 0;
        while (i < n && !str_eq(key, str_of(params[i].name)))
            i++;
        if (i == n)
            return unknown(key, params, n, e);
        int rc = url_query_get(r->query, key, decoded, sizeof decoded, &value, e);
        if (rc >= 0)
            rc = take(&params[i], value, e);
        if (rc)
            return rc;
    }
    return 0;
}

int request_page(const struct request *r, struct request_page *ret, const struct request_param *more,
                 size_t n_more, struct err *e)
{
    struct request_param params[PARAMS_MAX] = {{"limit", .number = &ret->limit, .max = LIMIT_PAGE},
                                               {"after", .number = &ret->after, .max = INT64_MAX}};
    *ret = (struct request_page){.limit = REQUEST_PAGE_DEFAULT};
    if (n_more)
        memcpy(params + 2, more, n_more * sizeof *more);
    int rc = request_params(r, params, 2 + n_more, e);
    if (!rc && ret->limit == 0)
        rc = err_set(e, ERR_INVALID, "query parameter 'limit' must be from 1 to %d", LIMIT_PAGE);
    return rc;
}
