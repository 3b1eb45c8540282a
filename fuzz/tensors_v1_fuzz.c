// SPDX-License-Identifier: Apache-2.0
// Bodies of V1 requests to models of tensors, values against yyjson's; the first byte chooses the model.
#include "fuzz.h"
#include "tensors_check.h"

static yyjson_val *named(yyjson_val *object, struct str name)
{
    return yyjson_obj_getn(object, name.p, name.n);
}

static void find(yyjson_val *root, struct str name, bool is_only, struct tensors_found *found)
{
    size_t i, max;
    yyjson_val *inputs = yyjson_obj_get(root, "inputs"),
               *rows = inputs ? inputs : yyjson_obj_get(root, "instances"), *row,
               *first = yyjson_arr_get_first(rows);
    if (yyjson_is_obj(rows) && named(rows, name)) {
        tensors_found_add(found, named(rows, name));
    } else if (yyjson_is_obj(first) && !yyjson_obj_get(first, "b64")) {
        yyjson_arr_foreach(rows, i, max, row)
        {
            tensors_found_add(found, named(row, name));
        }
    } else if (is_only) {
        tensors_found_add(found, rows);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tensors_compare(data, n, kserve_v1_tensors_decode, kserve_v1_tensors_encode, find);
    return 0;
}
