// SPDX-License-Identifier: Apache-2.0
// The throw-away process that turns a model file into an image. It is started by the controller for each
// version, reads one file that nobody trusts, and ends; whatever the file does to it hits nobody else.
#pragma once

// Its arguments, as text, and its descriptors (os/proc places them).
enum compile_arg {
    COMPILE_ARG_PROGRAM,
    COMPILE_ARG_ROLE,         // "@compile"
    COMPILE_ARG_DIGEST,       // "sha256:…" the file must have
    COMPILE_ARG_MEMORY_BYTES, // limit on its private memory, and on the image
    COMPILE_ARG_CPU_S,        // limit on its processor time
    COMPILE_ARG_ONNXRUNTIME,  // path of ONNX Runtime's library; "": where it is usually found
    COMPILE_ARG_OPTIMIZATION, // of the version's settings, as what runs in replicas is tried out with them
    COMPILE_ARG_PROVIDER,
    COMPILE_ARG_FILES,    // external data of the model, as in role/model_files.h; "": none
    COMPILE_ARG_DATA_DIR, // where they are
    COMPILE_ARGS
};
#define COMPILE_ROLE "@compile"
enum compile_fd {
    COMPILE_FD_FILE = 3, // the model file, for reading
    COMPILE_FD_IMAGE,    // an empty memfd, for the image
    COMPILE_FD_RESULT,   // a pipe, for one JSON object
    COMPILE_FD_LIMIT
};

// The image is the engine's; of an engine that computes in replicas, the model's interface as JSON, found by
// loading the model and trying it out.
// Result: {"engine":"trees","format":"xgboost_json"} when the image is written, else
// {"code":"bad_model","message":"…","path":"…","hint":"…"}. Returns the exit code, 0 when a result was
// written. argc and argv are main's; argv[1] is COMPILE_ROLE.
int compile_main(int argc, char *const *argv);
