// SPDX-License-Identifier: Apache-2.0
// Files that must survive a crash: whole writes, fsync of files and of the directories that name them, locks.
// What a name means and when it is durable is decided by the callers (registry). All calls block.
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

// Opens a directory for *at() calls and for file_sync. ERR_IO, ERR_NOT_FOUND.
int file_open_dir(int parent_fd, const char *path, int *ret_fd, struct err *e) ERR_CHECKED;
// Makes the directory `name` in parent_fd durable (mkdir, fsync of the parent) and opens it; one that exists
// is opened after the same fsync, because its maker may have died in between.
int file_make_dir(int parent_fd, const char *name, int *ret_fd, struct err *e) ERR_CHECKED;
// The same for a path; what lies above its last part must exist.
int file_make_dir_path(const char *path, int *ret_fd, struct err *e) ERR_CHECKED;
// Writes all n bytes at the file's position, through short writes and signals. ERR_NO_SPACE, ERR_IO.
int file_write_all(int fd, const void *p, size_t n, struct err *e) ERR_CHECKED;
// Reads up to n bytes at offset; fewer only at the end of the file, or on failure. *ret_n: bytes read, also
// then.
int file_read_at(int fd, void *p, size_t n, uint64_t offset, size_t *ret_n, struct err *e) ERR_CHECKED;
int file_size(int fd, uint64_t *ret_bytes, struct err *e) ERR_CHECKED;
// fsync of a file or of a directory. After a failure the content on disk is unknown for good: a later success
// says nothing about what failed here.
int file_sync(int fd, struct err *e) ERR_CHECKED;
// Moves from_dir/from over to_dir/to atomically and makes the new name durable. If the directory cannot be
// synced, the new name is removed again, so that a failure never leaves a name that may vanish; a file that
// had it before is gone then, too.
int file_publish(int from_dir, const char *from, int to_dir, const char *to, struct err *e) ERR_CHECKED;
// The same over a file that may be there. Whatever fails, one of the two has the name afterwards; if the
// directory cannot be synced it is the new one, of which a crash may make the old one again.
int file_replace(int from_dir, const char *from, int to_dir, const char *to, struct err *e) ERR_CHECKED;
// Takes the lock file `name` in dir_fd for the life of *ret_fd. ERR_CONFLICT names the process that holds it.
int file_lock(int dir_fd, const char *name, int *ret_fd, struct err *e) ERR_CHECKED;
// Takes it together with others who do the same, who keep out those of file_lock; waits for one of them. The
// folder of the lock file may be read-only once that is there.
int file_lock_shared(int dir_fd, const char *name, int *ret_fd, struct err *e) ERR_CHECKED;
// Writes this process's id into a lock file that was taken: for people, and after a change of hands.
void file_lock_sign(int fd);
