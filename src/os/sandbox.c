// SPDX-License-Identifier: Apache-2.0
// Enters the sandbox: Landlock, which needs one more descriptor; limits; capabilities; and last the filter,
// which would refuse the steps before it.
#include "os/sandbox_parts.h"

#include "base/limits.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int limit(int resource, uint64_t value, struct err *e)
{
    struct rlimit is;
    // An older and lower hard limit stays: only root could raise it.
    if (getrlimit(resource, &is) == 0 && is.rlim_max < value)
        value = is.rlim_max;
    return setrlimit(resource, &(struct rlimit){value, value}) < 0 ? err_errno(e, errno, "limit the process")
                                                                   : 0;
}

// Address space costs page tables even where nothing is written: a bound well above what is needed, for the
// threads' arenas and the libraries too.
static uint64_t address_space(const struct sandbox *s)
{
    uint64_t mb = LIMIT_SANDBOX_ADDRESS_MB + (uint64_t)s->n_threads * LIMIT_SANDBOX_THREAD_ADDRESS_MB;
    uint64_t total;
    if (__builtin_mul_overflow(s->memory_bytes, 2, &total) ||
        __builtin_add_overflow(total, s->mapped_bytes, &total) ||
        __builtin_add_overflow(total, mb << 20, &total))
        return RLIM_INFINITY;
    return total;
}

static int limit_all(const struct sandbox *s, struct err *e)
{
    // The run-time of the sanitizers reserves terabytes of address space.
    bool has_memory = s->memory_bytes && !SANDBOX_SANITIZED;
    const struct {
        bool has;
        int resource;
        uint64_t value;
    } limits[] = {
        {true, RLIMIT_CORE, 0},
        {true, RLIMIT_MEMLOCK, 0},
        {true, RLIMIT_MSGQUEUE, 0},
        {true, RLIMIT_RTPRIO, 0},
        {has_memory, RLIMIT_DATA, s->memory_bytes},
        {has_memory, RLIMIT_AS, address_space(s)},
        {s->file_bytes, RLIMIT_FSIZE, s->file_bytes},
        {s->n_files, RLIMIT_NOFILE, s->n_files},
        {s->cpu_s, RLIMIT_CPU, s->cpu_s},
        {s->n_user_tasks, RLIMIT_NPROC, s->n_user_tasks},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0] && !rc; i++)
        if (limits[i].has)
            rc = limit(limits[i].resource, limits[i].value, e);
    return rc;
}

static int drop_capabilities(struct err *e)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &head, none) < 0 ? err_errno(e, errno, "drop capabilities") : 0;
}

// Landlock confines one thread and those it makes, so an older one would stay outside.
static int check_alone(struct err *e)
{
    struct stat st;
    // The links of this directory are its threads and two more; without /proc nobody can tell.
    if (SANDBOX_SANITIZED || stat("/proc/self/task", &st) < 0 || st.st_nlink <= 3)
        return 0;
    return err_set(e, ERR_INTERNAL, "a process of %zu threads cannot enter the sandbox",
                   (size_t)st.st_nlink - 2);
}

static unsigned what_filter_has(const struct sandbox *s, int landlock_abi)
{
    bool has_tasks = s->may_fork || s->n_threads > 1;
    return (s->n_threads > 1 ? NEED_THREADS : 0) | (s->may_fork ? NEED_FORK : 0) |
           (s->siblings ? NEED_SIBLINGS : 0) | (s->may_message ? NEED_MESSAGES : 0) |
           (has_tasks ? NEED_TASKS_END : 0) |
           (s->may_fork && sandbox_landlock_scopes_signals(landlock_abi) ? NEED_ANY_PID : 0);
}

#if SANDBOX_SANITIZED
// LeakSanitizer asks before it looks for leaks, for which it would trace the process from a copy of it.
static bool is_inside;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return is_inside;
}
#endif

int sandbox_enter(const struct sandbox *s, struct sandbox_report *ret, struct err *e)
{
    int rc = check_alone(e);
    if (rc)
        return rc;
    // Before all that may fail half-way: what follows shall not be undone by a tracer or a program with more
    // rights.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        (s->parent_death_signal && prctl(PR_SET_PDEATHSIG, s->parent_death_signal, 0, 0, 0) < 0))
        return err_errno(e, errno, "harden the process");
    const char *why = "";
    rc = sandbox_landlock(&ret->landlock_abi, &why, e);
    if (!rc)
        rc = limit_all(s, e);
    if (!rc)
        rc = drop_capabilities(e);
    if (!rc)
        rc = sandbox_seccomp(what_filter_has(s, ret->landlock_abi), e);
    if (rc)
        return rc;
#if SANDBOX_SANITIZED
    is_inside = true;
#endif
    if (ret->landlock_abi)
        snprintf(ret->text, sizeof ret->text, "landlock abi %d, seccomp", ret->landlock_abi);
    else
        snprintf(ret->text, sizeof ret->text, "seccomp only: %s", why);
    return 0;
}

int sandbox_end_tasks(struct err *e)
{
    return sandbox_seccomp_end_tasks(e);
}
