// SPDX-License-Identifier: Apache-2.0
// Retention: the manifest forgets files first, then they go; whoever is killed in between leaves files that
// no line names, which the next run removes as well, unless there are lines that may name them and cannot be
// read.
#include "predlog/seal.h"

#include "base/limits.h"
#include "os/file.h"
#include "predlog/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Indices of the entries, the oldest first.
struct aged {
    uint64_t last_ns;
    size_t i;
};

static int by_age(const void *a, const void *b)
{
    const struct aged *x = a, *y = b;
    if (x->last_ns != y->last_ns)
        return x->last_ns < y->last_ns ? -1 : 1;
    return x->i < y->i ? -1 : x->i > y->i;
}

// What stays; returns how many go.
static size_t choose(const struct predlog_manifest *m, const struct retain_rule *rule, uint64_t wall_ns,
                     struct aged *aged, bool *keep)
{
    uint64_t bytes = 0, age_ns;
    size_t n_gone = 0;
    bool has_age = rule->max_age_s && !__builtin_mul_overflow(rule->max_age_s, UINT64_C(1000000000), &age_ns);
    for (size_t i = 0; i < m->n; i++) {
        aged[i] = (struct aged){m->entries[i].last_ns, i};
        bytes += m->entries[i].bytes;
    }
    if (m->n)
        qsort(aged, m->n, sizeof *aged, by_age);
    for (size_t k = 0; k < m->n; k++) {
        const struct predlog_entry *one = &m->entries[aged[k].i];
        bool old = has_age && wall_ns > one->last_ns && wall_ns - one->last_ns > age_ns;
        bool large = rule->max_bytes && bytes > rule->max_bytes;
        keep[aged[k].i] = !old && !large;
        if (keep[aged[k].i])
            continue;
        bytes -= one->bytes;
        n_gone++;
    }
    return n_gone;
}

// ---- files that no line names

// Goes through model=…/date=…/hour=…; depth 3 are the files. Folders that become empty are removed.
static void sweep(int fd, char *path, size_t n, int depth, const struct predlog_manifest *m,
                  struct retain_done *done)
{
    static const char *const PREFIXES[] = {"model=", "date=", "hour=", "part-"};
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir)
        return;
    for (struct dirent *one; (one = readdir(dir));) {
        size_t length = strlen(one->d_name);
        if (strncmp(one->d_name, PREFIXES[depth], strlen(PREFIXES[depth])) || n + length + 2 > PATH_MAX)
            continue;
        memcpy(path + n, one->d_name, length + 1);
        if (depth == 3) {
            if (!m->n_bad && !predlog_manifest_find(m, (struct str){path, n + length}))
                done->n_orphans += unlinkat(fd, one->d_name, 0) == 0;
            continue;
        }
        int below = openat(fd, one->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below < 0)
            continue;
        path[n + length] = '/';
        sweep(below, path, n + length + 1, depth + 1, m, done);
        close(below);
        unlinkat(fd, one->d_name, AT_REMOVEDIR); // refused while it holds something
    }
    closedir(dir);
}

int predlog_retain(int log_fd, const struct retain_rule *rule, uint64_t wall_ns, struct retain_done *ret,
                   struct err *e)
{
    struct predlog_manifest m;
    char path[PATH_MAX];
    *ret = (struct retain_done){0};
    int rc = predlog_manifest_read(log_fd, &m, e);
    if (rc)
        return rc;
    ret->n_bad = m.n_bad;
    sweep(log_fd, path, 0, 0, &m, ret);
    struct aged *aged = calloc(m.n + 1, sizeof *aged);
    bool *keep = calloc(m.n + 1, sizeof *keep);
    if (!aged || !keep)
        rc = err_set(e, ERR_NOMEM, "out of memory for the log's retention");
    size_t n_gone = rc ? 0 : choose(&m, rule, wall_ns, aged, keep);
    if (n_gone)
        rc = predlog_manifest_remove(log_fd, &m, keep, e);
    for (size_t i = 0; !rc && n_gone && i < m.n; i++) {
        if (keep[i])
            continue;
        if (unlinkat(log_fd, m.entries[i].file.p, 0) < 0 && errno != ENOENT)
            rc = err_errno(e, errno, "remove log/%s", m.entries[i].file.p);
        ret->n_files++;
        ret->rows += m.entries[i].rows;
        ret->bytes += m.entries[i].bytes;
    }
    if (!rc && n_gone) {
        predlog_manifest_done(&m);
        struct retain_done folders = {0};
        rc = predlog_manifest_read(log_fd, &m, e);
        if (!rc)
            sweep(log_fd, path, 0, 0, &m, &folders);
    }
    free(aged);
    free(keep);
    predlog_manifest_done(&m);
    return rc;
}
