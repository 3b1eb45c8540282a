// SPDX-License-Identifier: Apache-2.0
// Words and flags of a verb, and the messages for wrong ones.
#include "cli/args.h"
#include "cli/cli.h"

#include "unit.h"

#include <string.h>

static const struct flag FLAGS[] = {
    {.name = "out", .value = "FILE", .letter = 'o', .help = "h"},
    {.name = "tag", .value = "K=V", .repeats = true, .help = "h"},
    {.name = "format", .value = "FORMAT", .choices = "csv|jsonl", .help = "h"},
    {.name = "json", .help = "h"},
    {0},
};
static const struct verb VERB = {
    .name = "push", .usage = "slipway push MODEL FILE", .flags = FLAGS, .min_words = 2, .max_words = 2};

static const struct verb ACTIONS = {
    .name = "audit",
    .usage = "slipway audit [list|verify]",
    .flags = (const struct flag[]){{.name = "receipt", .value = "R", .only = "verify", .help = "h"},
                                   {.name = "json", .help = "h"},
                                   {0}},
    .max_words = 1,
    .first_words = "list|verify",
};

static struct args a;
static struct err e;
static char words[8][64];

static int parse_as(const struct verb *v, int n, const char *const *w)
{
    char *argv[8];
    for (int i = 0; i < n; i++)
        argv[i] = strncpy(words[i], w[i], sizeof words[i] - 1);
    memset(&e, 0, sizeof e);
    return args_parse(v, n, argv, &a, &e);
}
#define PARSE_AS(v, ...)                                                                                     \
    parse_as(v, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__})
#define PARSE(...) PARSE_AS(&VERB, __VA_ARGS__)

START_TEST(words_and_flags_mix)
{
    int i = 0;
    ck_assert_msg(PARSE("churn", "-o", "x", "--tag=a=1", "-", "--tag", "b=2", "--json") == 0, "%s", e.msg);
    ck_assert_int_eq(a.n_words, 2);
    ck_assert_str_eq(a.words[0], "churn");
    ck_assert_str_eq(a.words[1], "-");
    ck_assert_str_eq(args_value(&a, "out"), "x");
    ck_assert_str_eq(args_next(&a, "tag", &i), "a=1");
    ck_assert_str_eq(args_next(&a, "tag", &i), "b=2");
    ck_assert_ptr_null(args_next(&a, "tag", &i));
    ck_assert(args_has(&a, "json") && !args_has(&a, "format"));
    ck_assert_int_eq(PARSE("--", "--json", "-o"), 0);
    ck_assert_str_eq(a.words[0], "--json");
}
END_TEST

START_TEST(wrong_ones_are_named)
{
    ck_assert_int_eq(PARSE("m", "f", "--formt", "csv"), ERR_UNKNOWN_FIELD);
    ck_assert_str_eq(e.msg, "'slipway push' has no flag --formt");
    ck_assert_str_eq(e.hint, "Did you mean --format?");
    ck_assert_int_eq(PARSE("m", "f", "-x"), ERR_UNKNOWN_FIELD);
    ck_assert_int_eq(PARSE("m", "f", "-ox"), ERR_UNKNOWN_FIELD);
    ck_assert_int_eq(PARSE("m", "f", "--format", "xml"), ERR_INVALID);
    ck_assert_str_eq(e.msg, "--format: expected one of csv|jsonl, got 'xml'");
    ck_assert_int_eq(PARSE("m", "f", "--out"), ERR_INVALID);
    ck_assert_str_eq(e.msg, "--out needs a value: FILE");
    ck_assert_int_eq(PARSE("m", "f", "--json=1"), ERR_INVALID);
    ck_assert_int_eq(PARSE("m", "f", "--json", "--json"), ERR_DUPLICATE_KEY);
    ck_assert_int_eq(PARSE("m"), ERR_WRONG_COUNT);
    ck_assert_str_eq(e.msg, "'slipway push' needs 2 words, got 1");
    ck_assert_str_eq(e.hint, "Usage: slipway push MODEL FILE.");
    ck_assert_int_eq(PARSE("m", "f", "g"), ERR_WRONG_COUNT);
    ck_assert_int_eq(PARSE("--help"), 0);
}
END_TEST

START_TEST(an_action_is_known_and_has_its_own_flags)
{
    ck_assert_int_eq(PARSE_AS(&ACTIONS, "verify", "--receipt", "1:a"), 0);
    ck_assert_int_eq(PARSE_AS(&ACTIONS, "--json"), 0);
    ck_assert_int_eq(PARSE_AS(&ACTIONS, "--receipt", "1:a", "list"), ERR_UNKNOWN_FIELD);
    ck_assert_str_eq(e.msg, "'slipway audit list' has no flag --receipt");
    ck_assert_str_eq(e.hint, "It belongs to: slipway audit verify.");
    ck_assert_int_eq(PARSE_AS(&ACTIONS, "--receipt", "1:a"), ERR_UNKNOWN_FIELD); // list is meant
    ck_assert_int_eq(PARSE_AS(&ACTIONS, "verfy"), ERR_UNKNOWN_FIELD);
    ck_assert_str_eq(e.msg, "'slipway audit' has no 'verfy'");
    ck_assert_str_eq(e.hint, "Did you mean verify?");
    ck_assert_int_eq(PARSE_AS(&ACTIONS, "xyzzyx"), ERR_UNKNOWN_FIELD);
    ck_assert_str_eq(e.hint, "Usage: slipway audit [list|verify].");
    ck_assert_int_eq(PARSE_AS(&ACTIONS, "list", "--receipt", "1:a", "--help"), 0);
}
END_TEST

START_TEST(numbers_have_ranges)
{
    uint64_t v;
    ck_assert_int_eq(PARSE("m", "f", "--out", "12"), 0);
    ck_assert_int_eq(args_number(&a, "out", 5, 1, 100, &v, &e), 0);
    ck_assert_uint_eq(v, 12);
    ck_assert_int_eq(args_number(&a, "tag", 5, 1, 100, &v, &e), 0);
    ck_assert_uint_eq(v, 5);
    ck_assert_int_eq(args_number(&a, "out", 5, 1, 10, &v, &e), ERR_OUT_OF_RANGE);
    ck_assert_str_eq(e.msg, "--out: expected a whole number from 1 to 10, got '12'");
}
END_TEST

// Each verb's page shows its usage, every flag and an example that begins as one types it.
START_TEST(every_verb_has_a_complete_page)
{
    for (size_t i = 0; i < cli_verbs_count(); i++) {
        const struct verb *v = cli_verbs_at(i);
        struct buf b;
        buf_init(&b, 1 << 20);
        cli_help_verb(v, &b);
        buf_putc(&b, '\0');
        ck_assert_msg(strstr(b.p, v->usage) && strstr(b.p, "--help") && strstr(v->examples, "slipway "), "%s",
                      v->name);
        ck_assert_msg(v->summary[strlen(v->summary) - 1] == '.' && strstr(v->usage, v->name), "%s", v->name);
        for (const struct flag *f = v->flags; f && f->name; f++)
            ck_assert_msg(strstr(b.p, f->name) && f->help && f->help[strlen(f->help) - 1] == '.', "%s --%s",
                          v->name, f->name);
        for (const struct flag *f = v->flags; f && f->name; f++) {
            struct str rest = str_of(f->only ? f->only : "");
            while (rest.n) {
                struct str word = str_split(&rest, '|'), all = str_of(v->first_words);
                while (all.n && !str_eq(str_split(&all, '|'), word))
                    ck_assert_msg(all.n > 0, "%s --%s: '" STR_FMT "'", v->name, f->name, STR_ARG(word));
            }
        }
        buf_done(&b);
    }
}
END_TEST

UNIT_MAIN("cli/args", words_and_flags_mix, wrong_ones_are_named, an_action_is_known_and_has_its_own_flags,
          numbers_have_ranges, every_verb_has_a_complete_page)
