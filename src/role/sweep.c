// SPDX-License-Identifier: Apache-2.0
// The sweep process: blob_trash_empty, then the report.
#include "role/sweep.h"

#include "base/buf.h"
#include "os/file.h"
#include "registry/registry.h"
#include "role/helper_report.h"

int sweep_main(int argc, char *const *argv)
{
    (void)argv;
    if (argc != 2)
        return 2;
    struct err e = {0}, ignored;
    struct buf report;
    buf_init(&report, HELPER_REPORT_MAX);
    if (blob_trash_empty(SWEEP_FD_TRASH, &e))
        helper_report_error(&e, &report);
    else
        buf_puts(&report, "{\"emptied\":true}");
    int failed = report.failed || file_write_all(SWEEP_FD_RESULT, report.p, report.n, &ignored);
    buf_done(&report);
    return failed;
}
