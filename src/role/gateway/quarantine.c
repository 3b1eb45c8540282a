// SPDX-License-Identifier: Apache-2.0
// The lists are read by others while they are written; an entry that is half new refuses nothing that was not
// meant, because its hash is written last.
#include "role/gateway/quarantine.h"

#include "role/gateway/gateway.h"

#include <string.h>

#define QUARANTINE_NS (60 * 1000000000ull)

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

uint64_t quarantine_hash(uint64_t deployment, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t h = mix(n, deployment), v;
    for (; n >= sizeof v; p += sizeof v, n -= sizeof v) {
        memcpy(&v, p, sizeof v);
        h = mix(h, v);
    }
    v = 0;
    memcpy(&v, p, n);
    h = mix(h, v);
    return h ? h : 1; // 0 marks an entry that is being written
}

static uint64_t load(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint64_t *p, uint64_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

bool quarantine_is_empty(const struct gateway *g, uint64_t now_mono_ns)
{
    for (unsigned i = 0; i < g->n_gateways; i++)
        if (load(&g->shards[i].quarantine.until_mono_ns) > now_mono_ns)
            return false;
    return true;
}

bool quarantine_has(const struct gateway *g, uint64_t hash, uint64_t now_mono_ns)
{
    for (unsigned i = 0; i < g->n_gateways; i++) {
        const struct quarantine *q = &g->shards[i].quarantine;
        for (unsigned k = 0; k < QUARANTINE_ENTRIES; k++)
            if (load(&q->entries[k].hash) == hash && load(&q->entries[k].until_mono_ns) > now_mono_ns)
                return true;
    }
    return false;
}

void quarantine_add(struct gateway *g, uint64_t hash, uint64_t now_mono_ns)
{
    struct quarantine *q = &g->metrics->quarantine;
    unsigned k = q->next++ % QUARANTINE_ENTRIES;
    store(&q->entries[k].hash, 0);
    store(&q->entries[k].until_mono_ns, now_mono_ns + QUARANTINE_NS);
    store(&q->entries[k].hash, hash);
    store(&q->until_mono_ns, now_mono_ns + QUARANTINE_NS);
}
