// SPDX-License-Identifier: Apache-2.0
// What people see on the terminal.
#include "cli/term.h"

#include "base/clock.h"
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

enum { BAR_CELLS = 24, REDRAW_NS = 100000000 };

bool term_colours(FILE *to)
{
    const char *no = getenv("NO_COLOR"), *kind = getenv("TERM");
    return !(no && *no) && !(kind && strcmp(kind, "dumb") == 0) && isatty(fileno(to));
}

const char *term_on(FILE *to, enum term_style style)
{
    static const char *const CODES[] = {
        [TERM_BOLD] = "\033[1m", [TERM_DIM] = "\033[2m", [TERM_RED] = "\033[31m", [TERM_GREEN] = "\033[32m"};
    return term_colours(to) ? CODES[style] : "";
}

const char *term_off(FILE *to)
{
    return term_colours(to) ? "\033[0m" : "";
}

static void put_json_field(const char *name, const char *value, struct buf *out)
{
    if (!value[0])
        return;
    buf_putc(out, out->n > 1 ? ',' : ' ');
    out->n -= out->n == 2;
    buf_put_json_str(out, str_of(name));
    buf_putc(out, ':');
    buf_put_json_str(out, str_of(value));
}

static void put_text(const struct err *e, struct buf *out)
{
    buf_printf(out, "%sslipway:%s ", term_on(stderr, TERM_RED), term_off(stderr));
    term_put_safe(str_of(e->msg), out);
    if (e->path[0]) {
        buf_puts(out, " (at ");
        term_put_safe(str_of(e->path), out);
        buf_putc(out, ')');
    }
    buf_putc(out, '\n');
    if (e->hint[0]) {
        buf_puts(out, "  ");
        term_put_safe(str_of(e->hint), out);
        buf_putc(out, '\n');
    }
}

int term_fail(const struct err *e, bool json)
{
    struct buf b;
    buf_init(&b, 16 << 10);
    if (json) {
        buf_putc(&b, '{');
        put_json_field("error", e->msg, &b);
        put_json_field("code", err_name(e->code), &b);
        put_json_field("path", e->path, &b);
        put_json_field("hint", e->hint, &b);
        buf_puts(&b, "}\n");
    } else {
        put_text(e, &b);
    }
    fflush(stdout);
    fwrite(b.p, 1, b.n, stderr);
    buf_done(&b);
    return e->code == ERR_REFUSED ? CLI_REFUSED : CLI_FAILED;
}

int term_refused(const struct err *e, bool json, struct yyjson_val *said)
{
    char *line =
        json && yyjson_get_str(yyjson_obj_get(said, "error")) ? yyjson_val_write(said, 0, NULL) : NULL;
    if (!line)
        return term_fail(e, json);
    fflush(stdout);
    fprintf(stderr, "%s\n", line);
    free(line);
    return e->code == ERR_REFUSED ? CLI_REFUSED : CLI_FAILED;
}

int term_usage(const struct err *e)
{
    (void)term_fail(e, false);
    return CLI_USAGE;
}

int term_write(const struct buf *b, struct err *e)
{
    if (b->failed)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (fwrite(b->p, 1, b->n, stdout) != b->n || fflush(stdout) != 0)
        return err_errno(e, errno, "write to standard output");
    return 0;
}

int term_put_json(struct yyjson_val *v, struct buf *out, struct err *e)
{
    size_t n;
    char *json = yyjson_val_write(v, YYJSON_WRITE_PRETTY_TWO_SPACES, &n);
    if (!json)
        return err_set(e, ERR_NOMEM, "out of memory");
    buf_put(out, json, n);
    buf_putc(out, '\n');
    free(json);
    return 0;
}

void term_put_bytes(uint64_t bytes, struct buf *out)
{
    static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1024 && u < 4; u++)
        v /= 1024;
    buf_printf(out, u ? "%.1f %s" : "%.0f %s", v, UNITS[u]);
}

void term_put_count(uint64_t count, struct buf *out)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, count);
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            buf_putc(out, ',');
        buf_putc(out, digits[i]);
    }
}

void term_put_safe(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        // C1 controls are two bytes in UTF-8: C2 80 … C2 9F.
        bool c1 = c == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0;
        if (c1)
            buf_printf(out, "\\x%02x\\x%02x", c, (unsigned char)text.p[++i]);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_putc(out, (char)c);
    }
}

// Columns that a text takes on the terminal: its characters, taking each as one column wide.
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; text && *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void term_put_table(const char *const *cells, size_t n_rows, size_t n_columns, struct buf *out)
{
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t c = 0; c < n_columns; c++) {
            const char *cell = cells[r * n_columns + c];
            size_t widest = 0;
            for (size_t i = 0; i < n_rows; i++) {
                size_t w = width_of(cells[i * n_columns + c]);
                widest = w > widest ? w : widest;
            }
            buf_puts(out, "  ");
            term_put_safe(str_of(cell), out);
            for (size_t w = width_of(cell); c + 1 < n_columns && w < widest; w++)
                buf_putc(out, ' ');
        }
        while (out->n && out->p[out->n - 1] == ' ')
            out->n--;
        buf_putc(out, '\n');
    }
}

void progress_start(struct progress *p, const char *what, const char *unit, uint64_t total)
{
    *p = (struct progress){.what = what, .unit = unit, .total = total, .start_ns = clock_mono_ns()};
    p->on = isatty(STDERR_FILENO);
}

static void put_amount(const struct progress *p, uint64_t amount, struct buf *out)
{
    if (p->unit) {
        term_put_count(amount, out);
        buf_printf(out, " %s", p->unit);
    } else {
        term_put_bytes(amount, out);
    }
}

static void draw(struct progress *p, uint64_t done, uint64_t now)
{
    struct buf b;
    double seconds = (double)(now - p->start_ns) / 1e9;
    buf_init(&b, 1024);
    buf_printf(&b, "\r\033[K%s ", p->what);
    if (p->total) {
        double share = (double)done / (double)p->total;
        int full = (int)((share > 1 ? 1 : share) * BAR_CELLS);
        buf_putc(&b, '[');
        for (int i = 0; i < BAR_CELLS; i++)
            buf_putc(&b, i < full ? '=' : ' ');
        buf_printf(&b, "] %3d %%  ", (int)((share > 1 ? 1 : share) * 100));
    }
    put_amount(p, done, &b);
    buf_puts(&b, ", ");
    put_amount(p, seconds > 0 ? (uint64_t)((double)done / seconds) : 0, &b);
    buf_puts(&b, "/s");
    fwrite(b.p, 1, b.n, stderr);
    fflush(stderr);
    buf_done(&b);
    p->drawn = true;
    p->drawn_ns = now;
}

void progress_at(struct progress *p, uint64_t done)
{
    uint64_t now = p->on ? clock_mono_ns() : 0;
    if (p->on && now - (p->drawn ? p->drawn_ns : p->start_ns) >= REDRAW_NS)
        draw(p, done, now);
}

void progress_end(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
