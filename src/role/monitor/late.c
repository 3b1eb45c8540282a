// SPDX-License-Identifier: Apache-2.0
// A line says its values as numbers, which are read back into the tensor that the record had.
#include "role/monitor/late.h"

#include "base/clock.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/shm.h"
#include "predlog/query.h"
#include "role/feedback_token.h"
#include "role/log_worker.h"
#include "role/monitor/models.h"
#include "role/monitor/outcome.h"
#include "role/monitor/quality_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

#define NS_PER_S UINT64_C(1000000000)
enum { VALUES_MAX = 1 << 16, READ_BYTES = 64 << 10, TEXT_MAX = 32 << 20 };

struct waiting {
    uint64_t added_mono_ns;
    uint32_t row;
    uint8_t id[16];
};

struct values {
    double list[VALUES_MAX];
    size_t n;
    bool is_single; // were floats
};

struct late {
    struct monitor *m;
    struct waiting *queue; // (LATE_QUEUE) a ring
    uint64_t first, n;
    struct proc proc;
    struct watch readable; // its pipe; fd -1: none runs
    struct buf text;
    bool has_error; // its last line was one
    uint64_t next_mono_ns;
    struct late_counts counts;
    struct values seen, best; // of a line: those of the output that is looked at, and that is taken
};

int late_open(struct monitor *m, struct late **ret, struct err *e)
{
    struct late *l = *ret = calloc(1, sizeof *l);
    if (l)
        l->queue = calloc(LATE_QUEUE, sizeof *l->queue);
    if (!l || !l->queue) {
        free(l);
        *ret = NULL;
        return err_set(e, ERR_NOMEM, "no memory for labels that come late");
    }
    l->m = m;
    l->proc.pidfd = -1;
    l->readable.fd = -1;
    buf_init(&l->text, TEXT_MAX);
    return 0;
}

static void end_process(struct late *l)
{
    if (l->readable.fd < 0)
        return;
    loop_remove(l->m->loop, &l->readable);
    close(l->readable.fd);
    l->readable.fd = -1;
    proc_end(&l->proc);
    buf_done(&l->text);
}

void late_close(struct late *l)
{
    if (!l)
        return;
    end_process(l);
    buf_done(&l->text);
    free(l->queue);
    free(l);
}

void late_add(struct late *l, const uint8_t id[16], uint32_t row)
{
    if (l->n == LATE_QUEUE) {
        l->first++;
        l->n--;
    }
    struct waiting *w = &l->queue[(l->first + l->n++) % LATE_QUEUE];
    *w = (struct waiting){.added_mono_ns = clock_mono_ns(), .row = row};
    memcpy(w->id, id, sizeof w->id);
}

void late_count(const struct late *l, struct late_counts *ret)
{
    *ret = l->counts;
    ret->queued = l->n;
}

// ---- a line

static bool read_values(yyjson_val *v, struct values *to)
{
    size_t i, n;
    yyjson_val *one;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, n, one)
        {
            if (!read_values(one, to))
                return false;
        }
        return true;
    }
    if (to->n == VALUES_MAX || !(yyjson_is_num(v) || yyjson_is_bool(v) || yyjson_is_null(v)))
        return false;
    double x = yyjson_is_bool(v) ? yyjson_get_bool(v) : yyjson_is_num(v) ? yyjson_get_num(v) : nan("");
    to->list[to->n++] = to->is_single ? (double)(float)x : x;
    return true;
}

static const struct version *version_of(const struct models *ms, yyjson_val *line)
{
    const struct version *v;
    const char *model = yyjson_get_str(yyjson_obj_get(line, "model"));
    uint64_t number = yyjson_get_uint(yyjson_obj_get(line, "version"));
    for (size_t i = 0; model && (v = models_at(ms, i)); i++)
        if (v->version == number && strcmp(v->model, model) == 0)
            return v;
    return NULL;
}

static enum dtype dtype_of(const struct version *v, const char *output)
{
    for (uint32_t i = 0; i < v->schema.n_outputs; i++)
        if (str_eq(v->schema.outputs[i].name, str_of(output)))
            return v->schema.outputs[i].dtype;
    return v->schema.n_outputs == 1 ? v->schema.outputs[0].dtype : DTYPE_FP32;
}

// The output that labels are compared with; its values go to l->best. False: there is none.
static bool read_output(struct late *l, const struct version *v, yyjson_val *line, struct tensor *ret)
{
    bool by_row = yyjson_obj_get(line, "row") != NULL;
    struct values *seen = &l->seen;
    size_t i, n;
    int best = 0;
    yyjson_val *key, *output;
    yyjson_obj_foreach(yyjson_obj_get(line, "outputs"), i, n, key, output)
    {
        enum dtype t = dtype_of(v, yyjson_get_str(key));
        bool is_float = t == DTYPE_FP32 || t == DTYPE_FP64;
        int64_t rows = by_row ? 1 : yyjson_is_arr(output) ? (int64_t)yyjson_arr_size(output) : 0;
        seen->n = 0;
        seen->is_single = t == DTYPE_FP32;
        if (rows == 0 || !read_values(output, seen) || seen->n % (size_t)rows)
            continue;
        struct tensor x = {.dtype = DTYPE_FP64,
                           .n_dims = 2,
                           .shape = {rows, (int64_t)(seen->n / (size_t)rows)},
                           .data = l->best.list,
                           .bytes = seen->n * sizeof seen->list[0]};
        int rank = is_float || feedback_output_width(&x) == 1 ? feedback_output_rank(&x) - !is_float : 0;
        if (rank <= best)
            continue;
        best = rank;
        memcpy(l->best.list, seen->list, x.bytes);
        *ret = x;
        ret->dtype = is_float ? DTYPE_FP64 : DTYPE_INT64;
    }
    return best > 0;
}

// Whole numbers are compared as such.
static void make_whole(struct values *v, const struct tensor *t)
{
    for (size_t i = 0; t->dtype == DTYPE_INT64 && i < t->bytes / sizeof v->list[0]; i++) {
        int64_t whole = fabs(v->list[i]) < 1e15 ? (int64_t)v->list[i] : -1;
        memcpy(&v->list[i], &whole, sizeof whole);
    }
}

static uint64_t number_of(yyjson_val *line, const char *key)
{
    return yyjson_get_uint(yyjson_obj_get(line, key));
}

static bool read_line(struct late *l, yyjson_val *line, const struct version **v, uint8_t id[16],
                      struct outcomes *ret)
{
    struct feedback_token t = {.version = 0};
    yyjson_val *text = yyjson_obj_get(line, "id"), *time = yyjson_obj_get(line, "time");
    *v = version_of(l->m->models, line);
    if (!*v || !yyjson_equals_str(yyjson_obj_get(line, "kind"), "prediction") ||
        !record_id_read((struct str){yyjson_get_str(text), yyjson_get_len(text)}, id) ||
        !predlog_time_read((struct str){yyjson_get_str(time), yyjson_get_len(time)}, &t.wall_ns) ||
        !read_output(l, *v, line, &t.output))
        return false;
    make_whole(&l->best, &t.output);
    t.deployment = (*v)->deployment;
    t.version = (*v)->version;
    t.arm = (uint8_t)number_of(line, "arm");
    t.weight_bp = (uint16_t)number_of(line, "weight_bp");
    t.bucket = (uint16_t)number_of(line, "bucket");
    t.is_override = yyjson_is_true(yyjson_obj_get(line, "override"));
    outcomes_of_token(&t, ret);
    return true;
}

unsigned late_take_line(struct late *l, struct str line)
{
    const struct version *v;
    struct outcomes all;
    uint8_t id[16];
    unsigned found = 0;
    yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (read_line(l, root, &v, id, &all)) {
        uint32_t first = (uint32_t)number_of(root, "row");
        for (uint32_t i = 0; i < all.rows; i++)
            found += quality_found(l->m, v, id, first + i, &all, i);
    }
    yyjson_doc_free(doc);
    return found;
}

// ---- the process

static void take_text(struct late *l)
{
    struct str rest = buf_str(&l->text);
    for (const char *end; rest.n && (end = memchr(rest.p, '\n', rest.n));) {
        struct str line = {rest.p, (size_t)(end - rest.p)};
        l->has_error = line.n > 8 && memcmp(line.p, "{\"error\"", 8) == 0;
        if (l->has_error)
            log_event(&l->m->log, LOG_LEVEL_WARN, "late_labels_not_found", LOG_STR("message", line));
        else
            l->counts.found += late_take_line(l, line);
        rest = (struct str){end + 1, rest.n - line.n - 1};
    }
    buf_consume(&l->text, l->text.n - rest.n);
}

static void on_readable(struct watch *w, uint32_t events)
{
    (void)events;
    struct late *l = (struct late *)((char *)w - offsetof(struct late, readable));
    char *to = buf_reserve(&l->text, READ_BYTES);
    ssize_t n = to ? read(w->fd, to, READ_BYTES) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        buf_advance(&l->text, (size_t)n);
        take_text(l);
        return;
    }
    l->counts.failures += !to || l->has_error;
    end_process(l);
}

static int spawn(struct late *l, int ids_fd, struct err *e)
{
    int ends[2];
    char *argv[] = {(char[]){"slipway"}, (char[]){LOG_WORKER_ROLE}, (char[]){"find"}, strdup(l->m->data_dir),
                    NULL};
    if (!argv[3])
        return err_set(e, ERR_NOMEM, "no memory to look into the prediction log");
    if (pipe2(ends, O_CLOEXEC) < 0) {
        free(argv[3]);
        return err_errno(e, errno, "open a pipe");
    }
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    const int fds[] = {ends[1], ids_fd};
    struct proc_spec spec = {.argv = argv, .envp = environ, .fds = fds, .n_fds = 2};
    int rc = proc_spawn(&spec, &l->proc, e);
    free(argv[3]);
    close(ends[1]);
    l->readable = (struct watch){ends[0], on_readable};
    if (!rc)
        rc = loop_add(l->m->loop, &l->readable, EPOLLIN, e);
    if (!rc)
        return 0;
    proc_end(&l->proc);
    close(ends[0]);
    l->readable.fd = -1;
    return rc;
}

// Those that have waited long enough and still wait; returns how many.
static size_t take_batch(struct late *l, uint64_t now_mono_ns, uint8_t (*ids)[16])
{
    size_t n = 0;
    for (; l->n && n < LOG_WORKER_IDS_MAX; l->first++, l->n--) {
        const struct waiting *w = &l->queue[l->first % LATE_QUEUE];
        if (now_mono_ns < w->added_mono_ns + LATE_AFTER_S * NS_PER_S)
            break;
        const struct join_row *r = join_find(l->m->judge->join, w->id, w->row);
        if (!r || r->state != JOIN_WAITING)
            continue;
        memcpy(ids[n++], w->id, sizeof w->id);
    }
    return n;
}

void late_tick(struct late *l, uint64_t now_mono_ns)
{
    int fd = -1;
    struct err e;
    if (l->readable.fd >= 0 || l->n == 0 || now_mono_ns < l->next_mono_ns)
        return;
    uint8_t(*ids)[16] = calloc(LOG_WORKER_IDS_MAX, sizeof *ids);
    size_t n = ids ? take_batch(l, now_mono_ns, ids) : 0;
    int rc = n ? shm_new("late-labels", n * sizeof *ids, &fd, &e) : 0;
    if (n && !rc)
        rc = file_write_all(fd, ids, n * sizeof *ids, &e);
    if (n && !rc)
        rc = spawn(l, fd, &e);
    if (rc) {
        l->counts.failures++;
        log_event(&l->m->log, LOG_LEVEL_WARN, "late_labels_not_found", LOG_Z("message", e.msg));
    }
    l->counts.looked += rc ? 0 : n;
    if (n)
        l->next_mono_ns = now_mono_ns + LATE_PAUSE_S * NS_PER_S;
    if (fd >= 0)
        close(fd);
    free(ids);
}
