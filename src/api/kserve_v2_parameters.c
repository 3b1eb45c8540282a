// SPDX-License-Identifier: Apache-2.0
// The table of parameters that are taken, and where.
//   binary_data_output, binary_data  Triton's client sends them by default; the answer is JSON all the same,
//                                    which that client reads
//   content_type                     MLServer's client says how it made the tensor: from NumPy, Pandas or
//   strings
#include "api/kserve_v2_parameters.h"

enum { BINARY_DATA_OUTPUT, BINARY_DATA, CONTENT_TYPE, BINARY_DATA_SIZE, N_PARAMETERS };

static const struct str NAMES[N_PARAMETERS] = {STR("binary_data_output"), STR("binary_data"),
                                               STR("content_type"), STR("binary_data_size")};
static const uint8_t PLACES[N_PARAMETERS] = {V2_REQUEST, V2_OUTPUT, V2_REQUEST | V2_INPUT | V2_OUTPUT, 0};

static int read_bool(struct decode *d, struct err *e)
{
    enum json_kind k = json_scan_kind(&d->json);
    if (k != JSON_TRUE && k != JSON_FALSE)
        return decode_unexpected(d, "true or false", e);
    json_scan_word(&d->json, k);
    return 0;
}

static int read_content_type(struct decode *d, enum v2_place place, struct err *e)
{
    struct str type;
    if (json_scan_kind(&d->json) != JSON_STRING)
        return decode_unexpected(d, "a string", e);
    int rc = json_scan_string(&d->json, d->scratch, &type, e);
    if (rc || str_eq(type, STR("np")) || str_eq(type, STR("pd")) ||
        (place & V2_STRINGS && str_eq(type, STR("str"))))
        return rc;
    err_set(e, ERR_UNKNOWN_FIELD, "content_type '" STR_FMT "' is not known", STR_ARG(type));
    err_hint(e, place & V2_STRINGS ? "Tensors are \"np\", \"pd\" or \"str\"."
                                   : "Tensors of numbers are \"np\" or \"pd\".");
    return ERR_UNKNOWN_FIELD;
}

static int read_parameter(struct decode *d, enum v2_place place, uint32_t i, struct err *e)
{
    if (!(PLACES[i] & place)) {
        err_set(e, ERR_UNKNOWN_FIELD, "the parameter '" STR_FMT "' is not supported here", STR_ARG(NAMES[i]));
        if (i == BINARY_DATA_SIZE)
            err_hint(e, "Send the values as JSON in `data`; with tritonclient: "
                        "set_data_from_numpy(values, binary_data=False).");
        return ERR_UNKNOWN_FIELD;
    }
    return i == CONTENT_TYPE ? read_content_type(d, place, e) : read_bool(d, e);
}

int v2_parameters_decode(struct decode *d, enum v2_place place, struct err *e)
{
    enum json_kind k = json_scan_kind(&d->json);
    uint32_t seen = 0;
    bool first = true;
    if (k == JSON_NULL) {
        json_scan_word(&d->json, k);
        return 0;
    }
    if (k != JSON_OBJECT)
        return decode_unexpected(d, "an object", e);
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        uint32_t i;
        rc = json_scan_item(&d->json, '}', &first, e);
        if (rc <= 0)
            break;
        rc = decode_key(d, NAMES, N_PARAMETERS, &seen, "parameters", &i, e);
        if (rc)
            break;
        rc = read_parameter(d, place, i, e);
        if (rc)
            path_key_before(e, NAMES[i]);
    }
    return rc;
}
