// SPDX-License-Identifier: Apache-2.0
// `slipway completion SHELL`: completion scripts made from the tables of verbs, flags and settings, so that
// they never lag behind. Names of models are asked of the server when Tab is pressed.
#include "cli/completion.h"
#include "cli/cli.h"
#include "cli/term.h"
#include "settings/settings.h"

#include <string.h>

// Calls back for each flag of a verb; the settings are the flags of serve.
static void each_flag(const struct verb *v,
                      void (*put)(const struct verb *v, const struct flag *f, struct buf *out),
                      struct buf *out)
{
    static const struct flag HELP = {.name = "help", .help = "Shows the help page."};
    static const struct flag CONFIG = {
        .name = "config", .value = "FILE", .help = "Reads settings from this file."};
    for (const struct flag *f = v->flags; f && f->name; f++)
        put(v, f, out);
    put(v, &HELP, out);
    if (v != &verb_serve)
        return;
    put(v, &CONFIG, out);
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *s = settings_at(i);
        char name[64];
        size_t n = 0;
        for (; s->key[n] && n < sizeof name - 1; n++)
            name[n] = s->key[n] == '_' ? '-' : s->key[n];
        name[n] = '\0';
        struct flag f = {.name = name,
                         .value = s->type == SETTING_BOOL ? NULL : "VALUE",
                         .choices = s->type == SETTING_ENUM ? s->unit : NULL,
                         .help = s->help};
        put(v, &f, out);
    }
}

static void put_choices(const char *choices, struct buf *out)
{
    for (const char *c = choices; *c; c++)
        buf_putc(out, *c == '|' ? ' ' : *c);
}

static void put_flag_word(const struct verb *v, const struct flag *f, struct buf *out)
{
    (void)v;
    buf_printf(out, " --%s", f->name);
}

// "push:--format) …" lines for flags whose values are known; other values complete as files.
static void put_bash_values(const struct verb *v, const struct flag *f, struct buf *out)
{
    if (!f->value)
        return;
    buf_printf(out, "        %s:--%s) ", v->name, f->name);
    if (f->choices) {
        buf_puts(out, "words='");
        put_choices(f->choices, out);
        buf_puts(out, "' ;;\n");
    } else {
        buf_puts(out, "files=1 ;;\n");
    }
}

static void put_models_case(struct buf *out)
{
    buf_puts(out, "''");
    for (size_t i = 0; i < cli_verbs_count(); i++)
        if (cli_verbs_at(i)->takes_model)
            buf_printf(out, "|%s", cli_verbs_at(i)->name);
}

static void put_bash(struct buf *out)
{
    buf_puts(
        out,
        "# bash completion for slipway. Use: source <(slipway completion bash)\n"
        "_slipway() {\n"
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}\n"
        "    local words= files=\n"
        "    COMPREPLY=()\n"
        "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
        "        words='");
    for (size_t i = 0; i < cli_verbs_count(); i++)
        buf_printf(out, "%s%s", i ? " " : "", cli_verbs_at(i)->name);
    buf_puts(out, "'\n    else\n        case $verb:$prev in\n");
    for (size_t i = 0; i < cli_verbs_count(); i++)
        each_flag(cli_verbs_at(i), put_bash_values, out);
    buf_puts(out, "        esac\n        if [ -z \"$words$files\" ]; then\n            case $verb:$cur in\n");
    for (size_t i = 0; i < cli_verbs_count(); i++) {
        buf_printf(out, "            %s:-*) words='", cli_verbs_at(i)->name);
        each_flag(cli_verbs_at(i), put_flag_word, out);
        buf_puts(out, "' ;;\n");
    }
    buf_puts(out, "            help:*) words='");
    for (size_t i = 0; i < cli_verbs_count(); i++)
        buf_printf(out, " %s", cli_verbs_at(i)->name);
    buf_puts(out, "' ;;\n            completion:*) words='bash zsh fish' ;;\n            *) files=1 ;;\n"
                  "            esac\n        fi\n"
                  "        if [ \"$COMP_CWORD\" -eq 2 ]; then\n            case $verb in\n            ");
    for (size_t i = 0; i < cli_verbs_count(); i++)
        if (cli_verbs_at(i)->first_words) {
            buf_printf(out, "%s) words='", cli_verbs_at(i)->name);
            put_choices(cli_verbs_at(i)->first_words, out);
            buf_puts(out, "' files= ;;\n            ");
        }
    put_models_case(out);
    buf_puts(out, ") case $cur in -*) ;; *) words=$(slipway models --names 2>/dev/null) files= ;; esac ;;\n"
                  "            esac\n        fi\n    fi\n"
                  "    [ -n \"$words\" ] && COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                  "    [ -n \"$files\" ] && COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
                  "    return 0\n}\n"
                  "complete -o filenames -F _slipway slipway\n");
}

// Text in single quotes for zsh and fish, with `extra` characters escaped by a backslash.
static void put_quoted(const char *text, const char *extra, struct buf *out)
{
    for (; *text; text++) {
        if (*text == '\'')
            buf_puts(out, "’"); // both shells quote the ASCII one differently
        else {
            if (strchr(extra, *text))
                buf_putc(out, '\\');
            buf_putc(out, *text);
        }
    }
}

static void put_zsh_flag(const struct verb *v, const struct flag *f, struct buf *out)
{
    (void)v;
    buf_printf(out, " \\\n            '%s--%s%s[", f->repeats ? "*" : "", f->name, f->value ? "=" : "");
    put_quoted(f->help, "[]:\\", out);
    buf_putc(out, ']');
    if (f->choices) {
        buf_puts(out, ":value:(");
        put_choices(f->choices, out);
        buf_putc(out, ')');
    } else if (f->value) {
        buf_puts(out, ":value:_files");
    }
    buf_putc(out, '\'');
}

static void put_zsh(struct buf *out)
{
    buf_puts(out, "#compdef slipway\n# zsh completion for slipway. Use: source <(slipway completion zsh)\n"
                  "_slipway_models() {\n    local -a names\n"
                  "    names=(${(f)\"$(slipway models --names 2>/dev/null)\"})\n"
                  "    compadd -- $names\n}\n"
                  "_slipway() {\n    local -a verbs\n    verbs=(\n");
    for (size_t i = 0; i < cli_verbs_count(); i++) {
        buf_printf(out, "        '%s:", cli_verbs_at(i)->name);
        put_quoted(cli_verbs_at(i)->summary, "\\", out);
        buf_puts(out, "'\n");
    }
    buf_puts(out,
             "    )\n    if (( CURRENT == 2 )); then\n        _describe verb verbs\n        return\n    fi\n"
             "    local verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $verb in\n");
    for (size_t i = 0; i < cli_verbs_count(); i++) {
        const struct verb *v = cli_verbs_at(i);
        buf_printf(out, "    %s)\n        _arguments", v->name);
        each_flag(v, put_zsh_flag, out);
        if (v->takes_model)
            buf_puts(out, " \\\n            '1:model:_slipway_models'");
        if (v->first_words) {
            buf_puts(out, " \\\n            '1:what:(");
            put_choices(v->first_words, out);
            buf_puts(out, ")' '2:model:_slipway_models'");
        }
        if (v == &verb_completion)
            buf_puts(out, " \\\n            '1:shell:(bash zsh fish)'");
        buf_puts(out, " \\\n            '*:file:_files'\n        ;;\n");
    }
    buf_puts(out, "    esac\n}\ncompdef _slipway slipway\n");
}

static void put_fish_flag(const struct verb *v, const struct flag *f, struct buf *out)
{
    buf_printf(out, "complete -c slipway -n '__fish_seen_subcommand_from %s' -l %s", v->name, f->name);
    if (f->letter)
        buf_printf(out, " -s %c", f->letter);
    if (f->value)
        buf_puts(out, f->choices ? " -x -a '" : " -r");
    if (f->choices) {
        put_choices(f->choices, out);
        buf_putc(out, '\'');
    }
    buf_puts(out, " -d '");
    put_quoted(f->help, "\\", out);
    buf_puts(out, "'\n");
}

static void put_fish(struct buf *out)
{
    buf_puts(out, "# fish completion for slipway. Use: slipway completion fish | source\n");
    for (size_t i = 0; i < cli_verbs_count(); i++) {
        const struct verb *v = cli_verbs_at(i);
        buf_printf(out, "complete -c slipway -n __fish_use_subcommand -f -a %s -d '", v->name);
        put_quoted(v->summary, "\\", out);
        buf_puts(out, "'\n");
        if (v->takes_model)
            buf_printf(out,
                       "complete -c slipway -n '__fish_seen_subcommand_from %s' -a '(slipway models --names "
                       "2>/dev/null)'\n",
                       v->name);
        if (v->first_words) {
            buf_printf(out, "complete -c slipway -n '__fish_seen_subcommand_from %s' -f -a '", v->name);
            put_choices(v->first_words, out);
            buf_puts(out, "'\n");
        }
        each_flag(v, put_fish_flag, out);
    }
    buf_puts(out, "complete -c slipway -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n");
}

bool completion_put(const char *shell, struct buf *out)
{
    if (strcmp(shell, "bash") == 0)
        put_bash(out);
    else if (strcmp(shell, "zsh") == 0)
        put_zsh(out);
    else if (strcmp(shell, "fish") == 0)
        put_fish(out);
    else
        return false;
    return true;
}

static int completion_run(const struct args *a)
{
    struct err e;
    struct buf b;
    buf_init(&b, 1 << 20);
    if (!completion_put(a->words[0], &b)) {
        err_set(&e, ERR_INVALID, "'%.40s' is not a shell that completion is made for", a->words[0]);
        err_hint(&e, "Choose one of bash, zsh, fish.");
        return term_usage(&e);
    }
    int rc = term_write(&b, &e) ? term_fail(&e, false) : CLI_OK;
    buf_done(&b);
    return rc;
}

const struct verb verb_completion = {
    .name = "completion",
    .summary = "Writes the completion script of a shell: bash, zsh or fish.",
    .usage = "slipway completion bash|zsh|fish",
    .examples = "source <(slipway completion bash)\n"
                "slipway completion zsh > ~/.zsh/completions/_slipway\n"
                "slipway completion fish > ~/.config/fish/completions/slipway.fish",
    .min_words = 1,
    .max_words = 1,
    .run = completion_run,
};
