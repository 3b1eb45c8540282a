// SPDX-License-Identifier: Apache-2.0
// `slipway bench`: the latency of a deployed model at several batch sizes and numbers of connections. First
// as many requests as the server answers (closed loop), then at 10, 50 and 80 % of that rate (open loop). The
// engine is load.c, the rows are bench_rows.c.
#include "cli/bench_rows.h"
#include "cli/cli.h"
#include "cli/load_report.h"
#include "cli/term.h"

#include "base/limits.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 8, ROWS_MAX = 100000, POOL_ROWS = 256, FILE_ROWS = 4096, WARMUP_SHARE = 5, COLUMNS = 9 };

static const unsigned LOADS_PERCENT[] = {10, 50, 80};

struct bench {
    const struct args *args;
    struct client client;
    struct bench_rows rows;
    struct load_target target;
    char host[300];
    struct buf path, out; // out: the results, as lines of cells or as JSON
    uint64_t n_rows[LIST_MAX], n_connections[LIST_MAX];
    int n_n_rows, n_n_connections;
    uint64_t rate, duration_ns;
    bool json, spin;
    struct progress bar;
    uint64_t n_runs, n_done;
    // The table: cells of each run, NULL-free strings in `out`, made into pointers at the end.
    size_t n_lines;
    bool clean, wrong; // no answer missing or wrong; a wrong one
    char problem[ERR_MSG_MAX];
};

// ---- arguments

// "1,32,1000"
static int list_read(const struct args *a, const char *name, const char *def, uint64_t max, uint64_t *ret,
                     int *ret_n, struct err *e)
{
    const char *given = args_value(a, name);
    struct str rest = str_of(given ? given : def);
    *ret_n = 0;
    while (rest.n) {
        struct str item = str_split(&rest, ',');
        uint64_t v;
        if (*ret_n == LIST_MAX)
            return err_set(e, ERR_TOO_LARGE, "--%s takes at most %d numbers", name, LIST_MAX);
        if (!str_to_u64(item, max, &v) || v == 0)
            return err_set(e, ERR_OUT_OF_RANGE, "--%s: '" STR_FMT "' is not a number from 1 to %llu", name,
                           STR_ARG(item), (unsigned long long)max);
        ret[(*ret_n)++] = v;
    }
    return *ret_n ? 0 : err_set(e, ERR_INVALID, "--%s is empty", name);
}

static int duration_read(const struct args *a, uint64_t *ret_ns, struct err *e)
{
    const char *given = args_value(a, "duration");
    char *end = NULL;
    double seconds = given ? strtod(given, &end) : 1;
    if (given && (end == given || *end || !(seconds >= 0.01 && seconds <= 3600)))
        return err_set(e, ERR_OUT_OF_RANGE, "--duration: '%s' is not a number from 0.01 to 3600", given);
    *ret_ns = (uint64_t)(seconds * 1e9);
    return 0;
}

static int cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static int arguments_read(struct bench *b, const struct args *a, struct err *e)
{
    int rc = list_read(a, "rows", "1,32,1000", ROWS_MAX, b->n_rows, &b->n_n_rows, e);
    if (!rc)
        rc = list_read(a, "connections", "1,8,32", LIMIT_LOAD_CONNECTIONS, b->n_connections,
                       &b->n_n_connections, e);
    if (!rc)
        rc = args_number(a, "rate", 0, 1, 100000000, &b->rate, e);
    if (!rc)
        rc = duration_read(a, &b->duration_ns, e);
    b->args = a;
    b->json = args_has(a, "json");
    // A spinning client on a machine with one core would take the server's.
    b->spin = !args_has(a, "sleep") && cores() > 1;
    b->clean = true;
    return rc;
}

// ---- what to send

static int path_make(struct bench *b, const char *model, struct err *e)
{
    const char *version = args_value(b->args, "version");
    const char *path = version ? client_path(&b->path, "/v1/models/", model, "/versions/", version, NULL)
                               : client_path(&b->path, "/v1/models/", model, NULL);
    b->path.n = strlen(path);
    buf_puts(&b->path, ":predict");
    buf_putc(&b->path, '\0');
    if (b->path.failed)
        return err_set(e, ERR_NOMEM, "no memory");
    bool v6 = strchr(b->client.host, ':') != NULL;
    snprintf(b->host, sizeof b->host, "%s%s%s:%s", v6 ? "[" : "", b->client.host, v6 ? "]" : "",
             b->client.port);
    b->target = (struct load_target){
        .method = "POST", .path = b->path.p, .host = b->host, .content_type = "application/json"};
    return 0;
}

static int rows_make(struct bench *b, const char *model, struct err *e)
{
    const char *file = args_value(b->args, "data"), *version = args_value(b->args, "version");
    if (file)
        return bench_rows_read(&b->rows, file, FILE_ROWS, e);
    struct buf path;
    yyjson_doc *doc = NULL;
    buf_init(&path, 4096);
    struct client_request q = {
        .method = "GET",
        .path = version ? client_path(&path, "/v2/models/", model, "/versions/", version, NULL)
                        : client_path(&path, "/v2/models/", model, NULL)};
    int rc = client_json(&b->client, &q, &doc, e);
    if (!rc)
        rc = bench_rows_make(&b->rows, yyjson_doc_get_root(doc), POOL_ROWS, e);
    yyjson_doc_free(doc);
    buf_done(&path);
    return rc;
}

// ---- results

static const char *const HEADS[COLUMNS] = {"ROWS", "CONNECTIONS", "LOAD",  "REQUESTS/S", "ROWS/S",
                                           "P50",  "P99",         "P99.9", "MAX"};

struct run {
    uint64_t n_rows, n_connections;
    unsigned percent; // of the capacity; 0: closed loop; 100: the rate was given
    double rate;      // 0: closed loop
};

// Cells end with NUL, so that the table can point at them.
static void put_cells(struct bench *b, const struct run *u, const struct load_result *r)
{
    const double quantiles[] = {0.5, 0.99, 0.999};
    double rate = load_result_rate(r);
    buf_printf(&b->out, "%llu%c%llu%c", (unsigned long long)u->n_rows, 0,
               (unsigned long long)u->n_connections, 0);
    if (u->percent == 0)
        buf_printf(&b->out, "full%c", 0);
    else if (u->percent == 100)
        buf_printf(&b->out, "%.0f/s%c", u->rate, 0);
    else
        buf_printf(&b->out, "%u %%%c", u->percent, 0);
    term_put_count((uint64_t)rate, &b->out);
    buf_putc(&b->out, '\0');
    term_put_count((uint64_t)(rate * (double)u->n_rows), &b->out);
    buf_putc(&b->out, '\0');
    for (size_t i = 0; i < 3; i++) {
        load_report_duration(hist_quantile(&r->latency, quantiles[i]), &b->out);
        buf_putc(&b->out, '\0');
    }
    load_report_duration(r->latency.max_ns, &b->out);
    buf_putc(&b->out, '\0');
    b->n_lines++;
}

static void put_json(struct bench *b, const struct run *u, const struct load_result *r)
{
    buf_printf(&b->out,
               "%s{\"rows\":%llu,\"connections\":%llu,\"loop\":\"%s\",\"target_rate\":%.1f,\"result\":",
               b->n_lines ? "," : "", (unsigned long long)u->n_rows, (unsigned long long)u->n_connections,
               u->rate > 0 ? "open" : "closed", u->rate);
    load_report_json(r, &b->out);
    buf_putc(&b->out, '}');
    b->n_lines++;
}

static int table_write(struct bench *b, const char *model, struct buf *text, struct err *e)
{
    const char **cells = calloc((b->n_lines + 1) * COLUMNS, sizeof *cells);
    if (!cells || b->out.failed) {
        free(cells);
        return err_set(e, ERR_NOMEM, "no memory for the table");
    }
    memcpy(cells, HEADS, sizeof HEADS);
    const char *at = b->out.p;
    for (size_t i = COLUMNS; i < (b->n_lines + 1) * COLUMNS; i++) {
        cells[i] = at;
        at += strlen(at) + 1;
    }
    term_put_safe(str_of(model), text);
    buf_printf(text, " at %s", b->client.url);
    if (b->rows.n_features)
        buf_printf(text, ", %u values a row, made up", b->rows.n_features);
    buf_printf(text, "\nLatency counts from when a request was due (random arrivals), or sent at full load;\n"
                     "every answer was compared with that to the same row alone.\n\n");
    term_put_table(cells, b->n_lines + 1, COLUMNS, text);
    if (!b->spin)
        buf_puts(text, "\nThe client slept between requests: times are a few microseconds less exact.\n");
    free(cells);
    return 0;
}

static int results_write(struct bench *b, const char *model, struct err *e)
{
    struct buf text;
    int rc = 0;
    buf_init(&text, 16 << 20);
    if (b->json) {
        buf_puts(&text, "{\"model\":");
        buf_put_json_str(&text, str_of(model));
        buf_puts(&text, ",\"url\":");
        buf_put_json_str(&text, str_of(b->client.url));
        buf_printf(&text, ",\"features\":%u,\"runs\":[", b->rows.n_features);
        buf_put_str(&text, buf_str(&b->out));
        buf_printf(&text, "],\"clean\":%s}\n", b->clean ? "true" : "false");
    } else {
        rc = table_write(b, model, &text, e);
    }
    if (!rc)
        rc = text.failed ? err_set(e, ERR_NOMEM, "no memory for the results") : term_write(&text, e);
    buf_done(&text);
    return rc;
}

// ---- runs

static int run_once(struct bench *b, struct load_set *s, const struct run *u, double *ret_rate, struct err *e)
{
    struct load_options o = {
        .host = b->client.host,
        .port = b->client.port,
        .set = s,
        .n_connections = (int)u->n_connections,
        .depth = 1,
        .rate = u->rate,
        .spin = b->spin,
        .warmup_ns = b->duration_ns / WARMUP_SHARE,
        .duration_ns = b->duration_ns,
        .timeout_ns = b->client.timeout_ms * 1000000U,
        .seed = 1,
    };
    struct load_result *r = malloc(sizeof *r);
    int rc = r ? load_run(&o, r, e) : err_set(e, ERR_NOMEM, "no memory for results");
    if (!rc) {
        (b->json ? put_json : put_cells)(b, u, r);
        *ret_rate = load_result_rate(r);
        b->wrong |= r->n_wrong > 0;
        if (!load_result_clean(r) && b->clean) {
            b->clean = false;
            snprintf(b->problem, sizeof b->problem, "%s",
                     r->problem[0] ? r->problem : "requests without an answer");
        }
        progress_at(&b->bar, ++b->n_done);
    }
    free(r);
    return rc;
}

static int run_loads(struct bench *b, struct load_set *s, struct run u, struct err *e)
{
    double capacity = 0, rate;
    if (b->rate) {
        u.rate = (double)b->rate;
        u.percent = 100;
        return run_once(b, s, &u, &rate, e);
    }
    int rc = run_once(b, s, &u, &capacity, e);
    for (size_t i = 0; !rc && capacity > 0 && i < sizeof LOADS_PERCENT / sizeof LOADS_PERCENT[0]; i++) {
        u.percent = LOADS_PERCENT[i];
        u.rate = capacity * u.percent / 100;
        rc = run_once(b, s, &u, &rate, e);
    }
    return rc;
}

static int run_all(struct bench *b, struct err *e)
{
    int rc = 0;
    b->n_runs = (uint64_t)(b->n_n_rows * b->n_n_connections) *
                (b->rate ? 1 : 1 + sizeof LOADS_PERCENT / sizeof LOADS_PERCENT[0]);
    progress_start(&b->bar, "Measuring", "runs", b->n_runs);
    for (int i = 0; !rc && i < b->n_n_rows; i++) {
        struct load_set set = {.tolerance = b->rows.tolerance > 0 ? b->rows.tolerance : BENCH_TOLERANCE};
        rc = bench_rows_cut(&b->rows, (uint32_t)b->n_rows[i], &b->target, &set, e);
        for (int k = 0; !rc && k < b->n_n_connections; k++)
            rc = run_loads(b, &set,
                           (struct run){.n_rows = b->n_rows[i], .n_connections = b->n_connections[k]}, e);
        load_set_done(&set);
    }
    progress_end(&b->bar);
    return rc;
}

static int bench(struct bench *b, const char *model, struct err *e)
{
    int rc = path_make(b, model, e);
    if (!rc)
        rc = rows_make(b, model, e);
    if (!rc)
        rc = bench_rows_learn(&b->rows, &b->client, b->target.path, e);
    if (!rc)
        rc = run_all(b, e);
    if (!rc)
        rc = results_write(b, model, e);
    if (!rc && !b->clean)
        rc = err_set(e, b->wrong ? ERR_INTERNAL : ERR_UNAVAILABLE,
                     "not every request was answered rightly: %s", b->problem);
    return rc;
}

static int bench_run(const struct args *a)
{
    struct bench b = {0};
    struct err e;
    if (arguments_read(&b, a, &e) || client_init(&b.client, a, &e))
        return term_usage(&e);
    buf_init(&b.path, 4096);
    buf_init(&b.out, 16 << 20);
    int rc = bench(&b, a->words[0], &e);
    bench_rows_done(&b.rows);
    buf_done(&b.path);
    buf_done(&b.out);
    client_done(&b.client);
    return rc ? term_fail(&e, b.json) : CLI_OK;
}

const struct verb verb_bench = {
    .name = "bench",
    .summary = "Measures the latency of a deployed model: batch sizes, connections, rates; percentiles.",
    .usage = "slipway bench MODEL [flags]",
    .examples = "slipway bench churn\n"
                "slipway bench churn --rows 1 --connections 32 --rate 5000 --duration 10\n"
                "slipway bench churn --data rows.jsonl --json",
    .flags =
        (const struct flag[]){
            {.name = "rows", .value = "N,N…", .help = "Rows in a request. Default 1,32,1000."},
            {.name = "connections", .value = "N,N…", .help = "Connections at once. Default 1,8,32."},
            {.name = "rate",
             .value = "R",
             .help = "Requests a second. Default: first as many as it takes, then 10, 50 and 80 % of that."},
            {.name = "duration", .value = "SECONDS", .help = "Length of each run. Default 1."},
            {.name = "data",
             .value = "FILE",
             .help = "Rows to send, a JSON array or object a line. Default: made up."},
            {.name = "version",
             .value = "V",
             .help = "A version's number or alias. Default: what the model serves."},
            {.name = "sleep", .help = "Does not spin: leaves the core to others, times are less exact."},
            CLI_CLIENT_FLAGS,
            {0}},
    .min_words = 1,
    .max_words = 1,
    .takes_model = true,
    .run = bench_run,
};
