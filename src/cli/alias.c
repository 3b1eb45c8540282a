// SPDX-License-Identifier: Apache-2.0
// `slipway alias`, `promote`, `rollback`: what a name of a model's version points to.
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/describe.h"
#include "cli/signature.h"
#include "cli/term.h"

#include <inttypes.h>
#include <string.h>

// "churn: champion is version 3, was 2"
static int put_moved(const struct args *a, yyjson_val *answer, struct buf *out, struct err *e)
{
    (void)e;
    yyjson_val *previous = yyjson_obj_get(answer, "previous");
    buf_puts(out, term_on(stdout, TERM_GREEN));
    term_put_safe(str_of(a->words[0]), out);
    buf_puts(out, term_off(stdout));
    buf_puts(out, ": ");
    term_put_safe(str_of(yyjson_get_str(yyjson_obj_get(answer, "alias"))), out);
    if (yyjson_is_true(yyjson_obj_get(answer, "deleted")))
        buf_puts(out, " is removed");
    else
        buf_printf(out, " is version %" PRIu64, yyjson_get_uint(yyjson_obj_get(answer, "version")));
    if (previous)
        buf_printf(out, ", was %" PRIu64, yyjson_get_uint(previous));
    buf_putc(out, '\n');
    signature_put_changes(yyjson_obj_get(answer, "changes"), out);
    return 0;
}

static void put_refusal(yyjson_val *answer, struct buf *out)
{
    signature_put_changes(yyjson_obj_get(answer, "changes"), out);
}

static int ask_and_free(const struct args *a, const char *method, struct buf *path, struct buf *body)
{
    struct cli_ask ask = {
        .method = method, .body = buf_str(body), .put = put_moved, .put_refusal = put_refusal};
    buf_putc(path, '\0');
    ask.path = path->p;
    struct err e;
    int rc = path->failed || body->failed ? err_set(&e, ERR_NOMEM, "out of memory") : 0;
    int code = rc ? term_fail(&e, args_has(a, "json")) : cli_ask(a, &ask);
    buf_done(path);
    buf_done(body);
    return code;
}

// A version's number as the second or third word.
static int number_of(const char *word, uint64_t *ret, struct err *e)
{
    if (str_to_u64(str_of(word), UINT32_MAX, ret) && *ret)
        return 0;
    return err_set(e, ERR_INVALID, "'%.80s' is not a version: expected a number from 1", word);
}

static int set(const struct args *a, const char *alias, const char *version)
{
    struct buf path, body;
    struct err e;
    uint64_t number;
    if (number_of(version, &number, &e))
        return term_usage(&e);
    buf_init(&path, 8192);
    buf_init(&body, 1 << 16);
    (void)client_path(&path, "/api/v1/models/", a->words[0], "/aliases/", alias, NULL);
    buf_printf(&body, "{\"version\":%" PRIu64, number);
    cli_put_reason(a, &body);
    if (args_has(a, "allow-breaking"))
        buf_puts(&body, ",\"allow_breaking\":true");
    buf_putc(&body, '}');
    return ask_and_free(a, "PUT", &path, &body);
}

static int alias_run(const struct args *a)
{
    struct buf path, body;
    struct err e;
    bool first = true, removes = args_has(a, "remove");
    if (removes == (a->n_words == 3)) {
        err_set(&e, ERR_WRONG_COUNT, removes ? "--remove takes no version" : "which version is meant?");
        err_hint(&e, "slipway alias MODEL ALIAS VERSION, or slipway alias MODEL ALIAS --remove.");
        return term_usage(&e);
    }
    if (!removes)
        return set(a, a->words[1], a->words[2]);
    buf_init(&path, 16384);
    buf_init(&body, 1);
    (void)client_path(&path, "/api/v1/models/", a->words[0], "/aliases/", a->words[1], NULL);
    cli_put_query(a, "reason", &first, &path);
    return ask_and_free(a, "DELETE", &path, &body);
}

static int promote_run(const struct args *a)
{
    return set(a, "champion", a->words[1]);
}

static int rollback_run(const struct args *a)
{
    struct buf path, body;
    struct err e;
    uint64_t to = 0;
    const char *alias = args_value(a, "alias");
    if (args_value(a, "to") && number_of(args_value(a, "to"), &to, &e))
        return term_usage(&e);
    buf_init(&path, 8192);
    buf_init(&body, 1 << 16);
    (void)client_path(&path, "/api/v1/models/", a->words[0], "/rollback", NULL);
    buf_puts(&body, "{\"alias\":");
    buf_put_json_str(&body, str_of(alias ? alias : "champion"));
    if (to)
        buf_printf(&body, ",\"to\":%" PRIu64, to);
    cli_put_reason(a, &body);
    buf_putc(&body, '}');
    return ask_and_free(a, "POST", &path, &body);
}

#define ALLOW_BREAKING                                                                                       \
    {                                                                                                        \
        .name = "allow-breaking", .help = "Moves the name also where its clients would break."               \
    }

const struct verb verb_alias = {
    .name = "alias",
    .summary = "Lets a name of a model mean another version, in all processes at once.",
    .usage = "slipway alias MODEL ALIAS VERSION [flags], slipway alias MODEL ALIAS --remove",
    .examples = "slipway alias churn challenger 3\n"
                "slipway alias churn champion 3 --reason 'won the comparison'\n"
                "slipway alias churn challenger --remove",
    .flags = (const struct flag[]){{.name = "remove", .help = "Takes the name away."},
                                   ALLOW_BREAKING,
                                   CLI_CHANGE_FLAGS,
                                   CLI_CLIENT_FLAGS,
                                   {0}},
    .min_words = 2,
    .max_words = 3,
    .takes_model = true,
    .run = alias_run,
};

const struct verb verb_promote = {
    .name = "promote",
    .summary = "Makes a version the champion, which answers where none is named.",
    .usage = "slipway promote MODEL VERSION [flags]",
    .examples = "slipway promote churn 3\nslipway promote churn 3 --reason 'won the comparison'",
    .flags = (const struct flag[]){ALLOW_BREAKING, CLI_CHANGE_FLAGS, CLI_CLIENT_FLAGS, {0}},
    .min_words = 2,
    .max_words = 2,
    .takes_model = true,
    .run = promote_run,
};

const struct verb verb_rollback = {
    .name = "rollback",
    .summary = "Goes back to the champion before this one, at once.",
    .usage = "slipway rollback MODEL [--to VERSION] [flags]",
    .examples = "slipway rollback churn\n"
                "slipway rollback churn --reason 'errors since 14:00'\n"
                "slipway rollback churn --to 2\n"
                "slipway rollback churn --alias challenger",
    .flags = (const struct flag[]){{.name = "to",
                                    .value = "VERSION",
                                    .help = "Goes back to the last time that it was this version."},
                                   {.name = "alias", .value = "ALIAS", .help = "Which name (champion)."},
                                   CLI_CHANGE_FLAGS,
                                   CLI_CLIENT_FLAGS,
                                   {0}},
    .min_words = 1,
    .max_words = 1,
    .takes_model = true,
    .run = rollback_run,
};
