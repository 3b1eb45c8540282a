// SPDX-License-Identifier: Apache-2.0
// The audit over the admin API: rows in pages, and whether the chain of their hashes holds.
#include "role/controller/describe.h"
#include "role/controller/look_job.h"
#include "role/controller/request.h"
#include "role/look.h"

#include <stdio.h>

enum { READ_ARENA_BYTES = 64 << 20 };

static void put_hash(const struct registry_digest *hash, struct buf *out)
{
    char hex[REGISTRY_DIGEST_HEX];
    registry_digest_hex(hash, hex);
    buf_printf(out, ",\"hash\":\"%s\"", hex);
}

static void put_row(const struct registry_audit *row, struct buf *out)
{
    buf_printf(out, "{\"id\":%llu", (unsigned long long)row->id);
    describe_time("at", row->wall_ns, out);
    describe_text("action", row->action, out);
    describe_text("model", row->model, out);
    if (row->version)
        buf_printf(out, ",\"version\":%u", row->version);
    describe_text("before", row->before, out);
    describe_text("after", row->after, out);
    describe_text("actor", row->actor, out);
    describe_text("reason", row->reason, out);
    describe_text("request_id", row->request_id, out);
    put_hash(&row->hash, out);
    buf_putc(out, '}');
}

int audit_list(struct request *r, struct err *e)
{
    struct arena a;
    struct registry *reg = r->c->registry;
    struct registry_audit *list = NULL;
    struct request_page page = {0};
    char model[LIMIT_MODEL_NAME_BYTES + 1] = "";
    const struct request_param params[] = {{"model", .text = model, .size = sizeof model}};
    size_t n = 0;
    int rc = request_page(r, &page, params, 1, e);
    if (!rc)
        rc = arena_init(&a, READ_ARENA_BYTES, e);
    if (rc)
        return rc;
    const struct registry_history_query which = {
        .model = str_of(model), .before = page.after, .limit = (uint32_t)page.limit + 1};
    rc = reg->ops->audit(reg, &which, &a, &list, &n, e);
    buf_puts(&r->out, "{\"rows\":[");
    for (size_t i = 0; !rc && i < n && i < page.limit; i++) {
        buf_puts(&r->out, i ? "," : "");
        put_row(&list[i], &r->out);
    }
    buf_putc(&r->out, ']');
    if (n > page.limit)
        buf_printf(&r->out, ",\"next\":%llu", (unsigned long long)list[page.limit - 1].id);
    buf_putc(&r->out, '}');
    arena_done(&a);
    if (!rc)
        request_answer(r, 200, "application/json");
    return rc;
}

int audit_verify(struct request *r, struct err *e)
{
    struct registry_audit receipt = {0};
    char hex[REGISTRY_DIGEST_HEX] = "", text[REGISTRY_DIGEST_TEXT];
    const struct request_param params[] = {{"id", .number = &receipt.id, .max = INT64_MAX},
                                           {"hash", .text = hex, .size = sizeof hex}};
    int rc = request_params(r, params, 2, e);
    if (rc)
        return rc;
    snprintf(text, sizeof text, "sha256:%s", hex);
    if ((receipt.id || hex[0]) && (!receipt.id || !registry_digest_parse(str_of(text), &receipt.hash)))
        return err_set(e, ERR_INVALID,
                       "a receipt is a number, id, and 64 lower-case hexadecimal digits, hash");
    return look_job_start(r, LOOK_AUDIT, receipt.id, hex, e);
}
