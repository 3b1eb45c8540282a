// SPDX-License-Identifier: Apache-2.0
// The state of a prediction id moves from PREDICTED or WAITING to JUDGED; each move is an entry of the log,
// and what is counted is what the entries say, so that a process that begins again counts the same.
#include "role/monitor/quality.h"

#include "base/clock.h"
#include "role/feedback_token.h"
#include "role/monitor/outcome.h"
#include "role/monitor/quality_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_HOUR UINT64_C(3600000000000)
enum { TELL_SECONDS = 10 }; // between entries of how much was predicted

static void subject_free(struct judge *j, struct subject *s)
{
    if (j->last == s)
        j->last = NULL;
    for (uint32_t i = 0; i < s->n; i++)
        cohort_done(&s->cohorts[i]);
    cohort_done(&s->older);
    free(s->days);
    j->n_cohorts -= s->n;
    free(s);
}

void quality_forget(struct judge *j)
{
    while (j->n_subjects)
        subject_free(j, j->subjects[--j->n_subjects]);
}

static unsigned least_used(const struct judge *j)
{
    unsigned least = 0;
    for (unsigned i = 1; i < j->n_subjects; i++)
        if (j->subjects[i]->used < j->subjects[least]->used)
            least = i;
    return least;
}

struct subject *quality_subject(struct judge *j, uint64_t deployment, uint32_t version, uint8_t arm)
{
    for (unsigned i = 0; i < j->n_subjects; i++) {
        struct subject *s = j->subjects[i];
        if (s->deployment == deployment && s->arm == arm) {
            s->used = ++j->clock;
            return s;
        }
    }
    struct subject *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct subject){.deployment = deployment, .version = version, .arm = arm, .used = ++j->clock};
    s->older.hour = -1;
    if (j->n_subjects == QUALITY_SUBJECTS) {
        unsigned i = least_used(j);
        subject_free(j, j->subjects[i]);
        j->subjects[i] = j->subjects[--j->n_subjects];
    }
    j->subjects[j->n_subjects++] = s;
    return s;
}

// The first of the list joins those that are older. What was not told of it is told of no hour any more.
static bool fold_oldest(struct subject *s)
{
    struct err ignored;
    if (cohort_merge(&s->older, &s->cohorts[0], &ignored))
        return false;
    quality_ledger_fold(s, &s->cohorts[0]);
    s->older.hour = s->cohorts[0].hour;
    cohort_done(&s->cohorts[0]);
    s->n--;
    memmove(s->cohorts, s->cohorts + 1, s->n * sizeof *s->cohorts);
    memmove(s->untold, s->untold + 1, s->n * sizeof *s->untold);
    return true;
}

struct cohort *quality_cohort(struct subject *s, uint64_t wall_ns)
{
    int64_t hour = (int64_t)(wall_ns / NS_PER_HOUR);
    uint32_t i = s->n;
    while (i > 0 && s->cohorts[i - 1].hour > hour)
        i--;
    if (i > 0 && s->cohorts[i - 1].hour == hour)
        return &s->cohorts[i - 1];
    if (hour <= s->older.hour)
        return &s->older;
    if (s->n == QUALITY_COHORTS) {
        if (i == 0 || !fold_oldest(s)) {
            s->older.hour = i == 0 ? hour : s->older.hour;
            return &s->older;
        }
        i--;
    }
    memmove(s->cohorts + i + 1, s->cohorts + i, (s->n - i) * sizeof *s->cohorts);
    memmove(s->untold + i + 1, s->untold + i, (s->n - i) * sizeof *s->untold);
    s->n++;
    s->cohorts[i] = (struct cohort){.hour = hour};
    s->untold[i] = 0;
    return &s->cohorts[i];
}

// The same within the bound over all subjects.
static struct cohort *cohort_of(struct judge *j, const struct outcome *o, struct subject **ret)
{
    struct subject *s = *ret = quality_subject(j, o->deployment, o->version, o->arm);
    if (!s)
        return NULL;
    uint32_t n = s->n;
    struct cohort *c = quality_cohort(s, o->wall_ns);
    if (j->n_cohorts >= QUALITY_COHORTS_ALL && s->n > n && s->n > 1) {
        if (fold_oldest(s))
            c = quality_cohort(s, o->wall_ns);
    }
    j->n_cohorts += s->n - n;
    return c;
}

struct join_row *quality_row(const struct judge *j, const uint8_t id[16], uint32_t row)
{
    struct join_row *r = join_find(j->join, id, row);
    return r ? r : join_find(j->labelled, id, row);
}

struct join_row *quality_row_add(struct judge *j, const uint8_t id[16], uint32_t row, enum join_state state)
{
    const struct join_row *oldest = join_oldest(j->join);
    if (oldest && oldest->state == JOIN_JUDGED) {
        struct join_row *to = join_add(j->labelled, oldest->id, oldest->row, JOIN_JUDGED);
        to->outcome = oldest->outcome;
        to->label = oldest->label;
        to->truth = oldest->truth;
    }
    return join_add(j->join, id, row, state);
}

int quality_count_label(struct judge *j, const struct join_row *row, int sign, struct err *e)
{
    struct subject *s;
    struct cohort *c = cohort_of(j, &row->outcome, &s);
    if (!c)
        return err_set(e, ERR_NOMEM, "no memory for the counters of quality");
    int rc = cohort_add(c, &row->outcome, row->truth, row->label.wall_ns, sign, e);
    if (!rc && c == &s->older)
        quality_ledger_label(s, row, sign);
    return rc;
}

static struct labels_entry entry_of(const struct join_row *r)
{
    bool waits = r->state == JOIN_WAITING;
    struct labels_entry x = {.kind = waits ? LABELS_WAITING : LABELS_JUDGED,
                             .row = r->row,
                             .label_kind = r->label.kind,
                             .label_bits = r->label.text,
                             .labelled_ns = r->label.wall_ns};
    memcpy(x.id, r->id, sizeof x.id);
    if (waits)
        return x;
    x.arm = r->outcome.arm;
    x.outcome_kind = (uint8_t)(r->outcome.kind | r->outcome.rank << LABELS_RANK_SHIFT);
    x.version = r->outcome.version;
    x.deployment = r->outcome.deployment;
    x.predicted_ns = r->outcome.wall_ns;
    x.truth = r->truth;
    x.score = r->outcome.score;
    x.class = r->outcome.class;
    x.n_classes = r->outcome.n_classes;
    if (r->outcome.squares > 0)
        labels_put_scores(&x, r->outcome.squares, r->outcome.confidence);
    return x;
}

static int tell(struct judge *j, const struct join_row *r, struct err *e)
{
    struct labels_entry x = entry_of(r);
    return labels_append(j->labels, &x, e);
}

// What the prediction thought of the class that is now said to be true, as far as that is still known.
static void weigh(const struct judge *j, struct join_row *r)
{
    struct outcome *o = &r->outcome;
    const void *p = odds_get(j->odds, r->odds, (size_t)o->n_classes * r->odds_size);
    if (o->kind != OUTCOME_CLASS)
        return;
    o->score = nan("");
    o->rank = p ? (uint8_t)odds_rank(p, r->odds_size, o->n_classes, (uint32_t)r->truth, &o->score) : 0;
    o->squares = p ? odds_squares(p, r->odds_size, o->n_classes) : 0;
}

// A row that was PREDICTED, or is JUDGED, gets this label; all or nothing.
static int judge_row(struct judge *j, struct join_row *r, const struct label *label, double truth,
                     struct err *e)
{
    struct join_row before = *r;
    struct err ignored;
    r->label = *label;
    r->truth = truth;
    weigh(j, r);
    int rc = quality_count_label(j, r, 1, e);
    if (!rc) {
        join_set_state(j->join, r, JOIN_JUDGED);
        rc = tell(j, r, e);
        if (rc && quality_count_label(j, r, -1, &ignored))
            j->unusable++; // it cannot be: what was just added has its counters
    }
    if (rc) {
        join_set_state(j->join, r, before.state);
        r->outcome = before.outcome;
        r->label = before.label;
        r->truth = before.truth;
        return rc;
    }
    if (before.state == JOIN_JUDGED) // rollouts go by the first one
        return quality_count_label(j, &before, -1, e);
    label_news_add(j->news, r);
    return 0;
}

const struct version *quality_version(const struct models *ms, uint64_t deployment)
{
    const struct version *v;
    for (size_t i = 0; (v = models_at(ms, i)); i++)
        if (v->deployment == deployment)
            return v;
    return NULL;
}

static int label_waits(struct judge *j, const uint8_t id[16], uint32_t row, const struct label *label,
                       struct join_row *r, struct err *e)
{
    struct join_counts n;
    join_count(j->join, &n);
    if (!r && n.waiting >= n.capacity / 2)
        return err_set(e, ERR_BUSY, "%llu labels wait for predictions that are not known",
                       (unsigned long long)n.waiting);
    struct join_row would = {.row = row, .state = JOIN_WAITING, .label = *label};
    memcpy(would.id, id, sizeof would.id);
    int rc = tell(j, &would, e);
    if (rc)
        return rc;
    if (!r)
        r = quality_row_add(j, id, row, JOIN_WAITING);
    r->label = *label;
    late_add(j->late, id, row);
    return 0;
}

// What the label means to the outcome, if it does.
static int truth_of(struct monitor *m, const struct outcome *o, const struct label *label, struct str model,
                    double *ret, struct err *e)
{
    const struct version *v = quality_version(m->models, o->deployment);
    if (!v)
        return err_set(e, ERR_UNKNOWN_VERSION, "the version that predicted this is not served any more");
    if (model.n && !str_eq(model, str_of(v->model)))
        return err_set(e, ERR_CONFLICT, "this is a prediction of model '%s'", v->model);
    *ret = outcome_truth(v, o, label);
    if (!cohort_takes(o, *ret))
        return err_set(e, ERR_INVALID, "the label is none that version %u of '%s' could predict", v->version,
                       v->model);
    return 0;
}

static int label_known(struct monitor *m, struct join_row *r, const struct label *label, struct str model,
                       enum quality_verdict *ret, struct err *e)
{
    double truth;
    int rc = truth_of(m, &r->outcome, label, model, &truth, e);
    if (rc)
        return rc;
    *ret = r->state == JOIN_PREDICTED ? QUALITY_JOINED : QUALITY_CORRECTED;
    if (r->state == JOIN_JUDGED && truth == r->truth) {
        *ret = QUALITY_UNCHANGED;
        return 0;
    }
    return judge_row(m->judge, r, label, truth, e);
}

int quality_label(struct monitor *m, const uint8_t id[16], uint32_t row, const struct label *label,
                  struct str model, enum quality_verdict *ret, struct err *e)
{
    struct judge *j = m->judge;
    if (!j->labels)
        return err_set(e, ERR_UNAVAILABLE, "the log of feedback cannot be written yet; retry");
    struct join_row *r = quality_row(j, id, row);
    if (r && r->state != JOIN_WAITING)
        return label_known(m, r, label, model, ret, e);
    *ret = r && label_equals(&r->label, label) ? QUALITY_UNCHANGED : QUALITY_WAITING;
    return *ret == QUALITY_UNCHANGED ? 0 : label_waits(j, id, row, label, r, e);
}

// For the label that comes; a class alone has none.
static void keep_odds(struct judge *j, const struct outcomes *from, uint32_t row, struct join_row *r)
{
    if (r->outcome.kind != OUTCOME_CLASS || from->width < 2)
        return;
    r->odds_size = (uint8_t)dtype_size(from->t.dtype);
    size_t bytes = (size_t)from->width * r->odds_size;
    r->odds = odds_put(j->odds, (const char *)from->t.data + row * bytes, bytes);
}

int quality_label_sealed(struct monitor *m, const struct feedback_token *token, uint32_t row,
                         const struct label *label, struct str model, enum quality_verdict *ret,
                         struct err *e)
{
    struct judge *j = m->judge;
    struct outcomes all;
    struct outcome one;
    double truth;
    if (!j->labels)
        return err_set(e, ERR_UNAVAILABLE, "the log of feedback cannot be written yet; retry");
    struct join_row *r = quality_row(j, token->id, row);
    if (r && r->state != JOIN_WAITING)
        return label_known(m, r, label, model, ret, e);
    outcomes_of_token(token, &all);
    if (row >= all.rows || !outcome_at(&all, row, &one))
        return err_set(e, ERR_INVALID, "the prediction of the token has no row %u that can be judged", row);
    int rc = truth_of(m, &one, label, model, &truth, e);
    if (rc)
        return rc;
    if (!r)
        r = quality_row_add(j, token->id, row, JOIN_PREDICTED);
    join_set_state(j->join, r, JOIN_PREDICTED); // its label may have waited, with no token
    r->is_told = true;
    r->outcome = one;
    keep_odds(j, &all, row, r);
    *ret = QUALITY_JOINED;
    return judge_row(j, r, label, truth, e);
}

int quality_commit(struct monitor *m, struct err *e)
{
    struct judge *j = m->judge;
    if (!j->labels)
        return err_set(e, ERR_UNAVAILABLE, "the log of feedback cannot be written yet; retry");
    int rc = labels_flush(j->labels, e);
    if (rc && !j->is_failing)
        log_event(&m->log, LOG_LEVEL_ERROR, "feedback_not_written", LOG_Z("message", e->msg));
    j->is_failing = rc != 0;
    return rc;
}

// ---- predictions

// Whether it belongs where the one before did, as nearly all do.
static bool is_as_last(const struct judge *j, const struct outcome *o)
{
    const struct subject *s = j->last;
    return s && s->deployment == o->deployment && s->arm == o->arm && j->last_cohort < s->n &&
           o->wall_ns - (uint64_t)s->cohorts[j->last_cohort].hour * NS_PER_HOUR < NS_PER_HOUR;
}

static void predicted(struct judge *j, const struct outcome *o)
{
    struct subject *s = j->last;
    if (!is_as_last(j, o)) {
        struct cohort *c = cohort_of(j, o, &s);
        j->last = NULL;
        if (!c)
            return;
        if (c == &s->older) {
            cohort_predict(c, o);
            quality_ledger_predicted(s, o->wall_ns, 1);
            return;
        }
        j->last = s;
        j->last_cohort = (uint32_t)(c - s->cohorts);
    }
    s->used = ++j->clock;
    cohort_predict(&s->cohorts[j->last_cohort], o);
    s->untold[j->last_cohort]++;
}

// A label that waited, now that its prediction is known.
static void judge_waiting(struct judge *j, const struct version *v, struct join_row *r)
{
    struct err e;
    struct label label = r->label;
    double truth = outcome_truth(v, &r->outcome, &label);
    join_set_state(j->join, r, JOIN_PREDICTED);
    if (!cohort_takes(&r->outcome, truth) || judge_row(j, r, &label, truth, &e))
        j->unusable++;
}

static void take_row(struct monitor *m, const struct version *v, const uint8_t id[16],
                     const struct outcomes *from, uint32_t row, const struct outcome *o)
{
    struct judge *j = m->judge;
    // Without a label there is nothing to find: the look, which misses the cache, is spared.
    struct join_row *r = join_has_labels(j->join) ? join_find(j->join, id, row) : NULL;
    if (r && r->is_told) { // its label came first, with a token
        r->is_told = false;
        predicted(j, o);
        return;
    }
    if (r && r->state != JOIN_WAITING)
        return; // it comes a second time, from a ring that the monitor before had read
    predicted(j, o);
    if (!r)
        r = quality_row_add(j, id, row, JOIN_PREDICTED);
    r->outcome = *o;
    keep_odds(j, from, row, r);
    if (r->state == JOIN_WAITING)
        judge_waiting(j, v, r);
}

bool quality_found(struct monitor *m, const struct version *v, const uint8_t id[16], uint32_t row,
                   const struct outcomes *from, uint32_t at)
{
    struct outcome o;
    struct join_row *r = join_find(m->judge->join, id, row);
    if (!r || r->state != JOIN_WAITING || !outcome_at(from, at, &o))
        return false;
    r->outcome = o;
    keep_odds(m->judge, from, at, r);
    judge_waiting(m->judge, v, r);
    return true;
}

void quality_record(struct monitor *m, const struct record *r)
{
    const struct record_head *h = &r->head;
    struct outcomes o;
    struct outcome one;
    const struct version *v = models_by_log_key(m->models, h->schema, h->model);
    if (h->kind != RECORD_PREDICTION || !m->judge->labels || !v)
        return;
    if (!outcomes_of(v, r, &o)) {
        m->judge->unreadable += h->rows;
        return;
    }
    for (uint32_t i = 0; i < o.rows; i++) {
        if (outcome_at(&o, i, &one))
            take_row(m, v, h->id, &o, i, &one);
        else
            m->judge->unreadable++;
    }
}

// ---- life

static void try_open(struct monitor *m)
{
    struct judge *j = m->judge;
    struct err e;
    int rc = labels_open(m->data_dir, &j->labels, &e);
    if (!rc)
        rc = quality_load(j, &e);
    if (!rc && quality_changes_load(j, &e))
        log_event(&m->log, LOG_LEVEL_WARN, "changes_not_restored", LOG_Z("message", e.msg));
    if (rc) {
        if (!j->is_failing)
            log_event(&m->log, LOG_LEVEL_WARN, "feedback_not_open", LOG_Z("message", e.msg));
        labels_close(j->labels);
        j->labels = NULL;
    }
    j->is_failing = rc != 0;
    if (!rc && j->damaged)
        log_event(&m->log, LOG_LEVEL_WARN, "feedback_damaged", LOG_INT("entries", j->damaged));
}

int quality_open(struct monitor *m, struct err *e)
{
    m->judge = calloc(1, sizeof *m->judge);
    if (!m->judge)
        return err_set(e, ERR_NOMEM, "no memory to start");
    buf_init(&m->judge->gauges, LIMIT_METRICS_TEXT_BYTES / 4);
    int rc = label_news_open(m, e);
    if (!rc)
        rc = join_new(QUALITY_JOIN_ROWS, &m->judge->join, e);
    if (!rc)
        rc = join_new(QUALITY_LABELLED_ROWS, &m->judge->labelled, e);
    if (!rc)
        rc = odds_new(QUALITY_ODDS_BYTES, &m->judge->odds, e);
    if (!rc)
        rc = quality_changes_open(m->judge, e);
    if (!rc)
        rc = late_open(m, &m->judge->late, e);
    m->judge->news = m->label_news;
    if (!rc)
        try_open(m);
    return rc;
}

static void tell_predicted(struct judge *j)
{
    struct err ignored;
    for (unsigned i = 0; i < j->n_subjects; i++) {
        struct subject *s = j->subjects[i];
        for (uint32_t k = 0; k < s->n; k++) {
            struct labels_entry x = {.kind = LABELS_PREDICTED,
                                     .arm = s->arm,
                                     .version = s->version,
                                     .deployment = s->deployment,
                                     .predicted_ns = (uint64_t)s->cohorts[k].hour * NS_PER_HOUR,
                                     .label_bits = s->untold[k]};
            if (s->untold[k] && labels_append(j->labels, &x, &ignored) == 0)
                s->untold[k] = 0;
        }
    }
}

static void begin_file(struct monitor *m)
{
    struct err e;
    if (quality_save(m->judge, &e))
        log_event(&m->log, LOG_LEVEL_WARN, "quality_not_saved", LOG_Z("message", e.msg));
    else
        labels_next_file(m->judge->labels);
}

void quality_tick(struct monitor *m, uint64_t now_mono_ns)
{
    struct judge *j = m->judge;
    struct err ignored; // told in the log
    label_news_tell(m);
    if (!j->labels)
        try_open(m);
    if (!j->labels)
        return;
    if (now_mono_ns - j->told_mono_ns >= TELL_SECONDS * UINT64_C(1000000000)) {
        tell_predicted(j);
        quality_make_gauges(m);
        j->told_mono_ns = now_mono_ns;
    }
    late_tick(j->late, now_mono_ns);
    if (quality_commit(m, &ignored) == 0 && labels_is_full(j->labels))
        begin_file(m);
}

void quality_close(struct monitor *m)
{
    struct judge *j = m->judge;
    struct err e;
    label_news_close(m);
    if (!j)
        return;
    if (j->labels) {
        tell_predicted(j);
        if (quality_commit(m, &e))
            log_event(&m->log, LOG_LEVEL_ERROR, "feedback_lost", LOG_Z("message", e.msg));
        else if (quality_save(j, &e)) // what scores were like is in no log
            log_event(&m->log, LOG_LEVEL_WARN, "quality_not_saved", LOG_Z("message", e.msg));
    }
    labels_close(j->labels);
    quality_forget(j);
    join_free(j->join);
    join_free(j->labelled);
    odds_free(j->odds);
    late_close(j->late);
    quality_changes_close(j);
    buf_done(&j->gauges);
    free(j);
    m->judge = NULL;
}

// ---- for others

bool quality_wrong(const struct monitor *m, uint64_t deployment, uint8_t arm, uint64_t since_wall_ns,
                   struct quality_wrong *ret)
{
    const struct judge *j = m->judge;
    *ret = (struct quality_wrong){0};
    for (unsigned i = 0; i < j->n_subjects; i++) {
        const struct subject *s = j->subjects[i];
        for (uint32_t k = 0; s->deployment == deployment && s->arm == arm && k < s->n; k++) {
            const struct cohort *c = &s->cohorts[k];
            if (c->hour < (int64_t)(since_wall_ns / NS_PER_HOUR))
                continue;
            if (c->not_binary)
                return false;
            ret->labelled += c->classes.labelled + (c->binary ? quality_count(c->binary) : 0);
            ret->wrong += c->classes.labelled - c->classes.hits;
            ret->wrong += c->binary ? c->binary->n[0][1] + c->binary->n[1][0] : 0;
        }
    }
    return ret->labelled > 0;
}
