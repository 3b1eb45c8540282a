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
    uint64_t records, disk, overflow;
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

UNIT_MAIN("role/monitor/log", what_was_given_up_is_told_however_often_the_disk_fails,
          schemas_of_versions_that_are_gone_are_forgotten_once_their_records_are_kept)
