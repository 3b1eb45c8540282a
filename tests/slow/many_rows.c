// SPDX-License-Identifier: Apache-2.0
// Versions FROM to TO - 1 of tests/slow/many_versions.py, written by the registry's own functions into a data
// directory that no server uses: copies of version 1 of the model "many". Says what each thousand took, so
// that a row which costs more the more there are is seen.
#include "base/clock.h"
#include "registry/registry.h"

#include <stdio.h>
#include <stdlib.h>

enum { BLOCK = 1000 };

static int fail(const struct err *e)
{
    fprintf(stderr, "%s\n", e->msg);
    return 1;
}

static int add(struct registry *r, const struct registry_version *like, unsigned i, struct err *e)
{
    char name[32];
    const struct registry_cause cause = {.actor = STR("many_rows"), .wall_ns = clock_wall_ns()};
    struct registry_version v = *like;
    uint64_t id;
    uint32_t number;
    snprintf(name, sizeof name, "m%06u", i);
    v.id = 0;
    v.number = 0;
    v.model = i % 2 ? STR("many") : str_of(name);
    v.created_wall_ns = cause.wall_ns;
    return r->ops->version_add(r, &cause, &v, STR(""), &id, &number, e);
}

int main(int argc, char **argv)
{
    struct registry *r;
    struct registry_version like;
    struct arena a;
    struct err e;
    if (argc != 4) {
        fprintf(stderr, "usage: many_rows DATA_DIR FROM TO\n");
        return 2;
    }
    unsigned from = (unsigned)strtoul(argv[2], NULL, 10), to = (unsigned)strtoul(argv[3], NULL, 10);
    if (arena_init(&a, 1 << 20, &e) || registry_sqlite_open(argv[1], &r, &e))
        return fail(&e);
    int rc = r->ops->version_find(r, STR("many"), STR("1"), &a, &like, &e);
    uint64_t begin = clock_mono_ns();
    for (unsigned i = from, n = 1; !rc && i < to; i++, n++) {
        rc = add(r, &like, i, &e);
        if (n % BLOCK && i + 1 < to)
            continue;
        unsigned in_block = n % BLOCK ? n % BLOCK : BLOCK;
        printf("%6u versions: %.3f ms a row\n", i + 1, (double)(clock_mono_ns() - begin) / 1e6 / in_block);
        begin = clock_mono_ns();
    }
    r->ops->close(r);
    arena_done(&a);
    return rc ? fail(&e) : 0;
}
