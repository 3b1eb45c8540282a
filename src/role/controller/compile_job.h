// SPDX-License-Identifier: Apache-2.0
// Compiling a version's model file and trying it out in a throw-away process: one job for each, a few at
// once.
#pragma once

#include "registry/registry.h"
#include "role/controller/controller.h"
#include "role/controller/version_settings.h"

enum { COMPILE_STEP_BYTES = 24 };

// Embedded in what needs the image. The caller fills what stands above the result; job and fields belong to
// compile_job.c until on_done was called or the job was cancelled, and compile_job_done frees what it holds.
struct compile_job {
    struct registry_digest digest;
    // Of the version, for what runs in replicas; read as the job starts. NULL: as they are at first.
    const struct version_settings *settings;
    const char *files;                    // external data as in role/model_files.h; read likewise; NULL: none
    struct str signature;                 // what is told of it (role/compile_signature.h); read likewise
    const struct registry_digest *golden; // of the golden rows; NULL: there are none. Read as the job starts.
    bool is_urgent;                       // somebody waits for it: before those that are not
    const int *given_image; // sealed: it is tried, none is made. NULL: none is there. Read as the job starts.
    bool is_known;          // it was tried in full when it was pushed: now only its golden rows are computed
    uint32_t batch_rows;    // of one that is known, and runs in replicas: so many rows may be together
    // Of a step that ended, as JSON; NULL: nobody wants to know. It may cancel the job.
    void (*on_step)(struct compile_job *j, struct str step);
    // Called once: NULL and a sealed image (the callee's now) unless it was given, or why there is none.
    void (*on_done)(struct compile_job *j, const struct err *e);
    // The result
    int image_fd;
    uint64_t image_bytes;
    const struct engine *engine;
    char format[64];
    struct buf report; // of the admission, as JSON; admission/report.h
    bool is_rejected;  // there is an image, and the version must not serve: why
    bool is_breaking;  // likewise, but the version before would be broken: it was not tried
    char rejected_step[COMPILE_STEP_BYTES];
    struct err why;

    char step[COMPILE_STEP_BYTES]; // that began last
    bool is_whole;                 // the image is written
    struct buf steps;              // that ended, separated by commas
    struct controller *c;
    struct compile_job *next;
    bool is_queued, is_running;
    uint64_t timeout_ms; // as it was when it started
    struct helper *helper;
};

// Queues the job. ERR_BUSY when too many urgent ones wait already.
int compile_job_start(struct controller *c, struct compile_job *j, struct err *e) ERR_CHECKED;
void compile_job_cancel(struct compile_job *j); // kills it; not started or done is fine
void compile_job_done(struct compile_job *j);   // frees the report; zeroed is fine
