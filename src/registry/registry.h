// SPDX-License-Identifier: Apache-2.0
// The registry: which models and versions exist, which alias names which version, who changed what. Two small
// tables of functions are its whole surface: struct registry (names and numbers) and struct blobs (bytes by
// digest), so that other databases and object stores come beside SQLite and the directory. Only the
// controller writes; everything blocks.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REGISTRY_DIGEST_BYTES = 32,
    REGISTRY_DIGEST_HEX = 2 * REGISTRY_DIGEST_BYTES + 1,                        // with NUL
    REGISTRY_DIGEST_TEXT = sizeof "sha256:" - 1 + 2 * REGISTRY_DIGEST_BYTES + 1 // with NUL
};

struct registry_digest {
    uint8_t bytes[REGISTRY_DIGEST_BYTES]; // SHA-256
};

// "sha256:" and 64 lower-case hexadecimal digits; false for anything else.
bool registry_digest_parse(struct str text, struct registry_digest *ret);
void registry_digest_hex(const struct registry_digest *d, char ret[REGISTRY_DIGEST_HEX]);
void registry_digest_text(const struct registry_digest *d, char ret[REGISTRY_DIGEST_TEXT]);
bool registry_digest_eq(const struct registry_digest *a, const struct registry_digest *b);

// ERR_INVALID says the rule. Models: [A-Za-z0-9][A-Za-z0-9._-]{0,127}. Aliases: the same up to 64 bytes, and
// never only digits, because a number names a version. Artifacts: relative paths of such parts.
int registry_model_name_check(struct str name, struct err *e) ERR_CHECKED;
int registry_alias_check(struct str alias, struct err *e) ERR_CHECKED;
int registry_artifact_name_check(struct str name, struct err *e) ERR_CHECKED;

// A change that is made once, however often it is asked for under this key: how it was asked for, and what
// was answered. Written with the change, kept for LIMIT_ONCE_HOURS.
struct registry_once {
    struct str key, method, path;
    struct registry_digest body;
    int status;
    struct str answer;
};

// Who causes a change, for the audit table.
struct registry_cause {
    struct str actor, request_id; // may be empty
    uint64_t wall_ns;
    struct str reason;                // in the words of who asked; may be empty
    const struct registry_once *once; // NULL: without a key. Its key is not known: once_find said so
};

// What a file of a version is for.
enum registry_role {
    REGISTRY_ROLE_MODEL,    // what is compiled or loaded: exactly one
    REGISTRY_ROLE_DATA,     // weights that the model file names: any number
    REGISTRY_ROLE_GOLDEN,   // rows and the outputs that they must give
    REGISTRY_ROLE_BASELINE, // rows that the model was trained on, or like those
    REGISTRY_ROLE_EXAMPLE,  // an input, for who tries the model
    REGISTRY_ROLES
};
const char *registry_role_name(enum registry_role role); // "model"
bool registry_role_parse(struct str name, enum registry_role *ret);

struct registry_artifact {
    struct str name; // "model.json"
    struct registry_digest digest;
    uint64_t size_bytes;
    enum registry_role role;
};

// One immutable version. What the store returns lies in the caller's arena.
struct registry_version {
    uint64_t id; // of this version among all, never reused
    struct str model;
    uint32_t number;           // 1, 2, 3 … per model, never reused
    struct str state;          // "ready", or "rejected": kept with its reasons, never deployed or named
    struct str engine, format; // "trees", "xgboost_json"
    struct str signature_json; // empty in lists
    struct str description;
    struct str tags_json;      // an object of strings
    struct str settings_json;  // an object; what it may hold is the controller's to know
    struct str reasons_json;   // why it was rejected: an array of objects
    struct str admission_json; // the report of its admission; empty without one, and in lists
    struct str metrics_json;   // an object of numbers, given by who trained it
    struct str trained_from;   // a run, a commit, a URI; may be empty
    uint32_t replaces;         // the champion when it was made; 0 without one
    bool is_newest;            // the highest number of its model that was not rejected; not for version_add
    struct str created_by;
    uint64_t created_wall_ns;
    struct registry_artifact *artifacts; // (n_artifacts) the model first, then by name
    size_t n_artifacts;
};

bool registry_version_is_rejected(const struct registry_version *v);
// The first of its artifacts in that role; NULL without one.
const struct registry_artifact *registry_version_artifact(const struct registry_version *v,
                                                          enum registry_role role);

// What housekeeping may let go: all but the newest so many of a model that were not rejected (0: as many as
// there are), of these those made before a time.
struct registry_retention {
    uint32_t newest;
    uint64_t before_wall_ns;
};
struct registry_expired {
    uint64_t id;
    struct str model;
    uint32_t number;
    uint64_t created_wall_ns;
    struct str alias; // one that names it; empty without
    bool is_default;  // the newest of a model that has no champion
    bool is_pinned;   // it has the tag "pinned", and not as "false"
};

// Which versions to list: of one model the newest first, of all models by id. All zero: all of all models.
struct registry_versions_query {
    struct str model;  // empty: all
    uint32_t before;   // of one model: numbers below this one; 0: from the newest
    uint64_t after_id; // of all models: ids above this one
    uint32_t limit;    // 0: without one
};

struct registry_model {
    struct str name;
    uint32_t n_versions, latest; // latest: the highest number that exists
    uint32_t latest_ready;       // and was not rejected; 0 without one
    uint32_t champion;           // version number, 0 without that alias
    uint64_t created_wall_ns;    // of its first version
};

struct registry_alias {
    struct str model, name;
    uint32_t version;
};

// A move of an alias. What is known of it outlives the versions and the model.
struct registry_alias_change {
    uint64_t id; // grows
    struct str model, alias;
    uint32_t version, previous; // 0: none
    struct str kind;            // "promote", "rollback", "remove"
    uint64_t wall_ns;
    struct str actor, request_id, reason;
};

// Which rows of a history to list, newest first. All zero: all.
struct registry_history_query {
    struct str model, alias; // empty: of any
    uint64_t before;         // rows with a lower number than this one; 0: from the newest
    uint32_t limit;          // 0: without one
};

// One row of the audit.
struct registry_audit {
    uint64_t id, wall_ns;
    struct str actor, request_id;
    struct str action; // "version_add"
    struct str model;
    uint32_t version;         // 0: none
    struct str before, after; // as the action has it: "champion=3"
    struct str reason;
    struct registry_digest hash; // of the row before and of all this
};

// A rollout. What the texts of JSON hold is its owner's to know (src/rollout); they are kept as they are
// given.
struct registry_rollout {
    uint64_t id; // never reused
    struct str model, alias;
    uint32_t baseline;       // version numbers; the alias names the baseline when it begins
    struct str candidates;   // "7", or of several arms "7,9"
    uint32_t attempt;        // 1 for the first rollout of these candidates
    struct str request_json; // as it was asked for
    struct str salt;         // 32 hexadecimal digits
    struct str state;        // "running"
    bool is_over;            // one at most of a model is not
    uint64_t n_moves;        // that are kept, numbered from 1
    struct str plan_json;    // from which it goes on; empty in lists
    struct str counts_json;  // likewise, what was counted: at the last move, or later; empty in lists
    uint64_t created_wall_ns, moved_wall_ns;
};

// A move of a rollout: what is kept of it for good, and what the rollout is after it.
struct registry_rollout_move {
    uint64_t number;  // the next one
    struct str event; // "step_passed"
    struct str state; // after it
    bool is_over;
    struct str record_json; // never changed
    struct str plan_json, counts_json;
};

// Which rollouts to list, newest first. All zero: all of all models.
struct registry_rollouts_query {
    struct str model; // empty: all
    bool not_over;
    uint64_t before; // ids below this one; 0: from the newest
    uint32_t limit;  // 0: without one
};

struct registry_rollout_record {
    uint64_t number, wall_ns;
    struct str event, state, record_json;
};

// What checking the audit found.
struct registry_audit_report {
    uint64_t n_rows;
    struct registry_audit head; // the last row as audit_head has it: id and hash
    uint64_t n_findings;        // of these the first are told
    struct registry_audit_finding {
        uint64_t first, last; // rows
        struct str text;      // "rows 7 to 9 are missing"
    } * findings;
    size_t n_told;
    bool has_second_head; // whether data_dir/audit.head could be compared, too
};

struct registry;

// Every change is one transaction with its audit row: after 0 it is durable, after an error it is absent.
// When the storage fails while a change is committed, the store reopens itself and looks which of the two
// holds; only if that fails too is the outcome open, and the error says so. ERR_IO, ERR_NO_SPACE, ERR_NOMEM
// apply to all. After an error of the storage changes are refused with ERR_READ_ONLY until the database could
// be opened anew, was checked, and took a write. When the disk is full, changes that add no version use a
// reserve; those that add one wait until there is room for it again (`room`).
struct registry_ops {
    void (*close)(struct registry *r); // NULL is fine

    // ERR_NO_SPACE when the disk is so full that nothing should be added.
    int (*room)(struct registry *r, struct err *e);
    // The id and number that a version of `model` would get now; nothing is taken.
    int (*version_next)(struct registry *r, struct str model, uint64_t *ret_id, uint32_t *ret_number,
                        struct err *e);
    // Adds v and, unless alias is empty, moves that alias to it. *ret_id and *ret_number: as given by the
    // store where v has 0, else v's own, which must be as high as version_next said; ERR_CONFLICT when they
    // are taken, or when a rejected version should get an alias. Texts of v that are empty get what stands
    // for nothing: state "ready", "{}", "[]".
    int (*version_add)(struct registry *r, const struct registry_cause *cause,
                       const struct registry_version *v, struct str alias, uint64_t *ret_id,
                       uint32_t *ret_number, struct err *e);
    // ERR_UNKNOWN_MODEL, ERR_UNKNOWN_VERSION; ERR_CONFLICT while an alias names it, unless force, which drops
    // those aliases.
    int (*version_remove)(struct registry *r, const struct registry_cause *cause, struct str model,
                          uint32_t number, bool force, struct err *e);
    // All versions and aliases of it. Numbers go on where they were if the name comes back.
    // ERR_UNKNOWN_MODEL.
    int (*model_remove)(struct registry *r, const struct registry_cause *cause, struct str model,
                        struct err *e);
    // ERR_UNKNOWN_MODEL, ERR_UNKNOWN_VERSION; ERR_CONFLICT when the version was rejected.
    int (*alias_set)(struct registry *r, const struct registry_cause *cause, struct str model,
                     struct str alias, uint32_t number, struct err *e);

    // ERR_UNKNOWN_MODEL; ERR_NOT_FOUND when there is no such alias. *ret_was: what it named.
    int (*alias_remove)(struct registry *r, const struct registry_cause *cause, struct str model,
                        struct str alias, uint32_t *ret_was, struct err *e);
    // Where a rollback of the alias goes: the version that it named before it was moved to the present one,
    // or with `to` the last time that it named that one; steps that were undone do not count, nor do versions
    // that exist no more. ERR_UNKNOWN_MODEL, ERR_NOT_FOUND when the alias never was; ERR_CONFLICT when there
    // is no way back. Nothing changes.
    int (*rollback_find)(struct registry *r, struct str model, struct str alias, uint32_t to,
                         uint32_t *ret_number, struct err *e);
    // Moves the alias there; ERR_CONFLICT, too, when that is not `expected`.
    int (*rollback)(struct registry *r, const struct registry_cause *cause, struct str model,
                    struct str alias, uint32_t to, uint32_t expected, struct err *e);

    // The id and the attempt that a rollout of these candidates would get now; nothing is taken.
    int (*rollout_next)(struct registry *r, struct str model, struct str candidates, uint64_t *ret_id,
                        uint32_t *ret_attempt, struct err *e);
    // Adds a rollout with its first move, which has all that `v` has no text for; its id is what rollout_next
    // said. ERR_CONFLICT while another of the model is not over.
    int (*rollout_add)(struct registry *r, const struct registry_cause *cause,
                       const struct registry_rollout *v, const struct registry_rollout_move *first,
                       struct err *e);
    // ERR_NOT_FOUND; ERR_CONFLICT when the move's number is not the next.
    int (*rollout_move)(struct registry *r, const struct registry_cause *cause, uint64_t id,
                        const struct registry_rollout_move *move, struct err *e);
    // What was counted since the last move; no change in the sense of the audit.
    int (*rollout_keep)(struct registry *r, uint64_t id, struct str counts_json, struct err *e);
    // ERR_NOT_FOUND.
    int (*rollout_find)(struct registry *r, uint64_t id, struct arena *a, struct registry_rollout *ret,
                        struct err *e);
    int (*rollouts)(struct registry *r, const struct registry_rollouts_query *which, struct arena *a,
                    struct registry_rollout **ret, size_t *ret_n, struct err *e);
    // Moves of a rollout above the number `after`, in order; limit 0: all.
    int (*rollout_records)(struct registry *r, uint64_t id, uint64_t after, uint32_t limit, struct arena *a,
                           struct registry_rollout_record **ret, size_t *ret_n, struct err *e);

    // Models that have a version, by name: those after `after` (empty: from the first), at most `limit` (0:
    // all).
    int (*models_page)(struct registry *r, struct str after, uint32_t limit, struct arena *a,
                       struct registry_model **ret, size_t *ret_n, struct err *e);
    // All of them.
    int (*models)(struct registry *r, struct arena *a, struct registry_model **ret, size_t *ret_n,
                  struct err *e);
    // Without signature_json and admission_json. An unknown model has none.
    int (*versions)(struct registry *r, const struct registry_versions_query *which, struct arena *a,
                    struct registry_version **ret, size_t *ret_n, struct err *e);
    // Which versions to load when not all can be: at most `limit`; those with an alias, then the newest of
    // each model that was not rejected, then the others, the latest first. *ret_all: these are all there are.
    // Without signature_json and admission_json.
    int (*versions_first)(struct registry *r, uint32_t limit, struct arena *a, struct registry_version **ret,
                          size_t *ret_n, bool *ret_all, struct err *e);
    // Aliases of one model, or of all (empty), by model and name.
    int (*aliases)(struct registry *r, struct str model, struct arena *a, struct registry_alias **ret,
                   size_t *ret_n, struct err *e);
    int (*alias_history)(struct registry *r, const struct registry_history_query *which, struct arena *a,
                         struct registry_alias_change **ret, size_t *ret_n, struct err *e);
    // Rows of the audit; `alias` of the query is not looked at.
    int (*audit)(struct registry *r, const struct registry_history_query *which, struct arena *a,
                 struct registry_audit **ret, size_t *ret_n, struct err *e);
    // What was done under `key`, and its audit row's number and hash; *ret_found false: nothing, within the
    // time that keys are kept.
    int (*once_find)(struct registry *r, struct str key, uint64_t now_wall_ns, struct arena *a,
                     bool *ret_found, struct registry_once *ret, struct registry_audit *ret_receipt,
                     struct err *e);
    // Number and hash of the last row of the audit: a receipt for the change that was just made.
    int (*audit_head)(struct registry *r, struct registry_audit *ret, struct err *e);
    // Computes all hashes anew and compares. `receipt`, unless NULL, is a number and hash that somebody was
    // given earlier. 0 whatever is found.
    int (*audit_verify)(struct registry *r, const struct registry_audit *receipt, struct arena *a,
                        struct registry_audit_report *ret, struct err *e);
    // A page of the versions that a rule lets go, by id: call it with *after_id 0 at first, until that is 0
    // again. A page may be empty.
    int (*expired)(struct registry *r, const struct registry_retention *rule, uint64_t *after_id,
                   struct arena *a, struct registry_expired **ret, size_t *ret_n, struct err *e);
    // Writes into the audit that garbage was collected, and what became of it; the change itself is in the
    // blobs, and in version_remove.
    int (*collected)(struct registry *r, const struct registry_cause *cause, struct str what, struct err *e);
    // The versions that need blob d, by id: up to `cap` of those above after_id, in ret_ids.
    int (*blob_users)(struct registry *r, const struct registry_digest *d, uint64_t after_id,
                      uint64_t *ret_ids, size_t cap, size_t *ret_n, struct err *e);
    // ERR_UNKNOWN_MODEL (hint: the nearest name), ERR_UNKNOWN_VERSION (hint: the nearest numbers or alias,
    // also from what changes a version). `selector` is a number or an alias; empty: the champion, else the
    // newest that was not rejected.
    int (*version_find)(struct registry *r, struct str model, struct str selector, struct arena *a,
                        struct registry_version *ret, struct err *e);
};

struct registry {
    const struct registry_ops *ops;
};

// ops->version_find by a number.
int registry_version_find(struct registry *r, struct str model, uint32_t number, struct arena *a,
                          struct registry_version *ret, struct err *e) ERR_CHECKED;

// Opens data_dir/registry.db, made and migrated when needed, checked, and locked against a second writer
// through run/registry.lock. ERR_CONFLICT when locked; ERR_INVALID when it was
// written by a newer Slipway or is no registry; ERR_IO when the check finds damage.
int registry_sqlite_open(const char *data_dir, struct registry **ret, struct err *e) ERR_CHECKED;

// The audit of a data directory that a server may be using or not: read-only, as audit_verify. ERR_NOT_FOUND
// without a registry, ERR_INVALID when it is of an older schema.
int registry_sqlite_audit_verify(const char *data_dir, const struct registry_audit *receipt, struct arena *a,
                                 struct registry_audit_report *ret, struct err *e) ERR_CHECKED;
// A rollout of that registry with all of its moves, at one moment. ERR_NOT_FOUND.
int registry_sqlite_rollout_read(const char *data_dir, uint64_t id, struct arena *a,
                                 struct registry_rollout *ret, struct registry_rollout_record **ret_records,
                                 size_t *ret_n, struct err *e) ERR_CHECKED;
// Rows of that audit, newest first.
int registry_sqlite_audit_list(const char *data_dir, const struct registry_history_query *which,
                               struct arena *a, struct registry_audit **ret, size_t *ret_n,
                               struct err *e) ERR_CHECKED;

// Bytes by digest.
struct blobs;
struct blob_writer;

// Descriptors and the name that make a blob; to be handed to the process that calls blob_store.
struct blob_parts {
    int sha256_fd; // the folder of all blobs
    int tmp_fd;    // where the file is now; -1: the blob is there already
    int file_fd;
    const char *tmp_name;
    bool *ret_replaced; // set by blob_store: what had the name was damaged and made place. NULL: nobody asks
};

// A blob that lies in the store, whoever needs it.
struct blob_entry {
    struct registry_digest digest;
    uint64_t size_bytes;
    uint64_t kept_wall_ns; // when it was stored, or last kept
};

struct blobs_ops {
    void (*close)(struct blobs *b); // NULL is fine
    // A new blob of at most max_bytes, invisible until blob_store.
    int (*writer_open)(struct blobs *b, uint64_t max_bytes, struct blob_writer **ret, struct err *e);
    // ERR_TOO_LARGE, ERR_NO_SPACE, ERR_IO.
    int (*write)(struct blob_writer *w, const void *p, size_t n, struct err *e);
    uint64_t (*size)(const struct blob_writer *w); // bytes written so far
    // Frees w and what is left of its file; a blob that blob_store has put in place stays. NULL is fine.
    void (*abort)(struct blob_writer *w);
    // ERR_NOT_FOUND.
    int (*find)(struct blobs *b, const struct registry_digest *d, uint64_t *ret_size, struct err *e);
    // What blob_store needs, borrowed: of what w wrote, or with w NULL of a blob that is there already.
    void (*parts)(struct blobs *b, struct blob_writer *w, struct blob_parts *ret);
    // A descriptor to read the blob from, the caller's. ERR_NOT_FOUND. Whether it is whole is for
    // digest_check_step to find out.
    int (*open)(struct blobs *b, const struct registry_digest *d, int *ret_fd, struct err *e);
    // The bytes of fd, opened as blob d, are others: moves it out of the way, so that a good copy can be
    // stored; one that took its place already stays. Always ERR_DIGEST.
    int (*set_aside)(struct blobs *b, const struct registry_digest *d, int fd, struct err *e);

    // Those whose digest begins with the byte `first`, in any order, in the arena.
    int (*list)(struct blobs *b, uint8_t first, struct arena *a, struct blob_entry **ret, size_t *ret_n,
                struct err *e);
    // Somebody means to use blob d: its age is counted from now. ERR_NOT_FOUND.
    int (*keep)(struct blobs *b, const struct registry_digest *d, struct err *e);
    // Blob d is gone at once; its bytes lie in the trash until blob_trash_empty. Not durable: a power cut may
    // bring it back, as a blob that nothing needs. ERR_BUSY when it was kept since kept_before_wall_ns, or
    // one like it is being stored;
    // ERR_NOT_FOUND, ERR_REFUSED when open read-only.
    int (*discard)(struct blobs *b, const struct registry_digest *d, uint64_t kept_before_wall_ns,
                   struct err *e);
    // The folder of the trash, borrowed; -1: nothing was ever discarded.
    int (*trash)(struct blobs *b);
};

struct blobs {
    const struct blobs_ops *ops;
};

// data_dir/blobs, made when needed; half-written blobs of a writer that died are removed. Read-only opens
// change nothing and refuse writer_open with ERR_REFUSED.
int blobs_dir_open(const char *data_dir, bool read_only, struct blobs **ret, struct err *e) ERR_CHECKED;

// Makes a blob durable under its digest: fsync of the file, its bytes hashed and compared, rename, fsync of
// the directory. Of a blob that is there already, and is whole, only the last, since who put it there may
// have died before it; one that is damaged is kept in blobs/damaged, and the file takes its place. Several
// may do so at once, also beside discard: each that returns 0 leaves a blob that was kept at that time.
// Blocks for as long as the disk takes, so that the controller leaves it to another process (role/store.h).
// ERR_DIGEST: the bytes have another digest; ERR_NOT_FOUND: it is not there; ERR_NO_SPACE, ERR_IO, ERR_NOMEM.
// Unless it was there before, a failure leaves no blob. *ret_stored: false when it was there and whole.
int blob_store(const struct blob_parts *p, const struct registry_digest *want, bool *ret_stored,
               struct err *e) ERR_CHECKED;

// Lock file in data_dir/run: held by who copies blobs that nobody may collect meanwhile (os/file:
// file_lock_shared), and by who collects (file_lock).
#define REGISTRY_BLOBS_LOCK "blobs.lock"

// Removes all files of a folder, which may take long: the file system frees their space. ERR_IO.
int blob_trash_empty(int trash_fd, struct err *e) ERR_CHECKED;

// Of bytes in memory. ERR_NOMEM.
int registry_digest_bytes(struct str bytes, struct registry_digest *ret, struct err *e) ERR_CHECKED;
// Digest of a whole file, from its start, whatever its position. ERR_IO, ERR_NOMEM.
int registry_digest_file(int fd, struct registry_digest *ret, struct err *e) ERR_CHECKED;

// The same in steps, for who has other things to do.
struct digest_check;
int digest_check_new(struct digest_check **ret, struct err *e) ERR_CHECKED; // ERR_NOMEM
// Hashes up to max_bytes more of fd: 0 and *ret_done with the digest, once there are no more. ERR_IO.
int digest_check_step(struct digest_check *c, int fd, uint64_t max_bytes, bool *ret_done,
                      struct registry_digest *ret, struct err *e) ERR_CHECKED;
void digest_check_free(struct digest_check *c); // NULL is fine
