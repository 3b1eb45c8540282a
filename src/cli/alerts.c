// SPDX-License-Identifier: Apache-2.0
// `slipway alerts`: what fires, what is about to, what was resolved in the last day, and the rules.
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/term.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4, RULE_COLUMNS = 7, NUMBER_BYTES = 32 };

static const char *text_at(yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return text ? text : "";
}

// The time that goes with the state.
static const char *time_of(yyjson_val *alert)
{
    const char *resolved = text_at(alert, "resolved"), *fired = text_at(alert, "fired");
    return resolved[0] ? resolved : fired[0] ? fired : text_at(alert, "since");
}

static int put_list(yyjson_val *list, struct buf *out, struct err *e)
{
    size_t n = yyjson_arr_size(list), i, size;
    yyjson_val *x;
    const char **cells = calloc((n + 1) * COLUMNS, sizeof *cells), **to = cells;
    if (!cells)
        return err_set(e, ERR_NOMEM, "out of memory");
    *to++ = "STATE", *to++ = "SEVERITY", *to++ = "SINCE", *to++ = "WHAT";
    yyjson_arr_foreach(list, i, size, x)
    {
        *to++ = text_at(x, "state");
        *to++ = text_at(x, "severity");
        *to++ = time_of(x);
        *to++ = text_at(x, "summary");
    }
    term_put_table(cells, n + 1, COLUMNS, out);
    free(cells);
    return 0;
}

static void put_duration(yyjson_val *rule, const char *key, char ret[NUMBER_BYTES])
{
    uint64_t ms = yyjson_get_uint(yyjson_obj_get(rule, key));
    if (ms % 60000 == 0 && ms)
        snprintf(ret, NUMBER_BYTES, "%llum", (unsigned long long)(ms / 60000));
    else if (ms % 1000 == 0)
        snprintf(ret, NUMBER_BYTES, "%llus", (unsigned long long)(ms / 1000));
    else
        snprintf(ret, NUMBER_BYTES, "%llums", (unsigned long long)ms);
}

static int put_rules(yyjson_val *list, struct buf *out, struct err *e)
{
    size_t n = yyjson_arr_size(list), i, size;
    yyjson_val *x;
    const char **cells = calloc((n + 1) * RULE_COLUMNS, sizeof *cells), **to = cells;
    char(*numbers)[3][NUMBER_BYTES] = calloc(n + 1, sizeof *numbers);
    int rc = cells && numbers ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 0) {
        *to++ = "RULE", *to++ = "MODEL", *to++ = "SEVERITY", *to++ = "ABOVE", *to++ = "FOR", *to++ = "WINDOW",
        *to++ = "WHAT";
        yyjson_arr_foreach(list, i, size, x)
        {
            yyjson_val *below = yyjson_obj_get(x, "below");
            snprintf(numbers[i][0], NUMBER_BYTES, "%s%g", below ? "below " : "",
                     yyjson_get_num(below ? below : yyjson_obj_get(x, "above")));
            put_duration(x, "for_ms", numbers[i][1]);
            put_duration(x, "window_ms", numbers[i][2]);
            *to++ = text_at(x, "name");
            *to++ = text_at(x, "model");
            *to++ = text_at(x, "severity");
            for (int k = 0; k < 3; k++)
                *to++ = numbers[i][k];
            *to++ = text_at(x, "what");
        }
        term_put_table(cells, n + 1, RULE_COLUMNS, out);
    }
    free(cells);
    free(numbers);
    return rc;
}

static void put_trouble(yyjson_val *answer, struct buf *out)
{
    yyjson_val *hook = yyjson_obj_get(answer, "webhook");
    if (text_at(answer, "rules_error")[0]) {
        buf_puts(out, "\nThe rules of ");
        term_put_safe(str_of(text_at(answer, "rules_file")), out);
        buf_puts(out, " do not hold: ");
        term_put_safe(str_of(text_at(answer, "rules_error")), out);
        buf_putc(out, '\n');
    }
    if (text_at(hook, "last_failure")[0]) {
        buf_printf(out, "\n%llu not told to ",
                   (unsigned long long)yyjson_get_uint(yyjson_obj_get(hook, "waiting")));
        term_put_safe(str_of(text_at(hook, "url")), out);
        buf_puts(out, " yet: ");
        term_put_safe(str_of(text_at(hook, "last_failure")), out);
        buf_putc(out, '\n');
    }
}

static int put_alerts(const struct args *a, yyjson_val *answer, struct buf *out, struct err *e)
{
    yyjson_val *list = yyjson_obj_get(answer, "alerts");
    int rc = 0;
    if (args_has(a, "rules"))
        rc = put_rules(yyjson_obj_get(answer, "rules"), out, e);
    else if (yyjson_arr_size(list))
        rc = put_list(list, out, e);
    else
        buf_puts(out, "No alerts.\n");
    put_trouble(answer, out);
    return rc;
}

static int alerts_run(const struct args *a)
{
    struct buf path;
    bool first = true;
    buf_init(&path, 4096);
    buf_puts(&path, "/api/v1/alerts");
    cli_put_query(a, "model", &first, &path);
    cli_put_query(a, "state", &first, &path);
    buf_putc(&path, '\0');
    struct cli_ask ask = {.method = "GET", .path = path.failed ? "/" : path.p, .put = put_alerts};
    int code = cli_ask(a, &ask);
    buf_done(&path);
    return code;
}

const struct verb verb_alerts = {
    .name = "alerts",
    .summary = "Shows which alerts fire, and the rules that they come from.",
    .usage = "slipway alerts [flags]",
    .examples = "slipway alerts\n"
                "slipway alerts --state firing --model churn\n"
                "slipway alerts --rules          # what is watched, and the limits",
    .flags = (const struct flag[]){{.name = "model", .value = "MODEL", .help = "Only those of this model."},
                                   {.name = "state",
                                    .value = "STATE",
                                    .help = "Only pending, firing, or resolved ones (of the last day)."},
                                   {.name = "rules", .help = "The rules instead."},
                                   CLI_CLIENT_FLAGS,
                                   {0}},
    .run = alerts_run,
};
