// SPDX-License-Identifier: Apache-2.0
// The log in the monitor between a ring that the test writes and a disk that fails as told; its timer is due
// when the test says so.
#include "role/monitor/log.h"

#include "../../../faults/io_shim.h"
#include "predlog/query.h"
#include "role/monitor/feed.h"
#include "role/monitor/log_parts.h"
#include "role/monitor/models.h"
#include "settings/settings.h"
#include "tempdir.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <yyjson.h>

enum { HALF = 300 }; // records that fill more than half of the smallest ring

static char dir[TEMPDIR_SIZE];
static struct settings settings;
static struct monitor_args args = {.n_gateways = 1};
static struct monitor m = {
    .args = &args, .settings = &settings, .data_dir = dir, .log = {-1, LOG_LEVEL_ERROR, "test", -1}};
static struct spool_writer ring;
static struct io_plan plan;

void feed_record(struct monitor *monitor, const struct record *r)
{
    (void)monitor, (void)r;
}

static void set_up(void)
{
    struct err e;
    void *memory;
    size_t size;
    tempdir_new(dir);
    settings_init(&settings);
    ck_assert_int_eq(log_memory_new(1, SPOOL_BYTES_MIN, &args.log_fd, &e), 0);
    ck_assert_int_eq(log_memory_map_ring(args.log_fd, 1, 0, &memory, &size, &e), 0);
    spool_writer_attach(&ring, memory, size);
    ck_assert_int_eq(loop_new(&m.loop, &e), 0);
    ck_assert_int_eq(models_new(&m.models, &e), 0);
    ck_assert_msg(log_open(&m, &e) == 0, "%s", e.msg);
    io_shim_attach(&plan, dir, -1);
}

static void tear_down(void)
{
    io_shim_detach();
    log_close(&m);
    models_free(m.models);
    loop_free(m.loop);
    log_memory_unmap_ring(ring.head, ring.size);
    close(args.log_fd);
    tempdir_remove(dir);
}

static void break_disk(bool yes)
{
    plan = (struct io_plan){.action = IO_ACTION_FAIL,
                            .kinds = IO_KIND_WRITE | IO_KIND_SYNC | IO_KIND_NAME | IO_KIND_SIZE,
                            .files = UINT32_MAX & ~(uint32_t)IO_FILE_SOCKET,
                            .error = ENOSPC,
                            .ignored_syncs = UINT32_MAX, // no power is cut here
                            .is_sticky = true,
                            .at = 1};
    plan.is_armed = yes;
}

// So many records come, for which somebody waits, and are looked at. schema: 0 for none.
static void records_come(unsigned n, uint64_t schema)
{
    const struct record_plan none = {0};
    for (unsigned i = 0; i < n; i++) {
        struct record_head h = {.kind = RECORD_FAILURE,
                                .status = 503,
                                .schema = schema,
                                .sample_weight = 1,
                                .wall_ns = UINT64_C(1795340969123456000),
                                .ring_seq = spool_next(&ring)};
        void *to = spool_reserve(&ring, 1024);
        ck_assert_ptr_nonnull(to);
        spool_put(&ring, record_write(&h, &none, NULL, 0, NULL, 0, to, 1024));
    }
    spool_await(&ring, true);
    (void)spool_publish(&ring);
    m.prediction_log->look.on_due(&m.prediction_log->look);
}

static void records_are_dropped(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        spool_drop(&ring, LOG_REASON_OVERFLOW);
}

struct found {
    uint64_t records, disk, overflow, hostile;
    uint64_t named; // of the records, those whose model is known
};

static int add_up(void *ctx, struct str line, yyjson_val *root, struct err *e)
{
    struct found *f = ctx;
    yyjson_val *reason = yyjson_obj_get(root, "reason");
    uint64_t n = yyjson_get_uint(yyjson_obj_get(root, "records"));
    (void)line, (void)e;
    f->records += reason == NULL;
    f->named += yyjson_equals_str(yyjson_obj_get(root, "model"), "m");
    f->disk += yyjson_equals_str(reason, "disk") ? n : 0;
    f->overflow += yyjson_equals_str(reason, "overflow") ? n : 0;
    f->hostile += yyjson_equals_str(reason, "hostile") ? n : 0;
    return 0;
}

// What the log has once the monitor has ended.
static struct found found_at_the_end(void)
{
    struct found f = {0};
    struct predlog_query_done done;
    const struct predlog_query q = {.with_gaps = true};
    struct err e;
    m.draining = true;
    log_close(&m);
    ck_assert_msg(predlog_query(dir, &q, add_up, &f, &done, &e) == 0, "%s", e.msg);
    return f;
}

// The gap that tells of the first batch is in the second, which is given up as well.
START_TEST(what_was_given_up_is_told_however_often_the_disk_fails)
{
    set_up();
    records_are_dropped(7);
    for (int i = 0; i < 3; i++) {
        break_disk(true);
        records_come(HALF, 0);
        ck_assert_uint_eq(spool_told(&ring).dropped, (i + 1) * HALF);
        break_disk(false);
        records_come(1, 0);
        ck_assert_uint_eq(spool_told(&ring).committed, i + 1);
    }
    struct found f = found_at_the_end();
    ck_assert_uint_eq(f.records, 3);
    ck_assert_uint_eq(f.disk, 3 * HALF);
    ck_assert_uint_eq(f.overflow, 7);
    tear_down();
}
END_TEST

enum { VERSIONS = 2 * LIMIT_DEPLOYMENTS + 60 };

static void deploy(unsigned version)
{
    char json[512];
    struct err e;
    int n =
        snprintf(json, sizeof json,
                 "{\"deployment\":%u,\"model\":\"m\",\"version\":%u,\"slot\":1,\"engine\":\"trees\",\"log\":"
                 "{\"schema\":{\"key\":\"%016x\",\"model\":\"m\",\"version\":%u,\"table\":true,\"inputs\":[],"
                 "\"outputs\":[]}}}",
                 version, version, version, version);
    ck_assert_msg(models_take_deploy(m.models, (struct str){json, (size_t)n}, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(models_take_routes(m.models, STR("{\"models\":[]}"), &e), 0);
    log_models_changed(&m);
}

static size_t n_schemas(void)
{
    size_t n = 0;
    uint64_t key;
    while (wal_schema_at(m.prediction_log->wal, n, &key))
        n++;
    return n;
}

START_TEST(schemas_of_versions_that_are_gone_are_forgotten_once_their_records_are_kept)
{
    set_up();
    deploy(1);
    break_disk(true);
    records_come(1, 1);
    for (unsigned i = 2; i <= VERSIONS; i++)
        deploy(i);
    ck_assert_uint_eq(n_schemas(), VERSIONS); // the batch has a record of the first
    break_disk(false);
    m.prediction_log->look.on_due(&m.prediction_log->look);
    ck_assert_uint_eq(spool_told(&ring).committed, 1);
    ck_assert_uint_eq(n_schemas(), 2 * LIMIT_DEPLOYMENTS);
    records_come(1, VERSIONS);
    struct found f = found_at_the_end();
    ck_assert(f.records == 2 && f.named == 2);
    tear_down();
}
END_TEST

// What a gateway that is not what it should be puts into its ring; a length that is not the record's own.
static void hostile_comes(const void *p, size_t n)
{
    char *to = spool_reserve(&ring, n);
    ck_assert_ptr_nonnull(to);
    memcpy(to, p, n);
    spool_put(&ring, n);
    records_come(1, 0); // a good one behind it
}

START_TEST(what_is_no_record_is_told_and_counted_and_those_behind_it_are_kept)
{
    static _Alignas(8) char bytes[1024], more[1024];
    const struct record_plan none = {0};
    struct record_head h = {.kind = RECORD_FAILURE, .status = 503, .sample_weight = 1};
    const struct record_gap gap = {.reason = RECORD_GAP_DISK, .n_records = 1000000};
    set_up();
    size_t n = record_write(&h, &none, NULL, 0, NULL, 0, bytes, sizeof bytes);
    memcpy(more, bytes, n);
    hostile_comes(more, n + 8); // something follows it
    hostile_comes(bytes, n - 8);
    n = record_write_gap(&h, &gap, bytes, sizeof bytes); // only the monitor may tell of gaps
    hostile_comes(bytes, n);
    n = record_write_schema(&h, STR("{}"), bytes, sizeof bytes); // and of versions
    hostile_comes(bytes, n);
    memset(bytes, 0xee, sizeof bytes);
    hostile_comes(bytes, 500);
    // Inputs that are no blocks, which those who look at a record would follow.
    h = (struct record_head){.kind = RECORD_PREDICTION,
                             .sample_weight = 1,
                             .bytes = RECORD_HEAD_BYTES + 64,
                             .input_bytes = 64,
                             .rows = 1};
    memcpy(bytes, &h, sizeof h);
    hostile_comes(bytes, h.bytes);
    struct spool_settled s = spool_told(&ring);
    ck_assert(s.committed == 6 && s.dropped == 6);
    struct found f = found_at_the_end();
    ck_assert(f.records == 6 && f.hostile == 6 && f.disk == 0);
    tear_down();
}
END_TEST

static bool comes_late; // a record, between the last look and the sleep

bool __real_spool_sleep(struct spool_reader *r);
bool __wrap_spool_sleep(struct spool_reader *r);
bool __wrap_spool_sleep(struct spool_reader *r)
{
    if (comes_late) {
        comes_late = false;
        const struct record_plan none = {0};
        struct record_head h = {.kind = RECORD_FAILURE, .status = 503, .sample_weight = 1};
        void *to = spool_reserve(&ring, 1024);
        spool_put(&ring, record_write(&h, &none, NULL, 0, NULL, 0, to, 1024));
        ck_assert(!spool_publish(&ring)); // it does not sleep yet
    }
    return __real_spool_sleep(r);
}

// It would lie there until the next one comes.
START_TEST(who_goes_to_sleep_sees_what_has_just_come)
{
    set_up();
    struct log_state *l = m.prediction_log;
    ck_assert(!l->is_looking); // nothing was there
    comes_late = true;
    spool_wake(&l->rings[0].spool);
    l->look.on_due(&l->look);
    ck_assert(!comes_late && l->is_looking);
    ck_assert(!spool_publish(&ring)); // awake: nobody has to wake it
    l->look.on_due(&l->look);
    l->look.on_due(&l->look);
    struct found f = found_at_the_end();
    ck_assert_uint_eq(f.records, 1);
    tear_down();
}
END_TEST

UNIT_MAIN("role/monitor/log", what_is_no_record_is_told_and_counted_and_those_behind_it_are_kept,
          who_goes_to_sleep_sees_what_has_just_come, what_was_given_up_is_told_however_often_the_disk_fails,
          schemas_of_versions_that_are_gone_are_forgotten_once_their_records_are_kept)
