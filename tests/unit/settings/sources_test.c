// SPDX-License-Identifier: Apache-2.0
// Where settings come from: the YAML file, the environment and flags, and which one wins.
#include "settings/settings.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct settings got;
static struct err e;

static int load(const char *text)
{
    settings_init(&got);
    memset(&e, 0, sizeof e);
    return settings_load_text(&got, str_of(text), "slipway.yaml", &e);
}

START_TEST(a_file_sets_what_it_says)
{
    ck_assert_msg(load("# a comment\nlisten: 0.0.0.0:80\n\nmax_body: 32 MiB\nlog_requests: true\n"
                       "data_dir: \"/var/lib/slip way\"\n") == 0,
                  "%s", e.msg);
    ck_assert_str_eq(got.listen, "0.0.0.0:80");
    ck_assert_str_eq(got.data_dir, "/var/lib/slip way");
    ck_assert_uint_eq(got.max_body_bytes, 32 << 20);
    ck_assert(got.log_requests);
    ck_assert_int_eq(load(""), 0);
    ck_assert_int_eq(load("# nothing\n"), 0);
    ck_assert_int_eq(load("---\n"), 0);
    ck_assert_int_eq(load("---\ngateways: 2\n...\n"), 0);
    ck_assert_uint_eq(got.gateways, 2);
}
END_TEST

static const struct {
    const char *text;
    int code;
    const char *msg;
} WRONG[] = {
    {"listen: 0.0.0.0:80\nmax_bdy: 1MiB\n", ERR_UNKNOWN_FIELD,
     "slipway.yaml:2: 'max_bdy': there is no setting"},
    {"gateways: two\n", ERR_WRONG_TYPE, "slipway.yaml:1: 'gateways': expected a whole number"},
    {"\n\ngateways: 1000\n", ERR_OUT_OF_RANGE, "slipway.yaml:3: 'gateways': expected a whole number"},
    {"gateways: 1\ngateways: 2\n", ERR_DUPLICATE_KEY, "slipway.yaml:2: 'gateways' is set twice"},
    {"gateways: [1, 2]\n", ERR_WRONG_TYPE, "slipway.yaml:1: 'gateways': expected one plain value"},
    {"gateways: {a: 1}\n", ERR_WRONG_TYPE, "expected one plain value"},
    {"gateways: &x 1\n", ERR_WRONG_TYPE, "expected one plain value"},
    {"gateways: !!int 1\n", ERR_WRONG_TYPE, "expected one plain value"},
    {"data_dir:\n", ERR_WRONG_TYPE, "slipway.yaml:1: 'data_dir': expected text"},
    {"[a, b]\n", ERR_INVALID, "slipway.yaml:1: expected lines of the form 'key: value'"},
    {"just words\n", ERR_INVALID, "expected lines of the form"},
    {"[a]: 1\n", ERR_INVALID, "slipway.yaml:1: expected"},
    {"? [a]\n: 1\n", ERR_INVALID, "slipway.yaml:1: expected 'key: value'"},
    {"gateways: 1\n---\nlisten: 0.0.0.0:80\n", ERR_INVALID, "slipway.yaml:3: expected lines"},
    {"gateways: 1\n  listen: 2\n", ERR_WRONG_TYPE, "slipway.yaml:1: 'gateways': expected"},
    {"gateways: \"1\n", ERR_INVALID, "not valid YAML"},
};

START_TEST(each_wrong_file_is_refused_with_its_line)
{
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        ck_assert_msg(load(WRONG[i].text) == WRONG[i].code, "%s gave %d (%s)", WRONG[i].text, e.code, e.msg);
        ck_assert_msg(strstr(e.msg, WRONG[i].msg), "%s: %s", WRONG[i].text, e.msg);
    }
    ck_assert_int_eq(load("idle_timout: 3s\n"), ERR_UNKNOWN_FIELD);
    ck_assert_str_eq(e.hint, "Did you mean 'idle_timeout'?");
}
END_TEST

START_TEST(the_environment_sets_what_it_names)
{
    char path[] = "PATH=/bin", timeout[] = "SLIPWAY_IDLE_TIMEOUT=3s", url[] = "SLIPWAY_URL=http://x",
         port[] = "SLIPWAY_PORT_80_TCP=y", many[] = "SLIPWAY_GATEWAYS=many";
    char *const good[] = {path, timeout, url, port, NULL};
    char *const bad[] = {many, NULL};
    settings_init(&got);
    ck_assert_int_eq(settings_load_environ(&got, good, &e), 0);
    ck_assert_uint_eq(got.idle_timeout_ms, 3000);
    ck_assert_int_eq(settings_load_environ(&got, bad, &e), ERR_WRONG_TYPE);
    ck_assert_msg(strstr(e.msg, "SLIPWAY_GATEWAYS: expected a whole number"), "%s", e.msg);
}
END_TEST

static int flags(const char *a, const char *b, const char *c)
{
    char *argv[3];
    int argc = 0;
    const char *words[] = {a, b, c};
    for (int i = 0; i < 3 && words[i]; i++)
        argv[argc++] = strdup(words[i]);
    memset(&e, 0, sizeof e);
    int rc = settings_load(&got, argc, argv, NULL, &e);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return rc;
}

START_TEST(flags_in_both_forms)
{
    ck_assert_int_eq(flags("--idle-timeout", "5s", "--log-requests"), 0);
    ck_assert_uint_eq(got.idle_timeout_ms, 5000);
    ck_assert(got.log_requests);
    ck_assert_int_eq(flags("--idle-timeout=6s", "--log-requests=false", NULL), 0);
    ck_assert_uint_eq(got.idle_timeout_ms, 6000);
    ck_assert(!got.log_requests);
}
END_TEST

START_TEST(wrong_flags_are_refused)
{
    ck_assert_int_eq(flags("--idle-timeot", "5s", NULL), ERR_UNKNOWN_FIELD);
    ck_assert_str_eq(e.hint, "Did you mean '--idle-timeout'?");
    ck_assert_msg(strstr(e.msg, "--idle-timeot"), "%s", e.msg);
    ck_assert_int_eq(flags("--idle-timeout", NULL, NULL), ERR_INVALID);
    ck_assert_msg(strstr(e.msg, "--idle-timeout: a value is missing"), "%s", e.msg);
    ck_assert_int_eq(flags("--gateways=x", NULL, NULL), ERR_WRONG_TYPE);
    ck_assert_msg(strstr(e.msg, "--gateways: expected"), "%s", e.msg);
    ck_assert_int_eq(flags("listen", NULL, NULL), ERR_INVALID);
    ck_assert_int_eq(flags("--config", "/nonexistent/slipway.yaml", NULL), ERR_IO);
    ck_assert_msg(strstr(e.msg, "/nonexistent/slipway.yaml"), "%s", e.msg);
}
END_TEST

START_TEST(flags_win_over_environment_over_file)
{
    char path[] = "/tmp/slipway-settings-XXXXXX";
    int fd = mkstemp(path);
    const char text[] = "gateways: 1\nmax_connections: 1\nidle_timeout: 1s\n";
    ck_assert_int_eq(write(fd, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    close(fd);
    char config[64];
    snprintf(config, sizeof config, "SLIPWAY_CONFIG=%s", path);
    char gateways[] = "SLIPWAY_GATEWAYS=2", connections[] = "SLIPWAY_MAX_CONNECTIONS=2",
         flag[] = "--gateways=3";
    char *const env[] = {gateways, connections, config, NULL};
    char *const argv[] = {flag};
    int rc = settings_load(&got, 1, argv, env, &e);
    unlink(path);
    ck_assert_msg(rc == 0, "%s", e.msg);
    ck_assert_uint_eq(got.gateways, 3);
    ck_assert_uint_eq(got.max_connections, 2);
    ck_assert_uint_eq(got.idle_timeout_ms, 1000);
    ck_assert_uint_eq(got.header_timeout_ms, 10000);
}
END_TEST

UNIT_MAIN("settings/sources", a_file_sets_what_it_says, each_wrong_file_is_refused_with_its_line,
          the_environment_sets_what_it_names, flags_in_both_forms, wrong_flags_are_refused,
          flags_win_over_environment_over_file)
