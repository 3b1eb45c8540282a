// SPDX-License-Identifier: Apache-2.0
#include "role/supervisor/restart.h"

#include "base/assert.h"

#include <string.h>

bool restart_after_death(struct restart *r, uint64_t now_mono_ns, uint64_t *ret_delay_ns)
{
    const uint64_t window_ns = RESTART_WINDOW_S * UINT64_C(1000000000);
    unsigned old = 0;
    while (old < r->n_deaths && now_mono_ns - r->deaths_mono_ns[old] >= window_ns)
        old++;
    r->n_deaths -= old;
    memmove(r->deaths_mono_ns, r->deaths_mono_ns + old, r->n_deaths * sizeof r->deaths_mono_ns[0]);
    ASSERT(r->n_deaths < RESTART_INTENSITY);
    *ret_delay_ns = r->n_deaths * RESTART_BACKOFF_STEP_MS * UINT64_C(1000000);
    r->deaths_mono_ns[r->n_deaths++] = now_mono_ns;
    return r->n_deaths < RESTART_INTENSITY;
}
