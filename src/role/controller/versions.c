// SPDX-License-Identifier: Apache-2.0
// Creating a version: manifest → blobs are there for good → compiled and tried in a throw-away process →
// where its engine needs them, a replica has loaded it → committed → published → answered once every gateway
// runs it. Until the commit a failure leaves nothing behind. What was compiled and then failed is committed
// too, as rejected: it has a number and its reasons, and never serves.
#include "api/predict.h"
#include "engine/engine.h"
#include "role/compile.h"
#include "role/controller/agreement.h"
#include "role/controller/baseline_job.h"
#include "role/controller/change.h"
#include "role/controller/compile_job.h"
#include "role/controller/deploying.h"
#include "role/controller/describe.h"
#include "role/controller/gateways.h"
#include "role/controller/housekeeping.h"
#include "role/controller/image.h"
#include "role/controller/image_cache.h"
#include "role/controller/manifest.h"
#include "role/controller/replace.h"
#include "role/controller/replicas.h"
#include "role/controller/request.h"
#include "role/controller/rollouts.h"
#include "role/controller/store_job.h"
#include "role/model_files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIGNATURE_MAX = 64 << 20 };

struct push {
    struct request *r;
    struct manifest manifest;
    struct blob_hold hold; // of all its files
    struct store_job blob;
    size_t n_durable; // blobs of the manifest that are there for good
    struct compile_job job;
    struct baseline_job baseline;     // the training file becomes a profile
    struct verification verification; // of a blob that is said to be damaged
    struct err why;
    int blob_fd;                   // for it; -1: none
    struct deployment *deployment; // reserved; NULL once it is committed
    struct buf signature, changes;
    struct buf told; // of the signature, to the process that compiles
    uint32_t before; // whose clients must not break, as it was told
    struct replacement replacement;
    struct replicas_wait wait;
    struct publication publication;
};

static void push_free(struct request *r)
{
    struct push *p = r->state;
    store_job_cancel(&p->blob);
    if (p->job.c)
        compile_job_cancel(&p->job);
    compile_job_done(&p->job);
    baseline_job_cancel(&p->baseline);
    verification_cancel(&p->verification);
    if (p->blob_fd >= 0)
        close(p->blob_fd);
    replicas_forget(r->c, &p->wait);
    if (p->deployment) {
        replicas_withdraw(r->c, p->deployment);
        replace_undo(&p->replacement, p->deployment->is_declared ? p->deployment->promised_id : 0);
        routing_drop(&r->c->routing, p->deployment);
    }
    gateways_forget(r->c, &p->publication);
    housekeeping_release(&p->hold);
    manifest_done(&p->manifest);
    buf_done(&p->signature);
    buf_done(&p->changes);
    buf_done(&p->told);
    free(p);
    r->state = NULL;
}

static int blob_check(struct request *r, const struct registry_artifact *a, size_t i, struct err *e)
{
    uint64_t size = 0;
    int rc = r->c->blobs->ops->find(r->c->blobs, &a->digest, &size, e);
    if (rc == ERR_NOT_FOUND)
        err_hint(e, "Upload the file first: PUT /api/v1/blobs/{digest}.");
    if (!rc && size != a->size_bytes)
        rc = err_set(e, ERR_INVALID, "the file has %llu bytes, not %llu", (unsigned long long)size,
                     (unsigned long long)a->size_bytes);
    if (rc)
        err_at(e, "$.artifacts[%zu]", i);
    return rc;
}

static int blobs_check(struct request *r, const struct manifest *m, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < m->n_artifacts; i++)
        rc = blob_check(r, &m->artifacts[i], i, e);
    return rc;
}

static void on_published(struct publication *publication, const struct err *e)
{
    struct push *p = (struct push *)((char *)publication - offsetof(struct push, publication));
    if (e)
        request_fail(p->r, e);
    else
        request_answer(p->r, 201, "application/json");
}

// The id and number that the version will have: none that another push was promised.
static int promise(struct push *p, struct err *e)
{
    struct request *r = p->r;
    struct deployment *d = p->deployment;
    uint64_t id;
    uint32_t number;
    int rc = r->c->registry->ops->version_next(r->c->registry, r->args[0], &id, &number, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        const struct deployment *other = r->c->routing.slots[i];
        if (!other || other->promised_id == 0 || other == d)
            continue;
        if (other->promised_id >= id)
            id = other->promised_id + 1;
        if (other->promised_version >= number && strcmp(other->model, d->model) == 0)
            number = other->promised_version + 1;
    }
    d->promised_id = id;
    d->promised_version = number;
    return 0;
}

static struct registry_version version_of(const struct push *p, const struct registry_cause *cause)
{
    const struct request *r = p->r;
    return (struct registry_version){
        .id = p->deployment->promised_id,
        .model = r->args[0],
        .number = p->deployment->promised_version,
        .state = STR("ready"),
        .engine = str_of(p->deployment->engine->name),
        .format = str_of(p->job.format),
        .signature_json = buf_str(&p->signature),
        .description = p->manifest.description,
        .tags_json = buf_str(&p->manifest.tags_json),
        .settings_json = buf_str(&p->manifest.settings_json),
        .metrics_json = buf_str(&p->manifest.metrics_json),
        .reasons_json = STR("[]"),
        .admission_json = buf_str(&p->job.report),
        .trained_from = p->manifest.trained_from,
        .replaces = routing_alias_target(&r->c->routing, r->args[0], STR("champion")),
        .created_by = cause->actor,
        .created_wall_ns = cause->wall_ns,
        .artifacts = p->manifest.artifacts,
        .n_artifacts = p->manifest.n_artifacts,
    };
}

// The answer goes into the registry with the version.
static void put_answer(struct push *p, const struct registry_version *v)
{
    struct request *r = p->r;
    struct registry_alias champion = {v->model, STR("champion"), v->number};
    describe_version(&(struct describe_version){.version = v,
                                                .aliases = &champion,
                                                .n_aliases = p->manifest.promote,
                                                .deployment = p->deployment,
                                                .in_full = true},
                     &r->out);
    change_promise(r, 201);
}

static int commit(struct push *p, struct registry_version *v, struct err *e)
{
    struct request *r = p->r;
    struct deployment *d = p->deployment;
    struct str alias = p->manifest.promote ? STR("champion") : STR("");
    int rc = routing_alias_reserve(&r->c->routing, e);
    if (rc)
        return rc;
    request_reason(r, p->manifest.reason);
    struct registry_cause cause = request_cause(r);
    *v = version_of(p, &cause);
    d->id = v->id;
    d->version = v->number;
    d->state = DEPLOYMENT_READY;
    put_answer(p, v);
    rc = r->c->registry->ops->version_add(r->c->registry, &cause, v, alias, &v->id, &v->number, e);
    if (rc) { // what is not committed must not be published
        d->id = d->version = 0;
        d->state = DEPLOYMENT_RESERVED;
    }
    return rc;
}

// The version exists: from here on nothing fails but the answer.
static void serve(struct push *p, const struct registry_version *v)
{
    struct request *r = p->r;
    if (p->manifest.promote)
        routing_alias_set(&r->c->routing, v->model, STR("champion"), v->number);
    routing_set_newest(&r->c->routing, p->deployment);
    deploying_named(r->c, p->deployment);
    if (!p->deployment->engine->runtime) {
        image_cache_name(r->c, p->deployment, &p->job.digest);
        image_cache_put(r->c, p->deployment);
    }
    p->deployment = NULL; // the table's now
    log_event(&r->c->log, LOG_LEVEL_INFO, "version_created", LOG_STR("model", v->model),
              LOG_INT("version", v->number), LOG_BOOL("promoted", p->manifest.promote),
              LOG_Z("request_id", r->request_id));
    struct controller *c = r->c;
    replace_done(&p->replacement);
    change_receipt(r);
    p->publication.on_done = on_published;
    rollouts_check(c);
    gateways_publish(c);
    gateways_wait(c, &p->publication); // may answer, and be the end of p
    replace_apply(c);
}

static void finish(struct push *p)
{
    struct registry_version v;
    struct err e;
    if (commit(p, &v, &e))
        request_fail(p->r, &e);
    else
        serve(p, &v);
}

// [{"step":"golden","code":"rejected","message":"…","hint":"…"}]
static void put_reasons(const struct compile_job *j, struct buf *out)
{
    buf_puts(out, "[{\"step\":");
    buf_put_json_str(out, str_of(j->rejected_step));
    buf_printf(out, ",\"code\":\"%s\",\"message\":", err_name(j->why.code));
    buf_put_json_str(out, str_of(j->why.msg));
    buf_puts(out, ",\"hint\":");
    buf_put_json_str(out, str_of(j->why.hint));
    buf_puts(out, "}]");
}

// The error with what the version is now and what was found out; it goes into the registry with the version.
static void put_rejection(struct push *p, const struct registry_version *v)
{
    struct request *r = p->r;
    struct err why = p->job.why;
    why.code = ERR_REJECTED;
    (void)err_wrap(&why, "version %u of '" STR_FMT "' is rejected at the step %s", v->number,
                   STR_ARG(v->model), p->job.rejected_step);
    api_error_encode(&why, str_of(r->request_id), &r->out);
    if (r->out.n)
        r->out.n--; // the object goes on
    buf_printf(&r->out, ",\"version\":%u,\"step\":\"%s\",\"admission\":", v->number, p->job.rejected_step);
    buf_put_str(&r->out, v->admission_json);
    buf_putc(&r->out, '}');
    change_promise(r, err_http_status(ERR_REJECTED));
}

// A version with reasons, which is not loaded.
static int commit_rejected(struct push *p, struct str reasons, struct err *e)
{
    struct request *r = p->r;
    request_reason(r, p->manifest.reason);
    struct registry_cause cause = request_cause(r);
    struct registry_version v = version_of(p, &cause);
    v.state = STR("rejected");
    v.reasons_json = reasons;
    put_rejection(p, &v);
    int rc = r->c->registry->ops->version_add(r->c->registry, &cause, &v, STR(""), &v.id, &v.number, e);
    if (rc)
        return rc;
    log_event(&r->c->log, LOG_LEVEL_WARN, "version_rejected", LOG_STR("model", v.model),
              LOG_INT("version", v.number), LOG_Z("step", p->job.rejected_step),
              LOG_Z("message", p->job.why.msg), LOG_Z("request_id", r->request_id));
    change_receipt(r);
    request_answer(r, err_http_status(ERR_REJECTED), "application/json");
    return 0;
}

static int reject(struct push *p, struct err *e)
{
    struct buf reasons;
    buf_init(&reasons, LIMIT_MANIFEST_BYTES);
    put_reasons(&p->job, &reasons);
    int rc = reasons.failed ? err_set(e, ERR_NOMEM, "no memory for the reasons")
                            : commit_rejected(p, buf_str(&reasons), e);
    buf_done(&reasons);
    return rc;
}

static void on_loaded(struct replicas_wait *w, const struct err *e)
{
    struct push *p = (struct push *)((char *)w - offsetof(struct push, wait));
    if (e)
        request_fail(p->r, e);
    else
        finish(p);
}

// A version is committed only after a replica has loaded it.
static int load_in_replicas(struct push *p, struct err *e)
{
    struct deployment *d = p->deployment;
    d->settings = p->manifest.settings;
    d->digest = p->manifest.model->digest;
    uint32_t min = d->settings.min_replicas;
    int rc = replicas_serve(p->r->c, d, min ? min : 1, e);
    if (rc)
        return rc;
    p->wait.on_done = on_loaded;
    replicas_wait(p->r->c, d, &p->wait);
    return 0;
}

static void on_room(struct replacement *replacement)
{
    struct push *p = (struct push *)((char *)replacement - offsetof(struct push, replacement));
    struct err e;
    if (load_in_replicas(p, &e))
        request_fail(p->r, &e);
}

// Beside the version that it replaces, or after that made room.
static int make_room_and_load(struct push *p, struct err *e)
{
    struct replace_asked a = {
        .model = p->r->args[0], .settings = &p->manifest.settings, .promote = p->manifest.promote};
    for (size_t i = 0; i < p->manifest.n_artifacts; i++) {
        const struct registry_artifact *file = &p->manifest.artifacts[i];
        if (file->role == REGISTRY_ROLE_MODEL || file->role == REGISTRY_ROLE_DATA)
            a.file_bytes += file->size_bytes;
    }
    p->replacement.on_room = on_room;
    int rc = replace_begin(p->r->c, &p->replacement, &a, e);
    return rc > 0 ? load_in_replicas(p, e) : rc;
}

// engine: NULL while it is not known.
static int settings_check(const struct push *p, const struct engine *engine, struct err *e)
{
    struct str name = p->manifest.replica_setting;
    if (!engine || engine->runtime)
        return 0;
    if (p->deployment->files) {
        err_set(e, ERR_INVALID, "data files belong to ONNX models, and this one is none");
        err_at(e, "$.artifacts");
        err_hint(e, "Leave them out (--file).");
        return ERR_INVALID;
    }
    if (name.n == 0)
        return 0;
    err_set(e, ERR_INVALID,
            "'" STR_FMT "' is a setting of models that run in replicas, which this one does not",
            STR_ARG(name));
    err_at(e, "$." STR_FMT, STR_ARG(name));
    err_hint(e, "Its engine, %s, computes inside the gateways: leave the setting out.", engine->name);
    return ERR_INVALID;
}

static void on_verified(struct verification *v, const struct err *e)
{
    (void)e; // whatever was found: this version is not
    struct push *p = (struct push *)((char *)v - offsetof(struct push, verification));
    request_fail(p->r, &p->why);
}

// A blob that is damaged is set aside first, so that the file can be stored again.
static void refuse(struct push *p, const struct err *why)
{
    struct controller *c = p->r->c;
    const struct registry_digest *damaged =
        p->job.golden && strcmp(why->path, COMPILE_GOLDEN_PATH) == 0 ? p->job.golden : &p->job.digest;
    struct err e;
    p->why = *why;
    p->verification.on_done = on_verified;
    if (why->code == ERR_DIGEST && !c->blobs->ops->open(c->blobs, damaged, &p->blob_fd, &e) &&
        !verification_start(c, &p->verification, damaged, p->blob_fd, &e))
        return;
    request_fail(p->r, &p->why);
}

static uint32_t champion_of(const struct push *p)
{
    return routing_alias_target(&p->r->c->routing, p->r->args[0], STR("champion"));
}

// What the process that compiles is told of the signature.
static int tell_signature(struct push *p, struct err *e)
{
    p->before = champion_of(p);
    const struct agreement a = {buf_str(&p->manifest.signature_json), p->manifest.allow_breaking, p->before};
    int rc = agreement_tell(p->r->c, &a, p->r->args[0], &p->told, e);
    p->job.signature = buf_str(&p->told);
    return rc;
}

// The signature; false and answered when it cannot be so. A process that found it breaking did not try the
// version, whatever is the champion by now.
static bool agree(struct push *p)
{
    struct err e;
    const struct agreement a = {buf_str(&p->manifest.signature_json), p->manifest.allow_breaking,
                                p->job.is_breaking ? p->before : champion_of(p)};
    int rc = agreement_make(p->r->c, &a, p->deployment, &p->signature, &p->changes, &e);
    if (rc == 0 && p->job.is_breaking)
        rc = err_set(&e, ERR_INTERNAL, "the process that compiled the model compared its signature wrongly");
    if (rc)
        change_refuse(p->r, &e, rc == ERR_CONFLICT ? buf_str(&p->changes) : STR(""));
    return rc == 0;
}

// What is wrong with the request is said as soon as that is known.
static void on_step(struct compile_job *j, struct str step)
{
    struct push *p = (struct push *)((char *)j - offsetof(struct push, job));
    struct err e;
    if (!settings_check(p, j->engine, &e)) {
        request_line(p->r, step);
        return;
    }
    compile_job_cancel(j);
    request_fail(p->r, &e);
}

// What is left once the version is known to be good.
static int load_and_finish(struct push *p, struct err *e)
{
    if (p->deployment->engine->runtime)
        return make_room_and_load(p, e);
    finish(p);
    return 0;
}

static void on_baseline(struct baseline_job *j, const struct err *why)
{
    struct push *p = (struct push *)((char *)j - offsetof(struct push, baseline));
    struct err e;
    if (why)
        request_fail(p->r, why);
    else if (load_and_finish(p, &e))
        request_fail(p->r, &e);
}

static void on_baseline_step(struct baseline_job *j, struct str step)
{
    struct push *p = (struct push *)((char *)j - offsetof(struct push, baseline));
    request_line(p->r, step);
}

static int make_baseline(struct push *p, struct err *e)
{
    struct baseline_spec spec = {.deployment = p->deployment, .signature = buf_str(&p->signature)};
    for (size_t i = 0; i < p->manifest.n_artifacts; i++)
        if (p->manifest.artifacts[i].role == REGISTRY_ROLE_BASELINE)
            spec.artifact = &p->manifest.artifacts[i];
    if (!spec.artifact)
        return load_and_finish(p, e);
    p->baseline.on_done = on_baseline;
    p->baseline.on_step = on_baseline_step;
    return baseline_job_start(p->r->c, &p->baseline, &spec, e);
}

static void on_compiled(struct compile_job *j, const struct err *why)
{
    struct push *p = (struct push *)((char *)j - offsetof(struct push, job));
    struct request *r = p->r;
    struct err e;
    if (why) {
        refuse(p, why);
        return;
    }
    int rc = image_take(j, p->deployment, &p->signature, &e);
    if (!rc)
        rc = settings_check(p, p->deployment->engine, &e);
    if (!rc && !agree(p))
        return;
    if (!rc)
        rc = promise(p, &e);
    if (!rc)
        rc = j->is_rejected ? reject(p, &e) : make_baseline(p, &e);
    if (rc)
        request_fail(r, &e);
}

// The version is about to depend on its blobs, and who stored one may have died before its name was durable:
// each in turn, then the model is compiled.
static void on_blob_durable(struct store_job *j, bool stored, const struct err *why)
{
    (void)stored;
    struct push *p = (struct push *)((char *)j - offsetof(struct push, blob));
    struct request *r = p->r;
    struct err e;
    if (why)
        request_fail(r, why);
    else if (++p->n_durable < p->manifest.n_artifacts
                 ? store_job_start(r->c, &p->blob, NULL, &p->manifest.artifacts[p->n_durable].digest, &e)
                 : compile_job_start(r->c, &p->job, &e))
        request_fail(r, &e);
}

// The list of the files that hold weights beside the model's own.
static int list_files(struct push *p, struct err *e)
{
    struct buf list;
    buf_init(&list, LIMIT_MODEL_FILES_BYTES);
    model_files_put(p->manifest.artifacts, p->manifest.n_artifacts, &list);
    int rc = list.failed
                 ? err_set(e, ERR_TOO_LARGE,
                           "the names of all data files take more than %d KiB; put the weights into fewer",
                           LIMIT_MODEL_FILES_BYTES >> 10)
                 : 0;
    if (rc == 0 && list.n && !(p->deployment->files = str_dup(buf_str(&list))))
        rc = err_set(e, ERR_NOMEM, "no memory for the names of files");
    buf_done(&list);
    p->job.files = p->deployment->files;
    return rc;
}

int version_create(struct request *r, struct err *e)
{
    struct push *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for a version");
    p->r = r;
    p->blob_fd = -1;
    r->state = p;
    r->state_free = push_free;
    buf_init(&p->signature, SIGNATURE_MAX);
    buf_init(&p->changes, SIGNATURE_MAX);
    buf_init(&p->told, 2 * SIGNATURE_MAX);
    int rc = manifest_parse(buf_str(&r->body), &p->manifest, e);
    if (!rc) // before they are looked for: whoever finds one has it
        housekeeping_hold(r->c, &p->hold, p->manifest.artifacts, p->manifest.n_artifacts);
    if (!rc)
        rc = registry_model_name_check(r->args[0], e);
    if (!rc)
        rc = r->c->registry->ops->room(r->c->registry, e);
    if (!rc)
        rc = blobs_check(r, &p->manifest, e);
    if (!rc)
        rc = deploying_make_room(r->c, e);
    if (!rc)
        rc = routing_reserve(&r->c->routing, r->args[0], &p->deployment, e);
    if (!rc)
        rc = list_files(p, e);
    if (!rc)
        rc = tell_signature(p, e);
    if (rc)
        return rc;
    p->job.digest = p->manifest.model->digest;
    p->job.settings = &p->manifest.settings;
    p->job.is_urgent = true;
    p->job.on_done = on_compiled;
    p->job.on_step = on_step;
    for (size_t i = 0; i < p->manifest.n_artifacts; i++)
        if (p->manifest.artifacts[i].role == REGISTRY_ROLE_GOLDEN)
            p->job.golden = &p->manifest.artifacts[i].digest;
    p->blob.on_done = on_blob_durable;
    return store_job_start(r->c, &p->blob, NULL, &p->manifest.artifacts[0].digest, e);
}
