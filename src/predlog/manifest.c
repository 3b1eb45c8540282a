// SPDX-License-Identifier: Apache-2.0
// Read whole, appended to in place, replaced by rename: small beside what it describes.
#include "predlog/manifest.h"

#include "base/limits.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

static const char NAME[] = "MANIFEST.jsonl", TEMP[] = "MANIFEST.tmp";

enum { ARENA_FACTOR = 16, ARENA_MIN = 1 << 20 };

static uint64_t number_of(yyjson_val *object, const char *name)
{
    return yyjson_get_uint(yyjson_obj_get(object, name));
}

static int out_of_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory for the log's manifest");
}

static int copy_of(struct arena *a, const char *p, size_t n, struct str *ret, struct err *e)
{
    char *copy = arena_alloc(a, n + 1);
    if (!copy)
        return out_of_memory(e);
    memcpy(copy, p, n);
    copy[n] = '\0';
    *ret = (struct str){copy, n};
    return 0;
}

// Empty when it is no text.
static int text_of(struct arena *a, yyjson_val *object, const char *name, struct str *ret, struct err *e)
{
    yyjson_val *v = yyjson_obj_get(object, name);
    return yyjson_is_str(v) ? copy_of(a, yyjson_get_str(v), yyjson_get_len(v), ret, e) : 0;
}

static int json_of(struct arena *a, yyjson_val *object, const char *name, struct str *ret, struct err *e)
{
    yyjson_write_err why;
    size_t n = 0;
    char *json = yyjson_val_write_opts(yyjson_obj_get(object, name), 0, NULL, &n, &why);
    int rc = json                                               ? copy_of(a, json, n, ret, e)
             : why.code == YYJSON_WRITE_ERROR_MEMORY_ALLOCATION ? out_of_memory(e)
                                                                : 0;
    free(json);
    return rc;
}

// A name that stays below log/ whatever the manifest says.
static bool is_path(struct str file)
{
    if (file.n == 0 || file.p[0] == '/' || memchr(file.p, 0, file.n))
        return false;
    while (file.n) {
        struct str part = str_split(&file, '/');
        if (part.n == 0 || part.p[0] == '.')
            return false;
    }
    return true;
}

// *ret_is_good: whether it says all that an entry has to.
static int read_entry(struct arena *a, yyjson_val *line, struct predlog_entry *ret, bool *ret_is_good,
                      struct err *e)
{
    *ret = (struct predlog_entry){
        .rows = number_of(line, "rows"),
        .records = number_of(line, "records"),
        .first_seq = number_of(line, "first_seq"),
        .last_seq = number_of(line, "last_seq"),
        .first_ns = number_of(line, "first_ns"),
        .last_ns = number_of(line, "last_ns"),
        .bytes = number_of(line, "bytes"),
        .wal = number_of(line, "wal"),
    };
    int rc = text_of(a, line, "file", &ret->file, e);
    if (!rc)
        rc = text_of(a, line, "model", &ret->model, e);
    if (!rc)
        rc = text_of(a, line, "sha256", &ret->sha256, e);
    if (!rc)
        rc = json_of(a, line, "schemas", &ret->schemas, e);
    *ret_is_good = is_path(ret->file) && ret->model.p && ret->sha256.p && ret->schemas.n;
    return rc;
}

static int read_line(struct predlog_manifest *m, struct str line, struct err *e)
{
    yyjson_read_err why;
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)line.p, line.n, 0, NULL, &why);
    yyjson_val *root = yyjson_doc_get_root(doc), *removed = yyjson_obj_get(root, "removed");
    int rc = 0;
    if (!doc && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) {
        rc = out_of_memory(e);
    } else if (removed) {
        m->removed_files += number_of(removed, "files");
        m->removed_rows += number_of(removed, "rows");
        m->removed_bytes += number_of(removed, "bytes");
        m->removed_last_seq = number_of(removed, "last_seq");
    } else {
        bool is_good;
        rc = read_entry(&m->arena, root, &m->entries[m->n], &is_good, e);
        m->n += !rc && is_good;
        if (!rc && !is_good)
            rc = copy_of(&m->arena, line.p, line.n, &m->bad_lines[m->n_bad++], e);
    }
    yyjson_doc_free(doc);
    return rc;
}

static int read_text(struct predlog_manifest *m, struct str text, struct err *e)
{
    size_t n_lines = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '\n')
            continue;
        n_lines++;
        m->good_bytes = i + 1;
    }
    size_t lists = n_lines * (sizeof *m->entries + sizeof *m->bad_lines);
    int rc = arena_init(&m->arena, ARENA_FACTOR * text.n + lists + ARENA_MIN, e);
    if (rc)
        return rc;
    m->entries = arena_calloc(&m->arena, n_lines + 1, sizeof *m->entries);
    m->bad_lines = arena_calloc(&m->arena, n_lines + 1, sizeof *m->bad_lines);
    if (!m->entries || !m->bad_lines)
        return out_of_memory(e);
    text.n = m->good_bytes;
    while (!rc && text.n)
        rc = read_line(m, str_split(&text, '\n'), e);
    return rc;
}

int predlog_manifest_read(int dir_fd, struct predlog_manifest *ret, struct err *e)
{
    struct buf text;
    uint64_t size;
    size_t n = 0;
    *ret = (struct predlog_manifest){0};
    buf_init(&text, LIMIT_LOG_MANIFEST_BYTES);
    int rc = 0, fd = openat(dir_fd, NAME, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return err_errno(e, errno, "open the log's '%s'", NAME);
    if (fd >= 0)
        rc = file_size(fd, &size, e);
    char *to = fd >= 0 && !rc && size ? buf_reserve(&text, size) : NULL;
    if (!rc && text.failed)
        rc = err_set(e, ERR_TOO_LARGE, "the log's manifest has %" PRIu64 " bytes", size);
    if (!rc && to)
        rc = file_read_at(fd, to, size, 0, &n, e);
    if (!rc)
        rc = read_text(ret, (struct str){to, n}, e);
    if (rc)
        predlog_manifest_done(ret);
    if (fd >= 0)
        close(fd);
    buf_done(&text);
    return rc;
}

void predlog_manifest_done(struct predlog_manifest *m)
{
    arena_done(&m->arena);
    *m = (struct predlog_manifest){0};
}

const struct predlog_entry *predlog_manifest_find(const struct predlog_manifest *m, struct str file)
{
    for (size_t i = m->n; i-- > 0;)
        if (str_eq(m->entries[i].file, file))
            return &m->entries[i];
    return NULL;
}

uint64_t predlog_manifest_next_seq(const struct predlog_manifest *m)
{
    uint64_t last = m->removed_last_seq;
    for (size_t i = 0; i < m->n; i++)
        last = m->entries[i].last_seq > last ? m->entries[i].last_seq : last;
    return last + 1;
}

void predlog_manifest_put(const struct predlog_entry *entry, struct buf *lines)
{
    buf_puts(lines, "{\"file\":");
    buf_put_json_str(lines, entry->file);
    buf_puts(lines, ",\"model\":");
    buf_put_json_str(lines, entry->model);
    buf_printf(lines,
               ",\"rows\":%" PRIu64 ",\"records\":%" PRIu64 ",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64
               ",\"first_ns\":%" PRIu64 ",\"last_ns\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"sha256\":",
               entry->rows, entry->records, entry->first_seq, entry->last_seq, entry->first_ns,
               entry->last_ns, entry->bytes);
    buf_put_json_str(lines, entry->sha256);
    buf_printf(lines, ",\"wal\":%" PRIu64 ",\"schemas\":", entry->wal);
    buf_put_str(lines, entry->schemas);
    buf_puts(lines, "}\n");
}

int predlog_manifest_append(int dir_fd, const struct predlog_manifest *m, struct str lines, struct err *e)
{
    int fd = openat(dir_fd, NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_errno(e, errno, "open the log's '%s'", NAME);
    int rc = 0;
    if (ftruncate(fd, (off_t)m->good_bytes) < 0 || lseek(fd, 0, SEEK_END) < 0)
        rc = err_errno(e, errno, "cut the log's '%s'", NAME);
    if (!rc)
        rc = file_write_all(fd, lines.p, lines.n, e);
    if (!rc)
        rc = file_sync(fd, e);
    if (!rc)
        rc = file_sync(dir_fd, e);
    close(fd);
    return rc ? err_wrap(e, "log/%s", NAME) : 0;
}

int predlog_manifest_remove(int dir_fd, const struct predlog_manifest *m, const bool *keep, struct err *e)
{
    struct predlog_manifest after = *m;
    struct buf text, lines;
    buf_init(&text, LIMIT_LOG_MANIFEST_BYTES);
    buf_init(&lines, LIMIT_LOG_MANIFEST_BYTES);
    for (size_t i = 0; i < m->n; i++) {
        const struct predlog_entry *one = &m->entries[i];
        if (keep[i]) {
            predlog_manifest_put(one, &lines);
            continue;
        }
        after.removed_files++;
        after.removed_rows += one->rows;
        after.removed_bytes += one->bytes;
        if (one->last_seq > after.removed_last_seq)
            after.removed_last_seq = one->last_seq;
    }
    buf_printf(&text,
               "{\"removed\":{\"files\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"bytes\":%" PRIu64
               ",\"last_seq\":%" PRIu64 "}}\n",
               after.removed_files, after.removed_rows, after.removed_bytes, after.removed_last_seq);
    for (uint32_t i = 0; i < m->n_bad; i++) {
        buf_put_str(&text, m->bad_lines[i]);
        buf_putc(&text, '\n');
    }
    buf_put_str(&text, buf_str(&lines));
    int rc = text.failed || lines.failed ? out_of_memory(e) : 0;
    int fd = rc ? -1 : openat(dir_fd, TEMP, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (!rc && fd < 0)
        rc = err_errno(e, errno, "make log/%s", TEMP);
    if (!rc)
        rc = file_write_all(fd, text.p, text.n, e);
    if (!rc)
        rc = file_sync(fd, e);
    if (fd >= 0)
        close(fd);
    if (!rc && renameat(dir_fd, TEMP, dir_fd, NAME) < 0)
        rc = err_errno(e, errno, "rename to log/%s", NAME);
    if (!rc)
        rc = file_sync(dir_fd, e);
    buf_done(&text);
    buf_done(&lines);
    return rc ? err_wrap(e, "log/%s", NAME) : 0;
}
