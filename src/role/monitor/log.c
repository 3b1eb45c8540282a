// SPDX-License-Identifier: Apache-2.0
// One look at the rings: records are copied into the batch, checked, numbered and handed on; the batch is
// committed when it is due; only then the rings are told that they may write over them.
#include "role/monitor/log.h"

#include "base/clock.h"
#include "os/file.h"
#include "os/shm.h"
#include "predlog/manifest.h"
#include "role/ipc.h"
#include "role/monitor/feed.h"
#include "role/monitor/log_parts.h"
#include "role/monitor/models.h"
#include "settings/settings.h"

#include <stdlib.h>
#include <unistd.h>
#include <yyjson.h>

enum {
    LOOK_MS = 5,          // between looks while there is load: each costs the gateways of its core their turn
    LOOK_SOON_MS = 1,     // while somebody waits, and where little came: it may be waited for in a moment
    LOOK_MANY = 16,       // records that are not little
    IDLE_MS = 50,         // without a record, before it sleeps
    TAKE_BYTES = 1 << 20, // of one ring at a look
    RETRY_MS = 250,       // after the disk refused
    UNKNOWN_MS = 2000,    // a record waits for the version that it belongs to
    DRAIN_MS = 3000,      // that the disk may take at the end
};

static void look_later(struct log_state *l, uint64_t ms)
{
    struct err e;
    l->is_looking = true;
    if (loop_timer_set(l->m->loop, &l->look, clock_mono_ns() + ms * UINT64_C(1000000), &e))
        log_event(&l->m->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
}

// ---- what is not there

// Whether the batch took it.
static bool append_gap(struct log_state *l, const struct record_gap *gap, uint64_t now)
{
    struct err e;
    if (wal_append_gap(l->wal, gap, 0, clock_wall_ns(), now, &e)) {
        log_event(&l->m->log, LOG_LEVEL_WARN, "gap_not_told", LOG_Z("message", e.msg));
        return false;
    }
    if (!l->oldest_mono_ns)
        l->oldest_mono_ns = now;
    return true;
}

// Records that the gateway had no room for, so far. Those that the policy `sample` left out are no gap: the
// others stand for them.
static uint64_t n_overflown(const struct spool_written *w)
{
    return w->dropped[LOG_REASON_OVERFLOW] + w->dropped[LOG_REASON_TOO_LARGE];
}

// All numbers up to `sequence` have come, or never will.
static void note_sequence(struct log_state *l, struct log_ring *r, uint64_t sequence, bool has_come,
                          uint64_t now)
{
    if (sequence <= r->last)
        return;
    uint64_t n = sequence - r->last - has_come, untold = n_overflown(&r->spool.seen) - r->told;
    if (n > untold)
        n = untold;
    const struct record_gap gap = {.reason = RECORD_GAP_OVERFLOW,
                                   .n_records = n,
                                   .first_seq = r->last + 1,
                                   .last_seq = sequence - has_come};
    if (n && append_gap(l, &gap, now))
        r->told_open += n;
    else
        l->untold_overflow += n;
    r->told += n;
    r->last = sequence;
}

// ---- taking

enum taken { TAKEN_NONE, TAKEN_ONE, TAKEN_LATER };

// What lies in the ring is none of its writer's making: reading goes on behind it.
static enum taken skip(struct log_state *l, struct log_ring *r, uint64_t now, const struct err *e)
{
    log_event(&l->m->log, LOG_LEVEL_ERROR, "ring_broken", LOG_INT("gateway", r - l->rings),
              LOG_Z("message", e->msg));
    spool_back(&r->spool);
    spool_skip(&r->spool);
    r->n_open = r->n_lost = 0;
    r->last = r->spool.seen.accepted;
    r->told = n_overflown(&r->spool.seen);
    append_gap(l, &(struct record_gap){.reason = RECORD_GAP_HOSTILE}, now);
    return TAKEN_NONE;
}

// Whether a record's version is known; one that is not is waited for a moment.
static bool is_known(struct log_state *l, const struct record *rec, uint64_t now)
{
    if (!rec->head.schema || models_by_log_key(l->m->models, rec->head.schema, rec->head.model)) {
        l->unknown_mono_ns = 0;
        return true;
    }
    if (!l->unknown_mono_ns)
        l->unknown_mono_ns = now;
    return now - l->unknown_mono_ns > UNKNOWN_MS * UINT64_C(1000000);
}

static enum taken take_one(struct log_state *l, struct log_ring *r, uint64_t now, size_t *ret_bytes)
{
    struct err e;
    struct record rec;
    void *to;
    uint64_t sequence, at = r->spool.at;
    if (wal_room(l->wal, LOG_RECORD_BYTES, &to, &e)) // the batch is full
        return TAKEN_LATER;
    int rc = spool_take(&r->spool, to, LOG_RECORD_BYTES, ret_bytes, &sequence, &e);
    if (rc == 0) {
        note_sequence(l, r, r->spool.seen.accepted, false, now);
        return TAKEN_NONE;
    }
    if (rc < 0)
        return skip(l, r, now, &e);
    if (record_look(to, *ret_bytes, &rec, &e) || rec.head.bytes != *ret_bytes ||
        (rec.head.kind != RECORD_PREDICTION && rec.head.kind != RECORD_FAILURE)) {
        note_sequence(l, r, sequence, true, now);
        r->n_lost++;
        append_gap(
            l,
            &(struct record_gap){
                .reason = RECORD_GAP_HOSTILE, .n_records = 1, .first_seq = sequence, .last_seq = sequence},
            now);
        return TAKEN_ONE;
    }
    if (!is_known(l, &rec, now)) {
        r->spool.at = at;
        return TAKEN_LATER;
    }
    rec.head.log_seq = wal_take(l->wal, *ret_bytes, now);
    feed_record(l->m, &rec);     // while it lies where it was read
    if (sequence == r->last + 1) // none is missing
        r->last = sequence;
    else
        note_sequence(l, r, sequence, true, now);
    r->n_open++;
    if (!l->oldest_mono_ns)
        l->oldest_mono_ns = now;
    return TAKEN_ONE;
}

// Returns how many records.
static uint64_t take_all(struct log_state *l, uint64_t now)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < l->n; i++) {
        size_t bytes, all = 0;
        while (all < TAKE_BYTES && take_one(l, &l->rings[i], now, &bytes) == TAKEN_ONE) {
            all += bytes;
            n++;
        }
    }
    return n;
}

// ---- committing

// All that was read is done with: kept, or not.
static void settle(struct log_state *l, bool is_committed)
{
    for (unsigned i = 0; i < l->n; i++) {
        struct log_ring *r = &l->rings[i];
        r->told_open = 0;
        if (r->n_open == 0 && r->n_lost == 0)
            continue;
        spool_settle(&r->spool, is_committed ? r->n_open : 0, r->last,
                     r->n_lost + (is_committed ? 0 : r->n_open));
        r->n_open = r->n_lost = 0;
        if (r->peer && spool_must_tell(&r->spool))
            (void)peer_send(r->peer, IPC_SETTLED, (struct str){0}, NULL, 0);
    }
    l->oldest_mono_ns = 0;
}

static bool is_some_ring_half_full(const struct log_state *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        const struct spool_reader *r = &l->rings[i].spool;
        if (r->seen.written - r->settled.taken > l->ring_size / 2)
            return true;
    }
    return false;
}

// The rings will be full soon, and the disk takes nothing: this batch is given up, with the gaps in it.
static void give_up(struct log_state *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        l->untold_disk += l->rings[i].n_open;
        l->untold_overflow += l->rings[i].told_open;
    }
    l->untold_disk += l->telling_disk;
    l->untold_overflow += l->telling_overflow;
    l->telling_disk = l->telling_overflow = 0;
    (void)wal_drop_pending(l->wal);
    settle(l, false);
}

static void tell(struct log_state *l, enum record_gap_reason reason, uint64_t *untold, uint64_t *telling,
                 uint64_t now)
{
    const struct record_gap gap = {.reason = reason, .n_records = *untold};
    if (*untold == 0 || !append_gap(l, &gap, now))
        return;
    *telling += *untold;
    *untold = 0;
}

// What was given up is told with the next commit, of which it is not known yet whether the disk takes it.
static void tell_given_up(struct log_state *l, uint64_t now)
{
    tell(l, RECORD_GAP_DISK, &l->untold_disk, &l->telling_disk, now);
    tell(l, RECORD_GAP_OVERFLOW, &l->untold_overflow, &l->telling_overflow, now);
}

static void disk_failed(struct log_state *l, const struct err *e, uint64_t now)
{
    if (!l->failed_mono_ns) {
        l->failed_mono_ns = now;
        log_event(&l->m->log, LOG_LEVEL_ERROR, "log_not_written", LOG_Z("code", err_name(e->code)),
                  LOG_Z("message", e->msg));
    }
    for (unsigned i = 0; i < l->n; i++) // how much there is by now
        (void)spool_sleep(&l->rings[i].spool), spool_wake(&l->rings[i].spool);
    if (is_some_ring_half_full(l))
        give_up(l);
}

// The batch is empty: no record in it needs them.
static void drop_schemas(struct log_state *l)
{
    uint64_t key;
    if (!l->are_schemas_stale)
        return;
    for (size_t i = 0; wal_schema_at(l->wal, i, &key);) {
        if (models_by_log_key(l->m->models, key, UINT32_MAX))
            i++;
        else
            wal_schema_drop(l->wal, key);
    }
    l->are_schemas_stale = false;
}

static void commit(struct log_state *l)
{
    struct err e;
    uint64_t oldest = l->oldest_mono_ns, now = clock_mono_ns();
    if (wal_commit(l->wal, clock_wall_ns(), now, &e)) {
        disk_failed(l, &e, now);
        return;
    }
    if (oldest)
        hist_add(&l->stats->commit, clock_mono_ns() - oldest);
    if (l->failed_mono_ns)
        log_event(&l->m->log, LOG_LEVEL_INFO, "log_written_again",
                  LOG_INT("failed_ms", (clock_mono_ns() - l->failed_mono_ns) / 1000000));
    l->failed_mono_ns = 0;
    l->telling_disk = l->telling_overflow = 0;
    settle(l, true);
    drop_schemas(l);
    tell_given_up(l, now);
}

// Somebody's answers wait.
static bool is_awaited(const struct log_state *l)
{
    for (unsigned i = 0; i < l->n; i++)
        if (l->rings[i].n_open && spool_is_awaited(&l->rings[i].spool))
            return true;
    return false;
}

static bool try_sleep(struct log_state *l)
{
    bool may = true;
    for (unsigned i = 0; i < l->n; i++)
        may = spool_sleep(&l->rings[i].spool) && may;
    for (unsigned i = 0; !may && i < l->n; i++)
        spool_wake(&l->rings[i].spool);
    return may;
}

// Somebody waits, a look took not all that there was, or a ring will be full soon.
static bool is_pressed(const struct log_state *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        const struct spool_reader *r = &l->rings[i].spool;
        if (spool_is_awaited(r) || r->seen.written != r->at)
            return true;
    }
    return is_some_ring_half_full(l);
}

static void look(struct log_state *l)
{
    uint64_t now = clock_mono_ns(), n = 0;
    if (!l->wal)
        return;
    n = l->failed_mono_ns && l->oldest_mono_ns ? 0 : take_all(l, now); // one batch is tried again and again
    if (n)
        l->busy_mono_ns = now;
    bool is_due = l->oldest_mono_ns && (wal_is_due(l->wal, now) || l->failed_mono_ns || is_awaited(l));
    if (is_due)
        commit(l);
    if (l->failed_mono_ns)
        look_later(l, RETRY_MS);
    else if (l->oldest_mono_ns || l->unknown_mono_ns || now - l->busy_mono_ns < IDLE_MS * UINT64_C(1000000) ||
             !try_sleep(l))
        look_later(l, n && (n < LOOK_MANY || is_pressed(l)) ? LOOK_SOON_MS : LOOK_MS);
    else
        l->is_looking = false;
}

static void on_look(struct timer *t)
{
    look((struct log_state *)((char *)t - offsetof(struct log_state, look)));
}

// ---- gateways

int log_gateway_hello(struct peer *p, struct str payload, struct err *e)
{
    struct monitor *m = p->peers->owner;
    struct log_state *l = m->prediction_log;
    yyjson_doc *doc = yyjson_read(payload.p, payload.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *gateway = yyjson_obj_get(root, "gateway");
    bool good = l && yyjson_is_uint(gateway) && yyjson_get_uint(gateway) < l->n &&
                yyjson_get_uint(yyjson_obj_get(root, "protocol")) == IPC_PROTOCOL;
    uint64_t index = good ? yyjson_get_uint(gateway) : 0;
    yyjson_doc_free(doc);
    if (!good)
        return err_set(e, ERR_INVALID, "a gateway's greeting is not as agreed");
    if (l->rings[index].peer)
        peer_close(l->rings[index].peer); // its successor is here before its end was noticed
    l->rings[index].peer = p;
    p->routing = &l->rings[index];
    if (spool_must_tell(&l->rings[index].spool)) // of what was settled while it could not be told
        (void)peer_send(p, IPC_SETTLED, (struct str){0}, NULL, 0);
    (void)peer_send(p, IPC_UNSUMMED, (struct str){0}, NULL, 0);
    if (!l->failed_mono_ns)
        look(l); // it may have written before
    return 0;
}

int log_gateway_message(struct peer *p, const struct msg *m, struct err *e)
{
    struct monitor *mon = p->peers->owner;
    if (m->type != IPC_WAKE)
        return err_set(e, ERR_INVALID, "message type %u is not expected from a gateway", m->type);
    if (!mon->prediction_log->failed_mono_ns)
        look(mon->prediction_log);
    return 0;
}

void log_gateway_lost(struct peer *p)
{
    struct log_ring *r = p->routing;
    r->peer = NULL;
}

// ---- its life

void log_models_changed(struct monitor *m)
{
    struct log_state *l = m->prediction_log;
    struct version *v;
    struct err e;
    for (size_t i = 0; l && l->wal && (v = models_at(m->models, i)); i++)
        if (v->log_json && wal_schema_set(l->wal, v->log_key, str_of(v->log_json), clock_wall_ns(), &e))
            log_event(&m->log, LOG_LEVEL_ERROR, "schema_not_logged", LOG_Z("model", v->model),
                      LOG_INT("version", v->version), LOG_Z("message", e.msg));
    if (l)
        l->are_schemas_stale = true;
    if (l && l->unknown_mono_ns)
        look(l);
}

// data_dir/state/wal and data_dir/log.
static int open_folders(struct log_state *l, struct err *e)
{
    int data_fd, state_fd = -1, rc = file_make_dir_path(l->m->data_dir, &data_fd, e);
    if (rc)
        return rc;
    rc = file_make_dir(data_fd, "state", &state_fd, e);
    if (!rc)
        rc = file_make_dir(state_fd, "wal", &l->wal_fd, e);
    if (!rc)
        rc = file_make_dir(data_fd, "log", &l->log_fd, e);
    if (state_fd >= 0)
        close(state_fd);
    close(data_fd);
    return rc;
}

// A monitor of a server before may still be there for a moment.
static int open_wal(struct log_state *l, struct err *e)
{
    struct wal_found found;
    struct predlog_manifest manifest = {0};
    int rc = l->lock_fd >= 0 ? 0 : file_lock(l->wal_fd, "lock", &l->lock_fd, e);
    if (rc)
        return rc;
    rc = predlog_manifest_read(l->log_fd, &manifest, e);
    if (!rc)
        rc = wal_open(l->wal_fd, predlog_manifest_next_seq(&manifest), &l->wal, &found, e);
    predlog_manifest_done(&manifest);
    if (rc)
        return rc;
    log_seal_count_aside(l);
    if (found.n_files)
        log_event(&l->m->log, found.n_torn + found.n_damaged ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
                  "log_recovered", LOG_INT("files", found.n_files), LOG_INT("records", found.n_records),
                  LOG_INT("torn", found.n_torn), LOG_INT("damaged", found.n_damaged),
                  LOG_INT("lost_records", found.lost_records), LOG_INT("lost_bytes", found.lost_bytes));
    log_models_changed(l->m);
    return 0;
}

static void try_open(struct log_state *l)
{
    struct err e;
    if (open_wal(l, &e) == 0) {
        l->failed_mono_ns = 0;
        look(l);
        return;
    }
    if (!l->failed_mono_ns)
        log_event(&l->m->log, LOG_LEVEL_ERROR, "log_not_open", LOG_Z("code", err_name(e.code)),
                  LOG_Z("message", e.msg));
    l->failed_mono_ns = clock_mono_ns();
}

// What the monitor before had settled last is where this one begins; what was dropped since is still to be
// told.
static void begin_after(struct log_ring *r)
{
    const struct spool_written *w = &r->spool.seen;
    const struct spool_settled *s = &r->spool.settled;
    uint64_t dropped = 0, overflown = n_overflown(w);
    for (int i = 0; i < SPOOL_REASONS; i++)
        dropped += w->dropped[i];
    uint64_t waiting = w->accepted - dropped - s->committed - s->dropped;
    r->last = s->sequence <= w->accepted ? s->sequence : w->accepted;
    uint64_t missing = w->accepted - r->last > waiting ? w->accepted - r->last - waiting : 0;
    r->told = overflown - (missing < overflown ? missing : overflown);
}

static int map_rings(struct log_state *l, int fd, struct err *e)
{
    l->rings = calloc(l->n, sizeof *l->rings);
    if (!l->rings)
        return err_set(e, ERR_NOMEM, "the prediction log");
    int rc = log_memory_own_stats(fd, l->n, &l->stats, e);
    for (unsigned i = 0; !rc && i < l->n; i++) {
        struct log_ring *r = &l->rings[i];
        struct err why;
        rc = log_memory_map_ring(fd, l->n, i, &r->memory, &l->ring_size, e);
        if (!rc && spool_reader_attach(&r->spool, r->memory, l->ring_size, &why))
            spool_skip(&r->spool);
        if (!rc)
            begin_after(r);
    }
    return rc;
}

int log_open(struct monitor *m, struct err *e)
{
    struct log_state *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(e, ERR_NOMEM, "the prediction log");
    *l = (struct log_state){.m = m,
                            .n = m->args->n_gateways,
                            .wal_fd = -1,
                            .log_fd = -1,
                            .lock_fd = -1,
                            .look.on_due = on_look,
                            .sealer.pidfd = -1};
    m->prediction_log = l;
    int rc = map_rings(l, m->args->log_fd, e);
    if (rc)
        return rc;
    l->stream = (uint32_t)l->stats->stream;
    rc = open_folders(l, e);
    if (rc == 0)
        try_open(l);
    return rc;
}

void log_tick(struct monitor *m, uint64_t now)
{
    struct log_state *l = m->prediction_log;
    if (!l->wal) {
        try_open(l);
        return;
    }
    if (!l->is_looking)
        look(l); // a gateway without a connection cannot wake us
    // While the disk refuses, no file is closed, but what is removed makes room.
    log_seal_step(l, l->failed_mono_ns ? l->sealing.before_seq : wal_rotate(l->wal, false, now), now);
}

// What the disk does not take now is not kept any longer: the rings end with the server.
static void take_rest(struct log_state *l)
{
    uint64_t end = clock_mono_ns() + DRAIN_MS * UINT64_C(1000000);
    do {
        uint64_t n = take_all(l, clock_mono_ns());
        if (l->oldest_mono_ns)
            commit(l);
        if (n == 0 && !l->oldest_mono_ns)
            return;
    } while (!l->failed_mono_ns && clock_mono_ns() < end);
}

void log_close(struct monitor *m)
{
    struct log_state *l = m->prediction_log;
    if (!l)
        return;
    if (l->wal && m->draining)
        take_rest(l);
    log_seal_stop(l);
    loop_timer_clear(m->loop, &l->look);
    wal_free(l->wal);
    for (unsigned i = 0; l->rings && i < l->n; i++)
        if (l->rings[i].memory)
            log_memory_unmap_ring(l->rings[i].memory, l->ring_size);
    log_memory_unmap_stats(l->stats);
    if (l->wal_fd >= 0)
        close(l->wal_fd);
    if (l->log_fd >= 0)
        close(l->log_fd);
    if (l->lock_fd >= 0)
        close(l->lock_fd);
    free(l->rings);
    free(l);
    m->prediction_log = NULL;
}
