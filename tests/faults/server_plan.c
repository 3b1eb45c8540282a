// SPDX-License-Identifier: Apache-2.0
// Makes a server obey a plan of io_shim.h: linked with src/main.c into faulty_server, it runs before main in
// each process. The controller knows its data directory by its flag, a helper by the descriptors it was
// given.
#include "io_shim.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FIRST_FD = 3, FDS = 8 };

// What runs in the sandbox, writes nothing that lasts, or must live.
static bool is_exempt(const char *role)
{
    static const char *const ROLES[] = {"@gateway",  "@compile", "@replica", "@supervisor",
                                        "@upgraded", "@check",   "@log"};
    for (size_t i = 0; i < sizeof ROLES / sizeof ROLES[0]; i++)
        if (strcmp(role, ROLES[i]) == 0)
            return true;
    return role[0] != '@';
}

static bool dir_of_flags(int argc, char *const *argv, char ret[PATH_MAX])
{
    static const char FLAG[] = "--data-dir=";
    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], FLAG, sizeof FLAG - 1) != 0)
            continue;
        snprintf(ret, PATH_MAX, "%s", argv[i] + sizeof FLAG - 1);
        return true;
    }
    return false;
}

static bool dir_of_descriptors(char ret[PATH_MAX])
{
    for (int fd = FIRST_FD; fd < FIRST_FD + FDS; fd++) {
        char link[40];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, ret, PATH_MAX - 1);
        ret[n > 0 ? n : 0] = '\0';
        char *blobs = strstr(ret, "/blobs");
        if (blobs) {
            *blobs = '\0';
            return true;
        }
    }
    return false;
}

static void *map_plan(const char *dir, const char *suffix)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s.faults%s", dir, suffix);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    void *p = mmap(NULL, sizeof(struct io_plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

__attribute__((constructor)) static void obey(int argc, char **argv)
{
    char dir[PATH_MAX], log[PATH_MAX + 16];
    if (argc < 2 || is_exempt(argv[1]) || (!dir_of_flags(argc, argv, dir) && !dir_of_descriptors(dir)))
        return;
    bool is_log = strcmp(argv[1], "@monitor") == 0;
    struct io_plan *plan = map_plan(dir, is_log ? "-log" : "");
    if (!plan)
        return;
    snprintf(log, sizeof log, "%s.records", dir);
    io_shim_attach(plan, dir, open(log, O_WRONLY | O_APPEND | O_CLOEXEC));
}
