// SPDX-License-Identifier: Apache-2.0
#include "os/notify.h"

#include "unit.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// A manager in the abstract name space.
static int manager(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path + 1, name, strlen(name));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))),
                     0);
    return fd;
}

static void set_number(const char *variable, long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", value);
    setenv(variable, text, 1);
}

START_TEST(without_a_manager_nothing_happens)
{
    unsetenv("NOTIFY_SOCKET");
    ck_assert(!notify_send("READY=1"));
    setenv("NOTIFY_SOCKET", "relative/path", 1);
    ck_assert(!notify_send("READY=1"));
    char longer[300];
    memset(longer, 'x', sizeof longer);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    setenv("NOTIFY_SOCKET", longer, 1);
    ck_assert(!notify_send("READY=1"));
    setenv("NOTIFY_SOCKET", "/nowhere/notify", 1);
    ck_assert(!notify_send("READY=1"));
}
END_TEST

START_TEST(a_message_and_a_descriptor_reach_the_manager)
{
    char name[64], text[256] = "";
    snprintf(name, sizeof name, "@slipway-notify-test-%d", (int)getpid());
    int fd = manager(name + 1);
    setenv("NOTIFY_SOCKET", name, 1);
    ck_assert(notify_send("READY=1\nSTATUS=x"));
    ck_assert_int_eq(recv(fd, text, sizeof text, 0), 16);
    ck_assert_str_eq(text, "READY=1\nSTATUS=x");
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert(notify_store("listen", ends[1]));
    _Alignas(struct cmsghdr) char control[256];
    struct iovec io = {text, sizeof text};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ck_assert_int_eq(recvmsg(fd, &m, 0), 23);
    ck_assert_int_eq(memcmp(text, "FDSTORE=1\nFDNAME=listen", 23), 0);
    int got;
    memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got);
    ck_assert_int_eq(write(got, "y", 1), 1);
    ck_assert_int_eq(read(ends[0], text, 1), 1);
    ck_assert_int_eq(text[0], 'y');
}
END_TEST

START_TEST(the_watchdog_is_for_the_process_that_it_names)
{
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    ck_assert_uint_eq(notify_watchdog_ns(), 0);
    setenv("WATCHDOG_USEC", "3000000", 1);
    ck_assert_uint_eq(notify_watchdog_ns(), 1500000000);
    set_number("WATCHDOG_PID", getpid());
    ck_assert_uint_eq(notify_watchdog_ns(), 1500000000);
    set_number("WATCHDOG_PID", getppid());
    ck_assert_uint_eq(notify_watchdog_ns(), 0);
    unsetenv("WATCHDOG_PID");
    setenv("WATCHDOG_USEC", "soon", 1);
    ck_assert_uint_eq(notify_watchdog_ns(), 0);
}
END_TEST

START_TEST(descriptors_are_taken_by_name)
{
    int ends[2], fds[4];
    ck_assert_int_eq(pipe(ends), 0);
    for (int fd = 3; fd < 7; fd++)
        ck_assert_int_eq(dup2(ends[0], fd), fd);
    set_number("LISTEN_PID", getpid());
    setenv("LISTEN_FDS", "4", 1);
    setenv("LISTEN_FDNAMES", "other:listen:more:listen", 1);
    ck_assert_uint_eq(notify_take("listen", fds, 4), 2);
    ck_assert_int_eq(fds[0], 4);
    ck_assert_int_eq(fds[1], 6);
    ck_assert_int_eq(fcntl(4, F_GETFD), FD_CLOEXEC);
    ck_assert(fcntl(4, F_GETFL) & O_NONBLOCK);
    ck_assert_int_eq(fcntl(5, F_GETFD), 0);
    ck_assert_uint_eq(notify_take("listen", fds, 1), 1);
    setenv("LISTEN_FDNAMES", "listen", 1); // fewer names than descriptors
    ck_assert_uint_eq(notify_take("listen", fds, 4), 1);
    setenv("LISTEN_FDS", "9999", 1);
    ck_assert_uint_eq(notify_take("listen", fds, 4), 0);
    setenv("LISTEN_FDS", "4", 1);
    set_number("LISTEN_PID", getppid()); // they were for another
    ck_assert_uint_eq(notify_take("listen", fds, 4), 0);
}
END_TEST

UNIT_MAIN("os/notify", without_a_manager_nothing_happens, a_message_and_a_descriptor_reach_the_manager,
          the_watchdog_is_for_the_process_that_it_names, descriptors_are_taken_by_name)
