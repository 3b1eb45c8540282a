// SPDX-License-Identifier: Apache-2.0
// From words and flags to the JSON of a rollout. What is not given is left to the server's defaults, and so
// is whether the values make sense.
#include "cli/rollout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REQUEST_MAX = 64 << 10, STEPS_MAX = 64 };

static bool is_number(const char *text)
{
    char *end;
    if (!text[0] || strspn(text, "0123456789.eE+-") != strlen(text))
        return false;
    (void)strtod(text, &end);
    return *end == '\0' && text[0] != '+' && text[0] != '.';
}

static int wrong(const char *flag, const char *value, const char *expected, struct err *e)
{
    return err_set(e, ERR_INVALID, "--%s: expected %s, not '%.80s'", flag, expected, value);
}

static int put_numbers(const struct args *a, const char *const (*names)[2], size_t n, struct buf *out,
                       struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = args_value(a, names[i][0]);
        if (!value)
            continue;
        if (!is_number(value))
            return wrong(names[i][0], value, "a number", e);
        buf_printf(out, ",\"%s\":%s", names[i][1], value);
    }
    return 0;
}

static const char *const LIMITS[][2] = {
    {"min-seconds", "min_seconds"}, {"max-seconds", "max_seconds"}, {"min-requests", "min_requests"}};
enum { N_LIMITS = sizeof LIMITS / sizeof LIMITS[0] };

// "1,5,10" as steps, each with the limits of the flags.
static int put_steps(const struct args *a, const char *list, struct buf *out, struct err *e)
{
    struct str rest = str_of(list);
    char weight[32];
    int rc = 0;
    buf_puts(out, ",\"steps\":[");
    for (int i = 0; !rc && rest.n; i++) {
        struct str part = str_trim(str_split(&rest, ','));
        snprintf(weight, sizeof weight, "%.*s", (int)(part.n < 31 ? part.n : 31), part.p);
        if (!is_number(weight) || i == STEPS_MAX)
            return wrong("steps", list, "percents such as 1,5,10,25,50", e);
        buf_printf(out, "%s{\"weight\":%s", i ? "," : "", weight);
        rc = put_numbers(a, LIMITS, N_LIMITS, out, e);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
    return rc;
}

static int put_arms(const struct args *a, struct buf *out, struct err *e)
{
    const char *arm;
    int i = 0, n = 0;
    buf_puts(out, ",\"arms\":[");
    while ((arm = args_next(a, "arm", &i)) != NULL) {
        const char *equals = strrchr(arm, '=');
        if (!equals || !is_number(equals + 1))
            return wrong("arm", arm, "VERSION=PERCENT", e);
        buf_puts(out, n++ ? ",{\"version\":" : "{\"version\":");
        buf_put_json_str(out, (struct str){arm, (size_t)(equals - arm)});
        buf_printf(out, ",\"weight\":%s}", equals + 1);
    }
    buf_putc(out, ']');
    return put_numbers(a, LIMITS, N_LIMITS, out, e);
}

static void put_texts(const struct args *a, struct buf *out)
{
    static const char *const TEXTS[][2] = {{"strategy", "strategy"},
                                           {"baseline", "baseline"},
                                           {"key", "key"},
                                           {"on-fail", "on_fail"},
                                           {"on-timeout", "on_timeout"}};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++)
        if (args_value(a, TEXTS[i][0])) {
            buf_printf(out, ",\"%s\":", TEXTS[i][1]);
            buf_put_json_str(out, str_of(args_value(a, TEXTS[i][0])));
        }
}

static int put_bake(const struct args *a, struct buf *out, struct err *e)
{
    static const char *const BAKE[][2] = {{"holdback", "holdback"}, {"bake", "seconds"}};
    struct buf inner;
    if (!args_value(a, "holdback") && !args_value(a, "bake"))
        return 0;
    buf_init(&inner, 256);
    int rc = put_numbers(a, BAKE, 2, &inner, e);
    if (!rc && inner.n > 1)
        buf_printf(out, ",\"bake\":{%.*s}", (int)inner.n - 1, inner.p + 1);
    buf_done(&inner);
    return rc;
}

static void put_guard(const char *metric, const char *slo, struct buf *out)
{
    buf_printf(out, "{\"metric\":\"%s\"", metric);
    if (slo)
        buf_printf(out, ",\"slo\":%s", slo);
    buf_putc(out, '}');
}

// Those of the server, with what the flags say of them.
static int put_guards(const struct args *a, struct buf *out, struct err *e)
{
    const char *slo = args_value(a, "slo"), *metric;
    int i = 0;
    if (!slo && !args_has(a, "guard"))
        return 0;
    if (slo && !is_number(slo))
        return wrong("slo", slo, "a rate such as 0.005", e);
    buf_puts(out, ",\"guardrails\":[");
    put_guard("errors", slo, out);
    buf_puts(out, ",{\"metric\":\"latency\",\"q\":0.95},{\"metric\":\"latency\",\"q\":0.99},");
    put_guard("invalid_output", slo, out);
    while ((metric = args_next(a, "guard", &i)) != NULL) {
        buf_putc(out, ',');
        put_guard(metric, NULL, out);
    }
    buf_putc(out, ']');
    return 0;
}

// Limits that no step stands for would be silently without effect.
static const char *default_steps(const struct args *a)
{
    for (size_t i = 0; i < N_LIMITS; i++)
        if (args_value(a, LIMITS[i][0]))
            return "1,5,10,25,50";
    return NULL;
}

// Where shadow is all there is, the limits are its own.
static int put_shadow(const struct args *a, bool is_all, struct buf *out, struct err *e)
{
    const char *segment = args_value(a, "segment");
    if (!is_all && !args_has(a, "shadow") && !segment)
        return 0;
    buf_puts(out, ",\"shadow\":{");
    size_t before = out->n;
    int rc = is_all ? put_numbers(a, LIMITS, N_LIMITS, out, e) : 0;
    if (segment) {
        buf_puts(out, ",\"segment\":");
        buf_put_json_str(out, str_of(segment));
    }
    if (out->n > before && out->p)
        out->p[before] = ' '; // in place of the first comma
    buf_putc(out, '}');
    return rc;
}

static int put_flags(const struct args *a, struct buf *out, struct err *e)
{
    static const char *const UNDO[][2] = {{"undo", "undo_seconds"}};
    const char *strategy = args_value(a, "strategy"), *steps = args_value(a, "steps");
    bool is_canary = !strategy || strcmp(strategy, "canary") == 0;
    int rc, at = 0;
    put_texts(a, out);
    if (args_has(a, "shield"))
        buf_puts(out, ",\"shield\":true");
    if (args_has(a, "allow-breaking"))
        buf_puts(out, ",\"allow_breaking\":true");
    rc = put_shadow(a, strategy && strcmp(strategy, "shadow") == 0, out, e);
    if (!steps && is_canary)
        steps = default_steps(a);
    if (!rc && steps)
        rc = put_steps(a, steps, out, e);
    if (!rc && args_next(a, "arm", &at))
        rc = put_arms(a, out, e);
    if (!rc)
        rc = put_bake(a, out, e);
    if (!rc)
        rc = put_guards(a, out, e);
    return rc ? rc : put_numbers(a, UNDO, 1, out, e);
}

static int put_file(const char *name, struct buf *out, struct err *e)
{
    int fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;
    size_t before = out->n;
    if (fd < 0)
        return err_errno(e, errno, "open '%.200s'", name);
    while (n > 0 && out->n - before <= REQUEST_MAX) {
        char *to = buf_reserve(out, 4096);
        n = to ? read(fd, to, 4096) : 0;
        if (n > 0)
            buf_advance(out, (size_t)n);
    }
    int rc = n < 0 ? err_errno(e, errno, "read '%.200s'", name)
             : out->n - before > REQUEST_MAX
                 ? err_set(e, ERR_TOO_LARGE, "'%.200s' has more than %d KiB", name, REQUEST_MAX >> 10)
                 : 0;
    if (fd != STDIN_FILENO)
        close(fd);
    return rc;
}

int rollout_request_put(const struct args *a, struct buf *out, struct err *e)
{
    const char *file = args_value(a, "file");
    if (file && a->n_words > 1)
        return err_set(e, ERR_INVALID, "--file names the model and the version: leave the words out");
    if (file)
        return put_file(file, out, e);
    if (a->n_words < 2) {
        err_set(e, ERR_WRONG_COUNT, "which model is meant?");
        err_hint(e, "slipway rollout %.20s MODEL VERSION", a->words[0]);
        return ERR_WRONG_COUNT;
    }
    buf_puts(out, "{\"model\":");
    buf_put_json_str(out, str_of(a->words[1]));
    if (a->n_words > 2) {
        buf_puts(out, ",\"candidate\":");
        buf_put_json_str(out, str_of(a->words[2]));
    }
    int rc = put_flags(a, out, e);
    buf_putc(out, '}');
    return rc;
}
