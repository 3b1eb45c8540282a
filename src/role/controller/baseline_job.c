// SPDX-License-Identifier: Apache-2.0
// Process → bytes of the profile → blob. The bytes are read once more by whoever uses the profile.
#include "role/controller/baseline_job.h"

#include "engine/engine.h"
#include "os/file.h"
#include "os/shm.h"
#include "role/baseline.h"
#include "role/controller/helper.h"
#include "role/controller/image.h"
#include "settings/settings.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

struct str baseline_profile_name(struct str name, char ret[LIMIT_ARTIFACT_NAME_BYTES + 1])
{
    static const char SUFFIX[] = ".profile.json";
    size_t most = LIMIT_ARTIFACT_NAME_BYTES + 1 - sizeof SUFFIX;
    bool has = str_ends(name, str_of(SUFFIX));
    int n = snprintf(ret, LIMIT_ARTIFACT_NAME_BYTES + 1, "%.*s%s",
                     (int)(name.n < most || has ? name.n : most), name.p, has ? "" : SUFFIX);
    return (struct str){ret, (size_t)n};
}

static void end(struct baseline_job *j, const struct err *why)
{
    baseline_job_cancel(j);
    j->on_done(j, why);
}

void baseline_job_cancel(struct baseline_job *j)
{
    if (!j->is_running)
        return;
    helper_cancel(j->helper);
    j->helper = NULL;
    store_job_cancel(&j->store);
    j->c->blobs->ops->abort(j->writer);
    j->writer = NULL;
    if (j->profile_fd >= 0)
        close(j->profile_fd);
    j->profile_fd = -1;
    j->is_running = false;
}

static void on_stored(struct store_job *s, bool stored, const struct err *why)
{
    (void)stored;
    end((struct baseline_job *)((char *)s - offsetof(struct baseline_job, store)), why);
}

// The artifact is the profile from here on, so that its owner's hold is one on the profile.
static void rename_artifact(struct baseline_job *j, const struct registry_digest *digest, size_t size)
{
    j->artifact->name = baseline_profile_name(j->artifact->name, j->name);
    j->artifact->digest = *digest;
    j->artifact->size_bytes = size;
}

static int store(struct baseline_job *j, struct str profile, struct err *e)
{
    const struct blobs_ops *ops = j->c->blobs->ops;
    struct registry_digest digest;
    int rc = registry_digest_bytes(profile, &digest, e);
    if (!rc)
        rc = ops->writer_open(j->c->blobs, LIMIT_PROFILE_BYTES, &j->writer, e);
    if (!rc)
        rc = ops->write(j->writer, profile.p, profile.n, e);
    if (rc)
        return rc;
    rename_artifact(j, &digest, profile.n);
    j->store.on_done = on_stored;
    return store_job_start(j->c, &j->store, j->writer, &digest, e);
}

static int store_profile(struct baseline_job *j, struct err *e)
{
    const void *p;
    size_t n;
    int rc = shm_seal(j->profile_fd, SHM_SEAL_ALL, e);
    if (!rc)
        rc = shm_map_immutable(j->profile_fd, 1, LIMIT_PROFILE_BYTES, &p, &n, e);
    if (rc)
        return rc;
    rc = store(j, (struct str){p, n}, e);
    shm_unmap(p, n);
    return rc;
}

static int ended_badly(const struct helper_end *end, struct err *e)
{
    if (end->is_late || end->status == -SIGXCPU) {
        err_set(e, ERR_DEADLINE, "reading the baseline took longer than the setting compile_timeout");
        err_hint(e, "Take a sample of its rows; some ten thousand are enough.");
        return ERR_DEADLINE;
    }
    return err_set(e, ERR_INTERNAL, "the process that read the baseline ended with %d", end->status);
}

static int take_report(const struct helper_end *end, struct err *e)
{
    if (end->is_late || end->status != 0 || end->report.n == 0)
        return ended_badly(end, e);
    yyjson_doc *doc = yyjson_read(end->report.p, end->report.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc = helper_report_take(root, e);
    if (!rc && !yyjson_is_str(yyjson_obj_get(root, "step")))
        rc = err_set(e, ERR_INTERNAL, "the process that read the baseline did not say what it did");
    yyjson_doc_free(doc);
    return rc;
}

static void on_end(void *owner, const struct helper_end *helper_end)
{
    struct baseline_job *j = owner;
    struct err e = {0};
    struct str step = helper_end->report;
    j->helper = NULL;
    int rc = take_report(helper_end, &e);
    if (rc && e.path[0] == '\0')
        err_at(&e, "$.artifacts");
    while (step.n && step.p[step.n - 1] == '\n')
        step.n--;
    if (!rc)
        rc = store_profile(j, &e);
    if (rc)
        end(j, &e);
    else if (j->on_step)
        j->on_step(j, step); // last: it may cancel the job
}

static int spawn(struct baseline_job *j, const struct baseline_spec *spec, int file_fd, int signature_fd,
                 struct err *e)
{
    const struct settings *s = j->c->args->settings;
    char program[] = "slipway", role[] = BASELINE_ROLE, digest[REGISTRY_DIGEST_TEXT], memory[24], cpu[24];
    char name[LIMIT_ARTIFACT_NAME_BYTES + 1], engine[32];
    registry_digest_text(&spec->artifact->digest, digest);
    snprintf(name, sizeof name, STR_FMT, STR_ARG(spec->artifact->name));
    snprintf(engine, sizeof engine, "%s", spec->deployment->engine->name);
    snprintf(memory, sizeof memory, "%llu", (unsigned long long)s->compile_memory_bytes);
    snprintf(cpu, sizeof cpu, "%llu", (unsigned long long)s->compile_timeout_ms / 1000 + 1);
    char *argv[BASELINE_ARGS + 1] = {[BASELINE_ARG_PROGRAM] = program, [BASELINE_ARG_ROLE] = role,
                                     [BASELINE_ARG_DIGEST] = digest,   [BASELINE_ARG_NAME] = name,
                                     [BASELINE_ARG_ENGINE] = engine,   [BASELINE_ARG_MEMORY_BYTES] = memory,
                                     [BASELINE_ARG_CPU_S] = cpu};
    int fds[] = {file_fd, spec->deployment->image_fd, signature_fd, j->profile_fd};
    return helper_start(j->c,
                        &(struct helper_spec){.argv = argv,
                                              .fds = fds,
                                              .n_fds = sizeof fds / sizeof fds[0],
                                              .timeout_ms = s->compile_timeout_ms,
                                              .on_end = on_end,
                                              .owner = j},
                        &j->helper, e);
}

int baseline_job_start(struct controller *c, struct baseline_job *j, const struct baseline_spec *spec,
                       struct err *e)
{
    int file_fd = -1, signature_fd = -1;
    j->c = c;
    j->artifact = spec->artifact;
    j->profile_fd = -1;
    j->is_running = true;
    int rc = c->blobs->ops->open(c->blobs, &spec->artifact->digest, &file_fd, e);
    if (!rc)
        rc = image_of_text("slipway-signature", spec->signature, &signature_fd, e);
    if (!rc)
        rc = shm_new("slipway-profile", 0, &j->profile_fd, e);
    if (!rc)
        rc = spawn(j, spec, file_fd, signature_fd, e);
    if (file_fd >= 0)
        close(file_fd);
    if (signature_fd >= 0)
        close(signature_fd);
    if (rc)
        baseline_job_cancel(j);
    return rc ? err_wrap(e, "make a profile of the baseline") : 0;
}
