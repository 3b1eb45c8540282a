// SPDX-License-Identifier: Apache-2.0
// Blobs over the admin API: PUT streams into the store, GET streams out of it. What may take long is done by
// store_job.c.
#include "role/controller/request.h"

#include "os/file.h"
#include "role/controller/housekeeping.h"
#include "role/controller/store_job.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <unistd.h>

enum { GET_BLOCK_BYTES = 64 << 10 };

// An upload, also of a blob that is there already: it may be damaged, and is then replaced. Without a writer
// the disk is full, and the bytes are passed over.
struct upload {
    struct request *r;
    struct store_job job;
    struct blob_writer *writer;
    struct registry_artifact blob; // its digest
    struct blob_hold hold;
    uint64_t size;
};

static int digest_arg(const struct request *r, struct registry_digest *ret, struct err *e)
{
    if (registry_digest_parse(r->args[0], ret))
        return 0;
    err_set(e, ERR_INVALID, "'%.*s' is not a digest", (int)(r->args[0].n < 80 ? r->args[0].n : 80),
            r->args[0].p);
    err_hint(e, "A digest is 'sha256:' and 64 lower-case hexadecimal digits.");
    return ERR_INVALID;
}

static void upload_free(struct request *r)
{
    struct upload *u = r->state;
    store_job_cancel(&u->job);
    housekeeping_release(&u->hold);
    r->c->blobs->ops->abort(u->writer);
    free(u);
    r->state = NULL;
}

int blob_put_start(struct request *r, struct err *e)
{
    struct registry_digest digest;
    int rc = digest_arg(r, &digest, e);
    if (rc)
        return rc;
    struct upload *u = calloc(1, sizeof *u);
    if (!u)
        return err_set(e, ERR_NOMEM, "no memory for an upload");
    *u = (struct upload){.r = r, .blob.digest = digest};
    r->state = u;
    r->state_free = upload_free;
    housekeeping_hold(r->c, &u->hold, &u->blob, 1);
    rc = r->c->blobs->ops->find(r->c->blobs, &digest, &u->size, e);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    bool is_there = rc == 0;
    rc = r->c->registry->ops->room(r->c->registry, e); // before anything is half-written
    if (rc && is_there)
        return 0;
    if (!rc)
        rc =
            r->c->blobs->ops->writer_open(r->c->blobs, r->c->args->settings->max_upload_bytes, &u->writer, e);
    return rc;
}

int blob_put_take(struct request *r, struct str bytes, struct err *e)
{
    struct upload *u = r->state;
    return u->writer ? r->c->blobs->ops->write(u->writer, bytes.p, bytes.n, e) : 0;
}

static void on_stored(struct store_job *j, bool stored, const struct err *e)
{
    struct upload *u = (struct upload *)((char *)j - offsetof(struct upload, job));
    struct request *r = u->r;
    char text[REGISTRY_DIGEST_TEXT];
    if (e) {
        request_fail(r, e);
        return;
    }
    registry_digest_text(&u->blob.digest, text);
    if (j->replaced)
        log_event(&r->c->log, LOG_LEVEL_WARN, "blob_replaced", LOG_Z("digest", text),
                  LOG_Z("request_id", r->request_id));
    buf_printf(&r->out, "{\"digest\":\"%s\",\"size\":%llu,\"stored\":%s%s}", text,
               (unsigned long long)u->size, stored ? "true" : "false",
               j->replaced ? ",\"replaced_damaged\":true" : "");
    request_answer(r, stored ? 201 : 200, "application/json");
}

int blob_put(struct request *r, struct err *e)
{
    struct upload *u = r->state;
    if (u->writer)
        u->size = r->c->blobs->ops->size(u->writer);
    u->job.on_done = on_stored;
    return store_job_start(r->c, &u->job, u->writer, &u->blob.digest, e);
}

struct download {
    struct request *r;
    struct verification verification;
    int fd;
    uint64_t at;
};

static void download_free(struct request *r)
{
    struct download *d = r->state;
    verification_cancel(&d->verification);
    close(d->fd);
    free(d);
    r->state = NULL;
}

static int download_more(struct request *r)
{
    struct download *d = r->state;
    struct err e;
    size_t n = 0;
    char *to = buf_reserve(&r->out, GET_BLOCK_BYTES);
    if (!to || file_read_at(d->fd, to, GET_BLOCK_BYTES, d->at, &n, &e))
        return -1;
    buf_advance(&r->out, n);
    d->at += n;
    return n > 0;
}

// Damage is never handed out. Who asks with HEAD whether a file is there would not upload it if it were said
// to be: what is damaged is none.
static void on_verified(struct verification *v, const struct err *e)
{
    struct request *r = ((struct download *)((char *)v - offsetof(struct download, verification)))->r;
    struct err none;
    if (e && r->is_head && e->code == ERR_DIGEST) {
        err_set(&none, ERR_NOT_FOUND, "%s", e->msg);
        e = &none;
    }
    if (e) {
        request_fail(r, e);
        return;
    }
    r->has_length = true;
    r->refill = r->is_head ? NULL : download_more;
    request_answer(r, 200, "application/octet-stream");
}

int blob_get(struct request *r, struct err *e)
{
    struct registry_digest digest;
    int fd;
    int rc = digest_arg(r, &digest, e);
    if (!rc && r->is_head) // who asks whether it is there means to use it
        rc = r->c->blobs->ops->keep(r->c->blobs, &digest, e);
    if (!rc)
        rc = r->c->blobs->ops->open(r->c->blobs, &digest, &fd, e);
    if (rc)
        return rc;
    rc = file_size(fd, &r->length, e);
    struct download *d = rc ? NULL : calloc(1, sizeof *d);
    if (!d) {
        close(fd);
        return rc ? rc : err_set(e, ERR_NOMEM, "no memory for a download");
    }
    *d = (struct download){.r = r, .verification.on_done = on_verified, .fd = fd};
    r->state = d;
    r->state_free = download_free;
    return verification_start(r->c, &d->verification, &digest, fd, e);
}
