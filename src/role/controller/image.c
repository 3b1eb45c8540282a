// SPDX-License-Identifier: Apache-2.0
// Opening an image in the controller: it comes from a process that read an untrusted file.
#include "role/controller/image.h"

#include "engine/engine.h"
#include "os/file.h"
#include "os/shm.h"
#include "settings/settings.h"
#include "tensor/interface.h"
#include "tensor/schema.h"

#include <stdlib.h>
#include <unistd.h>

enum { DESCRIBE_MAX = 64 << 10 };

int image_of_text(const char *name, struct str text, int *ret_fd, struct err *e)
{
    int fd = -1;
    int rc = shm_new(name, 0, &fd, e);
    if (!rc)
        rc = file_write_all(fd, text.p, text.n, e);
    if (!rc)
        rc = shm_seal(fd, SHM_SEAL_ALL, e);
    if (rc && fd >= 0)
        close(fd);
    *ret_fd = rc ? -1 : fd;
    return rc;
}

// Without what its user says of it, which is the signature's.
int image_describe_interface(struct deployment *d, struct str json, struct err *e)
{
    struct interface *i;
    struct buf text;
    int rc = interface_decode(json, &i, e);
    if (rc)
        return rc;
    buf_init(&text, LIMIT_INTERFACE_BYTES);
    interface_encode(i, &text);
    interface_free(i);
    d->describe_json = text.failed ? NULL : str_dup(buf_str(&text));
    buf_done(&text);
    return d->describe_json ? 0 : err_set(e, ERR_NOMEM, "no memory to describe the model");
}

// Of a model that runs in replicas the image is what describes it.
static int look_at_interface(const void *image, size_t size, struct deployment *d, struct buf *signature_json,
                             struct err *e)
{
    struct str json = {image, size};
    int rc = image_describe_interface(d, json, e);
    if (rc)
        return rc;
    buf_put_str(signature_json, json);
    return signature_json->failed ? err_set(e, ERR_NOMEM, "no memory to describe the model") : 0;
}

static int look_at_model(const struct engine *engine, const void *image, size_t size, struct deployment *d,
                         struct buf *signature_json, struct err *e)
{
    struct model *m;
    struct buf text;
    int rc = engine->open(image, size, &m, e);
    if (rc)
        return rc;
    buf_init(&text, DESCRIBE_MAX);
    schema_write_signature(engine->signature(m), signature_json);
    engine->describe(m, &text);
    engine->close(m);
    d->describe_json = text.failed ? NULL : str_dup(buf_str(&text));
    buf_done(&text);
    return d->describe_json && !signature_json->failed
               ? 0
               : err_set(e, ERR_NOMEM, "no memory to describe the model");
}

static int look(struct compile_job *j, struct deployment *d, struct buf *signature_json, struct err *e)
{
    const void *image;
    size_t size;
    int rc = shm_map_immutable(j->image_fd, 1, j->c->args->settings->compile_memory_bytes, &image, &size, e);
    if (rc)
        return rc;
    rc = j->engine->runtime ? look_at_interface(image, size, d, signature_json, e)
                            : look_at_model(j->engine, image, size, d, signature_json, e);
    shm_unmap(image, size);
    return rc;
}

int image_take(struct compile_job *j, struct deployment *d, struct buf *signature_json, struct err *e)
{
    int rc = look(j, d, signature_json, e);
    if (rc) {
        close(j->image_fd);
    } else {
        d->image_fd = j->image_fd;
        d->image_bytes = j->image_bytes;
        d->engine = j->engine;
    }
    j->image_fd = -1;
    return rc;
}

void image_forget(struct deployment *d)
{
    if (d->image_fd >= 0)
        close(d->image_fd);
    d->image_fd = -1;
    d->image_bytes = 0;
    free(d->describe_json);
    d->describe_json = NULL;
}
