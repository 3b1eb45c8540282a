// SPDX-License-Identifier: Apache-2.0
// The estimate, the limits, and what the processes on the board take.
#include "role/controller/fit.h"

#include "os/proc.h"
#include "role/board.h"
#include "settings/settings.h"

enum { MIB = 1 << 20 };

static uint64_t own_bytes_of(int pid)
{
    struct proc_memory m;
    return pid > 0 && proc_memory(pid, &m) ? m.own_bytes : 0;
}

static uint64_t loader_bytes(const struct controller *c, uint64_t deployment)
{
    for (unsigned i = 0; i < board_n_rows(c->board); i++) {
        struct board_row row = board_read(c->board, i);
        if (row.kind == BOARD_LOADER && row.deployment == deployment)
            return own_bytes_of(row.pid);
    }
    return 0;
}

uint64_t fit_used_bytes(const struct controller *c, uint64_t deployment)
{
    uint64_t sum = 0;
    for (unsigned i = 0; c->board && i < board_n_rows(c->board); i++) {
        struct board_row row = board_read(c->board, i);
        if ((row.kind != BOARD_LOADER && row.kind != BOARD_REPLICA) ||
            (deployment && row.deployment != deployment))
            continue;
        uint64_t own = own_bytes_of(row.pid);
        uint64_t shared = row.kind == BOARD_REPLICA ? loader_bytes(c, row.deployment) : 0;
        sum += own > shared ? own - shared : 0;
    }
    return sum;
}

// Forks of a loader share the model's memory; processes of several threads load for themselves.
static uint64_t estimate(const struct fit_asked *a)
{
    const struct version_settings *v = a->settings;
    uint64_t n = v->min_replicas ? v->min_replicas : 1;
    uint64_t model = a->loaded_bytes ? a->loaded_bytes : a->file_bytes * FIT_COPIES;
    uint64_t models = v->threads > 1 ? n : 1;
    uint64_t needed = models * model + n * FIT_REPLICA_MB * MIB;
    uint64_t most = (n + (v->threads == 1)) * v->memory_mb * MIB; // the loader has the same limit
    return v->memory_mb && most < needed ? most : needed;
}

int fit_decide(const struct fit_asked *a, const struct memory_room *room, struct fit *ret, struct err *e)
{
    *ret = (struct fit){.needed_bytes = estimate(a), .room = *room};
    uint64_t freed = a->freed_bytes < room->used_bytes ? a->freed_bytes : room->used_bytes;
    ret->room.used_bytes -= freed;
    ret->room.available_bytes += freed;
    if (ret->room.available_bytes > room->budget_bytes)
        ret->room.available_bytes = room->budget_bytes;
    if (ret->needed_bytes <= ret->room.available_bytes)
        return 0;
    return err_set(e, ERR_NO_SPACE,
                   "about %llu MiB of memory are needed and %llu MiB are free of the %llu MiB of the %s",
                   (unsigned long long)(ret->needed_bytes + MIB - 1) / MIB,
                   (unsigned long long)ret->room.available_bytes / MIB,
                   (unsigned long long)ret->room.budget_bytes / MIB, ret->room.what);
}

int fit_check(const struct controller *c, const struct fit_asked *a, struct fit *ret, struct err *e)
{
    struct memory_room room;
    uint64_t own = c->args->settings->replica_memory_bytes;
    int rc = memory_room("/", &room, e);
    if (rc)
        return rc;
    if (own)
        memory_room_cap(&room, own, fit_used_bytes(c, 0), "setting replica_memory");
    return fit_decide(a, &room, ret, e);
}
