// SPDX-License-Identifier: Apache-2.0
// The snapshot: state/feedback/quality, what followed from all entries of the log up to a number. Entries
// before it that are still there only say which ids have which label; those behind it are counted as well.
//
//   "SLIPQ2\0\0" | u64 seq | u64 n | n times: subject without its cohorts | cohorts … | u32 crc32c
//
// A cohort: struct kept_cohort | struct kept_more | counters of a binary task | pairs of classes | sizes of
// errors. In files of older builds, "SLIPQ1", there is no struct kept_more.
#include "base/buf.h"
#include "base/crc32c.h"
#include "os/file.h"
#include "role/monitor/quality_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SNAPSHOT_BYTES_MAX = 256 << 20, CLASS_BYTES = sizeof(uint32_t) };
static const char MAGIC[8] = "SLIPQ2", OLDER_MAGIC[8] = "SLIPQ1";

struct kept_subject {
    uint64_t deployment;
    uint32_t version, n, arm, zero;
};

struct kept_cohort {
    int64_t hour;
    uint64_t predicted, labelled, not_binary, class_labelled, class_hits;
    struct {
        uint64_t n;
        double sum, absolute, squares;
    } errors;
    uint64_t delays[COHORT_DELAYS];
    uint32_t has_binary, n_classes, n_pairs, zero;
};

struct kept_more {
    double over_squares;
    struct class_ranks ranks;
    uint32_t n_sizes, zero; // n_sizes: 0 or COHORT_SIZES
};

static void put_cohort(const struct cohort *c, struct buf *out)
{
    const struct class_counts *k = &c->classes;
    struct kept_cohort x = {.hour = c->hour,
                            .predicted = c->predicted,
                            .labelled = c->labelled,
                            .not_binary = c->not_binary,
                            .class_labelled = k->labelled,
                            .class_hits = k->hits,
                            .errors = {c->errors.n, c->errors.sum, c->errors.absolute, c->errors.squares},
                            .has_binary = c->binary != NULL,
                            .n_classes = k->n,
                            .n_pairs = k->pairs ? k->n * k->n : 0};
    struct kept_more more = {
        .over_squares = c->errors.over_squares, .ranks = k->ranks, .n_sizes = c->sizes ? COHORT_SIZES : 0};
    memcpy(x.delays, c->delays, sizeof x.delays);
    buf_put(out, &x, sizeof x);
    buf_put(out, &more, sizeof more);
    if (c->binary)
        buf_put(out, c->binary, sizeof *c->binary);
    buf_put(out, k->pairs, (size_t)x.n_pairs * CLASS_BYTES);
    buf_put(out, c->sizes, (size_t)more.n_sizes * CLASS_BYTES);
}

static int write_snapshot(int dir_fd, const struct buf *b, struct err *e)
{
    int fd = openat(dir_fd, "quality.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "making state/feedback/quality.new");
    int rc = file_write_all(fd, b->p, b->n, e);
    if (!rc)
        rc = file_sync(fd, e);
    close(fd);
    return rc ? rc : file_replace(dir_fd, "quality.new", dir_fd, "quality", e);
}

int quality_save(struct judge *j, struct err *e)
{
    struct buf b;
    uint64_t seq = labels_last_seq(j->labels), n = j->n_subjects;
    buf_init(&b, SNAPSHOT_BYTES_MAX);
    buf_put(&b, MAGIC, sizeof MAGIC);
    buf_put(&b, &seq, sizeof seq);
    buf_put(&b, &n, sizeof n);
    for (unsigned i = 0; i < j->n_subjects; i++) {
        const struct subject *s = j->subjects[i];
        struct kept_subject x = {s->deployment, s->version, s->n, s->arm, 0};
        buf_put(&b, &x, sizeof x);
        put_cohort(&s->older, &b);
        for (uint32_t k = 0; k < s->n; k++) {
            struct cohort told = s->cohorts[k]; // what the log does not have comes in an entry behind this
            told.predicted -= s->untold[k];
            put_cohort(&told, &b);
        }
    }
    uint32_t crc = crc32c(0, b.p, b.n);
    buf_put(&b, &crc, sizeof crc);
    int rc = b.failed ? err_set(e, ERR_NOMEM, "no memory to save quality")
                      : write_snapshot(labels_dir(j->labels), &b, e);
    buf_done(&b);
    if (!rc)
        j->snapshot_seq = seq;
    return rc;
}

static bool take(struct str *from, void *to, size_t n)
{
    if (from->n < n)
        return false;
    memcpy(to, from->p, n);
    from->p += n;
    from->n -= n;
    return true;
}

static bool take_cells(struct str *from, uint32_t n, uint32_t **ret)
{
    *ret = n ? calloc(n, CLASS_BYTES) : NULL;
    return !n || (*ret && take(from, *ret, (size_t)n * CLASS_BYTES));
}

static bool take_cohort(struct str *from, bool is_older, struct cohort *c)
{
    struct kept_cohort x;
    struct kept_more more = {0};
    if (!take(from, &x, sizeof x) || (!is_older && !take(from, &more, sizeof more)) ||
        (more.n_sizes && more.n_sizes != COHORT_SIZES) || x.n_classes > (1u << 30) ||
        (x.n_pairs && (x.n_classes > COHORT_CLASSES_MAX || x.n_pairs != x.n_classes * x.n_classes)))
        return false;
    *c = (struct cohort){
        .hour = x.hour,
        .predicted = x.predicted,
        .labelled = x.labelled,
        .not_binary = x.not_binary,
        .errors = {x.errors.n, x.errors.sum, x.errors.absolute, x.errors.squares, more.over_squares},
        .classes = {x.n_classes, x.class_labelled, x.class_hits, NULL, more.ranks}};
    memcpy(c->delays, x.delays, sizeof c->delays);
    if (x.has_binary)
        c->binary = malloc(sizeof *c->binary);
    return (!x.has_binary || (c->binary && take(from, c->binary, sizeof *c->binary))) &&
           take_cells(from, x.n_pairs, &c->classes.pairs) && take_cells(from, more.n_sizes, &c->sizes);
}

static bool take_all(struct judge *j, struct str from)
{
    char magic[sizeof MAGIC];
    uint64_t n;
    bool good = take(&from, magic, sizeof magic);
    bool is_older = good && memcmp(magic, OLDER_MAGIC, sizeof magic) == 0;
    good = good && (is_older || memcmp(magic, MAGIC, sizeof magic) == 0) &&
           take(&from, &j->snapshot_seq, 8) && take(&from, &n, 8) && n <= QUALITY_SUBJECTS;
    for (uint64_t i = 0; good && i < n; i++) {
        struct kept_subject x;
        struct subject *s = NULL;
        good = take(&from, &x, sizeof x) && x.n <= QUALITY_COHORTS &&
               (s = quality_subject(j, x.deployment, x.version, (uint8_t)x.arm)) && s->n == 0 &&
               take_cohort(&from, is_older, &s->older);
        for (uint32_t k = 0; good && k < x.n; k++) {
            good = take_cohort(&from, is_older, &s->cohorts[k]);
            s->n++;
            j->n_cohorts++;
        }
    }
    return good && from.n == 0;
}

static int read_snapshot(struct judge *j, struct err *e)
{
    uint64_t size;
    size_t n;
    uint32_t crc = 0;
    int fd = openat(labels_dir(j->labels), "quality", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "opening state/feedback/quality");
    int rc = file_size(fd, &size, e);
    char *p = rc || size > SNAPSHOT_BYTES_MAX ? NULL : malloc(size + 1);
    if (!rc && !p)
        rc = err_set(e, ERR_NOMEM, "no memory for state/feedback/quality");
    if (!rc)
        rc = file_read_at(fd, p, size, 0, &n, e);
    close(fd);
    bool good = !rc && n > sizeof crc;
    if (good)
        memcpy(&crc, p + n - sizeof crc, sizeof crc);
    good = good && crc == crc32c(0, p, n - sizeof crc) && take_all(j, (struct str){p, n - sizeof crc});
    free(p);
    return rc || good ? rc : err_set(e, ERR_DIGEST, "state/feedback/quality is damaged");
}

// ---- the log

static void visit_judged(struct judge *j, const struct labels_entry *x, bool counts)
{
    struct err ignored;
    struct join_row *r = quality_row(j, x->id, x->row);
    if (r && r->state == JOIN_JUDGED && counts && quality_count_label(j, r, -1, &ignored))
        j->unusable++;
    if (!r)
        r = quality_row_add(j, x->id, x->row, JOIN_JUDGED);
    join_set_state(j->join, r, JOIN_JUDGED);
    r->outcome = (struct outcome){.deployment = x->deployment,
                                  .wall_ns = x->predicted_ns,
                                  .score = x->score,
                                  .class = x->class,
                                  .n_classes = x->n_classes,
                                  .version = x->version,
                                  .arm = x->arm,
                                  .kind = x->outcome_kind & LABELS_OUTCOME_MASK,
                                  .rank = x->outcome_kind >> LABELS_RANK_SHIFT};
    r->truth = x->truth;
    r->label = (struct label){.wall_ns = x->labelled_ns, .text = x->label_bits, .kind = x->label_kind};
    if (counts && (!cohort_takes(&r->outcome, r->truth) || quality_count_label(j, r, 1, &ignored)))
        j->unusable++;
}

static void visit(void *ctx, const struct labels_entry *x)
{
    struct judge *j = ctx;
    struct join_row *r;
    struct subject *s;
    bool counts = x->seq > j->snapshot_seq;
    switch (x->kind) {
    case LABELS_WAITING:
        r = join_find(j->join, x->id, x->row);
        if (!r)
            r = quality_row_add(j, x->id, x->row, JOIN_WAITING);
        if (r->state == JOIN_WAITING)
            late_add(j->late, x->id, x->row);
        if (r->state == JOIN_WAITING)
            r->label =
                (struct label){.wall_ns = x->labelled_ns, .text = x->label_bits, .kind = x->label_kind};
        break;
    case LABELS_JUDGED:
        visit_judged(j, x, counts);
        break;
    case LABELS_PREDICTED:
        s = counts ? quality_subject(j, x->deployment, x->version, x->arm) : NULL;
        if (s) {
            uint32_t n = s->n;
            quality_cohort(s, x->predicted_ns)->predicted += x->label_bits;
            j->n_cohorts += s->n - n;
        }
        break;
    default:
        break;
    }
}

int quality_load(struct judge *j, struct err *e)
{
    uint64_t n_bad = 0;
    int rc = read_snapshot(j, e);
    j->damaged = rc == ERR_DIGEST;
    if (rc == ERR_DIGEST) { // the entries that are still there tell a part of it
        quality_forget(j);
        j->snapshot_seq = 0;
        rc = 0;
    }
    if (!rc)
        rc = labels_replay(j->labels, visit, j, &n_bad, e);
    j->damaged += n_bad;
    if (!rc)
        labels_skip_to(j->labels, j->snapshot_seq);
    return rc;
}
