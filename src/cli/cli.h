// SPDX-License-Identifier: Apache-2.0
// The command line: a table of verbs, one file for each. A verb talks to a running server over HTTP and knows
// nothing of its inside; `serve` only reads its settings here and is run by main.c.
#pragma once

#include "cli/args.h"

struct settings;

// What the shell gets back.
enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_REFUSED = 3 };

// One verb. Everything users read about it (help, completion, docs) comes from these texts.
struct verb {
    const char *name;
    const char *summary;       // one sentence with its full stop
    const char *usage;         // "slipway push MODEL FILE [flags]"
    const char *examples;      // lines without indent, each a command that works or a comment
    const struct flag *flags;  // ends with a flag without a name; NULL: none
    const struct meant *meant; // flags that others would call so; NULL: none
    // Appends what help says in place of the flags; NULL: the flags of the table.
    void (*put_flags)(struct buf *out);
    int min_words, max_words; // besides flags
    const char *first_words;  // "start|status": what the first word may be; the first if none is given
    bool takes_model;         // the first word is a model's name: completion asks the server for them
    // Does it and says how it went, on stdout and stderr. Returns an enum cli_exit.
    int (*run)(const struct args *a);
};

// Runs the verb argv[1] with the words after it. Returns the exit code.
int cli_main(int argc, char **argv);

// For `slipway serve …`, argv[1] being "serve": fills the settings and returns -1 when the server should be
// started, else the exit code (help was printed, or what is wrong with the settings).
int cli_serve_settings(int argc, char **argv, struct settings *ret);

// The verbs in the order help shows them.
size_t cli_verbs_count(void);
const struct verb *cli_verbs_at(size_t i);

// Appends the help page of one verb, and of all.
void cli_help_verb(const struct verb *v, struct buf *out);
void cli_help_all(struct buf *out);
// Prints the page of one verb, or of all where v is NULL. Returns the exit code.
int cli_help_print(const struct verb *v);

// Flags of every verb that asks a server.
#define CLI_CLIENT_FLAGS                                                                                     \
    {.name = "url",                                                                                          \
     .value = "URL",                                                                                         \
     .help = "Server to ask. Default: the variable SLIPWAY_URL, else http://127.0.0.1:8080."},               \
        {.name = "timeout",                                                                                  \
         .value = "SECONDS",                                                                                 \
         .help = "Gives up when the server is silent for so long. Default 30."},                             \
    {                                                                                                        \
        .name = "json", .help = "Writes one JSON document instead of text."                                  \
    }

extern const struct verb verb_serve, verb_push, verb_export, verb_predict, verb_models, verb_show,
    verb_delete, verb_bench, verb_status, verb_upgrade, verb_version, verb_help, verb_completion;
extern const struct verb verb_backup, verb_restore, verb_fsck, verb_gc, verb_dashboards, verb_log;
extern const struct verb verb_alerts, verb_drift, verb_feedback, verb_quality;
extern const struct verb verb_rollout;
extern const struct verb verb_alias, verb_aliases, verb_promote, verb_rollback, verb_history, verb_audit;
