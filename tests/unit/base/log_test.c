// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// What `write` logged, NUL-terminated.
static char got[2 * LOG_LINE_MAX];

static struct log piped(int fds[2], enum log_level level)
{
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    return (struct log){.fd = fds[1], .level = level, .role = "gateway", .index = 3};
}

static size_t drain(int fd)
{
    ssize_t n = read(fd, got, sizeof got - 1);
    n = n < 0 ? 0 : n;
    got[n] = '\0';
    return (size_t)n;
}

START_TEST(a_line_is_one_json_object)
{
    int fds[2];
    struct log l = piped(fds, LOG_LEVEL_INFO);
    log_event(&l, LOG_LEVEL_WARN, "child_ended", LOG_Z("why", "a \"b\"\n"), LOG_INT("code", -9),
              LOG_BOOL("ok", true));
    drain(fds[0]);
    char pid[32];
    snprintf(pid, sizeof pid, "\"pid\":%d,", (int)getpid());
    ck_assert(strncmp(got, "{\"ts\":\"20", 9) == 0);
    ck_assert(
        strstr(got, "Z\",\"level\":\"warn\",\"event\":\"child_ended\",\"role\":\"gateway\",\"index\":3,"));
    ck_assert(strstr(got, pid));
    ck_assert(strstr(got, "\"why\":\"a \\\"b\\\"\\u000a\",\"code\":-9,\"ok\":true}\n"));
    ck_assert_ptr_eq(strchr(got, '\n'), got + strlen(got) - 1);
}
END_TEST

START_TEST(role_index_and_fields_may_be_absent)
{
    int fds[2];
    struct log l = piped(fds, LOG_LEVEL_DEBUG);
    l.role = NULL;
    l.index = -1;
    log_event(&l, LOG_LEVEL_DEBUG, "tick");
    drain(fds[0]);
    ck_assert(!strstr(got, "role") && !strstr(got, "index") && strstr(got, "\"event\":\"tick\",\"pid\":"));
}
END_TEST

START_TEST(events_below_the_level_are_not_written)
{
    int fds[2];
    struct log l = piped(fds, LOG_LEVEL_WARN);
    log_event(&l, LOG_LEVEL_INFO, "tick");
    ck_assert_uint_eq(drain(fds[0]), 0);
    ck_assert(!log_wants(&l, LOG_LEVEL_INFO) && log_wants(&l, LOG_LEVEL_ERROR));
}
END_TEST

START_TEST(a_field_that_does_not_fit_is_left_out_whole)
{
    int fds[2];
    struct log l = piped(fds, LOG_LEVEL_INFO);
    static char big[LOG_LINE_MAX];
    memset(big, 'x', sizeof big - 1);
    log_event(&l, LOG_LEVEL_INFO, "e", LOG_Z("big", big), LOG_INT("after", 7));
    size_t n = drain(fds[0]);
    ck_assert_uint_le(n, LOG_LINE_MAX);
    ck_assert(!strstr(got, "xxx"));
    ck_assert(str_ends(str_of(got), STR(",\"after\":7,\"truncated\":true}\n")));
}
END_TEST

START_TEST(a_full_line_keeps_room_for_its_end)
{
    int fds[2];
    struct log l = piped(fds, LOG_LEVEL_INFO);
    static char filler[LOG_LINE_MAX];
    for (size_t n = LOG_LINE_MAX - 200; n < LOG_LINE_MAX; n++) {
        memset(filler, 'y', n);
        log_event(&l, LOG_LEVEL_INFO, "e", LOG_STR("f", ((struct str){filler, n})), LOG_INT("g", 12345));
        size_t len = drain(fds[0]);
        ck_assert_uint_le(len, LOG_LINE_MAX);
        ck_assert_int_eq(got[len - 1], '\n');
        ck_assert_int_eq(got[len - 2], '}');
    }
}
END_TEST

UNIT_MAIN("base/log", a_line_is_one_json_object, role_index_and_fields_may_be_absent,
          events_below_the_level_are_not_written, a_field_that_does_not_fit_is_left_out_whole,
          a_full_line_keeps_room_for_its_end)
