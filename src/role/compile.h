// SPDX-License-Identifier: Apache-2.0
// The throw-away process that turns a model file into an image and tries it out. It is started by the
// controller for each version, reads one file that nobody trusts and the golden rows, and ends; whatever the
// file does to it hits nobody else.
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
    COMPILE_ARG_FILES,      // external data of the model, as in role/model_files.h; "": none
    COMPILE_ARG_DATA_DIR,   // where they are
    COMPILE_ARG_GOLDEN,     // "sha256:…" of the golden rows; "": there are none
    COMPILE_ARG_SIGNATURE,  // "told": what of role/compile_signature.h; "": nothing
    COMPILE_ARG_IMAGE,      // "given": it is there, and only tried; "": the process makes it
    COMPILE_ARG_BATCH_ROWS, // "": the version is new, and tried in full; else only its golden rows, and what
                            // runs in replicas may have so many rows together, as was found out then
    COMPILE_ARGS
};
#define COMPILE_ROLE  "@compile"
#define COMPILE_TOLD  "told"
#define COMPILE_GIVEN "given"
enum compile_fd {
    COMPILE_FD_FILE = 3,  // the model file, for reading
    COMPILE_FD_IMAGE,     // an empty memfd, for the image; or a sealed one with it
    COMPILE_FD_GOLDEN,    // the golden rows, for reading; without them anything
    COMPILE_FD_SIGNATURE, // what is told of the signature; without that anything
    COMPILE_FD_RESULT,    // a pipe, for lines of JSON
    COMPILE_FD_LIMIT
};

// Path of an error that is about the stored golden rows as a file.
#define COMPILE_GOLDEN_PATH "golden"

// The image is the engine's; of an engine that computes in replicas, the model's interface as JSON, found by
// loading the model and trying it out.
// Lines: {"engine":"trees","format":"xgboost_json"} once it is known, {"begin":"golden"} before each step,
// {"step":"golden","result":"passed",…} after it (admission/report.h), and at last one of
//   {"report":{…}}                                                      the image is written, and sound
//   the same with "rejected":{"step":"golden","code":"rejected","message":"…","path":"…","hint":"…"}
//   the same with "breaking":true               clients of the version before would break: it was not tried
//   {"code":"bad_model","message":"…","path":"…","hint":"…"}            nothing can be said of the version
// From the end of the step "signature" on the image is whole, and a process that ends without its last line
// was ended by the model in the step that began last.
// Returns the exit code, 0 when the last line was written. argc and argv are main's; argv[1] is COMPILE_ROLE.
int compile_main(int argc, char *const *argv);
