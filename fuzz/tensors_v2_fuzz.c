// SPDX-License-Identifier: Apache-2.0
// Bodies of V2 requests to models of tensors, values against yyjson's; the first byte chooses the model.
#include "fuzz.h"
#include "tensors_check.h"

static void find(yyjson_val *root, struct str name, bool is_only, struct tensors_found *found)
{
    size_t i, max;
    yyjson_val *input;
    (void)is_only;
    yyjson_arr_foreach(yyjson_obj_get(root, "inputs"), i, max, input)
    {
        if (!yyjson_equals_strn(yyjson_obj_get(input, "name"), name.p, name.n))
            continue;
        tensors_found_add(found, yyjson_obj_get(input, "data"));
        tensors_found_datatype(found, yyjson_obj_get(input, "datatype"));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tensors_compare(data, n, kserve_v2_tensors_decode, kserve_v2_tensors_encode, find);
    return 0;
}
