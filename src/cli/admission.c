// SPDX-License-Identifier: Apache-2.0
// The steps of an admission and its profile, for `slipway push` and `slipway show`.
#include "cli/admission.h"

#include "cli/term.h"

#include <string.h>

enum { STEP_COLUMNS = 11, RESULT_COLUMNS = 8 };

static const char *style_of(const char *result)
{
    enum term_style style = strcmp(result, "passed") == 0    ? TERM_GREEN
                            : strcmp(result, "failed") == 0  ? TERM_RED
                            : strcmp(result, "skipped") == 0 ? TERM_DIM
                                                             : TERM_BOLD;
    return term_on(stdout, style);
}

static struct str text_at(yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return str_of(text ? text : "");
}

// Text in a column of its own; a longer one pushes the rest on.
static void put_column(struct str text, size_t columns, struct buf *out)
{
    term_put_safe(text, out);
    for (size_t n = text.n; n < columns; n++)
        buf_putc(out, ' ');
}

void cli_admission_step(yyjson_val *step, struct buf *out)
{
    struct str result = text_at(step, "result");
    char z[16];
    snprintf(z, sizeof z, STR_FMT, STR_ARG(result));
    buf_puts(out, "  ");
    put_column(text_at(step, "step"), STEP_COLUMNS, out);
    buf_puts(out, style_of(z));
    put_column(result, RESULT_COLUMNS, out);
    buf_puts(out, term_off(stdout));
    if (yyjson_is_num(yyjson_obj_get(step, "ms")))
        buf_printf(out, "%8.1f ms  ", yyjson_get_num(yyjson_obj_get(step, "ms")));
    else
        buf_puts(out, "             ");
    term_put_safe(text_at(step, "detail"), out);
    buf_putc(out, '\n');
}

static void put_time(double us, struct buf *out)
{
    if (us < 1000)
        buf_printf(out, "%8.1f µs", us);
    else
        buf_printf(out, "%8.1f ms", us / 1000);
}

static void put_latency(yyjson_val *latency, struct buf *out)
{
    size_t i, n;
    yyjson_val *size;
    yyjson_arr_foreach(latency, i, n, size)
    {
        buf_puts(out, i ? "             " : "  latency    ");
        buf_printf(out, "%5llu rows  p50", (unsigned long long)yyjson_get_uint(yyjson_obj_get(size, "rows")));
        put_time(yyjson_get_num(yyjson_obj_get(size, "p50_us")), out);
        buf_puts(out, "  p99");
        put_time(yyjson_get_num(yyjson_obj_get(size, "p99_us")), out);
        buf_putc(out, '\n');
    }
}

void cli_admission_report(yyjson_val *report, struct buf *out)
{
    size_t i, n;
    yyjson_val *step, *load = yyjson_obj_get(report, "load_ms"),
                      *memory = yyjson_obj_get(report, "memory_bytes");
    if (!yyjson_is_obj(report))
        return;
    buf_puts(out, "\nAdmission: ");
    term_put_safe(text_at(report, "verdict"), out);
    buf_putc(out, '\n');
    yyjson_arr_foreach(yyjson_obj_get(report, "steps"), i, n, step)
    {
        cli_admission_step(step, out);
    }
    put_latency(yyjson_obj_get(report, "latency"), out);
    if (!yyjson_is_num(load) || !yyjson_is_uint(memory))
        return;
    buf_printf(out, "  loaded in %.1f ms, with ", yyjson_get_num(load));
    term_put_bytes(yyjson_get_uint(memory), out);
    buf_puts(out, " at most");
    if (text_at(report, "library").n) {
        buf_puts(out, ", by ");
        term_put_safe(text_at(report, "library"), out);
    }
    buf_putc(out, '\n');
}
