// SPDX-License-Identifier: Apache-2.0
// Rows of the table at run time: text to value and back, with the messages for what does not fit. Where texts
// come from is sources.c; what is printed about settings is docs.c.
#include "settings/settings.h"

#include "base/assert.h"
#include "base/near.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SETTINGS_ROW(type_, field_, key_, def_, min_, max_, unit_, reload_, help_)                           \
    {.type = SETTING_##type_,                                                                                \
     .key = (key_),                                                                                          \
     .def = (def_),                                                                                          \
     .unit = (unit_),                                                                                        \
     .help = (help_),                                                                                        \
     .min = (min_),                                                                                          \
     .max = (max_),                                                                                          \
     .reloadable = (reload_),                                                                                \
     .offset = offsetof(struct settings, field_)},

static const struct setting TABLE[] = {SETTINGS_TABLE(SETTINGS_ROW)};
enum { N_SETTINGS = sizeof TABLE / sizeof TABLE[0] };
_Static_assert(N_SETTINGS < 64, "sources.c keeps one bit for each setting");

struct unit {
    const char *name;
    uint64_t factor;
};

// Largest last, so that printing takes the last one that divides the value.
static const struct unit BYTE_UNITS[] = {
    {"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40}};
static const struct unit TIME_UNITS[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

size_t settings_count(void)
{
    return N_SETTINGS;
}

const struct setting *settings_at(size_t i)
{
    ASSERT(i < N_SETTINGS);
    return &TABLE[i];
}

static const struct unit *units_of(enum setting_type type, size_t *ret_n)
{
    *ret_n = type == SETTING_BYTES ? sizeof BYTE_UNITS / sizeof *BYTE_UNITS
                                   : sizeof TIME_UNITS / sizeof *TIME_UNITS;
    return type == SETTING_BYTES ? BYTE_UNITS : TIME_UNITS;
}

static void put_number(const struct setting *r, uint64_t v, struct buf *out)
{
    if (r->type == SETTING_INT) {
        buf_put_u64(out, v);
        return;
    }
    size_t n, best = 0;
    const struct unit *units = units_of(r->type, &n);
    for (size_t i = 0; i < n; i++)
        if (v && v % units[i].factor == 0)
            best = i;
    // 90s reads better than 1.5m and as well as 90000ms; 1m and 60s are the same length, seconds are more
    // usual.
    if (r->type == SETTING_DURATION && best == 2 && v < 300000)
        best = 1;
    buf_put_u64(out, v / units[best].factor);
    buf_puts(out, units[best].name);
}

void settings_put_expected(const struct setting *r, struct buf *out)
{
    struct str choices = str_of(r->unit);
    switch (r->type) {
    case SETTING_BOOL:
        buf_puts(out, "true or false");
        return;
    case SETTING_ENUM:
        for (bool first = true; choices.n; first = false) {
            struct str c = str_split(&choices, '|');
            buf_puts(out, first ? "" : choices.n ? ", " : " or ");
            buf_put_str(out, c);
        }
        return;
    case SETTING_STRING:
        buf_printf(out, "text of %" PRIu64 " to %" PRIu64 " bytes", r->min, r->max);
        return;
    case SETTING_ADDRESS:
        buf_puts(out, "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080");
        return;
    case SETTING_INT:
    case SETTING_BYTES:
    case SETTING_DURATION:
        break;
    }
    buf_puts(out, r->type == SETTING_INT     ? "a whole number from "
                  : r->type == SETTING_BYTES ? "a size from "
                                             : "a duration from ");
    put_number(r, r->min, out);
    buf_puts(out, " to ");
    put_number(r, r->max, out);
}

static int unexpected(const struct setting *r, int code, struct str value, struct err *e)
{
    struct buf want;
    buf_init(&want, ERR_MSG_MAX);
    settings_put_expected(r, &want);
    err_set(e, code, "expected " STR_FMT ", got '" STR_FMT "'", STR_ARG(buf_str(&want)),
            (int)(value.n < 80 ? value.n : 80), value.p);
    buf_done(&want);
    return code;
}

// "16MiB", "16 MiB", "75s": digits, then a unit. A time without a unit is refused, since nobody can know
// which was meant; so are decimal megabytes, with the binary unit as a hint.
static int parse_quantity(const struct setting *r, struct str text, uint64_t *ret, struct err *e)
{
    size_t digits = 0, n;
    const struct unit *units = units_of(r->type, &n);
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
        digits++;
    struct str number = {text.p, digits}, unit = str_trim((struct str){text.p + digits, text.n - digits});
    int digits_shown = (int)(digits < 20 ? digits : 20);
    uint64_t v, factor = 0;
    if (digits == 0)
        return unexpected(r, ERR_WRONG_TYPE, text, e);
    for (size_t i = 0; i < n; i++)
        if (str_eq(unit, str_of(units[i].name)))
            factor = units[i].factor;
    if (unit.n == 0 && (r->type == SETTING_BYTES || str_eq(number, STR("0"))))
        factor = 1;
    if (factor == 0) {
        unexpected(r, ERR_WRONG_TYPE, text, e);
        if (unit.n == 0 && r->type == SETTING_DURATION)
            err_hint(e, "Add the unit: %.*ss or %.*sms.", digits_shown, number.p, digits_shown, number.p);
        for (size_t i = 1; r->type == SETTING_BYTES && i < n; i++)
            if (unit.n && (unit.p[0] | 0x20) == (units[i].name[0] | 0x20))
                err_hint(e, "Did you mean %.*s%s?", digits_shown, number.p, units[i].name);
        return e ? e->code : ERR_WRONG_TYPE;
    }
    if (!str_to_u64(number, UINT64_MAX, &v) || __builtin_mul_overflow(v, factor, ret) || *ret < r->min ||
        *ret > r->max)
        return unexpected(r, ERR_OUT_OF_RANGE, text, e);
    return 0;
}

static int parse_number(const struct setting *r, struct str text, uint64_t *ret, struct err *e)
{
    uint64_t i = 0;
    struct str choices = str_of(r->unit);
    switch (r->type) {
    case SETTING_BOOL:
        *ret = str_eq(text, STR("true"));
        return *ret || str_eq(text, STR("false")) ? 0 : unexpected(r, ERR_WRONG_TYPE, text, e);
    case SETTING_ENUM:
        for (; choices.n; i++)
            if (str_eq(str_split(&choices, '|'), text)) {
                *ret = i;
                return 0;
            }
        return unexpected(r, ERR_WRONG_TYPE, text, e);
    case SETTING_INT:
        for (i = 0; i < text.n; i++)
            if (text.p[i] < '0' || text.p[i] > '9')
                return unexpected(r, ERR_WRONG_TYPE, text, e);
        if (text.n == 0)
            return unexpected(r, ERR_WRONG_TYPE, text, e);
        return str_to_u64(text, r->max, ret) && *ret >= r->min ? 0 : unexpected(r, ERR_OUT_OF_RANGE, text, e);
    default:
        return parse_quantity(r, text, ret, e);
    }
}

static int set_text(const struct setting *r, char *to, struct str value, struct err *e)
{
    struct sockaddr_storage address;
    socklen_t size;
    if (value.n < r->min || value.n > r->max || (value.n && memchr(value.p, 0, value.n)))
        return unexpected(r, ERR_WRONG_TYPE, value, e);
    if (r->type == SETTING_ADDRESS && settings_address_parse(value, &address, &size, e))
        return e ? e->code : ERR_WRONG_TYPE;
    if (value.n)
        memcpy(to, value.p, value.n);
    to[value.n] = '\0';
    return 0;
}

static int set_row(struct settings *s, const struct setting *r, struct str value, struct err *e)
{
    char *to = (char *)s + r->offset;
    uint64_t v = 0;
    if (r->type == SETTING_STRING || r->type == SETTING_ADDRESS)
        return set_text(r, to, value, e);
    int rc = parse_number(r, value, &v, e);
    if (rc)
        return rc;
    uint32_t small = (uint32_t)v;
    bool flag = v != 0;
    if (r->type == SETTING_BOOL)
        memcpy(to, &flag, sizeof flag);
    else if (r->type == SETTING_INT || r->type == SETTING_ENUM)
        memcpy(to, &small, sizeof small);
    else
        memcpy(to, &v, sizeof v);
    return 0;
}

void settings_init(struct settings *s)
{
    struct err e;
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < N_SETTINGS; i++)
        ASSERT(set_row(s, &TABLE[i], str_of(TABLE[i].def), &e) == 0);
}

int settings_set(struct settings *s, struct str key, struct str value, struct err *e)
{
    struct str keys[N_SETTINGS];
    for (size_t i = 0; i < N_SETTINGS; i++) {
        keys[i] = str_of(TABLE[i].key);
        if (str_eq(keys[i], key))
            return set_row(s, &TABLE[i], value, e);
    }
    err_set(e, ERR_UNKNOWN_FIELD, "there is no setting of this name");
    int near = near_find(key, keys, N_SETTINGS);
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(keys[near]));
    else
        err_hint(e, "All settings: slipway serve --help.");
    return ERR_UNKNOWN_FIELD;
}

void settings_put(const struct settings *s, size_t i, struct buf *out)
{
    const struct setting *r = settings_at(i);
    const char *from = (const char *)s + r->offset;
    uint64_t v;
    uint32_t small;
    struct str choices = str_of(r->unit);
    switch (r->type) {
    case SETTING_STRING:
    case SETTING_ADDRESS:
        buf_puts(out, from);
        return;
    case SETTING_BOOL:
        buf_puts(out, *from ? "true" : "false");
        return;
    case SETTING_INT:
        memcpy(&small, from, sizeof small);
        put_number(r, small, out);
        return;
    case SETTING_ENUM:
        memcpy(&small, from, sizeof small);
        for (; small; small--)
            (void)str_split(&choices, '|');
        buf_put_str(out, str_split(&choices, '|'));
        return;
    case SETTING_BYTES:
    case SETTING_DURATION:
        memcpy(&v, from, sizeof v);
        put_number(r, v, out);
    }
}

bool settings_is_secret(size_t i)
{
    static const char *const SECRETS[] = {"rollout_webhook", "log_events_url", "otlp_endpoint",
                                          "alert_webhook"};
    for (size_t k = 0; k < sizeof SECRETS / sizeof SECRETS[0]; k++)
        if (strcmp(settings_at(i)->key, SECRETS[k]) == 0)
            return true;
    return false;
}

void settings_put_flag(const struct settings *s, size_t i, struct buf *out)
{
    buf_puts(out, "--");
    for (const char *k = settings_at(i)->key; *k; k++)
        buf_putc(out, *k == '_' ? '-' : *k);
    buf_putc(out, '=');
    settings_put(s, i, out);
}
