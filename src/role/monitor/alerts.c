// SPDX-License-Identifier: Apache-2.0
// The round of each second, the file of rules, the state on disk, and the answer to GET /api/v1/alerts.
#include "role/monitor/alerts.h"

#include "base/clock.h"
#include "monitor/alert.h"
#include "os/file.h"
#include "os/shm.h"
#include "role/metrics.h"
#include "role/monitor/alert_hook.h"
#include "role/monitor/alert_sources.h"
#include "role/monitor/models.h"
#include "role/monitor/routes.h"
#include "settings/settings.h"
#include "wire/exposition.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATE_BYTES = 4 << 20 };
static const char STATE_NAME[] = "alerts.json", STATE_NEW[] = "alerts.json.new";

struct alerts {
    int dir_fd; // state/monitor
    struct alert_book *book;
    struct alert_hook *hook;
    void *segment; // of the gateways' counters
    size_t segment_bytes;
    bool is_changed;                          // to be saved
    bool has_failed;                          // to save; told in the log
    char path[SETTINGS_STRING_MAX];           // of the rules that hold
    struct stat stat;                         // of that file
    char why[ERR_MSG_MAX + ERR_PATH_MAX + 4]; // its rules do not hold; ""
};

struct alert_book *alerts_book(const struct monitor *m)
{
    return m->alerts->book;
}

void alerts_changed(struct monitor *m)
{
    m->alerts->is_changed = true;
}

// ---- files

static int read_file(int dir_fd, const char *path, size_t max, struct buf *out, struct err *e)
{
    uint64_t size = 0;
    size_t n = 0;
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "there is no file '%s'", path)
                               : err_errno(e, errno, "read '%s'", path);
    int rc = file_size(fd, &size, e);
    if (rc == 0 && size > max)
        rc = err_set(e, ERR_TOO_LARGE, "'%s' has more than %zu bytes", path, max);
    char *to = rc == 0 ? buf_reserve(out, size + 1) : NULL;
    if (rc == 0)
        rc =
            to ? file_read_at(fd, to, size, 0, &n, e) : err_set(e, ERR_NOMEM, "no memory to read '%s'", path);
    close(fd);
    if (rc == 0)
        buf_advance(out, n);
    return rc;
}

static int write_state(struct alerts *a, struct str json, struct err *e)
{
    int fd = openat(a->dir_fd, STATE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "write '%s'", STATE_NEW);
    int rc = file_write_all(fd, json.p, json.n, e);
    if (rc == 0)
        rc = file_sync(fd, e);
    close(fd);
    return rc ? rc : file_replace(a->dir_fd, STATE_NEW, a->dir_fd, STATE_NAME, e);
}

// Only when something changed. What cannot be saved is tried again in a second.
static void save(struct monitor *m)
{
    struct alerts *a = m->alerts;
    struct buf json;
    struct err e;
    buf_init(&json, STATE_BYTES);
    alert_book_save(a->book, &json);
    int rc =
        json.failed ? err_set(&e, ERR_NOMEM, "no memory to save alerts") : write_state(a, buf_str(&json), &e);
    buf_done(&json);
    if (rc && !a->has_failed)
        log_event(&m->log, LOG_LEVEL_WARN, "alerts_not_saved", LOG_Z("message", e.msg));
    a->has_failed = rc != 0;
    a->is_changed = rc != 0;
}

static void restore(struct monitor *m)
{
    struct buf json;
    struct err e;
    buf_init(&json, STATE_BYTES + 1);
    int rc = read_file(m->alerts->dir_fd, STATE_NAME, STATE_BYTES, &json, &e);
    if (rc == 0)
        rc = alert_book_load(m->alerts->book, buf_str(&json), &e);
    if (rc && rc != ERR_NOT_FOUND)
        log_event(&m->log, LOG_LEVEL_WARN, "alerts_not_restored", LOG_Z("message", e.msg));
    buf_done(&json);
}

static int open_dir(struct monitor *m, struct err *e)
{
    int data = -1, state = -1;
    int rc = file_open_dir(AT_FDCWD, m->data_dir, &data, e);
    if (rc == 0)
        rc = file_make_dir(data, "state", &state, e);
    if (rc == 0)
        rc = file_make_dir(state, "monitor", &m->alerts->dir_fd, e);
    if (data >= 0)
        close(data);
    if (state >= 0)
        close(state);
    return rc;
}

// ---- rules

static int read_rules(const char *path, struct alert_rules *r, struct err *e)
{
    struct buf json;
    alert_rules_init(r);
    if (!path[0])
        return 0;
    buf_init(&json, LIMIT_ALERT_FILE_BYTES + 1);
    int rc = read_file(AT_FDCWD, path, LIMIT_ALERT_FILE_BYTES, &json, e);
    if (rc == 0)
        rc = alert_rules_read(r, buf_str(&json), e);
    buf_done(&json);
    return rc;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

// Looks whether the file is another one. Rules that cannot be read leave those that hold, and are told.
static void refresh_rules(struct monitor *m, bool is_first)
{
    struct alerts *a = m->alerts;
    struct stat now = {0};
    struct alert_rules rules;
    struct err e;
    const char *path = m->settings->alert_rules;
    if (path[0] && stat(path, &now) < 0)
        now = (struct stat){0};
    if (!is_first && strcmp(path, a->path) == 0 && is_same_file(&now, &a->stat))
        return;
    snprintf(a->path, sizeof a->path, "%s", path);
    a->stat = now;
    a->why[0] = '\0';
    if (read_rules(path, &rules, &e)) {
        snprintf(a->why, sizeof a->why, "%s%s%s", e.path, e.path[0] ? ": " : "", e.msg);
        log_event(&m->log, LOG_LEVEL_ERROR, "alert_rules_refused", LOG_Z("file", path),
                  LOG_Z("message", a->why));
        return;
    }
    alert_book_set_rules(a->book, &rules, clock_wall_ns());
    a->is_changed = true;
    if (path[0])
        log_event(&m->log, LOG_LEVEL_INFO, "alert_rules", LOG_Z("file", path), LOG_INT("rules", rules.n));
}

// ---- life

int alerts_open(struct monitor *m, struct err *e)
{
    struct alerts *a = m->alerts = calloc(1, sizeof *a);
    if (!a)
        return err_set(e, ERR_NOMEM, "no memory for alerts");
    a->dir_fd = -1;
    int rc = open_dir(m, e);
    if (rc == 0)
        rc = alert_book_new(&a->book, e);
    if (rc == 0)
        rc = alert_hook_new(m, &a->hook, e);
    if (rc == 0)
        rc = shm_map(m->args->metrics_fd, false, metrics_segment_bytes(m->args->n_gateways), SIZE_MAX / 2,
                     &a->segment, &a->segment_bytes, e);
    if (rc)
        return err_wrap(e, "alerts");
    restore(m);
    refresh_rules(m, true);
    return 0;
}

void alerts_close(struct monitor *m)
{
    struct alerts *a = m->alerts;
    if (!a)
        return;
    alert_hook_free(a->hook);
    alert_book_free(a->book);
    shm_unmap(a->segment, a->segment_bytes);
    if (a->dir_fd >= 0)
        close(a->dir_fd);
    free(a);
    m->alerts = NULL;
}

static void tell_log(struct monitor *m, uint64_t wall_ns)
{
    const struct alert *x;
    for (size_t i = 0; (x = alert_book_at(m->alerts->book, i)) != NULL; i++) {
        bool fired = x->state == ALERT_FIRING && x->fired_wall_ns == wall_ns;
        if (!fired && !(x->state == ALERT_RESOLVED && x->resolved_wall_ns == wall_ns))
            continue;
        log_event(&m->log, fired ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "alert",
                  LOG_Z("state", alert_state_name(x->state)), LOG_Z("rule", x->rule),
                  LOG_Z("model", x->model), LOG_INT("version", x->version), LOG_Z("subject", x->subject));
    }
}

void alerts_tick(struct monitor *m, uint64_t now_mono_ns)
{
    struct alerts *a = m->alerts;
    uint64_t wall_ns = clock_wall_ns();
    refresh_rules(m, false);
    // Before all is known what is served, what is not there yet would look resolved.
    if (models_are_complete(m->models)) {
        alert_book_begin(a->book);
        alert_sources_read(m, a->segment, a->book, wall_ns);
        if (alert_book_end(a->book, wall_ns)) {
            tell_log(m, wall_ns);
            a->is_changed = true;
        }
    }
    if (a->is_changed)
        save(m);
    alert_hook_tick(a->hook, now_mono_ns);
}

void alerts_stop(struct monitor *m)
{
    if (m->alerts)
        save(m);
}

// ---- what is asked

static bool is_wanted(const struct alert *x, const char *state, const char *model)
{
    bool shown = state[0] ? strcmp(state, alert_state_name(x->state)) == 0 : x->state != ALERT_QUIET;
    return shown && (!model[0] || strcmp(model, x->model) == 0);
}

static void put_rules(const struct alerts *a, struct buf *out)
{
    buf_puts(out, "],\"rules\":");
    alert_rules_put(alert_book_rules(a->book), out);
    if (a->path[0]) {
        buf_puts(out, ",\"rules_file\":");
        buf_put_json_str(out, str_of(a->path));
    }
    if (a->why[0]) {
        buf_puts(out, ",\"rules_error\":");
        buf_put_json_str(out, str_of(a->why));
    }
    buf_printf(out, ",\"left_out\":%llu", (unsigned long long)alert_book_n_left_out(a->book));
}

int alerts_show(struct request *r, struct err *e)
{
    char state[16] = "", model[LIMIT_MODEL_NAME_BYTES + 1] = "";
    const struct request_param PARAMS[] = {{.name = "state", .text = state, .size = sizeof state},
                                           {.name = "model", .text = model, .size = sizeof model}};
    const struct alerts *a = r->m->alerts;
    const struct alert *x;
    bool is_first = true;
    int rc = request_params(r, PARAMS, sizeof PARAMS / sizeof PARAMS[0], e);
    if (rc == 0 && state[0] && strcmp(state, "pending") && strcmp(state, "firing") &&
        strcmp(state, "resolved"))
        rc = err_set(e, ERR_INVALID, "state is one of pending, firing, resolved");
    if (rc)
        return rc;
    buf_puts(&r->out, "{\"alerts\":[");
    for (size_t i = 0; (x = alert_book_at(a->book, i)) != NULL; i++) {
        if (!is_wanted(x, state, model))
            continue;
        if (!is_first)
            buf_putc(&r->out, ',');
        is_first = false;
        alert_put(x, &r->out);
    }
    put_rules(a, &r->out);
    buf_puts(&r->out, ",\"webhook\":");
    if (r->m->settings->alert_webhook[0])
        alert_hook_put(a->hook, &r->out);
    else
        buf_puts(&r->out, "null");
    buf_puts(&r->out, "}\n");
    request_answer(r, 200, "application/json");
    return 0;
}

void alerts_metrics_put(const struct monitor *m, struct buf *out)
{
    uint64_t n[ALERT_STATES][2] = {{0}};
    const struct alert *x;
    for (size_t i = 0; (x = alert_book_at(m->alerts->book, i)) != NULL; i++)
        n[x->state][x->is_critical]++;
    exposition_family(out, "slipway_alerts", "gauge", "Alerts by state.");
    for (unsigned s = ALERT_PENDING; s <= ALERT_FIRING; s++)
        for (unsigned critical = 0; critical < 2; critical++) {
            struct exposition y = exposition_begin(out, "slipway_alerts", "");
            exposition_label(&y, "state", str_of(alert_state_name((enum alert_state)s)));
            exposition_label(&y, "severity", critical ? STR("critical") : STR("warning"));
            exposition_end_u64(&y, n[s][critical]);
        }
    alert_hook_metrics_put(m->alerts->hook, out);
}
