// SPDX-License-Identifier: Apache-2.0
// Which processes a loader cannot name as its forks, and the sweep leaves to those who watch them.
#include "role/supervisor/post.h"
#include "role/supervisor/state.h"
#include "unit.h"

START_TEST(children_their_predecessors_and_replicas_are_known)
{
    static struct supervisor s = {.n_children = 3};
    static struct deployment d;
    struct crew c = {.sup = &s, .deployments = &d};
    s.children[0].proc.pid = 10;
    s.children[1].proc.pid = 11;
    s.children[1].old.pid = 12; // drains while its successor serves
    d.posts[2].proc.pid = 13;
    d.posts[LIMIT_REPLICAS].proc.pid = 14; // the loader
    s.children[3].proc.pid = 15;           // no child of this server
    for (pid_t pid = 10; pid <= 14; pid++)
        ck_assert_msg(crew_knows(&c, pid), "%d", (int)pid);
    ck_assert(!crew_knows(&c, 15));
    ck_assert(!crew_knows(&c, 16));
}
END_TEST

UNIT_MAIN("role/supervisor/crew", children_their_predecessors_and_replicas_are_known)
