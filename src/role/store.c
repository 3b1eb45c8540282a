// SPDX-License-Identifier: Apache-2.0
// The store process: blob_store, then the report.
#include "role/store.h"

#include "base/buf.h"
#include "os/file.h"
#include "os/proc.h"
#include "registry/registry.h"
#include "role/helper_report.h"

int store_main(int argc, char *const *argv)
{
    struct registry_digest digest;
    if (argc != STORE_ARGS || !registry_digest_parse(str_of(argv[STORE_ARG_DIGEST]), &digest))
        return 2;
    proc_give_way();
    bool has_file = argv[STORE_ARG_NAME][0], stored = false, replaced = false;
    struct blob_parts parts = {.sha256_fd = STORE_FD_SHA256,
                               .tmp_fd = has_file ? STORE_FD_TMP : -1,
                               .file_fd = has_file ? STORE_FD_FILE : -1,
                               .tmp_name = argv[STORE_ARG_NAME],
                               .ret_replaced = &replaced};
    struct err e = {0}, ignored;
    struct buf report;
    buf_init(&report, HELPER_REPORT_MAX);
    if (blob_store(&parts, &digest, &stored, &e))
        helper_report_error(&e, &report);
    else
        buf_printf(&report, "{\"stored\":%s,\"replaced\":%s}", stored ? "true" : "false",
                   replaced ? "true" : "false");
    int result_fd = has_file ? STORE_FD_RESULT : STORE_FD_RESULT_ALONE;
    int failed = report.failed || file_write_all(result_fd, report.p, report.n, &ignored);
    buf_done(&report);
    return failed;
}
