// SPDX-License-Identifier: Apache-2.0
// What a disk may hold after a power cut, told from the records of io_shim.h. It promises what POSIX does and
// no more: bytes of a file are safe after a sync of the file, names in a folder after a sync of the folder.
// All that was done since may be there, in part, in another order, or not.
#pragma once

#include "io_shim.h"

#include <stddef.h>
#include <stdint.h>

// Numbers that look random and depend on the seed alone (splitmix64).
struct dice {
    uint64_t state;
};
uint64_t dice_roll(struct dice *d, uint64_t n); // 0 … n-1

struct disk;

// Everything below `root` as it is now, safe on disk. Ends the program where it cannot be read.
struct disk *disk_new(const char *root);
struct disk *disk_new_empty(uint64_t root_ino); // only the folder, known by its inode number
// The next record happens. Its bytes must stay where they are until disk_free. Records about folders that the
// disk does not know, such as those of other programs, are passed over.
void disk_apply(struct disk *d, const struct io_record *r);
// Makes the folder `to` and in it what is left when the power fails now. The same seed leaves the same.
void disk_cut(const struct disk *d, uint64_t seed, const char *to);
void disk_free(struct disk *d);
