// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli, RFC 3720 appendix B.4): finds what a disk or a torn write did to bytes, not what an
// attacker did. By the processor's instruction where there is one.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Of p[0..n); before: the value of what stands before them, 0 for none.
uint32_t crc32c(uint32_t before, const void *p, size_t n);
// The same by a table, on any processor.
uint32_t crc32c_portable(uint32_t before, const void *p, size_t n);
