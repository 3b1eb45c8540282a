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

// An id says when it was made, to the millisecond; clocks may be set meanwhile, and requests take their time.
static bool match_id_time(struct str id, const struct manifest_entry *entry)
{
    const uint64_t slack_ns = UINT64_C(3600) * 1000000000;
    uint8_t bytes[16];
    uint64_t ms = 0;
    if (!record_id_read(id, bytes) || bytes[6] >> 4 != 7)
        return true;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | bytes[i];
    return ms < UINT64_MAX / 1000000 && ms * 1000000 + slack_ns >= entry->first_ns &&
           ms * 1000000 <= entry->last_ns + slack_ns;
}

bool match_entry(const struct predlog_query *q, const struct manifest_entry *entry)
{
    bool gaps = str_eq(entry->model, STR(PREDLOG_NO_MODEL));
    return entry->last_seq > q->after_seq && entry->last_ns >= q->from_ns &&
           (!q->to_ns || entry->first_ns < q->to_ns) &&
           (q->model.n == 0 || str_eq(entry->model, q->model) || (gaps && q->with_gaps)) &&
           (q->id.n == 0 || match_id_time(q->id, entry));
}
