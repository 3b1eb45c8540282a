// SPDX-License-Identifier: Apache-2.0
// `slipway audit`: every change of the registry, and whether nobody altered what is written of them; asked of
// a server, or read from a data directory.
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/describe.h"
#include "cli/term.h"
#include "registry/registry.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { READ_ARENA_BYTES = 1 << 30, PAGE_DEFAULT = 100 };

static int put_rows(const struct args *a, yyjson_val *answer, struct buf *out, struct err *e)
{
    enum { COLUMNS = 9 };
    static const char *const FIELDS[COLUMNS] = {"id",     "at",    "action", "model", "version",
                                                "before", "after", "actor",  "reason"};
    static const char *const HEADS[COLUMNS] = {"ROW",    "AT",    "WHAT", "MODEL", "VERSION",
                                               "BEFORE", "AFTER", "BY",   "REASON"};
    (void)a;
    yyjson_val *rows = yyjson_obj_get(answer, "rows");
    int rc = 0;
    if (yyjson_arr_size(rows) > 0)
        rc = cli_describe_table(rows, FIELDS, HEADS, COLUMNS, out, e);
    else
        buf_puts(out, "Nothing was ever changed.\n");
    cli_put_next(answer, out);
    return rc;
}

static int put_report(const struct args *a, yyjson_val *answer, struct buf *out, struct err *e)
{
    (void)a;
    (void)e;
    size_t i, n;
    yyjson_val *finding, *head = yyjson_obj_get(answer, "head");
    uint64_t rows = yyjson_get_uint(yyjson_obj_get(answer, "rows"));
    uint64_t n_findings = yyjson_get_uint(yyjson_obj_get(answer, "n_findings"));
    if (n_findings == 0) {
        buf_printf(out, "The audit is sound: %" PRIu64 " rows, each as it was written.\n", rows);
        if (!yyjson_is_true(yyjson_obj_get(answer, "second_head")))
            buf_puts(out, "Its end is confirmed by registry.db alone: there is no audit.head beside it.\n");
        buf_printf(out, "Receipt of its end: %" PRIu64 ":%s\n", yyjson_get_uint(yyjson_obj_get(head, "id")),
                   yyjson_get_str(yyjson_obj_get(head, "hash")));
        return 0;
    }
    yyjson_arr_foreach(yyjson_obj_get(answer, "findings"), i, n, finding)
    {
        term_put_safe(str_of(yyjson_get_str(yyjson_obj_get(finding, "message"))), out);
        buf_putc(out, '\n');
    }
    if (n_findings > i)
        buf_printf(out, "and %" PRIu64 " more\n", n_findings - i);
    return 0;
}

static int judge(yyjson_val *answer, struct err *e)
{
    uint64_t n = yyjson_get_uint(yyjson_obj_get(answer, "n_findings"));
    return n ? err_set(e, ERR_DIGEST, "the audit was altered: %" PRIu64 " finding%s", n, n == 1 ? "" : "s")
             : 0;
}

// "120:9f…": what a change answered, or an earlier check.
static int receipt_of(const char *text, struct registry_audit *ret, struct err *e)
{
    struct str rest = str_of(text), number = str_split(&rest, ':');
    char digest[REGISTRY_DIGEST_TEXT];
    *ret = (struct registry_audit){0};
    snprintf(digest, sizeof digest, "sha256:%.64s", rest.n ? rest.p : "");
    if (str_to_u64(number, INT64_MAX, &ret->id) && ret->id && rest.n == 64 &&
        registry_digest_parse(str_of(digest), &ret->hash))
        return 0;
    return err_set(e, ERR_INVALID, "--receipt: expected ROW:HASH, as a change or an earlier check gave it");
}

static int online(const struct args *a, bool verifies)
{
    struct buf path;
    struct err e;
    struct registry_audit receipt;
    bool first = true;
    const char *text = args_value(a, "receipt");
    if (text && receipt_of(text, &receipt, &e))
        return term_usage(&e);
    buf_init(&path, 16384);
    buf_puts(&path, verifies ? "/api/v1/audit/verify" : "/api/v1/audit");
    if (verifies && text)
        buf_printf(&path, "?id=%" PRIu64 "&hash=%s", receipt.id, strchr(text, ':') + 1);
    if (!verifies) {
        cli_put_query(a, "model", &first, &path);
        cli_put_query(a, "limit", &first, &path);
        cli_put_query(a, "after", &first, &path);
    }
    buf_putc(&path, '\0');
    struct cli_ask ask = {.method = "GET",
                          .path = path.failed ? "/" : path.p,
                          .put = verifies ? put_report : put_rows,
                          .judge = verifies ? judge : NULL};
    int code = cli_ask(a, &ask);
    buf_done(&path);
    return code;
}

static void put_hash(const struct registry_digest *hash, struct buf *out)
{
    char hex[REGISTRY_DIGEST_HEX];
    registry_digest_hex(hash, hex);
    buf_printf(out, ",\"hash\":\"%s\"", hex);
}

static void put_text(const char *key, struct str value, struct buf *out)
{
    buf_printf(out, ",\"%s\":", key);
    buf_put_json_str(out, value);
}

// The JSON that a server would answer, made of the file.
static int report_json(const struct args *a, struct arena *arena, struct buf *out, struct err *e)
{
    struct registry_audit receipt;
    struct registry_audit_report report;
    const char *text = args_value(a, "receipt");
    int rc = text ? receipt_of(text, &receipt, e) : 0;
    if (!rc)
        rc = registry_sqlite_audit_verify(args_value(a, "data-dir"), text ? &receipt : NULL, arena, &report,
                                          e);
    if (rc)
        return rc;
    buf_printf(out, "{\"sound\":%s,\"rows\":%" PRIu64 ",\"head\":{\"id\":%" PRIu64,
               report.n_findings ? "false" : "true", report.n_rows, report.head.id);
    put_hash(&report.head.hash, out);
    buf_printf(out, "},\"second_head\":%s,\"n_findings\":%" PRIu64 ",\"findings\":[",
               report.has_second_head ? "true" : "false", report.n_findings);
    for (size_t i = 0; i < report.n_told; i++) {
        const struct registry_audit_finding *f = &report.findings[i];
        buf_printf(out, "%s{\"first\":%" PRIu64 ",\"last\":%" PRIu64, i ? "," : "", f->first, f->last);
        put_text("message", f->text, out);
        buf_putc(out, '}');
    }
    buf_puts(out, "]}");
    return 0;
}

static int rows_json(const struct args *a, struct arena *arena, struct buf *out, struct err *e)
{
    uint64_t limit, after;
    struct registry_audit *rows;
    size_t n;
    const char *model = args_value(a, "model");
    int rc = args_number(a, "limit", PAGE_DEFAULT, 1, LIMIT_PAGE, &limit, e);
    if (!rc)
        rc = args_number(a, "after", 0, 0, INT64_MAX, &after, e);
    if (rc)
        return rc;
    const struct registry_history_query which = {
        .model = str_of(model ? model : ""), .before = after, .limit = (uint32_t)limit + 1};
    rc = registry_sqlite_audit_list(args_value(a, "data-dir"), &which, arena, &rows, &n, e);
    buf_puts(out, "{\"rows\":[");
    for (size_t i = 0; !rc && i < n && i < limit; i++) {
        char at[CLOCK_RFC3339_SIZE];
        clock_rfc3339(rows[i].wall_ns, at);
        buf_printf(out, "%s{\"id\":%" PRIu64 ",\"at\":\"%s\"", i ? "," : "", rows[i].id, at);
        put_text("action", rows[i].action, out);
        put_text("model", rows[i].model, out);
        if (rows[i].version)
            buf_printf(out, ",\"version\":%u", rows[i].version);
        put_text("before", rows[i].before, out);
        put_text("after", rows[i].after, out);
        put_text("actor", rows[i].actor, out);
        put_text("reason", rows[i].reason, out);
        put_text("request_id", rows[i].request_id, out);
        put_hash(&rows[i].hash, out);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
    if (!rc && n > limit)
        buf_printf(out, ",\"next\":%" PRIu64, rows[limit - 1].id);
    buf_putc(out, '}');
    return rc;
}

static int print(const struct args *a, bool verifies, struct str json, struct err *e)
{
    struct buf out;
    buf_init(&out, 1 << 30);
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc = root ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    if (!rc && args_has(a, "json"))
        rc = term_put_json(root, &out, e);
    else if (!rc)
        rc = verifies ? put_report(a, root, &out, e) : put_rows(a, root, &out, e);
    if (!rc)
        rc = term_write(&out, e);
    if (!rc && verifies)
        rc = judge(root, e);
    yyjson_doc_free(doc);
    buf_done(&out);
    return rc;
}

static int offline(const struct args *a, bool verifies)
{
    struct arena arena = {0};
    struct buf json;
    struct err e;
    buf_init(&json, 1 << 30);
    int rc = arena_init(&arena, READ_ARENA_BYTES, &e);
    if (!rc)
        rc = verifies ? report_json(a, &arena, &json, &e) : rows_json(a, &arena, &json, &e);
    if (!rc)
        rc = print(a, verifies, buf_str(&json), &e);
    arena_done(&arena);
    buf_done(&json);
    return rc ? term_fail(&e, args_has(a, "json")) : CLI_OK;
}

static int audit_run(const struct args *a)
{
    bool verifies = a->n_words && strcmp(a->words[0], "verify") == 0;
    return args_has(a, "data-dir") ? offline(a, verifies) : online(a, verifies);
}

const struct verb verb_audit = {
    .name = "audit",
    .summary = "Lists all changes of the registry, or verifies that nobody altered their record.",
    .usage = "slipway audit [list|verify] [flags]",
    .examples = "slipway audit\n"
                "slipway audit list --model churn --limit 20\n"
                "slipway audit verify\n"
                "slipway audit verify --data-dir /var/lib/slipway   # without a server, or beside it",
    .flags =
        (const struct flag[]){
            {.name = "model", .value = "MODEL", .only = "list", .help = "Lists changes of this model only."},
            CLI_PAGE_FLAGS,
            {.name = "receipt",
             .value = "ROW:HASH",
             .only = "verify",
             .help = "Verifies that this row is still there; changes answer with it, and so does verify."},
            {.name = "data-dir", .value = "DIR", .help = "Reads this data directory instead of asking."},
            CLI_CLIENT_FLAGS,
            {0}},
    .max_words = 1,
    .first_words = "list|verify",
    .run = audit_run,
};
