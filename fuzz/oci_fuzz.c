// SPDX-License-Identifier: Apache-2.0
// Index and manifest of an OCI artifact: every digest that comes out is one, so that the path of its blob
// stays below blobs/sha256.
#include "fuzz.h"

#include "cli/digest.h"
#include "cli/oci.h"

#include <string.h>

static void check(const struct oci_descriptor *d)
{
    char path[OCI_PATH_SIZE];
    EXPECT(digest_is_valid(d->digest.p, d->digest.n));
    oci_blob_path(d->digest, path);
    EXPECT(strlen(path) == strlen("blobs/sha256/") + 64 && !strchr(path + 13, '/') &&
           !strchr(path + 13, '.'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    struct str json = {(const char *)data, n};
    yyjson_doc *doc;
    struct oci_descriptor found;
    struct oci_manifest m;
    int rc = oci_index_parse(json, &doc, &found, &e);
    EXPECT(rc == 0 || (rc < 0 && rc == e.code && e.msg[0]));
    if (rc == 0)
        check(&found);
    yyjson_doc_free(doc);
    rc = oci_manifest_parse(json, &m, &e);
    EXPECT(rc == 0 || (rc < 0 && rc == e.code && e.msg[0]));
    if (rc == 0) {
        EXPECT(m.n_layers > 0);
        check(&m.config);
        for (size_t i = 0; i < m.n_layers; i++)
            check(&m.layers[i]);
    }
    oci_manifest_done(&m);
    return 0;
}
