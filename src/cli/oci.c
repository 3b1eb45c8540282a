// SPDX-License-Identifier: Apache-2.0
// Index and manifest of an OCI artifact, read and written as image-spec 1.1 has them.
#include "cli/oci.h"

#include "base/limits.h"
#include "cli/digest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct str text_of(yyjson_val *v)
{
    return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
}

void oci_blob_path(struct str digest, char ret[OCI_PATH_SIZE])
{
    struct str hex = {digest.p + 7, digest.n - 7};
    snprintf(ret, OCI_PATH_SIZE, "blobs/sha256/" STR_FMT, STR_ARG(hex));
}

// ---- reading

static int wrong(const char *what, const char *at, const char *expected, struct err *e)
{
    err_set(e, ERR_INVALID, "%s: expected %s", what, expected);
    err_at(e, "%s", at);
    return ERR_INVALID;
}

static int read_root(const char *what, struct str json, yyjson_doc **ret_doc, yyjson_val **ret_root,
                     struct err *e)
{
    yyjson_read_err why = {.msg = "empty"};
    *ret_doc = json.n ? yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, NULL, &why) : NULL;
    *ret_root = yyjson_doc_get_root(*ret_doc);
    if (!*ret_doc)
        return err_set(e, ERR_BAD_JSON, "%s is not JSON: %s at byte %zu", what, why.msg, why.pos);
    yyjson_val *schema = yyjson_obj_get(*ret_root, "schemaVersion");
    if (!yyjson_is_uint(schema) || yyjson_get_uint(schema) != 2)
        return wrong(what, "$.schemaVersion", "2", e);
    return 0;
}

static int read_descriptor(const char *what, const char *at, yyjson_val *v, struct oci_descriptor *ret,
                           struct err *e)
{
    yyjson_val *digest = yyjson_obj_get(v, "digest"), *size = yyjson_obj_get(v, "size");
    if (!yyjson_is_str(yyjson_obj_get(v, "mediaType")))
        return wrong(what, at, "a descriptor with its mediaType", e);
    if (!yyjson_is_str(digest) || !digest_is_valid(yyjson_get_str(digest), yyjson_get_len(digest)))
        return wrong(what, at, "a descriptor with a digest 'sha256:' and 64 hexadecimal digits", e);
    if (!yyjson_is_uint(size))
        return wrong(what, at, "a descriptor with its size", e);
    yyjson_val *title = yyjson_obj_get(yyjson_obj_get(v, "annotations"), "org.opencontainers.image.title");
    *ret = (struct oci_descriptor){text_of(digest), yyjson_is_str(title) ? text_of(title) : STR(""),
                                   yyjson_get_uint(size)};
    return 0;
}

int oci_index_parse(struct str json, yyjson_doc **ret_doc, struct oci_descriptor *ret, struct err *e)
{
    size_t i, n, n_found = 0;
    yyjson_val *root, *item;
    int rc = read_root("index.json", json, ret_doc, &root, e);
    if (rc)
        return rc;
    yyjson_val *list = yyjson_obj_get(root, "manifests");
    if (!yyjson_is_arr(list))
        return wrong("index.json", "$.manifests", "an array", e);
    yyjson_arr_foreach(list, i, n, item)
    {
        // An index that a tool wrote may leave out the artifact's type.
        yyjson_val *type = yyjson_obj_get(item, "artifactType");
        if ((type && !yyjson_equals_str(type, OCI_ARTIFACT_TYPE)) ||
            !yyjson_equals_str(yyjson_obj_get(item, "mediaType"), OCI_MANIFEST_TYPE))
            continue;
        rc = read_descriptor("index.json", "$.manifests", item, ret, e);
        if (rc)
            return rc;
        n_found++;
    }
    if (n_found == 1)
        return 0;
    err_set(e, ERR_INVALID,
            n_found ? "index.json names %zu manifests, and one version is pushed at a time"
                    : "index.json names %zu versions of Slipway",
            n_found);
    err_hint(e, "Expected is one manifest of the type " OCI_ARTIFACT_TYPE ".");
    return ERR_INVALID;
}

static int read_layers(yyjson_val *list, struct oci_manifest *m, struct err *e)
{
    size_t i, n;
    yyjson_val *item;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0 || yyjson_arr_size(list) > LIMIT_ARTIFACTS)
        return wrong("the manifest", "$.layers", "an array of one to 1024 layers", e);
    m->layers = calloc(yyjson_arr_size(list), sizeof *m->layers);
    if (!m->layers)
        return err_set(e, ERR_NOMEM, "out of memory");
    yyjson_arr_foreach(list, i, n, item)
    {
        int rc = read_descriptor("the manifest", "$.layers", item, &m->layers[i], e);
        if (rc)
            return rc;
        m->n_layers = i + 1;
    }
    return 0;
}

int oci_manifest_parse(struct str json, struct oci_manifest *ret, struct err *e)
{
    yyjson_val *root;
    *ret = (struct oci_manifest){0};
    int rc = read_root("the manifest", json, &ret->doc, &root, e);
    if (rc)
        return rc;
    yyjson_val *type = yyjson_obj_get(root, "artifactType"), *config = yyjson_obj_get(root, "config");
    if (!yyjson_equals_str(type, OCI_ARTIFACT_TYPE)) {
        err_set(e, ERR_UNSUPPORTED_MODEL, "the OCI artifact has the type '%.100s', not " OCI_ARTIFACT_TYPE,
                yyjson_is_str(type) ? yyjson_get_str(type) : "");
        err_hint(e, "Only versions exported by Slipway are taken: slipway export NAME --oci DIR.");
        return ERR_UNSUPPORTED_MODEL;
    }
    rc = read_descriptor("the manifest", "$.config", config, &ret->config, e);
    if (rc == 0 && !yyjson_equals_str(yyjson_obj_get(config, "mediaType"), OCI_CONFIG_TYPE))
        rc = wrong("the manifest", "$.config.mediaType", OCI_CONFIG_TYPE, e);
    return rc ? rc : read_layers(yyjson_obj_get(root, "layers"), ret, e);
}

void oci_manifest_done(struct oci_manifest *m)
{
    yyjson_doc_free(m->doc);
    free(m->layers);
    *m = (struct oci_manifest){0};
}

// ---- writing

void oci_manifest_write(const struct bundle *b, struct str config, const char *config_digest, struct buf *out)
{
    buf_printf(out,
               "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST_TYPE
               "\",\"artifactType\":\"" OCI_ARTIFACT_TYPE "\",\"config\":{\"mediaType\":\"" OCI_CONFIG_TYPE
               "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[",
               config_digest, config.n);
    for (size_t i = 0; i < b->n_files; i++) {
        const struct bundle_file *f = &b->files[i];
        buf_printf(
            out, "%s{\"mediaType\":\"" OCI_LAYER_TYPE "%s\",\"digest\":\"" STR_FMT "\",\"size\":%" PRIu64 ",",
            i ? "," : "", f->role, STR_ARG(f->digest), f->size);
        buf_puts(out, "\"annotations\":{\"org.opencontainers.image.title\":");
        buf_put_json_str(out, f->name);
        buf_puts(out, "}}");
    }
    buf_puts(out, "]");
    yyjson_val *description = yyjson_obj_get(yyjson_doc_get_root(b->doc), "description");
    if (description) {
        buf_puts(out, ",\"annotations\":{\"org.opencontainers.image.description\":");
        buf_put_json_str(out, text_of(description));
        buf_putc(out, '}');
    }
    buf_putc(out, '}');
}

void oci_index_write(struct str manifest, const char *manifest_digest, const char *ref, const char *model,
                     struct buf *out)
{
    buf_printf(out,
               "{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX_TYPE
               "\",\"manifests\":[{\"mediaType\":\"" OCI_MANIFEST_TYPE
               "\",\"artifactType\":\"" OCI_ARTIFACT_TYPE
               "\",\"digest\":\"%s\",\"size\":%zu,\"annotations\":{"
               "\"org.opencontainers.image.ref.name\":",
               manifest_digest, manifest.n);
    buf_put_json_str(out, str_of(ref));
    buf_puts(out, ",\"vnd.slipway.model\":");
    buf_put_json_str(out, str_of(model));
    buf_puts(out, "}}]}");
}
