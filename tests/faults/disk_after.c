// SPDX-License-Identifier: Apache-2.0
// What a power cut leaves of a server's data directory, from what faulty_server recorded.
//
//   disk_after RECORDS ROOT BYTES SEED TO      ROOT: the inode number of the data directory, empty at first;
//                                              BYTES: the power fails after so many of the records
#include "disk_model.h"

#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 6)
        errx(2, "usage: disk_after RECORDS ROOT BYTES SEED TO");
    struct disk *disk = disk_new_empty(strtoull(argv[2], NULL, 10));
    struct stat st;
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        err(1, "open '%s'", argv[1]);
    size_t n = (size_t)st.st_size, limit = strtoull(argv[3], NULL, 10);
    const char *log = n ? mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (log == MAP_FAILED)
        err(1, "read '%s'", argv[1]);
    for (size_t at = 0; at < n;) {
        const struct io_record *r = (const struct io_record *)(const void *)(log + at);
        at += io_record_size(r);
        if (at > limit || at > n)
            break;
        disk_apply(disk, r);
    }
    disk_cut(disk, strtoull(argv[4], NULL, 10), argv[5]);
    disk_free(disk);
    return 0;
}
