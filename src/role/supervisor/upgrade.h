// SPDX-License-Identifier: Apache-2.0
// `slipway upgrade`: this process becomes another program, and then replaces its children one after the
// other.
//
//   NONE ──→ CHECKING ──→ QUIET ──→ (execve) ──→ ROLLING ──→ NONE
//    ^           │ refused   │ busy                  │ a new child ended: the old ones stay
//    └───────────┴───────────┴──────────────────────┘
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct handover;
struct supervisor;

int upgrade_new(struct supervisor *s, struct err *e) ERR_CHECKED;
void upgrade_free(struct supervisor *s);
// What the controller asked for: "" is where this program lies now. It is told how it went.
void upgrade_begin(struct supervisor *s, const char *path);
// This process was just made by one: replaces the children.
void upgrade_roll(struct supervisor *s);
// At the end of a turn: goes on.
void upgrade_step(struct supervisor *s);
// No more children are replaced.
void upgrade_failed(struct supervisor *s, const char *why);
// Whether `pid` is the process in which the new program is asked.
bool upgrade_is_check(const struct supervisor *s, pid_t pid);
// The program's side of CHECKING: whether it could go on from `h`. Says so on `report_fd`; the exit code.
int upgrade_check(struct handover *h, int report_fd);
