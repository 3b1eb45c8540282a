// SPDX-License-Identifier: Apache-2.0
// A file is named by the digest of what the image is made of, and holds a head (the same digest, then that of
// the image) and the image. It is written without a sync: after a power cut its digest says what it is worth.
#include "role/controller/image_cache.h"

#include "base/buf.h"
#include "os/file.h"
#include "os/shm.h"
#include "role/controller/compile_job.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER    "images"
#define UNNAMED   "new"
#define PROCESSOR "/proc/cpuinfo"

enum { CHUNK_BYTES = 256 << 10, PROCESSOR_BYTES = 64 << 10, FILES_MAX = 2 * LIMIT_DEPLOYMENTS };

struct head {
    struct registry_digest name, image;
};

struct image_cache {
    int dir_fd;
    struct registry_digest maker; // the program and the processor
    unsigned n_put;               // since it was swept
    char chunk[CHUNK_BYTES];
};

static int digest_at(int dir_fd, const char *path, struct registry_digest *ret, struct err *e)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "open '%s'", path);
    int rc = registry_digest_file(fd, ret, e);
    close(fd);
    return rc;
}

// What the processor can do decides which kernels there are. Its other lines change from moment to moment.
static void put_processor(struct buf *out)
{
    char line[4096];
    FILE *f = fopen(PROCESSOR, "re");
    for (bool more = f != NULL; more && fgets(line, sizeof line, f);) {
        if (strncmp(line, "model name", 10) == 0 || strncmp(line, "flags", 5) == 0)
            buf_puts(out, line);
        more = line[0] != '\n'; // of the first one
    }
    if (f)
        fclose(f);
}

static int find_maker(struct image_cache *s, struct err *e)
{
    struct registry_digest program;
    struct buf b;
    int rc = digest_at(AT_FDCWD, "/proc/self/exe", &program, e);
    if (rc)
        return rc;
    buf_init(&b, PROCESSOR_BYTES);
    buf_put(&b, program.bytes, sizeof program.bytes);
    put_processor(&b);
    rc = b.failed ? err_set(e, ERR_NOMEM, "no memory to start")
                  : registry_digest_bytes(buf_str(&b), &s->maker, e);
    buf_done(&b);
    return rc;
}

static int make_folder(struct controller *c, int *ret_fd, struct err *e)
{
    int data_fd;
    int rc = file_open_dir(AT_FDCWD, c->data_dir, &data_fd, e);
    if (rc)
        return rc;
    rc = file_make_dir(data_fd, FOLDER, ret_fd, e);
    close(data_fd);
    return rc;
}

void image_cache_open(struct controller *c)
{
    struct image_cache *s = calloc(1, sizeof *s);
    struct err e;
    if (!s)
        return;
    s->dir_fd = -1;
    c->image_cache = s;
    if (!find_maker(s, &e) && !make_folder(c, &s->dir_fd, &e))
        return;
    log_event(&c->log, LOG_LEVEL_WARN, "images_not_kept", LOG_Z("message", e.msg));
    image_cache_close(c);
}

void image_cache_close(struct controller *c)
{
    if (c->image_cache && c->image_cache->dir_fd >= 0)
        close(c->image_cache->dir_fd);
    free(c->image_cache);
    c->image_cache = NULL;
}

void image_cache_name(struct controller *c, struct deployment *d, const struct registry_digest *model)
{
    struct registry_digest parts[2] = {[1] = *model};
    struct err ignored;
    if (!c->image_cache)
        return;
    parts[0] = c->image_cache->maker;
    d->has_image_name =
        registry_digest_bytes((struct str){(const char *)parts, sizeof parts}, &d->image_name, &ignored) == 0;
}

static int open_image(const struct image_cache *s, const struct deployment *d, int *ret_fd, struct err *e)
{
    char name[REGISTRY_DIGEST_HEX];
    registry_digest_hex(&d->image_name, name);
    *ret_fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return *ret_fd < 0 ? err_errno(e, errno, "open a compiled image") : 0;
}

bool image_cache_has(const struct controller *c, const struct deployment *d)
{
    char name[REGISTRY_DIGEST_HEX];
    if (!c->image_cache || !d->has_image_name)
        return false;
    registry_digest_hex(&d->image_name, name);
    return faccessat(c->image_cache->dir_fd, name, R_OK, 0) == 0;
}

// The model file as it was stored; its digest is what the image was made of.
static int check_model(struct controller *c, const struct registry_digest *want, struct err *e)
{
    struct registry_digest is;
    uint64_t size;
    int fd;
    int rc = c->blobs->ops->open(c->blobs, want, &fd, e);
    if (rc)
        return rc;
    rc = file_size(fd, &size, e);
    if (!rc && size > LIMIT_KEPT_IMAGE_BYTES)
        rc = err_set(e, ERR_TOO_LARGE, "the file is read by another process");
    if (!rc)
        rc = registry_digest_file(fd, &is, e);
    if (!rc && !registry_digest_eq(&is, want))
        rc = err_set(e, ERR_DIGEST, "the stored file is damaged");
    close(fd);
    return rc;
}

static int copy(struct image_cache *s, int from, uint64_t at, uint64_t n, int to, struct err *e)
{
    int rc = 0;
    for (uint64_t end = at + n; !rc && at < end;) {
        size_t done = 0, want = end - at < CHUNK_BYTES ? (size_t)(end - at) : CHUNK_BYTES;
        rc = file_read_at(from, s->chunk, want, at, &done, e);
        if (!rc && done == 0)
            rc = err_set(e, ERR_DIGEST, "the compiled image is cut short");
        if (!rc)
            rc = file_write_all(to, s->chunk, done, e);
        at += done;
    }
    return rc;
}

// What is checked is what will be used: it can change no more.
static int take(struct image_cache *s, int fd, const struct deployment *d, struct compile_job *j,
                struct err *e)
{
    struct head head;
    struct registry_digest is;
    uint64_t size;
    size_t n = 0;
    int rc = file_size(fd, &size, e);
    if (!rc && (size <= sizeof head || size > sizeof head + LIMIT_KEPT_IMAGE_BYTES))
        rc = err_set(e, ERR_DIGEST, "the compiled image has %llu bytes", (unsigned long long)size);
    if (!rc)
        rc = file_read_at(fd, &head, sizeof head, 0, &n, e);
    if (!rc && (n != sizeof head || !registry_digest_eq(&head.name, &d->image_name)))
        rc = err_set(e, ERR_DIGEST, "the compiled image is of something else");
    if (!rc)
        rc = shm_new("slipway-model", 0, &j->image_fd, e);
    if (rc)
        return rc;
    j->image_bytes = size - sizeof head;
    rc = copy(s, fd, sizeof head, j->image_bytes, j->image_fd, e);
    if (!rc)
        rc = shm_seal(j->image_fd, SHM_SEAL_ALL, e);
    if (!rc)
        rc = registry_digest_file(j->image_fd, &is, e);
    if (!rc && !registry_digest_eq(&is, &head.image))
        rc = err_set(e, ERR_DIGEST, "the compiled image is damaged");
    if (!rc)
        return 0;
    close(j->image_fd);
    j->image_fd = -1;
    return rc;
}

int image_cache_get(struct controller *c, const struct deployment *d, struct compile_job *j, struct err *e)
{
    int fd;
    if (!c->image_cache || !d->has_image_name)
        return err_set(e, ERR_NOT_FOUND, "there is no compiled image");
    int rc = check_model(c, &j->digest, e);
    if (!rc)
        rc = open_image(c->image_cache, d, &fd, e);
    if (rc)
        return rc;
    rc = take(c->image_cache, fd, d, j, e);
    close(fd);
    return rc;
}

static int write_file(struct image_cache *s, int fd, const struct deployment *d, struct err *e)
{
    struct head head = {.name = d->image_name};
    int rc = registry_digest_file(d->image_fd, &head.image, e);
    if (!rc)
        rc = file_write_all(fd, &head, sizeof head, e);
    return rc ? rc : copy(s, d->image_fd, 0, d->image_bytes, fd, e);
}

static int put(struct image_cache *s, const struct deployment *d, struct err *e)
{
    char name[REGISTRY_DIGEST_HEX];
    registry_digest_hex(&d->image_name, name);
    int fd = openat(s->dir_fd, UNNAMED, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return err_errno(e, errno, "open a file for a compiled image");
    int rc = write_file(s, fd, d, e);
    close(fd);
    if (!rc && renameat(s->dir_fd, UNNAMED, s->dir_fd, name) < 0)
        rc = err_errno(e, errno, "name a compiled image");
    if (rc)
        unlinkat(s->dir_fd, UNNAMED, 0);
    return rc;
}

void image_cache_put(struct controller *c, const struct deployment *d)
{
    struct image_cache *s = c->image_cache;
    struct err e;
    if (!s || !d->has_image_name || d->image_fd < 0 || d->image_bytes > LIMIT_KEPT_IMAGE_BYTES ||
        image_cache_has(c, d) || c->registry->ops->room(c->registry, &e))
        return;
    if (s->n_put++ == FILES_MAX)
        image_cache_sweep(c);
    if (put(s, d, &e))
        log_event(&c->log, LOG_LEVEL_WARN, "image_not_kept", LOG_Z("model", d->model),
                  LOG_INT("version", d->version), LOG_Z("message", e.msg));
}

void image_cache_drop(struct controller *c, const struct deployment *d)
{
    char name[REGISTRY_DIGEST_HEX];
    registry_digest_hex(&d->image_name, name);
    if (c->image_cache && d->has_image_name)
        unlinkat(c->image_cache->dir_fd, name, 0);
}

static bool is_loaded(const struct controller *c, const char *name)
{
    char has[REGISTRY_DIGEST_HEX];
    for (size_t i = 0; i < LIMIT_DEPLOYMENTS; i++) {
        const struct deployment *d = c->routing.slots[i];
        if (!d || !d->has_image_name)
            continue;
        registry_digest_hex(&d->image_name, has);
        if (strcmp(has, name) == 0)
            return true;
    }
    return false;
}

void image_cache_sweep(struct controller *c)
{
    struct image_cache *s = c->image_cache;
    int fd = s ? openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir && fd >= 0)
        close(fd);
    if (!dir)
        return;
    s->n_put = 0;
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && !is_loaded(c, entry->d_name))
            unlinkat(s->dir_fd, entry->d_name, 0);
    closedir(dir);
}
