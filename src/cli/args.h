// SPDX-License-Identifier: Apache-2.0
// Words and flags of one verb, checked against the verb's table: unknown, missing and repeated ones are
// errors that name what was probably meant.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct verb;

struct flag {
    const char *name;    // without dashes; NULL ends a table
    const char *value;   // what help calls its value, "FILE"; NULL: a switch
    const char *help;    // one sentence
    const char *choices; // "csv|jsonl": the values allowed; NULL: any
    char letter;         // -o; 0: none
    bool repeats;        // may be given more than once
    const char *only;    // "start|plan": the first words with which it means something; NULL: all
};

// A flag that there is not, which people try, and what they mean.
struct meant {
    const char *name; // NULL ends a table
    const char *hint;
};

enum { ARGS_WORDS_MAX = 8, ARGS_FLAGS_MAX = 64 };

// Borrows from argv and from the verb's table.
struct args {
    const char *words[ARGS_WORDS_MAX];
    const struct flag *flags[ARGS_FLAGS_MAX];
    const char *values[ARGS_FLAGS_MAX]; // "" of a switch
    int n_words, n_flags;
};

// argv: what stands after the verb. --name value, --name=value, -o value; -- ends flags; - is a word.
// ERR_UNKNOWN_FIELD for an unknown flag (hint: the nearest one) or one of another first word, ERR_WRONG_COUNT
// for too few or many words, ERR_INVALID, ERR_DUPLICATE_KEY.
int args_parse(const struct verb *v, int argc, char *const *argv, struct args *ret,
               struct err *e) ERR_CHECKED;

bool args_has(const struct args *a, const char *name);
const char *args_value(const struct args *a, const char *name); // NULL when not given
// The next value of a flag that repeats, from *i on, which starts at 0; NULL after the last.
const char *args_next(const struct args *a, const char *name, int *i);
// A whole number, or def when the flag was not given. ERR_OUT_OF_RANGE naming the flag and the range.
int args_number(const struct args *a, const char *name, uint64_t def, uint64_t min, uint64_t max,
                uint64_t *ret, struct err *e) ERR_CHECKED;
