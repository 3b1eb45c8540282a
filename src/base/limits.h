// SPDX-License-Identifier: Apache-2.0
// Every cap of the program in one place. What a user may change is a setting instead, with its default in the
// table of settings.
#pragma once

enum {
    // Names
    LIMIT_MODEL_NAME_BYTES = 128,
    LIMIT_ALIAS_BYTES = 64,
    LIMIT_ARTIFACT_NAME_BYTES = 200,
    // What is served at once
    LIMIT_DEPLOYMENTS = 256,        // also the slots of metrics
    LIMIT_SERVED_ALIASES = 1 << 16, // over all models
    LIMIT_MANIFEST_BYTES = 1 << 20, // the JSON that describes a version
    LIMIT_TAGS = 64,                // of a version
    LIMIT_TAG_BYTES = 1024,         // name or value of one
    LIMIT_DESCRIPTION_BYTES = 4096,
    LIMIT_TRAINED_FROM_BYTES = 1024,
    LIMIT_REASON_BYTES = 1024,     // why a change is made, for the audit
    LIMIT_ONCE_KEY_BYTES = 255,    // Idempotency-Key
    LIMIT_ONCE_KEYS = 10000,       // that are remembered
    LIMIT_ONCE_HOURS = 24,         // for so long
    LIMIT_RESERVE_BYTES = 8 << 20, // of the disk, kept for changes of names when it is full
    LIMIT_PAGE = 1000,             // rows of a list in one answer
    LIMIT_METRICS = 256,           // numbers that the trainer gives a version
    LIMIT_ARTIFACTS = 1024,        // files of a version
    LIMIT_KEPT_IMAGE_BYTES =
        8 << 20,                // of a model file and of its image, which a start reads without a process
    LIMIT_COMPILES_QUEUED = 64, // versions that wait to be checked
    LIMIT_STORE_MS = 600000,    // for the disk to take an uploaded file
    LIMIT_GC_LISTED = 1000,     // versions, and blobs, that the answer of a garbage collection names
    LIMIT_REPLICAS = 64,        // of one version
    LIMIT_REPLICA_THREADS = 256,
    // HTTP
    LIMIT_HTTP_HEAD_BYTES = 16 << 10, // request line and all headers
    LIMIT_HTTP_TARGET_BYTES = 4 << 10,
    LIMIT_HTTP_HEADERS = 64,
    LIMIT_HTTP_CHUNK_LINE_BYTES = 256,
    LIMIT_TIMEOUT_MS = 3600000, // that a client may ask for
    // Admission
    LIMIT_GOLDEN_BYTES = 16 << 20, // a file of golden rows
    LIMIT_GOLDEN_ROWS = 10000,
    LIMIT_ADMISSION_INPUT_BYTES = 256 << 20, // rows that a model is tried with, and what it gives for them
    // The command line
    LIMIT_CLIENT_ANSWER_BYTES = 1 << 29,    // an answer that a verb reads
    LIMIT_CLIENT_ROW_BYTES = 64 << 20,      // a row of a file that `slipway predict` reads
    LIMIT_MLMODEL_BYTES = 8 << 20,          // the file MLmodel of an MLflow model, with its signature
    LIMIT_IMPORT_REDIRECTS = 3,             // of one request to a tracking server
    LIMIT_IMPORT_MB = 1 << 20,              // one file from there
    LIMIT_TRACKING_ANSWER_BYTES = 16 << 20, // JSON from there
    LIMIT_IMPORT_FILES = 1000,              // in one folder of a directory that a version is taken from
    // Content codings
    LIMIT_ZSTD_WINDOW_LOG = 23, // a zstd body may ask for a window of 8 MiB, as RFC 9659 has it
    // Load generator
    LIMIT_LOAD_MESSAGE_BYTES = 64 << 20, // one request, and one answer
    LIMIT_LOAD_CONNECTIONS = 10000,
    LIMIT_LOAD_DEPTH = 1024,
    // The sandbox
    LIMIT_SANDBOX_ADDRESS_MB = 4096, // address space beside twice its memory and what it maps
    LIMIT_SANDBOX_THREAD_ADDRESS_MB =
        256,                           // and for each thread: its stack, and the arena that malloc reserves
    LIMIT_SANDBOX_STACK_MB = 16 << 10, // taken for the first thread's stack where that has no limit
    // Settings
    LIMIT_CONFIG_BYTES = 1 << 20, // a slipway.yaml
    // Replicas
    LIMIT_REPLICA_LINKS = 512,            // gateways of one replica, also those about to end
    LIMIT_REPLICA_QUEUE = 512,            // requests of one gateway that a replica has taken
    LIMIT_REPLICA_BATCH_BYTES = 64 << 20, // inputs, and results, of requests that are computed together
    // Rollouts
    LIMIT_ROLLOUT_REQUEST_BYTES = 64 << 10,
    LIMIT_ROLLOUT_RECORD_BYTES = 1 << 20, // one transition with all its evidence
    LIMIT_ROLLOUT_ACTOR_BYTES = 128,
    LIMIT_ROLLOUT_NOTE_BYTES = 512, // why a person moved a rollout
    // Metrics
    LIMIT_METRICS_FEATURES = 200,       // of one version that have a gauge of their own
    LIMIT_METRICS_TEXT_BYTES = 4 << 20, // what the monitor adds to the page
    LIMIT_TRACES_WAITING = 4096,        // requests whose spans wait to be sent
    LIMIT_ALERT_RULES = 256,            // built-in ones and those of a file
    LIMIT_ALERT_FILE_BYTES = 1 << 20,   // the file of rules
    LIMIT_ALERTS = 1024,                // rules times what they are about
    // The prediction log
    LIMIT_LOG_MANIFEST_BYTES = 1 << 28,    // the list of its sealed files
    LIMIT_LOG_LINE_BYTES = 1 << 28,        // the lines of one record
    LIMIT_LOG_COLUMNS = 200000,            // of an exported table
    LIMIT_LOG_LAST = 100000,               // lines that are asked for from the end
    LIMIT_LOG_SINK_LINES_BYTES = 8 << 20,  // the lines of one record that are sent on
    LIMIT_LOG_SINK_EVENT_BYTES = 1 << 20,  // one of them as a CloudEvent, and a request with several
    LIMIT_LOG_KAFKA_FILE_BYTES = 64 << 10, // the file of options of librdkafka
    // JSON
    LIMIT_JSON_DEPTH = 64,
    LIMIT_INFER_ID_BYTES = 1024,  // request id of the Open Inference Protocol
    LIMIT_NEAR_CANDIDATES = 1024, // names compared to find the one meant: quadratic in their lengths
    // Drift
    LIMIT_PROFILE_BYTES = 32 << 20, // a baseline as it is stored
    LIMIT_PROFILE_COLUMNS = 1024,   // inputs and outputs of a version that are watched
    LIMIT_PARQUET_FOOTER_BYTES = 64 << 20,
    LIMIT_PARQUET_PAGE_BYTES = 64 << 20, // of a training file, decompressed
    // Models
    LIMIT_MODEL_FILES_BYTES = 64 << 10, // the list of files with weights beside the model's own
    LIMIT_MODEL_FEATURES = 100000,
    LIMIT_MODEL_OUTPUTS = 4096,
    LIMIT_INTERFACE_BYTES = 4 << 20, // the JSON of a model's inputs and outputs, with its classes
    LIMIT_TENSOR_NAME_BYTES = 1024,
    LIMIT_CATEGORIES = 1 << 20,       // named categories, over all features of a model
    LIMIT_CATEGORY_BYTES = 16 << 20,  // of their names
    LIMIT_CATEGORY_NAME_BYTES = 4096, // of one, where its user gives it
    LIMIT_TREE_DEPTH = 4096,
    LIMIT_TREES = 1000000,
    LIMIT_NODES = 1 << 28,
    LIMIT_DETECT_BYTES = 256,              // how far into a file its format is looked for
    LIMIT_CATEGORY_WORDS = 1 << 26,        // 32 categories each, over all splits of a model
    LIMIT_TREES_COMPILE_MB = 32 << 10,     // address space of one compilation
    LIMIT_TREES_CATEGORY_BYTES = 64 << 20, // tables that map categories to decisions
    LIMIT_ONNX_NAMES_BYTES = 64 << 20,     // names, labels and descriptions of the tensors of a model
    LIMIT_ONNX_RESULT_BYTES = 1 << 30,     // strings, or a stacked sequence, of one output
};
