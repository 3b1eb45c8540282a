// SPDX-License-Identifier: Apache-2.0
// The signature in the compile process: completed, compared, and bound to the model for its golden rows.
#include "role/compile_signature.h"

#include "base/limits.h"
#include "os/file.h"
#include "tensor/schema.h"

#include <stdlib.h>
#include <yyjson.h>

// The arena is small beside the memory that the process may have: what schemas take for each byte of theirs.
enum { ARENA_BASE = 1 << 20, ARENA_PER_BYTE = 64, TOLD_MAX = 128 << 20, SIGNATURE_MAX = 64 << 20 };

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the signature");
}

// The text of a member; empty without it.
static int take_member(yyjson_val *root, const char *name, struct str *ret, struct err *e)
{
    yyjson_val *v = yyjson_obj_get(root, name);
    ret->p = v ? yyjson_val_write(v, 0, &ret->n) : NULL;
    return v && !ret->p ? no_memory(e) : 0;
}

static int take_told(struct compile_signature *s, struct str json, struct err *e)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc = yyjson_is_obj(root) ? 0 : err_set(e, ERR_INVALID, "what is told of the signature is not JSON");
    if (!rc)
        rc = take_member(root, "users", &s->users, e);
    if (!rc)
        rc = take_member(root, "before", &s->before, e);
    if (!rc)
        rc = take_member(root, "kept", &s->kept, e);
    yyjson_doc_free(doc);
    s->is_told = rc == 0;
    return rc;
}

int compile_signature_read(int fd, struct compile_signature *s, struct err *e)
{
    struct buf text;
    uint64_t size;
    size_t n = 0;
    int rc = file_size(fd, &size, e);
    if (rc)
        return rc;
    buf_init(&text, TOLD_MAX);
    char *to = buf_reserve(&text, size);
    rc = to ? file_read_at(fd, to, size, 0, &n, e) : no_memory(e);
    if (!rc)
        rc = take_told(s, (struct str){to, n}, e);
    buf_done(&text);
    return rc;
}

// What the file says, completed by the user, and compared; as it was agreed where that is known.
static int agree(struct compile_signature *s, struct str inferred, bool *ret_has_rules, struct err *e)
{
    struct schema model, users, before;
    struct schema_changes changes = {0};
    size_t bytes = inferred.n + s->users.n + s->before.n + s->kept.n;
    int rc = arena_init(&s->arena, ARENA_BASE + ARENA_PER_BYTE * bytes, e);
    if (rc)
        return rc;
    buf_init(&s->agreed, SIGNATURE_MAX);
    rc = schema_read(s->kept.n ? s->kept : inferred, false, "$", &s->arena, &model, e);
    if (!rc && s->users.n)
        rc = schema_read(s->users, true, "$.signature", &s->arena, &users, e);
    if (!rc && s->users.n)
        rc = schema_complete(&model, &users, "$.signature", &s->arena, e);
    if (!rc && s->before.n)
        rc = schema_read(s->before, false, "$", &s->arena, &before, e);
    if (!rc && s->before.n)
        rc = schema_compare(&before, &model, &s->arena, &changes, e);
    if (rc)
        return rc;
    s->is_breaking = changes.n_breaking > 0;
    *ret_has_rules = schema_has_rules(&model);
    schema_write(&model, STR(""), &s->agreed);
    return s->agreed.failed ? no_memory(e) : 0;
}

int compile_signature_of_rows(struct compile_signature *s, const struct signature *model, struct err *e)
{
    struct buf inferred;
    bool has_rules = false;
    if (!s->is_told)
        return 0;
    buf_init(&inferred, SIGNATURE_MAX);
    schema_write_signature(model, &inferred);
    int rc = inferred.failed ? no_memory(e) : agree(s, buf_str(&inferred), &has_rules, e);
    buf_done(&inferred);
    if (rc || !has_rules || s->is_breaking)
        return rc;
    rc = rules_bind(model, buf_str(&s->agreed), &s->rules, e);
    s->rows = rc ? NULL : rules_signature(s->rules);
    return rc;
}

int compile_signature_of_tensors(struct compile_signature *s, struct str json, struct err *e)
{
    bool has_rules = false;
    if (!s->is_told)
        return 0;
    int rc = agree(s, json, &has_rules, e);
    if (rc || !has_rules || s->is_breaking)
        return rc;
    rc = interface_decode(json, &s->own, e);
    if (!rc)
        rc = rules_bind_interface(s->own, buf_str(&s->agreed), &s->rules, e);
    s->tensors = rc ? NULL : s->own;
    return rc;
}

void compile_signature_done(struct compile_signature *s)
{
    rules_free(s->rules);
    interface_free(s->own);
    buf_done(&s->agreed);
    arena_done(&s->arena);
    free((void *)(uintptr_t)s->users.p);
    free((void *)(uintptr_t)s->before.p);
    free((void *)(uintptr_t)s->kept.p);
    *s = (struct compile_signature){0};
}
