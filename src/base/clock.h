// SPDX-License-Identifier: Apache-2.0
// Kinds of time: mono_ns (monotonic, for durations and deadlines), wall_ns (since 1970 UTC, for people
// and ids), dur_ns (a difference).
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ns(void);
uint64_t clock_wall_ns(void);
uint64_t clock_thread_ns(void); // that this thread ran: waiting for a core does not count

enum { CLOCK_RFC3339_SIZE = 25, CLOCK_HTTP_DATE_SIZE = 30 };
// "2026-11-22T10:49:29.123Z" with NUL.
void clock_rfc3339(uint64_t wall_ns, char ret[CLOCK_RFC3339_SIZE]);
// "Sun, 22 Nov 2026 10:49:29 GMT" with NUL (RFC 9110 section 5.6.7).
void clock_http_date(uint64_t wall_ns, char ret[CLOCK_HTTP_DATE_SIZE]);
