// SPDX-License-Identifier: Apache-2.0
// `slipway status`: what the server runs and how it is, once or as a view that renews itself.
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/describe.h"
#include "cli/term.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { CELLS_MAX = 16384, WATCH_MS = 1000, CELL_BYTES = 320 };

// Cells of a table, each a text of its own.
struct sheet {
    char **cells; // (CELLS_MAX)
    size_t n;
    bool failed;
};

static void sheet_init(struct sheet *s)
{
    *s = (struct sheet){.cells = calloc(CELLS_MAX, sizeof(char *))};
    s->failed = s->cells == NULL;
}

static void sheet_done(struct sheet *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->cells[i]);
    free(s->cells);
}

static void cell(struct sheet *s, struct str text)
{
    if (s->failed || s->n == CELLS_MAX || !(s->cells[s->n] = str_dup(text)))
        s->failed = true;
    else
        s->n++;
}

static void cell_of(struct sheet *s, yyjson_val *value)
{
    char scratch[32];
    cell(s, str_of(cli_describe_scalar(value, scratch)));
}

static void cell_buf(struct sheet *s, struct buf *b)
{
    cell(s, buf_str(b));
    buf_clear(b);
}

static int sheet_put(struct sheet *s, size_t n_columns, struct buf *out, struct err *e)
{
    if (s->failed)
        return err_set(e, ERR_NOMEM, "out of memory");
    term_put_table((const char *const *)s->cells, s->n / n_columns, n_columns, out);
    return 0;
}

// "churn/3" of a loader or replica, "0" of a gateway.
static void put_what(yyjson_val *p, struct buf *b)
{
    const char *model = yyjson_get_str(yyjson_obj_get(p, "model"));
    if (model)
        buf_printf(b, "%s/%" PRIu64 " ", model, yyjson_get_uint(yyjson_obj_get(p, "version")));
    if (!model || yyjson_obj_get(p, "replica"))
        buf_printf(b, "%" PRIu64, yyjson_get_uint(yyjson_obj_get(p, "index")));
}

static void put_age(uint64_t ms, struct buf *b)
{
    uint64_t s = ms / 1000;
    if (s < 120)
        buf_printf(b, "%" PRIu64 " s", s);
    else if (s < 7200)
        buf_printf(b, "%" PRIu64 " min", s / 60);
    else if (s < 172800)
        buf_printf(b, "%" PRIu64 " h", s / 3600);
    else
        buf_printf(b, "%" PRIu64 " d", s / 86400);
}

// Its fair share of memory where that is known, else what it holds of its own.
static void put_memory(yyjson_val *memory, struct buf *b)
{
    yyjson_val *bytes = yyjson_obj_get(memory, "proportional");
    if (!bytes)
        bytes = yyjson_obj_get(memory, "own");
    if (bytes)
        term_put_bytes(yyjson_get_uint(bytes), b);
}

static int put_processes(yyjson_val *list, struct buf *out, struct err *e)
{
    enum { COLUMNS = 8 };
    static const char *const HEADS[COLUMNS] = {"PROCESS", "",         "STATE",  "PID",
                                               "UP",      "RESTARTS", "MEMORY", "LAST END"};
    struct sheet s;
    struct buf b;
    size_t i, n;
    yyjson_val *p;
    sheet_init(&s);
    buf_init(&b, CELL_BYTES);
    for (int k = 0; k < COLUMNS; k++)
        cell(&s, str_of(HEADS[k]));
    yyjson_arr_foreach(list, i, n, p)
    {
        cell_of(&s, yyjson_obj_get(p, "kind"));
        put_what(p, &b);
        cell_buf(&s, &b);
        cell_of(&s, yyjson_obj_get(p, "state"));
        cell_of(&s, yyjson_get_uint(yyjson_obj_get(p, "pid")) ? yyjson_obj_get(p, "pid") : NULL);
        if (yyjson_obj_get(p, "running_ms"))
            put_age(yyjson_get_uint(yyjson_obj_get(p, "running_ms")), &b);
        cell_buf(&s, &b);
        cell_of(&s, yyjson_obj_get(p, "restarts"));
        put_memory(yyjson_obj_get(p, "memory"), &b);
        cell_buf(&s, &b);
        cell_of(&s, yyjson_obj_get(p, "reason"));
    }
    int rc = sheet_put(&s, COLUMNS, out, e);
    buf_done(&b);
    sheet_done(&s);
    return rc;
}

static int put_deployments(yyjson_val *list, struct buf *out, struct err *e)
{
    enum { COLUMNS = 5 };
    static const char *const HEADS[COLUMNS] = {"MODEL", "VERSION", "STATE", "REPLICAS", "ERROR"};
    struct sheet s;
    struct buf b;
    size_t i, n;
    yyjson_val *d;
    if (yyjson_arr_size(list) == 0)
        return 0;
    sheet_init(&s);
    buf_init(&b, CELL_BYTES);
    for (int k = 0; k < COLUMNS; k++)
        cell(&s, str_of(HEADS[k]));
    yyjson_arr_foreach(list, i, n, d)
    {
        yyjson_val *replicas = yyjson_obj_get(d, "replicas");
        cell_of(&s, yyjson_obj_get(d, "model"));
        cell_of(&s, yyjson_obj_get(d, "version"));
        cell_of(&s, yyjson_obj_get(d, "state"));
        if (replicas)
            buf_printf(&b, "%" PRIu64 "/%" PRIu64, yyjson_get_uint(yyjson_obj_get(replicas, "ready")),
                       yyjson_get_uint(yyjson_obj_get(replicas, "wanted")));
        cell_buf(&s, &b);
        cell_of(&s, yyjson_obj_get(d, "error"));
    }
    buf_putc(out, '\n');
    int rc = sheet_put(&s, COLUMNS, out, e);
    buf_done(&b);
    sheet_done(&s);
    return rc;
}

static int put(const struct client *c, yyjson_val *root, struct buf *out, struct err *e)
{
    bool ready = yyjson_is_true(yyjson_obj_get(root, "ready"));
    buf_printf(out, "%s%s%s %s\n\n", term_on(stdout, ready ? TERM_GREEN : TERM_RED), c->url, term_off(stdout),
               ready ? "is ready: every model that is served can answer" : "is not ready");
    int rc = put_processes(yyjson_obj_get(root, "processes"), out, e);
    return rc ? rc : put_deployments(yyjson_obj_get(root, "deployments"), out, e);
}

static int once(struct client *c, const struct args *a, struct buf *out, struct err *e)
{
    yyjson_doc *doc = NULL;
    struct client_request q = {.method = "GET", .path = "/api/v1/status"};
    int rc = client_json(c, &q, &doc, e);
    if (rc == 0 && args_has(a, "json"))
        rc = term_put_json(yyjson_doc_get_root(doc), out, e);
    else if (rc == 0)
        rc = put(c, yyjson_doc_get_root(doc), out, e);
    yyjson_doc_free(doc);
    return rc ? rc : term_write(out, e);
}

// Draws over what was drawn, until it is interrupted or the server cannot be asked any more.
static int watch(struct client *c, const struct args *a, struct buf *out, struct err *e)
{
    for (;;) {
        buf_clear(out);
        buf_puts(out, "\033[H\033[J");
        int rc = once(c, a, out, e);
        if (rc)
            return rc;
        (void)poll(NULL, 0, WATCH_MS);
    }
}

static int status_run(const struct args *a)
{
    struct client c;
    struct err e;
    struct buf out;
    bool watches = args_has(a, "watch");
    if (watches && (args_has(a, "json") || !isatty(STDOUT_FILENO))) {
        err_set(&e, ERR_INVALID, "--watch draws on a terminal");
        err_hint(&e, "Without it the state is written once; with --json as JSON.");
        return term_usage(&e);
    }
    if (client_init(&c, a, &e))
        return term_usage(&e);
    buf_init(&out, 64 << 20);
    int rc = watches ? watch(&c, a, &out, &e) : once(&c, a, &out, &e);
    buf_done(&out);
    client_done(&c);
    return rc ? term_fail(&e, args_has(a, "json")) : CLI_OK;
}

const struct verb verb_status = {
    .name = "status",
    .summary = "Shows the server's processes, replicas and what is served.",
    .usage = "slipway status [flags]",
    .examples = "slipway status\nslipway status --watch\nslipway status --json",
    .flags = (const struct flag[]){{.name = "watch", .help = "Renews the view every second, on a terminal."},
                                   CLI_CLIENT_FLAGS,
                                   {0}},
    .run = status_run,
};
