// SPDX-License-Identifier: Apache-2.0
// Looking up features by name.
#include "tensor/signature.h"

#include "base/near.h"

int categories_index(struct categories *c, struct err *e)
{
    int rc = map_init(&c->by_name, c->n, e);
    for (uint32_t i = 0; rc == 0 && i < c->n; i++)
        rc = map_add(&c->by_name, c->names[i], i, e);
    return rc;
}

int64_t categories_find(const struct categories *c, struct str name)
{
    return map_get(&c->by_name, name);
}

int signature_index(struct signature *s, struct err *e)
{
    int rc = map_init(&s->by_name, s->n_features, e);
    for (uint32_t i = 0; rc == 0 && i < s->n_features; i++) {
        rc = map_add(&s->by_name, s->features[i].name, i, e);
        if (rc)
            return err_wrap(e, "feature names");
    }
    return rc;
}

int64_t signature_find(const struct signature *s, struct str name)
{
    return map_get(&s->by_name, name);
}

struct str signature_nearest(const struct signature *s, struct str name)
{
    struct str best = {0};
    for (uint32_t i = 0; i < s->n_features; i++) {
        struct str pair[2] = {s->features[i].name, best};
        if (near_find(name, pair, best.n ? 2 : 1) == 0)
            best = s->features[i].name;
    }
    return best;
}
