// SPDX-License-Identifier: Apache-2.0
// What the second word of `slipway push` may be, and which part of the command line takes it.
#pragma once

#include "cli/package.h"

// Gathers the version's files and fields from a file, "-", a directory (of MLflow, an export of Slipway, an
// OCI image layout), or an address of MLflow (models:/, runs:/). The package was begun by package_init; its
// notes are worth showing also after an error. ERR_INVALID for a directory that is none of these; errors of
// the parts.
int import_source(const char *source, const struct args *a, struct package *p, struct err *e) ERR_CHECKED;
