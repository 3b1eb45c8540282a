// SPDX-License-Identifier: Apache-2.0
// Requests are judged in the order in which they came, not in which they ended: if the stable version's
// errors are timeouts and the canary's come at once, the order of ends shows only canary errors at first. So
// requests of one second and one weight are a cohort, and a cohort is counted when all of it has ended or its
// time is over, and those before it are counted. Times are the caller's; nothing is allocated after
// cohorts_new.
#pragma once

#include "base/err.h"
#include "rollout/counts.h"

#include <stdbool.h>
#include <stdint.h>

enum { COHORT_METRICS = 16 }; // an event is bit 1 << metric

struct cohort_tick {
    uint64_t opened_ns;
    uint32_t weight; // of the canary, in millionths
    uint64_t requests[ARMS];
    uint64_t events[COHORT_METRICS][ARMS];
};

// Events of an entity that may have had the same elsewhere. They are in no tick: who adds up the gateways
// counts the first of each entity (entities.h).
struct cohort_mark {
    uint64_t entity;
    uint32_t events; // bits, as below
    uint8_t arm;     // enum arm
};

struct cohorts;

// timeout_events: the events that a request has had when its outcome did not come within timeout_ns. n_marks:
// how many there may be in all cohorts that are not counted; beyond that they are lost, of all arms alike.
// ERR_NOMEM.
int cohorts_new(uint64_t width_ns, uint64_t timeout_ns, uint32_t timeout_events, uint32_t n_marks,
                struct cohorts **ret, struct err *e) ERR_CHECKED;
void cohorts_free(struct cohorts *c);
// A request arrives and is assigned; weight is that of its assignment, not of the moment. False when it is
// not to be counted, because the weight changed more often than once per width on average; else the caller
// keeps *ret_cohort. mono_ns never falls.
bool cohorts_arrive(struct cohorts *c, uint64_t mono_ns, uint32_t weight, enum arm arm, uint64_t *ret_cohort);
// Its outcome, once. After its cohort was counted it changes nothing: the timeout was the outcome. Events are
// counted in the tick; those of an entity become a mark instead. entity: 0, none.
void cohorts_finish(struct cohorts *c, uint64_t cohort, enum arm arm, uint32_t events, uint64_t entity);
// The next cohort that is to be counted, if there is one; call it until it says false. Counts of several
// gateways may be added in any order within a second, but a second only when all gateways have closed it.
bool cohorts_close(struct cohorts *c, uint64_t mono_ns, struct cohort_tick *ret);
// The marks of the cohort that was closed last, one by one; false: there are no more.
bool cohorts_take_mark(struct cohorts *c, struct cohort_mark *ret);
bool cohorts_is_empty(const struct cohorts *c); // all that ever arrived has been given out
// All that arrived before this time has been given out by cohorts_close.
uint64_t cohorts_closed_until(const struct cohorts *c, uint64_t mono_ns);
