// SPDX-License-Identifier: Apache-2.0
// Private to the check: what its parts share. check.c goes through the blobs, check_rules.c through the
// database.
#pragma once

#include "registry/check.h"
#include "registry/registry.h"

#include <sqlite3.h>

struct check {
    const struct registry_check_spec *spec;
    struct registry_check_sum *sum;
    sqlite3 *db;         // only read
    struct blobs *blobs; // NULL with skip_blobs
    uint64_t done_bytes, total_bytes;
};

// f with `what` and `remedy` set; counts it and hands it on.
void check_report(struct check *k, struct registry_finding *f);
// A statement on the database failed: reports it as damage, unless memory was missing, which is ERR_NOMEM.
int check_sql_failed(struct check *k, struct err *e) ERR_CHECKED;

// What SQLite itself can say, then each rule. 0, ERR_NOMEM. *ret_usable: the tables can be asked further.
int check_database(struct check *k, bool *ret_usable, struct err *e) ERR_CHECKED;
