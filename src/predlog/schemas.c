// SPDX-License-Identifier: Apache-2.0
#include "predlog/schemas.h"

#include <stdlib.h>

void schemas_done(struct schemas *s)
{
    for (size_t i = 0; i < s->n; i++) {
        predlog_schema_free(s->list[i].schema);
        free((char *)(uintptr_t)s->list[i].json.p);
    }
    free(s->list);
    *s = (struct schemas){0};
}

int schemas_add(struct schemas *s, struct str json, struct err *e)
{
    struct schemas_one one = {0};
    int rc = predlog_schema_read(json, &one.schema, e);
    if (rc)
        return rc == ERR_NOMEM ? rc : 0;
    if (schemas_find(s, one.schema->key)) {
        predlog_schema_free(one.schema);
        return 0;
    }
    size_t cap = s->n < s->cap ? s->cap : s->cap ? 2 * s->cap : 8;
    struct schemas_one *grown = cap > s->cap ? realloc(s->list, cap * sizeof *grown) : s->list;
    one.json = (struct str){str_dup(json), json.n};
    if (grown) {
        s->list = grown;
        s->cap = cap;
    }
    if (!grown || !one.json.p) {
        predlog_schema_free(one.schema);
        free((char *)(uintptr_t)one.json.p);
        return err_set(e, ERR_NOMEM, "out of memory for the schemas of the log");
    }
    s->list[s->n++] = one;
    return 0;
}

const struct schemas_one *schemas_find(struct schemas *s, uint64_t key)
{
    if (s->last < s->n && s->list[s->last].schema->key == key)
        return &s->list[s->last];
    for (size_t i = 0; i < s->n; i++) {
        if (s->list[i].schema->key == key) {
            s->last = i;
            return &s->list[i];
        }
    }
    return NULL;
}
