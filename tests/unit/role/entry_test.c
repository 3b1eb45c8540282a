// SPDX-License-Identifier: Apache-2.0
#include "role/entry.h"

#include "settings/settings.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct replica_args *WANTED;

// Compares with what was written, then shows its title and reads it back from /proc.
static int check_replica(const struct replica_args *a)
{
    char line[4096];
    const struct replica_args *w = WANTED;
    ck_assert_int_eq(a->is_loader, w->is_loader);
    ck_assert_uint_eq(a->deployment, w->deployment);
    ck_assert_uint_eq(a->replica, w->replica);
    ck_assert_uint_eq(a->version, w->version);
    ck_assert_uint_eq(a->threads, w->threads);
    ck_assert_uint_eq(a->memory_bytes, w->memory_bytes);
    ck_assert_uint_eq(a->batch_budget_us, w->batch_budget_us);
    ck_assert_int_eq(a->settings->max_rows_per_request, w->settings->max_rows_per_request);
    memset(line, 0, sizeof line);
    role_title_set(a->title, a->title_bytes, "slipway: replica churn/3");
    ck_assert_str_eq(a->title, "slipway: replica churn/3");
    ck_assert_str_eq(a->model, w->model); // not of the title's memory
    ck_assert_str_eq(a->engine, w->engine);
    ck_assert_str_eq(a->digest, w->digest);
    ck_assert_str_eq(a->optimization, w->optimization);
    ck_assert_str_eq(a->provider, w->provider);
    return 42;
}

static int count_args(char **argv)
{
    int n = 0;
    while (argv[n])
        n++;
    return n;
}

// The arguments as exec places them: one after the other.
static char **packed(char **argv, char *memory, size_t size)
{
    static char *out[128];
    size_t at = 0;
    for (int i = 0; argv[i]; i++) {
        size_t n = strlen(argv[i]) + 1;
        ck_assert_uint_le(at + n, size);
        out[i] = memcpy(memory + at, argv[i], n);
        at += n;
    }
    return out;
}

START_TEST(a_replica_gets_what_the_supervisor_wrote)
{
    static struct settings s;
    static char memory[1 << 16];
    settings_init(&s);
    s.max_rows_per_request = 4711;
    struct replica_args a = {.is_loader = true,
                             .deployment = UINT64_MAX,
                             .replica = 12,
                             .model = "churn",
                             .version = 3,
                             .engine = "onnx",
                             .digest =
                                 "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                             .threads = 4,
                             .optimization = "extended",
                             .provider = "cpu",
                             .memory_bytes = UINT64_C(5) << 30,
                             .batch_budget_us = 2500,
                             .settings = &s};
    struct entry_mains mains = {.replica = check_replica};
    char **argv = entry_replica_argv_new(&a);
    int argc = count_args(argv);
    ck_assert(entry_is_role(argc, argv));
    WANTED = &a;
    ck_assert_int_eq(entry_main(&mains, argc, packed(argv, memory, sizeof memory)), 42);
    a.is_loader = false;
    entry_argv_free(argv);
    argv = entry_replica_argv_new(&a);
    ck_assert_int_eq(entry_main(&mains, argc, packed(argv, memory, sizeof memory)), 42);
    // A word that is no number, and one argument too few.
    free(argv[3]);
    argv[3] = strdup("x");
    ck_assert_int_eq(entry_main(&mains, argc, argv), 2);
    ck_assert_int_eq(entry_main(&mains, 5, argv), 2);
    entry_argv_free(argv);
}
END_TEST

static const struct settings *SAID;

static int check_monitor(const struct monitor_args *a)
{
    ck_assert_str_eq(a->settings->alert_webhook, SAID->alert_webhook);
    ck_assert_str_eq(a->settings->rollout_webhook, SAID->rollout_webhook);
    ck_assert_str_eq(a->settings->data_dir, SAID->data_dir);
    return 43;
}

// What is read in /proc by others is argv; the environment only by this user, and after the start by nobody.
START_TEST(secrets_are_no_arguments_and_leave_the_environment)
{
    static const char SECRET[] = "http://hook/T0KEN=1";
    static struct settings s;
    struct entry_mains mains = {.monitor = check_monitor};
    char home[] = "HOME=/x", *base[] = {home, NULL};
    unsigned n_shown = 0;
    settings_init(&s);
    snprintf(s.alert_webhook, sizeof s.alert_webhook, "%s", SECRET);
    snprintf(s.data_dir, sizeof s.data_dir, "/data");
    char **argv = entry_argv_new("@monitor", 0, 1, "/c", &s), **env = entry_environ_new(base, &s);
    for (char **a = argv; *a; a++)
        ck_assert_msg(strstr(*a, "T0KEN") == NULL && strstr(*a, "webhook") == NULL, "%s", *a);
    char **was = environ, *strings[64] = {0}; // some are about to leave the list
    for (int i = 0; env[i]; i++)
        strings[i] = env[i];
    environ = env;
    ck_assert_str_eq(getenv("SLIPWAY_CHILD_ALERT_WEBHOOK"), SECRET);
    ck_assert_str_eq(getenv("HOME"), "/x");
    char *memory = getenv("SLIPWAY_CHILD_ALERT_WEBHOOK");
    SAID = &s;
    ck_assert_int_eq(entry_main(&mains, count_args(argv), argv), 43);
    for (char **v = environ; *v; v++)
        n_shown += strstr(*v, "SLIPWAY_CHILD_") != NULL;
    ck_assert_uint_eq(n_shown, 0);
    ck_assert_uint_eq(strlen(memory), 0);
    // A supervisor of an older program gave them as arguments.
    free(argv[count_args(argv) - 1]);
    argv[count_args(argv) - 1] = strdup("--alert-webhook=http://hook/T0KEN=1");
    ck_assert_int_eq(entry_main(&mains, count_args(argv), argv), 43);
    environ = was;
    for (int i = 0; i < 64; i++)
        free(strings[i]);
    free(env);
    entry_argv_free(argv);
}
END_TEST

START_TEST(a_title_never_leaves_its_memory)
{
    char memory[8] = "xxxxxxx";
    role_title_set(memory, 6, "slipway: replica");
    ck_assert_mem_eq(memory, "slip\0.x", 7);
    role_title_set(memory + 7, 1, "y");
    ck_assert_int_eq(memory[7], '\0');
}
END_TEST

UNIT_MAIN("role/entry", a_replica_gets_what_the_supervisor_wrote,
          secrets_are_no_arguments_and_leave_the_environment, a_title_never_leaves_its_memory)
