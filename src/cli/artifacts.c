// SPDX-License-Identifier: Apache-2.0
// The files of a version that is being pushed. A file is hashed first, so that bytes which the server has
// already are not sent again, and what arrives is what was read.
#include "cli/artifacts.h"

#include "base/limits.h"
#include "cli/digest.h"
#include "cli/term.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 << 10 };
_Static_assert((int)ARTIFACT_NAME_SIZE == LIMIT_ARTIFACT_NAME_BYTES + 1, "the server's limit");

void artifacts_done(struct artifacts *a)
{
    for (size_t i = 0; i < a->n; i++) {
        close(a->items[i].fd);
        free(a->items[i].name);
    }
    free(a->items);
    *a = (struct artifacts){0};
}

struct artifact *artifacts_find_role(const struct artifacts *a, const char *role)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->items[i].role, role) == 0)
            return &a->items[i];
    return NULL;
}

struct artifact *artifacts_find_name(const struct artifacts *a, const char *name)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->items[i].name, name) == 0)
            return &a->items[i];
    return NULL;
}

// ---- gathering

static int check_file(int fd, const char *shown, uint64_t *ret_size, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_errno(e, errno, "look at '%s'", shown);
    if (!S_ISREG(st.st_mode)) {
        err_set(e, ERR_INVALID, "'%s' is not a file", shown);
        err_hint(e, "A stream is pushed through standard input: slipway push NAME - < FILE.");
        return ERR_INVALID;
    }
    if (st.st_size == 0)
        return err_set(e, ERR_INVALID, "%s is empty", shown);
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

static int check_place(const struct artifacts *a, const char *role, const char *name, struct err *e)
{
    if (artifacts_find_name(a, name)) {
        err_set(e, ERR_INVALID, "two files of the version would be called '%.80s'", name);
        err_hint(e, "The files of a version have different names.");
        return ERR_INVALID;
    }
    if (strcmp(role, "data") != 0 && artifacts_find_role(a, role))
        return err_set(e, ERR_INVALID, "a version has one file as its %s, and '%.80s' would be a second one",
                       role, name);
    if (a->n == LIMIT_ARTIFACTS)
        return err_set(e, ERR_TOO_LARGE, "a version has at most %d files", LIMIT_ARTIFACTS);
    return 0;
}

int artifacts_add_fd(struct artifacts *a, const char *role, const char *name, int fd, const char *shown,
                     struct err *e)
{
    struct artifact new = {.fd = fd, .role = role};
    int rc = check_file(fd, shown, &new.size, e);
    if (rc == 0)
        rc = check_place(a, role, name, e);
    if (rc == 0) {
        struct artifact *more = realloc(a->items, (a->n + 1) * sizeof *more);
        a->items = more ? more : a->items;
        new.name = str_dup(str_of(name));
        if (!more || !new.name)
            rc = err_set(e, ERR_NOMEM, "out of memory");
    }
    if (rc) {
        free(new.name);
        close(fd);
        return rc;
    }
    a->items[a->n++] = new;
    return 0;
}

int artifacts_add_path(struct artifacts *a, const char *role, const char *name, const char *path,
                       struct err *e)
{
    // A pipe must not keep the opening waiting: it is refused below.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_errno(e, errno, "open '%s'", path);
    const char *slash = strrchr(path, '/');
    return artifacts_add_fd(a, role, name ? name : slash ? slash + 1 : path, fd, path, e);
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void artifacts_name_of(const char *path, char ret[ARTIFACT_NAME_SIZE])
{
    const char *slash = strrchr(path, '/');
    size_t n = 0;
    for (const char *p = slash ? slash + 1 : path; *p && n < ARTIFACT_NAME_SIZE - 1; p++)
        if (n || is_letter_or_digit(*p))
            ret[n++] = is_letter_or_digit(*p) || strchr("._-", *p) ? *p : '_';
    ret[n] = '\0';
    if (n == 0)
        memcpy(ret, "model", sizeof "model");
}

int artifacts_temporary(const char *for_what, int *ret_fd, struct err *e)
{
    const char *folder = getenv("TMPDIR");
    *ret_fd = open(folder && *folder ? folder : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return *ret_fd < 0 ? err_errno(e, errno, "make a temporary file for %s", for_what) : 0;
}

// The digest must be known before the first byte goes, so a stream is kept first.
int artifacts_add_stdin(struct artifacts *a, const char *role, const char *name, struct err *e)
{
    int fd;
    int rc = artifacts_temporary("standard input", &fd, e);
    if (rc)
        return rc;
    char *chunk = malloc(CHUNK_BYTES);
    rc = chunk ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    while (rc == 0) {
        ssize_t n = read(STDIN_FILENO, chunk, CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_errno(e, errno, "read standard input");
        if (n <= 0)
            break;
        rc = file_write_all(fd, chunk, (size_t)n, e);
        if (rc)
            err_wrap(e, "keep standard input in a temporary file");
    }
    free(chunk);
    if (rc == 0)
        return artifacts_add_fd(a, role, name, fd, "standard input", e);
    close(fd);
    return rc;
}

// ---- sending

static int read_into(struct digest *d, const struct artifact *a, char *chunk, struct progress *bar,
                     uint64_t *done, struct err *e)
{
    for (uint64_t at = 0; at < a->size;) {
        ssize_t n = pread(a->fd, chunk, CHUNK_BYTES, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "read '%s'", a->name);
        if (n == 0)
            return err_set(e, ERR_IO, "'%.80s' became shorter", a->name);
        int rc = digest_add(d, chunk, (size_t)n, e);
        if (rc)
            return rc;
        at += (uint64_t)n;
        progress_at(bar, *done += (uint64_t)n);
    }
    return 0;
}

static int hash(struct artifact *a, struct progress *bar, uint64_t *done, struct err *e)
{
    struct digest d;
    char *chunk = malloc(CHUNK_BYTES);
    int rc = digest_start(&d, e);
    if (rc == 0 && !chunk)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = read_into(&d, a, chunk, bar, done, e);
    if (rc == 0)
        rc = digest_end(&d, a->digest, e);
    if (rc == 0 && a->want[0] && strcmp(a->want, a->digest) != 0) {
        rc = err_set(e, ERR_DIGEST, "'%.80s' is damaged: it has the digest %.20s… and should have %.20s…",
                     a->name, a->digest, a->want);
        err_hint(e, "Nothing was sent. Export the version again, or copy the file anew.");
    }
    digest_done(&d);
    free(chunk);
    return rc;
}

int artifacts_hash(struct artifacts *a, struct err *e)
{
    struct progress bar;
    uint64_t total = 0, done = 0;
    int rc = 0;
    for (size_t i = 0; i < a->n; i++)
        total += a->items[i].size;
    progress_start(&bar, "Hashing", NULL, total);
    for (size_t i = 0; rc == 0 && i < a->n; i++)
        if (a->items[i].digest[0] == '\0')
            rc = hash(&a->items[i], &bar, &done, e);
    progress_end(&bar);
    return rc;
}

static void on_sent(void *ctx, uint64_t bytes)
{
    progress_at(ctx, bytes);
}

static int upload(struct artifact *a, struct client *c, struct err *e)
{
    char path[128];
    struct reply r;
    struct progress bar;
    snprintf(path, sizeof path, "/api/v1/blobs/%s", a->digest);
    struct client_request head = {.method = "HEAD", .path = path};
    int rc = client_call(c, &head, &r, e);
    if (rc)
        return rc;
    a->was_stored = r.status == 200;
    if (a->was_stored)
        return 0;
    if (r.status != 404)
        return client_refusal(&r, e);
    progress_start(&bar, "Uploading", NULL, a->size);
    struct client_upload u = {.fd = a->fd, .size = a->size, .on_sent = on_sent, .ctx = &bar};
    struct client_request put = {
        .method = "PUT", .path = path, .content_type = "application/octet-stream", .upload = &u};
    rc = client_call(c, &put, &r, e);
    progress_end(&bar);
    if (rc == 0 && r.status >= 300)
        rc = client_refusal(&r, e);
    return rc;
}

int artifacts_upload(struct artifacts *a, struct client *c, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < a->n; i++)
        rc = upload(&a->items[i], c, e);
    return rc;
}

void artifacts_put_json(const struct artifacts *a, struct buf *out)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < a->n; i++) {
        const struct artifact *x = &a->items[i];
        buf_puts(out, i ? ",{\"name\":" : "{\"name\":");
        buf_put_json_str(out, str_of(x->name));
        if (strcmp(x->role, "model") != 0)
            buf_printf(out, ",\"role\":\"%s\"", x->role);
        buf_printf(out, ",\"digest\":\"%s\",\"size\":%" PRIu64 "}", x->digest, x->size);
    }
    buf_putc(out, ']');
}
