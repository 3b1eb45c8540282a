// SPDX-License-Identifier: Apache-2.0
// `slipway rollout`: starting a rollout, watching it, moving it by hand, reading its record, asking
// beforehand what it would take.
#include "cli/rollout.h"

#include "base/assert.h"
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/signature.h"
#include "cli/term.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 << 20, WATCH_MS = 1000, PLAN_TIMEOUT_MS = 180000 };

struct call {
    const struct args *a;
    struct client client;
    struct buf out, path, body;
};

// As client_ask.
static int call_ask(struct call *c, const char *method, uint64_t timeout_ms, yyjson_doc **ret, struct err *e)
{
    *ret = NULL;
    bool is_change = strcmp(method, "GET") != 0;
    if (c->body.failed || c->path.failed)
        return err_set(e, ERR_NOMEM, "out of memory");
    const struct client_request q = {.method = method,
                                     .path = c->path.p,
                                     .content_type = c->body.n ? "application/json" : NULL,
                                     .body = buf_str(&c->body),
                                     .idempotency_key =
                                         is_change ? args_value(c->a, "idempotency-key") : NULL,
                                     .timeout_ms = timeout_ms};
    return client_ask(&c->client, &q, ret, e);
}

static int call_json(struct call *c, const char *method, uint64_t timeout_ms, yyjson_doc **ret, struct err *e)
{
    int rc = call_ask(c, method, timeout_ms, ret, e);
    if (rc) {
        yyjson_doc_free(*ret);
        *ret = NULL;
    }
    return rc;
}

static void set_path(struct call *c, const char *fmt, const char *text)
{
    buf_clear(&c->path);
    buf_puts(&c->path, fmt);
    if (text)
        client_put_segment(str_of(text), &c->path);
    buf_putc(&c->path, '\0');
}

// The number of the rollout that a word means: itself, or the newest of a model.
static int find_id(struct call *c, const char *word, uint64_t *ret, struct err *e)
{
    yyjson_doc *doc;
    if (str_to_u64(str_of(word), INT64_MAX, ret))
        return 0;
    buf_clear(&c->body);
    set_path(c, "/api/v1/rollouts?limit=1&model=", word);
    int rc = call_json(c, "GET", 0, &doc, e);
    if (rc)
        return rc;
    yyjson_val *first = yyjson_arr_get_first(yyjson_obj_get(yyjson_doc_get_root(doc), "rollouts"));
    *ret = yyjson_get_uint(yyjson_obj_get(first, "id"));
    yyjson_doc_free(doc);
    return first ? 0 : err_set(e, ERR_NOT_FOUND, "model '%.80s' has had no rollout", word);
}

static void set_rollout_path(struct call *c, uint64_t id, const char *rest)
{
    buf_clear(&c->path);
    buf_printf(&c->path, "/api/v1/rollouts/%" PRIu64 "%s", id, rest);
    buf_putc(&c->path, '\0');
}

static int print(struct call *c, yyjson_doc *doc, int (*put)(yyjson_val *, struct buf *, struct err *),
                 struct err *e)
{
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc = args_has(c->a, "json") ? term_put_json(root, &c->out, e) : put(root, &c->out, e);
    return rc ? rc : term_write(&c->out, e);
}

static int put_view(yyjson_val *root, struct buf *out, struct err *e)
{
    (void)e;
    rollout_view_put(root, out);
    return 0;
}

static int put_events(yyjson_val *root, struct buf *out, struct err *e)
{
    (void)e;
    rollout_events_put(root, out);
    return 0;
}

static int put_forecast(yyjson_val *root, struct buf *out, struct err *e)
{
    (void)e;
    rollout_forecast_put(root, out);
    return 0;
}

// ---- watching ----

// Draws the rollout anew every second, over what was drawn before, until it is over. On something that is no
// terminal each state is a block of its own.
static int watch(struct call *c, uint64_t id, struct err *e)
{
    bool is_terminal = isatty(STDOUT_FILENO);
    for (;;) {
        yyjson_doc *doc;
        buf_clear(&c->body);
        set_rollout_path(c, id, "");
        int rc = call_json(c, "GET", 0, &doc, e);
        if (rc)
            return rc;
        bool over = yyjson_is_true(yyjson_obj_get(yyjson_doc_get_root(doc), "over"));
        buf_clear(&c->out);
        if (is_terminal && !args_has(c->a, "json"))
            buf_puts(&c->out, "\033[H\033[2J");
        rc = print(c, doc, put_view, e);
        yyjson_doc_free(doc);
        if (rc || over)
            return rc;
        poll(NULL, 0, WATCH_MS);
    }
}

// ---- actions ----

// What would change for clients, where it is refused for that.
static void say_changes(struct call *c, yyjson_val *refusal)
{
    if (!refusal || args_has(c->a, "json"))
        return;
    buf_clear(&c->out);
    signature_put_changes(yyjson_obj_get(refusal, "changes"), &c->out);
    if (!c->out.failed && c->out.n)
        (void)fwrite(c->out.p, 1, c->out.n, stderr);
}

static int run_start(struct call *c, struct err *e)
{
    yyjson_doc *doc;
    int rc = rollout_request_put(c->a, &c->body, e);
    if (rc)
        return rc;
    set_path(c, "/api/v1/rollouts", NULL);
    rc = call_ask(c, "POST", 0, &doc, e);
    if (rc) {
        say_changes(c, yyjson_doc_get_root(doc));
        yyjson_doc_free(doc);
        return rc;
    }
    uint64_t id = yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(doc), "id"));
    if (!args_has(c->a, "watch"))
        rc = print(c, doc, put_view, e);
    yyjson_doc_free(doc);
    return rc || !args_has(c->a, "watch") ? rc : watch(c, id, e);
}

static int run_plan(struct call *c, struct err *e)
{
    static const char *const NUMBERS[][2] = {
        {"rate", "requests_per_second"}, {"error-rate", "error_rate"}, {"harm", "harm"}, {"runs", "runs"}};
    yyjson_doc *doc;
    buf_puts(&c->body, "{\"rollout\":");
    int rc = rollout_request_put(c->a, &c->body, e);
    for (size_t i = 0; !rc && i < sizeof NUMBERS / sizeof NUMBERS[0]; i++)
        if (args_value(c->a, NUMBERS[i][0]))
            buf_printf(&c->body, ",\"%s\":%.40s", NUMBERS[i][1], args_value(c->a, NUMBERS[i][0]));
    buf_putc(&c->body, '}');
    if (rc)
        return rc;
    set_path(c, "/api/v1/rollouts:plan", NULL);
    rc = call_json(c, "POST", PLAN_TIMEOUT_MS, &doc, e);
    if (rc)
        return rc;
    rc = print(c, doc, put_forecast, e);
    yyjson_doc_free(doc);
    return rc;
}

static int run_list(struct call *c, struct err *e)
{
    yyjson_doc *doc;
    bool first = false;
    buf_clear(&c->path);
    buf_puts(&c->path, "/api/v1/rollouts?active=");
    buf_puts(&c->path, args_has(c->a, "active") ? "true" : "false");
    if (c->a->n_words > 1) {
        buf_puts(&c->path, "&model=");
        client_put_segment(str_of(c->a->words[1]), &c->path);
    }
    cli_put_query(c->a, "limit", &first, &c->path);
    cli_put_query(c->a, "after", &first, &c->path);
    buf_putc(&c->path, '\0');
    int rc = call_json(c, "GET", 0, &doc, e);
    if (rc)
        return rc;
    rc = print(c, doc, rollout_list_put, e);
    yyjson_doc_free(doc);
    return rc;
}

static int get(struct call *c, const char *rest, int (*put)(yyjson_val *, struct buf *, struct err *),
               struct err *e)
{
    yyjson_doc *doc;
    uint64_t id;
    int rc = find_id(c, c->a->words[1], &id, e);
    if (rc)
        return rc;
    set_rollout_path(c, id, rest);
    rc = call_json(c, "GET", 0, &doc, e);
    if (rc)
        return rc;
    rc = print(c, doc, put, e);
    yyjson_val *sound = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "replay"), "sound");
    if (!rc && sound && !yyjson_is_true(sound))
        rc = err_set(e, ERR_INVALID, "the record does not come out as it was written");
    yyjson_doc_free(doc);
    return rc;
}

static int run_status(struct call *c, struct err *e)
{
    uint64_t id;
    if (c->a->n_words < 2)
        return run_list(c, e);
    if (!args_has(c->a, "watch"))
        return get(c, "", put_view, e);
    int rc = find_id(c, c->a->words[1], &id, e);
    return rc ? rc : watch(c, id, e);
}

static int run_events(struct call *c, struct err *e)
{
    return get(c, args_has(c->a, "verify") ? "/events?verify=true" : "/events?limit=1000", put_events, e);
}

// pause, resume and so on: the first word is the name of the move.
static int run_move(struct call *c, struct err *e)
{
    yyjson_doc *doc;
    uint64_t id;
    char rest[32];
    const char *reason = args_value(c->a, "reason");
    int rc = find_id(c, c->a->words[1], &id, e);
    if (rc)
        return rc;
    snprintf(rest, sizeof rest, ":%.20s", c->a->words[0]);
    set_rollout_path(c, id, rest);
    buf_clear(&c->body);
    if (reason) {
        buf_puts(&c->body, "{\"reason\":");
        buf_put_json_str(&c->body, str_of(reason));
        buf_putc(&c->body, '}');
    }
    rc = call_json(c, "POST", 0, &doc, e);
    if (rc)
        return rc;
    rc = print(c, doc, put_view, e);
    yyjson_doc_free(doc);
    return rc;
}

static const struct action {
    const char *name;
    int min_words, max_words; // with the action itself
    int (*run)(struct call *c, struct err *e);
} ACTIONS[] = {
    {"start", 1, 3, run_start},   {"status", 1, 2, run_status}, {"list", 1, 2, run_list},
    {"events", 2, 2, run_events}, {"plan", 1, 3, run_plan},     {"pause", 2, 2, run_move},
    {"resume", 2, 2, run_move},   {"advance", 2, 2, run_move},  {"freeze", 2, 2, run_move},
    {"promote", 2, 2, run_move},  {"rollback", 2, 2, run_move},
};

static const struct action *find_action(const struct args *a, struct err *e)
{
    const struct action *k = ACTIONS;
    for (; strcmp(k->name, a->words[0]) != 0; k++) // it is one of first_words
        ASSERT(k + 1 < ACTIONS + sizeof ACTIONS / sizeof ACTIONS[0]);
    if (a->n_words >= k->min_words && a->n_words <= k->max_words)
        return k;
    err_set(e, ERR_WRONG_COUNT, a->n_words < k->min_words ? "which rollout is meant?" : "too many words");
    err_hint(e, "slipway rollout %s takes a rollout's number, or its model.", k->name);
    return NULL;
}

static int rollout_run(const struct args *a)
{
    struct call c = {.a = a};
    struct err e = {0};
    const struct action *action = find_action(a, &e);
    if (!action || client_init(&c.client, a, &e))
        return term_usage(&e);
    buf_init(&c.out, ANSWER_MAX);
    buf_init(&c.path, 16384);
    buf_init(&c.body, 1 << 20);
    int rc = action->run(&c, &e);
    buf_done(&c.out);
    buf_done(&c.path);
    buf_done(&c.body);
    client_done(&c.client);
    return rc ? term_fail(&e, args_has(a, "json")) : CLI_OK;
}

#define ASKED_FOR "start|plan" // what the request says

const struct verb verb_rollout = {
    .name = "rollout",
    .summary = "Gives a new version a growing part of the traffic, judges it, and goes back by itself.",
    .usage = "slipway rollout start|status|list|events|plan|pause|resume|advance|freeze|promote|rollback "
             "[MODEL|NUMBER] [VERSION] [flags]",
    .examples = "slipway rollout plan fraud 7 --harm 2\n"
                "slipway rollout start fraud 7 --watch\n"
                "slipway rollout start fraud 7 --steps 1,10,50 --key header:x-user --slo 0.005\n"
                "slipway rollout start fraud --strategy ab --arm 7=20 --arm 8=20\n"
                "slipway rollout start fraud 7 --guard distribution --guard wrong_prediction\n"
                "slipway rollout start --file rollout.json\n"
                "slipway rollout status fraud --watch\n"
                "slipway rollout pause fraud --reason 'sale begins at 14:00'\n"
                "slipway rollout rollback fraud\n"
                "slipway rollout events 12 --verify",
    .flags =
        (const struct flag[]){
            {.name = "file",
             .value = "FILE",
             .only = ASKED_FOR,
             .help = "The whole request as JSON (docs/rollouts.md); - reads it."},
            {.name = "strategy",
             .value = "NAME",
             .choices = "canary|shadow|ab",
             .only = ASKED_FOR,
             .help = "How versions are compared (canary)."},
            {.name = "steps",
             .value = "LIST",
             .only = ASKED_FOR,
             .help = "Weights in percent (1,5,10,25,50)."},
            {.name = "min-seconds",
             .value = "N",
             .only = ASKED_FOR,
             .help = "A step takes at least so long (300)."},
            {.name = "max-seconds",
             .value = "N",
             .only = ASKED_FOR,
             .help = "After that on_timeout decides (86400)."},
            {.name = "min-requests",
             .value = "N",
             .only = ASKED_FOR,
             .help = "Of the candidate, in each step (1000)."},
            {.name = "baseline",
             .value = "ALIAS",
             .only = ASKED_FOR,
             .help = "Whose requests are shared (champion)."},
            {.name = "key",
             .value = "KEY",
             .only = ASKED_FOR,
             .help =
                 "What sticks to an arm: header:NAME, query:NAME or $.FIELD; else each request is drawn."},
            {.name = "arm",
             .value = "VERSION=PERCENT",
             .only = ASKED_FOR,
             .help = "An arm of ab.",
             .repeats = true},
            {.name = "slo",
             .value = "RATE",
             .only = ASKED_FOR,
             .help = "Errors below this rate are good enough."},
            {.name = "guard",
             .value = "METRIC",
             .choices = "distribution|wrong_prediction",
             .only = ASKED_FOR,
             .help = "Another guardrail besides errors, latency and invalid outputs.",
             .repeats = true},
            {.name = "shadow", .only = ASKED_FOR, .help = "Mirrors traffic before the first step."},
            {.name = "segment",
             .value = "KEY",
             .only = ASKED_FOR,
             .help =
                 "Mirrors, too, and tells requests apart in the report: header:NAME, query:NAME or $.FIELD."},
            {.name = "shield",
             .only = ASKED_FOR,
             .help = "The old version answers what the candidate fails."},
            {.name = "allow-breaking",
             .only = ASKED_FOR,
             .help = "Begins also where clients of the old version would break."},
            {.name = "holdback",
             .value = "PERCENT",
             .only = ASKED_FOR,
             .help = "Stays at the old version while baking (5)."},
            {.name = "bake", .value = "SECONDS", .only = ASKED_FOR, .help = "How long baking takes (1800)."},
            {.name = "undo",
             .value = "SECONDS",
             .only = ASKED_FOR,
             .help = "The old version stays loaded so long (3600)."},
            {.name = "on-fail",
             .value = "WHAT",
             .choices = "rollback|freeze",
             .only = ASKED_FOR,
             .help = "What a guardrail does that fails (rollback)."},
            {.name = "on-timeout",
             .value = "WHAT",
             .choices = "hold|rollback|advance",
             .only = ASKED_FOR,
             .help = "What a step does that nothing ends (hold)."},
            {.name = "rate",
             .value = "N",
             .only = "plan",
             .help = "Requests per second, instead of the present ones."},
            {.name = "error-rate",
             .value = "RATE",
             .only = "plan",
             .help = "Errors of the old version, instead of the present one."},
            {.name = "harm",
             .value = "TIMES",
             .only = "plan",
             .help = "How many times worse a bad version is (3)."},
            {.name = "runs", .value = "N", .only = "plan", .help = "Rollouts that are played (100)."},
            {.name = "watch",
             .only = "start|status",
             .help = "Shows it anew every second, until it is over."},
            {.name = "verify", .only = "events", .help = "Computes every record again and compares."},
            {.name = "active", .only = "list|status", .help = "Only those that are not over."},
            CLI_CHANGE_FLAGS,
            CLI_PAGE_FLAGS,
            CLI_CLIENT_FLAGS,
            {0}},
    .meant =
        (const struct meant[]){
            {"to", "The version stands behind the model: slipway rollout start MODEL VERSION."},
            {"version", "The version stands behind the model: slipway rollout start MODEL VERSION."},
            {"candidate", "The version stands behind the model: slipway rollout start MODEL VERSION."},
            {"from", "Did you mean --baseline? It names the alias whose requests are shared."},
            {"weight", "Did you mean --steps? For example --steps 1,10,50."},
            {"weights", "Did you mean --steps? For example --steps 1,10,50."},
            {"percent", "Did you mean --steps? For example --steps 1,10,50."},
            {"sticky", "Did you mean --key? For example --key header:x-user."},
            {"canary", "Did you mean --strategy canary? It is what happens without the flag."},
            {"ab", "Did you mean --strategy ab --arm VERSION=PERCENT?"},
            {0}},
    .min_words = 1,
    .max_words = 3,
    .first_words = "start|status|list|events|plan|pause|resume|advance|freeze|promote|rollback",
    .run = rollout_run,
};
