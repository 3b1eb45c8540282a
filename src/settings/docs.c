// SPDX-License-Identifier: Apache-2.0
// Texts about settings, made from the table: help, docs/config.md, the sample file.
#include "settings/settings.h"

static void put_flag_name(const struct setting *r, struct buf *out)
{
    buf_puts(out, "--");
    for (const char *k = r->key; *k; k++)
        buf_putc(out, *k == '_' ? '-' : *k);
}

static void put_spaces(size_t n, struct buf *out)
{
    while (n--)
        buf_putc(out, ' ');
}

// Words of `text` in lines of at most 100 columns, the first continuing at column `at`.
static void put_wrapped(const char *text, size_t at, struct buf *out)
{
    struct str rest = str_of(text);
    size_t column = at;
    for (bool first = true; rest.n; first = false) {
        struct str word = str_split(&rest, ' ');
        if (!first && column + 1 + word.n > 100) {
            buf_putc(out, '\n');
            put_spaces(at, out);
            column = at;
        } else if (!first) {
            buf_putc(out, ' ');
            column++;
        }
        buf_put_str(out, word);
        column += word.n;
    }
}

void settings_put_help(struct buf *out)
{
    enum { COLUMN = 28 };
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *r = settings_at(i);
        size_t start = out->n;
        buf_puts(out, "  ");
        put_flag_name(r, out);
        put_spaces(out->n - start < COLUMN ? COLUMN - (out->n - start) : 1, out);
        put_wrapped(r->help, COLUMN, out);
        buf_putc(out, '\n');
        put_spaces(COLUMN, out);
        buf_printf(out, "Default %s; ", r->def);
        settings_put_expected(r, out);
        buf_puts(out, ".\n");
    }
}

void settings_put_markdown(struct buf *out)
{
    buf_puts(
        out,
        "<!-- Generated from src/settings/table.h by dev/generate. Do not edit. -->\n"
        "# Settings\n\n"
        "`slipway serve` takes each setting from the first of these that gives it:\n\n"
        "1. a flag: `--idle-timeout 75s` or `--idle-timeout=75s`; a true-or-false flag alone means true;\n"
        "2. an environment variable: `SLIPWAY_IDLE_TIMEOUT=75s`;\n"
        "3. the configuration file: `idle_timeout: 75s`. Its name is given by `--config FILE` or\n"
        "   `SLIPWAY_CONFIG`; without either, `slipway.yaml` in the current folder is read if it exists;\n"
        "4. its default.\n\n"
        "Sizes are whole numbers with `KiB`, `MiB`, `GiB` or `TiB`, or plain bytes. Durations are whole "
        "numbers\n"
        "with `ms`, `s`, `m` or `h`. An unknown key or flag, a key given twice, or a value that does not fit "
        "is an\n"
        "error at start, never ignored. Other environment variables that begin with `SLIPWAY_` are left "
        "alone.\n"
        "A file with all defaults is [deploy/slipway.yaml](../deploy/slipway.yaml).\n\n"
        "On SIGHUP the server reads the file again and takes over what changed, without closing a "
        "connection: "
        "it\n"
        "logs `settings_reloaded` with the names. A file with an error changes nothing; `settings_invalid` "
        "says "
        "what\n"
        "is wrong and where. A change that only a restart can apply is named in `settings_need_restart`. "
        "What a "
        "flag\n"
        "or a variable gave when the server was started stays above the file. A time-out that is running "
        "ends "
        "as it\n"
        "began.\n\n"
        "| Setting | Default | Value | Change takes effect | What it does |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *r = settings_at(i);
        buf_printf(out, "| `%s` | `%s` | ", r->key, r->def);
        settings_put_expected(r, out);
        if (r->type == SETTING_INT)
            buf_printf(out, " (%s)", r->unit);
        buf_printf(out, " | %s | %s |\n", r->reloadable ? "on SIGHUP" : "after a restart", r->help);
    }
}

void settings_put_sample(struct buf *out)
{
    buf_puts(
        out,
        "# Generated from src/settings/table.h by dev/generate. Copy it, then uncomment what should differ.\n"
        "# Start with: slipway serve --config slipway.yaml\n");
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *r = settings_at(i);
        buf_printf(out, "\n# %s\n# Expects ", r->help);
        settings_put_expected(r, out);
        buf_printf(out, ".\n#%s: %s\n", r->key, r->def);
    }
}
