// SPDX-License-Identifier: Apache-2.0
// Compiling a version's model file in a throw-away process: one job for each, a few at once.
#pragma once

#include "registry/registry.h"
#include "role/controller/controller.h"
#include "role/controller/version_settings.h"

// Embedded in what needs the image. The caller fills digest, settings, is_urgent and on_done; job and fields
// belong to compile_job.c until on_done was called or the job was cancelled.
struct compile_job {
    struct registry_digest digest;
    // Of the version, for what runs in replicas; read as the job starts. NULL: as they are at first.
    const struct version_settings *settings;
    const char *files; // external data as in role/model_files.h; read likewise; NULL: none
    bool is_urgent;    // somebody waits for it: before those that are not
    // Called once: NULL and a sealed image (the callee's now), or why there is none.
    void (*on_done)(struct compile_job *j, const struct err *e);
    // The result
    int image_fd;
    uint64_t image_bytes;
    const struct engine *engine;
    char format[64];

    struct controller *c;
    struct compile_job *next;
    bool is_queued, is_running;
    uint64_t timeout_ms; // as it was when it started
    struct helper *helper;
};

// Queues the job. ERR_BUSY when too many urgent ones wait already.
int compile_job_start(struct controller *c, struct compile_job *j, struct err *e) ERR_CHECKED;
void compile_job_cancel(struct compile_job *j); // kills it; not started or done is fine
