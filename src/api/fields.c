// SPDX-License-Identifier: Apache-2.0
// Reading of fields that several codecs have.
#include "api/fields.h"

#include "base/limits.h"

#include <math.h>
#include <string.h>

int field_string(struct decode *d, struct str *ret, struct err *e)
{
    if (json_scan_kind(&d->json) != JSON_STRING)
        return decode_unexpected(d, "a string", e);
    return json_scan_string(&d->json, d->scratch, ret, e);
}

int field_dim(struct decode *d, uint64_t *ret, struct err *e)
{
    double v;
    if (json_scan_kind(&d->json) != JSON_NUMBER)
        return decode_unexpected(d, "a whole number", e);
    int rc = json_scan_doubles(&d->json, &v, 1) ? 0 : json_scan_number(&d->json, &v, e);
    if (rc)
        return rc;
    if (v != trunc(v) || v < 0 || v > UINT32_MAX)
        return err_set(e, ERR_OUT_OF_RANGE, "%.17g is no size of a dimension", v);
    *ret = (uint64_t)v;
    return 0;
}

int field_id(struct decode *d, struct str *ret, struct err *e)
{
    struct str id;
    int rc = field_string(d, &id, e);
    if (rc)
        return rc;
    if (id.n > LIMIT_INFER_ID_BYTES)
        return err_set(e, ERR_TOO_LARGE, "the id has %zu bytes, at most %d are echoed", id.n,
                       LIMIT_INFER_ID_BYTES);
    char *copy = arena_alloc(d->scratch, id.n);
    if (!copy)
        return err_set(e, ERR_NOMEM, "no room for the id");
    if (id.n)
        memcpy(copy, id.p, id.n);
    *ret = (struct str){copy, id.n};
    return 0;
}

int field_list(struct decode *d, int (*read)(void *, struct err *), void *context, uint32_t *ret_n,
               struct err *e)
{
    bool first = true;
    *ret_n = 0;
    if (json_scan_kind(&d->json) != JSON_ARRAY)
        return decode_unexpected(d, "an array", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = json_scan_item(&d->json, ']', &first, e);
        if (rc <= 0)
            break;
        rc = read(context, e);
        if (rc)
            path_index_before(e, *ret_n);
        else
            (*ret_n)++;
    }
    return rc;
}

int field_signature_name(struct decode *d, struct err *e)
{
    struct str name;
    if (json_scan_kind(&d->json) != JSON_STRING)
        return decode_unexpected(d, "a string", e);
    int rc = json_scan_string(&d->json, d->scratch, &name, e);
    if (rc || str_eq(name, STR("serving_default")))
        return rc;
    err_set(e, ERR_UNKNOWN_FIELD, "the model has no signature '" STR_FMT "'", STR_ARG(name));
    err_hint(e, "Leave signature_name out, or send \"serving_default\".");
    return ERR_UNKNOWN_FIELD;
}

// Vertex AI may add an empty one; what stands in it would ask for something that we do not do.
int field_parameters(struct decode *d, struct err *e)
{
    bool first = true;
    struct str name;
    enum json_kind k = json_scan_kind(&d->json);
    if (k == JSON_NULL) {
        json_scan_word(&d->json, k);
        return 0;
    }
    if (k != JSON_OBJECT)
        return decode_unexpected(d, "an object", e);
    int rc = json_scan_enter(&d->json, e);
    if (rc == 0)
        rc = json_scan_item(&d->json, '}', &first, e);
    if (rc == 1)
        rc = json_scan_key(&d->json, d->scratch, &name, e);
    else
        return rc;
    if (rc)
        return rc;
    err_set(e, ERR_UNKNOWN_FIELD, "the parameter '" STR_FMT "' is not known: this model takes no parameters",
            STR_ARG(name));
    path_key_before(e, name);
    return ERR_UNKNOWN_FIELD;
}
