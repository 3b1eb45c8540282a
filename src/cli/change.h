// SPDX-License-Identifier: Apache-2.0
// What the verbs that change or list the registry have in common: asking, and printing what came back.
#pragma once

#include "cli/args.h"
#include "cli/client.h"

// One request, and how its answer reads.
struct cli_ask {
    const char *method;
    const char *path; // encoded, with its query
    struct str body;  // JSON; empty: none
    // Appends the answer as text.
    int (*put)(const struct args *a, yyjson_val *answer, struct buf *out, struct err *e);
    // Appends what a refusal says beyond its error, for stderr. NULL: nothing is of interest.
    void (*put_refusal)(yyjson_val *answer, struct buf *out);
    // Once it is printed: an error when what it says is a failure. NULL: it never is.
    int (*judge)(yyjson_val *answer, struct err *e);
};

// Asks and prints: --json as it is, else by `put`; --idempotency-key goes along. Returns the exit code.
int cli_ask(const struct args *a, const struct cli_ask *ask);

// Appends "?reason=…" or "&reason=…" when --reason was given, and so on: `first` says whether it is the
// first.
void cli_put_query(const struct args *a, const char *flag, bool *first, struct buf *path);
// Appends ,"reason":"…" when --reason was given.
void cli_put_reason(const struct args *a, struct buf *body);
// What a list that goes on says at its end.
void cli_put_next(yyjson_val *answer, struct buf *out);

// Flags of changes, and of lists in pages.
#define CLI_CHANGE_FLAGS                                                                                     \
    {.name = "reason", .value = "TEXT", .help = "Why, for the audit."},                                      \
    {                                                                                                        \
        .name = "idempotency-key", .value = "KEY",                                                           \
        .help = "Makes the change once, however often this is repeated with the same key."                   \
    }
#define CLI_PAGE_FLAGS                                                                                       \
    {.name = "limit", .value = "N", .help = "Rows of a page, 1 to 1000 (100)."},                             \
    {                                                                                                        \
        .name = "after", .value = "WHERE", .help = "Goes on where the last page said that there is more."    \
    }
