// SPDX-License-Identifier: Apache-2.0
// One sealed file while it is made: lines into one zstd frame with checksum, in log/tmp, moved to its name
// and made durable when it is whole. And its reading.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "predlog/manifest.h"
#include "predlog/record.h"

struct part;

// Begins one for a model and the hour that wall_ns lies in, in tmp_fd. ERR_IO, ERR_NO_SPACE, ERR_NOMEM.
int part_new(int tmp_fd, struct str model, uint64_t wall_ns, uint64_t wal, struct part **ret,
             struct err *e) ERR_CHECKED;
void part_free(struct part *p); // removes what was not published; NULL is fine
// Whether it is the one for this model and hour.
bool part_is(const struct part *p, struct str model, uint64_t wall_ns);
// Adds the lines of a record, and the schema (its JSON) they were written by, once each.
int part_add(struct part *p, const struct record *r, struct str lines, uint32_t n_lines, uint64_t schema_key,
             struct str schema_json, struct err *e) ERR_CHECKED;
// Ends it and moves it to its name below log_fd. *ret is valid as long as p.
int part_publish(struct part *p, int log_fd, struct predlog_entry *ret, struct err *e) ERR_CHECKED;

// Hands the lines of a sealed file to on_line, without newlines, until that returns other than 0, which is
// returned. ERR_IO, ERR_NOMEM, ERR_DIGEST: the file is not a whole frame.
int part_read(int fd, int (*on_line)(void *ctx, struct str line, struct err *e), void *ctx,
              struct err *e) ERR_CHECKED;
// The SHA-256 of a file as 64 hex digits. ERR_IO, ERR_NOMEM.
int part_digest(int fd, char ret[MANIFEST_SHA256_SIZE], struct err *e) ERR_CHECKED;
