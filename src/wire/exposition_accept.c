// SPDX-License-Identifier: Apache-2.0
// Which format a scrape asks for. Ranges with a weight that is none are passed over.
#include "base/num.h"
#include "wire/exposition_proto.h"

enum { WEIGHT_ONE = 1000, RANGES = 3 };

// "0.25" in thousandths; false for what is no weight.
static bool read_weight(struct str s, int *ret)
{
    double q;
    size_t used;
    if (s.n == 0 || !num_parse_double(s.p, s.n, &q, &used) || used != s.n || !(q >= 0 && q <= 1))
        return false;
    *ret = (int)(q * WEIGHT_ONE + 0.5);
    return true;
}

// One range: its type, its weight, whether it has the two parameters that make it ours.
struct range {
    struct str type;
    int weight;
    bool has_proto, is_delimited;
};

static struct str unquoted(struct str s)
{
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        return (struct str){s.p + 1, s.n - 2};
    return s;
}

static bool read_range(struct str text, struct range *ret)
{
    *ret = (struct range){.type = str_trim(str_split(&text, ';')), .weight = WEIGHT_ONE};
    while (text.n) {
        struct str value = str_split(&text, ';'), name = str_trim(str_split(&value, '='));
        value = unquoted(str_trim(value));
        if (str_eq_nocase(name, STR("q")) && !read_weight(value, &ret->weight))
            return false;
        if (str_eq_nocase(name, STR("proto")))
            ret->has_proto = str_eq(value, STR("io.prometheus.client.MetricFamily"));
        if (str_eq_nocase(name, STR("encoding")))
            ret->is_delimited = str_eq_nocase(value, STR("delimited"));
    }
    return true;
}

bool exposition_proto_is_asked(struct str accept)
{
    static const char *const TEXT[RANGES] = {"text/plain", "text/*", "*/*"}; // the first that is there counts
    int proto = 0, text[RANGES] = {-1, -1, -1};
    while (accept.n) {
        struct range r;
        if (!read_range(str_split(&accept, ','), &r))
            continue;
        if (str_eq_nocase(r.type, STR("application/vnd.google.protobuf")) && r.has_proto && r.is_delimited)
            proto = r.weight > proto ? r.weight : proto;
        for (int i = 0; i < RANGES; i++)
            if (str_eq_nocase(r.type, str_of(TEXT[i])) && r.weight > text[i])
                text[i] = r.weight;
    }
    for (int i = 0; i < RANGES; i++)
        if (text[i] >= 0)
            return proto > text[i];
    return proto > 0;
}
