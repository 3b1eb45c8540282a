// SPDX-License-Identifier: Apache-2.0
// Decoding Snappy blocks (format_description.txt of Snappy), which Parquet files use unless told otherwise.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// from[0..n) into to[0..size): false when it is damaged, or gives not exactly so many bytes. Never reads or
// writes beyond either.
bool snappy_decode(const void *from, size_t n, void *to, size_t size);
