// SPDX-License-Identifier: Apache-2.0
// The files of a version that is being pushed: gathered from wherever they are, hashed once, sent unless the
// server has them, and named in the manifest. What the roles mean is for the server to know.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "cli/client.h"

enum { ARTIFACT_DIGEST_SIZE = 72, ARTIFACT_NAME_SIZE = 201 };

struct artifact {
    int fd; // of a file that can be read anywhere and more than once
    uint64_t size;
    char *name;                        // in the manifest: "model.json", "weights/a.bin"
    const char *role;                  // "model", "data", "golden", "baseline", "example"
    char digest[ARTIFACT_DIGEST_SIZE]; // "sha256:…"; "" until artifacts_hash
    char want[ARTIFACT_DIGEST_SIZE];   // what it must be; "": anything
    bool was_stored;                   // the server had it before
};

struct artifacts {
    struct artifact *items; // (n)
    size_t n;
};

void artifacts_done(struct artifacts *a); // closes and frees; the list may be used again

// Adds a file. name NULL: the last part of the path. The role is one of the five above, with static storage.
// ERR_INVALID for what is no file, is empty, or has the name or (but for "data") the role of another one;
// ERR_IO, ERR_NOMEM, ERR_TOO_LARGE past LIMIT_ARTIFACTS.
int artifacts_add_path(struct artifacts *a, const char *role, const char *name, const char *path,
                       struct err *e) ERR_CHECKED;
// The same of an open file, which is taken over also on failure. `shown` stands for it in errors.
int artifacts_add_fd(struct artifacts *a, const char *role, const char *name, int fd, const char *shown,
                     struct err *e) ERR_CHECKED;
// The same of standard input to its end, which is kept in a temporary file.
int artifacts_add_stdin(struct artifacts *a, const char *role, const char *name, struct err *e) ERR_CHECKED;
// A name that the server takes for the model at this path: its last part, with '_' for all but letters,
// digits,
// '.', '_' and '-', and beginning with a letter or digit.
void artifacts_name_of(const char *path, char ret[ARTIFACT_NAME_SIZE]);
// A file without a name, in TMPDIR, to be filled and then added.
int artifacts_temporary(const char *for_what, int *ret_fd, struct err *e) ERR_CHECKED;

// The one with this role, or this name; NULL: there is none.
struct artifact *artifacts_find_role(const struct artifacts *a, const char *role);
struct artifact *artifacts_find_name(const struct artifacts *a, const char *name);

// Digests of those that have none yet. ERR_DIGEST when one is not what was wanted; ERR_IO, ERR_NOMEM.
int artifacts_hash(struct artifacts *a, struct err *e) ERR_CHECKED;
// Sends what the server lacks; all must have been hashed. What a client call may return.
int artifacts_upload(struct artifacts *a, struct client *c, struct err *e) ERR_CHECKED;
// Appends the manifest's array: [{"name","role","digest","size"}]. The role "model" goes without saying.
void artifacts_put_json(const struct artifacts *a, struct buf *out);
