// SPDX-License-Identifier: Apache-2.0
// How a rollout reads: where it is, how much evidence there is and how much it takes, and how long that may
// take.
#include "cli/describe.h"
#include "cli/rollout.h"
#include "cli/term.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BAR = 16, CELLS = 8, ROWS_MAX = 72, CELL_BYTES = 96 };

static const char *text_of(yyjson_val *object, const char *name)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, name));
    return text ? text : "";
}

static void put_text(yyjson_val *object, const char *name, struct buf *out)
{
    term_put_safe(str_of(text_of(object, name)), out);
}

static uint64_t whole_of(yyjson_val *object, const char *name)
{
    return yyjson_get_uint(yyjson_obj_get(object, name));
}

static double number_of(yyjson_val *object, const char *name)
{
    yyjson_val *v = yyjson_obj_get(object, name);
    return yyjson_is_num(v) ? yyjson_get_num(v) : nan("");
}

static void put_bar(double part, struct buf *out)
{
    int full = part > 1 ? BAR : part > 0 ? (int)(part * BAR) : 0;
    for (int i = 0; i < BAR; i++)
        buf_putc(out, i < full ? '#' : '.');
}

static void put_time(double seconds, struct buf *out)
{
    if (!isfinite(seconds))
        buf_puts(out, "-");
    else if (seconds < 120)
        buf_printf(out, "%.0f s", seconds);
    else if (seconds < 7200)
        buf_printf(out, "%.0f min", seconds / 60);
    else if (seconds < 172800)
        buf_printf(out, "%.0f h", seconds / 3600);
    else
        buf_printf(out, "%.0f d", seconds / 86400);
}

static enum term_style style_of(const char *state)
{
    bool bad = strcmp(state, "rolling_back") == 0 || strcmp(state, "rolled_back") == 0 ||
               strcmp(state, "frozen") == 0 || strcmp(state, "fail") == 0;
    bool good = strcmp(state, "promoted") == 0 || strcmp(state, "settled") == 0 || strcmp(state, "pass") == 0;
    return bad ? TERM_RED : good ? TERM_GREEN : TERM_BOLD;
}

static void put_state(const char *state, struct buf *out)
{
    buf_puts(out, term_on(stdout, style_of(state)));
    term_put_safe(str_of(state), out);
    buf_puts(out, term_off(stdout));
}

// ---- one rollout ----

static void put_head(yyjson_val *r, struct buf *out)
{
    yyjson_val *candidate;
    size_t i, n;
    buf_printf(out, "Rollout %" PRIu64 "  ", whole_of(r, "id"));
    put_text(r, "model", out);
    buf_puts(out, ": version");
    yyjson_arr_foreach(yyjson_obj_get(r, "candidates"), i, n, candidate)
        buf_printf(out, "%s %" PRIu64, i ? "," : "", yyjson_get_uint(candidate));
    buf_printf(out, " against %" PRIu64 " (", whole_of(r, "baseline"));
    put_text(r, "alias", out);
    buf_puts(out, ")  ");
    put_state(text_of(r, "state"), out);
    if (*text_of(r, "waits_in")) {
        buf_puts(out, " in ");
        put_text(r, "waits_in", out);
    }
    if (whole_of(r, "attempt") > 1)
        buf_printf(out, "  (attempt %" PRIu64 ": each adds its alpha)", whole_of(r, "attempt"));
    buf_putc(out, '\n');
    yyjson_val *last = yyjson_obj_get(r, "last");
    if (*text_of(last, "note")) {
        buf_puts(out, "  ");
        put_text(last, "event", out);
        buf_puts(out, ": ");
        put_text(last, "note", out);
        buf_putc(out, '\n');
    }
}

// Traffic is only mirrored: in the phase before the first step, or all the time.
static bool is_mirroring(yyjson_val *r)
{
    return yyjson_arr_size(yyjson_obj_get(r, "steps")) == 0 || strcmp(text_of(r, "state"), "shadow") == 0 ||
           strcmp(text_of(r, "waits_in"), "shadow") == 0;
}

static void put_progress(yyjson_val *r, struct buf *out)
{
    bool mirrors = is_mirroring(r);
    yyjson_val *steps = yyjson_obj_get(r, "steps"),
               *step = mirrors ? yyjson_obj_get(r, "shadow") : yyjson_arr_get(steps, whole_of(r, "step"));
    double weight = number_of(r, "weight"), seconds = number_of(r, "seconds_in_step");
    buf_printf(out, "  traffic   ");
    put_bar(weight / 100, out);
    if (mirrors)
        buf_puts(out, " mirrored only");
    else
        buf_printf(out, " %g %%, step %" PRIu64 " of %zu", weight, whole_of(r, "step") + 1,
                   yyjson_arr_size(steps));
    if (isfinite(seconds)) {
        buf_puts(out, ", for ");
        put_time(seconds, out);
        buf_printf(out, " of at least %" PRIu64 " s", whole_of(step, "min_seconds"));
    }
    yyjson_val *exposure = yyjson_obj_get(r, "exposure"),
               *pairs = yyjson_obj_get(yyjson_obj_get(r, "mirrored"), "counts");
    buf_puts(out, "\n  requests  ");
    term_put_count(mirrors ? whole_of(pairs, "n") : whole_of(exposure, "requests"), out);
    buf_puts(out, mirrors ? " mirrored (at least " : " of the candidate (each step at least ");
    term_put_count(whole_of(step, "min_requests"), out);
    buf_printf(out, "), %.3g/s in all", number_of(r, "requests_per_second"));
    if (whole_of(exposure, "overridden") || whole_of(exposure, "fallbacks"))
        buf_printf(out, "; %" PRIu64 " by testers, %" PRIu64 " answered by the old version",
                   whole_of(exposure, "overridden"), whole_of(exposure, "fallbacks"));
    buf_putc(out, '\n');
}

struct rows {
    char cells[ROWS_MAX * CELLS][CELL_BYTES];
    size_t n;
};

static char *cell(struct rows *t)
{
    return t->n < ROWS_MAX * CELLS ? t->cells[t->n++] : t->cells[ROWS_MAX * CELLS - 1];
}

static void rate_cell(struct rows *t, yyjson_val *guard, const char *arm)
{
    double rate = number_of(yyjson_obj_get(guard, "rate"), arm);
    snprintf(cell(t), CELL_BYTES, "%" PRIu64 " of %" PRIu64 " (%.3g %%)",
             whole_of(yyjson_obj_get(guard, "events"), arm), whole_of(yyjson_obj_get(guard, "requests"), arm),
             isfinite(rate) ? rate * 100 : 0);
}

static void bar_cell(struct rows *t, double evidence, double at)
{
    struct buf b;
    buf_init(&b, CELL_BYTES);
    put_bar(evidence / at, &b);
    snprintf(cell(t), CELL_BYTES, "%.*s %.1f/%.1f", (int)b.n, b.p ? b.p : "",
             isfinite(evidence) ? evidence : 0, at);
    buf_done(&b);
}

static void ratio_cell(struct rows *t, yyjson_val *guard)
{
    yyjson_val *risk = yyjson_obj_get(guard, "relative_risk");
    double mle = number_of(risk, "mle"), lo = number_of(risk, "lo"), hi = number_of(risk, "hi");
    char most[24] = "any", best[24] = "?";
    if (isfinite(hi))
        snprintf(most, sizeof most, "%.2g", hi);
    if (isfinite(mle))
        snprintf(best, sizeof best, "%.2f", mle);
    snprintf(cell(t), CELL_BYTES, "%s (%.2g to %s)", best, isfinite(lo) ? lo : 0, most);
}

static void guard_row(struct rows *t, yyjson_val *g)
{
    struct buf b;
    double pass = number_of(g, "log_e_pass"), rate = number_of(g, "log_e_rate");
    double q = number_of(g, "q");
    char *name = cell(t);
    snprintf(name, CELL_BYTES, "%.60s", text_of(g, "metric"));
    if (isfinite(q))
        snprintf(name, CELL_BYTES, "%.60s %g", text_of(g, "metric"), q);
    yyjson_val *range = yyjson_obj_get(g, "range");
    double above = number_of(range, "above"), to = number_of(range, "to");
    if (isfinite(above) && isfinite(to))
        snprintf(name, CELL_BYTES, "%.40s %.4g to %.4g", text_of(g, "metric"), above, to);
    else if (isfinite(above) || isfinite(to))
        snprintf(name, CELL_BYTES, "%.40s %s %.4g", text_of(g, "metric"), isfinite(to) ? "up to" : "above",
                 isfinite(to) ? to : above);
    snprintf(cell(t), CELL_BYTES, "%.60s", text_of(g, "verdict"));
    rate_cell(t, g, "canary");
    rate_cell(t, g, "stable");
    ratio_cell(t, g);
    bar_cell(t, number_of(g, "log_e_fail"), number_of(g, "fail_at"));
    bar_cell(t, rate > pass ? rate : pass, number_of(g, "pass_at"));
    buf_init(&b, CELL_BYTES);
    put_time(number_of(g, "seconds_to_decide"), &b);
    snprintf(cell(t), CELL_BYTES, "%.*s", (int)b.n, b.p ? b.p : "");
    buf_done(&b);
}

static void put_change(double part, struct buf *out)
{
    if (isfinite(part))
        buf_printf(out, "%+.3g %%", part * 100);
    else
        buf_puts(out, "any");
}

// Of a comparison of several: how much more often, from where to where, and whether that is decided.
static void put_uplift(yyjson_val *guard, struct buf *out)
{
    yyjson_val *u = yyjson_obj_get(guard, "uplift");
    if (!u)
        return;
    buf_puts(out, "  ");
    put_text(guard, "metric", out);
    buf_puts(out, ": ");
    put_change(number_of(u, "mle"), out);
    buf_puts(out, " (");
    put_change(number_of(u, "lo"), out);
    buf_puts(out, " to ");
    put_change(number_of(u, "hi"), out);
    buf_puts(out, ") against the old version, ");
    put_text(guard, "decision", out);
    buf_putc(out, '\n');
}

static void put_arm(yyjson_val *arm, bool several, struct buf *out)
{
    static const char *const HEADS[CELLS] = {"GUARDRAIL",
                                             "VERDICT",
                                             "CANDIDATE",
                                             "OLD VERSION",
                                             "TIMES",
                                             "WORSE: EVIDENCE",
                                             "GOOD ENOUGH: EVIDENCE",
                                             "DECIDED IN"};
    static struct rows t; // some kilobytes
    const char *cells[ROWS_MAX * CELLS];
    yyjson_val *guard, *ratio = yyjson_obj_get(arm, "sample_ratio");
    size_t i, n;
    t.n = 0;
    for (int k = 0; k < CELLS; k++)
        snprintf(cell(&t), CELL_BYTES, "%s", HEADS[k]);
    yyjson_arr_foreach(yyjson_obj_get(arm, "guardrails"), i, n, guard)
    {
        if (t.n + CELLS <= ROWS_MAX * CELLS)
            guard_row(&t, guard);
    }
    for (size_t k = 0; k < t.n; k++)
        cells[k] = t.cells[k];
    buf_putc(out, '\n');
    if (several)
        buf_printf(out, "Version %" PRIu64 ": %" PRIu64 " requests, %.3g %% of all\n",
                   whole_of(arm, "version"), whole_of(yyjson_obj_get(arm, "exposure"), "requests"),
                   number_of(yyjson_obj_get(arm, "exposure"), "share") * 100);
    term_put_table(cells, t.n / CELLS, CELLS, out);
    yyjson_arr_foreach(yyjson_obj_get(arm, "guardrails"), i, n, guard) put_uplift(guard, out);
    if (yyjson_is_true(yyjson_obj_get(ratio, "unbalanced")))
        buf_puts(out, "  The shares are not those of the weights: nothing here is to be believed.\n");
}

static void put_worst(yyjson_val *counts, size_t most, const char *indent, struct buf *out)
{
    yyjson_val *worst;
    size_t i, n;
    yyjson_arr_foreach(yyjson_obj_get(counts, "worst"), i, n, worst)
    {
        if (i == most)
            break;
        buf_printf(out, "%s%.6g against %.6g in row %" PRIu64 " of ", indent, number_of(worst, "shadow"),
                   number_of(worst, "stable"), whole_of(worst, "row"));
        put_text(worst, "id", out);
        buf_putc(out, '\n');
    }
}

static const char *segment_name(yyjson_val *segment)
{
    const char *kind = text_of(segment, "segment");
    return strcmp(kind, "absent") == 0   ? "(none)"
           : strcmp(kind, "others") == 0 ? "(others)"
                                         : text_of(segment, "value");
}

// One line for each value, and its worst row.
static void put_segments(yyjson_val *list, struct buf *out)
{
    yyjson_val *segment;
    size_t i, n;
    yyjson_arr_foreach(list, i, n, segment)
    {
        yyjson_val *counts = yyjson_obj_get(segment, "counts"), *q = yyjson_obj_get(segment, "quantiles");
        double differently = number_of(segment, "disagreement");
        buf_puts(out, "  ");
        term_put_safe(str_of(segment_name(segment)), out);
        buf_puts(out, ": ");
        term_put_count(whole_of(counts, "n"), out);
        buf_puts(out, " requests, ");
        term_put_count(whole_of(counts, "dropped"), out);
        buf_printf(out, " dropped; decided differently: %.3g %% of ",
                   isfinite(differently) ? differently * 100 : 0);
        term_put_count(whole_of(counts, "rows"), out);
        buf_printf(out, " rows; scores differ by %.3g (99 of 100)\n", number_of(q, "0.99"));
        put_worst(counts, 1, "      ", out);
    }
}

// What both versions said to the same requests.
static void put_mirrored(yyjson_val *m, struct buf *out)
{
    yyjson_val *counts = yyjson_obj_get(m, "counts"), *quantiles = yyjson_obj_get(m, "quantiles");
    if (!whole_of(counts, "n") && !whole_of(counts, "dropped"))
        return;
    buf_puts(out, "\n  mirrored  ");
    term_put_count(whole_of(counts, "n"), out);
    buf_puts(out, " requests, ");
    term_put_count(whole_of(counts, "dropped"), out);
    buf_printf(out, " dropped; decided differently: %.3g %% of ", number_of(m, "disagreement") * 100);
    term_put_count(whole_of(counts, "rows"), out);
    buf_printf(out, " rows\n  scores differ by %.3g (half), %.3g (99 of 100), %.3g (most)\n",
               number_of(quantiles, "0.5"), number_of(quantiles, "0.99"), number_of(quantiles, "1"));
    put_worst(counts, SIZE_MAX, "    ", out);
    put_segments(yyjson_obj_get(m, "segments"), out);
}

void rollout_view_put(yyjson_val *r, struct buf *out)
{
    yyjson_val *arms = yyjson_obj_get(r, "arms"), *arm, *name;
    size_t i, n;
    put_head(r, out);
    if (!yyjson_is_true(yyjson_obj_get(r, "over")))
        put_progress(r, out);
    yyjson_arr_foreach(arms, i, n, arm) put_arm(arm, yyjson_arr_size(arms) > 1, out);
    put_mirrored(yyjson_obj_get(r, "mirrored"), out);
    if (yyjson_arr_size(yyjson_obj_get(r, "possible")))
        buf_puts(out, "\n  By hand: slipway rollout");
    yyjson_arr_foreach(yyjson_obj_get(r, "possible"), i, n, name)
    {
        buf_puts(out, i ? "|" : " ");
        term_put_safe(str_of(yyjson_get_str(name)), out);
    }
    if (yyjson_arr_size(yyjson_obj_get(r, "possible")))
        buf_printf(out, " %" PRIu64 "\n", whole_of(r, "id"));
}

// ---- lists ----

int rollout_list_put(yyjson_val *answer, struct buf *out, struct err *e)
{
    static const char *const FIELDS[] = {"id", "model", "baseline", "state", "attempt", "created", "moved"};
    static const char *const TITLES[] = {"ID", "MODEL", "FROM", "STATE", "ATTEMPT", "BEGAN", "LAST MOVE"};
    yyjson_val *list = yyjson_obj_get(answer, "rollouts");
    if (yyjson_arr_size(list) == 0) {
        buf_puts(out, "No rollouts.\n");
        return 0;
    }
    int rc = cli_describe_table(list, FIELDS, TITLES, sizeof FIELDS / sizeof FIELDS[0], out, e);
    if (!rc && yyjson_obj_get(answer, "next"))
        buf_printf(out, "There is more: --after %" PRIu64 "\n", whole_of(answer, "next"));
    return rc;
}

void rollout_events_put(yyjson_val *answer, struct buf *out)
{
    yyjson_val *v, *replay = yyjson_obj_get(answer, "replay");
    size_t i, n;
    yyjson_arr_foreach(yyjson_obj_get(answer, "events"), i, n, v)
    {
        buf_printf(out, "%3" PRIu64 "  ", whole_of(v, "move"));
        put_text(v, "event", out);
        buf_puts(out, " by ");
        put_text(v, "actor", out);
        buf_puts(out, ": ");
        put_text(v, "from", out);
        buf_printf(out, " (%g %%) to ", number_of(v, "from_weight_bp") / 100);
        put_text(v, "to", out);
        buf_printf(out, " (%g %%)", number_of(v, "to_weight_bp") / 100);
        if (*text_of(v, "note")) {
            buf_puts(out, "; ");
            put_text(v, "note", out);
        }
        buf_putc(out, '\n');
    }
    if (!replay)
        return;
    if (yyjson_is_true(yyjson_obj_get(replay, "sound"))) {
        buf_printf(out, "All %" PRIu64 " records come out as they were written, to the byte.\n",
                   whole_of(replay, "moves"));
        return;
    }
    buf_printf(out, "Record %" PRIu64 " does not: ", whole_of(replay, "differs_at"));
    put_text(replay, "message", out);
    buf_putc(out, '\n');
}

// ---- a forecast ----

static void put_quantiles(const char *what, yyjson_val *q, struct buf *out)
{
    buf_printf(out, "    %-38s", what);
    if (!isfinite(number_of(q, "n50"))) {
        buf_printf(out, "not in most rollouts (%.0f %%)\n", number_of(q, "share") * 100);
        return;
    }
    buf_puts(out, "half after ");
    term_put_count((uint64_t)number_of(q, "n50"), out);
    buf_puts(out, " requests (");
    put_time(number_of(q, "seconds50"), out);
    buf_puts(out, ")");
    if (isfinite(number_of(q, "n95"))) {
        buf_puts(out, ", 95 of 100 after ");
        term_put_count((uint64_t)number_of(q, "n95"), out);
        buf_puts(out, " (");
        put_time(number_of(q, "seconds95"), out);
        buf_puts(out, ")");
    }
    buf_putc(out, '\n');
}

static void put_guard(yyjson_val *g, double harm, struct buf *out)
{
    yyjson_val *step;
    size_t i, n;
    char what[64];
    double q = number_of(g, "q");
    buf_puts(out, "  ");
    put_text(g, "metric", out);
    if (isfinite(q))
        buf_printf(out, " %g", q);
    buf_printf(out, ", in %.3g %% of the old version's requests\n", number_of(g, "base_rate") * 100);
    snprintf(what, sizeof what, "a version %g times worse is noticed", harm);
    put_quantiles(what, yyjson_obj_get(g, "detect"), out);
    put_quantiles("an equal one gets to baking", yyjson_obj_get(g, "promote"), out);
    yyjson_arr_foreach(yyjson_obj_get(g, "steps"), i, n, step)
    {
        bool deaf = yyjson_is_true(yyjson_obj_get(step, "never_detects"));
        bool stuck = yyjson_is_true(yyjson_obj_get(step, "never_passes"));
        if (deaf || stuck)
            buf_printf(out, "    the step of %g %% can never %s at this traffic\n", number_of(step, "weight"),
                       deaf && stuck ? "decide"
                       : deaf        ? "notice the harm"
                                     : "show that the version is good enough");
    }
}

void rollout_forecast_put(yyjson_val *answer, struct buf *out)
{
    yyjson_val *g;
    size_t i, n;
    put_text(answer, "model", out);
    buf_printf(out, " at %.3g requests per second, each guardrail alone:\n",
               number_of(answer, "requests_per_second"));
    yyjson_arr_foreach(yyjson_obj_get(answer, "guardrails"), i, n, g)
        put_guard(g, number_of(answer, "harm"), out);
}
