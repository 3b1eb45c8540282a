// SPDX-License-Identifier: Apache-2.0
// `slipway gc`: removes versions that the retention rules let go and files that no version needs, or says
// what would be removed and why.
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/term.h"

enum { COLLECTION_MS = 1800000 };

static const char *text_of(yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return text ? text : "";
}

static void put_line(yyjson_val *entry, struct buf *out)
{
    const char *digest = text_of(entry, "digest");
    buf_puts(out, "  ");
    if (digest[0]) {
        term_put_safe(str_of(digest), out);
        buf_puts(out, "  ");
        term_put_bytes(yyjson_get_uint(yyjson_obj_get(entry, "size")), out);
    } else {
        term_put_safe(str_of(text_of(entry, "model")), out);
        buf_printf(out, " version %llu",
                   (unsigned long long)yyjson_get_uint(yyjson_obj_get(entry, "version")));
    }
    buf_puts(out, ": ");
    term_put_safe(str_of(text_of(entry, "reason")), out);
    buf_putc(out, '\n');
}

// A heading with the number, then what the server listed.
static void put_list(yyjson_val *root, const char *key, const char *one, const char *many, struct buf *out)
{
    size_t i, n;
    yyjson_val *entry, *object = yyjson_obj_get(root, key), *list = yyjson_obj_get(object, "list");
    uint64_t count = yyjson_get_uint(yyjson_obj_get(object, "count"));
    if (count == 0)
        return;
    term_put_count(count, out);
    buf_printf(out, " %s:\n", count == 1 ? one : many);
    yyjson_arr_foreach(list, i, n, entry)
    {
        put_line(entry, out);
    }
    if (count > yyjson_arr_size(list))
        buf_printf(out, "  and %llu more\n", (unsigned long long)(count - yyjson_arr_size(list)));
}

static uint64_t count_of(yyjson_val *root, const char *key)
{
    return yyjson_get_uint(yyjson_obj_get(yyjson_obj_get(root, key), "count"));
}

static void put_text(yyjson_val *root, struct buf *out)
{
    bool dry = yyjson_is_true(yyjson_obj_get(root, "dry_run"));
    uint64_t young = yyjson_get_uint(yyjson_obj_get(root, "blobs_young"));
    put_list(root, "versions", dry ? "version would go" : "version removed",
             dry ? "versions would go" : "versions removed", out);
    put_list(root, "kept", "version stays although the rules would let it go",
             "versions stay although the rules would let them go", out);
    put_list(root, "blobs", dry ? "file would go" : "file removed", dry ? "files would go" : "files removed",
             out);
    if (count_of(root, "versions") == 0 && count_of(root, "blobs") == 0) {
        buf_puts(out, dry ? "Nothing would be removed" : "Nothing was removed");
    } else {
        buf_puts(out, dry ? "That would free " : "That freed ");
        term_put_bytes(yyjson_get_uint(yyjson_obj_get(root, "bytes")), out);
    }
    if (young)
        buf_printf(out, "; %llu file%s no version needs %s too young to go", (unsigned long long)young,
                   young == 1 ? " that" : "s that", young == 1 ? "is" : "are");
    buf_puts(out, ".\n");
}

static int gc_run(const struct args *a)
{
    struct client c;
    struct err e;
    struct buf out, body;
    yyjson_doc *doc = NULL;
    if (client_init(&c, a, &e))
        return term_usage(&e);
    buf_init(&out, 64 << 20);
    buf_init(&body, 64 << 10);
    buf_printf(&body, "{\"dry_run\":%s", args_has(a, "dry-run") ? "true" : "false");
    cli_put_reason(a, &body);
    buf_putc(&body, '}');
    struct client_request q = {.method = "POST",
                               .path = "/api/v1/housekeeping/gc",
                               .content_type = "application/json",
                               .body = buf_str(&body),
                               .idempotency_key = args_value(a, "idempotency-key"),
                               .timeout_ms = COLLECTION_MS};
    int rc = client_json(&c, &q, &doc, &e);
    if (rc == 0 && args_has(a, "json"))
        rc = term_put_json(yyjson_doc_get_root(doc), &out, &e);
    else if (rc == 0)
        put_text(yyjson_doc_get_root(doc), &out);
    if (rc == 0)
        rc = term_write(&out, &e);
    yyjson_doc_free(doc);
    buf_done(&body);
    buf_done(&out);
    client_done(&c);
    return rc ? term_fail(&e, args_has(a, "json")) : CLI_OK;
}

const struct verb verb_gc = {
    .name = "gc",
    .summary = "Removes versions that the retention rules let go, and files that no version needs.",
    .usage = "slipway gc [--dry-run] [flags]",
    .examples = "slipway gc --dry-run                   # what would go, and why\n"
                "slipway gc\n"
                "slipway gc --json",
    .flags =
        (const struct flag[]){{.name = "dry-run", .help = "Removes nothing, says what would go and why."},
                              CLI_CHANGE_FLAGS,
                              CLI_CLIENT_FLAGS,
                              {0}},
    .run = gc_run,
};
