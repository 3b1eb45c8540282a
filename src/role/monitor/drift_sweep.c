// SPDX-License-Identifier: Apache-2.0
// A version left when the newest of its files was written.
#include "role/monitor/drift_sweep.h"

#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LEFT_MAX = 1 << 16 }; // that are looked at at once; the others are the next time's

static const char *const ENDINGS[] = {"state", "baseline", "state.new", "baseline.new"};
enum { N_ENDINGS = sizeof ENDINGS / sizeof ENDINGS[0], NAME_BYTES = 64 };

struct left {
    uint64_t deployment, wall_ns; // when it left
};

struct list {
    struct left *items;
    size_t n, cap;
};

static bool deployment_of(struct str name, uint64_t *ret)
{
    static const struct str HEAD = STR("drift-");
    if (!str_starts(name, HEAD))
        return false;
    struct str rest = {name.p + HEAD.n, name.n - HEAD.n}, number = str_split(&rest, '.');
    bool known = false;
    for (size_t i = 0; i < N_ENDINGS; i++)
        known |= str_eq(rest, str_of(ENDINGS[i]));
    return known && str_to_u64(number, UINT64_MAX, ret);
}

static bool add(struct list *l, uint64_t deployment, uint64_t wall_ns)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct left *grown = realloc(l->items, cap * sizeof *grown);
        if (!grown)
            return false;
        l->items = grown;
        l->cap = cap;
    }
    l->items[l->n++] = (struct left){deployment, wall_ns};
    return true;
}

static int gather(const struct drift_sweep *s, DIR *dir, struct list *l, struct err *e)
{
    struct dirent *d;
    while (l->n < LEFT_MAX && (d = readdir(dir)) != NULL) {
        uint64_t deployment;
        struct stat st;
        if (!deployment_of(str_of(d->d_name), &deployment) || s->is_watched(s->ctx, deployment) ||
            fstatat(s->dir_fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        uint64_t wall_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
        if (!add(l, deployment, wall_ns))
            return err_set(e, ERR_NOMEM, "no memory to tidy up");
    }
    return 0;
}

static int by_deployment(const void *a, const void *b)
{
    const struct left *x = a, *y = b;
    return (x->deployment > y->deployment) - (x->deployment < y->deployment);
}

static int newest_first(const void *a, const void *b)
{
    const struct left *x = a, *y = b;
    return (x->wall_ns < y->wall_ns) - (x->wall_ns > y->wall_ns);
}

// One for each version instead of one for each file.
static void unite(struct list *l)
{
    size_t n = 0;
    if (l->n == 0)
        return;
    qsort(l->items, l->n, sizeof *l->items, by_deployment);
    for (size_t i = 1; i < l->n; i++) {
        if (l->items[i].deployment != l->items[n].deployment)
            l->items[++n] = l->items[i];
        else if (l->items[i].wall_ns > l->items[n].wall_ns)
            l->items[n].wall_ns = l->items[i].wall_ns;
    }
    l->n = n + 1;
    qsort(l->items, l->n, sizeof *l->items, newest_first);
}

static unsigned remove_files(int dir_fd, uint64_t deployment)
{
    unsigned n = 0;
    for (size_t i = 0; i < N_ENDINGS; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "drift-%" PRIu64 ".%s", deployment, ENDINGS[i]);
        n += unlinkat(dir_fd, name, 0) == 0;
    }
    return n;
}

int drift_sweep(const struct drift_sweep *s, uint64_t *ret, struct err *e)
{
    const uint64_t KEEP_NS = (uint64_t)DRIFT_KEEP_DAYS * 86400 * UINT64_C(1000000000);
    struct list l = {0};
    int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return err_errno(e, why, "look into the folder of the monitor");
    }
    int rc = gather(s, dir, &l, e);
    closedir(dir);
    if (!rc)
        unite(&l);
    for (size_t i = 0; !rc && i < l.n; i++)
        if (i >= DRIFT_KEEP_VERSIONS || l.items[i].wall_ns + KEEP_NS < s->wall_ns)
            *ret += remove_files(s->dir_fd, l.items[i].deployment);
    free(l.items);
    return rc;
}
