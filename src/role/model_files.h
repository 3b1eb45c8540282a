// SPDX-License-Identifier: Apache-2.0
// The files beside a model's own that hold its weights (external data of ONNX models): artifacts of the
// version in the role "data". A process that loads the model opens them before it enters the sandbox, by
// their digests from the blobs; what the model's graph says is a name to compare, never a path to open.
#pragma once

#include "base/buf.h"
#include "engine/runtime.h"
#include "registry/registry.h"

// As text, for another process: a line "DIGEST NAME" for each, with 64 hexadecimal digits. Appends those of n
// artifacts that have the role. out->failed tells when there is no room.
void model_files_put(const struct registry_artifact *artifacts, size_t n, struct buf *out);

struct model_files {
    struct runtime_file *files; // (n) mapped; their names are slices of the text
    size_t n;
    uint64_t bytes;
};

// Opens, checks and maps the files that the text lists, from data_dir. ERR_DIGEST when one is damaged,
// ERR_NOT_FOUND, ERR_INVALID when the text is not as above, ERR_IO, ERR_NOMEM; then nothing is mapped.
int model_files_map(struct str text, const char *data_dir, struct model_files *ret,
                    struct err *e) ERR_CHECKED;
void model_files_unmap(struct model_files *m);

// What a replica gets as its interface is JSON, an object, behind such lines: takes them off.
struct str model_files_split(struct str *json);
