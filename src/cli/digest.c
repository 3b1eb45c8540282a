// SPDX-License-Identifier: Apache-2.0
// SHA-256 by OpenSSL.
#include "cli/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

int digest_start(struct digest *d, struct err *e)
{
    d->md = EVP_MD_CTX_new();
    if (d->md && EVP_DigestInit_ex(d->md, EVP_sha256(), NULL))
        return 0;
    digest_done(d);
    return err_set(e, ERR_NOMEM, "out of memory");
}

int digest_add(struct digest *d, const void *p, size_t n, struct err *e)
{
    return EVP_DigestUpdate(d->md, p, n) ? 0 : err_set(e, ERR_INTERNAL, "SHA-256 failed");
}

int digest_end(struct digest *d, char ret[DIGEST_SIZE], struct err *e)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (!EVP_DigestFinal_ex(d->md, sum, &n))
        return err_set(e, ERR_INTERNAL, "SHA-256 failed");
    int at = snprintf(ret, DIGEST_SIZE, "sha256:");
    for (unsigned i = 0; i < n; i++)
        at += snprintf(ret + at, DIGEST_SIZE - (size_t)at, "%02x", sum[i]);
    return 0;
}

void digest_done(struct digest *d)
{
    EVP_MD_CTX_free(d->md);
    d->md = NULL;
}

int digest_of(const void *p, size_t n, char ret[DIGEST_SIZE], struct err *e)
{
    struct digest d;
    int rc = digest_start(&d, e);
    if (rc == 0)
        rc = digest_add(&d, p, n, e);
    if (rc == 0)
        rc = digest_end(&d, ret, e);
    digest_done(&d);
    return rc;
}

bool digest_is_valid(const char *text, size_t n)
{
    if (n != 71 || memcmp(text, "sha256:", 7) != 0)
        return false;
    for (size_t i = 7; i < n; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}
