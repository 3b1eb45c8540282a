// SPDX-License-Identifier: Apache-2.0
// A version as an artifact of the Open Container Initiative: an image layout (image-spec 1.1) with one
// artifact manifest, so that any registry and its tools can carry versions. The config is slipway.json, each
// file is a layer. Reading is pure and fuzzed.
#pragma once

#include "cli/bundle.h"

#define OCI_LAYOUT        "{\"imageLayoutVersion\":\"1.0.0\"}"
#define OCI_MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX_TYPE    "application/vnd.oci.image.index.v1+json"
#define OCI_ARTIFACT_TYPE "application/vnd.slipway.version.v1"
#define OCI_CONFIG_TYPE   "application/vnd.slipway.version.config.v1+json"
#define OCI_LAYER_TYPE    "application/vnd.slipway.version.v1." // and the role

struct oci_descriptor {
    struct str digest, title; // borrowed from the document; digest is valid
    uint64_t size;
};

// The one manifest of a version that an index.json names. ERR_BAD_JSON, ERR_WRONG_TYPE, ERR_INVALID: it is no
// index, or names none or several of ours.
int oci_index_parse(struct str json, yyjson_doc **ret_doc, struct oci_descriptor *ret,
                    struct err *e) ERR_CHECKED;

struct oci_manifest {
    yyjson_doc *doc;
    struct oci_descriptor config;
    struct oci_descriptor *layers; // (n_layers)
    size_t n_layers;
};
// A manifest of a version. Errors as above; ERR_UNSUPPORTED_MODEL for an artifact of another type. Call
// oci_manifest_done in any case.
int oci_manifest_parse(struct str json, struct oci_manifest *ret, struct err *e) ERR_CHECKED;
void oci_manifest_done(struct oci_manifest *m);

// Appends the manifest of a version: config is slipway.json with its digest.
void oci_manifest_write(const struct bundle *b, struct str config, const char *config_digest,
                        struct buf *out);
// Appends the index that names that manifest; ref: what tools call it, "3"; model: "churn".
void oci_index_write(struct str manifest, const char *manifest_digest, const char *ref, const char *model,
                     struct buf *out);
// The place of a blob: "blobs/sha256/ab…".
enum { OCI_PATH_SIZE = 96 };
void oci_blob_path(struct str digest, char ret[OCI_PATH_SIZE]);
