// SPDX-License-Identifier: Apache-2.0
// Replacing a version that runs in replicas by another one, when both do not fit or are not to stay in memory
// together. The setting `policy` of the version that comes, or else the server's `replace_policy`, says how:
//
//   keep                     the old one stays loaded; nothing is checked
//   availability-preserving  refused if both do not fit; loaded beside the old one, then the alias moves,
//                            then the old one is unloaded
//   resource-preserving      refused if it does not fit in place of the old one; the old one is unloaded
//                            first, and the model answers 503 until the new one is loaded, or, if it cannot
//                            be, the old one again
//
// An unloaded version has no process and stays in the registry and in the routes: like a version of 0
// replicas it is loaded by a request that names it. Which versions are unloaded is a function of what the
// registry has, so that a restart finds the same: a model's versions without an alias, older than its default
// version, when that one's policy is not `keep`.
#pragma once

#include "role/controller/controller.h"
#include "role/controller/gateways.h"
#include "role/controller/version_settings.h"

enum replace_policy { REPLACE_KEEP, REPLACE_AVAILABILITY, REPLACE_RESOURCE };

// What a push asks for.
struct replace_asked {
    struct str model;
    const struct version_settings *settings; // of the version that comes
    uint64_t file_bytes, loaded_bytes;       // of it, see fit.h
    bool promote;                            // it will be the default
};

// The part of a push that makes room. Embedded in it.
//
//   NONE → UNROUTING → EMPTYING → NONE   the old one leaves the routes, then memory; then the push goes on
enum replacement_state { REPLACEMENT_NONE, REPLACEMENT_UNROUTING, REPLACEMENT_EMPTYING };

struct replacement {
    struct replacement *next;
    struct controller *c;
    enum replacement_state state;
    uint64_t old; // id of the deployment that is away for it; 0: none
    struct publication publication;
    void (*on_room)(struct replacement *r); // set by the caller: the new version may be loaded now
};

int replace_open(struct controller *c, struct err *e) ERR_CHECKED;
void replace_close(struct controller *c);

// Checks by the policy, and makes room if that is the policy. 1: the new version may be loaded at once; 0:
// on_room will be called. ERR_NO_SPACE; ERR_CONFLICT when another push is replacing the same version.
int replace_begin(struct controller *c, struct replacement *r, const struct replace_asked *a,
                  struct err *e) ERR_CHECKED;
// The new version is there: before the routes are published. Zeroed is fine, as it is below.
void replace_done(struct replacement *r);
// It is not: once nothing runs of the deployment `failed`, the old one is loaded again, then routed.
void replace_undo(struct replacement *r, uint64_t failed);

// Aliases or versions have changed and are published: loads at once what is not to be unloaded any more, and
// unloads, when all gateways route by the change, what is to be.
void replace_apply(struct controller *c);
// At a start, before replicas are declared: what is not to be loaded then.
void replace_mark(struct controller *c);
