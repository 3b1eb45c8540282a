// SPDX-License-Identifier: Apache-2.0
// The size of an element of each section; private to the writer and the reader of images.
#pragma once

#include "engine/trees/image.h"

#include <stddef.h>

size_t image_part_bytes(enum image_section s);
