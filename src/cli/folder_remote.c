// SPDX-License-Identifier: Apache-2.0
// Artifacts that an MLflow tracking server hands out itself (its proxy, the default since MLflow 2).
#include "cli/tracking.h"

#include "base/limits.h"
#include "cli/artifacts.h"
#include "cli/client.h"
#include "cli/term.h"
#include "os/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define API "/api/2.0/mlflow-artifacts/artifacts"

// ---- listing

static int list_folder(struct folder_remote *f, const char *path, struct err *e)
{
    struct buf url;
    if (f->list && strcmp(f->listed, path) == 0)
        return 0;
    if (strlen(path) >= sizeof f->listed)
        return err_set(e, ERR_INVALID, "'%.80s…' is too long a path", path);
    yyjson_doc_free(f->list);
    f->list = NULL;
    buf_init(&url, 16 << 10);
    buf_puts(&url, API "?path=");
    buf_puts(&url, f->root);
    if (*path)
        buf_puts(&url, "%2F");
    client_put_segment(str_of(path), &url);
    buf_putc(&url, '\0');
    int rc = tracking_get(f->t, url.failed ? "" : url.p, &f->list, e);
    buf_done(&url);
    if (rc == 0)
        memcpy(f->listed, path, strlen(path) + 1);
    return rc;
}

// The name of a file in a listing; NULL for a folder.
static const char *file_name(yyjson_val *item)
{
    const char *path = yyjson_get_str(yyjson_obj_get(item, "path"));
    if (!path || yyjson_is_true(yyjson_obj_get(item, "is_dir")))
        return NULL;
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int remote_list(struct folder *folder, const char *path, void (*each)(void *ctx, const char *name),
                       void *ctx, struct err *e)
{
    struct folder_remote *f = (struct folder_remote *)folder;
    size_t i, n;
    yyjson_val *item;
    int rc = list_folder(f, path, e);
    if (rc)
        return rc;
    yyjson_doc *list = f->list; // `each` opens files, which may list another folder
    f->list = NULL;
    yyjson_val *files = yyjson_obj_get(yyjson_doc_get_root(list), "files");
    if (yyjson_arr_size(files) > LIMIT_IMPORT_FILES)
        rc = err_set(e, ERR_TOO_LARGE, "there are more than %d files in '%.120s'", LIMIT_IMPORT_FILES,
                     folder->shown);
    yyjson_arr_foreach(files, i, n, item)
    {
        const char *name = file_name(item);
        if (rc == 0 && name)
            each(ctx, name);
    }
    yyjson_doc_free(list);
    return rc;
}

// A size is a number, or as protobuf's JSON has 64 bits, a string of one; UINT64_MAX: not said.
static uint64_t size_of(yyjson_val *item)
{
    uint64_t size;
    yyjson_val *v = yyjson_obj_get(item, "file_size");
    if (yyjson_is_uint(v))
        return yyjson_get_uint(v);
    struct str text = {yyjson_get_str(v), yyjson_get_len(v)};
    return yyjson_is_str(v) && str_to_u64(text, UINT64_MAX - 1, &size) ? size : UINT64_MAX;
}

static int find(struct folder_remote *f, const char *path, uint64_t *ret_size, struct err *e)
{
    size_t i, n;
    yyjson_val *item;
    char parent[TRACKING_URL_SIZE];
    const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
    snprintf(parent, sizeof parent, "%.*s", (int)(slash ? slash - path : 0), path);
    int rc = list_folder(f, parent, e);
    if (rc)
        return rc;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(f->list), "files"), i, n, item)
    {
        const char *name = file_name(item);
        if (!name || strcmp(name, last) != 0)
            continue;
        *ret_size = size_of(item);
        return 0;
    }
    return err_set(e, ERR_NOT_FOUND, "there is no '%.120s' in '%.120s'", path, f->folder.shown);
}

// ---- downloading

struct download {
    int fd;
    uint64_t done;
    struct progress bar;
};

static int take(void *ctx, const char *p, size_t n, struct err *e)
{
    struct download *d = ctx;
    int rc = file_write_all(d->fd, p, n, e);
    progress_at(&d->bar, d->done += n);
    return rc;
}

static int download(struct folder_remote *f, const char *path, uint64_t size, int fd, struct err *e)
{
    long status = 0;
    struct buf url;
    struct download d = {.fd = fd};
    buf_init(&url, 16 << 10);
    buf_printf(&url, "%s" API "/", f->t->base);
    // The root is encoded as one parameter of a query; in a path its slashes are slashes.
    for (const char *p = f->root; *p; p++) {
        bool is_slash = strncmp(p, "%2F", 3) == 0;
        buf_putc(&url, is_slash ? '/' : *p);
        p += is_slash ? 2 : 0;
    }
    for (struct str rest = str_of(path); rest.n;) {
        buf_putc(&url, '/');
        client_put_segment(str_split(&rest, '/'), &url);
    }
    buf_putc(&url, '\0');
    progress_start(&d.bar, "Downloading", NULL, size == UINT64_MAX ? 0 : size);
    int rc = url.failed
                 ? err_set(e, ERR_TOO_LARGE, "the address is too long")
                 : fetch_get(f->t->fetch, url.p, (uint64_t)LIMIT_IMPORT_MB << 20, take, &d, &status, e);
    progress_end(&d.bar);
    buf_done(&url);
    if (rc == 0 && status != 200)
        rc = err_set(e, ERR_UNAVAILABLE, "the MLflow server does not hand out '%.120s': status %ld", path,
                     status);
    if (rc == 0 && size != UINT64_MAX && d.done != size)
        rc = err_set(e, ERR_IO, "'%.120s' came with %" PRIu64 " bytes, and the MLflow server says %" PRIu64,
                     path, d.done, size);
    return rc;
}

static int remote_open(struct folder *folder, const char *path, int *ret_fd, struct err *e)
{
    struct folder_remote *f = (struct folder_remote *)folder;
    uint64_t size;
    if (!folder_path_is_below(str_of(path)))
        return err_set(e, ERR_REFUSED, "'%.120s' in '%.120s' leads out of that directory", path,
                       folder->shown);
    int rc = find(f, path, &size, e);
    if (rc == 0)
        rc = artifacts_temporary("a download", ret_fd, e);
    if (rc)
        return rc;
    rc = download(f, path, size, *ret_fd, e);
    if (rc)
        close(*ret_fd);
    return rc;
}

// ---- where the artifacts are

static const struct folder_ops REMOTE = {.open = remote_open, .list = remote_list};

static int elsewhere(struct str uri, struct err *e)
{
    struct str scheme = uri;
    scheme = str_split(&scheme, ':');
    scheme.n = scheme.n < 20 ? scheme.n : 20;
    err_set(e, ERR_REFUSED, "the model's files lie in a store (" STR_FMT ":) that this program does not read",
            STR_ARG(scheme));
    err_hint(e,
             "Fetch them by: mlflow artifacts download -u URI -d DIR, and push DIR. Or let the MLflow server "
             "hand them out (--serve-artifacts).");
    return ERR_REFUSED;
}

// The path in the server's storage; p NULL: it is another's.
static struct str path_of(const struct tracking *t, struct str uri)
{
    struct str host = {strstr(t->base, "://") + 3, 0};
    host.n = strcspn(host.p, "/");
    struct str scheme = STR("mlflow-artifacts:"), api = STR(API "/"), base = str_of(t->base);
    if (str_starts(uri, scheme)) {
        uri = (struct str){uri.p + scheme.n, uri.n - scheme.n};
        if (str_starts(uri, STR("//"))) {
            struct str rest = {uri.p + 2, uri.n - 2}, named = str_split(&rest, '/');
            return named.n == 0 || str_eq(named, host) ? rest : (struct str){0};
        }
    } else if (str_starts(uri, base)) {
        uri = (struct str){uri.p + base.n, uri.n - base.n};
        if (!str_starts(uri, api))
            return (struct str){0};
        uri = (struct str){uri.p + api.n, uri.n - api.n};
    } else {
        return (struct str){0};
    }
    while (uri.n && uri.p[0] == '/')
        uri = (struct str){uri.p + 1, uri.n - 1};
    return uri;
}

int folder_remote_open(struct folder_remote *f, struct tracking *t, struct str uri, const char *shown,
                       struct err *e)
{
    struct buf root;
    *f = (struct folder_remote){.folder = {&REMOTE, shown}, .t = t};
    struct str path = path_of(t, uri);
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    if (!path.p || !folder_path_is_below(path))
        return elsewhere(uri, e);
    buf_init(&root, sizeof f->root - 1);
    client_put_segment(path, &root);
    int rc = root.failed ? err_set(e, ERR_TOO_LARGE, "the address of the model's files is too long") : 0;
    if (rc == 0)
        memcpy(f->root, root.p, root.n);
    buf_done(&root);
    return rc;
}

void folder_remote_close(struct folder_remote *f)
{
    yyjson_doc_free(f->list);
    f->list = NULL;
}
