// SPDX-License-Identifier: Apache-2.0
// What the supervisor tells systemd (os/notify): that it is ready, reloads, stops, still turns its loop, and
// which process it is after an adoption. The listeners are left with systemd, so that a restart of the
// service refuses no connection: those that come meanwhile wait in their queues.
#include "base/clock.h"
#include "os/notify.h"
#include "os/sock.h"
#include "role/supervisor/state.h"
#include "settings/settings.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEXT_MAX = 512 };
static const char LISTENERS[] = "listen";

static void on_watchdog(struct timer *t)
{
    struct supervisor *s = (struct supervisor *)((char *)t - offsetof(struct supervisor, watchdog));
    struct err e;
    (void)notify_send("WATCHDOG=1");
    if (loop_timer_set(s->loop, t, clock_mono_ns() + notify_watchdog_ns(), &e))
        log_event(&s->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("error", e.msg));
}

void service_begin(struct supervisor *s)
{
    s->watchdog.on_due = on_watchdog;
    if (notify_watchdog_ns())
        on_watchdog(&s->watchdog);
}

void service_ready(const struct supervisor *s)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof text, "READY=1\nMAINPID=%d\nSTATUS=%u gateways answer at %s", (int)getpid(),
             s->n_gateways, s->url);
    (void)notify_send(text);
}

void service_stopping(void)
{
    (void)notify_send("STOPPING=1\nSTATUS=Requests that are under way are being answered");
}

void service_reloading(void)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)(clock_mono_ns() / 1000));
    (void)notify_send(text);
}

void service_store(const struct supervisor *s)
{
    for (unsigned i = 0; i < s->n_gateways; i++)
        if (s->children[i].listen_fd >= 0)
            (void)notify_store(LISTENERS, s->children[i].listen_fd);
}

// Whether it listens where the settings want it.
static bool fits(int fd, const struct sockaddr_storage *wanted)
{
    struct sockaddr_storage has;
    socklen_t size = sizeof has, n = sizeof(int);
    int listens = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0 || !listens ||
        getsockname(fd, (struct sockaddr *)&has, &size) < 0 || has.ss_family != wanted->ss_family)
        return false;
    if (has.ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)&has, *b = (const void *)wanted;
        return a->sin_addr.s_addr == b->sin_addr.s_addr && (!b->sin_port || a->sin_port == b->sin_port);
    }
    const struct sockaddr_in6 *a = (const void *)&has, *b = (const void *)wanted;
    return memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0 &&
           (!b->sin6_port || a->sin6_port == b->sin6_port);
}

bool service_take(struct supervisor *s, struct sockaddr_storage *a)
{
    int fds[NOTIFY_FDS_MAX];
    size_t n = notify_take(LISTENERS, fds, NOTIFY_FDS_MAX), good = 0;
    while (good < n && fits(fds[good], a))
        good++;
    if (n && good == n && n == s->n_gateways) {
        for (size_t i = 0; i < n; i++)
            s->children[i].listen_fd = fds[i];
        socklen_t size = sizeof *a;
        return getsockname(fds[0], (struct sockaddr *)a, &size) == 0;
    }
    // Of another address or another number of gateways: a listener that nobody serves must not stay.
    for (size_t i = 0; i < n; i++) {
        (void)shutdown(fds[i], SHUT_RDWR);
        close(fds[i]);
    }
    if (n)
        (void)notify_send("FDSTOREREMOVE=1\nFDNAME=listen");
    return false;
}
