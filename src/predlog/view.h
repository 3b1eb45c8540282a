// SPDX-License-Identifier: Apache-2.0
// What a log consists of at one moment: the files of the write-ahead log, opened, and the manifest.
#pragma once

#include "predlog/manifest.h"
#include "predlog/record.h"

struct view_wal {
    uint64_t first_seq;
    int fd;
};

struct view {
    int log_fd, wal_fd; // -1: there is none yet
    struct view_wal *wal;
    size_t n_wal;
    struct predlog_manifest manifest;
};

// ERR_NOT_FOUND: there is no data directory. ERR_IO, ERR_NOMEM. *ret may be closed in any case.
int view_open(const char *data_dir, struct view *ret, struct err *e) ERR_CHECKED;
void view_close(struct view *v);
// Whether a record of this file of the write-ahead log stands in a sealed file already.
bool view_is_sealed(const struct view *v, uint64_t wal, struct str model, const struct record *r);
