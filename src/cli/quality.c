// SPDX-License-Identifier: Apache-2.0
// `slipway quality`: how good a model's predictions were, as far as labels tell, by version and arm, with the
// course over the hours in which they were made.
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/term.h"

#include <stdio.h>
#include <string.h>

enum { CHART_COLUMNS = 48, CELL = 48, ROWS_MAX = 16, TIME_SIZE = 24 };

static struct str text_at(yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return str_of(text ? text : "");
}

static double number_at(yyjson_val *object, const char *key)
{
    return yyjson_get_num(yyjson_obj_get(object, key));
}

static void put_metrics(yyjson_val *metrics, struct buf *out)
{
    char cells[ROWS_MAX][2][CELL];
    const char *table[(ROWS_MAX + 1) * 3] = {"METRIC", "VALUE", "95 % INTERVAL"};
    size_t i, max, n = 0;
    yyjson_val *key, *m;
    yyjson_obj_foreach(metrics, i, max, key, m)
    {
        if (n == ROWS_MAX || !yyjson_is_num(yyjson_obj_get(m, "value")))
            continue;
        snprintf(cells[n][0], CELL, "%.4f", number_at(m, "value"));
        cells[n][1][0] = '\0';
        if (yyjson_is_num(yyjson_obj_get(m, "low")))
            snprintf(cells[n][1], CELL, "%.4f to %.4f", number_at(m, "low"), number_at(m, "high"));
        n++;
        table[3 * n] = yyjson_get_str(key);
        table[3 * n + 1] = cells[n - 1][0];
        table[3 * n + 2] = cells[n - 1][1];
    }
    if (n)
        term_put_table(table, n + 1, 3, out);
}

// The metric that a chart shows of a task, and whether more is better.
static const char *charted(struct str task)
{
    return str_eq(task, STR("regression")) ? "mae" : "accuracy";
}

// From the least to the greatest of the hours; light where labels are still to come, "·" without labels.
static void put_chart(yyjson_val *version, struct buf *out)
{
    static const char *const STEPS[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const char *name = charted(text_at(version, "task"));
    yyjson_val *cohorts = yyjson_obj_get(version, "cohorts");
    size_t n = yyjson_arr_size(cohorts), from = n > CHART_COLUMNS ? n - CHART_COLUMNS : 0;
    double low = 1e300, high = -1e300;
    for (size_t i = from; i < n; i++) {
        yyjson_val *v = yyjson_obj_get(
            yyjson_obj_get(yyjson_obj_get(yyjson_arr_get(cohorts, i), "metrics"), name), "value");
        if (yyjson_is_num(v) && yyjson_get_num(v) < low)
            low = yyjson_get_num(v);
        if (yyjson_is_num(v) && yyjson_get_num(v) > high)
            high = yyjson_get_num(v);
    }
    if (low > high)
        return;
    buf_printf(out, "  %s by hour, %.4f to %.4f:  ", name, low, high);
    for (size_t i = from; i < n; i++) {
        yyjson_val *cohort = yyjson_arr_get(cohorts, i),
                   *v = yyjson_obj_get(yyjson_obj_get(yyjson_obj_get(cohort, "metrics"), name), "value");
        bool is_mature = yyjson_is_true(yyjson_obj_get(cohort, "mature"));
        int step = high > low ? (int)((yyjson_get_num(v) - low) / (high - low) * 7.99) : 3;
        buf_printf(out, "%s%s%s", is_mature ? "" : term_on(stdout, TERM_DIM),
                   yyjson_is_num(v) ? STEPS[step] : "·", is_mature ? "" : term_off(stdout));
    }
    buf_putc(out, '\n');
    yyjson_val *last = yyjson_arr_get_last(cohorts);
    if (last && !yyjson_is_true(yyjson_obj_get(last, "mature")))
        buf_puts(out, "  The newest hours still wait for labels.\n");
}

// "3.2 h"
static void put_time(double s, char ret[TIME_SIZE])
{
    static const struct {
        double s;
        const char *name;
    } UNITS[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t i = 0;
    while (i + 1 < sizeof UNITS / sizeof UNITS[0] && s < UNITS[i].s)
        i++;
    snprintf(ret, TIME_SIZE, "%.1f %s", s / UNITS[i].s, UNITS[i].name);
}

static void put_delay(yyjson_val *delay, struct buf *out)
{
    char half[TIME_SIZE], most[TIME_SIZE], mature[TIME_SIZE];
    if (!yyjson_is_num(yyjson_obj_get(delay, "p90_s")))
        return;
    put_time(number_at(delay, "p50_s"), half);
    put_time(number_at(delay, "p90_s"), most);
    buf_printf(out, "  Of the labels that come half come within %s and 90 %% within %s", half, most);
    if (yyjson_is_num(yyjson_obj_get(delay, "mature_after_s"))) {
        put_time(number_at(delay, "mature_after_s"), mature);
        buf_printf(out, "; an hour is mature after %s", mature);
    }
    buf_puts(out, ".\n");
}

static void put_share(yyjson_val *estimate, const char *key, struct buf *out)
{
    if (yyjson_is_num(yyjson_obj_get(estimate, key)))
        buf_printf(out, ", %s %.4f", key, number_at(estimate, key));
}

static void put_estimate(yyjson_val *estimate, struct buf *out)
{
    if (!estimate)
        return;
    uint64_t labels = yyjson_get_uint(yyjson_obj_get(estimate, "learned_from"));
    buf_puts(out, "  Estimate without labels, of ");
    term_put_count(yyjson_get_uint(yyjson_obj_get(estimate, "rows")), out);
    buf_printf(out, " scores: accuracy %.4f (%.4f to %.4f)", number_at(estimate, "accuracy"),
               number_at(estimate, "low"), number_at(estimate, "high"));
    put_share(estimate, "precision", out);
    put_share(estimate, "recall", out);
    put_share(estimate, "auc", out);
    buf_puts(out, "; it holds under covariate shift only, with scores ");
    if (labels) {
        buf_puts(out, "as ");
        term_put_count(labels, out);
        buf_puts(out, " labels calibrate them.\n");
    } else {
        buf_puts(out, "taken at their word.\n");
    }
}

static void put_changes(yyjson_val *changes, struct buf *out)
{
    size_t i, n;
    yyjson_val *x;
    yyjson_arr_foreach(changes, i, n, x)
    {
        bool is_alarm = str_eq(text_at(x, "state"), STR("alarm"));
        buf_puts(out, "  Rule ");
        term_put_safe(text_at(x, "rule"), out);
        if (!yyjson_is_num(yyjson_obj_get(x, "expected"))) {
            buf_puts(out, " learns from ");
            term_put_count(yyjson_get_uint(yyjson_obj_get(x, "reference_labels")), out);
            buf_puts(out, " labels of mature hours so far.\n");
            continue;
        }
        buf_printf(out, ": %s%s%s, evidence %.3g of %.3g that more than %.2f %% are wrong, in ",
                   is_alarm ? term_on(stdout, TERM_BOLD) : "", is_alarm ? "alarm" : "no change",
                   is_alarm ? term_off(stdout) : "", number_at(x, "evidence"), number_at(x, "limit"),
                   100 * number_at(x, "expected"));
        term_put_count(yyjson_get_uint(yyjson_obj_get(x, "labels")), out);
        buf_puts(out, " labels of mature hours.\n");
    }
}

static void put_version(yyjson_val *v, struct buf *out)
{
    uint64_t labelled = yyjson_get_uint(yyjson_obj_get(v, "labelled"));
    buf_printf(out, "%sversion %llu, %s%s: ", term_on(stdout, TERM_BOLD),
               (unsigned long long)yyjson_get_uint(yyjson_obj_get(v, "version")),
               str_eq(text_at(v, "arm"), STR("canary")) ? "canary" : "stable", term_off(stdout));
    term_put_count(labelled, out);
    buf_puts(out, " of ");
    term_put_count(yyjson_get_uint(yyjson_obj_get(v, "predicted")), out);
    buf_printf(out, " predictions are labelled (%.1f %%)\n", 100 * number_at(v, "coverage"));
    if (labelled) {
        put_metrics(yyjson_obj_get(v, "metrics"), out);
        put_chart(v, out);
        put_delay(yyjson_obj_get(v, "label_delay"), out);
        put_changes(yyjson_obj_get(v, "changes"), out);
    }
    put_estimate(yyjson_obj_get(v, "estimate"), out);
}

static int put_quality(const struct args *a, yyjson_val *answer, struct buf *out, struct err *e)
{
    (void)a;
    (void)e;
    size_t i, n;
    yyjson_val *v, *join = yyjson_obj_get(answer, "join");
    yyjson_arr_foreach(yyjson_obj_get(answer, "versions"), i, n, v)
    {
        if (i)
            buf_putc(out, '\n');
        put_version(v, out);
    }
    if (n == 0)
        buf_puts(out, "Nothing was predicted that can be judged yet.\n");
    uint64_t waiting = yyjson_get_uint(yyjson_obj_get(join, "waiting"));
    if (waiting) {
        term_put_count(waiting, out);
        buf_puts(out, " labels wait for predictions that are not known here\n");
    }
    return 0;
}

static int quality_run(const struct args *a)
{
    struct buf path;
    bool first = true;
    buf_init(&path, 4096);
    buf_puts(&path, "/api/v1/models/");
    client_put_segment(str_of(a->words[0]), &path);
    buf_puts(&path, "/quality");
    cli_put_query(a, "window", &first, &path);
    cli_put_query(a, "version", &first, &path);
    buf_putc(&path, '\0');
    struct cli_ask ask = {.method = "GET", .path = path.failed ? "/" : path.p, .put = put_quality};
    int code = cli_ask(a, &ask);
    buf_done(&path);
    return code;
}

const struct verb verb_quality = {
    .name = "quality",
    .summary = "Shows how good a model's predictions were, as far as labels tell.",
    .usage = "slipway quality MODEL [flags]",
    .examples = "slipway quality churn\n"
                "slipway quality churn --window 24h --json\n"
                "slipway quality churn --version 3",
    .flags =
        (const struct flag[]){
            {.name = "window", .value = "TIME", .help = "Of predictions of the last 24h, 7d (all)."},
            {.name = "version", .value = "VERSION", .help = "A number or an alias (all)."},
            CLI_CLIENT_FLAGS,
            {0}},
    .min_words = 1,
    .max_words = 1,
    .takes_model = true,
    .run = quality_run,
};
