// SPDX-License-Identifier: Apache-2.0
// Bodies of V2 predict requests against the reference on yyjson; the first byte chooses the model's datatype.
#include "fuzz.h"
#include "predict_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    reference_compare(data, n, kserve_v2_decode, kserve_v2_encode, reference_v2);
    return 0;
}
