// SPDX-License-Identifier: Apache-2.0
// Asking a model document for a member of a certain kind, with one wording for what can be wrong about it.
#include "engine/trees/xgboost_doc.h"

#include <string.h>

static const char *kind_name(enum doc_kind k)
{
    static const char *const NAMES[] = {"absent",   "null",   "a boolean", "a number",
                                        "a string", "a list", "an object"};
    return NAMES[k];
}

enum doc_kind doc_kind(struct doc d)
{
    return d.val ? d.ops->kind(d.val) : DOC_ABSENT;
}

size_t doc_length(struct doc d)
{
    return d.val ? d.ops->length(d.val) : 0;
}

struct doc doc_first(struct doc arr)
{
    return (struct doc){arr.ops, doc_length(arr) ? arr.ops->first(arr.val) : NULL};
}

struct doc doc_next(struct doc item)
{
    return (struct doc){item.ops, item.ops->next(item.val)};
}

struct str doc_text(struct doc string)
{
    return string.ops->text(string.val);
}

int doc_find(struct doc obj, const char *key, enum doc_kind kind, struct doc *ret, struct err *e)
{
    bool twice;
    *ret = (struct doc){obj.ops, obj.ops->member(obj.val, str_of(key), &twice)};
    if (twice)
        return err_set(e, ERR_BAD_MODEL, "'%s' stands twice in one object", key);
    enum doc_kind got = doc_kind(*ret);
    if (got == DOC_ABSENT || got == DOC_NULL)
        ret->val = NULL;
    else if (got != kind)
        return err_set(e, ERR_BAD_MODEL, "'%s' is %s, not %s", key, kind_name(got), kind_name(kind));
    return 0;
}

int doc_get(struct doc obj, const char *key, enum doc_kind kind, struct doc *ret, struct err *e)
{
    int rc = doc_find(obj, key, kind, ret, e);
    if (rc || ret->val)
        return rc;
    return err_set(e, ERR_BAD_MODEL, "'%s' is absent", key);
}

int doc_param(struct doc obj, const char *key, uint32_t max, uint32_t fallback, uint32_t *ret, struct err *e)
{
    struct doc d;
    uint64_t v;
    *ret = fallback;
    int rc = doc_find(obj, key, DOC_STRING, &d, e);
    if (rc || !d.val)
        return rc;
    struct str s = doc_text(d);
    if (!str_to_u64(s, max, &v))
        return err_set(e, ERR_BAD_MODEL, "'%s' is '%.*s', not a whole number up to %u", key,
                       (int)(s.n < 32 ? s.n : 32), s.p, max);
    *ret = (uint32_t)v;
    return 0;
}

static int get_numbers(struct doc obj, const char *key, size_t n, struct doc *ret, struct err *e)
{
    int rc = doc_get(obj, key, DOC_ARRAY, ret, e);
    if (!rc && doc_length(*ret) != n)
        return err_set(e, ERR_BAD_MODEL, "'%s' has %zu values instead of %zu", key, doc_length(*ret), n);
    return rc;
}

int doc_get_ints(struct doc obj, const char *key, int32_t *ret, size_t n, struct err *e)
{
    struct doc d;
    int rc = get_numbers(obj, key, n, &d, e);
    if (rc)
        return rc;
    size_t good = d.ops->ints(d.val, ret, n);
    return good == n ? 0 : err_set(e, ERR_BAD_MODEL, "'%s': value %zu is not a 32-bit integer", key, good);
}

int doc_get_floats(struct doc obj, const char *key, float *ret, size_t n, struct err *e)
{
    struct doc d;
    int rc = get_numbers(obj, key, n, &d, e);
    if (rc)
        return rc;
    size_t good = d.ops->floats(d.val, ret, n);
    return good == n ? 0 : err_set(e, ERR_BAD_MODEL, "'%s': value %zu is not a number", key, good);
}
