// SPDX-License-Identifier: Apache-2.0
// Reading and writing time. Modules below role/ take time as a parameter; the roles read it here.
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t now_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return now_ns(CLOCK_REALTIME);
}

uint64_t clock_thread_ns(void)
{
    return now_ns(CLOCK_THREAD_CPUTIME_ID);
}

void clock_rfc3339(uint64_t wall_ns, char ret[CLOCK_RFC3339_SIZE])
{
    time_t s = (time_t)(wall_ns / 1000000000u);
    struct tm tm;
    gmtime_r(&s, &tm);
    char date[24];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret, CLOCK_RFC3339_SIZE, "%.19s.%03uZ", date, (unsigned)(wall_ns / 1000000u % 1000u));
}

void clock_http_date(uint64_t wall_ns, char ret[CLOCK_HTTP_DATE_SIZE])
{
    time_t s = (time_t)(wall_ns / 1000000000u);
    struct tm tm;
    gmtime_r(&s, &tm);
    strftime(ret, CLOCK_HTTP_DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}
