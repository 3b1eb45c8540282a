// SPDX-License-Identifier: Apache-2.0
// Work on blobs that takes long, without holding the loop: making one durable, in a process of its own
// (role/store.h); reading one back to see whether it is whole, in slices between the events of other
// requests.
#pragma once

#include "registry/registry.h"
#include "role/controller/controller.h"

// Embedded in what waits for it. Zero-initialised is "not started".
struct store_job {
    // Called once: NULL, and whether the blob is new; or why it is not stored. May free the job.
    void (*on_done)(struct store_job *j, bool stored, const struct err *e);
    bool replaced;         // when on_done is called: in place of a file that was damaged
    struct helper *helper; // NULL: not running
};

// Makes what `w` wrote durable as blob `digest`; with w NULL, the name of a blob that is there already. The
// writer stays the caller's, to be aborted when the job is done. ERR_IO, ERR_NOMEM; on_done also gets what
// blob_store returns.
int store_job_start(struct controller *c, struct store_job *j, struct blob_writer *w,
                    const struct registry_digest *digest, struct err *e) ERR_CHECKED;
void store_job_cancel(struct store_job *j); // kills it; not started or done is fine

// Embedded likewise.
struct verification {
    // Called once, never by verification_start: NULL when the bytes are those of the digest; ERR_DIGEST, and
    // the blob is set aside; ERR_IO. May free it.
    void (*on_done)(struct verification *v, const struct err *e);

    struct controller *c; // NULL: not running
    struct registry_digest digest;
    int fd;
    struct digest_check *check;
    struct verification *next;
};

// `fd` is blob `digest`, opened; it stays the caller's and open until the end. ERR_NOMEM.
int verification_start(struct controller *c, struct verification *v, const struct registry_digest *digest,
                       int fd, struct err *e) ERR_CHECKED;
void verification_cancel(struct verification *v); // not started or done is fine
