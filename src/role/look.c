// SPDX-License-Identifier: Apache-2.0
// Two reads of the registry, each in one transaction.
#include "role/look.h"

#include "base/buf.h"
#include "os/file.h"
#include "os/proc.h"
#include "registry/registry.h"
#include "role/helper_report.h"
#include "rollout/record.h"
#include "rollout/request.h"

#include <stdio.h>
#include <string.h>

enum { ARENA_BYTES = 1 << 30, BODY_BYTES = 1 << 30 }; // address space; what is more is an error

// ---- the audit ----

static void put_report(const struct registry_audit_report *report, struct buf *out)
{
    char hex[REGISTRY_DIGEST_HEX];
    registry_digest_hex(&report->head.hash, hex);
    buf_printf(out, "{\"sound\":%s,\"rows\":%llu,\"head\":{\"id\":%llu,\"hash\":\"%s\"},\"second_head\":%s",
               report->n_findings ? "false" : "true", (unsigned long long)report->n_rows,
               (unsigned long long)report->head.id, hex, report->has_second_head ? "true" : "false");
    buf_printf(out, ",\"n_findings\":%llu,\"findings\":[", (unsigned long long)report->n_findings);
    for (size_t i = 0; i < report->n_told; i++) {
        const struct registry_audit_finding *f = &report->findings[i];
        buf_printf(out, "%s{\"first\":%llu,\"last\":%llu,\"message\":", i ? "," : "",
                   (unsigned long long)f->first, (unsigned long long)f->last);
        buf_put_json_str(out, f->text);
        buf_putc(out, '}');
    }
    buf_puts(out, "]}");
}

static int look_at_audit(const char *data_dir, uint64_t number, const char *hex, struct arena *a,
                         struct buf *out, struct err *e)
{
    struct registry_audit_report report;
    struct registry_audit receipt = {.id = number};
    char text[REGISTRY_DIGEST_TEXT];
    snprintf(text, sizeof text, "sha256:%s", hex);
    if (number && !registry_digest_parse(str_of(text), &receipt.hash))
        return err_set(e, ERR_INVALID, "'%.80s' is not the hash of a receipt", hex);
    int rc = registry_sqlite_audit_verify(data_dir, number ? &receipt : NULL, a, &report, e);
    if (!rc)
        put_report(&report, out);
    return rc;
}

// ---- the record of a rollout ----

// Runs all records from the first: each must come out as it was written.
static int put_replay(const struct rollout_spec *spec, const struct registry_rollout_record *list, size_t n,
                      struct buf *out, struct err *e)
{
    struct plan p = {0};
    struct err why = {0};
    size_t same = 0;
    int rc = 0;
    while (same < n && (rc = rollout_replay(spec, &p, list[same].record_json, &why)) == 0)
        same++;
    if (rc == ERR_NOMEM) {
        *e = why;
        return rc;
    }
    buf_printf(out, ",\"replay\":{\"sound\":%s,\"moves\":%zu", same == n ? "true" : "false", n);
    if (same < n) {
        buf_printf(out, ",\"differs_at\":%llu,\"message\":", (unsigned long long)list[same].number);
        buf_put_json_str(out, str_of(why.msg));
    }
    buf_putc(out, '}');
    return 0;
}

static int look_at_rollout(const char *data_dir, uint64_t id, struct arena *a, struct buf *out, struct err *e)
{
    struct rollout_spec spec;
    struct registry_rollout v;
    struct registry_rollout_record *list;
    size_t n;
    int rc = registry_sqlite_rollout_read(data_dir, id, a, &v, &list, &n, e);
    if (!rc)
        rc = rollout_request_decode(v.request_json, &spec, e);
    if (rc)
        return rc;
    buf_printf(out, "{\"rollout\":%llu,\"model\":", (unsigned long long)id);
    buf_put_json_str(out, v.model);
    buf_puts(out, ",\"events\":[");
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, i ? "," : "");
        buf_put_str(out, list[i].record_json);
    }
    buf_putc(out, ']');
    rc = put_replay(&spec, list, n, out, e);
    buf_putc(out, '}');
    return rc;
}

// ---- the process ----

static int look(char *const *argv, struct buf *out, struct err *e)
{
    const char *data_dir = argv[LOOK_ARG_DATA_DIR], *what = argv[LOOK_ARG_WHAT];
    struct arena a;
    uint64_t number;
    if (!str_to_u64(str_of(argv[LOOK_ARG_NUMBER]), INT64_MAX, &number))
        return err_set(e, ERR_INVALID, "'%.40s' is no number", argv[LOOK_ARG_NUMBER]);
    int rc = arena_init(&a, ARENA_BYTES, e);
    if (rc)
        return rc;
    if (strcmp(what, LOOK_AUDIT) == 0)
        rc = look_at_audit(data_dir, number, argv[LOOK_ARG_HASH], &a, out, e);
    else if (strcmp(what, LOOK_ROLLOUT) == 0)
        rc = look_at_rollout(data_dir, number, &a, out, e);
    else
        rc = err_set(e, ERR_INVALID, "there is no '%.40s' to look at", what);
    arena_done(&a);
    if (!rc && out->failed)
        rc = err_set(e, ERR_NOMEM, "the answer takes too much memory");
    return rc ? rc : file_write_all(LOOK_FD_BODY, out->p, out->n, e);
}

int look_main(int argc, char *const *argv)
{
    struct buf body, report;
    struct err e = {0}, ignored;
    if (argc != LOOK_ARGS || strcmp(argv[LOOK_ARG_ROLE], LOOK_ROLE) != 0)
        return 2;
    proc_give_way();
    buf_init(&body, BODY_BYTES);
    buf_init(&report, HELPER_REPORT_MAX);
    if (look(argv, &body, &e))
        helper_report_error(&e, &report);
    else
        buf_puts(&report, "{}");
    int failed = report.failed || file_write_all(LOOK_FD_RESULT, report.p, report.n, &ignored);
    buf_done(&body);
    buf_done(&report);
    return failed;
}
