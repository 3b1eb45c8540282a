// SPDX-License-Identifier: Apache-2.0
// A training file becomes the profile that is kept with a version: in a process of its own (role/baseline.h),
// then stored as a blob that takes the file's place among the artifacts.
#pragma once

#include "base/limits.h"
#include "base/str.h"
#include "role/controller/controller.h"
#include "role/controller/store_job.h"

// Embedded in what waits for it. Zero-initialised is "not started".
struct baseline_job {
    // What the process said of it, as a step of the admission; before on_done.
    void (*on_step)(struct baseline_job *j, struct str step);
    // Called once: NULL, and the artifact is the profile; or why not. May free the job.
    void (*on_done)(struct baseline_job *j, const struct err *why);

    struct controller *c;
    struct registry_artifact *artifact; // of the version
    struct helper *helper;              // NULL: not running
    struct blob_writer *writer;
    struct store_job store;
    int profile_fd;
    bool is_running;
    char name[LIMIT_ARTIFACT_NAME_BYTES + 1]; // of the profile: "train.csv.profile.json"
};

// The name that the profile gets in place of the file's: "train.csv.profile.json"; what has such a name keeps
// it. In ret.
struct str baseline_profile_name(struct str name, char ret[LIMIT_ARTIFACT_NAME_BYTES + 1]);

struct baseline_spec {
    struct registry_artifact *artifact;  // changed when it is done; held by its owner
    const struct deployment *deployment; // with engine and image
    struct str signature;                // the document
};
// ERR_IO, ERR_NOMEM; on_done also gets what the process says of the file, with the path $.artifacts, and what
// blob_store returns.
int baseline_job_start(struct controller *c, struct baseline_job *j, const struct baseline_spec *spec,
                       struct err *e) ERR_CHECKED;
void baseline_job_cancel(struct baseline_job *j); // not started or done is fine
