// SPDX-License-Identifier: Apache-2.0
// `slipway drift`: how far live traffic is from what a version was trained on, column by column, with the
// course of the last windows as a small chart; and setting a new baseline of live windows.
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/term.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHART_COLUMNS = 24, CELL_MAX = 32, COLUMNS = 9, LABEL_MAX = 80 };

static struct str text_at(yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return str_of(text ? text : "");
}

// Eight steps from 0 to twice what warns; "·" where there was nothing to compare.
static void put_chart(yyjson_val *history, struct buf *out)
{
    static const char *const STEPS[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    size_t n = yyjson_arr_size(history), from = n > CHART_COLUMNS ? n - CHART_COLUMNS : 0;
    for (size_t i = from; i < n; i++) {
        yyjson_val *v = yyjson_arr_get(history, i);
        double share = yyjson_get_num(v) / 0.4 * 8;
        int step = share >= 7 ? 7 : share > 0 ? (int)share : 0;
        buf_puts(out, yyjson_is_num(v) ? STEPS[step] : "·");
    }
}

static void format(yyjson_val *object, const char *key, const char *how, char ret[CELL_MAX])
{
    yyjson_val *v = yyjson_obj_get(object, key);
    ret[0] = '\0';
    if (yyjson_is_num(v) && strcmp(how, "%") == 0)
        snprintf(ret, CELL_MAX, "%.1f %%", 100 * yyjson_get_num(v));
    else if (yyjson_is_num(v) && strcmp(how, "4") == 0)
        snprintf(ret, CELL_MAX, "%.4g", yyjson_get_num(v));
    else if (yyjson_is_num(v))
        snprintf(ret, CELL_MAX, "%.3f", yyjson_get_num(v));
}

struct row {
    char name[LABEL_MAX], cells[COLUMNS][CELL_MAX];
    struct buf chart;
};

static void fill(struct row *r, yyjson_val *column)
{
    static const char *const STATS[] = {"effect", "noise", "psi", "ks"};
    struct str name = text_at(column, "name"), level = text_at(column, "level");
    snprintf(r->name, sizeof r->name, STR_FMT, (int)(name.n < 60 ? name.n : 60), name.p);
    snprintf(r->cells[0], CELL_MAX, "%s", str_eq(level, STR("none")) ? "" : level.p);
    for (int i = 0; i < 4; i++)
        format(column, STATS[i], "3", r->cells[1 + i]);
    format(yyjson_obj_get(column, "missing"), "ratio", "%", r->cells[5]);
    format(column, "median", "4", r->cells[6]);
    format(column, "baseline_median", "4", r->cells[7]);
    buf_init(&r->chart, 4 * CHART_COLUMNS + 1);
    put_chart(yyjson_obj_get(column, "history"), &r->chart);
    buf_putc(&r->chart, '\0');
}

static int put_columns(yyjson_val *list, const char *head, struct buf *out, struct err *e)
{
    enum { WIDTH = 10 };
    size_t n = yyjson_arr_size(list), i, size;
    yyjson_val *column;
    if (n == 0)
        return 0;
    struct row *rows = calloc(n, sizeof *rows);
    const char **cells = calloc((n + 1) * WIDTH, sizeof *cells);
    if (!rows || !cells) {
        free(rows);
        free(cells);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    const char *const HEADS[WIDTH] = {head, "",        "DISTANCE", "CHANCE",   "PSI",
                                      "KS", "MISSING", "MEDIAN",   "BASELINE", "LAST WINDOWS"};
    memcpy(cells, HEADS, sizeof HEADS);
    yyjson_arr_foreach(list, i, size, column)
    {
        fill(&rows[i], column);
        const char **to = cells + (i + 1) * WIDTH;
        to[0] = rows[i].name;
        for (int k = 0; k < WIDTH - 2; k++)
            to[k + 1] = rows[i].cells[k];
        to[WIDTH - 1] = rows[i].chart.failed ? "" : rows[i].chart.p;
    }
    buf_putc(out, '\n');
    term_put_table(cells, n + 1, WIDTH, out);
    for (i = 0; i < n; i++)
        buf_done(&rows[i].chart);
    free(rows);
    free(cells);
    return 0;
}

static void put_state(yyjson_val *answer, struct buf *out)
{
    yyjson_val *baseline = yyjson_obj_get(answer, "baseline"), *window = yyjson_obj_get(answer, "window"),
               *now = yyjson_obj_get(answer, "collecting");
    struct str state = text_at(answer, "state");
    bool quiet = str_eq(state, STR("quiet")), alerts = str_eq(state, STR("alert"));
    term_put_safe(text_at(answer, "model"), out);
    buf_printf(out, " version %llu: %s%.*s%s",
               (unsigned long long)yyjson_get_uint(yyjson_obj_get(answer, "version")),
               term_on(stdout, quiet    ? TERM_GREEN
                               : alerts ? TERM_RED
                                        : TERM_BOLD),
               (int)state.n, state.p, term_off(stdout));
    if (baseline) {
        buf_puts(out, "; baseline ");
        term_put_safe(text_at(baseline, "source"), out);
        buf_puts(out, ", ");
        term_put_count(yyjson_get_uint(yyjson_obj_get(baseline, "rows")), out);
        buf_puts(out, " rows");
    }
    buf_putc(out, '\n');
    if (window) {
        buf_printf(out, "%llu window%s, ",
                   (unsigned long long)yyjson_get_uint(yyjson_obj_get(window, "windows")),
                   yyjson_get_uint(yyjson_obj_get(window, "windows")) == 1 ? "" : "s");
        term_put_safe(text_at(window, "from"), out);
        buf_puts(out, " to ");
        term_put_safe(text_at(window, "to"), out);
        buf_puts(out, ": ");
        term_put_count(yyjson_get_uint(yyjson_obj_get(window, "rows")), out);
        buf_puts(out, " of ");
        term_put_count(yyjson_get_uint(yyjson_obj_get(window, "seen")), out);
        buf_puts(out, " rows were taken\n");
    } else if (now) {
        buf_puts(out, "No window has ended yet; ");
        term_put_count(yyjson_get_uint(yyjson_obj_get(now, "rows")), out);
        buf_puts(out, " rows are in the first.\n");
    }
}

static void put_findings(yyjson_val *findings, struct buf *out)
{
    size_t i, n;
    yyjson_val *f;
    if (yyjson_arr_size(findings) == 0)
        return;
    buf_putc(out, '\n');
    yyjson_arr_foreach(findings, i, n, f)
    {
        struct str level = text_at(f, "level");
        buf_printf(out, "  %s%-6.*s%s", term_on(stdout, str_eq(level, STR("alert")) ? TERM_RED : TERM_BOLD),
                   (int)level.n, level.p, term_off(stdout));
        term_put_safe(text_at(f, "text"), out);
        buf_putc(out, '\n');
    }
}

static void put_unwatched(yyjson_val *columns, struct buf *out)
{
    size_t i, n;
    yyjson_val *c;
    yyjson_arr_foreach(columns, i, n, c)
    {
        buf_puts(out, i ? ", " : "\n  Not in the log, and so not watched: ");
        term_put_safe(text_at(c, "name"), out);
        buf_puts(out, " (");
        term_put_safe(text_at(c, "log"), out);
        buf_putc(out, ')');
    }
    if (yyjson_arr_size(columns))
        buf_putc(out, '\n');
}

static int put_drift(const struct args *a, yyjson_val *answer, struct buf *out, struct err *e)
{
    (void)a;
    put_state(answer, out);
    put_findings(yyjson_obj_get(answer, "findings"), out);
    int rc = put_columns(yyjson_obj_get(answer, "inputs"), "INPUT", out, e);
    if (!rc)
        rc = put_columns(yyjson_obj_get(answer, "outputs"), "OUTPUT", out, e);
    put_unwatched(yyjson_obj_get(answer, "unwatched"), out);
    return rc;
}

static int set_baseline(const struct args *a)
{
    struct buf path, body;
    buf_init(&path, 4096);
    buf_init(&body, 4096);
    const char *at = client_path(&path, "/api/v1/models/", a->words[0], "/baseline", NULL);
    buf_puts(&body, "{\"window\":");
    buf_put_json_str(&body, str_of(args_value(a, "set-baseline")));
    if (args_value(a, "version")) {
        buf_puts(&body, ",\"version\":");
        buf_put_json_str(&body, str_of(args_value(a, "version")));
    }
    buf_putc(&body, '}');
    struct cli_ask ask = {.method = "PUT", .path = at, .body = buf_str(&body), .put = put_drift};
    int code = cli_ask(a, &ask);
    buf_done(&path);
    buf_done(&body);
    return code;
}

static int drift_run(const struct args *a)
{
    struct buf path;
    struct err e;
    bool first = true;
    if (args_has(a, "set-baseline") && args_has(a, "window")) {
        err_set(&e, ERR_INVALID, "--set-baseline and --window do not go together");
        return term_usage(&e);
    }
    if (args_has(a, "set-baseline"))
        return set_baseline(a);
    buf_init(&path, 4096);
    buf_puts(&path, "/api/v1/models/");
    client_put_segment(str_of(a->words[0]), &path);
    buf_puts(&path, "/drift");
    cli_put_query(a, "window", &first, &path);
    cli_put_query(a, "version", &first, &path);
    buf_putc(&path, '\0');
    struct cli_ask ask = {.method = "GET", .path = path.failed ? "/" : path.p, .put = put_drift};
    int code = cli_ask(a, &ask);
    buf_done(&path);
    return code;
}

const struct verb verb_drift = {
    .name = "drift",
    .summary = "Compares live inputs and outputs of a model with its baseline.",
    .usage = "slipway drift MODEL [flags]",
    .examples = "slipway drift churn\n"
                "slipway drift churn --window 24h          # all windows of a day, added up\n"
                "slipway drift churn --version 3 --json\n"
                "slipway drift churn --set-baseline 7d     # from now on compare with these windows",
    .flags =
        (const struct flag[]){
            {.name = "window",
             .value = "WHICH",
             .help = "The last window (last), so many (6), or those of a time (90m, 24h, 7d)."},
            {.name = "version",
             .value = "VERSION",
             .help = "A number or an alias; else the one that answers."},
            {.name = "set-baseline",
             .value = "WHICH",
             .help = "Makes live windows the baseline that later ones are compared with."},
            CLI_CLIENT_FLAGS,
            {0}},
    .min_words = 1,
    .max_words = 1,
    .takes_model = true,
    .run = drift_run,
};
