// SPDX-License-Identifier: Apache-2.0
// The log of feedback: entries of one size, each with its checksum, in state/feedback/N.labels, N being the
// number of a file's first entry. What labels_flush has said is durable; a place that is damaged costs the
// entries in it and no others.
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum labels_kind {
    LABELS_WAITING = 1, // a label whose prediction is not known: `label_bits`, `label_kind`
    LABELS_JUDGED,      // with what was predicted, and `truth`
    LABELS_PREDICTED,   // label_bits rows more were predicted in the hour that begins at predicted_ns
    LABELS_SCORED,      // JUDGED, of several classes, with what labels_take_scores takes out of it
};

// outcome_kind: enum outcome_kind in its low half; above that the rank of the true class, 0 as in older
// files: not known. score: of several classes with a rank the probability of the true one.
enum { LABELS_OUTCOME_MASK = 15, LABELS_RANK_SHIFT = 4 };

struct labels_entry {
    uint32_t crc; // CRC-32C of what follows
    uint8_t kind, arm, outcome_kind, label_kind;
    uint64_t seq;
    uint8_t id[16];
    uint32_t row, version;
    uint64_t deployment, predicted_ns, labelled_ns, label_bits;
    double truth, score;
    int32_t class;
    uint32_t n_classes;
};
_Static_assert(sizeof(struct labels_entry) == 96, "entries are on disk");

enum { LABELS_FILE_BYTES = 16 << 20, LABELS_PENDING_BYTES = 8 << 20, LABELS_FILES_KEPT = 4 };

struct labels;

// Takes the folder for this process. ERR_CONFLICT: another has it; ERR_IO, ERR_NOMEM.
int labels_open(const char *data_dir, struct labels **ret, struct err *e) ERR_CHECKED;
void labels_close(struct labels *l); // NULL is fine; what is pending is lost
int labels_dir(const struct labels *l);
// Each entry that is kept, in order, once after labels_open. *ret_bad: how many were damaged or torn.
int labels_replay(struct labels *l, void (*visit)(void *ctx, const struct labels_entry *entry), void *ctx,
                  uint64_t *ret_bad, struct err *e) ERR_CHECKED;
// Of several classes there is more to say than there are fields: for LABELS_SCORED the class that is true is
// the high half of label_bits, the confidence, a float, its low half, and `truth` the sum of the squares of
// the probabilities. The first makes such an entry of one that is JUDGED, the other makes that of it again.
void labels_put_scores(struct labels_entry *x, double squares, float confidence);
void labels_take_scores(struct labels_entry *x, double *ret_squares, float *ret_confidence);
// Numbers the entry and keeps it until the next flush. ERR_BUSY over LABELS_PENDING_BYTES; ERR_NOMEM.
int labels_append(struct labels *l, struct labels_entry *entry, struct err *e) ERR_CHECKED;
// After 0 all that was appended is durable; else it stays pending. ERR_NO_SPACE, ERR_IO.
int labels_flush(struct labels *l, struct err *e) ERR_CHECKED;
// Later entries have numbers above this one, which the caller knows from elsewhere.
void labels_skip_to(struct labels *l, uint64_t seq);
uint64_t labels_last_seq(const struct labels *l);
// Whether the file is full: the caller saves what follows from all entries, then begins another file, with
// which the oldest go.
bool labels_is_full(const struct labels *l);
void labels_next_file(struct labels *l);
