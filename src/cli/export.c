// SPDX-License-Identifier: Apache-2.0
// `slipway export`: a version becomes a directory, or an OCI image layout, that `slipway push` takes back.
#include "cli/bundle.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/digest.h"
#include "cli/oci.h"
#include "cli/outdir.h"
#include "cli/term.h"
#include "os/file.h"

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct export
{
    struct client c;
    struct outdir out;
    struct buf config; // slipway.json
    struct bundle bundle;
    yyjson_doc *version;
    char model[LIMIT_MODEL_NAME_BYTES + 1];
    const char *selector; // "3", "champion"
    char manifest_digest[DIGEST_SIZE];
};

// ---- what

// "churn", "churn/3", "churn@champion", as the word says.
static int split_word(struct export *x, const char *word, struct err *e)
{
    size_t n = strcspn(word, "/@");
    x->selector = word[n] ? word + n + 1 : "champion";
    if (n && n < sizeof x->model && *x->selector) {
        snprintf(x->model, sizeof x->model, "%.*s", (int)n, word);
        return 0;
    }
    err_set(e, ERR_INVALID, "'%.80s' names no version", word);
    err_hint(e, "Write it as MODEL, MODEL/VERSION or MODEL@ALIAS.");
    return ERR_INVALID;
}

static int describe(struct export *x, struct err *e)
{
    struct buf path;
    buf_init(&path, 4096);
    struct client_request q = {
        .method = "GET",
        .path = client_path(&path, "/api/v1/models/", x->model, "/versions/", x->selector, NULL)};
    int rc = client_json(&x->c, &q, &x->version, e);
    if (rc == 0)
        rc = bundle_write(yyjson_doc_get_root(x->version), &x->config, e);
    if (rc == 0)
        rc = bundle_parse(buf_str(&x->config), &x->bundle, e);
    buf_done(&path);
    return rc;
}

// ---- the files

struct download {
    int fd;
    uint64_t done;
    struct digest digest;
    struct progress bar;
};

static int take(void *ctx, const char *p, size_t n, struct err *e)
{
    struct download *d = ctx;
    int rc = file_write_all(d->fd, p, n, e);
    if (rc == 0)
        rc = digest_add(&d->digest, p, n, e);
    progress_at(&d->bar, d->done += n);
    return rc;
}

static int receive(struct export *x, const struct bundle_file *f, int fd, struct err *e)
{
    char path[128], got[DIGEST_SIZE];
    struct download d = {.fd = fd};
    snprintf(path, sizeof path, "/api/v1/blobs/" STR_FMT, STR_ARG(f->digest));
    int rc = digest_start(&d.digest, e);
    if (rc)
        return rc;
    progress_start(&d.bar, "Downloading", NULL, f->size);
    rc = client_download(&x->c, path, take, &d, e);
    progress_end(&d.bar);
    if (rc == 0)
        rc = digest_end(&d.digest, got, e);
    if (rc == 0 && !str_eq(str_of(got), f->digest))
        rc = err_set(e, ERR_DIGEST, "'%.80s' arrived damaged: it has the digest %s", f->name.p, got);
    digest_done(&d.digest);
    return rc;
}

static int export_file(struct export *x, const struct bundle_file *f, const char *path, struct err *e)
{
    int fd;
    int rc = outdir_create(&x->out, path, &fd, e);
    if (rc)
        return rc;
    rc = receive(x, f, fd, e);
    if (rc == 0)
        return outdir_keep(&x->out, path, fd, e);
    close(fd);
    return rc;
}

// ---- the two forms. What makes a directory one of ours comes last.

static int export_directory(struct export *x, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < x->bundle.n_files; i++) {
        if (str_eq(x->bundle.files[i].name, STR(BUNDLE_NAME))) {
            rc = err_set(e, ERR_CONFLICT, "a file of the version is called " BUNDLE_NAME " itself");
            err_hint(e, "Export it as an OCI image layout: --oci DIR.");
            break;
        }
        rc = export_file(x, &x->bundle.files[i], x->bundle.files[i].name.p, e);
    }
    return rc ? rc : outdir_write(&x->out, BUNDLE_NAME, buf_str(&x->config), e);
}

static int write_blob(struct export *x, struct str bytes, char ret_digest[DIGEST_SIZE], struct err *e)
{
    char path[OCI_PATH_SIZE];
    int rc = digest_of(bytes.p, bytes.n, ret_digest, e);
    if (rc)
        return rc;
    oci_blob_path(str_of(ret_digest), path);
    return outdir_write(&x->out, path, bytes, e);
}

static bool is_repeated(const struct bundle *b, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(b->files[k].digest, b->files[i].digest))
            return true;
    return false;
}

static int export_oci(struct export *x, struct err *e)
{
    char config_digest[DIGEST_SIZE], number[32];
    struct buf manifest, index;
    int rc = 0;
    buf_init(&manifest, LIMIT_MANIFEST_BYTES);
    buf_init(&index, LIMIT_MANIFEST_BYTES);
    for (size_t i = 0; rc == 0 && i < x->bundle.n_files; i++) {
        char path[OCI_PATH_SIZE];
        oci_blob_path(x->bundle.files[i].digest, path);
        if (!is_repeated(&x->bundle, i)) // two files of the same bytes are one blob
            rc = export_file(x, &x->bundle.files[i], path, e);
    }
    if (rc == 0)
        rc = write_blob(x, buf_str(&x->config), config_digest, e);
    if (rc == 0) {
        oci_manifest_write(&x->bundle, buf_str(&x->config), config_digest, &manifest);
        rc = manifest.failed ? err_set(e, ERR_NOMEM, "out of memory")
                             : write_blob(x, buf_str(&manifest), x->manifest_digest, e);
    }
    if (rc == 0)
        rc = outdir_write(&x->out, "oci-layout", STR(OCI_LAYOUT), e);
    if (rc == 0) {
        snprintf(number, sizeof number, "%u",
                 (unsigned)yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(x->version), "version")));
        oci_index_write(buf_str(&manifest), x->manifest_digest, number, x->model, &index);
        rc = outdir_write(&x->out, "index.json", buf_str(&index), e);
    }
    buf_done(&manifest);
    buf_done(&index);
    return rc;
}

// ----

static void put_result(const struct export *x, bool oci, bool json, struct buf *out)
{
    unsigned version = (unsigned)yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(x->version), "version"));
    uint64_t bytes = 0;
    for (size_t i = 0; i < x->bundle.n_files; i++)
        bytes += x->bundle.files[i].size;
    if (json) {
        buf_printf(out,
                   "{\"model\":\"%s\",\"version\":%u,\"files\":%zu,\"size\":%llu,\"directory\":", x->model,
                   version, x->bundle.n_files, (unsigned long long)bytes);
        buf_put_json_str(out, str_of(x->out.path));
        if (oci)
            buf_printf(out, ",\"digest\":\"%s\"", x->manifest_digest);
        buf_puts(out, "}\n");
        return;
    }
    buf_printf(out, "%s version %u is in ", x->model, version);
    term_put_safe(str_of(x->out.path), out);
    buf_printf(out, ": %zu file%s, ", x->bundle.n_files, x->bundle.n_files == 1 ? "" : "s");
    term_put_bytes(bytes, out);
    buf_putc(out, '\n');
    if (oci)
        buf_printf(out, "  manifest      %s\n", x->manifest_digest);
    buf_puts(out, "\nTake it back with:\n  slipway push NAME ");
    term_put_safe(str_of(x->out.path), out);
    buf_putc(out, '\n');
}

static int export(struct export *x, const struct args *a, struct buf *text, struct err *e)
{
    const char *oci = args_value(a, "oci"), *folder = args_value(a, "output");
    int rc = describe(x, e);
    if (rc)
        return rc;
    rc = outdir_open(&x->out, oci ? oci : folder, args_has(a, "force"), e);
    if (rc == 0)
        rc = oci ? export_oci(x, e) : export_directory(x, e);
    if (rc == 0)
        put_result(x, oci != NULL, args_has(a, "json"), text);
    outdir_close(&x->out, rc == 0);
    return rc;
}

static int export_run(const struct args *a)
{
    struct err e;
    struct buf text;
    struct export x = {.out.fd = -1};
    if (!args_has(a, "oci") == !args_has(a, "output")) {
        err_set(&e, ERR_INVALID, "one of --output DIR and --oci DIR says where the version is written");
        return term_usage(&e);
    }
    if (client_init(&x.c, a, &e) || split_word(&x, a->words[0], &e))
        return term_usage(&e);
    buf_init(&text, 1 << 20);
    buf_init(&x.config, LIMIT_MANIFEST_BYTES * 8);
    int rc = export(&x, a, &text, &e);
    if (rc == 0)
        rc = term_write(&text, &e);
    bundle_done(&x.bundle);
    yyjson_doc_free(x.version);
    buf_done(&x.config);
    buf_done(&text);
    client_done(&x.c);
    return rc ? term_fail(&e, args_has(a, "json")) : CLI_OK;
}

const struct verb verb_export = {
    .name = "export",
    .summary = "Writes a version with all that belongs to it into a directory, or as an OCI artifact.",
    .usage = "slipway export MODEL[/VERSION|@ALIAS] (-o DIR | --oci DIR) [flags]",
    .examples = "slipway export churn/3 -o churn-3\n"
                "slipway export churn@champion --oci churn-oci\n"
                "slipway push churn churn-3              # takes it back, here or on another server\n"
                "oras copy --from-oci-layout churn-oci:3 registry.example.org/churn:3",
    .flags =
        (const struct flag[]){
            {.name = "output",
             .value = "DIR",
             .letter = 'o',
             .help = "Writes slipway.json and the files into this directory."},
            {.name = "oci", .value = "DIR", .help = "Writes an OCI image layout into this directory."},
            {.name = "force", .help = "Replaces files in a directory that is not empty."},
            CLI_CLIENT_FLAGS,
            {0}},
    .min_words = 1,
    .max_words = 1,
    .takes_model = true,
    .run = export_run,
};
