// SPDX-License-Identifier: Apache-2.0
// From a signature to the log's schema. The key is not in the registry, so that a copy of that tells nothing
// of what was hashed, and destroying the key makes all hashes meaningless.
#include "role/controller/log_plan.h"

#include "os/file.h"
#include "predlog/schema.h"
#include "tensor/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { ARENA_BYTES = 64 << 20, KEY_BYTES = 32 };

static int columns_of(const struct schema_column *from, uint32_t n, struct arena *a,
                      struct predlog_column **ret, bool *hashes, struct err *e)
{
    struct predlog_column *list = arena_alloc(a, (n + 1) * sizeof *list);
    int rc = list ? 0 : err_set(e, ERR_NOMEM, "no memory for the columns of a version");
    for (uint32_t i = 0; !rc && i < n; i++) {
        list[i] = (struct predlog_column){.name = from[i].name, .dtype = from[i].dtype};
        if (from[i].log.n)
            rc = privacy_rule_read(from[i].log, &list[i].rule, e);
        *hashes |= list[i].rule.what == PRIVACY_HASH;
    }
    *ret = list;
    return rc;
}

// Where the version differs from the server's settings.
static void put_settings(const struct version_settings *s, struct buf *out)
{
    const struct {
        const char *key, *word;
    } words[] = {{"log", s->log}, {"overflow", s->log_overflow}, {"durability", s->log_durability}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (*words[i].word)
            buf_printf(out, ",\"%s\":\"%s\"", words[i].key, words[i].word);
    if (s->log_one_in)
        buf_printf(out, ",\"one_in\":%u", s->log_one_in);
}

static int make(struct deployment *d, const struct registry_version *v, struct arena *a, struct err *e)
{
    struct schema s;
    struct version_settings settings;
    struct predlog_schema p = {.model = str_of(d->model), .version = d->version};
    int rc = schema_read(v->signature_json, false, "$.signature", a, &s, e);
    if (!rc)
        rc = version_settings_decode(v->settings_json, &settings, e);
    if (rc)
        return rc;
    p.is_table = !s.tensors;
    p.n_inputs = s.n_inputs;
    p.n_outputs = s.n_outputs;
    rc = columns_of(s.inputs, s.n_inputs, a, &p.inputs, &d->log_hashes, e);
    if (!rc)
        rc = columns_of(s.outputs, s.n_outputs, a, &p.outputs, &d->log_hashes, e);
    if (rc)
        return rc;
    struct buf b;
    buf_init(&b, ARENA_BYTES);
    p.key = predlog_schema_key(&p);
    buf_puts(&b, "{\"schema\":");
    predlog_schema_write(&p, &b);
    put_settings(&settings, &b);
    buf_putc(&b, '}');
    d->log_json = b.failed ? NULL : str_dup(buf_str(&b));
    buf_done(&b);
    return d->log_json ? 0 : err_set(e, ERR_NOMEM, "no memory for the columns of a version");
}

int log_plan_make(struct deployment *d, const struct registry_version *v, struct err *e)
{
    struct arena a;
    if (d->log_json)
        return 0;
    int rc = arena_init(&a, ARENA_BYTES, e);
    if (rc)
        return rc;
    rc = make(d, v, &a, e);
    arena_done(&a);
    return rc;
}

// A new key under a temporary name, then under its own.
static int key_create(int dir_fd, char hex[2 * KEY_BYTES], struct err *e)
{
    static const char DIGITS[] = "0123456789abcdef";
    uint8_t raw[KEY_BYTES];
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        return err_errno(e, errno, "make a key");
    for (size_t i = 0; i < sizeof raw; i++) {
        hex[2 * i] = DIGITS[raw[i] >> 4];
        hex[2 * i + 1] = DIGITS[raw[i] & 15];
    }
    int fd = openat(dir_fd, "log.key.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "make the key of the prediction log");
    int rc = file_write_all(fd, hex, 2 * KEY_BYTES, e);
    if (!rc)
        rc = file_sync(fd, e);
    close(fd);
    return rc ? rc : file_publish(dir_fd, "log.key.new", dir_fd, "log.key", e);
}

static int key_load(int dir_fd, char hex[2 * KEY_BYTES], struct err *e)
{
    size_t n = 0;
    int fd = openat(dir_fd, "log.key", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? key_create(dir_fd, hex, e)
                               : err_errno(e, errno, "open the key of the prediction log");
    int rc = file_read_at(fd, hex, 2 * KEY_BYTES, 0, &n, e);
    close(fd);
    if (!rc && n != 2 * KEY_BYTES)
        rc = err_set(e, ERR_INVALID, "the key of the prediction log, state/log.key, is not whole");
    return rc;
}

int log_plan_key(struct controller *c, const struct deployment *d, struct str *ret, struct err *e)
{
    int data_fd = -1, dir_fd = -1, rc = 0;
    *ret = (struct str){0};
    if (!d->log_hashes)
        return 0;
    if (!c->has_log_key) {
        rc = file_make_dir_path(c->data_dir, &data_fd, e);
        if (!rc)
            rc = file_make_dir(data_fd, "state", &dir_fd, e);
        if (!rc)
            rc = key_load(dir_fd, c->log_key, e);
        if (data_fd >= 0)
            close(data_fd);
        if (dir_fd >= 0)
            close(dir_fd);
        c->has_log_key = !rc;
    }
    if (!rc)
        *ret = (struct str){c->log_key, sizeof c->log_key};
    return rc;
}
