// SPDX-License-Identifier: Apache-2.0
// One table of fields.
#include "role/controller/version_settings.h"

#include "base/assert.h"
#include "role/controller/autoscale.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum kind { REPLICAS, NUMBER, WORD };

static const struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    uint32_t min, max;
    const char *words; // of a WORD, separated by |
    bool is_of_all;    // not only of those that run in replicas
} FIELDS[VERSION_SETTINGS_FIELDS] = {
    {"replicas", REPLICAS, 0, 0, LIMIT_REPLICAS, NULL, false},
    {"threads", NUMBER, offsetof(struct version_settings, threads), 1, LIMIT_REPLICA_THREADS, NULL, false},
    {"optimization", WORD, offsetof(struct version_settings, optimization), 0, 0, "none|basic|extended|all",
     false},
    {"provider", WORD, offsetof(struct version_settings, provider), 0, 0, "cpu|cuda|tensorrt|openvino",
     false},
    {"memory_mb", NUMBER, offsetof(struct version_settings, memory_mb), 0, 1 << 24, NULL, false},
    {"batch_budget_ms", NUMBER, offsetof(struct version_settings, batch_budget_ms), 0, 60000, NULL, false},
    {"hang_ms", NUMBER, offsetof(struct version_settings, hang_ms), 100, 3600000, NULL, false},
    {"concurrency", NUMBER, offsetof(struct version_settings, concurrency), 1, 1024, NULL, false},
    {"scale_window_s", NUMBER, offsetof(struct version_settings, scale_window_s), 2, AUTOSCALE_WINDOW_MAX_S,
     NULL, false},
    {"idle_s", NUMBER, offsetof(struct version_settings, idle_s), 0, 86400, NULL, false},
    {"policy", WORD, offsetof(struct version_settings, policy), 0, 0,
     "keep|availability-preserving|resource-preserving", false},
    {"log", WORD, offsetof(struct version_settings, log), 0, 0, "on|off", true},
    {"log_one_in", NUMBER, offsetof(struct version_settings, log_one_in), 1, 1000000, NULL, true},
    {"log_overflow", WORD, offsetof(struct version_settings, log_overflow), 0, 0, "drop|sample|block", true},
    {"log_durability", WORD, offsetof(struct version_settings, log_durability), 0, 0, "async|commit", true},
};

void version_settings_init(struct version_settings *s)
{
    *s = (struct version_settings){
        .min_replicas = 1,
        .max_replicas = 1,
        .threads = 1,
        .optimization = "all",
        .provider = "cpu",
        .batch_budget_ms = 10,
        .hang_ms = 1500,
        .concurrency = 1,
        .scale_window_s = 60,
    };
}

struct str version_settings_field(unsigned i)
{
    ASSERT(i < VERSION_SETTINGS_FIELDS);
    return str_of(FIELDS[i].name);
}

bool version_settings_is_of_replicas(unsigned i)
{
    ASSERT(i < VERSION_SETTINGS_FIELDS);
    return !FIELDS[i].is_of_all;
}

// The value as it was written, for messages.
static int refuse(int code, const char *expected, yyjson_val *value, struct err *e)
{
    char *text = yyjson_val_write(value, 0, NULL);
    err_set(e, code, "expected %s, got %.60s", expected, text ? text : yyjson_get_type_desc(value));
    free(text);
    return code;
}

static int set_replicas(struct version_settings *s, yyjson_val *value, struct err *e)
{
    char expected[96];
    uint64_t min = yyjson_get_uint(value), max = min;
    snprintf(expected, sizeof expected, "a number from 1 to %d, or \"MIN:MAX\" such as \"0:4\"",
             LIMIT_REPLICAS);
    if (yyjson_is_str(value)) {
        struct str rest = {yyjson_get_str(value), yyjson_get_len(value)};
        bool is_range = rest.n && memchr(rest.p, ':', rest.n);
        struct str first = str_split(&rest, ':');
        if (!str_to_u64(first, UINT32_MAX, &min) || (is_range && !str_to_u64(rest, UINT32_MAX, &max)))
            return refuse(ERR_WRONG_TYPE, expected, value, e);
        max = is_range ? max : min;
    } else if (!yyjson_is_uint(value)) {
        return refuse(ERR_WRONG_TYPE, expected, value, e);
    }
    if (max < 1 || max > LIMIT_REPLICAS || min > max)
        return refuse(ERR_OUT_OF_RANGE, expected, value, e);
    s->min_replicas = (uint32_t)min;
    s->max_replicas = (uint32_t)max;
    return 0;
}

static int set_number(struct version_settings *s, const struct field *f, yyjson_val *value, struct err *e)
{
    char expected[64];
    uint64_t n = yyjson_get_uint(value);
    snprintf(expected, sizeof expected, "a whole number from %u to %u", f->min, f->max);
    if (!yyjson_is_int(value))
        return refuse(ERR_WRONG_TYPE, expected, value, e);
    if (!yyjson_is_uint(value) || n < f->min || n > f->max)
        return refuse(ERR_OUT_OF_RANGE, expected, value, e);
    *(uint32_t *)((char *)s + f->offset) = (uint32_t)n;
    return 0;
}

static int set_word(struct version_settings *s, const struct field *f, yyjson_val *value, struct err *e)
{
    char expected[80];
    struct str word = {yyjson_get_str(value), yyjson_get_len(value)}, rest = str_of(f->words);
    snprintf(expected, sizeof expected, "one of %s", f->words);
    if (!yyjson_is_str(value))
        return refuse(ERR_WRONG_TYPE, expected, value, e);
    while (rest.n) {
        struct str choice = str_split(&rest, '|');
        if (!str_eq(choice, word))
            continue;
        snprintf((char *)s + f->offset, VERSION_SETTINGS_WORD_BYTES, STR_FMT, STR_ARG(choice));
        return 0;
    }
    return refuse(ERR_OUT_OF_RANGE, expected, value, e);
}

int version_settings_set(struct version_settings *s, unsigned i, yyjson_val *value, struct err *e)
{
    ASSERT(i < VERSION_SETTINGS_FIELDS);
    const struct field *f = &FIELDS[i];
    return f->kind == REPLICAS ? set_replicas(s, value, e)
           : f->kind == NUMBER ? set_number(s, f, value, e)
                               : set_word(s, f, value, e);
}

int version_settings_decode(struct str json, struct version_settings *ret, struct err *e)
{
    size_t at, max;
    yyjson_val *key, *value;
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    version_settings_init(ret);
    int rc =
        yyjson_is_obj(yyjson_doc_get_root(doc)) ? 0 : err_set(e, ERR_INVALID, "settings are no JSON object");
    yyjson_obj_foreach(yyjson_doc_get_root(doc), at, max, key, value)
    {
        unsigned i = 0;
        while (i < VERSION_SETTINGS_FIELDS && !yyjson_equals_str(key, FIELDS[i].name))
            i++;
        if (!rc && i == VERSION_SETTINGS_FIELDS)
            rc = err_set(e, ERR_INVALID, "setting '%.40s' is not known", yyjson_get_str(key));
        if (!rc)
            rc = version_settings_set(ret, i, value, e);
    }
    yyjson_doc_free(doc);
    return rc;
}
