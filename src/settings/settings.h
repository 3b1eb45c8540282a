// SPDX-License-Identifier: Apache-2.0
// The settings of a server: one plain struct, filled from defaults < slipway.yaml < SLIPWAY_… variables <
// flags. What there is stands in settings/table.h. Nothing is ever ignored: an unknown key, a wrong type or a
// value out of range is an error that names the key, the value and what was expected.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "settings/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { SETTINGS_STRING_MAX = 1024 };

enum settings_feedback_tokens {
    SETTINGS_FEEDBACK_TOKENS_OFF,
    SETTINGS_FEEDBACK_TOKENS_HEADER,
    SETTINGS_FEEDBACK_TOKENS_BODY
};
enum settings_log_durability { SETTINGS_LOG_DURABILITY_ASYNC, SETTINGS_LOG_DURABILITY_COMMIT };
enum settings_log_overflow {
    SETTINGS_LOG_OVERFLOW_DROP,
    SETTINGS_LOG_OVERFLOW_SAMPLE,
    SETTINGS_LOG_OVERFLOW_BLOCK
};
enum settings_log_events_mode { SETTINGS_LOG_EVENTS_BATCH, SETTINGS_LOG_EVENTS_STRUCTURED };
enum settings_log_level { SETTINGS_LOG_DEBUG, SETTINGS_LOG_INFO, SETTINGS_LOG_WARN, SETTINGS_LOG_ERROR };

#define SETTINGS_MEMBER_BOOL(field)       bool field;
#define SETTINGS_MEMBER_INT(field)        uint32_t field;
#define SETTINGS_MEMBER_BYTES(field)      uint64_t field;
#define SETTINGS_MEMBER_DURATION(field)   uint64_t field;
#define SETTINGS_MEMBER_STRING(field)     char field[SETTINGS_STRING_MAX];
#define SETTINGS_MEMBER_ADDRESS(field)    char field[SETTINGS_STRING_MAX];
#define SETTINGS_MEMBER_ENUM(field)       uint32_t field;
#define SETTINGS_MEMBER(type, field, ...) SETTINGS_MEMBER_##type(field)

// Plain data: may be copied and compared member by member, owns nothing. Strings end in NUL. An ENUM is the
// index of its choice: log_level is an enum settings_log_level.
struct settings {
    SETTINGS_TABLE(SETTINGS_MEMBER)
};

enum setting_type {
    SETTING_BOOL,
    SETTING_INT,
    SETTING_BYTES,
    SETTING_DURATION,
    SETTING_STRING,
    SETTING_ADDRESS,
    SETTING_ENUM
};

// One row of the table.
struct setting {
    enum setting_type type;
    const char *key, *def, *unit, *help;
    uint64_t min, max;
    bool reloadable;
    size_t offset; // of the member in struct settings
};

size_t settings_count(void);                 // at most 63
const struct setting *settings_at(size_t i); // in the table's order; asserts i < settings_count()

// Defaults everywhere.
void settings_init(struct settings *s);
// Sets one value from text. ERR_UNKNOWN_FIELD (hint: the nearest key), ERR_WRONG_TYPE, ERR_OUT_OF_RANGE; s is
// then unchanged.
int settings_set(struct settings *s, struct str key, struct str value, struct err *e) ERR_CHECKED;
// Appends value i as a user would write it: "75s", "16MiB".
void settings_put(const struct settings *s, size_t i, struct buf *out);
// Whether setting i may hold a secret, such as a URL with a token in it: not to be shown to other users.
bool settings_is_secret(size_t i);
// Appends "--key=value" of setting i: how the supervisor hands its settings to the processes it starts.
void settings_put_flag(const struct settings *s, size_t i, struct buf *out);

// Sets what a YAML text says: one mapping of keys to plain values. `name` is used in messages
// ("slipway.yaml:3: …"). As settings_set, and ERR_INVALID where the text is not YAML of this form,
// ERR_DUPLICATE_KEY, ERR_NOMEM. s may be half set after an error.
int settings_load_text(struct settings *s, struct str text, const char *name, struct err *e) ERR_CHECKED;
// The same from a file. Also ERR_IO, ERR_TOO_LARGE over LIMIT_CONFIG_BYTES.
int settings_load_file(struct settings *s, const char *path, struct err *e) ERR_CHECKED;
// Sets what variables named SLIPWAY_KEY say. Other variables that begin with SLIPWAY_ are left alone: clients
// and orchestrators set such.
int settings_load_environ(struct settings *s, char *const *environ_list, struct err *e) ERR_CHECKED;
// All sources in their order. argv holds flags only (no program or verb name): --key value, --key=value, a
// bool alone is true; --config FILE names the file, else SLIPWAY_CONFIG, else ./slipway.yaml if there is one.
int settings_load(struct settings *ret, int argc, char *const *argv, char *const *environ_list,
                  struct err *e) ERR_CHECKED;

// What a reload did, a bit for each row: taken over; different, but fixed while the server runs.
struct settings_changes {
    uint64_t applied, fixed;
};
// Takes over from `from` what the table calls reloadable.
struct settings_changes settings_reload(struct settings *s, const struct settings *from);

// Parses "127.0.0.1:8080", "[::1]:8080" or "localhost:8080" (which is 127.0.0.1). Asks no resolver.
// ERR_WRONG_TYPE.
int settings_address_parse(struct str text, struct sockaddr_storage *ret, socklen_t *ret_size,
                           struct err *e) ERR_CHECKED;

// Generated texts: the flags part of `slipway serve --help`, docs/config.md, deploy/slipway.yaml.
void settings_put_help(struct buf *out);
void settings_put_markdown(struct buf *out);
void settings_put_sample(struct buf *out);
// Appends what a value of row r may be: "a duration from 100ms to 24h, such as 75s".
void settings_put_expected(const struct setting *r, struct buf *out);
