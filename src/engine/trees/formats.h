// SPDX-License-Identifier: Apache-2.0
// How the model formats are told apart: by the first bytes, never by a file's name. The parsers are declared
// in forest.h.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A LightGBM text model of any version: the line "tree", then one that starts with "version=".
bool lightgbm_text_detect(const uint8_t *bytes, size_t size);
