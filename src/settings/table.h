// SPDX-License-Identifier: Apache-2.0
// The one table of settings. A row here is all it takes to add a setting: the struct, the parsers of
// slipway.yaml, environment and flags, `slipway serve --help`, shell completion, docs/config.md and
// deploy/slipway.yaml follow from it (run dev/generate; a test fails while a generated file is stale).
#pragma once

// X(TYPE, field, key, default, min, max, unit, reload, help)
//   TYPE     BOOL INT BYTES DURATION STRING ADDRESS ENUM
//   field    member of struct settings, unit in its name; key: what users write, --key with dashes as a flag
//   default  as a user would write it
//   min max  of the number, in bytes and milliseconds where those are meant; of the length of a string
//   unit     what an INT counts; the choices of an ENUM, separated by |; "" for the others
//   reload   whether SIGHUP applies a change; else it needs a restart
//   help     one sentence
#define SETTINGS_TABLE(X)                                                                                    \
    X(STRING, data_dir, "data_dir", "slipway-data", 1, 1023, "", false,                                      \
      "Folder for models, registry and logs; made if it is missing.")                                        \
    X(ADDRESS, listen, "listen", "127.0.0.1:8080", 1, 1023, "", false,                                       \
      "Address and port for clients, such as 0.0.0.0:8080 or [::1]:8080; port 0 lets the system choose.")    \
    X(INT, gateways, "gateways", "0", 0, 256, "processes", false,                                            \
      "Processes that answer requests; 0 starts one per processor core.")                                    \
    X(ENUM, log_level, "log_level", "info", 0, 0, "debug|info|warn|error", true,                             \
      "Least severe event that is written to standard error; replicas that run keep theirs.")                \
    X(BOOL, log_requests, "log_requests", "false", 0, 0, "", true,                                           \
      "Writes one JSON line for each request; meant for finding faults, it costs speed.")                    \
    X(BYTES, max_body_bytes, "max_body", "16MiB", 1 << 10, 1ull << 30, "", true,                             \
      "Largest body of a prediction request, before and after decompression.")                               \
    X(INT, max_rows_per_request, "max_rows_per_request", "100000", 1, 10000000, "rows", true,                \
      "Most rows of one prediction request.")                                                                \
    X(BYTES, max_upload_bytes, "max_upload", "4GiB", 1 << 20, 1ull << 40, "", true,                          \
      "Largest model file that may be pushed.")                                                              \
    X(INT, max_connections, "max_connections", "20000", 1, 1000000, "connections", true,                     \
      "Most open client connections of one gateway; more are refused with 503.")                             \
    X(DURATION, idle_timeout_ms, "idle_timeout", "75s", 100, 86400000, "", true,                             \
      "Closes a kept-alive connection on which no request arrives for so long.")                             \
    X(DURATION, header_timeout_ms, "header_timeout", "10s", 100, 3600000, "", true,                          \
      "Longest time a client may take to send the head of a request.")                                       \
    X(DURATION, body_timeout_ms, "body_timeout", "60s", 100, 86400000, "", true,                             \
      "Longest time a client may send nothing of an announced body, or read nothing of an answer.")          \
    X(DURATION, request_timeout_ms, "request_timeout", "30s", 1, 3600000, "", true,                          \
      "Longest time that a request to a model in replicas may wait and compute.")                            \
    X(INT, max_queue, "max_queue", "1000", 1, 100000, "requests", true,                                      \
      "Most requests to one model in replicas under way in one gateway; more are refused with 429.")         \
    X(INT, replica_cores, "replica_cores", "0", 0, 4096, "cores", true,                                      \
      "Cores that versions with a range of replicas are scaled up to; 0: those of the machine.")             \
    X(ENUM, replace_policy, "replace_policy", "keep", 0, 0,                                                  \
      "keep|availability-preserving|resource-preserving", true,                                              \
      "What becomes of a version in replicas when another becomes the model's default, unless that says.")   \
    X(BYTES, replica_memory_bytes, "replica_memory", "0", 0, 1ull << 50, "", true,                           \
      "Memory that all replicas may take together, for checks before a load; 0: what the system has.")       \
    X(INT, max_deployments, "max_deployments", "256", 1, 256, "versions", false,                             \
      "Most versions that are loaded at once; others are loaded when a request names them.")                 \
    X(DURATION, drain_timeout_ms, "drain_timeout", "10s", 0, 3600000, "", true,                              \
      "Longest time that requests in flight may still take after SIGTERM.")                                  \
    X(DURATION, start_timeout_ms, "start_timeout", "2m", 1000, 3600000, "", true,                            \
      "Longest time that a replica may take to load its model.")                                             \
    X(DURATION, compile_timeout_ms, "compile_timeout", "5m", 1000, 86400000, "", true,                       \
      "Longest time that checking and compiling a pushed model may take.")                                   \
    X(INT, retain_versions, "retain_versions", "0", 0, 1000000, "versions", true,                            \
      "Garbage collection keeps the newest so many of each model; 0 keeps all.")                             \
    X(INT, retain_days, "retain_days", "0", 0, 36500, "days", true,                                          \
      "Garbage collection keeps versions that are no older, whatever their number; 0 keeps none for that.")  \
    X(DURATION, gc_grace_ms, "gc_grace", "24h", 1000, 2592000000ull, "", true,                               \
      "Files that no version needs stay so long after they were stored or asked for.")                       \
    X(DURATION, gc_interval_ms, "gc_interval", "1h", 0, 2592000000ull, "", true,                             \
      "Time between garbage collections; 0 leaves them to slipway gc.")                                      \
    X(STRING, rollout_webhook, "rollout_webhook", "", 0, 1023, "", true,                                     \
      "URL, http or https, that gets one line of JSON for each move of a rollout; empty tells nobody.")      \
    X(BOOL, log_predictions, "log_predictions", "true", 0, 0, "", true,                                      \
      "Keeps inputs and outputs of predictions in the prediction log, unless a version says otherwise.")     \
    X(INT, log_one_in, "log_one_in", "1", 1, 1000000, "predictions", true,                                   \
      "Keeps one of so many, chosen by prediction id; failures are always kept.")                            \
    X(ENUM, log_durability, "log_durability", "async", 0, 0, "async|commit", true,                           \
      "Whether answers go out at once, or wait until their records are on disk.")                            \
    X(DURATION, log_commit_wait_ms, "log_commit_wait", "1s", 1, 30000, "", true,                             \
      "Longest time that an answer waits for that; then it goes out and says so.")                           \
    X(ENUM, log_overflow, "log_overflow", "drop", 0, 0, "drop|sample|block", true,                           \
      "What becomes of records while the disk is slower than the predictions.")                              \
    X(DURATION, log_block_ms, "log_block", "20ms", 1, 1000, "", true,                                        \
      "With log_overflow: block, longest time that answers are held up for room.")                           \
    X(BYTES, log_record_bytes, "log_record", "64KiB", 1 << 10, 1 << 20, "", true,                            \
      "Largest record of one request; rows that do not fit are left out of it.")                             \
    X(BYTES, log_retain_bytes, "log_retain", "10GiB", 0, 1ull << 50, "", true,                               \
      "Size above which the oldest files of the prediction log are removed; 0: no limit.")                   \
    X(INT, log_retain_days, "log_retain_days", "30", 0, 36500, "days", true,                                 \
      "Age above which files of the prediction log are removed; 0: no limit.")                               \
    X(BYTES, log_ring_bytes, "log_ring", "16MiB", 64 << 10, 1 << 30, "", false,                              \
      "Memory of each gateway for predictions that are to be logged; a power of two, or the next one.")      \
    X(STRING, log_events_url, "log_events_url", "", 0, 1023, "", true,                                       \
      "Where predictions are posted as CloudEvents, such as http://127.0.0.1:9000/events; empty: nowhere.")  \
    X(ENUM, log_events_mode, "log_events_mode", "batch", 0, 0, "batch|structured", true,                     \
      "Whether up to 500 of them go in one request, or each in one of its own.")                             \
    X(STRING, log_kafka_brokers, "log_kafka_brokers", "", 0, 1023, "", false,                                \
      "Brokers of Kafka that predictions are sent to, such as kafka1:9092,kafka2:9092; empty: none.")        \
    X(STRING, log_kafka_topic, "log_kafka_topic", "slipway-predictions", 1, 249, "", false,                  \
      "The topic that they are written to.")                                                                 \
    X(STRING, log_kafka_options, "log_kafka_options", "", 0, 1023, "", false,                                \
      "Options of librdkafka, such as compression.type=zstd linger.ms=50; no passwords.")                    \
    X(STRING, log_kafka_options_file, "log_kafka_options_file", "", 0, 1023, "", false,                      \
      "File with more of them, one a line; the place for passwords.")                                        \
    X(BYTES, log_sink_bytes, "log_sink_buffer", "16MiB", 64 << 10, 1 << 30, "", false,                       \
      "Memory for predictions that wait for that receiver, and for those brokers; more is dropped.")         \
    X(STRING, librdkafka_library, "librdkafka_library", "", 0, 1023, "", false,                              \
      "Path of librdkafka's library, librdkafka.so.1; empty looks in the system.")                           \
    X(BYTES, compile_memory_bytes, "compile_memory", "8GiB", 64 << 20, 1ull << 44, "", true,                 \
      "Most memory for checking and compiling a pushed model.")                                              \
    X(DURATION, metrics_retire_ms, "metrics_retire", "1h", 0, 2592000000ull, "", true,                       \
      "How long /metrics goes on showing what was counted of a version that is not served any more.")        \
    X(ENUM, metrics_aliases, "metrics_aliases", "none", 0, 0, "none|triton|kserve|all", true,                \
      "Shows figures in /metrics also under the names of those servers, for dashboards made for them.")      \
    X(STRING, otlp_endpoint, "otlp_endpoint", "", 0, 1023, "", true,                                         \
      "Where traces are sent by OTLP over HTTP, such as http://127.0.0.1:4318; empty: nowhere.")             \
    X(INT, trace_per_10000, "trace_per_10000", "100", 0, 10000, "requests", true,                            \
      "Of 10,000 requests that name no trace, so many are traced; those that name one decide themselves.")   \
    X(DURATION, drift_window_ms, "drift_window", "1h", 1000, 2592000000ull, "", false,                       \
      "Shortest time over which live traffic is compared with a baseline.")                                  \
    X(INT, drift_window_rows, "drift_window_rows", "1000", 100, 1000000000, "rows", false,                   \
      "Rows that such a window has at least; it lasts longer until then.")                                   \
    X(INT, drift_values, "drift_values", "50000", 0, 100000000, "values a second", false,                    \
      "Most values of a version that are compared in a second, of every k-th row; 0 compares none.")         \
    X(ENUM, feedback_tokens, "feedback_tokens", "off", 0, 0, "off|header|body", false,                       \
      "Whether answers bring a sealed token, for labels that come when the prediction is forgotten.")        \
    X(DURATION, feedback_token_life_ms, "feedback_token_life", "2160h", 60000, 315360000000ull, "", false,   \
      "How long such a token is good; its keys change as often.")                                            \
    X(STRING, alert_rules, "alert_rules", "", 0, 1023, "", true,                                             \
      "File of alert rules in JSON; empty: only the built-in ones.")                                         \
    X(STRING, alert_webhook, "alert_webhook", "", 0, 1023, "", true,                                         \
      "Where alerts are posted, such as http://127.0.0.1:9000/alerts; empty: nowhere.")                      \
    X(STRING, alert_secret_file, "alert_secret_file", "", 0, 1023, "", true,                                 \
      "File with the secret that signs them; empty: they are not signed.")                                   \
    X(STRING, onnxruntime_library, "onnxruntime_library", "", 0, 1023, "", false,                            \
      "Path of ONNX Runtime's library, libonnxruntime.so; empty looks beside the program and in the "        \
      "system.")
