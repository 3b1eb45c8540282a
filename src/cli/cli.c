// SPDX-License-Identifier: Apache-2.0
// The table of verbs, the choice of one, and the help pages made from it.
#include "cli/cli.h"

#include "base/assert.h"
#include "base/near.h"
#include "cli/term.h"
#include "settings/settings.h"

#include <signal.h>
#include <string.h>

static const struct verb *const VERBS[] = {
    &verb_serve,      &verb_push,       &verb_predict, &verb_models,   &verb_show,     &verb_status,
    &verb_upgrade,    &verb_export,     &verb_promote, &verb_rollback, &verb_alias,    &verb_aliases,
    &verb_history,    &verb_rollout,    &verb_audit,   &verb_delete,   &verb_bench,    &verb_version,
    &verb_help,       &verb_completion, &verb_backup,  &verb_restore,  &verb_fsck,     &verb_gc,
    &verb_dashboards, &verb_log,        &verb_drift,   &verb_alerts,   &verb_feedback, &verb_quality,
};
enum { N_VERBS = sizeof VERBS / sizeof VERBS[0] };

size_t cli_verbs_count(void)
{
    return N_VERBS;
}

const struct verb *cli_verbs_at(size_t i)
{
    ASSERT(i < N_VERBS);
    return VERBS[i];
}

static void put_flag(const struct flag *f, struct buf *out)
{
    enum { COLUMN = 28 };
    size_t start = out->n;
    buf_puts(out, "  ");
    if (f->letter)
        buf_printf(out, "-%c, ", f->letter);
    buf_printf(out, "--%s%s%s", f->name, f->value ? " " : "", f->value ? f->value : "");
    do
        buf_putc(out, ' ');
    while (out->n - start < COLUMN && !out->failed);
    if (f->only)
        buf_printf(out, "%s: ", f->only);
    buf_puts(out, f->help);
    if (f->choices)
        buf_printf(out, " (%s)", f->choices);
    buf_putc(out, '\n');
}

void cli_help_verb(const struct verb *v, struct buf *out)
{
    static const struct flag HELP = {.name = "help", .help = "Shows this page.", .letter = 'h'};
    struct str rest = str_of(v->examples);
    buf_printf(out, "%s\n\nUsage: %s\n\nFlags:\n", v->summary, v->usage);
    for (const struct flag *f = v->flags; f && f->name; f++)
        put_flag(f, out);
    if (v->put_flags)
        v->put_flags(out);
    put_flag(&HELP, out);
    buf_puts(out, "\nExamples:\n");
    while (rest.n) {
        struct str line = str_split(&rest, '\n');
        buf_printf(out, "  " STR_FMT "\n", STR_ARG(line));
    }
}

void cli_help_all(struct buf *out)
{
    buf_puts(
        out,
        "Slipway launches trained models as services.\n\nUsage: slipway VERB [words] [flags]\n\nVerbs:\n");
    for (size_t i = 0; i < N_VERBS; i++)
        buf_printf(out, "  %-12s %s\n", VERBS[i]->name, VERBS[i]->summary);
    buf_puts(out, "\nStart here:\n"
                  "  slipway serve                        # in one terminal\n"
                  "  slipway push churn model.json        # in another\n"
                  "  slipway predict churn rows.csv\n\n"
                  "Help on a verb: slipway VERB --help\n"
                  "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by policy.\n");
}

int cli_help_print(const struct verb *v)
{
    struct buf b;
    struct err e;
    buf_init(&b, 1 << 20);
    if (v)
        cli_help_verb(v, &b);
    else
        cli_help_all(&b);
    int rc = term_write(&b, &e) ? term_fail(&e, false) : CLI_OK;
    buf_done(&b);
    return rc;
}

static const struct verb *find_verb(const char *name, struct err *e)
{
    struct str names[N_VERBS];
    for (size_t i = 0; i < N_VERBS; i++) {
        names[i] = str_of(VERBS[i]->name);
        if (strcmp(VERBS[i]->name, name) == 0)
            return VERBS[i];
    }
    err_set(e, ERR_UNKNOWN_FIELD, "there is no verb '%.80s'", name);
    int near = near_find(str_of(name), names, N_VERBS);
    if (near >= 0)
        err_hint(e, "Did you mean 'slipway " STR_FMT "'?", STR_ARG(names[near]));
    else
        err_hint(e, "All verbs: slipway help.");
    return NULL;
}

int cli_main(int argc, char **argv)
{
    struct err e;
    struct args a;
    signal(SIGPIPE, SIG_IGN); // a closed pipe is an error of write, said in words
    if (argc < 2) {
        (void)cli_help_print(NULL);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return cli_help_print(NULL);
    if (strcmp(name, "--version") == 0)
        name = "version";
    const struct verb *v = find_verb(name, &e);
    if (!v || args_parse(v, argc - 2, argv + 2, &a, &e))
        return term_usage(&e);
    return args_has(&a, "help") ? cli_help_print(v) : v->run(&a);
}

// The two files that dev/generate makes.
static int print_generated(void (*put)(struct buf *out))
{
    struct buf b;
    struct err e;
    buf_init(&b, 1 << 20);
    put(&b);
    int rc = term_write(&b, &e) ? term_fail(&e, false) : CLI_OK;
    buf_done(&b);
    return rc;
}

static int help_run(const struct args *a)
{
    struct err e;
    if (args_has(a, "settings-markdown"))
        return print_generated(settings_put_markdown);
    if (args_has(a, "settings-sample"))
        return print_generated(settings_put_sample);
    if (a->n_words == 0)
        return cli_help_print(NULL);
    const struct verb *v = find_verb(a->words[0], &e);
    return v ? cli_help_print(v) : term_usage(&e);
}

const struct verb verb_help = {
    .name = "help",
    .summary = "Shows all verbs, or the help page of one.",
    .usage = "slipway help [VERB]",
    .examples = "slipway help\nslipway help push\nslipway help --settings-sample > slipway.yaml",
    .flags =
        (const struct flag[]){
            {.name = "settings-markdown", .help = "Writes the table of settings as Markdown."},
            {.name = "settings-sample", .help = "Writes a configuration file of all defaults."},
            {0}},
    .max_words = 1,
    .run = help_run,
};
