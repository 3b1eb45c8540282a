// SPDX-License-Identifier: Apache-2.0
// Versions that `slipway export` wrote become packages again.
#pragma once

#include "cli/folder.h"
#include "cli/package.h"

// From a directory with slipway.json, and from an OCI image layout. Sizes are compared at once, digests when
// the files are hashed. ERR_DIGEST or ERR_NOT_FOUND name the file that is damaged or absent.
int import_bundle(struct folder *f, struct package *p, struct err *e) ERR_CHECKED;
int import_oci(struct folder *f, struct package *p, struct err *e) ERR_CHECKED;
