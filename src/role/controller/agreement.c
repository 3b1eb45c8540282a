// SPDX-License-Identifier: Apache-2.0
// Agreeing on a version's signature. All of the thinking is in tensor/schema.h; here it meets the registry.
#include "role/controller/agreement.h"

#include "engine/engine.h"
#include "predlog/privacy.h"
#include "role/controller/image.h"
#include "tensor/schema.h"

#include <unistd.h>

enum { ARENA_MAX = 1 << 30 };

// Rules for the gateways: beside the image of a model of rows; the image itself of a model of tensors.
static int hand_over(struct deployment *d, struct str signature, struct err *e)
{
    int fd = -1;
    bool is_image = d->engine->runtime != NULL;
    if (is_image && signature.n > LIMIT_INTERFACE_BYTES)
        return err_set(e, ERR_TOO_LARGE, "the signature has %zu bytes, at most %d are taken", signature.n,
                       (int)LIMIT_INTERFACE_BYTES);
    int rc = image_of_text("slipway-signature", signature, &fd, e);
    if (rc)
        return rc;
    if (!is_image) {
        d->rules_fd = fd;
        return 0;
    }
    close(d->image_fd);
    d->image_fd = fd;
    d->image_bytes = signature.n;
    return 0;
}

static void put_list(const struct schema_changes *changes, bool breaking, struct buf *json)
{
    const char *comma = "";
    for (uint32_t i = 0; i < changes->n; i++) {
        if (changes->list[i].breaking != breaking)
            continue;
        buf_puts(json, comma);
        buf_put_json_str(json, changes->list[i].text);
        comma = ",";
    }
}

static void put_changes(uint32_t was, const struct schema_changes *changes, struct buf *json)
{
    buf_printf(json, "{\"compared_with\":%u,\"breaking\":[", was);
    put_list(changes, true, json);
    buf_puts(json, "],\"compatible\":[");
    put_list(changes, false, json);
    buf_puts(json, "]}");
}

static int refuse_breaking(struct str model, uint32_t was, const struct schema_changes *changes,
                           struct err *e)
{
    return err_set(e, ERR_CONFLICT, "%u %s would break clients of version %u of '" STR_FMT "': %s",
                   changes->n_breaking, changes->n_breaking == 1 ? "change" : "changes", was, STR_ARG(model),
                   changes->list[0].text.p);
}

static int version_read(struct controller *c, struct str model, uint32_t number, struct arena *a,
                        struct registry_version *v, struct schema *ret, struct err *e)
{
    int rc = registry_version_find(c->registry, model, number, a, v, e);
    return rc ? rc : schema_read(v->signature_json, false, "$", a, ret, e);
}

// Compares with the version before; `json` says what was found. Nothing without one.
static int compare(struct controller *c, const struct agreement *a, const struct deployment *d,
                   const struct schema *now, struct arena *arena, struct buf *json, struct err *e)
{
    struct registry_version v;
    struct schema before;
    struct schema_changes changes;
    if (!a->before)
        return 0;
    int rc = version_read(c, str_of(d->model), a->before, arena, &v, &before, e);
    if (!rc)
        rc = schema_compare(&before, now, arena, &changes, e);
    if (rc)
        return err_wrap(e, "compare with version %u", a->before);
    put_changes(a->before, &changes, json);
    if (!changes.n_breaking || a->allow_breaking)
        return 0;
    (void)refuse_breaking(str_of(d->model), a->before, &changes, e);
    err_at(e, "$.signature");
    err_hint(e, "Push with --allow-breaking (\"allow_breaking\": true) if that is meant.");
    return ERR_CONFLICT;
}

// Appends {"NAME":SIGNATURE of the version
static int put_version(struct controller *c, struct str model, uint32_t number, const char *name,
                       struct buf *json, struct err *e)
{
    struct arena a;
    struct registry_version v;
    int rc = arena_init(&a, ARENA_MAX, e);
    if (rc)
        return rc;
    rc = registry_version_find(c->registry, model, number, &a, &v, e);
    if (!rc) {
        buf_printf(json, "%s\"%s\":", json->n ? "," : "{", name);
        buf_put_str(json, v.signature_json);
    }
    arena_done(&a);
    return rc ? err_wrap(e, "look at the signature of version %u", number) : 0;
}

static int told(struct buf *json, struct err *e)
{
    if (json->n)
        buf_putc(json, '}');
    return json->failed ? err_set(e, ERR_NOMEM, "no memory for the signature") : 0;
}

int agreement_tell(struct controller *c, const struct agreement *a, struct str model, struct buf *json,
                   struct err *e)
{
    int rc = 0;
    if (a->users.n) {
        buf_puts(json, "{\"users\":");
        buf_put_str(json, a->users);
    }
    if (a->before && !a->allow_breaking)
        rc = put_version(c, model, a->before, "before", json, e);
    return rc ? rc : told(json, e);
}

int agreement_tell_kept(struct controller *c, struct str model, uint32_t number, struct buf *json,
                        struct err *e)
{
    int rc = put_version(c, model, number, "kept", json, e);
    return rc ? rc : told(json, e);
}

// What the prediction log keeps of each column.
static int check_log_rules(const char *list, const struct schema_column *columns, uint32_t n, struct err *e)
{
    for (uint32_t i = 0; i < n; i++) {
        struct privacy_rule rule;
        if (columns[i].log.n == 0)
            continue;
        int rc = privacy_rule_read(columns[i].log, &rule, e);
        if (!rc)
            rc = privacy_rule_check(&rule, columns[i].dtype, e);
        if (rc) {
            err_at(e, "$.signature.%s", list);
            return err_wrap(e, "log of '%.80s'", columns[i].name.p);
        }
    }
    return 0;
}

static int agree(struct controller *c, const struct agreement *a, struct deployment *d, struct arena *arena,
                 struct buf *signature, struct buf *changes, struct err *e)
{
    struct schema model, user;
    int rc = schema_read(buf_str(signature), false, "$", arena, &model, e);
    if (!rc && a->users.n)
        rc = schema_read(a->users, true, "$.signature", arena, &user, e);
    if (!rc && a->users.n)
        rc = schema_complete(&model, &user, "$.signature", arena, e);
    if (!rc)
        rc = check_log_rules("inputs", model.inputs, model.n_inputs, e);
    if (!rc)
        rc = check_log_rules("outputs", model.outputs, model.n_outputs, e);
    if (!rc)
        rc = compare(c, a, d, &model, arena, changes, e);
    if (rc)
        return rc;
    buf_clear(signature);
    schema_write(&model, buf_str(changes), signature);
    if (signature->failed || changes->failed)
        return err_set(e, ERR_NOMEM, "no memory for the signature");
    return schema_has_rules(&model) ? hand_over(d, buf_str(signature), e) : 0;
}

int agreement_make(struct controller *c, const struct agreement *a, struct deployment *d,
                   struct buf *signature, struct buf *changes, struct err *e)
{
    struct arena arena;
    int rc = arena_init(&arena, ARENA_MAX, e);
    if (rc)
        return rc;
    rc = agree(c, a, d, &arena, signature, changes, e);
    arena_done(&arena);
    return rc;
}

static int compare_versions(struct controller *c, const struct agreement_move *m, struct arena *a,
                            struct buf *json, struct err *e)
{
    struct registry_version was, is;
    struct schema before, now;
    struct schema_changes changes;
    int rc = version_read(c, m->model, m->to, a, &is, &now, e);
    if (rc || registry_version_is_rejected(&is))
        return rc;
    rc = version_read(c, m->model, m->from, a, &was, &before, e);
    if (!rc)
        rc = schema_compare(&before, &now, a, &changes, e);
    if (rc)
        return err_wrap(e, "compare with version %u", m->from);
    if (changes.n)
        put_changes(m->from, &changes, json);
    if (json->failed)
        return err_set(e, ERR_NOMEM, "no memory for the changes of the signature");
    if (!changes.n_breaking || m->allow_breaking)
        return 0;
    (void)refuse_breaking(m->model, m->from, &changes, e);
    err_hint(e, "Repeat it with --allow-breaking (\"allow_breaking\": true) if that is meant.");
    return ERR_CONFLICT;
}

int agreement_compare(struct controller *c, const struct agreement_move *m, struct buf *changes,
                      struct err *e)
{
    struct arena arena;
    if (!m->from || m->from == m->to)
        return 0;
    int rc = arena_init(&arena, ARENA_MAX, e);
    if (!rc) {
        rc = compare_versions(c, m, &arena, changes, e);
        arena_done(&arena);
    }
    if (rc && m->allow_breaking) {
        buf_clear(changes);
        return 0;
    }
    return rc;
}

// Whether the image takes the columns that the version was pushed with.
static bool is_same_model(const struct schema *kept, const struct schema *inferred)
{
    bool same = kept->n_inputs == inferred->n_inputs;
    for (uint32_t i = 0; same && !kept->renamed && i < kept->n_inputs; i++)
        same = str_eq(kept->inputs[i].name, inferred->inputs[i].name);
    return same;
}

static int restore(struct controller *c, struct deployment *d, struct str inferred_json, struct arena *arena,
                   struct err *e)
{
    struct registry_version v;
    struct schema kept, inferred;
    int rc = version_read(c, str_of(d->model), d->version, arena, &v, &kept, e);
    if (rc || !schema_has_rules(&kept))
        return rc;
    rc = schema_read(inferred_json, false, "$", arena, &inferred, e);
    if (!rc && !is_same_model(&kept, &inferred))
        rc = err_set(e, ERR_INVALID, "the signature that is kept with the version is about other inputs");
    return rc ? rc : hand_over(d, v.signature_json, e);
}

int agreement_restore(struct controller *c, struct deployment *d, struct str inferred, struct err *e)
{
    struct arena arena;
    int rc = arena_init(&arena, ARENA_MAX, e);
    if (rc)
        return rc;
    rc = restore(c, d, inferred, &arena, e);
    arena_done(&arena);
    return rc;
}
