// SPDX-License-Identifier: Apache-2.0
#include "os/signals.h"

#include "unit.h"

#include <errno.h>
#include <unistd.h>

START_TEST(signals_wait_to_be_read)
{
    struct err e;
    int fd, sigs[] = {SIGTERM, SIGHUP};
    ck_assert_int_eq(signals_open(sigs, 2, &fd, &e), 0);
    ck_assert_int_eq(signals_read(fd), 0);
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGHUP);
    int a = signals_read(fd), b = signals_read(fd);
    ck_assert(a != b && (a == SIGTERM || a == SIGHUP) && (b == SIGTERM || b == SIGHUP));
    ck_assert_int_eq(signals_read(fd), 0);
    close(fd);
}
END_TEST

START_TEST(a_broken_pipe_is_an_error_of_the_write)
{
    struct err e;
    int fd, sigs[] = {SIGTERM}, p[2];
    ck_assert_int_eq(signals_open(sigs, 1, &fd, &e), 0);
    ck_assert_int_eq(pipe(p), 0);
    close(p[0]);
    ck_assert_int_lt(write(p[1], "x", 1), 0);
    ck_assert_int_eq(errno, EPIPE);
}
END_TEST

UNIT_MAIN("os/signals", signals_wait_to_be_read, a_broken_pipe_is_an_error_of_the_write)
