// SPDX-License-Identifier: Apache-2.0
// The simulations that docs/rollouts.md quotes, in full: about two minutes. Prints a line for each and ends
// with 1 when one is not as promised.
#include "scenarios.h"

#include <stdbool.h>
#include <stdio.h>

static int n_failed;
static bool wanted[10];

static void say(const char *what, const char *promise, const struct outcome *o, bool kept)
{
    printf("%-52s %5d of %5d stopped; N50 %-8.0f N95 %-8.0f N99 %-8.0f max %-8.0f | %s: %s\n", what,
           o->stopped, o->runs, o->n50, o->n95, o->n99, o->most, promise, kept ? "kept" : "BROKEN");
    fflush(stdout);
    n_failed += !kept;
}

#define SAY(what, promise, call, condition)                                                                  \
    if (wanted[(what)[0] - '0'])                                                                             \
        do {                                                                                                 \
            struct outcome o = call;                                                                         \
            say(what, promise, &o, condition);                                                               \
    } while (0)

int main(int argc, char **argv)
{
    for (int i = 0; i < 10; i++)
        wanted[i] = argc == 1;
    for (int i = 1; i < argc; i++)
        if (argv[i][0] >= '0' && argv[i][0] <= '9')
            wanted[argv[i][0] - '0'] = true;
    SAY("2 no regression, 4 guardrails, ramp", "<= 66", scenario_no_regression(1000, 2, 0), o.stopped <= 66);
    SAY("3 the same with bursts and a moving weight", "<= 66", scenario_no_regression(1000, 3, 1),
        o.stopped <= 66);
    SAY("4 errors 1 % -> 3 %", "N95 <= 15500, median 4.9k-6k, all",
        scenario_errors(1000, 4, .03, .01, .1, 4, 2e5),
        o.n95 <= 15500 && o.n50 >= 4900 && o.n50 <= 6000 && o.stopped == o.runs);
    SAY("5 half of the canary's requests fail", "N99 <= 250", scenario_errors(20000, 5, .5, .01, .1, 4, 2e5),
        o.n99 <= 250);
    SAY("5 the same at 1 % of the traffic", "N99 <= 2000", scenario_errors(20000, 5, .5, .01, .01, 4, 2e5),
        o.n99 <= 2000);
    SAY("6 latency x1.2, no tolerance", "N95 <= 7400", scenario_latency(1000, 6, 1.2, 0, 2e5), o.n95 <= 7400);
    SAY("6 latency x1.0, tolerance 10 %", "<= 2 %", scenario_latency(1000, 6, 1, .1, 2e5), o.stopped <= 20);
    SAY("6 latency x1.5, tolerance 10 %", "N95 <= 2100", scenario_latency(1000, 6, 1.5, .1, 2e5),
        o.n95 <= 2100);
    SAY("7 sticky entities, first errors", "<= 66", scenario_sticky(1000, 7, STICKY_FIRST), o.stopped <= 66);
    SAY("7 sticky entities, first errors at each of 8 gateways (wrong way)", "> 66",
        scenario_sticky(1000, 7, STICKY_BY_GATEWAY), o.stopped > 66);
    SAY("7 sticky entities, every error (wrong way)", "> 200", scenario_sticky(1000, 7, STICKY_EVERY),
        o.stopped > 200);
    SAY("8 late stable errors, by cohort", "<= 66", scenario_order(1000, 8, 1), o.stopped <= 66);
    SAY("8 late stable errors, as they end (wrong way)", "> 600", scenario_order(1000, 8, 0),
        o.stopped > 600);
    SAY("8 batches, by execution", "<= 66", scenario_batches(1000, 8, 1), o.stopped <= 66);
    SAY("8 batches, by request (wrong way)", "> 600", scenario_batches(1000, 8, 0), o.stopped > 600);
    SAY("9 shadow pairs 3 % / 1 %", "N95 <= 2050", scenario_pairs(1000, 9, .03, .01, 2e5), o.n95 <= 2050);
    SAY("9 shadow pairs 2 % / 2 %", "<= 66", scenario_pairs(1000, 9, .02, .02, 1e5), o.stopped <= 66);
    return n_failed > 0;
}
