// SPDX-License-Identifier: Apache-2.0
// The throw-away process that makes one blob durable (registry: blob_store). The controller starts it when an
// upload is whole, because fsync may take as long as it likes, and others want answers meanwhile.
#pragma once

// Its arguments, as text, and its descriptors (os/proc places them).
enum store_arg {
    STORE_ARG_PROGRAM,
    STORE_ARG_ROLE,   // "@store"
    STORE_ARG_DIGEST, // "sha256:…" the blob must have
    STORE_ARG_NAME, // of the file in blobs/tmp; "": the blob is there already, only its name is made durable
    STORE_ARGS
};
#define STORE_ROLE "@store"
// With the name "" only the first and the report's pipe, which is then the second.
enum store_fd {
    STORE_FD_SHA256 = 3, // blobs/sha256
    STORE_FD_TMP,        // blobs/tmp
    STORE_FD_FILE,
    STORE_FD_RESULT,
    STORE_FD_RESULT_ALONE = STORE_FD_TMP,
};

// Result: {"stored":true,"replaced":false}, stored false when the blob was there, replaced true when what was
// there was damaged; or an error as compile_main writes it. Returns the
// exit code, 0 when a result was written. argc and argv are main's; argv[1] is STORE_ROLE.
int store_main(int argc, char *const *argv);
