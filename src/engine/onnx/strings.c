// SPDX-License-Identifier: Apache-2.0
// Tensors of strings, the one type that the library keeps in another form than we do: both ways they are
// copied.
#include "engine/onnx/session.h"

#include <string.h>

int strings_to_value(struct session *s, const struct tensor *t, OrtValue **ret, struct err *e)
{
    const OrtApi *a = s->library->api;
    const char *p = t->data, *end = p ? p + t->bytes : p;
    int64_t n = tensor_n_elements(t->shape, t->n_dims);
    int rc = library_check(s->library, LIBRARY_RUN,
                           a->CreateTensorAsOrtValue(s->library->allocator, t->shape, t->n_dims,
                                                     ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, ret),
                           e);
    if (rc)
        return rc;
    for (int64_t i = 0; i < n && !rc; i++) {
        uint32_t bytes;
        char *to;
        if ((size_t)(end - p) < sizeof bytes)
            return err_set(e, ERR_INVALID, "the input '" STR_FMT "' has fewer strings than its shape says",
                           STR_ARG(t->name));
        memcpy(&bytes, p, sizeof bytes);
        p += sizeof bytes;
        if ((size_t)(end - p) < bytes)
            return err_set(e, ERR_INVALID, "string %lld of the input '" STR_FMT "' goes past its end",
                           (long long)i, STR_ARG(t->name));
        rc = library_check(s->library, LIBRARY_RUN,
                           a->GetResizedStringTensorElementBuffer(*ret, (size_t)i, bytes, &to), e);
        if (!rc && bytes)
            memcpy(to, p, bytes);
        p += bytes;
    }
    return rc;
}

int strings_of_value(struct session *s, const OrtValue *v, size_t n, struct buf *to, struct err *e)
{
    const OrtApi *a = s->library->api;
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        int rc = library_check(s->library, LIBRARY_RUN, a->GetStringTensorElementLength(v, i, &bytes), e);
        if (rc)
            return rc;
        uint32_t length = (uint32_t)bytes;
        char *at = bytes <= UINT32_MAX ? buf_reserve(to, sizeof length + bytes) : NULL;
        if (!at)
            return err_set(e, ERR_NOMEM, "no memory for an output of strings");
        memcpy(at, &length, sizeof length);
        if (bytes)
            rc = library_check(s->library, LIBRARY_RUN,
                               a->GetStringTensorElement(v, bytes, i, at + sizeof length), e);
        if (rc)
            return rc;
        buf_advance(to, sizeof length + bytes);
    }
    return 0;
}
