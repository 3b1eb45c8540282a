// SPDX-License-Identifier: Apache-2.0
// Events as JSON lines: {"ts":"…Z","level":"info","event":"ready","role":"supervisor","pid":7, fields…}. One
// write(2) per line, so that lines of several processes do not mix; no allocation. Only role/, cli/ and main
// log; modules below return errors.
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum { LOG_LINE_MAX = 4096 }; // what does not fit is left out and the line says "truncated":true

struct log {
    int fd;
    enum log_level level; // events below it are not written
    const char *role;     // "supervisor", "gateway", …; NULL leaves it out
    int index;            // of the gateway; negative leaves it out
};

enum log_type { LOG_TYPE_STR, LOG_TYPE_INT, LOG_TYPE_BOOL };
struct log_field {
    const char *key;
    enum log_type type;
    struct str s;
    int64_t i;
};

#define LOG_STR(key, value)  ((struct log_field){(key), LOG_TYPE_STR, (value), 0})
#define LOG_Z(key, value)    LOG_STR(key, str_of(value))
#define LOG_INT(key, value)  ((struct log_field){(key), LOG_TYPE_INT, {0}, (int64_t)(value)})
#define LOG_BOOL(key, value) ((struct log_field){(key), LOG_TYPE_BOOL, {0}, (value)})

// log_event(&log, LOG_LEVEL_WARN, "child_exited", LOG_Z("child", "gateway"), LOG_INT("child_pid", 7));
// The array begins with one unused field, so that an event may have none.
#define log_event(l, level, event, ...)                                                                      \
    log_write((l), (level), (event), (const struct log_field[]){{0}, ##__VA_ARGS__},                         \
              sizeof((const struct log_field[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_field))

// Use log_event. fields[0] is skipped.
void log_write(const struct log *l, enum log_level level, const char *event, const struct log_field *fields,
               size_t n);
bool log_wants(const struct log *l, enum log_level level);
