// SPDX-License-Identifier: Apache-2.0
// Bodies of V1 predict requests against the reference on yyjson; the first byte chooses the model's datatype.
#include "fuzz.h"
#include "predict_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    reference_compare(data, n, kserve_v1_decode, kserve_v1_encode, reference_v1);
    return 0;
}
