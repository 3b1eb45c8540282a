// SPDX-License-Identifier: Apache-2.0
#include "logbook.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const SCHEMAS[3] = {
    "{\"key\":\"0000000000000001\",\"model\":\"churn\",\"version\":1,\"table\":true,\"inputs\":[{\"name\":"
    "\"age\","
    "\"datatype\":\"FP32\"},{\"name\":\"income\",\"datatype\":\"FP32\",\"log\":\"bucket:1000\"}],"
    "\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\"}]}",
    "{\"key\":\"0000000000000002\",\"model\":\"churn\",\"version\":2,\"table\":true,\"inputs\":[{\"name\":"
    "\"age\","
    "\"datatype\":\"FP32\"},{\"name\":\"card\",\"datatype\":\"FP32\",\"log\":\"hash\"}],"
    "\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\"}]}",
    "{\"key\":\"0000000000000003\",\"model\":\"fraud\",\"version\":1,\"table\":true,\"inputs\":[{\"name\":"
    "\"age\","
    "\"datatype\":\"FP32\"},{\"name\":\"secret\",\"datatype\":\"FP32\",\"log\":\"drop\"}],"
    "\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\"}]}",
};

static int make_folder(const struct logbook *l, const char *name)
{
    char path[TEMPDIR_SIZE + 16];
    snprintf(path, sizeof path, "%s/%s", l->dir, name);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void logbook_init(struct logbook *l)
{
    struct err e;
    *l = (struct logbook){.wall_ns = LOGBOOK_START_NS, .mono_ns = 1000};
    tempdir_new(l->dir);
    close(make_folder(l, "state"));
    l->wal_fd = make_folder(l, "state/wal");
    l->log_fd = make_folder(l, "log");
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(predlog_schema_read(str_of(SCHEMAS[i]), &l->schemas[i], &e) == 0, "%s", e.msg);
        ck_assert_int_eq(predlog_plan_init(&l->plans[i], l->schemas[i], STR("key"), &e), 0);
    }
    logbook_open(l, 1);
}

void logbook_open(struct logbook *l, uint64_t next_seq)
{
    struct err e;
    wal_free(l->wal);
    ck_assert_msg(wal_open(l->wal_fd, next_seq, &l->wal, &l->found, &e) == 0, "%s", e.msg);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(wal_schema_set(l->wal, l->schemas[i]->key, str_of(SCHEMAS[i]), l->wall_ns, &e), 0);
}

void logbook_done(struct logbook *l)
{
    wal_free(l->wal);
    for (int i = 0; i < 3; i++) {
        predlog_schema_free(l->schemas[i]);
        predlog_plan_done(&l->plans[i]);
    }
    close(l->wal_fd);
    close(l->log_fd);
    tempdir_remove(l->dir);
}

uint64_t logbook_add_status(struct logbook *l, int which, uint16_t status)
{
    static _Alignas(8) char record[1024];
    float in[2] = {31, 2718.25f}, out = 0.25f;
    struct tensor ti = {.dtype = DTYPE_FP32, .n_dims = 2, .shape = {1, 2}, .data = in, .bytes = sizeof in};
    struct tensor to = {.dtype = DTYPE_FP32, .n_dims = 1, .shape = {1}, .data = &out, .bytes = sizeof out};
    struct record_head h = {.wall_ns = l->wall_ns,
                            .schema = l->schemas[which]->key,
                            .version = l->schemas[which]->version,
                            .kind = status == 200 ? RECORD_PREDICTION : RECORD_FAILURE,
                            .status = status,
                            .error = status == 200 ? 0 : (uint16_t)-ERR_BUSY,
                            .arm = which == 1,
                            .weight_bp = 10000,
                            .sample_weight = 1,
                            .ring_seq = l->n_made,
                            .rows = 1};
    struct err e;
    uint64_t seq, ms = l->wall_ns / 1000000;
    for (int i = 0; i < 6; i++)
        h.id[i] = (uint8_t)(ms >> (40 - 8 * i));
    h.id[6] = 0x70;
    memcpy(h.id + 8, &l->n_made, 8);
    l->n_made++;
    uint32_t n = status == 200;
    size_t bytes = record_write(&h, &l->plans[which], &ti, n, &to, n, record, sizeof record);
    ck_assert_msg(wal_append(l->wal, (struct str){record, bytes}, l->mono_ns, &seq, &e) == 0, "%s", e.msg);
    return seq;
}

uint64_t logbook_add(struct logbook *l, int which)
{
    return logbook_add_status(l, which, 200);
}

void logbook_commit(struct logbook *l)
{
    struct err e;
    ck_assert_msg(wal_commit(l->wal, l->wall_ns, l->mono_ns, &e) == 0, "%s", e.msg);
}

struct seal_done logbook_seal(struct logbook *l)
{
    struct err e;
    struct seal_done done;
    uint64_t before = wal_rotate(l->wal, true, l->mono_ns);
    ck_assert_msg(predlog_seal(l->wal_fd, l->log_fd, before, &done, &e) == 0, "%s", e.msg);
    return done;
}

static int nothing(void *ctx, struct str line, struct yyjson_val *root, struct err *e)
{
    (void)ctx, (void)line, (void)root, (void)e;
    return 0;
}

uint64_t logbook_count(struct logbook *l, struct predlog_query q)
{
    struct predlog_query_done done;
    struct err e;
    ck_assert_msg(predlog_query(l->dir, &q, nothing, NULL, &done, &e) == 0, "%s", e.msg);
    ck_assert_uint_eq(done.n_bad, 0);
    return done.n_lines;
}

static void no_fault(void *ctx, const char *file, const char *what)
{
    (void)ctx;
    if (getenv("LOGBOOK_SHOW"))
        fprintf(stderr, "%s %s\n", file, what);
}

uint32_t logbook_faults(struct logbook *l, struct predlog_verify *ret)
{
    struct err e;
    ck_assert_msg(predlog_verify(l->dir, no_fault, NULL, ret, &e) == 0, "%s", e.msg);
    return ret->n_faults;
}

void logbook_wal_path(struct logbook *l, bool newest, char ret[TEMPDIR_SIZE + 64])
{
    uint64_t *files;
    size_t n;
    char name[WAL_NAME_SIZE];
    ck_assert_int_eq(wal_list(l->wal_fd, &files, &n, NULL), 0);
    ck_assert_uint_gt(n, 0);
    wal_name(files[newest ? n - 1 : 0], name);
    snprintf(ret, TEMPDIR_SIZE + 64, "%s/state/wal/%s", l->dir, name);
    free(files);
}
