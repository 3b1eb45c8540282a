// SPDX-License-Identifier: Apache-2.0
// The life of a store process, and the queue of blobs that are being read back.
#include "role/controller/store_job.h"

#include "base/clock.h"
#include "base/limits.h"
#include "role/controller/helper.h"
#include "role/store.h"

#include <string.h>
#include <yyjson.h>

enum { SLICE_BYTES = 512 << 10 }; // read and hashed in a turn of the loop: well below a millisecond

static int result_parse(struct str json, bool *ret_stored, bool *ret_replaced, struct err *e)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *stored = yyjson_obj_get(root, "stored");
    int rc = helper_report_take(root, e);
    if (!rc && !yyjson_is_bool(stored))
        rc = err_set(e, ERR_INTERNAL, "the process that stored the file did not say what it did");
    *ret_stored = yyjson_is_true(stored);
    *ret_replaced = yyjson_is_true(yyjson_obj_get(root, "replaced"));
    yyjson_doc_free(doc);
    return rc;
}

// Whether the blob is visible is then unknown, but it is whole if it is: storing it again settles it.
static int ended_badly(const struct helper_end *end, struct err *e)
{
    if (end->is_late)
        err_set(e, ERR_IO, "the disk did not take the file within %d s", LIMIT_STORE_MS / 1000);
    else if (end->status < 0)
        err_set(e, ERR_IO, "the process that stored the file ended by signal %d (%s)", -end->status,
                strsignal(-end->status));
    else
        err_set(e, ERR_IO, "the process that stored the file ended with code %d", end->status);
    err_hint(e, "Repeat the upload.");
    return ERR_IO;
}

static void on_end(void *owner, const struct helper_end *end)
{
    struct store_job *j = owner;
    struct err e = {0};
    bool stored = false;
    j->helper = NULL;
    int rc = end->is_late || end->status != 0 || end->report.n == 0
                 ? ended_badly(end, &e)
                 : result_parse(end->report, &stored, &j->replaced, &e);
    j->on_done(j, stored, rc ? &e : NULL);
}

int store_job_start(struct controller *c, struct store_job *j, struct blob_writer *w,
                    const struct registry_digest *digest, struct err *e)
{
    struct blob_parts parts;
    char program[] = "slipway", role[] = STORE_ROLE, name[32], text[REGISTRY_DIGEST_TEXT];
    c->blobs->ops->parts(c->blobs, w, &parts);
    registry_digest_text(digest, text);
    snprintf(name, sizeof name, "%s", parts.tmp_name);
    char *argv[STORE_ARGS + 1] = {program, role, text, name, NULL};
    int fds[] = {parts.sha256_fd, parts.tmp_fd, parts.file_fd};
    int rc = helper_start(c,
                          &(struct helper_spec){.argv = argv,
                                                .fds = fds,
                                                .n_fds = w ? sizeof fds / sizeof fds[0] : 1,
                                                .timeout_ms = LIMIT_STORE_MS,
                                                .on_end = on_end,
                                                .owner = j},
                          &j->helper, e);
    return rc ? err_wrap(e, "store a blob") : 0;
}

void store_job_cancel(struct store_job *j)
{
    helper_cancel(j->helper);
    j->helper = NULL;
}

static void end(struct verification *v, const struct err *why)
{
    verification_cancel(v);
    v->on_done(v, why);
}

// Due at once: the loop gets to it after what else is ready.
static void set_slice(struct controller *c)
{
    struct err e;
    while (c->verifications && loop_timer_set(c->loop, &c->verification_due, clock_mono_ns(), &e))
        end(c->verifications, &e);
}

static int set_aside(struct controller *c, const struct verification *v, struct err *e)
{
    char text[REGISTRY_DIGEST_TEXT];
    registry_digest_text(&v->digest, text);
    log_event(&c->log, LOG_LEVEL_ERROR, "blob_damaged", LOG_Z("digest", text));
    return c->blobs->ops->set_aside(c->blobs, &v->digest, v->fd, e);
}

// One slice for the first in the queue, which then goes behind the others: a small one does not wait for a
// large one.
static void on_slice(struct timer *t)
{
    struct controller *c = (struct controller *)((char *)t - offsetof(struct controller, verification_due));
    struct verification *v = c->verifications, **last = &c->verifications;
    struct registry_digest is;
    struct err e = {0};
    bool done = false;
    int rc = digest_check_step(v->check, v->fd, SLICE_BYTES, &done, &is, &e);
    if (!rc && done && !registry_digest_eq(&is, &v->digest))
        rc = set_aside(c, v, &e);
    if (rc || done) {
        end(v, rc ? &e : NULL);
    } else if (v->next) {
        c->verifications = v->next;
        while (*last)
            last = &(*last)->next;
        *last = v;
        v->next = NULL;
    }
    set_slice(c);
}

int verification_start(struct controller *c, struct verification *v, const struct registry_digest *digest,
                       int fd, struct err *e)
{
    struct verification **last = &c->verifications;
    int rc = digest_check_new(&v->check, e);
    if (rc)
        return rc;
    c->verification_due.on_due = on_slice;
    rc = loop_timer_set(c->loop, &c->verification_due, clock_mono_ns(), e);
    if (rc) {
        digest_check_free(v->check);
        return rc;
    }
    while (*last)
        last = &(*last)->next;
    *last = v;
    v->c = c;
    v->digest = *digest;
    v->fd = fd;
    v->next = NULL;
    return 0;
}

void verification_cancel(struct verification *v)
{
    struct controller *c = v->c;
    if (!c)
        return;
    struct verification **at = &c->verifications;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    v->c = NULL;
    digest_check_free(v->check);
    if (!c->verifications)
        loop_timer_clear(c->loop, &c->verification_due);
}
