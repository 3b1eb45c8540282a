// SPDX-License-Identifier: Apache-2.0
// A directory that is being written by an export. Nothing that was there is overwritten unless that was asked
// for; what a failed export wrote is removed again. A file appears under its name only when it is whole.
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct outdir {
    const char *path;
    int fd;
    bool force;  // files that are there may be replaced
    bool is_new; // the directory was made here
    char **made; // (n_made) paths of files and folders made, in this order
    size_t n_made;
};

// Makes the directory, or takes an empty one, or with force any. ERR_CONFLICT, ERR_IO, ERR_NOMEM.
int outdir_open(struct outdir *o, const char *path, bool force, struct err *e) ERR_CHECKED;
// Opens a new file to be written, for which folders are made as its name needs. ERR_REFUSED for a name that
// leads out of the directory.
int outdir_create(struct outdir *o, const char *name, int *ret_fd, struct err *e) ERR_CHECKED;
// Makes what was written durable and gives it its name; closes fd in any case.
int outdir_keep(struct outdir *o, const char *name, int fd, struct err *e) ERR_CHECKED;
// The three above for bytes that lie together.
int outdir_write(struct outdir *o, const char *name, struct str bytes, struct err *e) ERR_CHECKED;
// Ends the writing; unless it went well, what was made is removed.
void outdir_close(struct outdir *o, bool good);
