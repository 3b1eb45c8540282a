// SPDX-License-Identifier: Apache-2.0
// `slipway push`: a model file becomes a version. The file is hashed first, so that bytes which the server
// has already are not sent again, and what arrives is what was read.
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/describe.h"
#include "cli/term.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 << 10, ADMISSION_TIMEOUT_MS = 3600 * 1000 };

struct source {
    int fd;
    uint64_t size;
    const char *name; // of the artifact: "model.json"
    char digest[72];  // "sha256:…"
};

// Standard input is kept in a file without a name, because the digest must be known before the first byte
// goes.
static int open_stdin(int *ret_fd, struct err *e)
{
    const char *folder = getenv("TMPDIR");
    *ret_fd = open(folder && *folder ? folder : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char *chunk = malloc(CHUNK_BYTES);
    int rc = *ret_fd < 0 ? err_errno(e, errno, "make a temporary file for standard input")
             : chunk     ? 0
                         : err_set(e, ERR_NOMEM, "out of memory");
    while (rc == 0) {
        ssize_t n = read(STDIN_FILENO, chunk, CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_errno(e, errno, "read standard input");
        if (n <= 0)
            break;
        for (ssize_t at = 0; rc == 0 && at < n;) {
            ssize_t w = write(*ret_fd, chunk + at, (size_t)(n - at));
            if (w < 0 && errno != EINTR)
                rc = err_errno(e, errno, "keep standard input in a temporary file");
            at += w > 0 ? w : 0;
        }
    }
    free(chunk);
    return rc;
}

static int open_source(const char *path, struct source *ret, struct err *e)
{
    struct stat st;
    int rc = 0;
    bool is_stdin = strcmp(path, "-") == 0;
    *ret = (struct source){.fd = -1, .name = "model"};
    if (is_stdin)
        rc = open_stdin(&ret->fd, e);
    else if ((ret->fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        rc = err_errno(e, errno, "open '%s'", path);
    if (rc)
        return rc;
    if (fstat(ret->fd, &st) != 0)
        return err_errno(e, errno, "look at '%s'", path);
    if (!S_ISREG(st.st_mode)) {
        err_set(e, ERR_INVALID, "'%s' is not a file", path);
        err_hint(e, "A stream is pushed through standard input: slipway push NAME - < FILE.");
        return ERR_INVALID;
    }
    if (st.st_size == 0)
        return err_set(e, ERR_INVALID, "%s is empty", is_stdin ? "standard input" : path);
    ret->size = (uint64_t)st.st_size;
    if (!is_stdin)
        ret->name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    return 0;
}

static int hash_source(struct source *s, struct err *e)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n_sum = 0;
    uint64_t done = 0;
    int rc = 0;
    struct progress bar;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    char *chunk = malloc(CHUNK_BYTES);
    progress_start(&bar, "Hashing", NULL, s->size);
    if (!md || !chunk || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
        rc = err_set(e, ERR_NOMEM, "out of memory");
    while (rc == 0 && done < s->size) {
        ssize_t n = pread(s->fd, chunk, CHUNK_BYTES, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            rc = n < 0 ? err_errno(e, errno, "read the file") : err_set(e, ERR_IO, "the file became shorter");
        else if (!EVP_DigestUpdate(md, chunk, (size_t)n))
            rc = err_set(e, ERR_INTERNAL, "SHA-256 failed");
        else
            progress_at(&bar, done += (uint64_t)n);
    }
    if (rc == 0 && !EVP_DigestFinal_ex(md, sum, &n_sum))
        rc = err_set(e, ERR_INTERNAL, "SHA-256 failed");
    int at = snprintf(s->digest, sizeof s->digest, "sha256:");
    for (unsigned i = 0; rc == 0 && i < n_sum; i++)
        at += snprintf(s->digest + at, sizeof s->digest - (size_t)at, "%02x", sum[i]);
    progress_end(&bar);
    EVP_MD_CTX_free(md);
    free(chunk);
    return rc;
}

static void on_sent(void *ctx, uint64_t bytes)
{
    progress_at(ctx, bytes);
}

// Puts the blob unless the server has it. *ret_stored: it was there already.
static int upload(struct client *c, const struct source *s, bool *ret_stored, struct err *e)
{
    char path[128];
    struct reply r;
    struct progress bar;
    snprintf(path, sizeof path, "/api/v1/blobs/%s", s->digest);
    struct client_request head = {.method = "HEAD", .path = path};
    int rc = client_call(c, &head, &r, e);
    if (rc)
        return rc;
    *ret_stored = r.status == 200;
    if (*ret_stored)
        return 0;
    if (r.status != 404)
        return client_refusal(&r, e);
    progress_start(&bar, "Uploading", NULL, s->size);
    struct client_upload u = {.fd = s->fd, .size = s->size, .on_sent = on_sent, .ctx = &bar};
    struct client_request put = {
        .method = "PUT", .path = path, .content_type = "application/octet-stream", .upload = &u};
    rc = client_call(c, &put, &r, e);
    progress_end(&bar);
    if (rc == 0 && r.status >= 300)
        rc = client_refusal(&r, e);
    return rc;
}

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

// Settings of a version that runs in replicas: flags of the same names with dashes. Numbers go as numbers,
// all else as text: the server knows what each may be.
static const struct {
    const char *flag, *field;
} SETTINGS[] = {
    {"replicas", "replicas"}, {"threads", "threads"},         {"optimization", "optimization"},
    {"provider", "provider"}, {"memory-mb", "memory_mb"},     {"batch-budget-ms", "batch_budget_ms"},
    {"hang-ms", "hang_ms"},   {"concurrency", "concurrency"}, {"scale-window-s", "scale_window_s"},
    {"idle-s", "idle_s"},
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

static int put_manifest(const struct args *a, const struct source *s, struct buf *out, struct err *e)
{
    const char *description = args_value(a, "description");
    buf_puts(out, "{\"artifacts\":[{\"name\":");
    buf_put_json_str(out, str_of(s->name));
    buf_printf(out, ",\"digest\":\"%s\",\"size\":%" PRIu64 "}]", s->digest, s->size);
    if (description) {
        buf_puts(out, ",\"description\":");
        buf_put_json_str(out, str_of(description));
    }
    put_settings(a, out);
    int rc = put_tags(a, out, e);
    buf_printf(out, ",\"promote\":%s}", args_has(a, "no-promote") ? "false" : "true");
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

static int push(struct client *c, const struct args *a, const struct source *s, struct buf *out,
                struct err *e)
{
    bool stored = false;
    struct buf path, manifest;
    yyjson_doc *doc = NULL;
    buf_init(&path, 4096);
    buf_init(&manifest, 1 << 20);
    int rc = put_manifest(a, s, &manifest, e);
    if (rc == 0)
        rc = upload(c, s, &stored, e);
    if (rc == 0) {
        struct client_request q = {.method = "POST",
                                   .path =
                                       client_path(&path, "/api/v1/models/", a->words[0], "/versions", NULL),
                                   .content_type = "application/json",
                                   .body = buf_str(&manifest),
                                   .timeout_ms = ADMISSION_TIMEOUT_MS};
        rc = client_json(c, &q, &doc, e);
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (rc == 0 && args_has(a, "json"))
        rc = term_put_json(root, out, e);
    else if (rc == 0)
        put_result(c, a, root, stored, out);
    yyjson_doc_free(doc);
    buf_done(&path);
    buf_done(&manifest);
    return rc;
}

static int push_run(const struct args *a)
{
    struct client c;
    struct err e;
    struct buf out;
    struct source s = {.fd = -1};
    bool json = args_has(a, "json");
    buf_init(&out, 16 << 20);
    if (client_init(&c, a, &e))
        return term_usage(&e);
    int rc = open_source(a->words[1], &s, &e);
    if (rc == 0)
        rc = hash_source(&s, &e);
    if (rc == 0)
        rc = push(&c, a, &s, &out, &e);
    if (rc == 0)
        rc = term_write(&out, &e);
    if (s.fd >= 0)
        close(s.fd);
    buf_done(&out);
    client_done(&c);
    return rc ? term_fail(&e, json) : CLI_OK;
}

const struct verb verb_push = {
    .name = "push",
    .summary = "Sends a model file to the server, which checks it and serves it as a new version.",
    .usage = "slipway push MODEL FILE [flags]",
    .examples = "slipway push churn model.json\n"
                "slipway push churn model.ubj --description 'trained on May' --tag run=4711\n"
                "slipway push churn model.txt --no-promote\n"
                "slipway push churn model.onnx --replicas 2 --threads 1\n"
                "slipway push churn model.onnx --replicas 0:4\n"
                "cat model.json | slipway push churn -",
    .flags =
        (const struct flag[]){
            {.name = "description", .value = "TEXT", .help = "Kept with the version."},
            {.name = "tag",
             .value = "KEY=VALUE",
             .help = "Kept with the version; may be repeated.",
             .repeats = true},
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
            CLI_CLIENT_FLAGS,
            {0}},
    .min_words = 2,
    .max_words = 2,
    .takes_model = true,
    .run = push_run,
};
