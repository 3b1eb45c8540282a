// SPDX-License-Identifier: Apache-2.0
// Numbers from small files of the kernel. A file that is not there says nothing: a group without a limit, the
// root group, a container that sees its own group as the root.
#include "os/memory.h"

#include "base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 16 << 10, KIB = 1024 };
static const uint64_t UNLIMITED = UINT64_C(1) << 60; // version 1 has no word for it but a number near 2^63

struct version {
    const char *mount, *limit, *used, *cached;
};

static const struct version V2 = {"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};
static const struct version HYBRID = {"sys/fs/cgroup/unified", "memory.max", "memory.current",
                                      "inactive_file"};
static const struct version V1 = {"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                  "total_inactive_file"};

// The text of a file, "" without one.
static struct str read_text(const char *path, char text[TEXT_MAX])
{
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;
    while (fd >= 0 && n < TEXT_MAX && (got = read(fd, text + n, TEXT_MAX - n)) > 0)
        n += (size_t)got;
    if (fd >= 0)
        close(fd);
    return (struct str){text, n};
}

static bool number(struct str text, uint64_t *ret)
{
    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == ' '))
        text.n--;
    while (text.n && text.p[0] == ' ')
        text = (struct str){text.p + 1, text.n - 1};
    return str_to_u64(text, UINT64_MAX, ret);
}

static bool read_number(const char *path, uint64_t *ret)
{
    char text[TEXT_MAX];
    return number(read_text(path, text), ret);
}

// The number behind a word at the beginning of a line.
static bool find_number(struct str text, const char *word, uint64_t *ret)
{
    while (text.n) {
        struct str line = str_split(&text, '\n');
        struct str name = str_split(&line, ' ');
        if (!str_eq(name, str_of(word)))
            continue;
        while (line.n && line.p[0] == ' ')
            line = (struct str){line.p + 1, line.n - 1};
        return number(str_split(&line, ' '), ret);
    }
    return false;
}

void memory_room_cap(struct memory_room *r, uint64_t budget_bytes, uint64_t used_bytes, const char *what)
{
    uint64_t available = budget_bytes > used_bytes ? budget_bytes - used_bytes : 0;
    if (available >= r->available_bytes)
        return;
    *r = (struct memory_room){
        .budget_bytes = budget_bytes, .used_bytes = used_bytes, .available_bytes = available};
    snprintf(r->what, sizeof r->what, "%s", what);
}

static void look_at_group(const char *root, const struct version *v, const char *group, struct memory_room *r)
{
    char path[1024], text[TEXT_MAX], what[sizeof r->what];
    uint64_t limit, used, cached = 0;
    snprintf(path, sizeof path, "%s/%s%s/%s", root, v->mount, group, v->limit);
    if (!read_number(path, &limit) || limit >= UNLIMITED)
        return;
    snprintf(path, sizeof path, "%s/%s%s/%s", root, v->mount, group, v->used);
    if (!read_number(path, &used))
        return;
    snprintf(path, sizeof path, "%s/%s%s/memory.stat", root, v->mount, group);
    (void)find_number(read_text(path, text), v->cached, &cached);
    snprintf(what, sizeof what, "control group %.120s", group[0] ? group : "/");
    memory_room_cap(r, limit, used > cached ? used - cached : 0, what);
}

// The group and all above it: each may be the narrowest.
static void look_at_groups(const char *root, const struct version *v, struct str group, struct memory_room *r)
{
    char path[512];
    if (group.n >= sizeof path || memmem(group.p, group.n, "..", 2))
        group.n = 0; // of a namespace that we do not see
    snprintf(path, sizeof path, STR_FMT, STR_ARG(group));
    for (char *end = path + strlen(path); end > path;) {
        if (end[-1] == '/') {
            *--end = '\0';
            continue;
        }
        look_at_group(root, v, path, r);
        while (end > path && end[-1] != '/')
            *--end = '\0';
    }
    look_at_group(root, v, "", r);
}

static bool has_word(struct str list, const char *word)
{
    while (list.n)
        if (str_eq(str_split(&list, ','), str_of(word)))
            return true;
    return false;
}

static void look_at_own_groups(const char *root, struct memory_room *r)
{
    char path[1024], text[TEXT_MAX];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    for (struct str rest = read_text(path, text); rest.n;) {
        struct str group = str_split(&rest, '\n'); // number:controllers:group
        struct str id = str_split(&group, ':'), controllers = str_split(&group, ':');
        if (str_eq(id, STR("0")) && controllers.n == 0) {
            look_at_groups(root, &V2, group, r);
            look_at_groups(root, &HYBRID, group, r);
        } else if (has_word(controllers, "memory")) {
            look_at_groups(root, &V1, group, r);
        }
    }
}

static void look_at_machine(const char *root, struct memory_room *r)
{
    char path[1024], text[TEXT_MAX];
    uint64_t total, available;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    struct str info = read_text(path, text);
    if (find_number(info, "MemTotal:", &total) && find_number(info, "MemAvailable:", &available))
        memory_room_cap(r, total * KIB, total > available ? (total - available) * KIB : 0, "machine");
}

int memory_room(const char *root, struct memory_room *ret, struct err *e)
{
    *ret = (struct memory_room){.available_bytes = UINT64_MAX};
    look_at_machine(root, ret);
    look_at_own_groups(root, ret);
    return ret->what[0] ? 0 : err_set(e, ERR_IO, "the system does not tell how much memory there is");
}
