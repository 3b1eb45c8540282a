// SPDX-License-Identifier: Apache-2.0
// A short array that is searched: there are few.
#include "rollout/segments.h"

#include <string.h>
#include <yyjson.h>

static bool is_name(struct str value)
{
    size_t i = 0, length = 1;
    while (i < value.n && length) {
        length = str_utf8_len((struct str){value.p + i, value.n - i});
        i += length;
    }
    return value.n <= SEGMENT_BYTES && length && !memchr(value.p, 0, value.n);
}

uint32_t segments_place(struct segments *s, struct str value)
{
    if (value.n == 0)
        return SEGMENT_ABSENT;
    for (uint32_t i = 0; i < s->n; i++)
        if (str_eq(value, str_of(s->of[i].value)))
            return i;
    if (s->n == SEGMENTS_MAX || !is_name(value))
        return SEGMENT_OTHERS;
    memcpy(s->of[s->n].value, value.p, value.n);
    s->of[s->n].value[value.n] = '\0';
    return s->n++;
}

struct pairs *segments_at(struct segments *s, uint32_t place)
{
    return place < s->n ? &s->of[place].pairs : place == SEGMENT_ABSENT ? &s->absent : &s->others;
}

void segments_clear(struct segments *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        s->of[i].pairs = (struct pairs){0};
    s->absent = s->others = (struct pairs){0};
}

void segments_merge(struct segments *into, const struct segments *from)
{
    for (uint32_t i = 0; i < from->n; i++)
        pairs_merge(segments_at(into, segments_place(into, str_of(from->of[i].value))), &from->of[i].pairs);
    pairs_merge(&into->absent, &from->absent);
    pairs_merge(&into->others, &from->others);
}

// ---- text ----

static bool is_empty(const struct pairs *p)
{
    return p->n == 0 && p->dropped == 0;
}

static void put_pairs(const char *name, const struct pairs *p, struct buf *json)
{
    if (is_empty(p))
        return;
    buf_printf(json, ",\"%s\":", name);
    pairs_encode(p, json);
}

void segments_encode(const struct segments *s, struct buf *json)
{
    const char *comma = "";
    buf_puts(json, "{\"of\":[");
    for (uint32_t i = 0; i < s->n; i++) {
        if (is_empty(&s->of[i].pairs))
            continue;
        buf_printf(json, "%s{\"value\":", comma);
        buf_put_json_str(json, str_of(s->of[i].value));
        put_pairs("pairs", &s->of[i].pairs, json);
        buf_putc(json, '}');
        comma = ",";
    }
    buf_putc(json, ']');
    put_pairs("absent", &s->absent, json);
    put_pairs("others", &s->others, json);
    buf_putc(json, '}');
}

static int read_rest(yyjson_val *json, const char *name, struct pairs *ret, struct err *e)
{
    yyjson_val *v = yyjson_obj_get(json, name);
    return v ? pairs_read(v, ret, e) : 0;
}

int segments_read(yyjson_val *json, struct segments *ret, struct err *e)
{
    yyjson_val *of = yyjson_obj_get(json, "of"), *row;
    size_t i, max;
    memset(ret, 0, sizeof *ret);
    if (!yyjson_is_arr(of))
        return err_set(e, ERR_INVALID, "segments are not as agreed");
    yyjson_arr_foreach(of, i, max, row)
    {
        yyjson_val *v = yyjson_obj_get(row, "value");
        struct str value = {yyjson_get_str(v), yyjson_get_len(v)};
        if (!yyjson_is_str(v) || value.n == 0 || segments_place(ret, value) != i)
            return err_set(e, ERR_INVALID, "a segment has no value, or one that there is already");
        int rc = pairs_read(yyjson_obj_get(row, "pairs"), &ret->of[i].pairs, e);
        if (rc)
            return rc;
    }
    int rc = read_rest(json, "absent", &ret->absent, e);
    return rc ? rc : read_rest(json, "others", &ret->others, e);
}
