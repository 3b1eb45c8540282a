// SPDX-License-Identifier: Apache-2.0
// A directory that a version is taken from: on this machine, or on a tracking server. What stands in a file
// of the directory may name others below it, and nothing else.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct folder;

struct folder_ops {
    // A descriptor that can be read anywhere, the caller's. ERR_NOT_FOUND; ERR_REFUSED for a path that leads
    // out of the directory.
    int (*open)(struct folder *f, const char *path, int *ret_fd, struct err *e);
    // Calls back for each file directly in the folder `path` ("" is the directory itself). At most
    // LIMIT_IMPORT_FILES, else ERR_TOO_LARGE; ERR_NOT_FOUND.
    int (*list)(struct folder *f, const char *path, void (*each)(void *ctx, const char *name), void *ctx,
                struct err *e);
};

struct folder {
    const struct folder_ops *ops;
    const char *shown; // what people call it: "./model", "models:/churn@champion"
};

struct folder_local {
    struct folder folder;
    int fd;
};

// Opens a directory of this machine. ERR_NOT_FOUND, ERR_IO.
int folder_local_open(struct folder_local *f, const char *path, struct err *e) ERR_CHECKED;
void folder_local_close(struct folder_local *f);

// Whether a path is relative, has no empty part, "." or "..", and no control characters.
bool folder_path_is_below(struct str path);
// Appends all of a file. ERR_TOO_LARGE past max bytes, and what open gives.
int folder_read(struct folder *f, const char *path, size_t max, struct buf *out, struct err *e) ERR_CHECKED;
