// SPDX-License-Identifier: Apache-2.0
// A log in a folder of its own, and predictions to put into it, for the tests of predlog.
#pragma once

#include "predlog/query.h"
#include "predlog/schema.h"
#include "predlog/seal.h"
#include "predlog/wal.h"
#include "tempdir.h"

struct logbook {
    char dir[TEMPDIR_SIZE];
    int wal_fd, log_fd;
    struct wal *wal;
    struct wal_found found;
    uint64_t wall_ns, mono_ns;
    struct predlog_schema *schemas[3]; // churn 1, churn 2, fraud 1
    struct record_plan plans[3];
    uint64_t n_made;
};

#define LOGBOOK_START_NS UINT64_C(1795340969123456000) // 2026-11-22T10:29:29.123456Z… an hour with room
#define LOGBOOK_HOUR_NS  (UINT64_C(3600) * 1000000000)

void logbook_init(struct logbook *l);
void logbook_done(struct logbook *l);
// Opens the writer (again), with all schemas known.
void logbook_open(struct logbook *l, uint64_t next_seq);
// Appends a prediction with one row of version `which` (0 to 2) and returns its number.
uint64_t logbook_add(struct logbook *l, int which);
uint64_t logbook_add_status(struct logbook *l, int which, uint16_t status);
void logbook_commit(struct logbook *l);
// Closes the file and seals everything.
struct seal_done logbook_seal(struct logbook *l);
// How many lines a query finds; the last ones' numbers in ret_seqs (of `cap`), NULL: not needed.
uint64_t logbook_count(struct logbook *l, struct predlog_query q);
uint32_t logbook_faults(struct logbook *l, struct predlog_verify *ret);
// The path of the newest or oldest file of the write-ahead log.
void logbook_wal_path(struct logbook *l, bool newest, char ret[TEMPDIR_SIZE + 64]);
