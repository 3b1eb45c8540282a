// SPDX-License-Identifier: Apache-2.0
// The snapshot: state/feedback/quality, what followed from all entries of the log up to a number. Entries
// before it that are still there only say which ids have which label; those behind it are counted as well.
//
//   "SLIPQ3\0\0" | u64 seq | u64 n | n times: subject without its cohorts | cohorts … | days | u32 crc32c
//
// A cohort: struct kept_cohort | struct kept_more | struct kept_scores | counters of a binary task | pairs of
// classes | sizes of errors | counts of scores. Days: u64 n | n times struct ledger_unit. Files of older
// builds: "SLIPQ2" has no struct kept_scores, no counts of scores and no days; "SLIPQ1" no struct kept_more
// either.
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
enum { FORMAT = 3, HOUR_MAX = 10000000 }; // of the magic's digit; some thousand years after 1970
static const char MAGIC[8] = "SLIPQ3";

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

struct kept_scores {
    struct class_scores classes;
    uint64_t not_scores, of_class;
    uint32_t has_scores, zero;
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
    struct kept_scores scores = {.classes = k->scores,
                                 .not_scores = c->not_scores,
                                 .of_class = c->of_class,
                                 .has_scores = c->scores != NULL};
    memcpy(x.delays, c->delays, sizeof x.delays);
    buf_put(out, &x, sizeof x);
    buf_put(out, &more, sizeof more);
    buf_put(out, &scores, sizeof scores);
    if (c->binary)
        buf_put(out, c->binary, sizeof *c->binary);
    buf_put(out, k->pairs, (size_t)x.n_pairs * CLASS_BYTES);
    buf_put(out, c->sizes, (size_t)more.n_sizes * CLASS_BYTES);
    buf_put(out, c->scores, c->scores ? sizeof *c->scores : 0);
}

static void put_days(const struct ledger *l, struct buf *out)
{
    uint64_t n = l ? l->n : 0;
    buf_put(out, &n, sizeof n);
    if (n)
        buf_put(out, l->days, n * sizeof l->days[0]);
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
        put_days(s->days, &b);
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

static bool take_days(struct str *from, struct subject *s)
{
    uint64_t n;
    if (!take(from, &n, sizeof n) || n > LEDGER_DAYS)
        return false;
    if (n == 0)
        return true;
    s->days = calloc(1, sizeof *s->days);
    if (!s->days || !take(from, s->days->days, n * sizeof s->days->days[0]))
        return false;
    s->days->n = (uint32_t)n;
    for (uint64_t i = 0; i < n; i++) {
        const struct ledger_unit *u = &s->days->days[i];
        if (u->hour < 0 || u->hour > HOUR_MAX || u->hour % LEDGER_DAY_HOURS || u->hours != LEDGER_DAY_HOURS ||
            (i && u->hour <= u[-1].hour))
            return false;
    }
    return true;
}

// format: 1 to FORMAT.
static bool take_cohort(struct str *from, int format, struct cohort *c)
{
    struct kept_cohort x;
    struct kept_more more = {0};
    struct kept_scores scores = {0};
    if (!take(from, &x, sizeof x) || (format >= 2 && !take(from, &more, sizeof more)) ||
        (format >= 3 && !take(from, &scores, sizeof scores)) || x.hour < -1 || x.hour > HOUR_MAX ||
        (more.n_sizes && more.n_sizes != COHORT_SIZES) || x.n_classes > (1u << 30) ||
        (x.n_pairs && (x.n_classes > COHORT_CLASSES_MAX || x.n_pairs != x.n_classes * x.n_classes)))
        return false;
    *c = (struct cohort){
        .hour = x.hour,
        .predicted = x.predicted,
        .labelled = x.labelled,
        .not_binary = x.not_binary,
        .errors = {x.errors.n, x.errors.sum, x.errors.absolute, x.errors.squares, more.over_squares},
        .not_scores = scores.not_scores,
        .of_class = scores.of_class,
        .classes = {x.n_classes, x.class_labelled, x.class_hits, NULL, more.ranks, scores.classes}};
    memcpy(c->delays, x.delays, sizeof c->delays);
    if (x.has_binary)
        c->binary = malloc(sizeof *c->binary);
    if (scores.has_scores)
        c->scores = malloc(sizeof *c->scores);
    return (!x.has_binary || (c->binary && take(from, c->binary, sizeof *c->binary))) &&
           take_cells(from, x.n_pairs, &c->classes.pairs) && take_cells(from, more.n_sizes, &c->sizes) &&
           (!scores.has_scores || (c->scores && take(from, c->scores, sizeof *c->scores)));
}

// 0: none that is known.
static int format_of(const char magic[sizeof MAGIC])
{
    char newest[sizeof MAGIC];
    memcpy(newest, magic, sizeof newest);
    int format = magic[5] - '0';
    newest[5] = MAGIC[5];
    return memcmp(newest, MAGIC, sizeof newest) == 0 && format >= 1 && format <= FORMAT ? format : 0;
}

bool quality_take_snapshot(struct judge *j, struct str from)
{
    char magic[sizeof MAGIC];
    uint64_t n;
    bool good = take(&from, magic, sizeof magic);
    int format = good ? format_of(magic) : 0;
    good = format && take(&from, &j->snapshot_seq, 8) && take(&from, &n, 8) && n <= QUALITY_SUBJECTS;
    for (uint64_t i = 0; good && i < n; i++) {
        struct kept_subject x;
        struct subject *s = NULL;
        good = take(&from, &x, sizeof x) && x.n <= QUALITY_COHORTS &&
               (s = quality_subject(j, x.deployment, x.version, (uint8_t)x.arm)) && j->n_subjects == i + 1 &&
               take_cohort(&from, format, &s->older);
        for (uint32_t k = 0; good && k < x.n; k++) {
            good = take_cohort(&from, format, &s->cohorts[k]);
            s->n++;
            j->n_cohorts++;
        }
        good = good && (format < 3 || take_days(&from, s));
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
    good = good && crc == crc32c(0, p, n - sizeof crc) &&
           quality_take_snapshot(j, (struct str){p, n - sizeof crc});
    free(p);
    return rc || good ? rc : err_set(e, ERR_DIGEST, "state/feedback/quality is damaged");
}

// ---- the log

static void visit_judged(struct judge *j, const struct labels_entry *entry, bool counts)
{
    struct err ignored;
    struct labels_entry scored = *entry;
    const struct labels_entry *x = &scored;
    double squares = 0;
    float confidence = 0;
    if (x->kind == LABELS_SCORED)
        labels_take_scores(&scored, &squares, &confidence);
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
                                  .rank = x->outcome_kind >> LABELS_RANK_SHIFT,
                                  .squares = squares,
                                  .confidence = confidence};
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
    case LABELS_SCORED:
        visit_judged(j, x, counts);
        break;
    case LABELS_PREDICTED:
        s = counts ? quality_subject(j, x->deployment, x->version, x->arm) : NULL;
        if (s) {
            uint32_t n = s->n;
            struct cohort *c = quality_cohort(s, x->predicted_ns);
            c->predicted += x->label_bits;
            if (c == &s->older)
                quality_ledger_predicted(s, x->predicted_ns, x->label_bits);
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
    quality_forget(j); // of a try that failed
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
