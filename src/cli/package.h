// SPDX-License-Identifier: Apache-2.0
// What a version is made of, on its way into a server or out of one: its files, and the fields of its
// manifest. Every source of a push (a file, a directory, a tracking server) yields one.
#pragma once

#include "cli/artifacts.h"

#include <yyjson.h>

struct package {
    struct artifacts files;
    yyjson_mut_doc *doc; // its root: the manifest's fields besides "artifacts" and "promote"
    struct buf notes;    // lines for people: what was taken, and what was not
};

int package_init(struct package *p, struct err *e) ERR_CHECKED; // ERR_NOMEM
void package_done(struct package *p);                           // also after a failed package_init

// Sets a field of the manifest to a text. Empty texts are not set.
void package_set_text(struct package *p, const char *field, struct str text);
// Sets a field to a copy of a JSON value.
void package_set_value(struct package *p, const char *field, yyjson_val *value);
// Sets a member of the object `field`: "tags" or "metrics". Empty texts are not set.
void package_put_tag(struct package *p, const char *name, struct str text);
void package_put_metric(struct package *p, struct str name, double value);
// Appends a line to the notes, with its newline; control characters become visible.
void package_note(struct package *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// Appends the manifest: the files, the fields of `flags` (a JSON object, what the command line says), and
// those fields of the package that the flags do not set; tags and metrics are joined name by name.
// ERR_NOMEM; ERR_INTERNAL when flags is not a JSON object.
int package_put_manifest(struct package *p, struct str flags, struct buf *out, struct err *e) ERR_CHECKED;
