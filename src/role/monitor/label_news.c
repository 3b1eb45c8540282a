// SPDX-License-Identifier: Apache-2.0
// An array that is emptied from its front as messages go out.
#include "role/monitor/label_news.h"

#include "role/ipc.h"
#include "role/monitor/served.h"
#include "rollout/split.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGE_ITEMS = 8192 }; // of one message

struct item {
    uint64_t deployment, predicted_ns;
    uint16_t weight_bp, bucket;
    uint8_t arm;
    bool is_wrong;
};

struct label_news {
    uint32_t n;
    uint64_t n_lost; // for which there was no room
    struct item items[LABEL_NEWS_MAX];
};

int label_news_open(struct monitor *m, struct err *e)
{
    m->label_news = calloc(1, sizeof *m->label_news);
    return m->label_news ? 0 : err_set(e, ERR_NOMEM, "no memory to start");
}

void label_news_close(struct monitor *m)
{
    free(m->label_news);
    m->label_news = NULL;
}

// False for what is no decision: a number that is no probability.
static bool is_decision(const struct join_row *row, bool *ret_wrong)
{
    const struct outcome *o = &row->outcome;
    bool is_score = o->score >= 0 && o->score <= 1 && (row->truth == 0 || row->truth == 1);
    *ret_wrong =
        o->kind == OUTCOME_CLASS ? (double)o->class != row->truth : (o->score >= 0.5) != (row->truth == 1);
    return o->kind == OUTCOME_CLASS || is_score;
}

void label_news_add(struct label_news *n, const struct join_row *row)
{
    const struct outcome *o = &row->outcome;
    bool is_wrong, is_drawn = o->weight_bp > 0 && o->weight_bp < SPLIT_BUCKETS;
    if (!n || row->row != 0 || !is_drawn || !is_decision(row, &is_wrong))
        return;
    if (n->n == LABEL_NEWS_MAX) {
        n->n_lost++;
        return;
    }
    n->items[n->n++] = (struct item){o->deployment, o->wall_ns, o->weight_bp, o->bucket, o->arm, is_wrong};
}

uint32_t label_news_put(const struct label_news *n, uint32_t from, struct buf *out)
{
    uint32_t i = from, end = n->n - from < MESSAGE_ITEMS ? n->n : from + MESSAGE_ITEMS;
    buf_puts(out, "{\"labels\":[");
    for (; i < end; i++) {
        const struct item *k = &n->items[i];
        buf_printf(out, "%s[%llu,%u,%u,%u,%llu,%d]", i > from ? "," : "", (unsigned long long)k->deployment,
                   k->arm, k->weight_bp, k->bucket, (unsigned long long)k->predicted_ns, k->is_wrong);
    }
    buf_puts(out, "]}");
    return end;
}

void label_news_tell(struct monitor *m)
{
    struct label_news *n = m->label_news;
    uint32_t told = 0;
    bool takes = true;
    while (n && takes && told < n->n) {
        struct buf out;
        buf_init(&out, IPC_PAYLOAD_MAX);
        uint32_t end = label_news_put(n, told, &out);
        takes = !out.failed && served_tell(m->served, IPC_LABELS, buf_str(&out));
        told = takes ? end : told;
        buf_done(&out);
    }
    if (told == 0)
        return;
    n->n -= told;
    memmove(n->items, n->items + told, n->n * sizeof n->items[0]);
}

void label_news_put_metrics(const struct label_news *n, struct buf *out)
{
    buf_printf(out,
               "# HELP slipway_rollout_labels_lost_total Labels that rollouts did not hear of, as too many "
               "waited for the controller.\n# TYPE slipway_rollout_labels_lost_total counter\n"
               "slipway_rollout_labels_lost_total %llu\n",
               (unsigned long long)n->n_lost);
}
