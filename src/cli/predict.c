// SPDX-License-Identifier: Apache-2.0
// `slipway predict`: rows of a file in, predictions out, in the same order. The version is chosen once, at
// the start, so that all rows of a run are computed by one version even while another is promoted.
#include "cli/cli.h"
#include "cli/describe.h"
#include "cli/feed.h"
#include "cli/predict_out.h"
#include "cli/pump.h"
#include "cli/sample.h"
#include "cli/term.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCH_ROWS = 1000, CONNECTIONS = 4, BODY_BYTES = 8 << 20 };

struct run {
    const struct args *args;
    struct client client;
    struct feed feed;
    struct predict_out out;
    struct pump pump;
    struct progress bar;
    yyjson_doc *version_doc; // the feed borrows names from it
    char version[32];
    struct buf head; // of each request, up to Content-Length
    uint64_t batch_rows, input_bytes;
    bool ended;
};

// ---- which version

static int resolve(struct run *r, const char *model, struct err *e)
{
    char scratch[32];
    struct buf path;
    const char *version = args_value(r->args, "version");
    yyjson_doc *doc = NULL;
    int rc = 0;
    buf_init(&path, 4096);
    if (!version) {
        struct client_request q = {.method = "GET",
                                   .path = client_path(&path, "/api/v1/models/", model, NULL)};
        rc = client_json(&r->client, &q, &doc, e);
        version = cli_describe_scalar(yyjson_obj_get(yyjson_doc_get_root(doc), "default"), scratch);
        if (rc == 0 && !*version) {
            rc = err_set(e, ERR_UNKNOWN_VERSION, "%s has no version that answers", model);
            err_hint(e, "Choose one: slipway show %.64s lists them, --version N takes one.", model);
        }
    }
    if (rc == 0) {
        buf_clear(&path);
        struct client_request q = {
            .method = "GET",
            .path = client_path(&path, "/api/v1/models/", model, "/versions/", version, NULL)};
        rc = client_json(&r->client, &q, &r->version_doc, e);
    }
    if (rc == 0) {
        char number[32];
        const char *found =
            cli_describe_scalar(yyjson_obj_get(yyjson_doc_get_root(r->version_doc), "version"), number);
        snprintf(r->version, sizeof r->version, "%s", *found ? found : version);
    }
    yyjson_doc_free(doc);
    buf_done(&path);
    return rc;
}

static int put_head(struct run *r, const char *model, struct err *e)
{
    struct buf path;
    bool v6 = strchr(r->client.host, ':') != NULL;
    buf_init(&path, 4096);
    buf_init(&r->head, 16 << 10);
    buf_printf(&r->head, "POST %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nUser-Agent: slipway-cli\r\n",
               client_path(&path, "/v1/models/", model, "/versions/", r->version, ":predict", NULL),
               v6 ? "[" : "", r->client.host, v6 ? "]" : "", r->client.port);
    buf_puts(&r->head, "Content-Type: application/json\r\nContent-Length: ");
    bool failed = path.failed || r->head.failed;
    buf_done(&path);
    return failed ? err_set(e, ERR_TOO_LARGE, "the model's name is too long") : 0;
}

// ---- errors with their row

// "$.instances[12].age" of a batch becomes the row of the file and ".age".
static int refused(struct run *r, const struct pump_slot *s, struct err *e)
{
    struct reply reply = {.status = s->status, .body = buf_str(&s->answer)};
    uint64_t index;
    int rc = client_refusal(&reply, e);
    struct str path = str_of(e->path), prefix = STR("$.instances[");
    if (str_starts(path, prefix)) {
        path = (struct str){path.p + prefix.n, path.n - prefix.n};
        struct str number = str_split(&path, ']');
        if (str_to_u64(number, UINT32_MAX, &index)) {
            char rest[ERR_PATH_MAX];
            snprintf(rest, sizeof rest, STR_FMT, STR_ARG(path));
            err_at(e, "%s", rest[0] == '.' ? rest + 1 : rest);
            return err_wrap(e, "%s, row %" PRIu64, r->feed.name, s->first_row + index);
        }
    }
    err_wrap(e, "%s, rows %" PRIu64 " to %" PRIu64, r->feed.name, s->first_row, s->first_row + s->n_rows - 1);
    if (s->status == 413 && !e->hint[0])
        err_hint(e, "Send fewer rows at a time: --batch %" PRIu64 ".",
                 r->batch_rows > 10 ? r->batch_rows / 10 : 1);
    return rc;
}

// ---- the run

static int fill(struct run *r, struct err *e)
{
    struct pump_slot *s;
    while (!r->ended && (s = pump_next(&r->pump)) != NULL) {
        // The length of the body stands before it and is known after it: blanks keep its place.
        enum { LENGTH_DIGITS = 10 };
        static const char GAP[] = "          \r\n\r\n";
        buf_put_str(&s->request, buf_str(&r->head));
        size_t at = s->request.n;
        buf_puts(&s->request, GAP);
        size_t body = s->request.n;
        s->first_row = r->feed.n_rows + 1;
        int rc = feed_batch(&r->feed, (uint32_t)r->batch_rows, BODY_BYTES, &s->request, &s->n_rows, e);
        if (rc)
            return rc;
        if (s->n_rows == 0) {
            r->ended = true;
            return 0;
        }
        char digits[LENGTH_DIGITS + 1];
        snprintf(digits, sizeof digits, "%10u", (unsigned)(s->request.n - body));
        memcpy(s->request.p + at, digits, LENGTH_DIGITS);
        pump_submit(&r->pump, s);
    }
    return 0;
}

static int drain(struct run *r, struct err *e)
{
    struct pump_slot *s;
    while ((s = pump_answered(&r->pump)) != NULL) {
        int rc = 0;
        if (s->status != 200)
            return refused(r, s, e);
        if (s->model_version[0] && strcmp(s->model_version, r->version) != 0)
            return err_set(e, ERR_INTERNAL, "the server computed with version %s, asked was %s",
                           s->model_version, r->version);
        if ((rc = predict_out_put(&r->out, buf_str(&s->answer), s->n_rows, e)) != 0)
            return rc;
        progress_at(&r->bar, r->out.n_rows);
        pump_release(&r->pump, s);
    }
    return 0;
}

static int run(struct run *r, struct err *e)
{
    int rc = 0, input = 0;
    struct err later;
    while (rc == 0) {
        // Slots that are answered are freed before new ones are filled: waiting with a free slot could be for
        // ever.
        rc = drain(r, e);
        // A wrong row ends the reading; what came before it is still answered and written.
        if (rc == 0 && input == 0 && (input = fill(r, &later)) != 0)
            r->ended = true;
        if (rc || (r->ended && r->pump.emptied == r->pump.filled))
            break;
        rc = pump_turn(&r->pump, e);
    }
    if (rc == 0 && input != 0) {
        *e = later;
        rc = input;
    }
    return rc;
}

// ---- input, output, summary

static int open_input(const char *path, int *ret_fd, struct err *e)
{
    *ret_fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    return *ret_fd >= 0 ? 0 : err_errno(e, errno, "open '%s'", path);
}

static int summarize(const struct run *r, uint64_t dur_ns, struct err *e)
{
    struct buf b;
    double seconds = (double)dur_ns / 1e9, rate = seconds > 0 ? (double)r->out.n_rows / seconds : 0;
    bool to_file = args_has(r->args, "out"), json = args_has(r->args, "json");
    int rc = 0;
    buf_init(&b, 16 << 10);
    if (json) {
        buf_puts(&b, "{\"model\":");
        buf_put_json_str(&b, str_of(r->args->words[0]));
        buf_puts(&b, ",\"version\":");
        buf_put_json_str(&b, str_of(r->version));
        buf_printf(&b, ",\"rows\":%" PRIu64 ",\"seconds\":%.6f,\"rows_per_second\":%.0f}\n", r->out.n_rows,
                   seconds, rate);
    } else {
        term_put_count(r->out.n_rows, &b);
        buf_puts(&b, " rows by ");
        term_put_safe(str_of(r->args->words[0]), &b);
        buf_printf(&b, " version %s in %.2f s, ", r->version, seconds);
        term_put_count((uint64_t)rate, &b);
        buf_puts(&b, " rows/s\n");
    }
    if (json && to_file)
        rc = term_write(&b, e);
    else
        fwrite(b.p, 1, b.n, stderr);
    buf_done(&b);
    return rc;
}

// Predictions take the form that --format, else the name of the output file, else --json asks for; else they
// come as the rows came.
static bool is_jsonl(const struct run *r)
{
    const char *format = args_value(r->args, "format"), *out = args_value(r->args, "out");
    if (format)
        return strcmp(format, "jsonl") == 0;
    if (out && str_ends(str_of(out), STR(".csv")))
        return false;
    if (out && (str_ends(str_of(out), STR(".jsonl")) || str_ends(str_of(out), STR(".ndjson"))))
        return true;
    return (!out && args_has(r->args, "json")) || r->feed.format == FEED_JSONL;
}

// Rows of a model that may not compute them together, or takes only one, go alone.
static uint64_t batch_of(yyjson_val *signature)
{
    bool alone =
        sample_is_tensors(signature) && yyjson_get_uint(yyjson_obj_get(signature, "max_batch_rows")) == 0;
    return alone ? 1 : BATCH_ROWS;
}

static int start(struct run *r, int *fd, struct err *e)
{
    const char *model = r->args->words[0], *path = r->args->n_words > 1 ? r->args->words[1] : "-";
    const char *ignored[ARGS_FLAGS_MAX];
    uint64_t n_conns;
    int rc = args_number(r->args, "connections", CONNECTIONS, 1, PUMP_CONNECTIONS_MAX, &n_conns, e);
    if (rc == 0)
        rc = open_input(path, fd, e);
    if (rc == 0)
        rc = resolve(r, model, e);
    yyjson_val *signature = yyjson_obj_get(yyjson_doc_get_root(r->version_doc), "signature");
    if (rc == 0)
        rc = args_number(r->args, "batch", batch_of(signature), 1, 1000000, &r->batch_rows, e);
    if (rc == 0)
        rc = feed_init(&r->feed, *fd, strcmp(path, "-") == 0 ? "standard input" : path, signature, e);
    if (rc == 0)
        rc = put_head(r, model, e);
    if (rc)
        return rc;
    r->feed.ignored = ignored;
    for (int i = 0; (ignored[r->feed.n_ignored] = args_next(r->args, "ignore", &i)) != NULL;)
        r->feed.n_ignored++;
    r->feed.by_position = args_has(r->args, "by-position");
    pump_init(&r->pump, &r->client, (int)n_conns);
    uint64_t begin = clock_mono_ns();
    rc = feed_start(&r->feed, e);
    if (rc == 0)
        rc = predict_out_open(&r->out, args_value(r->args, "out"), is_jsonl(r), e);
    r->out.outputs = sample_is_tensors(signature) ? yyjson_obj_get(signature, "outputs") : NULL;
    progress_start(&r->bar, "Predicting", "rows", 0);
    if (rc == 0)
        rc = run(r, e);
    progress_end(&r->bar);
    int closed = predict_out_close(&r->out, rc == 0, rc == 0 ? e : NULL);
    if (rc == 0)
        rc = closed;
    if (rc == 0)
        rc = summarize(r, clock_mono_ns() - begin, e);
    pump_done(&r->pump);
    return rc;
}

static int predict_run(const struct args *a)
{
    struct err e;
    int fd = -1;
    struct run *r = calloc(1, sizeof *r);
    if (!r) {
        err_set(&e, ERR_NOMEM, "out of memory");
        return term_fail(&e, args_has(a, "json"));
    }
    r->args = a;
    int rc = client_init(&r->client, a, &e);
    int usage = rc;
    if (rc == 0)
        rc = start(r, &fd, &e);
    feed_done(&r->feed);
    yyjson_doc_free(r->version_doc);
    buf_done(&r->head);
    client_done(&r->client);
    free(r);
    if (fd >= 0)
        close(fd);
    return usage ? term_usage(&e) : rc ? term_fail(&e, args_has(a, "json")) : CLI_OK;
}

const struct verb verb_predict = {
    .name = "predict",
    .summary = "Sends the rows of a CSV or JSON-lines file to a model and writes its predictions.",
    .usage = "slipway predict MODEL [FILE] [flags]",
    .examples = "slipway predict churn rows.csv\n"
                "slipway predict churn rows.csv -o predictions.csv --ignore id --ignore label\n"
                "slipway predict churn rows.jsonl --version 3\n"
                "echo '{\"age\": 41, \"income\": 52000}' | slipway predict churn -",
    .flags =
        (const struct flag[]){
            {.name = "out",
             .value = "FILE",
             .letter = 'o',
             .help = "Writes there, whole or not at all. Default: standard output."},
            {.name = "version",
             .value = "VERSION",
             .help = "Number or alias. Default: the one that answers clients."},
            {.name = "format",
             .value = "FORMAT",
             .choices = "csv|jsonl",
             .help = "Form of the predictions. Default: that of the rows."},
            {.name = "ignore",
             .value = "COLUMN",
             .repeats = true,
             .help = "Leaves a CSV column out; may be repeated."},
            {.name = "by-position", .help = "Takes CSV columns in order, whatever the header says."},
            {.name = "batch",
             .value = "ROWS",
             .help = "Rows of one request. Default 1000; 1 where rows must not be mixed."},
            {.name = "connections", .value = "N", .help = "Connections used at a time. Default 4."},
            CLI_CLIENT_FLAGS,
            {0}},
    .min_words = 1,
    .max_words = 2,
    .takes_model = true,
    .run = predict_run,
};
