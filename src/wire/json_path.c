// SPDX-License-Identifier: Apache-2.0
// Goes down the path with the pull scanner: what is not on the way is skipped.
#include "wire/json_path.h"

#include "wire/json_scan.h"

bool json_path_next(struct str *path, struct json_path_step *ret)
{
    const char *p = path->p, *end = path->p + path->n, *from = p + 1;
    if (p == end || (*p != '.' && *p != '['))
        return false;
    bool is_index = *p++ == '[';
    while (p < end && *p != '.' && *p != '[' && *p != ']')
        p++;
    struct str inner = {from, (size_t)(p - from)};
    *ret = (struct json_path_step){.name = inner};
    if (is_index && (p == end || *p++ != ']' || !str_to_u64(inner, UINT32_MAX, &ret->index)))
        return false;
    if (is_index)
        ret->name = (struct str){0};
    *path = (struct str){p, (size_t)(end - p)};
    return inner.n > 0;
}

int json_path_check(struct str text, struct err *e)
{
    struct str rest = text;
    struct json_path_step step;
    if (rest.n && *rest.p == '$') {
        rest = (struct str){rest.p + 1, rest.n - 1};
        while (json_path_next(&rest, &step))
            if (rest.n == 0)
                return 0;
    }
    return err_set(e, ERR_INVALID, "'" STR_FMT "' is no path such as $.id or $.instances[0].user_id",
                   STR_ARG(text));
}

// Goes to the value that the step leads to. False when there is none.
static bool descend(struct json_scan *s, const struct json_path_step *step, struct arena *arena)
{
    struct err e;
    bool first = true, by_name = step->name.n > 0;
    if (json_scan_kind(s) != (by_name ? JSON_OBJECT : JSON_ARRAY) || json_scan_enter(s, &e))
        return false;
    for (uint64_t i = 0; json_scan_item(s, by_name ? '}' : ']', &first, &e) == 1; i++) {
        struct str key;
        if (by_name && json_scan_key(s, arena, &key, &e))
            return false;
        if (by_name ? str_eq(key, step->name) : i == step->index)
            return true;
        if (json_scan_kind(s) <= JSON_BAD || json_scan_skip(s, &e))
            return false;
    }
    return false;
}

bool json_path_find(struct str json, struct str path, struct arena *arena, struct str *ret)
{
    struct json_scan s;
    struct json_path_step step;
    struct err e;
    struct str rest = {path.p + 1, path.n - 1};
    json_scan_init(&s, json);
    while (rest.n)
        if (!json_path_next(&rest, &step) || !descend(&s, &step, arena))
            return false;
    enum json_kind k = json_scan_kind(&s);
    const char *from = s.p;
    if (k == JSON_STRING)
        return json_scan_string(&s, arena, ret, &e) == 0;
    if ((k != JSON_NUMBER && k != JSON_TRUE && k != JSON_FALSE) || json_scan_skip(&s, &e))
        return false;
    *ret = (struct str){from, (size_t)(s.p - from)};
    return true;
}
