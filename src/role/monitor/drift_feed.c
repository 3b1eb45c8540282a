// SPDX-License-Identifier: Apache-2.0
// One entry for each version that is served. State is written at most every ten seconds, one version a tick,
// to a file of its own: written, synced, renamed.
#include "role/monitor/drift_feed.h"

#include "base/arena.h"
#include "base/clock.h"
#include "monitor/observer_json.h"
#include "os/file.h"
#include "predlog/record.h"
#include "registry/registry.h"
#include "role/monitor/drift_sweep.h"
#include "role/monitor/drift_values.h"
#include "role/monitor/models.h"
#include "settings/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ENTRIES = 2 * LIMIT_DEPLOYMENTS,
    ARENA_BYTES = 4 << 20,
    STATE_BYTES_MAX = 64 << 20,
    NAME_MAX_BYTES = 64,
    WORK_NS = 20 * 1000000, // of comparing, in a tick
    SWEEP_S = 3600,         // between looks for files that nobody needs
};

struct entry {
    uint64_t deployment;
    const struct version *version; // NULL: not served any more
    struct observer *observer;     // NULL: it cannot be watched
    struct drift_columns columns;
    struct arena arena;
    enum finding_level said; // in the log
    bool is_dirty;
    uint64_t saved_mono_ns;
};

struct drift {
    int dir_fd; // state/monitor
    struct entry *by_slot[LIMIT_DEPLOYMENTS];
    struct entry entries[ENTRIES];
    size_t n, next_save;
    uint64_t swept_mono_ns; // 0: not yet
};

// ---- files

static void name_of(const struct entry *x, const char *what, char ret[NAME_MAX_BYTES])
{
    snprintf(ret, NAME_MAX_BYTES, "drift-%" PRIu64 ".%s", x->deployment, what);
}

static int write_file(const struct drift *d, const struct entry *x, const char *what, struct str bytes,
                      struct err *e)
{
    char name[NAME_MAX_BYTES], temporary[NAME_MAX_BYTES + 8];
    name_of(x, what, name);
    snprintf(temporary, sizeof temporary, "%s.new", name);
    int fd = openat(d->dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "write '%s'", temporary);
    int rc = file_write_all(fd, bytes.p, bytes.n, e);
    if (!rc)
        rc = file_sync(fd, e);
    close(fd);
    return rc ? rc : file_replace(d->dir_fd, temporary, d->dir_fd, name, e);
}

static int read_fd(int fd, struct buf *out, struct err *e)
{
    uint64_t size;
    size_t n = 0;
    int rc = file_size(fd, &size, e);
    char *to = !rc && size <= STATE_BYTES_MAX ? buf_reserve(out, size + 1) : NULL;
    if (!rc && !to)
        rc = err_set(e, ERR_TOO_LARGE, "a file of the drift monitor is too large, or there is no memory");
    if (!rc)
        rc = file_read_at(fd, to, size, 0, &n, e);
    if (!rc)
        buf_advance(out, n);
    return rc;
}

static int read_file(const struct drift *d, const struct entry *x, const char *what, struct buf *out,
                     struct err *e)
{
    char name[NAME_MAX_BYTES];
    name_of(x, what, name);
    int fd = openat(d->dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "no such state")
                               : err_errno(e, errno, "read '%s'", name);
    int rc = read_fd(fd, out, e);
    close(fd);
    return rc;
}

static int save_baseline(const struct drift *d, const struct entry *x, struct err *e)
{
    struct buf json;
    if (!x->observer || !x->observer->profile || !x->observer->is_own_profile)
        return 0;
    buf_init(&json, LIMIT_PROFILE_BYTES);
    profile_encode(x->observer->profile, &json);
    int rc = json.failed ? err_set(e, ERR_NOMEM, "no memory for a baseline")
                         : write_file(d, x, "baseline", buf_str(&json), e);
    buf_done(&json);
    return rc;
}

static void save(struct monitor *m, struct entry *x)
{
    struct buf state;
    struct err e;
    buf_init(&state, STATE_BYTES_MAX);
    observer_save(x->observer, &state);
    x->is_dirty = false;
    x->saved_mono_ns = clock_mono_ns();
    if (state.failed || write_file(m->drift, x, "state", buf_str(&state), &e))
        log_event(&m->log, LOG_LEVEL_WARN, "drift_not_saved", LOG_INT("deployment", (int64_t)x->deployment),
                  LOG_Z("message", state.failed ? "no memory" : e.msg));
    buf_done(&state);
}

// ---- versions

static int read_blob(const struct monitor *m, const char *digest, struct buf *out, struct err *e)
{
    struct registry_digest d;
    struct blobs *blobs;
    int fd = -1;
    if (!registry_digest_parse(str_of(digest), &d))
        return err_set(e, ERR_NOT_FOUND, "the version has no baseline");
    int rc = blobs_dir_open(m->data_dir, true, &blobs, e);
    if (rc)
        return rc;
    rc = blobs->ops->open(blobs, &d, &fd, e);
    if (!rc)
        rc = read_fd(fd, out, e);
    if (fd >= 0)
        close(fd);
    blobs->ops->close(blobs);
    return rc;
}

// One that was set later goes before the one that it was pushed with. NULL: none.
static struct profile *find_profile(struct monitor *m, const struct entry *x, bool *ret_own)
{
    struct buf json;
    struct err e;
    struct profile *p = NULL;
    buf_init(&json, STATE_BYTES_MAX);
    *ret_own = read_file(m->drift, x, "baseline", &json, &e) == 0;
    int rc = *ret_own ? 0 : read_blob(m, x->version->baseline, &json, &e);
    if (!rc)
        rc = profile_decode(buf_str(&json), &p, &e);
    if (rc && rc != ERR_NOT_FOUND)
        log_event(&m->log, LOG_LEVEL_WARN, "baseline_not_read", LOG_Z("model", x->version->model),
                  LOG_INT("version", x->version->version), LOG_Z("message", e.msg));
    buf_done(&json);
    return rc ? NULL : p;
}

static int observe(struct monitor *m, struct entry *x, struct err *e)
{
    bool own;
    struct profile *p = find_profile(m, x, &own);
    struct observer_column *columns = calloc(x->columns.n + 1, sizeof *columns);
    for (uint32_t i = 0; columns && i < x->columns.n; i++)
        columns[i] = x->columns.items[i].as;
    struct observer_spec spec = {.columns = columns,
                                 .n_columns = x->columns.n,
                                 .window_ns = m->settings->drift_window_ms * UINT64_C(1000000),
                                 .window_rows = (uint32_t)m->settings->drift_window_rows,
                                 .values_per_s = m->settings->drift_values,
                                 .profile = p,
                                 .is_own_profile = p && own,
                                 .wall_ns = clock_wall_ns()};
    if (!columns)
        profile_free(p);
    int rc = columns ? observer_new(&spec, &x->observer, e) : err_set(e, ERR_NOMEM, "no memory");
    free(columns);
    return rc;
}

static void restore(struct monitor *m, struct entry *x)
{
    struct buf state;
    struct err e;
    buf_init(&state, STATE_BYTES_MAX);
    int rc = read_file(m->drift, x, "state", &state, &e);
    if (!rc && (rc = observer_load(x->observer, buf_str(&state), &e))) {
        // Part of it may be in place: begin anew.
        struct err again;
        observer_free(x->observer);
        x->observer = NULL;
        if (observe(m, x, &again))
            x->observer = NULL;
    }
    if (rc && rc != ERR_NOT_FOUND)
        log_event(&m->log, LOG_LEVEL_WARN, "drift_not_restored", LOG_Z("model", x->version->model),
                  LOG_INT("version", x->version->version), LOG_Z("message", e.msg));
    buf_done(&state);
}

static void entry_done(struct entry *x)
{
    observer_free(x->observer);
    arena_done(&x->arena);
}

static void entry_add(struct monitor *m, struct version *v)
{
    struct entry *x = &m->drift->entries[m->drift->n];
    struct err e;
    *x = (struct entry){.deployment = v->deployment, .version = v};
    int rc = arena_init(&x->arena, ARENA_BYTES, &e);
    if (!rc)
        rc = drift_columns_of(&v->schema, &x->arena, &x->columns, &e);
    if (!rc)
        rc = drift_columns_of_log(&x->columns, &x->arena, &e);
    if (!rc)
        rc = observe(m, x, &e);
    if (!rc)
        restore(m, x);
    else
        log_event(&m->log, LOG_LEVEL_WARN, "drift_not_watched", LOG_Z("model", v->model),
                  LOG_INT("version", v->version), LOG_Z("message", e.msg));
    m->drift->n++;
}

static const struct entry *entry_known(const struct drift *d, uint64_t deployment)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->entries[i].deployment == deployment)
            return &d->entries[i];
    return NULL;
}

static struct entry *entry_of(struct drift *d, uint64_t deployment)
{
    const struct entry *x = entry_known(d, deployment);
    return x ? &d->entries[x - d->entries] : NULL;
}

// Versions that left are saved and let go; what comes back goes on where it was.
void drift_models_changed(struct monitor *m)
{
    struct drift *d = m->drift;
    struct version *v;
    for (size_t i = 0; i < d->n; i++)
        d->entries[i].version = NULL;
    for (size_t i = 0; (v = models_at(m->models, i)) != NULL; i++) {
        struct entry *x = v->is_served ? entry_of(d, v->deployment) : NULL;
        if (x)
            x->version = v;
    }
    for (size_t i = d->n; i-- > 0;) {
        struct entry *x = &d->entries[i];
        if (x->version)
            continue;
        if (x->observer)
            save(m, x);
        entry_done(x);
        *x = d->entries[--d->n];
    }
    for (size_t i = 0; (v = models_at(m->models, i)) != NULL; i++)
        if (v->is_served && d->n < ENTRIES && !entry_of(d, v->deployment))
            entry_add(m, v);
    memset(d->by_slot, 0, sizeof d->by_slot);
    for (size_t i = 0; i < d->n; i++)
        if (d->entries[i].version->slot < LIMIT_DEPLOYMENTS)
            d->by_slot[d->entries[i].version->slot] = &d->entries[i];
}

struct observer *drift_observer(struct monitor *m, const struct version *v)
{
    struct entry *x = entry_of(m->drift, v->deployment);
    return x ? x->observer : NULL;
}

void drift_put_unwatched(struct monitor *m, const struct version *v, struct buf *out)
{
    static const struct str WORDS[] = {[PRIVACY_DROP] = STR("drop"), [PRIVACY_HASH] = STR("hash")};
    const struct entry *x = entry_of(m->drift, v->deployment);
    buf_puts(out, ",\"unwatched\":[");
    for (uint32_t i = 0; x && i < x->columns.n_unwatched; i++) {
        const struct drift_column *c = &x->columns.unwatched[i];
        buf_puts(out, i ? ",{\"name\":" : "{\"name\":");
        buf_put_json_str(out, c->as.name);
        buf_printf(out, ",\"role\":\"%s\",\"log\":\"%s\"}", c->as.is_output ? "output" : "input",
                   WORDS[c->logged].p);
    }
    buf_putc(out, ']');
}

int drift_keep_baseline(struct monitor *m, const struct version *v, struct err *e)
{
    struct entry *x = entry_of(m->drift, v->deployment);
    int rc = x ? save_baseline(m->drift, x, e) : err_set(e, ERR_INTERNAL, "the version is not watched");
    if (!rc)
        save(m, x);
    return rc;
}

// ---- records and time

// Refused for what stood in it, as against how it was written or what it asked for.
static bool is_refused(const struct record *r)
{
    int code = -(int)r->head.error;
    return r->head.kind == RECORD_FAILURE && (code == ERR_WRONG_TYPE || code == ERR_OUT_OF_RANGE ||
                                              code == ERR_MISSING_FEATURE || code == ERR_UNKNOWN_CATEGORY);
}

void drift_record(struct monitor *m, const struct record *r)
{
    struct entry *x = m->drift && r->head.model < LIMIT_DEPLOYMENTS ? m->drift->by_slot[r->head.model] : NULL;
    if (!m->settings->drift_values || !x || !x->observer || x->version->version != r->head.version ||
        (r->head.kind != RECORD_PREDICTION && !is_refused(r)))
        return;
    observer_request(x->observer, r->head.kind == RECORD_FAILURE);
    x->is_dirty = true;
    if (r->head.kind == RECORD_PREDICTION)
        drift_take_rows(x->observer, &x->columns, r);
}

static void say_level(struct monitor *m, struct entry *x)
{
    enum finding_level now = observer_level(x->observer);
    if (now == x->said || x->observer->to_compare)
        return;
    log_event(&m->log, now == FINDING_ALERT ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "drift",
              LOG_Z("model", x->version->model), LOG_INT("version", x->version->version),
              LOG_Z("level", finding_level_name(now)));
    x->said = now;
}

static bool is_watched(const void *d, uint64_t deployment)
{
    return entry_known(d, deployment) != NULL;
}

static void sweep(struct monitor *m, uint64_t mono_ns, uint64_t wall_ns)
{
    struct drift *d = m->drift;
    struct err e;
    uint64_t n = 0;
    if (!models_are_complete(m->models) ||
        (d->swept_mono_ns && mono_ns - d->swept_mono_ns < SWEEP_S * UINT64_C(1000000000)))
        return;
    d->swept_mono_ns = mono_ns;
    const struct drift_sweep s = {
        .dir_fd = d->dir_fd, .is_watched = is_watched, .ctx = d, .wall_ns = wall_ns};
    if (drift_sweep(&s, &n, &e))
        log_event(&m->log, LOG_LEVEL_WARN, "drift_not_swept", LOG_Z("message", e.msg));
    if (n)
        log_event(&m->log, LOG_LEVEL_INFO, "drift_swept", LOG_INT("files", (int64_t)n));
}

void drift_tick(struct monitor *m)
{
    struct drift *d = m->drift;
    uint64_t began = clock_mono_ns(), wall = clock_wall_ns();
    if (d)
        sweep(m, began, wall);
    for (size_t i = 0; d && i < d->n; i++) {
        struct entry *x = &d->entries[i];
        struct err e;
        if (!x->observer)
            continue;
        bool learned = x->observer->builders != NULL;
        bool closed = observer_tick(x->observer, wall);
        x->is_dirty |= closed;
        if (closed && learned && save_baseline(d, x, &e))
            log_event(&m->log, LOG_LEVEL_WARN, "drift_not_saved", LOG_Z("message", e.msg));
        while (clock_mono_ns() - began < WORK_NS && observer_work(x->observer))
            ;
        say_level(m, x);
    }
    for (size_t i = 0; d && i < d->n; i++) {
        struct entry *x = &d->entries[d->next_save++ % d->n];
        if (!x->observer || !x->is_dirty || began - x->saved_mono_ns < DRIFT_SAVE_MS * UINT64_C(1000000))
            continue;
        save(m, x);
        break;
    }
}

int drift_start(struct monitor *m, struct err *e)
{
    int data_fd = -1, state_fd = -1;
    struct drift *d = m->drift = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, ERR_NOMEM, "no memory to watch for drift");
    d->dir_fd = -1;
    int rc = file_open_dir(AT_FDCWD, m->data_dir, &data_fd, e);
    if (!rc)
        rc = file_make_dir(data_fd, "state", &state_fd, e);
    if (!rc)
        rc = file_make_dir(state_fd, "monitor", &d->dir_fd, e);
    if (data_fd >= 0)
        close(data_fd);
    if (state_fd >= 0)
        close(state_fd);
    return rc;
}

void drift_stop(struct monitor *m)
{
    for (size_t i = 0; m->drift && i < m->drift->n; i++)
        if (m->drift->entries[i].observer)
            save(m, &m->drift->entries[i]);
}

void drift_free(struct drift *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++)
        entry_done(&d->entries[i]);
    if (d->dir_fd >= 0)
        close(d->dir_fd);
    free(d);
}

// ---- metrics

static void put_label(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\n')
            buf_puts(out, "\\n");
        else if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else
            buf_putc(out, c);
    }
}

static void put_gauge(struct buf *out, const char *family, const struct entry *x,
                      const struct observer_state *s, const char *stat, double value)
{
    if (!isfinite(value))
        return;
    buf_printf(out, "%s{model=\"%s\",feature=\"", family, x->version->model);
    put_label(out, s->column.name);
    if (stat)
        buf_printf(out, "\",stat=\"%s", stat);
    buf_printf(out, "\"} %.6g\n", value);
}

// Returns how many columns found no room.
static uint32_t put_family(struct monitor *m, struct buf *out, bool drift)
{
    uint32_t left = DRIFT_GAUGES, n_columns = 0;
    for (size_t i = 0; i < m->drift->n; i++) {
        const struct entry *x = &m->drift->entries[i];
        const struct observer *o = x->observer;
        if (!o || !x->version || !x->version->is_default || o->n_closed == 0)
            continue;
        n_columns += o->n_columns;
        for (uint32_t k = 0; k < o->n_columns && left; k++, left--) {
            const struct observer_state *s = &o->columns[k];
            const struct verdict *v = &s->last;
            if (!drift) {
                put_gauge(out, "slipway_feature_missing_ratio", x, s, NULL, v->rates[DRIFT_MISSING].now);
                continue;
            }
            put_gauge(out, "slipway_feature_drift", x, s, "w1", v->w1);
            put_gauge(out, "slipway_feature_drift", x, s, "psi", v->psi);
            put_gauge(out, "slipway_feature_drift", x, s, "js", v->js);
            put_gauge(out, "slipway_feature_drift", x, s, "ks", v->ks);
        }
    }
    return n_columns > DRIFT_GAUGES ? n_columns - DRIFT_GAUGES : 0;
}

void drift_put_metrics(struct monitor *m, struct buf *out)
{
    if (!m->drift)
        return;
    buf_puts(out,
             "# HELP slipway_feature_drift Distance of a column's last window from the baseline, default "
             "version; w1 in units of the baseline's spread.\n# TYPE slipway_feature_drift gauge\n");
    (void)put_family(m, out, true);
    buf_puts(
        out,
        "# HELP slipway_feature_missing_ratio Share of missing values in a column's last window, default "
        "version.\n# TYPE slipway_feature_missing_ratio gauge\n");
    uint32_t left_out = put_family(m, out, false);
    buf_printf(
        out,
        "# HELP slipway_feature_drift_left_out Columns of default versions that the two families above "
        "have no room for.\n# TYPE slipway_feature_drift_left_out gauge\n"
        "slipway_feature_drift_left_out %u\n",
        left_out);
    buf_puts(out, "# HELP slipway_drift_memory_bytes Memory for watching a version.\n"
                  "# TYPE slipway_drift_memory_bytes gauge\n");
    for (size_t i = 0; i < m->drift->n; i++)
        if (m->drift->entries[i].observer && m->drift->entries[i].version)
            buf_printf(out, "slipway_drift_memory_bytes{model=\"%s\",version=\"%u\"} %zu\n",
                       m->drift->entries[i].version->model, m->drift->entries[i].version->version,
                       observer_bytes(m->drift->entries[i].observer));
}
