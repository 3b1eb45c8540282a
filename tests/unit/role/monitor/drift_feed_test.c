// SPDX-License-Identifier: Apache-2.0
// What the monitor keeps for drift on disk, and shows of it.
#include "role/monitor/drift_feed.h"

#include "base/buf.h"
#include "base/clock.h"
#include "monitor/observer_json.h"
#include "role/monitor/models.h"
#include "settings/settings.h"
#include "tempdir.h"
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_SIZE = TEMPDIR_SIZE + 128 };
static struct settings settings;
static char folder[TEMPDIR_SIZE];
static struct monitor m = {
    .settings = &settings, .data_dir = folder, .log = {-1, LOG_LEVEL_ERROR, "test", -1}};

static void start(void)
{
    struct err e;
    settings_init(&settings);
    tempdir_new(folder);
    ck_assert_int_eq(models_new(&m.models, &e), 0);
    ck_assert_int_eq(drift_start(&m, &e), 0);
}

static void end(void)
{
    drift_free(m.drift);
    models_free(m.models);
    tempdir_remove(folder);
}

// Serves version 1 of "churn" as deployment 7, or nothing.
static void serve(bool is_ready, bool is_served)
{
    struct err e;
    char routes[256];
    ck_assert_int_eq(
        models_take_deploy(
            m.models,
            STR("{\"deployment\":7,\"model\":\"churn\",\"version\":1,\"slot\":0,"
                "\"engine\":\"trees\",\"signature\":{\"inputs\":[{\"name\":\"a\",\"datatype\":"
                "\"FP32\",\"log\":\"bucket:10\"},{\"name\":\"card\",\"datatype\":\"FP32\","
                "\"log\":\"hash\"}],\"outputs\":[{\"name\":\"p\",\"datatype\":\"FP32\",\"shape\":[-1]}],"
                "\"named\":true}}"),
            &e),
        0);
    snprintf(routes, sizeof routes, "{\"ready\":%s,\"models\":[%s]}", is_ready ? "true" : "false",
             is_served ? "{\"name\":\"churn\",\"default\":7,\"aliases\":[],\"versions\":[{\"version\":1,"
                         "\"deployment\":7}]}"
                       : "");
    ck_assert_int_eq(models_take_routes(m.models, str_of(routes), &e), 0);
    drift_models_changed(&m);
}

static void file_path(const char *name, char ret[PATH_SIZE])
{
    snprintf(ret, PATH_SIZE, "%s/state/monitor/%s", folder, name);
}

static void write_file(const char *name, unsigned age_hours)
{
    char path[PATH_SIZE];
    file_path(name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    struct timespec then = {.tv_sec = (time_t)(clock_wall_ns() / 1000000000) - (time_t)age_hours * 3600};
    ck_assert_int_eq(futimens(fd, (struct timespec[]){then, then}), 0);
    close(fd);
}

static bool is_there(const char *name)
{
    char path[PATH_SIZE];
    file_path(name, path);
    return access(path, F_OK) == 0;
}

START_TEST(what_is_kept_of_versions_that_left_goes_after_a_month)
{
    static const char *const STAYS[] = {"drift-7.baseline", "drift-8.state",    "drift-8.baseline",
                                        "drift-9.baseline", "alerts.json",      "drift-x.state",
                                        "drift-10.other",   "drift-10.state.x", "drift-.state"};
    static const char *const GOES[] = {"drift-10.state", "drift-10.baseline", "drift-11.state.new"};
    enum { MONTH = 31 * 24 };
    start();
    for (size_t i = 0; i < sizeof STAYS / sizeof STAYS[0]; i++)
        write_file(STAYS[i], strcmp(STAYS[i], "drift-8.state") == 0      ? 1
                             : strcmp(STAYS[i], "drift-9.baseline") == 0 ? 29 * 24
                                                                         : MONTH);
    for (size_t i = 0; i < sizeof GOES / sizeof GOES[0]; i++)
        write_file(GOES[i], MONTH);
    serve(false, true);
    drift_tick(&m);
    ck_assert(is_there("drift-10.state")); // more may be served than was said yet
    serve(true, true);
    drift_tick(&m);
    for (size_t i = 0; i < sizeof STAYS / sizeof STAYS[0]; i++)
        ck_assert_msg(is_there(STAYS[i]), "%s", STAYS[i]);
    for (size_t i = 0; i < sizeof GOES / sizeof GOES[0]; i++)
        ck_assert_msg(!is_there(GOES[i]), "%s", GOES[i]);
    end();
}
END_TEST

START_TEST(of_versions_that_left_the_last_ones_are_kept)
{
    enum { KEPT = 128, ALL = 150 };
    char name[64];
    start();
    for (unsigned i = 0; i < ALL; i++) { // the higher the older
        snprintf(name, sizeof name, "drift-%u.state", 1000 + i);
        write_file(name, i);
        snprintf(name, sizeof name, "drift-%u.baseline", 1000 + i);
        write_file(name, 700);
    }
    serve(true, false);
    drift_tick(&m);
    for (unsigned i = 0; i < ALL; i++) {
        snprintf(name, sizeof name, "drift-%u.baseline", 1000 + i);
        ck_assert_msg(is_there(name) == (i < KEPT), "%s", name);
    }
    end();
}
END_TEST

// The column "a" of live windows, as the monitor before wrote it.
static void write_own_baseline(void)
{
    struct profile_builder b;
    struct profile *p = profile_new(1);
    struct buf json;
    char path[PATH_SIZE];
    ck_assert(profile_builder_init(&b, false, PROFILE_BUILD_K));
    for (int i = 0; i < 500; i++)
        profile_builder_number(&b, i % 20 * 10);
    ck_assert(profile_text(p, STR("live"), &p->source) && profile_text(p, STR("a"), &p->columns[0].name));
    p->n_rows = 500;
    ck_assert(profile_builder_end(&b, p, &p->columns[0]));
    buf_init(&json, 1 << 20);
    profile_encode(p, &json);
    file_path("drift-7.baseline", path);
    FILE *f = fopen(path, "w");
    ck_assert(f && fwrite(json.p, 1, json.n, f) == json.n && fclose(f) == 0);
    buf_done(&json);
    profile_builder_done(&b);
    profile_free(p);
}

START_TEST(what_rules_leave_of_a_version_is_watched_and_the_rest_is_said)
{
    struct buf out;
    start();
    write_own_baseline();
    serve(true, true);
    const struct version *v = models_at(m.models, 0);
    const struct observer *o = drift_observer(&m, v);
    ck_assert(o && o->n_columns == 2 && o->is_own_profile);
    ck_assert_ptr_nonnull(o->columns[0].reference); // both are rounded
    buf_init(&out, 4096);
    drift_put_unwatched(&m, v, &out);
    buf_putc(&out, '\0');
    ck_assert_str_eq(out.p, ",\"unwatched\":[{\"name\":\"card\",\"role\":\"input\",\"log\":\"hash\"}]");
    buf_done(&out);
    end();
}
END_TEST

// Two models with so many inputs each, and an output.
static void serve_wide(unsigned n_inputs)
{
    struct err e;
    struct buf json;
    buf_init(&json, 1 << 20);
    for (unsigned i = 0; i < 2; i++) {
        buf_clear(&json);
        buf_printf(&json,
                   "{\"deployment\":%u,\"model\":\"m%u\",\"version\":1,\"slot\":%u,\"engine\":\"trees\","
                   "\"signature\":{\"inputs\":[",
                   i + 1, i, i);
        for (unsigned k = 0; k < n_inputs; k++)
            buf_printf(&json, "%s{\"name\":\"x%u\",\"datatype\":\"FP32\"}", k ? "," : "", k);
        buf_puts(&json,
                 "],\"outputs\":[{\"name\":\"p\",\"datatype\":\"FP32\",\"shape\":[-1]}],\"named\":true}}");
        ck_assert_int_eq(models_take_deploy(m.models, buf_str(&json), &e), 0);
    }
    buf_done(&json);
    ck_assert_int_eq(
        models_take_routes(m.models,
                           STR("{\"ready\":true,\"models\":[{\"name\":\"m0\",\"default\":1,\"aliases\":[],"
                               "\"versions\":[{\"version\":1,\"deployment\":1}]},{\"name\":\"m1\","
                               "\"default\":2,\"aliases\":[],\"versions\":[{\"version\":1,"
                               "\"deployment\":2}]}]}"),
                           &e),
        0);
    drift_models_changed(&m);
}

START_TEST(the_page_has_so_many_columns_of_all_models_and_says_what_it_lacks)
{
    static const unsigned INPUTS[] = {20, 150}, LEFT_OUT[] = {0, 102};
    for (size_t i = 0; i < 2; i++) {
        struct buf page;
        char expected[128];
        unsigned shown = 0;
        start();
        serve_wide(INPUTS[i]);
        for (size_t k = 0; k < 2; k++)
            drift_observer(&m, models_at(m.models, k))->n_closed = 1;
        buf_init(&page, 1 << 20);
        drift_put_metrics(&m, &page);
        buf_putc(&page, '\0');
        for (const char *at = page.p; (at = strstr(at, "\nslipway_feature_missing_ratio{")) != NULL; at++)
            shown++;
        ck_assert_uint_eq(shown + LEFT_OUT[i], 2 * (INPUTS[i] + 1));
        snprintf(expected, sizeof expected, "\nslipway_feature_drift_left_out %u\n", LEFT_OUT[i]);
        ck_assert_msg(strstr(page.p, expected) != NULL, "%s", expected);
        buf_done(&page);
        end();
    }
}
END_TEST

UNIT_MAIN("role/monitor/drift_feed", what_is_kept_of_versions_that_left_goes_after_a_month,
          of_versions_that_left_the_last_ones_are_kept,
          what_rules_leave_of_a_version_is_watched_and_the_rest_is_said,
          the_page_has_so_many_columns_of_all_models_and_says_what_it_lacks)
