// SPDX-License-Identifier: Apache-2.0
// Values of settings: what is accepted, what is refused and how the refusal reads; generated texts are fresh.
#include "settings/settings.h"

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static struct settings got;
static struct err e;

static int set(const char *key, const char *value)
{
    settings_init(&got);
    memset(&e, 0, sizeof e);
    return settings_set(&got, str_of(key), str_of(value), &e);
}

START_TEST(defaults_are_those_of_the_table)
{
    settings_init(&got);
    ck_assert_str_eq(got.data_dir, "slipway-data");
    ck_assert_str_eq(got.listen, "127.0.0.1:8080");
    ck_assert_uint_eq(got.gateways, 0);
    ck_assert_uint_eq(got.log_level, SETTINGS_LOG_INFO);
    ck_assert(!got.log_requests);
    ck_assert_uint_eq(got.max_body_bytes, 16 << 20);
    ck_assert_uint_eq(got.max_upload_bytes, 4ull << 30);
    ck_assert_uint_eq(got.idle_timeout_ms, 75000);
    ck_assert_uint_eq(got.compile_timeout_ms, 300000);
}
END_TEST

START_TEST(quantities_take_units)
{
    ck_assert_int_eq(set("max_body", "64 KiB"), 0);
    ck_assert_uint_eq(got.max_body_bytes, 65536);
    ck_assert_int_eq(set("max_body", "70000"), 0);
    ck_assert_uint_eq(got.max_body_bytes, 70000);
    ck_assert_int_eq(set("idle_timeout", "2m"), 0);
    ck_assert_uint_eq(got.idle_timeout_ms, 120000);
    ck_assert_int_eq(set("idle_timeout", "250ms"), 0);
    ck_assert_uint_eq(got.idle_timeout_ms, 250);
    ck_assert_int_eq(set("drain_timeout", "0"), 0);
    ck_assert_uint_eq(got.drain_timeout_ms, 0);
    ck_assert_int_eq(set("log_level", "error"), 0);
    ck_assert_uint_eq(got.log_level, SETTINGS_LOG_ERROR);
    ck_assert_int_eq(set("log_requests", "true"), 0);
    ck_assert(got.log_requests);
}
END_TEST

static const struct {
    const char *key, *value;
    int code;
    const char *msg, *hint;
} WRONG[] = {
    {"idle_timeot", "75s", ERR_UNKNOWN_FIELD, "no setting", "Did you mean 'idle_timeout'?"},
    {"zebra", "1", ERR_UNKNOWN_FIELD, "no setting", "All settings"},
    {"idle_timeout", "75", ERR_WRONG_TYPE, "expected a duration from 100ms to 24h", "75s or 75ms"},
    {"idle_timeout", "1.5s", ERR_WRONG_TYPE, "got '1.5s'", ""},
    {"idle_timeout", "-1s", ERR_WRONG_TYPE, "got '-1s'", ""},
    {"idle_timeout", "", ERR_WRONG_TYPE, "got ''", ""},
    {"idle_timeout", "99ms", ERR_OUT_OF_RANGE, "from 100ms to 24h", ""},
    {"idle_timeout", "99999999999999999999s", ERR_OUT_OF_RANGE, "from 100ms", ""},
    {"idle_timeout", "9999999999999999h", ERR_OUT_OF_RANGE, "from 100ms", ""},
    {"max_body", "16MB", ERR_WRONG_TYPE, "expected a size from 1KiB to 1GiB", "Did you mean 16MiB?"},
    {"max_body", "2GiB", ERR_OUT_OF_RANGE, "from 1KiB to 1GiB", ""},
    {"max_body", "0", ERR_OUT_OF_RANGE, "from 1KiB", ""},
    {"gateways", "two", ERR_WRONG_TYPE, "expected a whole number from 0 to 256, got 'two'", ""},
    {"gateways", "257", ERR_OUT_OF_RANGE, "from 0 to 256, got '257'", ""},
    {"gateways", "", ERR_WRONG_TYPE, "whole number", ""},
    {"log_requests", "yes", ERR_WRONG_TYPE, "expected true or false, got 'yes'", ""},
    {"log_level", "verbose", ERR_WRONG_TYPE, "expected debug, info, warn or error, got 'verbose'", ""},
    {"data_dir", "", ERR_WRONG_TYPE, "expected text of 1 to 1023 bytes", ""},
    {"listen", "8080", ERR_WRONG_TYPE, "expected an IP address and a port", ""},
    {"listen", "127.0.0.1:65536", ERR_WRONG_TYPE, "got '127.0.0.1:65536'", ""},
    {"listen", "::1:8080", ERR_WRONG_TYPE, "such as 127.0.0.1:8080 or [::1]:8080", ""},
    {"listen", "example.org:80", ERR_WRONG_TYPE, "IP address", ""},
};

START_TEST(each_wrong_value_is_refused_with_what_was_expected)
{
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        struct settings before;
        settings_init(&before);
        ck_assert_msg(set(WRONG[i].key, WRONG[i].value) == WRONG[i].code, "%s: %s gave %d (%s)", WRONG[i].key,
                      WRONG[i].value, e.code, e.msg);
        ck_assert_msg(strstr(e.msg, WRONG[i].msg), "%s: %s: %s", WRONG[i].key, WRONG[i].value, e.msg);
        ck_assert_msg(WRONG[i].hint[0] ? strstr(e.hint, WRONG[i].hint) != NULL : !e.hint[0],
                      "%s: %s: hint %s", WRONG[i].key, WRONG[i].value, e.hint);
        ck_assert_mem_eq(&got, &before, sizeof got);
    }
}
END_TEST

START_TEST(addresses_are_parsed_without_a_resolver)
{
    struct sockaddr_storage a;
    socklen_t n;
    ck_assert_int_eq(settings_address_parse(STR("localhost:80"), &a, &n, &e), 0);
    ck_assert_uint_eq(((struct sockaddr_in *)&a)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    ck_assert_int_eq(settings_address_parse(STR("[::1]:8443"), &a, &n, &e), 0);
    ck_assert_int_eq(a.ss_family, AF_INET6);
    ck_assert_uint_eq(((struct sockaddr_in6 *)&a)->sin6_port, htons(8443));
    ck_assert_uint_eq(n, sizeof(struct sockaddr_in6));
}
END_TEST

// What the supervisor hands to its children is what it has itself.
START_TEST(flags_carry_every_setting_unchanged)
{
    struct settings to;
    settings_init(&to);
    ck_assert_int_eq(set("listen", "[::1]:0"), 0);
    ck_assert_int_eq(settings_set(&got, STR("idle_timeout"), STR("90500ms"), &e), 0);
    ck_assert_int_eq(settings_set(&got, STR("log_level"), STR("warn"), &e), 0);
    ck_assert_int_eq(settings_set(&got, STR("log_requests"), STR("true"), &e), 0);
    ck_assert_int_eq(settings_set(&got, STR("max_body"), STR("1025"), &e), 0);
    ck_assert_int_eq(settings_set(&got, STR("data_dir"), STR("/a b/=c"), &e), 0);
    char *argv[64];
    for (size_t i = 0; i < settings_count(); i++) {
        struct buf b;
        buf_init(&b, 4096);
        settings_put_flag(&got, i, &b);
        argv[i] = str_dup(buf_str(&b));
        buf_done(&b);
    }
    ck_assert_msg(settings_load(&to, (int)settings_count(), argv, NULL, &e) == 0, "%s", e.msg);
    ck_assert_mem_eq(&got, &to, sizeof got);
    for (size_t i = 0; i < settings_count(); i++)
        free(argv[i]);
}
END_TEST

static void check_fresh(const char *path, void (*put)(struct buf *out))
{
    struct buf want;
    char name[512], is[64 << 10];
    const char *root = getenv("SOURCE_ROOT");
    ck_assert_msg(root, "SOURCE_ROOT is not set; run this by meson test");
    snprintf(name, sizeof name, "%s/%s", root, path);
    FILE *f = fopen(name, "r");
    ck_assert_msg(f, "%s is missing; run dev/generate", path);
    size_t n = fread(is, 1, sizeof is, f);
    fclose(f);
    buf_init(&want, sizeof is);
    put(&want);
    ck_assert_msg(n == want.n && memcmp(is, want.p, n) == 0, "%s is stale; run dev/generate", path);
    buf_done(&want);
}

// Every row gets another value; what the table calls reloadable follows, the rest stays.
START_TEST(a_reload_takes_over_what_is_reloadable_and_tells_the_rest)
{
    struct settings running, file, before;
    uint64_t reloadable = 0, all = (UINT64_C(1) << settings_count()) - 1;
    settings_init(&running);
    before = file = running;
    struct settings_changes none = settings_reload(&running, &file);
    ck_assert_uint_eq(none.applied | none.fixed, 0);
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *r = settings_at(i);
        ((char *)&file)[r->offset] ^= 1; // the low byte of a number, the first of a text
        reloadable |= (uint64_t)r->reloadable << i;
    }
    struct settings_changes changes = settings_reload(&running, &file);
    ck_assert_uint_eq(changes.applied, reloadable);
    ck_assert_uint_eq(changes.fixed, all & ~reloadable);
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *r = settings_at(i);
        const struct settings *want = r->reloadable ? &file : &before;
        ck_assert_msg(((char *)&running)[r->offset] == ((const char *)want)[r->offset], "%s", r->key);
    }
    changes = settings_reload(&running, &file);
    ck_assert_uint_eq(changes.applied, 0); // once
    ck_assert_uint_eq(changes.fixed, all & ~reloadable);
}
END_TEST

START_TEST(generated_files_are_fresh)
{
    check_fresh("docs/config.md", settings_put_markdown);
    check_fresh("deploy/slipway.yaml", settings_put_sample);
}
END_TEST

UNIT_MAIN("settings/settings", defaults_are_those_of_the_table, quantities_take_units,
          each_wrong_value_is_refused_with_what_was_expected, addresses_are_parsed_without_a_resolver,
          flags_carry_every_setting_unchanged, a_reload_takes_over_what_is_reloadable_and_tells_the_rest,
          generated_files_are_fresh)
