// SPDX-License-Identifier: Apache-2.0
// The queue of compile jobs, each done by a helper process: start, read the result, seal the image. Nothing
// that the process says is believed: the image is opened by the engine, which checks it, by those who use it.
#include "role/controller/compile_job.h"

#include "admission/admission.h"
#include "engine/engine.h"
#include "os/shm.h"
#include "role/compile.h"
#include "role/controller/helper.h"
#include "role/controller/image.h"
#include "settings/settings.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

static void list_add(struct compile_job **list, struct compile_job *j)
{
    while (*list && (!j->is_urgent || (*list)->is_urgent))
        list = &(*list)->next;
    j->next = *list;
    *list = j;
}

static void list_remove(struct compile_job **list, struct compile_job *j)
{
    while (*list != j)
        list = &(*list)->next;
    *list = j->next;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

// The process has ended, is being killed, or never began.
static void release(struct compile_job *j)
{
    struct controller *c = j->c;
    j->helper = NULL;
    if (!j->is_running)
        return;
    list_remove(&c->jobs_running, j);
    c->n_jobs_running--;
    j->is_running = false;
}

// ---- what the process says

static int take_engine(struct compile_job *j, yyjson_val *root)
{
    const char *engine = yyjson_get_str(yyjson_obj_get(root, "engine"));
    const char *format = yyjson_get_str(yyjson_obj_get(root, "format"));
    if (!engine || !format || !engine_find(str_of(engine)) || strlen(format) >= sizeof j->format)
        return 0;
    j->engine = engine_find(str_of(engine));
    snprintf(j->format, sizeof j->format, "%s", format);
    return 1;
}

// Every text is JSON again, and of bounded length.
static bool put_json(yyjson_val *v, struct buf *out)
{
    size_t n;
    char *json = v ? yyjson_val_write(v, 0, &n) : NULL;
    if (json)
        buf_put(out, json, n);
    free(json);
    return json && !out->failed;
}

static void take_step(struct compile_job *j, yyjson_val *root, const char *step)
{
    size_t from = j->steps.n + (j->steps.n > 0);
    if (j->steps.n)
        buf_putc(&j->steps, ',');
    if (!put_json(root, &j->steps))
        return;
    j->is_whole |= strcmp(step, ADMISSION_SIGNATURE) == 0;
    j->step[0] = '\0';
    if (j->on_step)
        j->on_step(j, (struct str){j->steps.p + from, j->steps.n - from});
}

static void on_line(void *owner, struct str line)
{
    struct compile_job *j = owner;
    yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *begin = yyjson_get_str(yyjson_obj_get(root, "begin"));
    const char *step = yyjson_get_str(yyjson_obj_get(root, "step"));
    if (begin)
        snprintf(j->step, sizeof j->step, "%s", begin);
    else if (!step)
        (void)take_engine(j, root);
    else
        take_step(j, root, step); // last: the job may be cancelled, and gone
    yyjson_doc_free(doc);
}

static struct str last_line(struct str text)
{
    while (text.n && text.p[text.n - 1] == '\n')
        text.n--;
    const char *from = text.n ? memrchr(text.p, '\n', text.n) : NULL;
    return from ? (struct str){from + 1, (size_t)(text.p + text.n - from - 1)} : text;
}

static void take_rejection(struct compile_job *j, yyjson_val *rejected)
{
    const char *step = yyjson_get_str(yyjson_obj_get(rejected, "step"));
    j->is_rejected = rejected != NULL;
    if (rejected && !helper_report_take(rejected, &j->why))
        err_set(&j->why, ERR_REJECTED, "it was not said why");
    snprintf(j->rejected_step, sizeof j->rejected_step, "%s", step ? step : "");
}

static int too_late(const struct compile_job *j, struct err *e)
{
    err_set(e, ERR_DEADLINE,
            "checking and compiling the model took longer than the setting compile_timeout, %llu s",
            (unsigned long long)j->timeout_ms / 1000);
    err_hint(e, "The model is not served. Raise compile_timeout if the model is that large.");
    return ERR_DEADLINE;
}

// Why a process that ended without a result did so.
static int ended_badly(const struct compile_job *j, int status, struct err *e)
{
    if (status == -SIGXCPU)
        return too_late(j, e);
    if (status == -SIGXFSZ) {
        err_set(e, ERR_TOO_LARGE, "the compiled model is larger than the setting compile_memory");
        err_hint(e, "Raise compile_memory if the model is that large.");
        return ERR_TOO_LARGE;
    }
    if (status == -SIGKILL) {
        err_set(e, ERR_NOMEM,
                "the process that compiled the model was killed; there may be too little memory");
        err_hint(e, "Give the server more memory, or push again when less is going on.");
        return ERR_NOMEM;
    }
    if (status < 0)
        return err_set(e, ERR_INTERNAL, "the process that compiled the model ended by signal %d (%s)",
                       -status, strsignal(-status));
    if (status > 0)
        return err_set(e, ERR_INTERNAL, "the process that compiled the model ended with code %d", status);
    return err_set(e, ERR_INTERNAL, "the process that compiled the model ended without a word");
}

static int result_parse(struct compile_job *j, struct str json, struct err *e)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *report = yyjson_obj_get(root, "report");
    int rc = helper_report_take(root, e);
    if (!rc && (!j->engine || !yyjson_is_obj(report)))
        rc = ended_badly(j, 0, e);
    if (!rc && !put_json(report, &j->report))
        rc = err_set(e, ERR_NOMEM, "no memory for the report of the admission");
    if (!rc)
        take_rejection(j, yyjson_obj_get(root, "rejected"));
    j->is_breaking = yyjson_is_true(yyjson_obj_get(root, "breaking"));
    yyjson_doc_free(doc);
    return rc;
}

// The model ended the process that tried it, and what it is, is known: a version that is rejected.
static bool ended_by_model(struct compile_job *j, const struct helper_end *end)
{
    if (!j->engine || !j->is_whole || !j->step[0] || (!end->is_late && end->status == 0))
        return false;
    err_set(&j->why, ERR_REJECTED,
            end->is_late || end->status == -SIGXCPU
                ? "it took longer than the setting compile_timeout"
                : "the model ended the process that tried it, by signal %d (%s)",
            -end->status, strsignal(end->status < 0 ? -end->status : 0));
    err_hint(&j->why, end->is_late || end->status == -SIGXCPU
                          ? "Raise the setting compile_timeout if the model is that slow."
                          : "A request with the inputs of this step would end a process that serves; "
                            "docs/admission.md says what they are.");
    j->is_rejected = true;
    snprintf(j->rejected_step, sizeof j->rejected_step, "%s", j->step);
    buf_printf(&j->report, "{\"schema\":1,\"verdict\":\"rejected\",\"steps\":[");
    buf_put_str(&j->report, buf_str(&j->steps));
    buf_printf(&j->report, "%s{\"step\":", j->steps.n ? "," : "");
    buf_put_json_str(&j->report, str_of(j->step));
    buf_puts(&j->report, ",\"result\":\"failed\",\"detail\":");
    buf_put_json_str(&j->report, str_of(j->why.msg));
    buf_puts(&j->report, "}]}");
    return !j->report.failed;
}

static int collect(struct compile_job *j, const struct helper_end *end, struct err *e)
{
    int rc = 0;
    if (ended_by_model(j, end))
        rc = 0;
    else if (end->is_late)
        return too_late(j, e);
    else if (end->status != 0 || end->report.n == 0)
        return ended_badly(j, end->status, e);
    else
        rc = result_parse(j, last_line(end->report), e);
    if (rc || j->given_image)
        return rc;
    rc = shm_seal(j->image_fd, SHM_SEAL_ALL, e);
    if (!rc) {
        off_t size = lseek(j->image_fd, 0, SEEK_END);
        j->image_bytes = size > 0 ? (uint64_t)size : 0;
    }
    return rc;
}

static void start_next(struct controller *c);

static void on_end(void *owner, const struct helper_end *end)
{
    struct compile_job *j = owner;
    struct controller *c = j->c;
    struct err e = {0};
    int rc = collect(j, end, &e);
    release(j);
    if (rc)
        close_fd(&j->image_fd);
    j->on_done(j, rc ? &e : NULL);
    start_next(c);
}

static int spawn(struct compile_job *j, int file_fd, int golden_fd, int signature_fd, struct err *e)
{
    const struct settings *s = j->c->args->settings;
    char digest[REGISTRY_DIGEST_TEXT], memory[24], cpu[24], program[] = "slipway", role[] = COMPILE_ROLE;
    registry_digest_text(&j->digest, digest);
    snprintf(memory, sizeof memory, "%llu", (unsigned long long)s->compile_memory_bytes);
    snprintf(cpu, sizeof cpu, "%llu", (unsigned long long)s->compile_timeout_ms / 1000 + 1);
    char library[sizeof s->onnxruntime_library];
    snprintf(library, sizeof library, "%s", s->onnxruntime_library);
    struct version_settings settings;
    version_settings_init(&settings);
    if (j->settings)
        settings = *j->settings;
    char data_dir[sizeof s->data_dir], *files = strdup(j->files ? j->files : "");
    if (!files)
        return err_set(e, ERR_NOMEM, "no memory for the names of files");
    snprintf(data_dir, sizeof data_dir, "%s", s->data_dir);
    char golden[REGISTRY_DIGEST_TEXT] = "", rows[16] = "", nothing[] = "", told[] = COMPILE_TOLD,
         given[] = COMPILE_GIVEN;
    if (j->golden)
        registry_digest_text(j->golden, golden);
    if (j->is_known)
        snprintf(rows, sizeof rows, "%u", j->batch_rows);
    char *argv[COMPILE_ARGS + 1] = {
        [COMPILE_ARG_PROGRAM] = program,
        [COMPILE_ARG_ROLE] = role,
        [COMPILE_ARG_DIGEST] = digest,
        [COMPILE_ARG_MEMORY_BYTES] = memory,
        [COMPILE_ARG_CPU_S] = cpu,
        [COMPILE_ARG_ONNXRUNTIME] = library,
        [COMPILE_ARG_OPTIMIZATION] = settings.optimization,
        [COMPILE_ARG_PROVIDER] = settings.provider,
        [COMPILE_ARG_FILES] = files,
        [COMPILE_ARG_DATA_DIR] = data_dir,
        [COMPILE_ARG_GOLDEN] = golden,
        [COMPILE_ARG_SIGNATURE] = j->signature.n ? told : nothing,
        [COMPILE_ARG_IMAGE] = j->given_image ? given : nothing,
        [COMPILE_ARG_BATCH_ROWS] = rows,
    };
    int fds[] = {file_fd, j->given_image ? *j->given_image : j->image_fd, j->golden ? golden_fd : file_fd,
                 j->signature.n ? signature_fd : file_fd};
    j->timeout_ms = s->compile_timeout_ms;
    int rc = helper_start(j->c,
                          &(struct helper_spec){.argv = argv,
                                                .fds = fds,
                                                .n_fds = sizeof fds / sizeof fds[0],
                                                .timeout_ms = j->timeout_ms,
                                                .on_line = on_line,
                                                .on_end = on_end,
                                                .owner = j},
                          &j->helper, e);
    free(files);
    return rc;
}

static int launch(struct compile_job *j, struct err *e)
{
    int file_fd = -1, golden_fd = -1, signature_fd = -1;
    int rc = j->c->blobs->ops->open(j->c->blobs, &j->digest, &file_fd, e); // the process verifies it
    if (!rc && j->golden)
        rc = j->c->blobs->ops->open(j->c->blobs, j->golden, &golden_fd, e);
    if (!rc && j->signature.n)
        rc = image_of_text("slipway-signature", j->signature, &signature_fd, e);
    if (!rc && !j->given_image)
        rc = shm_new("slipway-model", 0, &j->image_fd, e);
    if (!rc)
        rc = spawn(j, file_fd, golden_fd, signature_fd, e);
    close_fd(&file_fd);
    close_fd(&golden_fd);
    close_fd(&signature_fd);
    return rc ? err_wrap(e, "compile the model") : 0;
}

static void start_next(struct controller *c)
{
    while (c->jobs_waiting && c->n_jobs_running < c->max_jobs_running) {
        struct compile_job *j = c->jobs_waiting;
        struct err e = {0};
        c->jobs_waiting = j->next;
        c->n_jobs_waiting--;
        j->is_queued = false;
        if (launch(j, &e)) {
            close_fd(&j->image_fd);
            j->on_done(j, &e);
            continue;
        }
        j->is_running = true;
        j->next = c->jobs_running;
        c->jobs_running = j;
        c->n_jobs_running++;
    }
}

int compile_job_start(struct controller *c, struct compile_job *j, struct err *e)
{
    j->c = c;
    j->image_fd = -1;
    buf_init(&j->report, 2 * HELPER_REPORT_MAX);
    buf_init(&j->steps, 2 * HELPER_REPORT_MAX);
    if (j->is_urgent && c->n_jobs_waiting >= LIMIT_COMPILES_QUEUED + LIMIT_DEPLOYMENTS)
        return err_set(e, ERR_BUSY, "%u versions wait to be checked already", c->n_jobs_waiting);
    list_add(&c->jobs_waiting, j);
    c->n_jobs_waiting++;
    j->is_queued = true;
    start_next(c);
    return 0;
}

void compile_job_cancel(struct compile_job *j)
{
    struct controller *c = j->c;
    if (j->is_queued) {
        list_remove(&c->jobs_waiting, j);
        c->n_jobs_waiting--;
        j->is_queued = false;
    }
    if (!j->is_running)
        return;
    helper_cancel(j->helper);
    release(j);
    close_fd(&j->image_fd);
    start_next(c);
}

void compile_job_done(struct compile_job *j)
{
    buf_done(&j->report);
    buf_done(&j->steps);
}
