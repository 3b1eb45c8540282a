// SPDX-License-Identifier: Apache-2.0
// Brings gateways and replicas together: one end of a socket pair for each of the two.
#include "role/supervisor/crew.h"
#include "role/supervisor/post.h"
#include "role/supervisor/state.h"

#include <unistd.h>

void crew_link_pair(struct post *p, struct child *gateway)
{
    struct err e;
    int pair[2];
    struct supervision_link link = {.deployment = p->member->group->want.deployment,
                                    .replica = p->member->number,
                                    .gateway = child_shard(gateway),
                                    .hang_ms = p->member->group->want.hang_ms};
    if (gateway->says.fd < 0)
        return;
    unsigned index = (unsigned)(gateway - p->crew->sup->children);
    p->is_unlinked[index] = supervision_pair(pair, &e) != 0;
    if (p->is_unlinked[index]) {
        log_event(&p->crew->sup->log, LOG_LEVEL_ERROR, "link_failed", LOG_INT("replica", link.replica),
                  LOG_INT("again_in_ms", CREW_SWEEP_MS), LOG_Z("message", e.msg));
        return;
    }
    if (child_tell(gateway, SUPERVISION_LINK, &link, &pair[0], 1))
        post_tell(p, SUPERVISION_LINK, &link, &pair[1], 1);
    close(pair[0]);
    close(pair[1]);
}

void crew_gateway_started(struct crew *c, unsigned index)
{
    for (struct deployment *d = c->deployments; d; d = d->next)
        for (unsigned i = 0; i < LIMIT_REPLICAS; i++)
            if (d->group.members[i].state == BOARD_READY)
                crew_link_pair(d->group.members[i].io, &c->sup->children[index]);
}

void crew_link_again(struct crew *c)
{
    for (struct deployment *d = c->deployments; d; d = d->next)
        for (unsigned i = 0; i < LIMIT_REPLICAS; i++)
            for (unsigned k = 0; d->group.members[i].state == BOARD_READY && k < c->sup->n_gateways; k++)
                if (d->posts[i].is_unlinked[k])
                    crew_link_pair(&d->posts[i], &c->sup->children[k]);
}
