// SPDX-License-Identifier: Apache-2.0
// Digests of files, at once or in steps. How a digest is written is names.c.
#include "registry/registry.h"

#include "os/file.h"

#include <openssl/evp.h>
#include <stdlib.h>

enum { READ_BLOCK_BYTES = 256 << 10 };

struct digest_check {
    EVP_MD_CTX *hash;
    uint64_t at;
    char block[READ_BLOCK_BYTES];
};

static int hash_error(struct err *e)
{
    return err_set(e, ERR_NOMEM, "SHA-256 could not be set up");
}

int registry_digest_bytes(struct str bytes, struct registry_digest *ret, struct err *e)
{
    unsigned n = 0;
    bool ok = EVP_Digest(bytes.n ? bytes.p : "", bytes.n, ret->bytes, &n, EVP_sha256(), NULL) == 1;
    return ok && n == sizeof ret->bytes ? 0 : hash_error(e);
}

int digest_check_new(struct digest_check **ret, struct err *e)
{
    struct digest_check *c = malloc(sizeof *c);
    EVP_MD_CTX *h = EVP_MD_CTX_new();
    if (!c || !h || EVP_DigestInit_ex(h, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(h);
        free(c);
        return hash_error(e);
    }
    c->hash = h;
    c->at = 0;
    *ret = c;
    return 0;
}

int digest_check_step(struct digest_check *c, int fd, uint64_t max_bytes, bool *ret_done,
                      struct registry_digest *ret, struct err *e)
{
    *ret_done = false;
    for (uint64_t end = c->at + max_bytes; c->at < end;) {
        size_t n, most = end - c->at < READ_BLOCK_BYTES ? end - c->at : READ_BLOCK_BYTES;
        int rc = file_read_at(fd, c->block, most, c->at, &n, e);
        if (rc)
            return rc;
        if (n == 0) {
            unsigned size = 0;
            *ret_done = EVP_DigestFinal_ex(c->hash, ret->bytes, &size) == 1 && size == sizeof ret->bytes;
            return *ret_done ? 0 : hash_error(e);
        }
        if (EVP_DigestUpdate(c->hash, c->block, n) != 1)
            return hash_error(e);
        c->at += n;
    }
    return 0;
}

void digest_check_free(struct digest_check *c)
{
    if (c)
        EVP_MD_CTX_free(c->hash);
    free(c);
}

int registry_digest_file(int fd, struct registry_digest *ret, struct err *e)
{
    struct digest_check *c;
    bool done;
    int rc = digest_check_new(&c, e);
    if (rc)
        return rc;
    rc = digest_check_step(c, fd, UINT64_MAX, &done, ret, e);
    digest_check_free(c);
    return rc;
}
