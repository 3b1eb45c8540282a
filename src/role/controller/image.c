// SPDX-License-Identifier: Apache-2.0
// Opening an image in the controller: it comes from a process that read an untrusted file.
#include "role/controller/image.h"

#include "engine/engine.h"
#include "os/shm.h"
#include "role/controller/describe.h"
#include "settings/settings.h"

#include <unistd.h>

enum { DESCRIBE_MAX = 64 << 10 };

static int look(struct compile_job *j, struct deployment *d, struct buf *signature_json, struct err *e)
{
    const void *image;
    size_t size;
    struct model *m;
    int rc = shm_map_immutable(j->image_fd, 1, j->c->args->settings->compile_memory_bytes, &image, &size, e);
    if (rc)
        return rc;
    rc = j->engine->open(image, size, &m, e);
    if (!rc) {
        struct buf text;
        buf_init(&text, DESCRIBE_MAX);
        describe_signature(j->engine->signature(m), signature_json);
        j->engine->describe(m, &text);
        j->engine->close(m);
        d->describe_json = text.failed ? NULL : str_dup(buf_str(&text));
        buf_done(&text);
        if (!d->describe_json || signature_json->failed)
            rc = err_set(e, ERR_NOMEM, "no memory to describe the model");
    }
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
