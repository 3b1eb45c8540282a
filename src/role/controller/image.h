// SPDX-License-Identifier: Apache-2.0
// From a compiled image to a deployment that gateways can be given.
#pragma once

#include "role/controller/compile_job.h"
#include "role/controller/controller.h"

// A sealed memfd with this text, the caller's. ERR_IO, ERR_NOMEM.
int image_of_text(const char *name, struct str text, int *ret_fd, struct err *e) ERR_CHECKED;
// Fills d's describe_json from an interface as the registry or an image has it. ERR_INVALID, ERR_NOMEM.
int image_describe_interface(struct deployment *d, struct str json, struct err *e) ERR_CHECKED;
// Opens the job's image with its engine, which checks all of it, and fills d's image, engine and
// describe_json; takes the image's descriptor in any case. Appends the signature as JSON. ERR_BAD_MODEL,
// ERR_NOMEM, ERR_IO.
int image_take(struct compile_job *j, struct deployment *d, struct buf *signature_json,
               struct err *e) ERR_CHECKED;
// Lets go of what d took, so that another image can be taken; none is fine.
void image_forget(struct deployment *d);
