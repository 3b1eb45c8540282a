// SPDX-License-Identifier: Apache-2.0
// A registry with versions whose files are really there, in a folder of the test. A program that includes
// this never waits for the disk: it loses nothing but what a power cut would take, which others test.
#pragma once

#include "registry/registry.h"

#include "tempdir.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned filled_dies_at; // the process is killed at this call from now on; 0: never

static inline int filled_sync(void)
{
    if (filled_dies_at && --filled_dies_at == 0)
        raise(SIGKILL);
    return 0;
}

int fsync(int fd)
{
    (void)fd;
    return filled_sync();
}

int fdatasync(int fd)
{
    (void)fd;
    return filled_sync();
}

__attribute__((constructor)) static void filled_in_memory(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
}

static const struct registry_cause FILLED_CAUSE = {.actor = STR("tester"), .wall_ns = 1700000000000000000u};

// The bytes of file `n`: some are large, no two are alike.
static inline size_t filled_bytes(unsigned n, char *to, size_t cap)
{
    size_t size = 1 + n * 397 % 9001;
    ck_assert_uint_le(size, cap);
    for (size_t i = 0; i < size; i++)
        to[i] = (char)(n * 31 + i * 7 + (i >> 8));
    if (size >= sizeof n)
        memcpy(to, &n, sizeof n);
    return size;
}

static inline struct registry_artifact filled_blob(struct blobs *b, unsigned n)
{
    static char bytes[10000];
    struct registry_artifact f = {.name = STR("model.json"),
                                  .size_bytes = filled_bytes(n, bytes, sizeof bytes)};
    struct blob_writer *w;
    struct blob_parts parts;
    struct err e;
    bool stored;
    ck_assert_int_eq(b->ops->writer_open(b, sizeof bytes, &w, &e), 0);
    ck_assert_int_eq(b->ops->write(w, bytes, f.size_bytes, &e), 0);
    b->ops->parts(b, w, &parts);
    ck_assert_int_eq(registry_digest_file(parts.file_fd, &f.digest, &e), 0);
    ck_assert_msg(blob_store(&parts, &f.digest, &stored, &e) == 0, "%s", e.msg);
    b->ops->abort(w);
    return f;
}

// Version of `model` with file n; its number.
static inline uint32_t filled_version(struct registry *r, struct blobs *b, const char *model, unsigned n,
                                      const char *alias)
{
    struct registry_artifact f = filled_blob(b, n);
    struct registry_version v = {.model = str_of(model),
                                 .engine = STR("trees"),
                                 .format = STR("xgboost_json"),
                                 .signature_json = STR("{}"),
                                 .tags_json = STR("{}"),
                                 .created_by = STR("tester"),
                                 .created_wall_ns = FILLED_CAUSE.wall_ns,
                                 .artifacts = &f,
                                 .n_artifacts = 1};
    uint64_t id;
    uint32_t number;
    struct err e;
    int rc = r->ops->version_add(r, &FILLED_CAUSE, &v, str_of(alias), &id, &number, &e);
    ck_assert_msg(rc == 0, "%s", e.msg);
    return number;
}

// Versions of two models, with files 0 … n - 1, and closed again.
static inline void filled_new(const char *dir, unsigned n)
{
    struct registry *r;
    struct blobs *b;
    struct err e;
    ck_assert_int_eq(registry_sqlite_open(dir, &r, &e), 0);
    ck_assert_int_eq(blobs_dir_open(dir, false, &b, &e), 0);
    for (unsigned i = 0; i < n; i++)
        filled_version(r, b, i % 2 ? "churn" : "price", i, i + 2 < n ? "" : "champion");
    b->ops->close(b);
    r->ops->close(r);
}

static inline void filled_path(char ret[1024], const char *dir, const struct registry_digest *d)
{
    char hex[REGISTRY_DIGEST_HEX];
    registry_digest_hex(d, hex);
    snprintf(ret, 1024, "%s/blobs/sha256/%.2s/%s", dir, hex, hex);
}

// Changes one bit of a stored file.
static inline void filled_flip(const char *dir, const struct registry_digest *d, uint64_t at, unsigned bit)
{
    char path[1024];
    unsigned char byte;
    filled_path(path, dir, d);
    ck_assert_int_eq(chmod(path, 0600), 0);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= (unsigned char)(1u << bit);
    ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}
