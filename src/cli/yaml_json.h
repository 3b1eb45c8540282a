// SPDX-License-Identifier: Apache-2.0
// YAML made JSON: what people write by hand becomes what the server reads.
#pragma once

#include "base/buf.h"
#include "base/err.h"

// Appends the one document of `text` as JSON; JSON itself passes through. `name` stands for it in errors,
// which have the line. Plain words are read as YAML 1.2 has them: null, true, false and numbers as JSON
// writes them, all else is text. Anchors, aliases and tags are refused. ERR_INVALID, ERR_TOO_DEEP, ERR_NOMEM.
int yaml_to_json(struct str text, const char *name, struct buf *json, struct err *e) ERR_CHECKED;
