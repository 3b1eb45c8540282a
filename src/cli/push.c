// SPDX-License-Identifier: Apache-2.0
// `slipway push`: a model becomes a version. Its files and fields are gathered by import.c, sent by
// artifacts.c.
#include "cli/cli.h"

#include "base/limits.h"
#include "base/num.h"
#include "cli/admission.h"
#include "cli/beside.h"
#include "cli/change.h"
#include "cli/client.h"
#include "cli/describe.h"
#include "cli/import.h"
#include "cli/lines.h"
#include "cli/signature.h"
#include "cli/term.h"

#include <inttypes.h>
#include <string.h>

enum { ADMISSION_TIMEOUT_MS = 3600 * 1000 };

static int put_tags(const struct args *a, struct buf *out, struct err *e)
{
    const char *tag;
    bool first = true;
    for (int i = 0; (tag = args_next(a, "tag", &i)) != NULL; first = false) {
        struct str value = str_of(tag), key = str_split(&value, '=');
        if (key.n == 0 || !strchr(tag, '='))
            return err_set(e, ERR_INVALID, "--tag: expected KEY=VALUE, got '%.80s'", tag);
        buf_puts(out, first ? ",\"tags\":{" : ",");
        buf_put_json_str(out, key);
        buf_putc(out, ':');
        buf_put_json_str(out, value);
    }
    if (!first)
        buf_putc(out, '}');
    return 0;
}

// Settings of a version: flags of the same names with dashes. Numbers go as numbers, all else as text: the
// server knows what each may be.
static const struct {
    const char *flag, *field;
} SETTINGS[] = {
    {"replicas", "replicas"},
    {"threads", "threads"},
    {"optimization", "optimization"},
    {"provider", "provider"},
    {"memory-mb", "memory_mb"},
    {"batch-budget-ms", "batch_budget_ms"},
    {"hang-ms", "hang_ms"},
    {"concurrency", "concurrency"},
    {"scale-window-s", "scale_window_s"},
    {"idle-s", "idle_s"},
    {"policy", "policy"},
    {"log", "log"},
    {"log-one-in", "log_one_in"},
    {"log-overflow", "log_overflow"},
    {"log-durability", "log_durability"},
};

static void put_settings(const struct args *a, struct buf *out)
{
    for (size_t i = 0; i < sizeof SETTINGS / sizeof SETTINGS[0]; i++) {
        uint64_t number;
        const char *value = args_value(a, SETTINGS[i].flag);
        if (!value)
            continue;
        buf_printf(out, ",\"%s\":", SETTINGS[i].field);
        if (str_to_u64(str_of(value), UINT32_MAX, &number))
            buf_printf(out, "%" PRIu64, number);
        else
            buf_put_json_str(out, str_of(value));
    }
}

static int put_metrics(const struct args *a, struct buf *out, struct err *e)
{
    const char *metric;
    bool first = true;
    for (int i = 0; (metric = args_next(a, "metric", &i)) != NULL; first = false) {
        struct str value = str_of(metric), name = str_split(&value, '=');
        double number;
        size_t used = 0;
        if (name.n == 0 || !num_parse_double(value.p, value.n, &number, &used) || used != value.n)
            return err_set(e, ERR_INVALID, "--metric: expected NAME=NUMBER, got '%.80s'", metric);
        buf_puts(out, first ? ",\"metrics\":{" : ",");
        buf_put_json_str(out, name);
        buf_putc(out, ':');
        buf_put_str(out, value);
    }
    if (!first)
        buf_putc(out, '}');
    return 0;
}

// The fields of the manifest that the flags set.
static int put_flags(const struct args *a, struct buf *out, struct err *e)
{
    const char *description = args_value(a, "description");
    buf_printf(out, "{\"promote\":%s", args_has(a, "no-promote") ? "false" : "true");
    if (description) {
        buf_puts(out, ",\"description\":");
        buf_put_json_str(out, str_of(description));
    }
    if (args_has(a, "allow-breaking"))
        buf_puts(out, ",\"allow_breaking\":true");
    const char *origin = args_value(a, "trained-from");
    if (origin) {
        buf_puts(out, ",\"trained_from\":");
        buf_put_json_str(out, str_of(origin));
    }
    cli_put_reason(a, out);
    put_settings(a, out);
    int rc = put_tags(a, out, e);
    if (rc == 0)
        rc = put_metrics(a, out, e);
    if (rc == 0 && args_value(a, "signature")) {
        buf_puts(out, ",\"signature\":");
        rc = signature_read_file(args_value(a, "signature"), out, e);
    }
    buf_putc(out, '}');
    return rc;
}

static void put_result(const struct client *c, const struct args *a, yyjson_val *root, bool stored,
                       struct buf *out)
{
    char scratch[32];
    struct buf url;
    bool promoted = !args_has(a, "no-promote");
    const char *version = cli_describe_scalar(yyjson_obj_get(root, "version"), scratch);
    buf_printf(out, "%s", term_on(stdout, TERM_GREEN));
    term_put_safe(str_of(a->words[0]), out);
    buf_printf(out, " version %s%s %s%s\n", version, term_off(stdout),
               promoted ? "serves now" : "is ready, not promoted",
               stored ? " (the server had this file already)" : "");
    cli_describe_version(root, out);
    signature_put_changes(yyjson_obj_get(yyjson_obj_get(root, "signature"), "changes"), out);
    buf_init(&url, 4096);
    buf_puts(&url, c->url);
    const char *where =
        promoted ? client_path(&url, "/v1/models/", a->words[0], ":predict", NULL)
                 : client_path(&url, "/v1/models/", a->words[0], "/versions/", version, ":predict", NULL);
    buf_printf(out, "  %-14s%s\n\nTry it:\n", "url", where);
    cli_describe_curl(root, where, out);
    buf_puts(out, "  slipway predict ");
    term_put_safe(str_of(a->words[0]), out);
    if (!promoted)
        buf_printf(out, " --version %s", version);
    buf_puts(out, " rows.csv\n");
    buf_done(&url);
}

// A step that ended, at once. What cannot be written is noticed with the result.
static void on_step(void *ctx, yyjson_val *step)
{
    const bool *quiet = ctx;
    struct buf line;
    if (*quiet)
        return;
    buf_init(&line, 16 << 10);
    cli_admission_step(step, &line);
    if (!line.failed)
        (void)fwrite(line.p, 1, line.n, stdout);
    (void)fflush(stdout);
    buf_done(&line);
}

static int put_manifest(const struct args *a, struct package *p, struct buf *out, struct err *e)
{
    struct buf flags;
    buf_init(&flags, LIMIT_MANIFEST_BYTES);
    int rc = put_flags(a, &flags, e);
    if (rc == 0)
        rc = package_put_manifest(p, buf_str(&flags), out, e);
    buf_done(&flags);
    return rc;
}

// The answer; the changes of a signature that is refused go to stderr, one a line.
static int post(struct client *c, const struct client_request *q, bool json, yyjson_doc **ret, struct err *e)
{
    struct buf lines;
    int rc = client_lines(c, q, on_step, &json, ret, e);
    if (!rc || json)
        return rc;
    buf_init(&lines, LIMIT_CLIENT_ANSWER_BYTES);
    signature_put_changes(yyjson_obj_get(yyjson_doc_get_root(*ret), "changes"), &lines);
    fprintf(stderr, STR_FMT, STR_ARG(buf_str(&lines)));
    buf_done(&lines);
    return rc;
}

// *ret: what the server said, also when it refused; NULL where it said nothing.
static int push(struct client *c, const struct args *a, struct package *p, struct buf *out, yyjson_doc **ret,
                struct err *e)
{
    struct buf path, manifest;
    buf_init(&path, 4096);
    buf_init(&manifest, 1 << 20);
    int rc = put_manifest(a, p, &manifest, e);
    if (rc == 0)
        rc = artifacts_upload(&p->files, c, e);
    if (rc == 0) {
        struct client_request q = {.method = "POST",
                                   .path =
                                       client_path(&path, "/api/v1/models/", a->words[0], "/versions", NULL),
                                   .content_type = "application/json",
                                   .body = buf_str(&manifest),
                                   .idempotency_key = args_value(a, "idempotency-key"),
                                   .timeout_ms = ADMISSION_TIMEOUT_MS};
        rc = post(c, &q, args_has(a, "json"), ret, e);
    }
    yyjson_val *root = yyjson_doc_get_root(*ret);
    if (rc == 0 && args_has(a, "json"))
        rc = term_put_json(root, out, e);
    else if (rc == 0)
        put_result(c, a, root, p->files.items[0].was_stored, out);
    buf_done(&path);
    buf_done(&manifest);
    return rc;
}

static void put_notes(const struct package *p)
{
    if (p->notes.n)
        (void)fwrite(p->notes.p, 1, p->notes.n, stderr);
}

static int push_run(const struct args *a)
{
    static const char *const FILES[] = {"golden", "baseline"}; // flags, and roles
    struct client c;
    struct err e;
    struct buf out;
    struct package p;
    yyjson_doc *said = NULL;
    bool json = args_has(a, "json");
    buf_init(&out, 16 << 20);
    if (client_init(&c, a, &e))
        return term_usage(&e);
    int rc = package_init(&p, &e);
    if (rc == 0)
        rc = import_source(a->words[1], a, &p, &e);
    if (rc == 0)
        rc = beside_add(a, a->words[1], &p, &e);
    // Before the hashing and sending, which may take long. Lines of Python come with an error, too.
    if (!json)
        put_notes(&p);
    for (int i = 0; rc == 0 && i < 2; i++)
        if (args_value(a, FILES[i]))
            rc = artifacts_add_path(&p.files, FILES[i], NULL, args_value(a, FILES[i]), &e);
    if (rc == 0)
        rc = artifacts_hash(&p.files, &e);
    if (rc == 0)
        rc = push(&c, a, &p, &out, &said, &e);
    if (rc == 0)
        rc = term_write(&out, &e);
    int code = rc ? term_refused(&e, json, yyjson_doc_get_root(said)) : CLI_OK;
    yyjson_doc_free(said);
    package_done(&p);
    buf_done(&out);
    client_done(&c);
    return code;
}

const struct verb verb_push = {
    .name = "push",
    .summary = "Sends a model to the server, which checks it and serves it as a new version.",
    .usage = "slipway push MODEL FILE|DIR|URI|- [flags]",
    .examples =
        "slipway push churn model.json\n"
        "slipway push churn model.ubj --description 'trained on May' --tag run=4711\n"
        "slipway push churn model.txt --no-promote\n"
        "slipway push churn model.json --golden golden.json --metric auc=0.91 --trained-from run-4711\n"
        "slipway push churn model.onnx --replicas 2 --threads 1\n"
        "slipway push churn model.onnx --replicas 0:4\n"
        "slipway push churn model.json --log-durability commit\n"
        "cat model.json | slipway push churn -\n"
        "slipway push churn mlruns/1/models/m-4711/artifacts   # a directory with MLmodel\n"
        "slipway push churn models:/churn@champion --tracking-uri http://mlflow:5000\n"
        "slipway push churn churn-3                            # what `slipway export` wrote",
    .flags =
        (const struct flag[]){
            {.name = "description", .value = "TEXT", .help = "Kept with the version."},
            {.name = "tag",
             .value = "KEY=VALUE",
             .help = "Kept with the version; may be repeated.",
             .repeats = true},
            {.name = "tracking-uri",
             .value = "URL",
             .help = "MLflow server of a models:/ or runs:/ address. Default: MLFLOW_TRACKING_URI."},
            {.name = "signature",
             .value = "FILE",
             .help = "What may stand in the model's inputs, as JSON or YAML (slipway show --signature)."},
            {.name = "allow-breaking", .help = "Replaces the champion also where its clients would break."},
            {.name = "file",
             .value = "FILE[=NAME]",
             .help =
                 "A file with weights that an ONNX model keeps outside its own, under the name that the "
                 "model calls it; may be repeated. Those that lie beside the model are found by themselves.",
             .repeats = true},
            {.name = "golden",
             .value = "FILE",
             .help = "Rows and the outputs that the training library gives for them, as JSON: the version "
                     "serves only if it gives them too."},
            {.name = "baseline",
             .value = "FILE",
             .help =
                 "Rows of the training, as CSV with a header or Parquet, or a profile: what live traffic is "
                 "compared with (slipway drift). Kept as a profile: bins and counts."},
            {.name = "metric",
             .value = "NAME=NUMBER",
             .help = "Of the training; kept with the version, may be repeated.",
             .repeats = true},
            {.name = "trained-from",
             .value = "TEXT",
             .help = "A run, a commit, a URI; kept with the version."},
            {.name = "no-promote", .help = "Leaves the champion as it is."},
            {.name = "replicas",
             .value = "N|MIN:MAX",
             .help = "Processes that run an ONNX model; a range such as 0:4 goes by the load (1)."},
            {.name = "threads",
             .value = "N",
             .help = "Of one replica; with 1 they share the model's memory (1)."},
            {.name = "optimization",
             .value = "LEVEL",
             .help = "How far the model's graph is rewritten (all).",
             .choices = "none|basic|extended|all"},
            {.name = "provider",
             .value = "NAME",
             .help = "What computes (cpu).",
             .choices = "cpu|cuda|tensorrt|openvino"},
            {.name = "memory-mb", .value = "MIB", .help = "Most memory of one replica; 0 sets no limit (0)."},
            {.name = "batch-budget-ms",
             .value = "MS",
             .help = "Longest time a batch may take; 0 sets no limit (10)."},
            {.name = "hang-ms", .value = "MS", .help = "A replica silent for so long is replaced (1500)."},
            {.name = "concurrency",
             .value = "N",
             .help = "Requests that one replica of a range should have under way (1)."},
            {.name = "scale-window-s",
             .value = "S",
             .help = "Time over which the load on a range is averaged (60)."},
            {.name = "idle-s",
             .value = "S",
             .help = "Time without requests before a range that begins with 0 has no replica; 0 goes by "
                     "the time it takes to load (0)."},
            {.name = "policy",
             .value = "POLICY",
             .help = "What becomes of the version that it replaces: it stays loaded, is unloaded afterwards, "
                     "or before (the server's setting replace_policy).",
             .choices = "keep|availability-preserving|resource-preserving"},
            {.name = "log",
             .value = "ON",
             .help = "Whether predictions of this version are logged (the server's log_predictions).",
             .choices = "on|off"},
            {.name = "log-one-in",
             .value = "N",
             .help = "Keeps one prediction of so many (the server's log_one_in)."},
            {.name = "log-overflow",
             .value = "POLICY",
             .help = "What to do when the log's memory is full (the server's log_overflow).",
             .choices = "drop|sample|block"},
            {.name = "log-durability",
             .value = "WHEN",
             .help = "Whether answers wait until their records are on disk (the server's log_durability).",
             .choices = "async|commit"},
            CLI_CHANGE_FLAGS,
            CLI_CLIENT_FLAGS,
            {0}},
    .min_words = 2,
    .max_words = 2,
    .takes_model = true,
    .run = push_run,
};
