// SPDX-License-Identifier: Apache-2.0
// Who asks for an upgrade, and a supervisor that the test plays.
#include "role/controller/upgrade.h"

#include "base/err.h"
#include "harness.h"
#include "role/supervision.h"
#include "tempdir.h"
#include "unit.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

static char dir[TEMPDIR_SIZE];
static pid_t pid;
static struct answer a;
static struct supervision_message m;
static const char URL[] = "/api/v1/upgrade", BODY[] = "{\"binary\":\"/usr/bin/slipway\"}";

static void start(void)
{
    tempdir_new(dir);
    pid = harness_start_supervised(dir, 0);
    harness_supervisor_hears(SUPERVISION_COMPLETE, &m);
}

static void stop(void)
{
    ck_assert_int_eq(harness_stop(pid), 0);
    tempdir_remove(dir);
}

static int ask(void)
{
    return harness_send("POST", URL, BODY, sizeof BODY - 1);
}

static void expect(int fd, int status, const char *in_body)
{
    harness_receive(fd, &a);
    ck_assert_msg(a.status == status && strstr(a.body, in_body), "%d %s", a.status, a.body);
}

START_TEST(an_upgrade_ends_when_the_supervisor_says_so_whoever_waits)
{
    start();
    int fd = ask();
    harness_supervisor_hears(SUPERVISION_UPGRADE, &m);
    ck_assert_str_eq(m.upgrade.path, "/usr/bin/slipway");
    expect(ask(), 409, "an upgrade is running");
    close(fd); // the first caller has gone; his upgrade goes on
    for (int i = 0; i < 20; i++)
        expect(ask(), 409, "an upgrade is running");
    ck_assert(!harness_supervisor_is_told());
    harness_supervisor_upgraded(ERR_BUSY, "processes are being started");
    // Who asks before the controller has read that is refused, too.
    for (;;) {
        fd = ask();
        while (!harness_is_answered(fd) && !harness_supervisor_is_told())
            sched_yield();
        if (harness_supervisor_is_told())
            break;
        expect(fd, 409, "an upgrade is running");
    }
    harness_supervisor_hears(SUPERVISION_UPGRADE, &m);
    ck_assert(!harness_is_answered(fd));
    harness_supervisor_upgraded(0, "9.9.9");
    expect(fd, 200, "\"version\":\"9.9.9\"");
    stop();
}
END_TEST

START_TEST(an_upgrade_with_a_key_is_refused)
{
    start();
    harness_key("once");
    expect(ask(), 400, "takes no Idempotency-Key");
    harness_key("");
    ck_assert(!harness_supervisor_is_told());
    int fd = ask();
    harness_supervisor_hears(SUPERVISION_UPGRADE, &m);
    harness_supervisor_upgraded(ERR_NOT_FOUND, "there is no such file");
    expect(fd, 404, "there is no such file");
    stop();
}
END_TEST

int main(int argc, char **argv)
{
    harness_helper_entry(argc, argv);
    Suite *s = suite_create("role/controller/upgrade");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    suite_add_tcase(s, c);
    tcase_add_test(c, an_upgrade_ends_when_the_supervisor_says_so_whoever_waits);
    tcase_add_test(c, an_upgrade_with_a_key_is_refused);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
