// SPDX-License-Identifier: Apache-2.0
// Lines, fields and number lists of a LightGBM text model. Numbers are read exactly: LightGBM writes 17
// significant digits, and a threshold that is off by one bit sends rows to another leaf.
#include "engine/trees/lightgbm_lines.h"

#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool lines_next(struct lines *in, struct str *ret)
{
    if (in->p == in->end)
        return false;
    const char *nl = memchr(in->p, '\n', (size_t)(in->end - in->p));
    const char *stop = nl ? nl : in->end;
    *ret = (struct str){in->p, (size_t)(stop - in->p)};
    if (ret->n && ret->p[ret->n - 1] == '\r')
        ret->n--;
    in->p = nl ? nl + 1 : in->end;
    in->n++;
    return true;
}

bool lines_next_filled(struct lines *in, struct str *ret)
{
    while (lines_next(in, ret))
        if (ret->n)
            return true;
    return false;
}

struct shown lines_shown(struct str s)
{
    struct shown ret;
    size_t n = s.n < 40 ? s.n : 40;
    for (size_t i = 0; i < n; i++)
        ret.z[i] = s.p[i] >= ' ' && s.p[i] <= '~' ? s.p[i] : '?';
    memcpy(ret.z + n, s.n > n ? "..." : "", s.n > n ? 4 : 1);
    return ret;
}

static int list_bad(const struct list *l, const char *expected, struct str found)
{
    char where[32] = "";
    if (l->tree >= 0)
        snprintf(where, sizeof where, ", tree %lld", (long long)l->tree);
    return err_set(l->e, ERR_BAD_MODEL, "line %u%s: %s[%u] is '%s', expected %s", l->line, where, l->name,
                   l->at, lines_shown(found).z, expected);
}

static int list_short(const struct list *l, const char *what, uint64_t has)
{
    char where[32] = "";
    if (l->tree >= 0)
        snprintf(where, sizeof where, ", tree %lld", (long long)l->tree);
    return err_set(l->e, ERR_BAD_MODEL, "line %u%s: %s has %s%llu values, expected %u", l->line, where,
                   l->name, what, (unsigned long long)has, l->want);
}

struct list list_of(struct field f, const char *name, int64_t tree, uint32_t want, struct err *e)
{
    return (struct list){.rest = f.value, .name = name, .line = f.line, .tree = tree, .want = want, .e = e};
}

static struct str token_take(struct str *rest)
{
    while (rest->n && *rest->p == ' ')
        rest->p++, rest->n--;
    const char *start = rest->p;
    while (rest->n && *rest->p != ' ')
        rest->p++, rest->n--;
    return (struct str){start, (size_t)(rest->p - start)};
}

static int list_token(struct list *l, struct str *ret)
{
    *ret = token_take(&l->rest);
    return ret->n ? 0 : list_short(l, "only ", l->at);
}

int list_int(struct list *l, int64_t min, int64_t max, int64_t *ret)
{
    struct str tok;
    int rc = list_token(l, &tok);
    if (rc)
        return rc;
    struct str digits = tok;
    bool negative = digits.n && *digits.p == '-';
    if (negative)
        digits.p++, digits.n--;
    uint64_t v;
    if (str_to_u64(digits, UINT32_MAX, &v)) {
        *ret = negative ? -(int64_t)v : (int64_t)v;
        if (*ret >= min && *ret <= max) {
            l->at++;
            return 0;
        }
    }
    char expected[80];
    snprintf(expected, sizeof expected, "an integer from %lld to %lld", (long long)min, (long long)max);
    return list_bad(l, max < min ? "nothing: none is possible" : expected, tok);
}

int list_double(struct list *l, double *ret)
{
    struct str tok;
    int rc = list_token(l, &tok);
    if (rc)
        return rc;
    size_t used;
    if (!num_parse_loose(tok.p, tok.n, ret, &used) || used != tok.n || !isfinite(*ret))
        return list_bad(l, "a finite number", tok);
    l->at++;
    return 0;
}

int list_threshold(struct list *l, double *ret)
{
    struct list ahead = *l;
    struct str tok = token_take(&ahead.rest);
    bool low = str_eq(tok, STR("-inf"));
    if (!low && !str_eq(tok, STR("inf")))
        return list_double(l, ret);
    *ret = low ? -HUGE_VAL : HUGE_VAL;
    *l = ahead;
    l->at++;
    return 0;
}

int list_end(struct list *l)
{
    uint64_t left = list_count(l->rest);
    return left || l->at != l->want ? list_short(l, "", l->at + left) : 0;
}

uint64_t list_count(struct str s)
{
    uint64_t n = 0;
    while (token_take(&s).n)
        n++;
    return n;
}
