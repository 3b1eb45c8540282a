// SPDX-License-Identifier: Apache-2.0
// Words and flags of one verb.
#include "cli/args.h"

#include "base/near.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

static const struct flag HELP = {.name = "help", .letter = 'h'};

static const struct flag *find_flag(const struct verb *v, struct str name)
{
    if (str_eq(name, STR("help")))
        return &HELP;
    for (const struct flag *f = v->flags; f && f->name; f++)
        if (str_eq(name, str_of(f->name)))
            return f;
    return NULL;
}

static const struct flag *find_letter(const struct verb *v, char letter)
{
    for (const struct flag *f = v->flags; f && f->name; f++)
        if (f->letter == letter)
            return f;
    return letter == 'h' ? &HELP : NULL;
}

static int unknown_flag(const struct verb *v, const char *word, struct str name, struct err *e)
{
    struct str names[ARGS_FLAGS_MAX] = {STR("help")};
    size_t n = 1;
    for (const struct flag *f = v->flags; f && f->name && n < ARGS_FLAGS_MAX; f++)
        names[n++] = str_of(f->name);
    err_set(e, ERR_UNKNOWN_FIELD, "'slipway %s' has no flag %.80s", v->name, word);
    for (const struct meant *m = v->meant; m && m->name; m++)
        if (str_eq(name, str_of(m->name))) {
            err_hint(e, "%s", m->hint);
            return ERR_UNKNOWN_FIELD;
        }
    int near = near_find(name, names, n);
    if (near >= 0)
        err_hint(e, "Did you mean --" STR_FMT "?", STR_ARG(names[near]));
    else
        err_hint(e, "All flags: slipway %s --help.", v->name);
    return ERR_UNKNOWN_FIELD;
}

static bool is_among(const char *choices, struct str word)
{
    struct str rest = str_of(choices);
    while (rest.n)
        if (str_eq(str_split(&rest, '|'), word))
            return true;
    return false;
}

static int check_choice(const struct flag *f, const char *value, struct err *e)
{
    if (is_among(f->choices, str_of(value)))
        return 0;
    return err_set(e, ERR_INVALID, "--%s: expected one of %s, got '%.80s'", f->name, f->choices, value);
}

static int add_flag(struct args *a, const struct flag *f, const char *value, struct err *e)
{
    if (!f->repeats && args_has(a, f->name))
        return err_set(e, ERR_DUPLICATE_KEY, "--%s is given twice", f->name);
    if (a->n_flags == ARGS_FLAGS_MAX)
        return err_set(e, ERR_INVALID, "more than %d flags", ARGS_FLAGS_MAX);
    if (f->choices) {
        int rc = check_choice(f, value, e);
        if (rc)
            return rc;
    }
    a->flags[a->n_flags] = f;
    a->values[a->n_flags++] = value;
    return 0;
}

// The flag at argv[*i], with the next word as its value where it needs one; moves *i past both.
static int take_flag(const struct verb *v, int argc, char *const *argv, int *i, struct args *ret,
                     struct err *e)
{
    const char *word = argv[*i], *value = NULL;
    const struct flag *f;
    struct str rest = str_of(word + 1), name = rest;
    *i += 1;
    if (word[1] == '-') {
        rest = str_of(word + 2);
        name = str_split(&rest, '=');
        value = word[2 + name.n] == '=' ? rest.p : NULL;
        f = find_flag(v, name);
    } else {
        f = word[2] ? NULL : find_letter(v, word[1]);
    }
    if (!f)
        return unknown_flag(v, word, name, e);
    if (!f->value && value)
        return err_set(e, ERR_INVALID, "--%s takes no value", f->name);
    if (f->value && !value && *i < argc)
        value = argv[(*i)++];
    if (f->value && !value)
        return err_set(e, ERR_INVALID, "--%s needs a value: %s", f->name, f->value);
    return add_flag(ret, f, value ? value : "", e);
}

// A flag that this action would leave unread is a mistake, not a wish.
static int check_action(const struct verb *v, const struct args *a, struct err *e)
{
    struct str all = str_of(v->first_words), action = a->n_words ? str_of(a->words[0]) : str_split(&all, '|');
    if (!is_among(v->first_words, action)) {
        struct str names[ARGS_WORDS_MAX * 2];
        size_t n = 0;
        while (all.n && n < sizeof names / sizeof names[0])
            names[n++] = str_split(&all, '|');
        int near = near_find(action, names, n);
        err_set(e, ERR_UNKNOWN_FIELD, "'slipway %s' has no '" STR_FMT "'", v->name, STR_ARG(action));
        if (near >= 0)
            err_hint(e, "Did you mean " STR_FMT "?", STR_ARG(names[near]));
        else
            err_hint(e, "Usage: %s.", v->usage);
        return ERR_UNKNOWN_FIELD;
    }
    for (int i = 0; i < a->n_flags; i++) {
        const struct flag *f = a->flags[i];
        if (!f->only || is_among(f->only, action))
            continue;
        err_set(e, ERR_UNKNOWN_FIELD, "'slipway %s " STR_FMT "' has no flag --%s", v->name, STR_ARG(action),
                f->name);
        err_hint(e, "It belongs to: slipway %s %s.", v->name, f->only);
        return ERR_UNKNOWN_FIELD;
    }
    return 0;
}

int args_parse(const struct verb *v, int argc, char *const *argv, struct args *ret, struct err *e)
{
    bool flags = true;
    *ret = (struct args){0};
    for (int i = 0; i < argc;) {
        const char *word = argv[i];
        int rc = 0;
        if (flags && strcmp(word, "--") == 0) {
            flags = false;
            i++;
        } else if (flags && word[0] == '-' && word[1]) {
            rc = take_flag(v, argc, argv, &i, ret, e);
        } else if (ret->n_words < v->max_words && ret->n_words < ARGS_WORDS_MAX) {
            ret->words[ret->n_words++] = argv[i++];
        } else {
            rc = err_set(e, ERR_WRONG_COUNT, "'%.80s' is one word too many", word);
            err_hint(e, "Usage: %s.", v->usage);
        }
        if (rc)
            return rc;
    }
    if (ret->n_words < v->min_words && !args_has(ret, "help")) {
        err_set(e, ERR_WRONG_COUNT, "'slipway %s' needs %d word%s, got %d", v->name, v->min_words,
                v->min_words == 1 ? "" : "s", ret->n_words);
        err_hint(e, "Usage: %s.", v->usage);
        return ERR_WRONG_COUNT;
    }
    return args_has(ret, "help") || !v->first_words ? 0 : check_action(v, ret, e);
}

bool args_has(const struct args *a, const char *name)
{
    return args_value(a, name) != NULL;
}

const char *args_value(const struct args *a, const char *name)
{
    int i = 0;
    return args_next(a, name, &i);
}

const char *args_next(const struct args *a, const char *name, int *i)
{
    for (; *i < a->n_flags; *i += 1)
        if (strcmp(a->flags[*i]->name, name) == 0)
            return a->values[(*i)++];
    return NULL;
}

int args_number(const struct args *a, const char *name, uint64_t def, uint64_t min, uint64_t max,
                uint64_t *ret, struct err *e)
{
    const char *value = args_value(a, name);
    *ret = def;
    if (!value || (str_to_u64(str_of(value), max, ret) && *ret >= min))
        return 0;
    return err_set(e, ERR_OUT_OF_RANGE,
                   "--%s: expected a whole number from %" PRIu64 " to %" PRIu64 ", got '%.40s'", name, min,
                   max, value);
}
