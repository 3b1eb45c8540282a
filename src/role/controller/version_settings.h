// SPDX-License-Identifier: Apache-2.0
// Settings of a version: fields of the manifest, kept with the version as JSON. Most are of those that run in
// replicas; those of the log are of any.
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct yyjson_val;

enum { VERSION_SETTINGS_FIELDS = 15, VERSION_SETTINGS_WORD_BYTES = 32 };

struct version_settings {
    uint32_t min_replicas, max_replicas;
    uint32_t threads; // of one run; 1: replicas share the model's memory
    char optimization[VERSION_SETTINGS_WORD_BYTES], provider[VERSION_SETTINGS_WORD_BYTES];
    uint32_t memory_mb;       // of one replica; 0: no limit
    uint32_t batch_budget_ms; // 0: none
    uint32_t hang_ms;
    char policy[VERSION_SETTINGS_WORD_BYTES]; // how it replaces another (replace.h); empty: as the server's
                                              // setting
    // Of one whose number of replicas may change
    uint32_t concurrency;    // requests that one replica should have under way
    uint32_t scale_window_s; // over which the load is averaged
    uint32_t idle_s;         // without a request, before the last one ends; 0: by the time it takes to load
    // What is logged of it, as role/ipc.h says it; empty, 0: as the server's settings
    char log[VERSION_SETTINGS_WORD_BYTES], log_overflow[VERSION_SETTINGS_WORD_BYTES],
        log_durability[VERSION_SETTINGS_WORD_BYTES];
    uint32_t log_one_in;
};

// Defaults: one replica with one thread.
void version_settings_init(struct version_settings *s);
// Name of field i < VERSION_SETTINGS_FIELDS.
struct str version_settings_field(unsigned i);
// Whether it says something only of versions that run in replicas.
bool version_settings_is_of_replicas(unsigned i);
// Sets field i from its JSON value. ERR_WRONG_TYPE, ERR_OUT_OF_RANGE: names the value and what is expected;
// the caller says where.
int version_settings_set(struct version_settings *s, unsigned i, struct yyjson_val *value,
                         struct err *e) ERR_CHECKED;
// Defaults, changed by an object of fields as the registry has it. ERR_INVALID, ERR_NOMEM.
int version_settings_decode(struct str json, struct version_settings *ret, struct err *e) ERR_CHECKED;
