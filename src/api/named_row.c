// SPDX-License-Identifier: Apache-2.0
// Object rows. A position is predicted only by a key that came without escapes, so its name compares
// bytewise.
#include "api/named_row.h"

#include <string.h>

int named_row_init(struct named_row *r, struct decode *d, struct err *e)
{
    uint32_t n = d->sig->n_features;
    *r = (struct named_row){.order = arena_calloc(d->scratch, n, sizeof *r->order),
                            .seen_in = arena_calloc(d->scratch, n, sizeof *r->seen_in)};
    if (!r->order || !r->seen_in)
        return err_set(e, ERR_NOMEM, "no room to tell %u features apart", n);
    return 0;
}

// The feature expected at this position: that of the row before or, before anything is known, of the model's
// order. A name that needs escapes in JSON must not match bytewise: its raw text would mean another name.
static bool expected_at(const struct named_row *r, const struct decode *d, uint32_t position,
                        uint32_t *ret_feature)
{
    *ret_feature = position < r->n_known ? r->order[position] : position;
    return position < r->n_known ||
           (position < d->sig->n_features && json_scan_is_plain(d->sig->features[position].name));
}

static void remember(struct named_row *r, const struct decode *d, uint32_t position, uint32_t feature)
{
    if (position <= r->n_known && position < d->sig->n_features) {
        r->order[position] = feature;
        r->n_known += position == r->n_known;
    }
}

// The usual next field: a comma and the expected key.
static bool take_expected(struct named_row *r, struct decode *d, uint32_t position, uint32_t *ret_feature)
{
    if (position == 0 || !expected_at(r, d, position, ret_feature) ||
        !json_scan_next_key_is(&d->json, d->sig->features[*ret_feature].name))
        return false;
    remember(r, d, position, *ret_feature);
    return true;
}

static int read_key(struct named_row *r, struct decode *d, uint32_t position, uint32_t *ret_feature,
                    struct err *e)
{
    struct str name;
    const char *body = d->json.p;
    bool bytewise = expected_at(r, d, position, ret_feature) &&
                    json_scan_key_is(&d->json, d->sig->features[*ret_feature].name);
    if (!bytewise) {
        int rc = json_scan_key(&d->json, d->scratch, &name, e);
        if (rc)
            return rc;
        rc = decode_feature(d, name, ret_feature, e);
        if (rc) {
            path_key_before(e, name);
            return rc;
        }
        bytewise = name.p == body + 1;
    }
    if (bytewise)
        remember(r, d, position, *ret_feature);
    return 0;
}

static int read_field(struct named_row *r, struct decode *d, uint32_t feature, void *to, struct err *e)
{
    struct str name = d->sig->features[feature].name;
    int rc = 0;
    if (r->seen_in[feature] == r->row_number) {
        rc = err_set(e, ERR_DUPLICATE_KEY, "feature '" STR_FMT "' stands twice in one row", STR_ARG(name));
    } else {
        r->seen_in[feature] = r->row_number;
        size_t n = d->sig->input_dtype == DTYPE_FP64 ? json_scan_doubles(&d->json, to, 1)
                                                     : json_scan_floats(&d->json, to, 1);
        rc = n ? 0 : decode_value(d, DTYPE_NONE, feature, to, e);
    }
    if (rc)
        path_key_before(e, name);
    return rc;
}

static int fill_absent(struct named_row *r, struct decode *d, char *row, struct err *e)
{
    size_t size = decode_value_size(d);
    for (uint32_t i = 0; i < d->sig->n_features; i++) {
        int rc = r->seen_in[i] == r->row_number ? 0 : decode_missing(d, i, row + i * size, e);
        if (rc) {
            path_key_before(e, d->sig->features[i].name);
            return rc;
        }
    }
    return 0;
}

int named_row_decode(struct named_row *r, struct decode *d, void *row, struct err *e)
{
    size_t size = decode_value_size(d);
    uint32_t position = 0, feature;
    bool first = true;
    r->row_number++;
    int rc = json_scan_enter(&d->json, e);
    while (rc == 0) {
        if (!take_expected(r, d, position, &feature)) {
            rc = json_scan_item(&d->json, '}', &first, e);
            if (rc <= 0)
                break;
            rc = read_key(r, d, position, &feature, e);
        }
        if (rc == 0)
            rc = read_field(r, d, feature, (char *)row + feature * size, e);
        position++; // at most n_features, as a feature is not taken twice
    }
    if (rc == 0 && position < d->sig->n_features)
        rc = fill_absent(r, d, row, e);
    return rc;
}
