// SPDX-License-Identifier: Apache-2.0
// memfd, seals and mappings.
#include "os/shm.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U // Linux 6.3; glibc 2.38 names it
#endif

enum { SIZE_SEALS = F_SEAL_SHRINK | F_SEAL_GROW };

int shm_new(const char *name, size_t size, int *ret_fd, struct err *e)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) // an older kernel
        fd = memfd_create(name, flags);
    if (fd < 0)
        return err_errno(e, errno, "create shared memory");
    if (ftruncate(fd, (off_t)size) < 0) {
        int code = err_errno(e, errno, "give shared memory its size of %zu bytes", size);
        close(fd);
        return code;
    }
    *ret_fd = fd;
    return 0;
}

int shm_new_mapped(const char *name, size_t size, int *ret_fd, void **ret, struct err *e)
{
    int fd, code = shm_new(name, size, &fd, e);
    if (code)
        return code;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        code = err_errno(e, errno, "map %zu bytes of shared memory", size);
        close(fd);
        return code;
    }
    *ret_fd = fd;
    *ret = p;
    return 0;
}

int shm_seal(int fd, enum shm_seal how, struct err *e)
{
    int seals = SIZE_SEALS | F_SEAL_SEAL;
    if (how == SHM_SEAL_WRITERS)
        seals |= F_SEAL_FUTURE_WRITE;
    else if (how == SHM_SEAL_ALL)
        seals |= F_SEAL_WRITE;
    if (fcntl(fd, F_ADD_SEALS, seals) < 0)
        return err_errno(e, errno, "seal shared memory");
    return 0;
}

static int map(int fd, int prot, int flags, int want_seals, size_t min_size, size_t max_size, void **ret,
               size_t *ret_size, struct err *e)
{
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & want_seals) != want_seals)
        return err_set(e, ERR_INVALID, "descriptor %d is not sealed shared memory", fd);
    uint64_t size;
    int code = file_size(fd, &size, e);
    if (code)
        return code;
    if (size < min_size || size > max_size || size == 0)
        return err_set(e, ERR_INVALID, "shared memory has %" PRIu64 " bytes, expected %zu to %zu", size,
                       min_size, max_size);
    void *p = mmap(NULL, size, prot, flags, fd, 0);
    if (p == MAP_FAILED)
        return err_errno(e, errno, "map %" PRIu64 " bytes of shared memory", size);
    *ret = p;
    *ret_size = size;
    return 0;
}

int shm_map(int fd, bool writable, size_t min_size, size_t max_size, void **ret, size_t *ret_size,
            struct err *e)
{
    int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    return map(fd, prot, MAP_SHARED, SIZE_SEALS, min_size, max_size, ret, ret_size, e);
}

int shm_map_immutable(int fd, size_t min_size, size_t max_size, const void **ret, size_t *ret_size,
                      struct err *e)
{
    void *p;
    // Private, because Linux before 6.7 refuses shared mappings of it; the pages are the same.
    int code =
        map(fd, PROT_READ, MAP_PRIVATE, SIZE_SEALS | F_SEAL_WRITE, min_size, max_size, &p, ret_size, e);
    if (code == 0)
        *ret = p;
    return code;
}

void shm_unmap(const void *p, size_t size)
{
    if (p)
        munmap((void *)(uintptr_t)p, size);
}
