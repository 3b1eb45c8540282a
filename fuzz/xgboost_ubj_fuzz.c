// SPDX-License-Identifier: Apache-2.0
// Any bytes as an XGBoost UBJSON model: refused with a reason, or sound enough to compute any row.
#include "xgboost_fuzz.h"

#include "engine/trees/xgboost.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    (void)xgboost_ubj_detect(data, n);
    xgboost_fuzz(data, n, xgboost_ubj_parse);
    return 0;
}
