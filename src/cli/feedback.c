// SPDX-License-Identifier: Apache-2.0
// `slipway feedback`: labels from a CSV file or JSON lines, a batch at a time. Sending a file again is safe.
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/term.h"
#include "wire/csv.h"

#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH_ROWS = 4000, BATCH_BYTES = 900 << 10, ROW_BYTES = 1 << 20, TOLD_MAX = 10, COUNTS = 5 };
enum { COLUMN_ID, COLUMN_TOKEN, COLUMN_LABEL, COLUMN_ROW, COLUMN_TIME, COLUMNS };

static const char *const COUNT_NAMES[COUNTS] = {"joined", "waiting", "corrected", "unchanged", "refused"};

struct labels_file {
    const char *name;
    int fd;
    struct buf in;
    size_t at; // consumed of `in`
    bool end, is_csv;
    uint64_t line; // of the input, 1 above
    struct csv_row row;
    int columns[COLUMNS]; // -1: not there
    uint64_t unlabelled;  // rows without a label
};

struct upload {
    struct client client;
    struct buf path, body;
    uint64_t counts[COUNTS], lines[BATCH_ROWS];
    uint32_t n;    // of the batch
    uint64_t told; // refusals that were written
};

static int fill(struct labels_file *f, struct err *e)
{
    enum { CHUNK = 256 << 10 };
    buf_consume(&f->in, f->at);
    f->at = 0;
    char *to = buf_reserve(&f->in, CHUNK);
    if (!to)
        return err_set(e, ERR_TOO_LARGE, "%s: line %llu is longer than %d bytes", f->name,
                       (unsigned long long)f->line + 1, ROW_BYTES);
    ssize_t n = read(f->fd, to, CHUNK);
    if (n < 0)
        return err_errno(e, errno, "reading %s", f->name);
    f->end = n == 0;
    buf_advance(&f->in, (size_t)n);
    return 0;
}

// 1: f->row is the next record; 0 at the end.
static int next_record(struct labels_file *f, struct err *e)
{
    size_t used;
    for (;;) {
        size_t left = f->in.n - f->at;
        if (left == 0 && f->end)
            return 0;
        int rc = left ? csv_take(f->in.p + f->at, left, f->end, &f->row, &used, e) : 0;
        if (rc < 0)
            return err_wrap(e, "%s, record %llu", f->name, (unsigned long long)f->line + 1);
        if (rc) {
            f->at += used;
            f->line++;
            return 1;
        }
        rc = fill(f, e);
        if (rc)
            return rc;
    }
}

// 1: *ret is the next line; 0 at the end.
static int next_line(struct labels_file *f, struct str *ret, struct err *e)
{
    for (;;) {
        char *from = f->in.p + f->at, *stop = f->in.n > f->at ? memchr(from, '\n', f->in.n - f->at) : NULL;
        if (stop || (f->end && f->in.n > f->at)) {
            size_t n = stop ? (size_t)(stop - from) : f->in.n - f->at;
            *ret = (struct str){from, n};
            f->at += n + (stop != NULL);
            f->line++;
            return 1;
        }
        if (f->end)
            return 0;
        int rc = fill(f, e);
        if (rc)
            return rc;
    }
}

static int no_column(const struct labels_file *f, const char *name, const char *flag, struct err *e)
{
    err_set(e, ERR_INVALID, "%s has no column '%.80s'", f->name, name);
    err_hint(e, "Name it with --%s.", flag);
    return ERR_INVALID;
}

static int find_columns(struct labels_file *f, const struct args *a, struct err *e)
{
    const char *id = args_value(a, "id-column"), *label = args_value(a, "label-column"),
               *token = args_value(a, "token-column");
    const char *const names[COLUMNS] = {id ? id : "prediction_id", token ? token : "token",
                                        label ? label : "label", "row", "timestamp"};
    for (int i = 0; i < COLUMNS; i++) {
        f->columns[i] = -1;
        for (uint32_t k = 0; k < f->row.n; k++)
            if (str_eq(f->row.fields[k], str_of(names[i])))
                f->columns[i] = (int)k;
    }
    if (f->columns[COLUMN_TOKEN] < 0 && token)
        return no_column(f, token, "token-column", e);
    if (f->columns[COLUMN_ID] < 0 && (id || f->columns[COLUMN_TOKEN] < 0))
        return no_column(f, names[COLUMN_ID], "id-column", e);
    return f->columns[COLUMN_LABEL] < 0 ? no_column(f, names[COLUMN_LABEL], "label-column", e) : 0;
}

static void put_value(struct str text, struct buf *out)
{
    double number;
    size_t used;
    bool is_number = num_parse_double(text.p, text.n, &number, &used) && used == text.n;
    if (is_number || str_eq(text, STR("true")) || str_eq(text, STR("false")))
        buf_put_str(out, text);
    else if (str_eq(text, STR("True")) || str_eq(text, STR("TRUE")))
        buf_puts(out, "true");
    else if (str_eq(text, STR("False")) || str_eq(text, STR("FALSE")))
        buf_puts(out, "false");
    else
        buf_put_json_str(out, text);
}

static struct str field(const struct labels_file *f, int column)
{
    int at = f->columns[column];
    return at >= 0 && (uint32_t)at < f->row.n ? f->row.fields[at] : (struct str){0};
}

static void put_record(const struct labels_file *f, struct buf *out)
{
    static const char *const KEYS[COLUMNS] = {"prediction_id", "token", "label", "row", "timestamp"};
    bool has_token = field(f, COLUMN_TOKEN).n;
    buf_puts(out, "{");
    for (int i = 0; i < COLUMNS; i++) {
        struct str text = field(f, i);
        if (text.n == 0 && i != COLUMN_LABEL && (i != COLUMN_ID || has_token))
            continue;
        buf_printf(out, "%s\"%s\":", out->p[out->n - 1] == '{' ? "" : ",", KEYS[i]);
        if (i <= COLUMN_TOKEN)
            buf_put_json_str(out, text);
        else
            put_value(text, out);
    }
    buf_puts(out, "}\n");
}

// 1: the next item was appended; 0 at the end.
static int next_item(struct labels_file *f, struct buf *out, struct err *e)
{
    int rc;
    struct str line;
    while (!f->is_csv && (rc = next_line(f, &line, e))) {
        if (rc < 0)
            return rc;
        if (line.n <= 1)
            continue;
        buf_put_str(out, line);
        buf_putc(out, '\n');
        return 1;
    }
    while (f->is_csv && (rc = next_record(f, e))) {
        if (rc < 0)
            return rc;
        uint32_t at = (uint32_t)f->columns[COLUMN_LABEL];
        if (f->row.n > at && f->row.fields[at].n) {
            put_record(f, out);
            return 1;
        }
        f->unlabelled++;
    }
    return 0;
}

static void tell_refusals(struct upload *u, const struct labels_file *f, yyjson_val *answer)
{
    size_t i, n;
    yyjson_val *one;
    yyjson_arr_foreach(yyjson_obj_get(answer, "results"), i, n, one)
    {
        const char *status = yyjson_get_str(yyjson_obj_get(one, "status")),
                   *message = yyjson_get_str(yyjson_obj_get(one, "message"));
        if (!status || strcmp(status, "refused") != 0 || u->told++ >= TOLD_MAX)
            continue;
        bool one_each = n == u->n; // no label was an array
        struct buf safe;
        buf_init(&safe, 4096);
        term_put_safe(str_of(message ? message : "refused"), &safe);
        fprintf(stderr, "%s, line %llu: %.*s\n", f->name, (unsigned long long)u->lines[one_each ? i : 0],
                (int)safe.n, safe.p ? safe.p : "");
        buf_done(&safe);
    }
}

static int send(struct upload *u, const struct labels_file *f, struct err *e)
{
    yyjson_doc *doc = NULL;
    struct client_request q = {
        .method = "POST", .path = u->path.p, .content_type = "application/json", .body = buf_str(&u->body)};
    if (u->n == 0)
        return 0;
    if (u->body.failed || u->path.failed)
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc = client_json(&u->client, &q, &doc, e);
    yyjson_val *answer = yyjson_doc_get_root(doc);
    for (int i = 0; !rc && i < COUNTS; i++)
        u->counts[i] += yyjson_get_uint(yyjson_obj_get(answer, COUNT_NAMES[i]));
    if (!rc)
        tell_refusals(u, f, answer);
    yyjson_doc_free(doc);
    buf_clear(&u->body);
    u->n = 0;
    return rc;
}

static int send_all(struct upload *u, struct labels_file *f, const struct args *a, struct err *e)
{
    int rc = fill(f, e), more = 1;
    f->is_csv = !rc && f->in.n && f->in.p[0] != '{';
    if (!rc && f->is_csv) {
        rc = next_record(f, e);
        rc = rc < 0 ? rc : find_columns(f, a, e);
    }
    while (!rc && more) {
        more = next_item(f, &u->body, e);
        if (more < 0)
            return more;
        if (more)
            u->lines[u->n++] = f->line;
        if (!more || u->n == BATCH_ROWS || u->body.n >= BATCH_BYTES)
            rc = send(u, f, e);
    }
    return rc;
}

static int print(const struct upload *u, const struct labels_file *f, bool json, struct err *e)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    if (json)
        buf_printf(&out, "{\"unlabelled\":%llu", (unsigned long long)f->unlabelled);
    for (int i = 0; i < COUNTS; i++) {
        if (json) {
            buf_printf(&out, ",\"%s\":%llu", COUNT_NAMES[i], (unsigned long long)u->counts[i]);
            continue;
        }
        buf_puts(&out, i ? ", " : "");
        term_put_count(u->counts[i], &out);
        buf_printf(&out, " %s", COUNT_NAMES[i]);
    }
    if (!json && f->unlabelled) {
        buf_puts(&out, "; ");
        term_put_count(f->unlabelled, &out);
        buf_puts(&out, " rows without a label were passed over");
    }
    buf_puts(&out, json ? "}\n" : "\n");
    int rc = term_write(&out, e);
    buf_done(&out);
    return rc;
}

static int feedback_run(const struct args *a)
{
    struct err e;
    struct labels_file f = {.name = a->words[1]};
    struct upload *u = calloc(1, sizeof *u);
    if (!u)
        return CLI_FAILED;
    bool is_stdin = strcmp(f.name, "-") == 0, json = args_has(a, "json");
    f.fd = is_stdin ? STDIN_FILENO : open(f.name, O_RDONLY | O_CLOEXEC);
    int rc = f.fd < 0 ? err_errno(&e, errno, "opening %s", f.name) : client_init(&u->client, a, &e);
    buf_init(&f.in, ROW_BYTES);
    buf_init(&u->path, 4096);
    buf_init(&u->body, BATCH_BYTES + 2 * ROW_BYTES);
    buf_puts(&u->path, "/api/v1/feedback?model=");
    client_put_segment(str_of(a->words[0]), &u->path);
    buf_putc(&u->path, '\0');
    if (!rc) {
        rc = send_all(u, &f, a, &e);
        client_done(&u->client);
    }
    if (!rc)
        rc = print(u, &f, json, &e);
    if (!rc && u->counts[COUNTS - 1])
        rc = err_set(&e, ERR_INVALID, "%llu labels were refused", (unsigned long long)u->counts[COUNTS - 1]);
    if (f.fd >= 0 && !is_stdin)
        close(f.fd);
    csv_row_done(&f.row);
    buf_done(&f.in);
    buf_done(&u->path);
    buf_done(&u->body);
    free(u);
    return rc ? term_fail(&e, json) : CLI_OK;
}

const struct verb verb_feedback = {
    .name = "feedback",
    .summary = "Sends what turned out to be true, by prediction id or token.",
    .usage = "slipway feedback MODEL FILE [flags]",
    .examples = "slipway feedback churn labels.csv         # columns prediction_id and label\n"
                "slipway feedback churn labels.csv --id-column id --label-column churned\n"
                "slipway feedback churn old.csv            # columns token and label\n"
                "slipway feedback churn labels.jsonl       # {\"prediction_id\":\"0190…\",\"label\":1}\n"
                "slipway feedback churn - < labels.csv",
    .flags =
        (const struct flag[]){
            {.name = "id-column", .value = "NAME", .help = "Column of the prediction ids (prediction_id)."},
            {.name = "token-column",
             .value = "NAME",
             .help = "Column of feedback tokens, if there is one (token)."},
            {.name = "label-column", .value = "NAME", .help = "Column of the labels (label)."},
            CLI_CLIENT_FLAGS,
            {0}},
    .min_words = 2,
    .max_words = 2,
    .takes_model = true,
    .run = feedback_run,
};
