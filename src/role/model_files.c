// SPDX-License-Identifier: Apache-2.0
// Lines to mapped files and back.
#include "role/model_files.h"

#include "os/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char PREFIX[] = "sha256:";
enum { PREFIX_BYTES = sizeof PREFIX - 1 };

void model_files_put(const struct registry_artifact *artifacts, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        char text[REGISTRY_DIGEST_TEXT];
        if (artifacts[i].role != REGISTRY_ROLE_DATA)
            continue;
        registry_digest_text(&artifacts[i].digest, text);
        buf_puts(out, text + PREFIX_BYTES);
        buf_putc(out, ' ');
        buf_put_str(out, artifacts[i].name);
        buf_putc(out, '\n');
    }
}

struct str model_files_split(struct str *json)
{
    struct str lines = *json;
    size_t n = 0;
    while (n < json->n && json->p[n] != '{') {
        const char *end = memchr(json->p + n, '\n', json->n - n);
        n = end ? (size_t)(end - json->p) + 1 : json->n;
    }
    lines.n = n;
    *json = (struct str){json->p + n, json->n - n};
    return lines;
}

static int map_one(struct blobs *blobs, const struct registry_digest *digest, struct runtime_file *ret,
                   struct err *e)
{
    struct registry_digest is;
    uint64_t size;
    int fd;
    int rc = blobs->ops->open(blobs, digest, &fd, e);
    if (rc)
        return rc;
    rc = registry_digest_file(fd, &is, e);
    if (rc == 0 && !registry_digest_eq(&is, digest)) {
        rc = err_set(e, ERR_DIGEST, "the stored file is damaged");
        err_hint(e, "Push the file again to replace it.");
    }
    if (rc == 0)
        rc = file_size(fd, &size, e);
    void *p = rc == 0 && size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (rc == 0 && p == MAP_FAILED)
        rc = size ? err_errno(e, errno, "map the file") : err_set(e, ERR_BAD_MODEL, "the file is empty");
    close(fd);
    if (rc == 0) {
        ret->bytes = p;
        ret->size = size;
    }
    return rc;
}

static int map_line(struct blobs *blobs, struct str line, struct model_files *m, struct err *e)
{
    struct str hex = str_split(&line, ' ');
    char text[REGISTRY_DIGEST_TEXT];
    struct registry_digest digest;
    struct runtime_file *f = &m->files[m->n];
    if (hex.n + PREFIX_BYTES + 1 != sizeof text)
        return err_set(e, ERR_INVALID, "a list of files is not as agreed");
    memcpy(text, PREFIX, PREFIX_BYTES);
    memcpy(text + PREFIX_BYTES, hex.p, hex.n);
    text[sizeof text - 1] = '\0';
    if (!registry_digest_parse(str_of(text), &digest) || line.n == 0)
        return err_set(e, ERR_INVALID, "a list of files is not as agreed");
    f->name = line;
    int rc = map_one(blobs, &digest, f, e);
    if (rc)
        return err_wrap(e, "file '" STR_FMT "'", STR_ARG(line));
    m->n++;
    m->bytes += f->size;
    return 0;
}

int model_files_map(struct str text, const char *data_dir, struct model_files *ret, struct err *e)
{
    *ret = (struct model_files){0};
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    if (n == 0)
        return text.n ? err_set(e, ERR_INVALID, "a list of files is not as agreed") : 0;
    struct blobs *blobs;
    ret->files = calloc(n, sizeof *ret->files);
    int rc = ret->files ? blobs_dir_open(data_dir, true, &blobs, e)
                        : err_set(e, ERR_NOMEM, "no memory for the names of files");
    if (rc == 0) {
        while (rc == 0 && text.n)
            rc = map_line(blobs, str_split(&text, '\n'), ret, e);
        blobs->ops->close(blobs);
    }
    if (rc)
        model_files_unmap(ret);
    return rc;
}

void model_files_unmap(struct model_files *m)
{
    for (size_t i = 0; i < m->n; i++)
        munmap((void *)(uintptr_t)m->files[i].bytes, m->files[i].size);
    free(m->files);
    *m = (struct model_files){0};
}
