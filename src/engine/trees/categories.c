// SPDX-License-Identifier: Apache-2.0
// Names of categories, from the parsers into the signature.
#include "engine/trees/categories.h"

#include "base/limits.h"

int categories_give(struct feature *f, struct str *names, size_t n, struct arena *a, struct err *e)
{
    if (n == 0 || n > LIMIT_CATEGORIES)
        return 0;
    struct categories *c = arena_calloc(a, 1, sizeof *c);
    if (!c)
        return err_set(e, ERR_NOMEM, "no memory for categories");
    *c = (struct categories){.names = names, .n = (uint32_t)n};
    int rc = categories_index(c, e);
    map_done(&c->by_name);
    if (rc == 0)
        f->categories = c;
    return rc == ERR_DUPLICATE_KEY ? 0 : rc;
}

void categories_limit(struct signature *s)
{
    uint64_t n = 0, bytes = 0;
    for (uint32_t i = 0; i < s->n_features; i++) {
        const struct categories *c = s->features[i].categories;
        for (uint32_t k = 0; c && k < c->n; k++)
            bytes += c->names[k].n;
        n += c ? c->n : 0;
    }
    bool too_many = n > LIMIT_CATEGORIES || bytes > LIMIT_CATEGORY_BYTES;
    for (uint32_t i = 0; too_many && i < s->n_features; i++)
        s->features[i].categories = NULL;
}
