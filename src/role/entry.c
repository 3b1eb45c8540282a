// SPDX-License-Identifier: Apache-2.0
// The argument list of a child and its secrets, both ways. Older programs gave secrets as flags: read, too.
#include "role/entry.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "os/proc.h"
#include "settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIXED_WORDS = 5, FLAG_MAX = 2 * SETTINGS_STRING_MAX, EXIT_USAGE = 2 };

// argv of a loader or replica, before its flags.
enum replica_word {
    WORD_PROGRAM,
    WORD_ROLE,
    WORD_KIND,
    WORD_DEPLOYMENT,
    WORD_REPLICA,
    WORD_MODEL,
    WORD_VERSION,
    WORD_ENGINE,
    WORD_DIGEST,
    WORD_THREADS,
    WORD_OPTIMIZATION,
    WORD_PROVIDER,
    WORD_MEMORY_BYTES,
    WORD_BATCH_BUDGET_US,
    REPLICA_WORDS,
};

static const char GATEWAY[] = "@gateway", CONTROLLER[] = "@controller", SUPERVISOR[] = "@supervisor",
                  UPGRADED[] = "@upgraded", MONITOR[] = "@monitor", CHECK[] = "@check",
                  REPLICA[] = "@replica";
static const char KIND_LOADER[] = "loader", KIND_REPLICA[] = "replica";

static char *flag_dup(const struct settings *s, size_t i)
{
    struct buf b;
    buf_init(&b, FLAG_MAX);
    settings_put_flag(s, i, &b);
    char *z = b.failed ? NULL : str_dup(buf_str(&b));
    buf_done(&b);
    return z;
}

// The words, then every setting that everybody may see.
static char **argv_new(const char *const *words, size_t n_words, const struct settings *s)
{
    size_t n = 0;
    char **argv = calloc(n_words + settings_count() + 1, sizeof *argv);
    bool whole = argv != NULL;
    for (size_t i = 0; whole && i < n_words; i++, n++)
        whole = (argv[n] = strdup(words[i])) != NULL;
    for (size_t i = 0; whole && i < settings_count(); i++)
        if (!settings_is_secret(i))
            whole = (argv[n++] = flag_dup(s, i)) != NULL;
    if (whole)
        return argv;
    entry_argv_free(argv);
    return NULL;
}

// ---- secrets

enum { SECRET_NAME_BYTES = 80 };

// "SLIPWAY_CHILD_ROLLOUT_WEBHOOK", which is no name that the user's settings have.
static void secret_name(size_t i, char ret[SECRET_NAME_BYTES])
{
    snprintf(ret, SECRET_NAME_BYTES, "SLIPWAY_CHILD_%s", settings_at(i)->key);
    for (char *p = ret; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
}

static char *secret_dup(const struct settings *s, size_t i)
{
    char name[SECRET_NAME_BYTES];
    struct buf b;
    secret_name(i, name);
    buf_init(&b, SECRET_NAME_BYTES + FLAG_MAX);
    buf_puts(&b, name);
    buf_putc(&b, '=');
    settings_put(s, i, &b);
    char *z = b.failed ? NULL : str_dup(buf_str(&b));
    buf_done(&b);
    return z;
}

char **entry_environ_new(char *const *base, const struct settings *s)
{
    size_t n = 0, n_base = 0;
    while (base[n_base])
        n_base++;
    char **list = calloc(n_base + settings_count() + 1, sizeof *list);
    bool whole = list != NULL;
    for (size_t i = 0; whole && i < settings_count(); i++)
        if (settings_is_secret(i))
            whole = (list[n++] = secret_dup(s, i)) != NULL;
    for (size_t i = 0; whole && i < n_base; i++)
        whole = (list[n++] = strdup(base[i])) != NULL;
    if (whole)
        return list;
    entry_argv_free(list);
    return NULL;
}

// Out of the environment, and of its memory, which /proc shows.
static int take_secrets(struct settings *s, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < settings_count(); i++) {
        char name[SECRET_NAME_BYTES];
        secret_name(i, name);
        char *value = settings_is_secret(i) ? getenv(name) : NULL;
        if (!value)
            continue;
        if (rc == 0)
            rc = settings_set(s, str_of(settings_at(i)->key), str_of(value), e);
        explicit_bzero(value, strlen(value));
        unsetenv(name);
    }
    return rc;
}

char **entry_argv_new(const char *role, unsigned index, unsigned n_gateways, const char *control_path,
                      const struct settings *s)
{
    char number[2][12];
    snprintf(number[0], sizeof number[0], "%u", index);
    snprintf(number[1], sizeof number[1], "%u", n_gateways);
    const char *words[FIXED_WORDS] = {"slipway", role, number[0], number[1], control_path};
    return argv_new(words, FIXED_WORDS, s);
}

char **entry_replica_argv_new(const struct replica_args *a)
{
    enum { DIGITS = 24 };
    const uint64_t values[] = {a->deployment, a->replica,      a->version,
                               a->threads,    a->memory_bytes, a->batch_budget_us};
    char number[sizeof values / sizeof values[0]][DIGITS];
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        snprintf(number[i], DIGITS, "%llu", (unsigned long long)values[i]);
    const char *words[REPLICA_WORDS] = {
        [WORD_PROGRAM] = "slipway",
        [WORD_ROLE] = REPLICA,
        [WORD_KIND] = a->is_loader ? KIND_LOADER : KIND_REPLICA,
        [WORD_DEPLOYMENT] = number[0],
        [WORD_REPLICA] = number[1],
        [WORD_MODEL] = a->model,
        [WORD_VERSION] = number[2],
        [WORD_ENGINE] = a->engine,
        [WORD_DIGEST] = a->digest,
        [WORD_THREADS] = number[3],
        [WORD_OPTIMIZATION] = a->optimization,
        [WORD_PROVIDER] = a->provider,
        [WORD_MEMORY_BYTES] = number[4],
        [WORD_BATCH_BUDGET_US] = number[5],
    };
    return argv_new(words, REPLICA_WORDS, a->settings);
}

void entry_argv_free(char **argv)
{
    for (char **a = argv; a && *a; a++)
        free(*a);
    free(argv);
}

bool entry_is_role(int argc, char *const *argv)
{
    return argc > 1 &&
           (strcmp(argv[1], GATEWAY) == 0 || strcmp(argv[1], CONTROLLER) == 0 ||
            strcmp(argv[1], MONITOR) == 0 || strcmp(argv[1], SUPERVISOR) == 0 ||
            strcmp(argv[1], UPGRADED) == 0 || strcmp(argv[1], CHECK) == 0 || strcmp(argv[1], REPLICA) == 0);
}

void entry_monitor_path(const struct settings *s, char ret[ENTRY_PATH_BYTES])
{
    snprintf(ret, ENTRY_PATH_BYTES, "%s/run/monitor.sock", s->data_dir);
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

static int read_flags(struct settings *s, int argc, char *const *argv, int from, struct err *e)
{
    settings_init(s);
    for (int i = from; i < argc; i++) {
        int rc = read_flag(s, argv[i], e);
        if (rc)
            return rc;
    }
    return take_secrets(s, e);
}

static bool read_number(const char *word, uint64_t max, uint64_t *ret)
{
    return str_to_u64(str_of(word), max, ret);
}

static int replica_entry(const struct entry_mains *m, int argc, char *const *argv, struct settings *settings)
{
    struct err e;
    uint64_t deployment, replica, version, threads, memory_bytes, budget_us;
    if (!m->replica || argc < REPLICA_WORDS || !read_number(argv[WORD_DEPLOYMENT], UINT64_MAX, &deployment) ||
        !read_number(argv[WORD_REPLICA], UINT32_MAX, &replica) ||
        !read_number(argv[WORD_VERSION], UINT32_MAX, &version) ||
        !read_number(argv[WORD_THREADS], UINT32_MAX, &threads) ||
        !read_number(argv[WORD_MEMORY_BYTES], UINT64_MAX, &memory_bytes) ||
        !read_number(argv[WORD_BATCH_BUDGET_US], UINT32_MAX, &budget_us))
        return refuse("wrong arguments");
    if (read_flags(settings, argc, argv, REPLICA_WORDS, &e))
        return refuse(e.msg);
    // The title overwrites argv, so what is in it is copied first; it lives as long as the process.
    const char *texts[] = {argv[WORD_MODEL], argv[WORD_ENGINE], argv[WORD_DIGEST], argv[WORD_OPTIMIZATION],
                           argv[WORD_PROVIDER]};
    static char copies[sizeof texts / sizeof texts[0]][LIMIT_MODEL_NAME_BYTES + 1];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        snprintf(copies[i], sizeof copies[i], "%s", texts[i]);
    return m->replica(&(struct replica_args){
        .is_loader = strcmp(argv[WORD_KIND], KIND_LOADER) == 0,
        .deployment = deployment,
        .replica = (uint32_t)replica,
        .model = copies[0],
        .version = (uint32_t)version,
        .engine = copies[1],
        .digest = copies[2],
        .threads = (uint32_t)threads,
        .optimization = copies[3],
        .provider = copies[4],
        .memory_bytes = memory_bytes,
        .batch_budget_us = (uint32_t)budget_us,
        .supervision_fd = ENTRY_REPLICA_FD_SUPERVISION,
        .model_fd = ENTRY_REPLICA_FD_MODEL,
        .interface_fd = ENTRY_REPLICA_FD_INTERFACE,
        .title = argv[0],
        .title_bytes = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - argv[0]),
        .settings = settings,
    });
}

int entry_main(const struct entry_mains *m, int argc, char *const *argv)
{
    static struct settings settings; // some kilobytes; lives as long as the process
    struct err e;
    uint64_t index, n_gateways;
    if (strcmp(argv[1], REPLICA) == 0)
        return replica_entry(m, argc, argv, &settings);
    if (argc < FIXED_WORDS || !read_number(argv[2], UINT32_MAX, &index) ||
        !read_number(argv[3], UINT32_MAX, &n_gateways))
        return refuse("wrong arguments");
    if (read_flags(&settings, argc, argv, FIXED_WORDS, &e))
        return refuse(e.msg);
    static char monitor_path[ENTRY_PATH_BYTES];
    entry_monitor_path(&settings, monitor_path);
    if (strcmp(argv[1], GATEWAY) == 0)
        return m->gateway(&(struct gateway_args){
            .index = (unsigned)index,
            .n_gateways = (unsigned)n_gateways,
            .listen_fd = ENTRY_FD_LISTEN,
            .board_fd = ENTRY_FD_BOARD,
            .metrics_fd = ENTRY_FD_METRICS,
            .ready_fd = ENTRY_FD_READY,
            .supervision_fd = ENTRY_FD_SUPERVISION,
            .log_fd = ENTRY_FD_LOG,
            .control_path = argv[4],
            .monitor_path = monitor_path,
            .settings = &settings,
        });
    if (strcmp(argv[1], MONITOR) == 0)
        return m->monitor(&(struct monitor_args){
            .n_gateways = (unsigned)n_gateways,
            .listen_fd = ENTRY_FD_LISTEN,
            .board_fd = ENTRY_FD_BOARD,
            .metrics_fd = ENTRY_FD_METRICS,
            .ready_fd = ENTRY_FD_READY,
            .supervision_fd = ENTRY_FD_SUPERVISION,
            .log_fd = ENTRY_FD_LOG,
            .control_path = argv[4],
            .settings = &settings,
        });
    if (strcmp(argv[1], SUPERVISOR) == 0 || strcmp(argv[1], CHECK) == 0)
        return m->supervisor(&settings, strcmp(argv[1], CHECK) == 0 ? ENTRY_CHECKS : ENTRY_ADOPTS,
                             PROC_FIRST_FD);
    if (strcmp(argv[1], UPGRADED) == 0)
        return read_number(argv[4], INT32_MAX, &index) ? m->supervisor(&settings, ENTRY_BECOMES, (int)index)
                                                       : refuse("wrong arguments");
    return m->controller(&(struct controller_args){
        .n_gateways = (unsigned)n_gateways,
        .control_listen_fd = ENTRY_FD_LISTEN,
        .board_fd = ENTRY_FD_BOARD,
        .metrics_fd = ENTRY_FD_METRICS,
        .ready_fd = ENTRY_FD_READY,
        .supervision_fd = ENTRY_FD_SUPERVISION,
        .settings = &settings,
    });
}

// The kernel shows the arguments' memory up to the first NUL when the last byte of it is none.
void role_title_set(char *title, size_t title_bytes, const char *text)
{
    size_t n = strlen(text);
    if (title_bytes < 2)
        return;
    if (n > title_bytes - 2)
        n = title_bytes - 2;
    memset(title, 0, title_bytes);
    memcpy(title, text, n);
    title[title_bytes - 1] = '.';
}

void role_ready(int ready_fd)
{
    if (ready_fd < 0)
        return;
    (void)!write(ready_fd, "R", 1); // fails only when the supervisor is gone, and then so are we
    close(ready_fd);
}
