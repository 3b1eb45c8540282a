// SPDX-License-Identifier: Apache-2.0
// Private to the blobs in a directory: a shard, the folder of all blobs whose digests begin alike, and its
// lock. blob_dir.c keeps and removes blobs, blob_store.c adds them, maybe in another process.
#pragma once

#include "registry/registry.h"

// Opens sha256/ab, the first two digits of the digest; made when that is wanted. ERR_NOT_FOUND, ERR_IO.
int blob_shard_open(int sha256_fd, const char *hex, bool make, int *ret_fd, struct err *e) ERR_CHECKED;
// Takes the shard for the life of shard_fd, or until blob_shard_unlock. Who looks at a name in it and then
// acts upon what it saw holds the lock meanwhile. Without `waits` ERR_BUSY when another one has it.
int blob_shard_lock(int shard_fd, bool waits, struct err *e) ERR_CHECKED;
void blob_shard_unlock(int shard_fd);
// The age of the blob counts from now; ERR_NOT_FOUND, without saying so. A file that is there but cannot be
// touched, as another user's, keeps its age.
int blob_shard_keep(int shard_fd, const char *hex) ERR_CHECKED;
// Whether the name in the folder is that of the open file.
bool blob_shard_names(int shard_fd, const char *name, int fd);
int blob_none(const char *hex, struct err *e); // ERR_NOT_FOUND
