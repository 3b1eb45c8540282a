// SPDX-License-Identifier: Apache-2.0
// Blobs over the admin API: PUT streams into the store, GET streams out of it.
#include "role/controller/request.h"

#include "os/file.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <unistd.h>

enum { GET_BLOCK_BYTES = 64 << 10 };

// An upload. Without a writer the blob is there already, and the bytes are passed over.
struct upload {
    struct blob_writer *writer;
    struct registry_digest digest;
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
    u->digest = digest;
    r->state = u;
    r->state_free = upload_free;
    rc = r->c->blobs->ops->find(r->c->blobs, &digest, &u->size, e);
    if (rc == ERR_NOT_FOUND)
        rc =
            r->c->blobs->ops->writer_open(r->c->blobs, r->c->args->settings->max_upload_bytes, &u->writer, e);
    return rc;
}

int blob_put_take(struct request *r, struct str bytes, struct err *e)
{
    struct upload *u = r->state;
    return u->writer ? r->c->blobs->ops->write(u->writer, bytes.p, bytes.n, e) : 0;
}

int blob_put(struct request *r, struct err *e)
{
    struct upload *u = r->state;
    bool stored = false;
    if (u->writer) {
        struct blob_writer *w = u->writer;
        u->writer = NULL; // commit frees it
        struct registry_digest is;
        int rc = r->c->blobs->ops->commit(w, &u->digest, &is, &u->size, &stored, e);
        if (rc)
            return rc;
    }
    char text[REGISTRY_DIGEST_TEXT];
    registry_digest_text(&u->digest, text);
    buf_printf(&r->out, "{\"digest\":\"%s\",\"size\":%llu,\"stored\":%s}", text, (unsigned long long)u->size,
               stored ? "true" : "false");
    request_answer(r, stored ? 201 : 200, "application/json");
    return 0;
}

struct download {
    int fd;
    uint64_t at;
};

static void download_free(struct request *r)
{
    struct download *d = r->state;
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

int blob_get(struct request *r, struct err *e)
{
    struct registry_digest digest;
    int rc = digest_arg(r, &digest, e), fd;
    if (!rc)
        rc = r->c->blobs->ops->open(r->c->blobs, &digest, !r->is_head, &fd, e); // damage is never handed out
    if (rc)
        return rc;
    rc = file_size(fd, &r->length, e);
    if (rc) {
        close(fd);
        return rc;
    }
    r->has_length = true;
    struct download *d = r->is_head ? NULL : malloc(sizeof *d);
    if (!d) {
        close(fd);
        if (!r->is_head)
            return err_set(e, ERR_NOMEM, "no memory for a download");
    } else {
        *d = (struct download){.fd = fd};
        r->state = d;
        r->state_free = download_free;
        r->refill = download_more;
    }
    request_answer(r, 200, "application/octet-stream");
    return 0;
}
