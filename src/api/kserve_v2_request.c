// SPDX-License-Identifier: Apache-2.0
// Data that comes before its tensor's other fields is checked, passed over and read at the end of the tensor.
#include "api/kserve_v2_request.h"

#include "api/fields.h"
#include "api/kserve_v2_parameters.h"

enum request_field { ID, PARAMETERS, INPUTS, OUTPUTS, N_REQUEST_FIELDS };
static const struct str REQUEST_FIELDS[] = {STR("id"), STR("parameters"), STR("inputs"), STR("outputs")};
enum input_field { NAME, SHAPE, DATATYPE, INPUT_PARAMETERS, DATA, N_INPUT_FIELDS };
static const struct str INPUT_FIELDS[] = {STR("name"), STR("shape"), STR("datatype"), STR("parameters"),
                                          STR("data")};
enum output_field { OUTPUT_NAME, OUTPUT_PARAMETERS, N_OUTPUT_FIELDS };
static const struct str OUTPUT_FIELDS[] = {STR("name"), STR("parameters")};

static int read_input_field(struct v2_request *r, struct v2_input *in, uint32_t field, uint32_t seen,
                            struct err *e)
{
    const uint32_t needed = 1u << NAME | 1u << SHAPE | 1u << DATATYPE;
    struct decode *d = r->d;
    switch (field) {
    case NAME:
        return field_string(d, &in->name, e);
    case SHAPE:
        return r->codec->read_shape(d, in, e);
    case DATATYPE:
        return r->codec->read_datatype(d, in, e);
    case INPUT_PARAMETERS:
        return v2_parameters_decode(d, V2_INPUT | r->codec->input_parameters, e);
    default:
        if ((seen & needed) == needed)
            return 0; // read by the caller, who has the path
        in->data = d->json.p;
        return json_scan_skip(&d->json, e);
    }
}

static int finish_input(struct v2_request *r, struct v2_input *in, uint32_t seen, struct err *e)
{
    struct decode *d = r->d;
    for (uint32_t i = 0; i < N_INPUT_FIELDS; i++)
        if (i != INPUT_PARAMETERS && !(seen & 1u << i))
            return err_set(e, ERR_WRONG_COUNT, "the input has no '" STR_FMT "'", STR_ARG(INPUT_FIELDS[i]));
    if (!in->data)
        return 0;
    const char *after = d->json.p;
    uint32_t depth = d->json.depth++;
    json_scan_seek(&d->json, in->data);
    int rc = r->codec->read_data(r->context, in, e);
    json_scan_seek(&d->json, after);
    d->json.depth = depth;
    return rc;
}

static int read_input(void *context, struct err *e)
{
    struct v2_request *r = context;
    struct decode *d = r->d;
    struct v2_input in = {0};
    uint32_t seen = 0, field;
    bool first = true;
    if (json_scan_kind(&d->json) != JSON_OBJECT)
        return decode_unexpected(d, "an object with name, shape, datatype and data", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = decode_field(d, INPUT_FIELDS, N_INPUT_FIELDS, &seen, "input", &first, &field, e);
        if (rc == 0)
            return finish_input(r, &in, seen, e);
        if (rc < 0)
            break;
        rc = read_input_field(r, &in, field, seen, e);
        if (rc)
            path_key_before(e, INPUT_FIELDS[field]);
        else if (field == DATA && !in.data)
            rc = r->codec->read_data(r->context, &in, e);
    }
    return rc;
}

static int read_output(void *context, struct err *e)
{
    struct v2_request *r = context;
    struct decode *d = r->d;
    struct str wanted = {0};
    uint32_t seen = 0, field;
    bool first = true;
    if (json_scan_kind(&d->json) != JSON_OBJECT)
        return decode_unexpected(d, "an object with the name of an output", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = decode_field(d, OUTPUT_FIELDS, N_OUTPUT_FIELDS, &seen, "output", &first, &field, e);
        if (rc <= 0)
            break;
        rc = field == OUTPUT_NAME ? field_string(d, &wanted, e) : v2_parameters_decode(d, V2_OUTPUT, e);
        if (rc)
            path_key_before(e, OUTPUT_FIELDS[field]);
    }
    if (rc)
        return rc;
    rc = r->codec->want_output(r->context, wanted, e);
    if (rc)
        path_before(e, ".name");
    return rc;
}

static int read_field(struct v2_request *r, uint32_t field, struct err *e)
{
    if (field != INPUTS && json_scan_kind(&r->d->json) == JSON_NULL) { // clients write absent fields so
        json_scan_word(&r->d->json, JSON_NULL);
        return 0;
    }
    switch (field) {
    case ID:
        return field_id(r->d, &r->id, e);
    case PARAMETERS:
        return v2_parameters_decode(r->d, V2_REQUEST, e);
    case OUTPUTS:
        return field_list(r->d, read_output, r, &r->n_outputs, e);
    default:
        return field_list(r->d, read_input, r, &r->n_inputs, e);
    }
}

int v2_request_decode(struct v2_request *r, struct err *e)
{
    struct decode *d = r->d;
    uint32_t seen = 0, field;
    bool first = true;
    if (json_scan_kind(&d->json) != JSON_OBJECT)
        return decode_unexpected(d, "an object with the key inputs", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        rc = decode_field(d, REQUEST_FIELDS, N_REQUEST_FIELDS, &seen, "request", &first, &field, e);
        if (rc <= 0)
            break;
        rc = read_field(r, field, e);
        if (rc)
            path_key_before(e, REQUEST_FIELDS[field]);
    }
    if (rc == 0)
        rc = json_scan_finish(&d->json, e);
    if (rc == 0 && !(seen & 1u << INPUTS))
        rc = err_set(e, ERR_WRONG_COUNT, "the request has no inputs: nothing to predict");
    if (rc)
        return rc;
    rc = r->codec->inputs_end(r->context, e);
    if (rc)
        path_before(e, ".inputs");
    return rc;
}
