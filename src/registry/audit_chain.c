// SPDX-License-Identifier: Apache-2.0
// The hash of an audit row: SHA-256 over the hash of the row before it and over all its fields, each with its
// length before it, so that no two different rows are hashed alike.
#include "registry/audit_chain.h"

#include <openssl/evp.h>

static bool put(EVP_MD_CTX *h, const void *p, uint64_t n)
{
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(n >> (8 * i));
    return EVP_DigestUpdate(h, length, sizeof length) == 1 && EVP_DigestUpdate(h, p, n) == 1;
}

static bool put_number(EVP_MD_CTX *h, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    return put(h, bytes, sizeof bytes);
}

static bool put_text(EVP_MD_CTX *h, struct str text)
{
    return put(h, text.n ? text.p : "", text.n);
}

int audit_hash(const struct registry_digest *before, const struct registry_audit *row,
               struct registry_digest *ret, struct err *e)
{
    EVP_MD_CTX *h = EVP_MD_CTX_new();
    unsigned n = 0;
    bool ok = h && EVP_DigestInit_ex(h, EVP_sha256(), NULL) == 1 &&
              put(h, before->bytes, sizeof before->bytes) && put_number(h, row->id) &&
              put_number(h, row->wall_ns) && put_text(h, row->actor) && put_text(h, row->request_id) &&
              put_text(h, row->action) && put_text(h, row->model) && put_number(h, row->version) &&
              put_text(h, row->before) && put_text(h, row->after) && put_text(h, row->reason) &&
              EVP_DigestFinal_ex(h, ret->bytes, &n) == 1 && n == sizeof ret->bytes;
    EVP_MD_CTX_free(h);
    return ok ? 0 : err_set(e, ERR_NOMEM, "SHA-256 could not be set up");
}
