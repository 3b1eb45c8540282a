// SPDX-License-Identifier: Apache-2.0
// Completion scripts name every verb, flag and setting; bash runs its own and completes.
#include "cli/cli.h"
#include "cli/completion.h"
#include "settings/settings.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const SHELLS[] = {"bash", "zsh", "fish"};

START_TEST(every_script_names_all_verbs_and_flags)
{
    for (size_t k = 0; k < 3; k++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        ck_assert(completion_put(SHELLS[k], &b));
        buf_putc(&b, '\0');
        ck_assert(!b.failed);
        for (size_t i = 0; i < cli_verbs_count(); i++) {
            const struct verb *v = cli_verbs_at(i);
            ck_assert_msg(strstr(b.p, v->name), "%s lacks %s", SHELLS[k], v->name);
            for (const struct flag *f = v->flags; f && f->name; f++)
                ck_assert_msg(strstr(b.p, f->name), "%s lacks --%s", SHELLS[k], f->name);
        }
        for (size_t i = 0; i < settings_count(); i++) {
            char name[64];
            snprintf(name, sizeof name, "%s", settings_at(i)->key);
            for (char *c = name; *c; c++)
                *c = *c == '_' ? '-' : *c;
            ck_assert_msg(strstr(b.p, name), "%s lacks --%s", SHELLS[k], name);
        }
        buf_done(&b);
    }
    struct buf b;
    buf_init(&b, 1024);
    ck_assert(!completion_put("tcsh", &b));
}
END_TEST

// Runs the script in bash with the words of a half-typed command; returns what it would offer.
static const char *complete(const char *typed)
{
    static char out[4096];
    struct buf b;
    int in[2], back[2];
    buf_init(&b, 1 << 20);
    ck_assert(completion_put("bash", &b));
    buf_printf(&b,
               "COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _slipway; echo \"${COMPREPLY[@]}\"\n",
               typed);
    ck_assert_int_eq(pipe(in), 0);
    ck_assert_int_eq(pipe(back), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(back[1], 1);
        close(in[1]);
        execlp("bash", "bash", "--norc", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(back[1]);
    for (size_t at = 0; at < b.n;) {
        ssize_t w = write(in[1], b.p + at, b.n - at);
        ck_assert_int_gt(w, 0);
        at += (size_t)w;
    }
    close(in[1]);
    size_t n = 0;
    for (ssize_t r; n < sizeof out - 1 && (r = read(back[0], out + n, sizeof out - 1 - n)) > 0;)
        n += (size_t)r;
    out[n] = '\0';
    close(back[0]);
    waitpid(pid, NULL, 0);
    buf_done(&b);
    return out;
}

START_TEST(bash_completes_verbs_flags_and_values)
{
    ck_assert_str_eq(complete("slipway ver"), "version\n");
    ck_assert_str_eq(complete("slipway serve --idle"), "--idle-timeout\n");
    ck_assert_str_eq(complete("slipway serve --log-level w"), "warn\n");
    ck_assert_str_eq(complete("slipway completion z"), "zsh\n");
    ck_assert_str_eq(complete("slipway help comp"), "completion\n");
}
END_TEST

UNIT_MAIN("cli/completion", every_script_names_all_verbs_and_flags, bash_completes_verbs_flags_and_values)
