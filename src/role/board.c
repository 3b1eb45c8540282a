// SPDX-License-Identifier: Apache-2.0
// Rows under a sequence lock each: the writer makes the number odd, changes the row, makes it even again; a
// reader that saw an odd or a changed number reads again. The writer never waits.
#include "role/board.h"

#include "base/assert.h"
#include "os/shm.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

enum {
    MAGIC = 0x42504c53,
    VERSION = 2,
    WORDS = sizeof(struct board_row) / sizeof(uint32_t),
    TRIES_BEFORE_YIELD = 64
};
_Static_assert(sizeof(struct board_row) == 64 + BOARD_MODEL_BYTES + BOARD_WHY_BYTES,
               "the row has no padding");

struct board_slot {
    uint32_t seq;
    uint32_t words[WORDS]; // a struct board_row
};

struct board {
    uint32_t magic, version, n_rows;
    struct board_slot slots[BOARD_ROWS_MAX];
};

static const char *const STATE_NAMES[BOARD_STATES] = {
    "empty", "starting", "ready", "restarting", "failed", "stopping", "stopped",
};

static const char *const KIND_NAMES[BOARD_KINDS] = {
    [BOARD_GATEWAY] = "gateway", [BOARD_CONTROLLER] = "controller", [BOARD_LOADER] = "loader",
    [BOARD_REPLICA] = "replica", [BOARD_MONITOR] = "monitor",
};

// Bit `to` of MOVES[from]; the drawing is in board.h.
#define TO(state) (1u << BOARD_##state)
static const uint8_t MOVES[BOARD_STATES] = {
    [BOARD_EMPTY] = TO(STARTING),
    [BOARD_STARTING] = TO(READY) | TO(RESTARTING) | TO(FAILED) | TO(STOPPING),
    [BOARD_READY] = TO(RESTARTING) | TO(FAILED) | TO(STOPPING),
    [BOARD_RESTARTING] = TO(STARTING) | TO(RESTARTING) | TO(FAILED) | TO(STOPPED),
    [BOARD_FAILED] = TO(STOPPED),
    [BOARD_STOPPING] = TO(STOPPED),
    [BOARD_STOPPED] = TO(EMPTY),
};
#undef TO

const char *board_state_name(uint32_t state)
{
    return state < BOARD_STATES ? STATE_NAMES[state] : "unknown";
}

const char *board_kind_name(uint32_t kind)
{
    return kind && kind < BOARD_KINDS ? KIND_NAMES[kind] : "unknown";
}

bool board_move_allowed(enum board_state from, enum board_state to)
{
    return MOVES[from] >> to & 1;
}

int board_new(struct board **ret, int *ret_fd, struct err *e)
{
    int fd;
    void *p;
    int code = shm_new_mapped("slipway-board", sizeof(struct board), &fd, &p, e);
    if (code)
        return code;
    code = shm_seal(fd, SHM_SEAL_WRITERS, e);
    if (code) {
        shm_unmap(p, sizeof(struct board));
        close(fd);
        return code;
    }
    struct board *b = p;
    b->magic = MAGIC;
    b->version = VERSION;
    *ret = b;
    *ret_fd = fd;
    return 0;
}

void board_write(struct board *b, unsigned slot, const struct board_row *row)
{
    ASSERT(slot < BOARD_ROWS_MAX && row->state < BOARD_STATES);
    struct board_row old;
    memcpy(&old, b->slots[slot].words, sizeof old);
    ASSERT(old.state == row->state || board_move_allowed(old.state, row->state));
    board_restore(b, slot, row);
}

void board_restore(struct board *b, unsigned slot, const struct board_row *row)
{
    ASSERT(slot < BOARD_ROWS_MAX && row->state < BOARD_STATES);
    struct board_slot *s = &b->slots[slot];
    uint32_t seq = s->seq, words[WORDS];
    memcpy(words, row, sizeof words);
    __atomic_store_n(&s->seq, seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    for (size_t i = 0; i < WORDS; i++)
        __atomic_store_n(&s->words[i], words[i], __ATOMIC_RELAXED);
    __atomic_store_n(&s->seq, seq + 2, __ATOMIC_RELEASE);
    if (slot >= b->n_rows)
        __atomic_store_n(&b->n_rows, slot + 1, __ATOMIC_RELEASE);
}

int board_attach(int fd, const struct board **ret, struct err *e)
{
    void *p;
    size_t size;
    int code = shm_map(fd, false, sizeof(struct board), sizeof(struct board), &p, &size, e);
    if (code)
        return code;
    const struct board *b = p;
    if (b->magic != MAGIC || b->version != VERSION) {
        shm_unmap(p, size);
        return err_set(e, ERR_INVALID, "descriptor %d is not a board of this version", fd);
    }
    *ret = b;
    return 0;
}

unsigned board_n_rows(const struct board *b)
{
    return __atomic_load_n(&b->n_rows, __ATOMIC_ACQUIRE);
}

struct board_row board_read(const struct board *b, unsigned slot)
{
    ASSERT(slot < BOARD_ROWS_MAX);
    const struct board_slot *s = &b->slots[slot];
    uint32_t words[WORDS], before, after;
    for (unsigned tries = 0;; tries++) {
        if (tries && tries % TRIES_BEFORE_YIELD == 0)
            sched_yield(); // the writer may wait for this very core
        before = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE);
        for (size_t i = 0; i < WORDS; i++)
            words[i] = __atomic_load_n(&s->words[i], __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        after = __atomic_load_n(&s->seq, __ATOMIC_RELAXED);
        if (before == after && !(before & 1))
            break;
    }
    struct board_row row;
    memcpy(&row, words, sizeof row);
    return row;
}

void board_done(const struct board *b)
{
    shm_unmap(b, sizeof(struct board));
}
