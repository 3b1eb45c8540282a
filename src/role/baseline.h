// SPDX-License-Identifier: Apache-2.0
// The throw-away process that turns a training file into a profile (monitor/profile.h): it is started by the
// controller when a version with a baseline is pushed, reads one file that nobody trusts, runs a model of
// rows over it for the outputs, and ends. A file that is a profile already is checked and written anew.
#pragma once

// Its arguments, as text, and its descriptors (os/proc places them).
enum baseline_arg {
    BASELINE_ARG_PROGRAM,
    BASELINE_ARG_ROLE,         // "@baseline"
    BASELINE_ARG_DIGEST,       // "sha256:…" the file must have
    BASELINE_ARG_NAME,         // of the file, for people
    BASELINE_ARG_ENGINE,       // by name: what the image is of
    BASELINE_ARG_MEMORY_BYTES, // limit on its private memory
    BASELINE_ARG_CPU_S,        // limit on its processor time
    BASELINE_ARGS
};
#define BASELINE_ROLE "@baseline"
enum baseline_fd {
    BASELINE_FD_FILE = 3,  // the training file, for reading
    BASELINE_FD_IMAGE,     // the compiled model
    BASELINE_FD_SIGNATURE, // its signature document
    BASELINE_FD_PROFILE,   // an empty memfd, for the profile
    BASELINE_FD_RESULT,    // a pipe
    BASELINE_FD_LIMIT
};

// Result: {"step":"baseline","result":"passed","detail":"…","ms":12.5}, or an error as compile_main writes
// it. Returns the exit code, 0 when a result was written. argc and argv are main's; argv[1] is BASELINE_ROLE.
int baseline_main(int argc, char *const *argv);
