// SPDX-License-Identifier: Apache-2.0
// The compile process: opens the library that the model may need, gives up what it could do harm with, checks
// the file's digest, compiles it, opens the image once as a gateway would, and reports.
#include "role/compile.h"

#include "base/buf.h"
#include "engine/engine.h"
#include "engine/runtime.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/sandbox.h"
#include "registry/registry.h"
#include "role/helper_report.h"
#include "role/model_files.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { IMAGE_ALIGN = 64 };

static int confine(uint64_t memory_bytes, uint64_t cpu_s, uint64_t files_bytes, struct err *e)
{
    const struct sandbox box = {
        .memory_bytes = memory_bytes,
        .mapped_bytes = memory_bytes + files_bytes, // the file and the image; its external data
        .file_bytes = memory_bytes,                 // the image
        .n_files = COMPILE_FD_LIMIT,                // no further descriptor can be opened
        .cpu_s = cpu_s > UINT_MAX ? UINT_MAX : (unsigned)cpu_s,
    };
    struct sandbox_report ignored;
    int rc = sandbox_enter(&box, &ignored, e);
    return rc ? err_wrap(e, "confine the compile process") : 0;
}

// Maps the whole file, after its digest proved that it is what was stored.
static int map_file(struct str digest, const uint8_t **ret, size_t *ret_size, struct err *e)
{
    struct registry_digest want, is;
    uint64_t size;
    int rc = registry_digest_parse(digest, &want) ? 0 : err_set(e, ERR_INTERNAL, "compile: no digest");
    if (!rc)
        rc = registry_digest_file(COMPILE_FD_FILE, &is, e);
    if (!rc && !registry_digest_eq(&want, &is)) {
        rc = err_set(e, ERR_DIGEST, "the stored file is damaged: it is not " STR_FMT " any more",
                     STR_ARG(digest));
        err_hint(e, "Push the file again to replace it.");
    }
    if (!rc)
        rc = file_size(COMPILE_FD_FILE, &size, e);
    if (!rc && size == 0)
        rc = err_set(e, ERR_BAD_MODEL, "the file is empty");
    if (rc)
        return rc;
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, COMPILE_FD_FILE, 0);
    if (p == MAP_FAILED)
        return err_errno(e, errno, "map the model file");
    *ret = p;
    *ret_size = size;
    return 0;
}

// What the process knows of its model so far.
struct work {
    const uint8_t *bytes;
    size_t size, max_image;
    const struct engine *engine;
    const char *format;
    struct runtime_options options; // of the version
    struct library *library;        // NULL: not opened, library_error says why
    struct err library_error;
};

// Opening reads files, which the sandbox forbids, so it comes before anything is known of the model but its
// first byte: the engines that compute in the gateways, which need no library, have text files.
static void open_library(struct work *w, const char *path)
{
    char first;
    if (pread(COMPILE_FD_FILE, &first, 1, 0) == 1 && first != '{' && first != 't' &&
        runtime_onnx.open(path, &w->library, &w->library_error))
        w->library = NULL;
}

// The image of a model that runs in replicas is its interface.
static int inspect(const struct work *w, const struct runtime *runtime, struct buf *image, struct err *e)
{
    struct session *s;
    double worst;
    if (!w->library) {
        *e = w->library_error;
        return e->code ? e->code : err_set(e, ERR_INTERNAL, "the file is not what it began like");
    }
    int rc = runtime->load(w->library, w->bytes, w->size, &w->options, &s, e);
    if (rc)
        return rc;
    struct interface i = *runtime->interface(s);
    i.max_batch_rows = runtime->probe_batching(s, &worst);
    interface_encode(&i, image);
    runtime->close(s);
    return 0;
}

static int compile(struct work *w, struct err *e)
{
    w->engine = engine_detect(w->bytes, w->size, &w->format);
    if (!w->engine)
        return engine_refuse(w->bytes, w->size, e);
    struct buf image;
    buf_init(&image, w->max_image);
    int rc = w->engine->runtime ? inspect(w, w->engine->runtime, &image, e)
                                : w->engine->compile(w->bytes, w->size, &image, e);
    if (!rc && image.failed)
        rc = err_set(e, ERR_NOMEM, "no memory for the compiled model");
    if (!rc)
        rc = file_write_all(COMPILE_FD_IMAGE, image.p, image.n, e);
    buf_done(&image);
    return rc;
}

// What would fail in the gateways shall fail here.
static int try_open(const struct engine *engine, struct err *e)
{
    uint64_t size;
    int rc = file_size(COMPILE_FD_IMAGE, &size, e);
    if (rc)
        return rc;
    void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, COMPILE_FD_IMAGE, 0);
    if (p == MAP_FAILED)
        return err_errno(e, errno, "map the compiled model");
    _Static_assert(IMAGE_ALIGN <= 4096, "a mapping is aligned well enough");
    if (engine->runtime) {
        struct interface *i;
        rc = interface_decode((struct str){p, size}, &i, e);
        if (!rc)
            interface_free(i);
        return rc;
    }
    struct model *m;
    rc = engine->open(p, size, &m, e);
    if (!rc)
        engine->close(m);
    return rc;
}

static int report(int rc, const struct engine *engine, const char *format, const struct err *e)
{
    struct buf b;
    struct err ignored;
    buf_init(&b, HELPER_REPORT_MAX);
    if (rc)
        helper_report_error(e, &b);
    else
        buf_printf(&b, "{\"engine\":\"%s\",\"format\":\"%s\"}", engine->name, format);
    int failed = b.failed || file_write_all(COMPILE_FD_RESULT, b.p, b.n, &ignored);
    buf_done(&b);
    return failed;
}

int compile_main(int argc, char *const *argv)
{
    struct err e = {0};
    uint64_t memory_bytes, cpu_s;
    if (argc != COMPILE_ARGS ||
        !str_to_u64(str_of(argv[COMPILE_ARG_MEMORY_BYTES]), UINT64_MAX, &memory_bytes) ||
        !str_to_u64(str_of(argv[COMPILE_ARG_CPU_S]), UINT64_MAX, &cpu_s))
        return 2;
    struct work w = {.max_image = memory_bytes,
                     .options = {.threads = 1,
                                 .optimization = argv[COMPILE_ARG_OPTIMIZATION],
                                 .provider = argv[COMPILE_ARG_PROVIDER]}};
    proc_give_way();
    open_library(&w, argv[COMPILE_ARG_ONNXRUNTIME]);
    struct model_files files;
    int rc = model_files_map(str_of(argv[COMPILE_ARG_FILES]), argv[COMPILE_ARG_DATA_DIR], &files, &e);
    w.options.files = files.files;
    w.options.n_files = files.n;
    if (!rc)
        rc = confine(memory_bytes, cpu_s, files.bytes, &e);
    if (!rc)
        rc = map_file(str_of(argv[COMPILE_ARG_DIGEST]), &w.bytes, &w.size, &e);
    if (!rc)
        rc = compile(&w, &e);
    if (!rc)
        rc = try_open(w.engine, &e);
    return report(rc, w.engine, w.format, &e);
}
