// SPDX-License-Identifier: Apache-2.0
// Recognising XGBoost's two file formats by content. The parsers themselves are declared in forest.h.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whether the bytes begin like a model that XGBoost saved: an object with a member "learner" near its start.
// Looks at the first LIMIT_DETECT_BYTES only; true promises nothing about the rest.
bool xgboost_json_detect(const uint8_t *bytes, size_t size);
bool xgboost_ubj_detect(const uint8_t *bytes, size_t size);
