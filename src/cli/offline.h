// SPDX-License-Identifier: Apache-2.0
// What the verbs share that work on a data directory themselves, without a server: fsck, backup, restore.
#pragma once

#include "base/buf.h"
#include "cli/args.h"
#include "cli/term.h"
#include "registry/check.h"

struct settings;

// The directory that `slipway serve` would use here, without flags: slipway.yaml, SLIPWAY_DATA_DIR, the
// default. Borrowed from s.
int offline_data_dir(struct settings *s, const char **ret, struct err *e) ERR_CHECKED;

// Findings as they come: lines on stdout, or with json an array in the answer.
struct offline_findings {
    bool json;
    struct buf out; // of JSON: "{…},{…}"
    struct progress bar;
    const char *what; // of the bar
};
void offline_findings_init(struct offline_findings *o, const struct args *a, const char *what);
void offline_findings_done(struct offline_findings *o);
void offline_on_finding(void *ctx, const struct registry_finding *f);
void offline_on_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
