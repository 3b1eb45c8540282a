// SPDX-License-Identifier: Apache-2.0
// Builds a line on the stack and writes it at once.
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <unistd.h>

static const char *const LEVELS[] = {"debug", "info", "warn", "error"};
static const char TRUNCATED[] = ",\"truncated\":true";

bool log_wants(const struct log *l, enum log_level level)
{
    return level >= l->level;
}

static void put_field(struct buf *b, const struct log_field *f)
{
    buf_putc(b, ',');
    buf_put_json_str(b, str_of(f->key));
    buf_putc(b, ':');
    if (f->type == LOG_TYPE_STR)
        buf_put_json_str(b, f->s);
    else if (f->type == LOG_TYPE_BOOL)
        buf_puts(b, f->i ? "true" : "false");
    else
        buf_printf(b, "%lld", (long long)f->i);
}

static void put_head(struct buf *b, const struct log *l, enum log_level level, const char *event)
{
    char ts[CLOCK_RFC3339_SIZE];
    clock_rfc3339(clock_wall_ns(), ts);
    buf_printf(b, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", ts, LEVELS[level], event);
    if (l->role)
        buf_printf(b, ",\"role\":\"%s\"", l->role);
    if (l->index >= 0)
        buf_printf(b, ",\"index\":%d", l->index);
    buf_printf(b, ",\"pid\":%d", (int)getpid());
}

static void write_all(int fd, struct str s)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; // nowhere to report that the log is gone
        s.p += n;
        s.n -= (size_t)n;
    }
}

void log_write(const struct log *l, enum log_level level, const char *event, const struct log_field *fields,
               size_t n)
{
    if (!log_wants(l, level))
        return;
    char line[LOG_LINE_MAX];
    enum { TAIL = sizeof TRUNCATED - 1 + 2 };
    // A buffer that is at its maximum from the start never allocates.
    struct buf b = {.p = line, .cap = sizeof line - TAIL, .max = sizeof line - TAIL};
    put_head(&b, l, level, event);
    bool truncated = false;
    for (size_t i = 1; i < n; i++) {
        size_t before = b.n;
        put_field(&b, &fields[i]);
        if (b.failed) {
            b.n = before;
            b.failed = false;
            truncated = true;
        }
    }
    b.cap = b.max = sizeof line;
    if (truncated)
        buf_puts(&b, TRUNCATED);
    buf_puts(&b, "}\n");
    write_all(l->fd, buf_str(&b));
}
