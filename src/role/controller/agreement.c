// SPDX-License-Identifier: Apache-2.0
// Agreeing on a version's signature. All of the thinking is in tensor/schema.h; here it meets the registry.
#include "role/controller/agreement.h"

#include "engine/engine.h"
#include "role/controller/image.h"
#include "tensor/schema.h"

#include <stdio.h>
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

static int refuse_breaking(const struct deployment *d, uint32_t champion,
                           const struct schema_changes *changes, struct err *e)
{
    err_set(e, ERR_CONFLICT, "%u %s would break clients of version %u of '%s': %s", changes->n_breaking,
            changes->n_breaking == 1 ? "change" : "changes", champion, d->model, changes->list[0].text.p);
    err_at(e, "$.signature");
    err_hint(e, "Push with --allow-breaking (\"allow_breaking\": true) if that is meant.");
    return ERR_CONFLICT;
}

// Compares with the champion; *ret_n_breaking and `json` say what was found. Nothing without a champion.
static int compare(struct controller *c, const struct agreement *a, const struct deployment *d,
                   const struct schema *now, struct arena *arena, struct buf *json, struct err *e)
{
    uint32_t champion = routing_alias_target(&c->routing, str_of(d->model), STR("champion"));
    struct registry_version v;
    struct schema before;
    struct schema_changes changes;
    char number[16];
    if (!champion)
        return 0;
    snprintf(number, sizeof number, "%u", champion);
    int rc = c->registry->ops->version_find(c->registry, str_of(d->model), str_of(number), arena, &v, e);
    if (!rc)
        rc = schema_read(v.signature_json, false, "$", arena, &before, e);
    if (!rc)
        rc = schema_compare(&before, now, arena, &changes, e);
    if (rc)
        return err_wrap(e, "compare with version %u", champion);
    buf_printf(json, "{\"compared_with\":%u,\"breaking\":[", champion);
    put_list(&changes, true, json);
    buf_puts(json, "],\"compatible\":[");
    put_list(&changes, false, json);
    buf_puts(json, "]}");
    return changes.n_breaking && !a->allow_breaking ? refuse_breaking(d, champion, &changes, e) : 0;
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
    char number[16];
    snprintf(number, sizeof number, "%u", d->version);
    int rc = c->registry->ops->version_find(c->registry, str_of(d->model), str_of(number), arena, &v, e);
    if (!rc)
        rc = schema_read(v.signature_json, false, "$", arena, &kept, e);
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
