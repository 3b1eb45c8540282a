// SPDX-License-Identifier: Apache-2.0
// Compiled images on disk, so that a start need not compile what was compiled and checked before by this very
// program on this very processor. Derived and never trusted: an image is used only if it is whole, and if the
// files it was made from are; whatever is missing or damaged is compiled again. Of what runs in replicas
// there is nothing here.
#pragma once

#include "registry/registry.h"
#include "role/controller/controller.h"

struct compile_job;
struct deployment;

// Without the folder there is no cache, which is logged.
void image_cache_open(struct controller *c);
void image_cache_close(struct controller *c);

// From now on images of the deployment have this name: file and program that they are made of.
void image_cache_name(struct controller *c, struct deployment *d, const struct registry_digest *model);
bool image_cache_has(const struct controller *c, const struct deployment *d); // or something of that name
// Fills image_fd, sealed, and image_bytes of a job whose digest says what the model file is. Reads both files
// wholly. ERR_NOT_FOUND, ERR_DIGEST, ERR_TOO_LARGE, ERR_IO, ERR_NOMEM.
int image_cache_get(struct controller *c, const struct deployment *d, struct compile_job *j,
                    struct err *e) ERR_CHECKED;
// Keeps the image of a deployment that is ready. Where that fails the next start compiles.
void image_cache_put(struct controller *c, const struct deployment *d);
void image_cache_drop(struct controller *c, const struct deployment *d);
// Removes all that belongs to nothing that is loaded.
void image_cache_sweep(struct controller *c);
