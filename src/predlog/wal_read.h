// SPDX-License-Identifier: Apache-2.0
// Reads one file of the write-ahead log, whatever happened to it: records, and in between what is missing.
#pragma once

#include "predlog/record.h"

struct wal_reader;

#define WAL_END_UNKNOWN UINT64_MAX

enum wal_item { WAL_END, WAL_RECORD, WAL_GAP };

// Of fd, which it borrows. first_seq: the number it is named by; end_seq: the one that the next file begins
// with, so that what is missing at the end is known; 0: this is the newest file, at whose end there may be
// what is being written just now, which is no item; WAL_END_UNKNOWN: nobody writes it any more, and there is
// no next one. ERR_NOMEM.
int wal_read_open(int fd, uint64_t first_seq, uint64_t end_seq, struct wal_reader **ret,
                  struct err *e) ERR_CHECKED;
void wal_read_close(struct wal_reader *r); // NULL is fine

// The next item. WAL_RECORD: ret, valid until the next call; schemas are records too. WAL_GAP: ret->gap and
// ret->head as if a gap record stood there: RECORD_GAP_TORN at the end, RECORD_GAP_DAMAGED before it, or from
// where on the disk gives no more of the file, with the numbers that are missing where those around it tell;
// ret->bytes is empty. ERR_NOMEM.
int wal_read_next(struct wal_reader *r, enum wal_item *ret_item, struct record *ret,
                  struct err *e) ERR_CHECKED;
