// SPDX-License-Identifier: Apache-2.0
// The order of the parts, and the memory.
#include "role/monitor/page.h"

#include "base/buf.h"
#include "os/shm.h"
#include "role/log_memory.h"
#include "role/metrics.h"
#include "role/monitor/alerts.h"
#include "role/monitor/drift_feed.h"
#include "role/monitor/log.h"
#include "role/monitor/quality.h"
#include "role/monitor/sinks.h"
#include "role/traces.h"

#include <stdlib.h>

struct page {
    void *segment;
    size_t bytes;
    struct buf text;
    bool was_too_long; // told in the log
};

int page_open(struct monitor *m, struct err *e)
{
    struct page *p = m->page = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory to start");
    buf_init(&p->text, LIMIT_METRICS_TEXT_BYTES);
    int rc = shm_map(m->args->metrics_fd, true, metrics_segment_bytes(m->args->n_gateways), SIZE_MAX / 2,
                     &p->segment, &p->bytes, e);
    return rc ? err_wrap(e, "metrics") : 0;
}

void page_close(struct monitor *m)
{
    if (!m->page)
        return;
    shm_unmap(m->page->segment, m->page->bytes);
    buf_done(&m->page->text);
    free(m->page);
    m->page = NULL;
}

void page_tick(struct monitor *m)
{
    struct page *p = m->page;
    buf_clear(&p->text);
    traces_metrics_put(m->traces, &p->text);
    sinks_metrics_put(m, &p->text);
    drift_put_metrics(m, &p->text);
    quality_put_metrics(m, &p->text);
    if (m->alerts)
        alerts_metrics_put(m, &p->text);
    struct err e;
    if (log_metrics_put(m->args->log_fd, m->args->n_gateways, &p->text, &e))
        log_event(&m->log, LOG_LEVEL_ERROR, "log_not_counted", LOG_Z("message", e.msg));
    log_put_metrics(m, &p->text);
    bool good = !p->text.failed &&
                metrics_text_write(metrics_text_of(p->segment, m->args->n_gateways), buf_str(&p->text));
    if (!good && !p->was_too_long) // what was there stays
        log_event(&m->log, LOG_LEVEL_ERROR, "metrics_too_long", LOG_INT("limit", LIMIT_METRICS_TEXT_BYTES));
    p->was_too_long = !good;
}
