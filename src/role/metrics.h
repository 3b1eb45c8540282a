// SPDX-License-Identifier: Apache-2.0
// Counters in shared memory, one shard per gateway, so that any gateway can answer /metrics for all and a
// gateway that restarts goes on counting where the last one stopped. A shard has one writer; readers add the
// shards up.
#pragma once

#include "base/hist.h"
#include "base/limits.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    METRICS_SERIES = 256, // deployments served at once; the controller gives each a slot
    METRICS_RULE_KINDS = 4,
    METRICS_RULE_ACTIONS = 3,
    METRICS_CODE_CLASSES = 6, // index = status / 100; 0 for a connection that went away before its answer
    METRICS_SIZES = 33,       // of batches: 1, 2, 4 … 2^32 rows
    METRICS_BATCH_WHOLE = 1 << 20,
    // Raised with each change of what follows: a program never reads counters that another one laid out.
    METRICS_LAYOUT = 5,
};

// How many rows were computed together, counted once for each request.
struct metrics_sizes {
    uint64_t count, sum, n[METRICS_SIZES]; // n[i]: above 2^(i - 1), at most 2^i
};

// One deployment as one gateway saw it.
struct metrics_series {
    uint64_t deployment; // key the numbers belong to; a slot taken over by another deployment starts at zero
    uint64_t left_mono_ns;                  // when it left this gateway's routes; 0 while it is served
    char model[LIMIT_MODEL_NAME_BYTES + 1]; // ends in NUL
    uint32_t version;
    uint64_t requests[METRICS_CODE_CLASSES];
    uint64_t rows;
    struct hist duration; // from the read of the request to the write of the answer
    struct hist queue;    // from the read to the start of the computation
    struct hist compute;  // of the batch the request was part of
    struct metrics_sizes batch;
    uint64_t batches; // computations, each METRICS_BATCH_WHOLE, split over its requests by their rows
    // Values that broke a rule of the signature, by enum rule_kind and enum rule_action (tensor/rule.h)
    uint64_t rules[METRICS_RULE_KINDS][METRICS_RULE_ACTIONS];

    // Of a deployment that runs in replicas; what it should be scaled by
    uint64_t arrivals;     // requests, those refused at once too
    uint64_t in_flight;    // under way now: waiting for a replica, or with one
    uint64_t waiting;      // of them
    uint64_t in_flight_ns; // time that requests were under way, added up; at most half a second behind
    uint64_t computed_ns;  // what the requests cost: of a batch, their parts
};

enum { QUARANTINE_ENTRIES = 64 };

// One gateway's list; zeroed is empty. The oldest entry makes room.
struct quarantine {
    uint64_t until_mono_ns; // the latest of all entries
    uint64_t next;
    struct {
        uint64_t hash, until_mono_ns;
    } entries[QUARANTINE_ENTRIES];
};

struct metrics_shard {
    uint64_t connections_total;
    uint64_t connections;                    // open now
    uint64_t refused_total;                  // connections refused at the limit
    uint64_t unrouted[METRICS_CODE_CLASSES]; // requests that reached no deployment: health, metadata, errors
    uint64_t bytes_in, bytes_out;
    struct quarantine quarantine;
    uint64_t n_slots; // used so far: the memory of those from there on is not touched, so it costs nothing
    struct metrics_series series[METRICS_SERIES];
};

// What metrics_series.deployment is for a version: the same number after the controller restarts, so that its
// counters go on.
uint64_t metrics_key(struct str model, uint32_t version);

// How many slots of a shard need be looked at.
static inline unsigned metrics_slots(const struct metrics_shard *shard)
{
    uint64_t n = __atomic_load_n(&shard->n_slots, __ATOMIC_RELAXED);
    return n < METRICS_SERIES ? (unsigned)n : METRICS_SERIES;
}

// A slot of one's own shard, which is used from now on. slot < METRICS_SERIES.
struct metrics_series *metrics_slot(struct metrics_shard *shard, unsigned slot);

// Makes a slot of one's own shard count for a version: from zero, unless it did already.
void metrics_series_claim(struct metrics_series *s, struct str model, uint32_t version);

// Appends the line of a native histogram (wire/exposition.h).
struct buf;
void metrics_native_put(const struct hist *h, struct buf *out);

void metrics_sizes_add(struct metrics_sizes *s, uint64_t rows, uint64_t n_requests);

// What the monitor adds to the page: whole families, as text. Behind the shards; written by the monitor
// alone.
struct metrics_text {
    uint64_t seq;   // odd while it is being written
    uint64_t bytes; // of text
    char text[LIMIT_METRICS_TEXT_BYTES];
};

// Bytes of the segment for n gateways; another layout has another size.
static inline size_t metrics_segment_bytes(unsigned n_gateways)
{
    return n_gateways * sizeof(struct metrics_shard) + sizeof(struct metrics_text) + METRICS_LAYOUT;
}
static inline struct metrics_text *metrics_text_of(void *segment, unsigned n_gateways)
{
    return (struct metrics_text *)((char *)segment + n_gateways * sizeof(struct metrics_shard));
}

// Replaces the text. One that is too long is not taken: false.
bool metrics_text_write(struct metrics_text *t, struct str text);
// Appends the text as it was at one time. One that is being written all the while (its writer may have died)
// is left out: false.
bool metrics_text_read(const struct metrics_text *t, struct buf *out);
