// SPDX-License-Identifier: Apache-2.0
// Files of `slipway push` beside the model's own.
#include "cli/beside.h"

#include "base/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

// Field 1, 8 bytes, "location"; then field 2, whose length follows.
static const char ENTRY[] = "\x0a\x08location\x12";
enum { ENTRY_BYTES = sizeof ENTRY - 1, LENGTH_ONE_BYTE_MAX = 127 };

bool beside_next_name(struct str model, size_t *at, struct str *ret)
{
    while (*at < model.n) {
        const char *found = memmem(model.p + *at, model.n - *at, ENTRY, ENTRY_BYTES);
        if (!found)
            break;
        size_t from = (size_t)(found - model.p) + ENTRY_BYTES;
        *at = from;
        if (from + 1 >= model.n)
            break;
        // One more byte of length is enough for any name that an artifact may have.
        size_t n = (uint8_t)model.p[from++];
        if (n > LENGTH_ONE_BYTE_MAX)
            n = (n & LENGTH_ONE_BYTE_MAX) | (size_t)(uint8_t)model.p[from++] << 7;
        if (n == 0 || n > LIMIT_ARTIFACT_NAME_BYTES || n > model.n - from)
            continue;
        *ret = (struct str){model.p + from, n};
        *at = from + n;
        return true;
    }
    *at = model.n;
    return false;
}

// PATH or PATH=NAME; the last '=' counts.
static int add_flag(struct package *p, const char *value, struct err *e)
{
    char path[PATH_MAX];
    const char *equals = strrchr(value, '=');
    size_t n = equals ? (size_t)(equals - value) : strlen(value);
    if (n == 0 || n >= sizeof path || (equals && !equals[1]))
        return err_set(e, ERR_INVALID, "--file: expected FILE or FILE=NAME, got '%.80s'", value);
    memcpy(path, value, n);
    path[n] = '\0';
    return artifacts_add_path(&p->files, "data", equals ? equals + 1 : NULL, path, e);
}

// Names are looked for below the model's folder only: no part of one is "..", and none begins with '/'.
static bool is_inside(struct str name)
{
    bool good = name.p[0] != '/' && !memchr(name.p, '\0', name.n);
    for (struct str rest = name; good && rest.n;) {
        struct str part = str_split(&rest, '/');
        good = part.n > 0 && !str_eq(part, STR("..")) && !str_eq(part, STR("."));
    }
    return good;
}

static int add_named(struct package *p, const char *source, struct str name, struct err *e)
{
    char path[PATH_MAX], own[LIMIT_ARTIFACT_NAME_BYTES + 1];
    const char *slash = strrchr(source, '/');
    struct stat st;
    snprintf(own, sizeof own, STR_FMT, STR_ARG(name));
    int n = snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash - source) + 1 : 0, source, own);
    if (!is_inside(name) || n >= (int)sizeof path || artifacts_find_name(&p->files, own) || stat(path, &st) ||
        !S_ISREG(st.st_mode))
        return 0; // the server says what is missing
    int rc = artifacts_add_path(&p->files, "data", own, path, e);
    if (rc == 0)
        package_note(p, "with %s, %" PRIu64 " bytes, which the model names as its weights", path,
                     (uint64_t)st.st_size);
    return rc;
}

static int add_all_named(struct package *p, const char *source, struct err *e)
{
    const struct artifact *model = artifacts_find_role(&p->files, "model");
    struct str name, bytes;
    size_t at = 0;
    if (!model || model->size > SIZE_MAX)
        return 0;
    void *memory = mmap(NULL, (size_t)model->size, PROT_READ, MAP_PRIVATE, model->fd, 0);
    if (memory == MAP_FAILED)
        return err_errno(e, errno, "read '%s'", source);
    bytes = (struct str){memory, (size_t)model->size};
    int rc = 0;
    while (rc == 0 && beside_next_name(bytes, &at, &name))
        rc = add_named(p, source, name, e);
    munmap(memory, (size_t)bytes.n);
    return rc;
}

int beside_add(const struct args *a, const char *source, struct package *p, struct err *e)
{
    struct stat st;
    const char *value;
    int rc = 0;
    for (int i = 0; rc == 0 && (value = args_next(a, "file", &i)) != NULL;)
        rc = add_flag(p, value, e);
    size_t n = strlen(source);
    bool is_onnx = n > 5 && strcmp(source + n - 5, ".onnx") == 0;
    if (rc == 0 && is_onnx && stat(source, &st) == 0 && S_ISREG(st.st_mode))
        rc = add_all_named(p, source, e);
    return rc;
}
