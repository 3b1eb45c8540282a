// SPDX-License-Identifier: Apache-2.0
// The argument list of a child, both ways.
#include "role/entry.h"

#include "base/buf.h"
#include "base/str.h"
#include "settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIXED_WORDS = 5, FLAG_MAX = 2 * SETTINGS_STRING_MAX, EXIT_USAGE = 2 };

static const char GATEWAY[] = "@gateway", CONTROLLER[] = "@controller";

static char *flag_dup(const struct settings *s, size_t i)
{
    struct buf b;
    buf_init(&b, FLAG_MAX);
    settings_put_flag(s, i, &b);
    char *z = b.failed ? NULL : str_dup(buf_str(&b));
    buf_done(&b);
    return z;
}

char **entry_argv_new(const char *role, unsigned index, unsigned n_gateways, const char *control_path,
                      const struct settings *s)
{
    size_t n_flags = settings_count(), n = FIXED_WORDS + n_flags;
    char number[2][12];
    snprintf(number[0], sizeof number[0], "%u", index);
    snprintf(number[1], sizeof number[1], "%u", n_gateways);
    const char *fixed[FIXED_WORDS] = {"slipway", role, number[0], number[1], control_path};
    char **argv = calloc(n + 1, sizeof *argv);
    bool whole = argv != NULL;
    for (size_t i = 0; whole && i < n; i++) {
        argv[i] = i < FIXED_WORDS ? strdup(fixed[i]) : flag_dup(s, i - FIXED_WORDS);
        whole = argv[i] != NULL;
    }
    if (whole)
        return argv;
    entry_argv_free(argv);
    return NULL;
}

void entry_argv_free(char **argv)
{
    for (char **a = argv; a && *a; a++)
        free(*a);
    free(argv);
}

bool entry_is_role(int argc, char *const *argv)
{
    return argc > 1 && (strcmp(argv[1], GATEWAY) == 0 || strcmp(argv[1], CONTROLLER) == 0);
}

// Reads "--key=value" as settings_put_flag wrote it.
static int read_flag(struct settings *s, const char *flag, struct err *e)
{
    struct str rest = str_of(flag);
    if (!str_starts(rest, STR("--")))
        return err_set(e, ERR_INVALID, "'%s' is not a flag", flag);
    rest = (struct str){rest.p + 2, rest.n - 2};
    struct str key = str_split(&rest, '=');
    char name[64];
    if (key.n >= sizeof name)
        return err_set(e, ERR_INVALID, "'%s' is not a flag", flag);
    for (size_t i = 0; i < key.n; i++)
        name[i] = key.p[i] == '-' ? '_' : key.p[i];
    return settings_set(s, (struct str){name, key.n}, rest, e);
}

static int refuse(const char *why)
{
    dprintf(STDERR_FILENO, "slipway: this command is for the server's own use: %s\n", why);
    return EXIT_USAGE;
}

int entry_main(const struct entry_mains *m, int argc, char *const *argv)
{
    static struct settings settings; // some kilobytes; lives as long as the process
    struct err e;
    uint64_t index, n_gateways;
    if (argc < FIXED_WORDS || !str_to_u64(str_of(argv[2]), UINT32_MAX, &index) ||
        !str_to_u64(str_of(argv[3]), UINT32_MAX, &n_gateways))
        return refuse("wrong arguments");
    settings_init(&settings);
    for (int i = FIXED_WORDS; i < argc; i++)
        if (read_flag(&settings, argv[i], &e))
            return refuse(e.msg);
    if (strcmp(argv[1], GATEWAY) == 0)
        return m->gateway(&(struct gateway_args){
            .index = (unsigned)index,
            .n_gateways = (unsigned)n_gateways,
            .listen_fd = ENTRY_FD_LISTEN,
            .board_fd = ENTRY_FD_BOARD,
            .metrics_fd = ENTRY_FD_METRICS,
            .ready_fd = ENTRY_FD_READY,
            .control_path = argv[4],
            .settings = &settings,
        });
    return m->controller(&(struct controller_args){
        .n_gateways = (unsigned)n_gateways,
        .control_listen_fd = ENTRY_FD_LISTEN,
        .board_fd = ENTRY_FD_BOARD,
        .ready_fd = ENTRY_FD_READY,
        .settings = &settings,
    });
}

void role_ready(int ready_fd)
{
    if (ready_fd < 0)
        return;
    (void)!write(ready_fd, "R", 1); // fails only when the supervisor is gone, and then so are we
    close(ready_fd);
}
