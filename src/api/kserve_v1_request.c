// SPDX-License-Identifier: Apache-2.0
// `instances` or `inputs`, and fields that TensorFlow Serving and Vertex AI know besides.
#include "api/kserve_v1_request.h"

#include "api/fields.h"

#include <string.h>

enum field { INSTANCES, INPUTS, SIGNATURE_NAME, PARAMETERS, N_FIELDS };
static const struct str FIELDS[N_FIELDS] = {STR("instances"), STR("inputs"), STR("signature_name"),
                                            STR("parameters")};

static int read_field(struct decode *d, const struct v1_codec *codec, void *context, uint32_t field,
                      struct err *e)
{
    enum json_kind k = json_scan_kind(&d->json);
    if (field == INSTANCES && k == JSON_ARRAY) // by far the most frequent
        return codec->read_instances(context, e);
    switch (field) {
    case INPUTS:
        return codec->read_inputs(context, k, e);
    case INSTANCES:
        return decode_unexpected(d, "an array of rows", e);
    case SIGNATURE_NAME:
        return field_signature_name(d, e);
    default:
        return field_parameters(d, e);
    }
}

int v1_request_decode(struct decode *d, const struct v1_codec *codec, void *context, struct err *e)
{
    const uint32_t both = 1u << INSTANCES | 1u << INPUTS;
    uint32_t seen = 0, field;
    bool first = true;
    if (json_scan_kind(&d->json) != JSON_OBJECT)
        return decode_unexpected(d, "an object with the key instances or inputs", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = decode_field(d, FIELDS, N_FIELDS, &seen, "request", &first, &field, e);
        if (rc <= 0)
            break;
        if ((seen & both) == both)
            rc = err_set(e, ERR_DUPLICATE_KEY, "a request has instances or inputs, not both");
        else
            rc = read_field(d, codec, context, field, e);
        if (rc)
            path_key_before(e, FIELDS[field]);
    }
    if (rc == 0)
        rc = json_scan_finish(&d->json, e);
    if (rc == 0 && (seen & both) == 0)
        rc = err_set(e, ERR_WRONG_COUNT, "the request has neither instances nor inputs: nothing to predict");
    return rc;
}

size_t v1_answer_columns(struct buf *out)
{
    buf_puts(out, "{\"outputs\":");
    return out->n;
}

void v1_answer_columns_end(struct buf *out, size_t from)
{
    size_t n = out->failed ? 0 : out->n - from;
    buf_puts(out, ",\"predictions\":");
    char *copy = buf_reserve(out, n + 1);
    if (!copy)
        return;
    memcpy(copy, out->p + from, n);
    copy[n] = '}';
    buf_advance(out, n + 1);
}
