// SPDX-License-Identifier: Apache-2.0
#include "predlog/match.h"

#include "predlog/record.h"

#include <string.h>
#include <time.h>

static struct str text_of(yyjson_val *v)
{
    return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
}

static bool digits(struct str s, size_t at, size_t n, uint64_t low, uint64_t high, uint64_t *ret)
{
    return at + n <= s.n && str_to_u64((struct str){s.p + at, n}, high, ret) && *ret >= low;
}

bool predlog_time_read(struct str t, uint64_t *ret_wall_ns)
{
    uint64_t year, month, day, h = 0, m = 0, s = 0, fraction = 0;
    if (!digits(t, 0, 4, 1970, 2500, &year) || !digits(t, 5, 2, 1, 12, &month) ||
        !digits(t, 8, 2, 1, 31, &day) || t.p[4] != '-' || t.p[7] != '-')
        return false;
    if (t.n > 10) {
        if (t.n < 20 || t.p[10] != 'T' || t.p[13] != ':' || t.p[16] != ':' || t.p[t.n - 1] != 'Z' ||
            !digits(t, 11, 2, 0, 23, &h) || !digits(t, 14, 2, 0, 59, &m) || !digits(t, 17, 2, 0, 60, &s))
            return false;
        size_t n = t.n - 20; // "." and up to nine digits
        if (n && (n < 2 || n > 10 || t.p[19] != '.' || !digits(t, 20, n - 1, 0, 999999999, &fraction)))
            return false;
        for (size_t i = n ? n - 1 : 9; i < 9; i++)
            fraction *= 10;
    }
    struct tm tm = {.tm_year = (int)year - 1900,
                    .tm_mon = (int)month - 1,
                    .tm_mday = (int)day,
                    .tm_hour = (int)h,
                    .tm_min = (int)m,
                    .tm_sec = (int)s};
    time_t seconds = timegm(&tm);
    *ret_wall_ns = (uint64_t)seconds * 1000000000u + fraction;
    return seconds >= 0 && (uint64_t)tm.tm_mday == day;
}

static bool read_status(struct str v, struct predlog_query *q)
{
    uint64_t low, high;
    struct str rest = v, first = str_split(&rest, '-');
    if (v.n == 3 && v.p[1] == 'x' && v.p[2] == 'x' && v.p[0] >= '1' && v.p[0] <= '5') {
        q->status_min = (uint16_t)((v.p[0] - '0') * 100);
        q->status_max = q->status_min + 99;
        return true;
    }
    if (!str_to_u64(first, 999, &low))
        return false;
    high = low;
    if (first.n < v.n && !str_to_u64(rest, 999, &high))
        return false;
    q->status_min = (uint16_t)low;
    q->status_max = (uint16_t)high;
    return low && low <= high;
}

static bool read_arm(struct str v, struct predlog_query *q)
{
    uint64_t arm = str_eq(v, STR("canary"));
    q->has_arm = true;
    if (!arm && !str_eq(v, STR("stable")) && !str_to_u64(v, UINT8_MAX, &arm))
        return false;
    q->arm = (uint8_t)arm;
    return true;
}

static bool read_id(struct str v, struct predlog_query *q)
{
    uint8_t id[16];
    q->id = v;
    return record_id_read(v, id);
}

int predlog_query_set(struct predlog_query *q, struct str name, struct str value, struct err *e)
{
    uint64_t number = 0;
    bool good;
    if (str_eq(name, STR("model"))) {
        q->model = value;
        good = value.n > 0;
    } else if (str_eq(name, STR("version"))) {
        good = str_to_u64(value, UINT32_MAX, &number) && number;
        q->version = (uint32_t)number;
    } else if (str_eq(name, STR("arm"))) {
        good = read_arm(value, q);
    } else if (str_eq(name, STR("status"))) {
        good = read_status(value, q);
    } else if (str_eq(name, STR("from"))) {
        good = predlog_time_read(value, &q->from_ns);
    } else if (str_eq(name, STR("to"))) {
        good = predlog_time_read(value, &q->to_ns);
    } else if (str_eq(name, STR("id"))) {
        good = read_id(value, q);
    } else if (str_eq(name, STR("after"))) {
        good = str_to_u64(value, INT64_MAX, &q->after_seq);
    } else if (str_eq(name, STR("limit"))) {
        good = str_to_u64(value, INT64_MAX, &q->limit) && q->limit;
    } else if (str_eq(name, STR("gaps"))) {
        q->with_gaps = str_eq(value, STR("true"));
        good = q->with_gaps || str_eq(value, STR("false"));
    } else {
        return err_set(e, ERR_UNKNOWN_FIELD, "the log cannot be searched by '%.*s'",
                       (int)(name.n < 60 ? name.n : 60), name.p);
    }
    if (good)
        return 0;
    err_set(e, ERR_INVALID, "%.*s: '%.*s' is not understood", (int)name.n, name.p,
            (int)(value.n < 60 ? value.n : 60), value.n ? value.p : "");
    err_hint(e, "Times are like 2026-11-22 or 2026-11-22T10:49:29Z, status like 503, 5xx or 400-499, arm "
                "stable, canary or a number.");
    return ERR_INVALID;
}

static bool match_time(const struct predlog_query *q, yyjson_val *line)
{
    uint64_t at = 0;
    if (!q->from_ns && !q->to_ns)
        return true;
    return predlog_time_read(text_of(yyjson_obj_get(line, "time")), &at) && at >= q->from_ns &&
           (!q->to_ns || at < q->to_ns);
}

bool match_line(const struct predlog_query *q, yyjson_val *line)
{
    uint64_t status = yyjson_get_uint(yyjson_obj_get(line, "status"));
    if (yyjson_get_uint(yyjson_obj_get(line, "seq")) <= q->after_seq || !match_time(q, line))
        return false;
    if (str_eq(text_of(yyjson_obj_get(line, "kind")), STR("gap")))
        return q->with_gaps && q->id.n == 0;
    return (q->model.n == 0 || str_eq(text_of(yyjson_obj_get(line, "model")), q->model)) &&
           (q->version == 0 || yyjson_get_uint(yyjson_obj_get(line, "version")) == q->version) &&
           (!q->has_arm || yyjson_get_uint(yyjson_obj_get(line, "arm")) == q->arm) &&
           (q->status_min == 0 || status >= q->status_min) &&
           (q->status_max == 0 || status <= q->status_max) &&
           (q->id.n == 0 || str_eq(text_of(yyjson_obj_get(line, "id")), q->id));
}

// The first of q->ids that is not below; n_ids: none.
static size_t first_from(const struct predlog_query *q, const uint8_t id[16])
{
    size_t low = 0, high = q->n_ids;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(q->ids[middle], id, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool match_id(const struct predlog_query *q, const uint8_t id[16])
{
    size_t at = q->n_ids ? first_from(q, id) : 0;
    return q->n_ids == 0 || (at < q->n_ids && memcmp(q->ids[at], id, 16) == 0);
}

bool match_line_id(const struct predlog_query *q, struct str line)
{
    enum { HEAD = 128, TEXT = 36 }; // the id stands among the first members
    static const char KEY[] = "\"id\":\"";
    uint8_t id[16];
    const char *at = memmem(line.p, line.n < HEAD ? line.n : HEAD, KEY, sizeof KEY - 1);
    if (q->n_ids == 0)
        return true;
    if (!at || (size_t)(line.p + line.n - at) < sizeof KEY - 1 + TEXT)
        return false;
    return record_id_read((struct str){at + sizeof KEY - 1, TEXT}, id) && match_id(q, id);
}

static const uint64_t SLACK_NS = UINT64_C(3600) * 1000000000;

// An id says when it was made, to the millisecond; clocks may be set meanwhile, and requests take their time.
static bool match_id_time(struct str id, const struct predlog_entry *entry)
{
    uint8_t bytes[16];
    uint64_t ms = 0;
    if (!record_id_read(id, bytes) || bytes[6] >> 4 != 7)
        return true;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | bytes[i];
    return ms < UINT64_MAX / 1000000 && ms * 1000000 + SLACK_NS >= entry->first_ns &&
           ms * 1000000 <= entry->last_ns + SLACK_NS;
}

// Sorted ids are in the order of their times. One that is no UUIDv7 is not looked for by its time: none of
// ours is.
static bool match_ids_time(const struct predlog_query *q, const struct predlog_entry *entry)
{
    uint64_t from_ns = entry->first_ns > SLACK_NS ? entry->first_ns - SLACK_NS : 0, ms = from_ns / 1000000;
    uint8_t from[16] = {0};
    for (int i = 0; i < 6; i++)
        from[i] = (uint8_t)(ms >> (40 - 8 * i));
    size_t at = first_from(q, from);
    if (at == q->n_ids)
        return false;
    ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | q->ids[at][i];
    return ms <= (entry->last_ns + SLACK_NS) / 1000000;
}

bool match_entry(const struct predlog_query *q, const struct predlog_entry *entry)
{
    bool gaps = str_eq(entry->model, STR(PREDLOG_NO_MODEL));
    return entry->last_seq > q->after_seq && entry->last_ns >= q->from_ns &&
           (!q->to_ns || entry->first_ns < q->to_ns) &&
           (q->model.n == 0 || str_eq(entry->model, q->model) || (gaps && q->with_gaps)) &&
           (q->id.n == 0 || match_id_time(q->id, entry)) && (q->n_ids == 0 || match_ids_time(q, entry));
}
