// SPDX-License-Identifier: Apache-2.0
// The files beside a model that hold its weights: those of `--file`, and those that an ONNX model names and
// that lie where it lies.
#pragma once

#include "cli/cli.h"
#include "cli/package.h"

// Adds both kinds to the package whose model is there already. `source` is the word that was pushed. What was
// found without being asked for is noted. ERR_INVALID for a --file that is none; errors of
// artifacts_add_path.
int beside_add(const struct args *a, const char *source, struct package *p, struct err *e) ERR_CHECKED;

// The next name of a file with weights in the bytes of an ONNX model, from *at on, which starts at 0. False
// after the last. Looks for the entry {key: "location", value: NAME} of the format's StringStringEntryProto
// as it is written, wherever it stands: what is no such entry is sorted out by the server. (onnx.proto)
bool beside_next_name(struct str model, size_t *at, struct str *ret);
