// SPDX-License-Identifier: Apache-2.0
// Writes a prediction log into a data directory as the monitor would, for tests of what reads it.
//
//   write_log DIR RECORDS SEALED         so many predictions over two models, the first SEALED of them sealed
//   write_log DIR RECORDS 0 BATCH        without end where RECORDS is 0, a commit every BATCH records, each
//   told
//                                        on standard output by its highest number, once it is durable
//
// Every record's values follow from its number k, counted from the first ever: age = k % 90, or missing where
// k % 7 is 0; prediction = k / 1024 of that life. Model "words" has texts and lists.
#include "base/assert.h"
#include "os/file.h"
#include "predlog/schema.h"
#include "predlog/seal.h"
#include "predlog/wal.h"

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_NS UINT64_C(1795340969123456000)

static const char *const SCHEMAS[2] = {
    "{\"key\":\"0000000000000001\",\"model\":\"churn\",\"version\":3,\"table\":true,\"inputs\":[{\"name\":"
    "\"age\","
    "\"datatype\":\"FP32\"},{\"name\":\"income\",\"datatype\":\"FP32\",\"log\":\"bucket:1000\"},{\"name\":"
    "\"card\","
    "\"datatype\":\"FP32\",\"log\":\"hash\"},{\"name\":\"secret\",\"datatype\":\"FP32\",\"log\":\"drop\"}],"
    "\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\"}]}",
    "{\"key\":\"0000000000000002\",\"model\":\"words\",\"version\":1,\"table\":false,\"inputs\":[{\"name\":"
    "\"text\","
    "\"datatype\":\"BYTES\"}],\"outputs\":[{\"name\":\"scores\",\"datatype\":\"FP64\"}]}",
};

struct writer {
    int wal_fd, log_fd;
    struct wal *wal;
    struct predlog_schema *schemas[2];
    struct record_plan plans[2];
};

static void check(int rc, const struct err *e)
{
    if (rc)
        errx(1, "%s", e->msg);
}

static void open_all(struct writer *w, const char *dir)
{
    struct err e;
    struct wal_found found;
    int root, state;
    check(file_make_dir_path(dir, &root, &e), &e);
    check(file_make_dir(root, "state", &state, &e), &e);
    check(file_make_dir(state, "wal", &w->wal_fd, &e), &e);
    check(file_make_dir(root, "log", &w->log_fd, &e), &e);
    check(wal_open(w->wal_fd, 1, &w->wal, &found, &e), &e);
    for (int i = 0; i < 2; i++) {
        check(predlog_schema_read(str_of(SCHEMAS[i]), &w->schemas[i], &e), &e);
        check(predlog_plan_init(&w->plans[i], w->schemas[i], STR("secret key"), &e), &e);
        check(wal_schema_set(w->wal, w->schemas[i]->key, str_of(SCHEMAS[i]), START_NS, &e), &e);
    }
}

static uint64_t add(struct writer *w, uint64_t k)
{
    static _Alignas(8) char record[4096];
    bool words = k % 5 == 4, failed = k % 11 == 10;
    float in[2][4] = {{k % 7 ? (float)(k % 90) : NAN, (float)(k * 37 % 9000), (float)(k % 10), 99.5f}},
          out[2];
    double scores[3] = {(double)k / 8, 0.5, 0.125};
    char text[64];
    uint32_t n_text, rows = !words && k % 3 == 0 ? 2 : 1;
    memcpy(in[1], in[0], sizeof in[0]);
    out[0] = out[1] = (float)(k % 65536) / 1024;
    n_text = (uint32_t)snprintf(text + 4, sizeof text - 4, "w\xc3\xb6rd \"%" PRIu64 "\",\n", k);
    memcpy(text, &n_text, sizeof n_text);
    struct tensor ti = {.dtype = DTYPE_FP32, .n_dims = 2, .shape = {rows, 4}, .data = in, .bytes = rows * 16};
    struct tensor to = {.dtype = DTYPE_FP32, .n_dims = 1, .shape = {rows}, .data = out, .bytes = rows * 4};
    if (words) {
        ti = (struct tensor){
            .dtype = DTYPE_BYTES, .n_dims = 1, .shape = {1}, .data = text, .bytes = n_text + 4};
        to = (struct tensor){.dtype = DTYPE_FP64, .n_dims = 1, .shape = {3}, .data = scores, .bytes = 24};
    }
    struct record_head h = {.wall_ns = START_NS + k * 1000000,
                            .id = {0x01, 0xa2, 0, 0, 0, 0, 0x70, 0, 0x80},
                            .schema = words ? 2 : 1,
                            .version = words ? 1 : 3,
                            .kind = failed ? RECORD_FAILURE : RECORD_PREDICTION,
                            .status = failed ? 503 : 200,
                            .error = failed ? (uint16_t)-ERR_BUSY : 0,
                            .arm = k % 13 == 0,
                            .weight_bp = 10000,
                            .sample_weight = 1,
                            .latency_us = (uint32_t)(k % 1000),
                            .ring_seq = k,
                            .rows = rows};
    struct err e;
    uint64_t seq;
    for (int i = 0; i < 6; i++)
        h.id[15 - i] = (uint8_t)(k >> 8 * i);
    size_t n = record_write(&h, &w->plans[words], &ti, !failed, &to, !failed, record, sizeof record);
    ASSERT(n > 0);
    check(wal_append(w->wal, (struct str){record, n}, 0, &seq, &e), &e);
    return seq;
}

static void commit(struct writer *w)
{
    struct err e;
    check(wal_commit(w->wal, START_NS, 0, &e), &e);
    (void)wal_rotate(w->wal, false, 0); // files are as large as the monitor's
}

int main(int argc, char **argv)
{
    struct writer w = {0};
    struct err e;
    if (argc < 4)
        errx(2, "usage: write_log DIR RECORDS SEALED [BATCH]");
    uint64_t n = strtoull(argv[2], NULL, 10), sealed = strtoull(argv[3], NULL, 10);
    uint64_t batch = argc > 4 ? strtoull(argv[4], NULL, 10) : 1000;
    open_all(&w, argv[1]);
    for (uint64_t k = 0; n == 0 || k < n; k++) {
        uint64_t seq = add(&w, k);
        if ((k + 1) % batch == 0 || k + 1 == n) {
            commit(&w);
            if (argc > 4) {
                printf("%" PRIu64 "\n", seq);
                fflush(stdout);
            }
        }
        if (k + 1 == sealed) {
            struct seal_done done;
            commit(&w);
            check(predlog_seal(w.wal_fd, w.log_fd, wal_rotate(w.wal, true, 0), &done, &e), &e);
        }
    }
    return 0;
}
