// SPDX-License-Identifier: Apache-2.0
// Labels go into a detector once, in the order of their predictions: hour by hour, or day by day where labels
// take longer than hours are kept, each as soon as it is mature. A label that is corrected or comes after
// that counts in the metrics alone, so nothing is judged twice.
#include "base/clock.h"
#include "base/siphash.h"
#include "monitor/alert_rule.h"
#include "monitor/shiryaev_roberts.h"
#include "os/file.h"
#include "role/monitor/quality_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_HOUR UINT64_C(3600000000000)
#define FRESH_NS    UINT64_C(10000000000)
enum { CHANGES = 1024, FILE_BYTES = CHANGES * sizeof(struct shiryaev_kept) + 64 };
static const char NAME[] = "changes", NEW_NAME[] = "changes.new";

// Of a detector, beside it: not on the disk.
struct reader {
    char rule[ALERT_NAME_BYTES + 1]; // "": nobody asked since the start
    double limit;
    uint64_t asked_mono_ns, fed_mono_ns;
};

struct quality_changes {
    uint32_t n;
    bool is_changed;
    struct shiryaev_kept list[CHANGES];
    struct reader readers[CHANGES];
};

int quality_changes_open(struct judge *j, struct err *e)
{
    j->changes = calloc(1, sizeof *j->changes);
    return j->changes ? 0 : err_set(e, ERR_NOMEM, "no memory for the detectors of changes");
}

void quality_changes_close(struct judge *j)
{
    free(j->changes);
    j->changes = NULL;
}

// ---- state

int quality_changes_load(struct judge *j, struct err *e)
{
    struct quality_changes *c = j->changes;
    size_t n = 0;
    memset(c, 0, sizeof *c);
    int fd = openat(labels_dir(j->labels), NAME, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "opening state/feedback/%s", NAME);
    char *bytes = malloc(FILE_BYTES);
    int rc = bytes ? file_read_at(fd, bytes, FILE_BYTES, 0, &n, e)
                   : err_set(e, ERR_NOMEM, "no memory for state/feedback/%s", NAME);
    close(fd);
    if (!rc)
        rc = shiryaev_decode((struct str){bytes, n}, c->list, CHANGES, &c->n, e);
    free(bytes);
    return rc;
}

int quality_changes_save(struct judge *j, struct err *e)
{
    struct quality_changes *c = j->changes;
    struct buf b;
    if (!c->is_changed || !j->labels)
        return 0;
    buf_init(&b, FILE_BYTES);
    shiryaev_encode(c->list, c->n, &b);
    int fd = openat(labels_dir(j->labels), NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = b.failed ? err_set(e, ERR_NOMEM, "no memory to save detectors of changes")
             : fd < 0 ? err_errno(e, errno, "making state/feedback/%s", NEW_NAME)
                      : file_write_all(fd, b.p, b.n, e);
    if (!rc)
        rc = file_sync(fd, e);
    if (fd >= 0)
        close(fd);
    if (!rc)
        rc = file_replace(labels_dir(j->labels), NEW_NAME, labels_dir(j->labels), NAME, e);
    c->is_changed = rc != 0;
    buf_done(&b);
    return rc;
}

size_t quality_changes_bytes(const struct judge *j)
{
    return sizeof *j->changes;
}

// ---- detectors

static uint64_t hash_of(const struct alert_rule *rule)
{
    static const struct siphash_key KEY = {0x6368616e6765, 0};
    char text[ALERT_NAME_BYTES + 128];
    int n = snprintf(text, sizeof text, "%s\n%.17g\n%.17g\n%llu", rule->name, rule->expected, rule->ratio,
                     (unsigned long long)rule->at_least);
    return siphash(KEY, (struct str){text, (size_t)n});
}

// The one that nobody has asked for for longest makes room; CHANGES: all are asked for.
static uint32_t find(struct quality_changes *c, uint64_t rule, const struct subject *s, uint64_t mono_ns)
{
    uint32_t oldest = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->list[i].rule == rule && c->list[i].deployment == s->deployment && c->list[i].arm == s->arm)
            return i;
        if (c->readers[i].asked_mono_ns < c->readers[oldest].asked_mono_ns)
            oldest = i;
    }
    uint32_t i = c->n < CHANGES ? c->n++ : oldest;
    if (c->n == CHANGES && c->readers[i].asked_mono_ns && mono_ns - c->readers[i].asked_mono_ns < FRESH_NS)
        return CHANGES;
    c->list[i] = (struct shiryaev_kept){.deployment = s->deployment, .rule = rule, .arm = s->arm};
    c->readers[i] = (struct reader){0};
    return i;
}

// What is in with it. Of a day some hours may still be kept one by one: they come next.
static int64_t end_of(const struct subject *s, const struct ledger_unit *u)
{
    int64_t end = u->hour + u->hours;
    return u->hours > 1 && s->older.hour + 1 < end ? s->older.hour + 1 : end;
}

static bool is_regression(const struct subject *s)
{
    bool found = s->older.not_binary > 0;
    for (uint32_t i = 0; i < s->n; i++)
        found |= s->cohorts[i].not_binary > 0;
    return found;
}

static void feed(struct quality_changes *c, uint32_t at, const struct shiryaev_rule *rule,
                 const struct subject *s, uint64_t wall_ns)
{
    struct ledger_unit units[QUALITY_UNITS];
    struct shiryaev_roberts *d = &c->list[at].state;
    struct delay_curve delays;
    unsigned n = quality_units(s, units);
    bool is_first = true;
    quality_delays(units, n, wall_ns, &delays);
    uint64_t mature_s = delay_maturity_s(&delays);
    for (unsigned i = 0; i < n; i++) {
        const struct ledger_unit *u = &units[i];
        if (u->hour < d->until)
            continue;
        if (ledger_unit_age_s(u, wall_ns) < mature_s)
            break;
        d->until = end_of(s, u);
        c->is_changed = true;
        if (!u->judged) // it says nothing, not that all is well
            continue;
        d->peak = is_first ? 0 : d->peak;
        is_first = false;
        shiryaev_roberts_add(d, rule, u->judged, u->wrong < u->judged ? u->wrong : u->judged,
                             s->deployment ^ (uint64_t)u->hour << 8 ^ s->arm);
    }
}

double quality_changes_read(struct judge *j, const struct alert_rule *rule, const struct subject *s,
                            uint64_t mono_ns, uint64_t wall_ns)
{
    struct quality_changes *c = j->changes;
    uint32_t i = j->labels && !is_regression(s) ? find(c, hash_of(rule), s, mono_ns) : CHANGES;
    if (i == CHANGES)
        return nan("");
    const struct shiryaev_rule what = {rule->expected, rule->ratio, rule->limit, rule->at_least};
    struct reader *r = &c->readers[i];
    snprintf(r->rule, sizeof r->rule, "%s", rule->name);
    r->limit = rule->limit;
    r->asked_mono_ns = mono_ns;
    if (r->fed_mono_ns == 0 || mono_ns - r->fed_mono_ns >= FRESH_NS) {
        r->fed_mono_ns = mono_ns;
        feed(c, i, &what, s, wall_ns);
    }
    return c->list[i].state.p0 > 0 ? c->list[i].state.peak : nan("");
}

// ---- what is asked

static void put_one(const struct reader *r, const struct shiryaev_roberts *d, struct buf *out)
{
    char until[CLOCK_RFC3339_SIZE];
    bool is_known = d->p0 > 0;
    buf_puts(out, "{\"rule\":");
    buf_put_json_str(out, str_of(r->rule));
    buf_printf(out, ",\"state\":\"%s\"", !is_known ? "learning" : d->peak > r->limit ? "alarm" : "watching");
    buf_put_json_number(out, "evidence", is_known ? d->peak : nan(""));
    buf_put_json_number(out, "limit", r->limit);
    buf_put_json_number(out, "expected", is_known ? d->p0 : nan(""));
    buf_put_json_number(out, "to_find", is_known ? d->p1 : nan(""));
    buf_printf(out, ",\"reference_labels\":%llu,\"reference_wrong\":%llu,\"labels\":%llu,\"wrong\":%llu",
               (unsigned long long)d->reference, (unsigned long long)d->reference_wrong,
               (unsigned long long)d->labels, (unsigned long long)d->wrong);
    if (d->until) {
        clock_rfc3339((uint64_t)d->until * NS_PER_HOUR, until);
        buf_printf(out, ",\"until\":\"%s\"", until);
    }
    buf_putc(out, '}');
}

void quality_changes_put(const struct judge *j, const struct subject *s, struct buf *out)
{
    const struct quality_changes *c = j->changes;
    unsigned n = 0;
    buf_putc(out, '[');
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->list[i].deployment != s->deployment || c->list[i].arm != s->arm || !c->readers[i].rule[0])
            continue;
        buf_puts(out, n++ ? "," : "");
        put_one(&c->readers[i], &c->list[i].state, out);
    }
    buf_putc(out, ']');
}
