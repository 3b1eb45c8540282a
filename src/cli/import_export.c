// SPDX-License-Identifier: Apache-2.0
// Versions that were exported, as a directory or as an OCI image layout, become packages.
#include "cli/import_export.h"

#include "base/limits.h"
#include "cli/digest.h"
#include "cli/oci.h"
#include "os/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int damaged_size(const char *path, uint64_t got, uint64_t want, struct err *e)
{
    err_set(e, ERR_DIGEST, "'%.120s' is damaged: it has %" PRIu64 " bytes and should have %" PRIu64, path,
            got, want);
    err_hint(e, "Nothing was sent. Export the version again, or copy the file anew.");
    return ERR_DIGEST;
}

static int add_file(struct folder *f, const struct bundle_file *file, const char *path, struct package *p,
                    struct err *e)
{
    int fd;
    uint64_t size;
    int rc = f->ops->open(f, path, &fd, e);
    if (rc)
        return rc;
    rc = file_size(fd, &size, e);
    if (rc == 0 && size != file->size)
        rc = damaged_size(path, size, file->size, e);
    if (rc) {
        close(fd);
        return rc;
    }
    rc = artifacts_add_fd(&p->files, file->role, file->name.p, fd, path,
                          e); // ends in NUL: it was a JSON string
    if (rc == 0)
        memcpy(p->files.items[p->files.n - 1].want, file->digest.p, file->digest.n);
    return rc;
}

static int add_files(struct folder *f, const struct bundle *b, bool by_digest, struct package *p,
                     struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < b->n_files; i++) {
        char blob[OCI_PATH_SIZE];
        oci_blob_path(b->files[i].digest, blob);
        rc = add_file(f, &b->files[i], by_digest ? blob : b->files[i].name.p, p, e);
    }
    if (rc == 0)
        bundle_fill(b, p);
    return rc;
}

int import_bundle(struct folder *f, struct package *p, struct err *e)
{
    struct buf json;
    struct bundle b = {0};
    buf_init(&json, LIMIT_MANIFEST_BYTES * 2);
    int rc = folder_read(f, BUNDLE_NAME, LIMIT_MANIFEST_BYTES, &json, e);
    if (rc == 0)
        rc = bundle_parse(buf_str(&json), &b, e);
    if (rc == 0)
        rc = add_files(f, &b, false, p, e);
    bundle_done(&b);
    buf_done(&json);
    return rc;
}

// ---- OCI

static int read_blob(struct folder *f, const struct oci_descriptor *d, struct buf *out, struct err *e)
{
    char path[OCI_PATH_SIZE], digest[DIGEST_SIZE];
    oci_blob_path(d->digest, path);
    int rc = folder_read(f, path, LIMIT_MANIFEST_BYTES, out, e);
    if (rc == 0 && out->n != d->size)
        rc = damaged_size(path, out->n, d->size, e);
    if (rc == 0)
        rc = digest_of(out->p, out->n, digest, e);
    if (rc == 0 && !str_eq(str_of(digest), d->digest)) {
        rc = err_set(e, ERR_DIGEST, "'%.120s' is damaged: it has another digest than its name", path);
        err_hint(e, "Nothing was sent. Export the version again, or copy the file anew.");
    }
    return rc;
}

// Every file of the description must be a layer: else a tool that copies the artifact leaves it behind.
static int check_layers(const struct bundle *b, const struct oci_manifest *m, struct err *e)
{
    for (size_t i = 0; i < b->n_files; i++) {
        bool found = false;
        for (size_t k = 0; k < m->n_layers; k++)
            found |= str_eq(m->layers[k].digest, b->files[i].digest) &&
                     m->layers[k].size == b->files[i].size &&
                     (m->layers[k].title.n == 0 || str_eq(m->layers[k].title, b->files[i].name));
        if (!found)
            return err_set(e, ERR_INVALID, "'%.80s' of the artifact's config is none of its layers",
                           b->files[i].name.p);
    }
    return 0;
}

static int import_manifest(struct folder *f, struct str text, struct package *p, struct err *e)
{
    struct oci_manifest m;
    struct bundle b = {0};
    struct buf config;
    buf_init(&config, LIMIT_MANIFEST_BYTES * 2);
    int rc = oci_manifest_parse(text, &m, e);
    if (rc == 0)
        rc = read_blob(f, &m.config, &config, e);
    if (rc == 0)
        rc = bundle_parse(buf_str(&config), &b, e);
    if (rc == 0)
        rc = check_layers(&b, &m, e);
    if (rc == 0)
        rc = add_files(f, &b, true, p, e);
    bundle_done(&b);
    oci_manifest_done(&m);
    buf_done(&config);
    return rc;
}

int import_oci(struct folder *f, struct package *p, struct err *e)
{
    yyjson_doc *doc = NULL;
    struct oci_descriptor found;
    struct buf index, manifest;
    buf_init(&index, LIMIT_MANIFEST_BYTES * 2);
    buf_init(&manifest, LIMIT_MANIFEST_BYTES * 2);
    int rc = folder_read(f, "index.json", LIMIT_MANIFEST_BYTES, &index, e);
    if (rc == 0)
        rc = oci_index_parse(buf_str(&index), &doc, &found, e);
    if (rc == 0)
        rc = read_blob(f, &found, &manifest, e);
    if (rc == 0)
        rc = import_manifest(f, buf_str(&manifest), p, e);
    yyjson_doc_free(doc);
    buf_done(&index);
    buf_done(&manifest);
    return rc;
}
