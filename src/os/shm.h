// SPDX-License-Identifier: Apache-2.0
// Shared memory without names: memfd descriptors, sealed, so that a reader need not trust the writer not to
// shrink or change what it has mapped.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum shm_seal {
    SHM_SEAL_SIZE,    // its size is fixed; contents may change
    SHM_SEAL_WRITERS, // size fixed, and only the writable mappings that exist now may write
    SHM_SEAL_ALL,     // never changes again; fails while a writable mapping exists
};

// A new region of `size` bytes, zeroed, close-on-exec; `name` is for /proc only. The caller owns *ret_fd.
int shm_new(const char *name, size_t size, int *ret_fd, struct err *e) ERR_CHECKED;
// The same, mapped writable as well: the way to keep the only writable mapping past SHM_SEAL_WRITERS.
int shm_new_mapped(const char *name, size_t size, int *ret_fd, void **ret, struct err *e) ERR_CHECKED;
int shm_seal(int fd, enum shm_seal how, struct err *e) ERR_CHECKED;
// Maps all of fd. ERR_INVALID unless its size is fixed by a seal and lies in min_size … max_size. Unmap with
// shm_unmap; fd may be closed.
int shm_map(int fd, bool writable, size_t min_size, size_t max_size, void **ret, size_t *ret_size,
            struct err *e) ERR_CHECKED;
// As shm_map, read-only, and also ERR_INVALID unless the contents can never change (SHM_SEAL_ALL): what was
// validated once stays valid.
int shm_map_immutable(int fd, size_t min_size, size_t max_size, const void **ret, size_t *ret_size,
                      struct err *e) ERR_CHECKED;
void shm_unmap(const void *p, size_t size); // NULL is fine
