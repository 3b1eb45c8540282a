// SPDX-License-Identifier: Apache-2.0
// When the process that seals is started. With arguments the program is that process: it notes that it ran,
// and fails where a file tells it to.
#include "base/clock.h"
#include "role/log_worker.h"
#include "role/monitor/log_parts.h"
#include "settings/settings.h"
#include "tempdir.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SECOND UINT64_C(1000000000)

static char dir[TEMPDIR_SIZE], fail_path[TEMPDIR_SIZE + 8], ran_path[TEMPDIR_SIZE + 8];
static struct settings settings;
static struct monitor m = {.settings = &settings, .log = {-1, LOG_LEVEL_ERROR, "test", -1}};
static struct log_state l;
static struct timer beat;
static unsigned n_started;

static void set_paths(const char *data_dir)
{
    snprintf(fail_path, sizeof fail_path, "%s/fail", data_dir);
    snprintf(ran_path, sizeof ran_path, "%s/ran", data_dir);
}

static int be_sealer(char **argv)
{
    set_paths(argv[3]);
    int fd = open(ran_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1)
        return 2;
    return access(fail_path, F_OK) == 0 ? 1 : 0;
}

static void on_beat(struct timer *t)
{
    struct err e;
    if (l.sealer.pid <= 0)
        loop_stop(m.loop);
    ck_assert_int_eq(loop_timer_set(m.loop, t, loop_now_ns(m.loop) + 1000000, &e), 0);
}

// Whether it is started then; waits for its end.
static bool starts(uint64_t before_seq, uint64_t now)
{
    struct err e;
    struct stat st;
    log_seal_step(&l, before_seq, now);
    if (l.sealer.pid <= 0)
        return false;
    log_seal_step(&l, before_seq + 1, now + SECOND); // there is one
    ck_assert_int_eq(loop_timer_set(m.loop, &beat, 0, &e), 0);
    ck_assert_int_eq(loop_run(m.loop, &e), 0);
    ck_assert_int_eq(stat(ran_path, &st), 0);
    ck_assert_uint_eq((unsigned)st.st_size, ++n_started);
    return true;
}

static void set_up(void)
{
    struct err e;
    tempdir_new(dir);
    set_paths(dir);
    settings_init(&settings);
    snprintf(settings.data_dir, sizeof settings.data_dir, "%s", dir);
    ck_assert_int_eq(loop_new(&m.loop, &e), 0);
    l = (struct log_state){.m = &m, .sealer.pidfd = -1};
    beat.on_due = on_beat;
}

static void tear_down(void)
{
    loop_free(m.loop);
    tempdir_remove(dir);
}

START_TEST(it_is_started_for_files_that_were_closed)
{
    set_up();
    ck_assert(starts(1, SECOND));
    ck_assert(!starts(1, 2 * SECOND));
    ck_assert(starts(7, 3 * SECOND));
    ck_assert(!starts(7, 4 * SECOND));
    tear_down();
}
END_TEST

START_TEST(one_that_failed_is_repeated_later_and_later)
{
    set_up();
    fclose(fopen(fail_path, "w"));
    ck_assert(starts(1, SECOND));
    for (unsigned i = 0; i < 11; i++) {
        uint64_t pause = (i < 8 ? UINT64_C(1) << i : 256) * SECOND, end = l.sealing.mono_ns;
        ck_assert_uint_eq(l.sealing.n_failed, i + 1);
        ck_assert(!starts(2, end + pause - 1));
        ck_assert(starts(2, end + pause));
    }
    ck_assert_int_eq(remove(fail_path), 0);
    ck_assert(starts(2, l.sealing.mono_ns + 256 * SECOND));
    ck_assert(!starts(2, l.sealing.mono_ns + 256 * SECOND));
    ck_assert(starts(3, l.sealing.mono_ns + 1));
    tear_down();
}
END_TEST

START_TEST(without_new_files_it_is_started_once_an_hour)
{
    set_up();
    ck_assert(starts(4, SECOND));
    ck_assert(!starts(4, 3600 * SECOND));
    ck_assert(starts(4, 3601 * SECOND));
    ck_assert(!starts(4, 7200 * SECOND));
    ck_assert(starts(4, 7201 * SECOND));
    tear_down();
}
END_TEST

START_TEST(it_is_started_when_less_may_stay)
{
    set_up();
    ck_assert(starts(4, SECOND));
    settings.log_retain_days--;
    ck_assert(starts(4, SECOND + 1));
    ck_assert(!starts(4, SECOND + 2));
    fclose(fopen(fail_path, "w"));
    settings.log_retain_bytes /= 2;
    ck_assert(starts(4, SECOND + 3));
    ck_assert(!starts(4, l.sealing.mono_ns + SECOND - 1));
    settings.log_retain_bytes /= 2; // who makes room on a full disk does not wait
    ck_assert(starts(4, l.sealing.mono_ns + 1));
    tear_down();
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], LOG_WORKER_ROLE) == 0)
        return be_sealer(argv);
    Suite *s = suite_create("role/monitor/log_seal");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    tcase_add_test(c, it_is_started_for_files_that_were_closed);
    tcase_add_test(c, one_that_failed_is_repeated_later_and_later);
    tcase_add_test(c, without_new_files_it_is_started_once_an_hour);
    tcase_add_test(c, it_is_started_when_less_may_stay);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
