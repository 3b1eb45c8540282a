// SPDX-License-Identifier: Apache-2.0
// The compile process: opens the library that the model may need, gives up what it could do harm with, checks
// the file's digest, compiles it, opens the image as a gateway would, tries it out, and reports.
#include "role/compile.h"

#include "admission/admission.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "engine/engine.h"
#include "engine/runtime.h"
#include "os/file.h"
#include "os/memory.h"
#include "os/proc.h"
#include "os/sandbox.h"
#include "registry/registry.h"
#include "role/compile_signature.h"
#include "role/helper_report.h"
#include "role/model_files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { IMAGE_ALIGN = 64 };

static int confine(uint64_t memory_bytes, uint64_t cpu_s, uint64_t files_bytes, struct err *e)
{
    const struct sandbox box = {
        .memory_bytes = memory_bytes,
        .mapped_bytes = 2 * memory_bytes + files_bytes, // the files, and the image when it is tried
        .file_bytes = memory_bytes,                     // the image
        .n_files = COMPILE_FD_LIMIT,                    // no further descriptor can be opened
        .cpu_s = cpu_s > UINT_MAX ? UINT_MAX : (unsigned)cpu_s,
    };
    struct sandbox_report ignored;
    int rc = sandbox_enter(&box, &ignored, e);
    return rc ? err_wrap(e, "confine the compile process") : 0;
}

// Maps the whole file, after its digest proved that it is what was stored.
static int map_file(int fd, struct str digest, const uint8_t **ret, size_t *ret_size, struct err *e)
{
    struct registry_digest want, is;
    uint64_t size;
    int rc = registry_digest_parse(digest, &want) ? 0 : err_set(e, ERR_INTERNAL, "compile: no digest");
    if (!rc)
        rc = registry_digest_file(fd, &is, e);
    if (!rc && !registry_digest_eq(&want, &is)) {
        rc = err_set(e, ERR_DIGEST, "the stored file is damaged: it is not " STR_FMT " any more",
                     STR_ARG(digest));
        err_hint(e, "Push the file again to replace it.");
    }
    if (!rc)
        rc = file_size(fd, &size, e);
    if (!rc && size == 0)
        rc = err_set(e, ERR_BAD_MODEL, "the file is empty");
    if (rc)
        return rc;
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_errno(e, errno, "map the file");
    *ret = p;
    *ret_size = size;
    return 0;
}

// What the process knows of its model so far.
struct work {
    const uint8_t *bytes;
    size_t size, max_image;
    struct str golden; // p NULL: none
    const struct engine *engine;
    const char *format;
    struct runtime_options options; // of the version
    struct compile_signature signature;
    bool is_new;             // to be tried in full
    bool has_image;          // it was compiled before, and is only tried
    uint32_t batch_rows;     // of one that is not
    struct library *library; // NULL: not opened, library_error says why
    struct err library_error;
    struct memory_room room; // before anything was loaded; budget_bytes 0: not known
    uint64_t load_began_ns;
    struct admission admission;
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

static uint64_t peak_bytes(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss << 10 : 0;
}

// ---- what the controller is told

static void write_line(struct buf *line)
{
    struct err ignored;
    buf_putc(line, '\n');
    if (!line->failed)
        (void)!file_write_all(COMPILE_FD_RESULT, line->p, line->n, &ignored);
    buf_done(line);
}

static void on_begin(void *ctx, const char *step)
{
    (void)ctx;
    struct buf b;
    buf_init(&b, HELPER_REPORT_MAX);
    buf_printf(&b, "{\"begin\":\"%s\"}", step);
    write_line(&b);
}

static void on_step(void *ctx, const struct admission_step *step)
{
    (void)ctx;
    struct buf b;
    buf_init(&b, HELPER_REPORT_MAX);
    admission_step_encode(step, &b);
    write_line(&b);
}

static void say_engine(const struct work *w)
{
    struct buf b;
    buf_init(&b, HELPER_REPORT_MAX);
    buf_printf(&b, "{\"engine\":\"%s\",\"format\":\"%s\"}", w->engine->name, w->format);
    write_line(&b);
}

static void put_rejection(const struct admission *a, struct buf *b)
{
    struct buf why;
    buf_init(&why, HELPER_REPORT_MAX);
    helper_report_error(&a->why, &why);
    buf_printf(b, ",\"rejected\":{\"step\":\"%s\",", a->report.steps[a->report.n_steps - 1].name);
    if (why.n)
        buf_put(b, why.p + 1, why.n - 1);
    buf_done(&why);
}

// A reader of a model file says what is wrong with it; what can be done about it is much the same for all.
static void advise(struct err *e)
{
    if (e->code == ERR_BAD_MODEL && !e->hint[0])
        err_hint(
            e,
            "The file was cut short, edited, or not written by the library that it seems to be of: save the "
            "model again, and push that.");
}

static int report(int rc, struct work *w, struct err *e)
{
    struct buf b;
    struct err ignored;
    buf_init(&b, HELPER_REPORT_MAX);
    if (rc) {
        advise(e);
        helper_report_error(e, &b);
    } else {
        w->admission.report.memory_bytes = peak_bytes();
        buf_puts(&b, "{\"report\":");
        admission_report_encode(&w->admission.report, &b);
        if (admission_is_rejected(&w->admission.report))
            put_rejection(&w->admission, &b);
        if (w->signature.is_breaking)
            buf_puts(&b, ",\"breaking\":true");
        buf_putc(&b, '}');
    }
    buf_putc(&b, '\n');
    int failed = b.failed || file_write_all(COMPILE_FD_RESULT, b.p, b.n, &ignored);
    buf_done(&b);
    return failed;
}

// ---- steps that are ours

static void note_load(struct work *w)
{
    w->admission.report.load_ms = (double)(clock_mono_ns() - w->load_began_ns) / 1e6;
}

static void say_rows(struct admission *a, const struct signature *sig)
{
    admission_end(a, ADMISSION_SIGNATURE, ADMISSION_PASSED, "%u features%s, %u value%s a row",
                  sig->n_features, sig->named ? " with names of the file" : ", which the file does not name",
                  sig->n_outputs, sig->n_outputs == 1 ? "" : "s");
}

static void say_tensors(struct admission *a, const struct interface *i)
{
    char rows[64] = "never together";
    if (i->max_batch_rows)
        snprintf(rows, sizeof rows, "up to %u together", i->max_batch_rows);
    admission_end(a, ADMISSION_SIGNATURE, ADMISSION_PASSED, "%u input%s, %u output%s; rows %s", i->n_inputs,
                  i->n_inputs == 1 ? "" : "s", i->n_outputs, i->n_outputs == 1 ? "" : "s", rows);
}

static void say_limits(struct work *w, size_t image_bytes)
{
    admission_begin(&w->admission, ADMISSION_LIMITS);
    admission_end(&w->admission, ADMISSION_LIMITS, ADMISSION_PASSED,
                  "a file of %.1f MiB, compiled to %.1f MiB; compile_memory allows %.1f MiB",
                  (double)w->size / (1 << 20), (double)image_bytes / (1 << 20),
                  (double)w->max_image / (1 << 20));
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

// What is there was read before the sandbox was entered. A version that was admitted is not refused for that
// later: whether it can be loaded then shows.
static int check_fit(struct work *w, uint64_t needed_bytes, struct err *e)
{
    if (!w->is_new || w->room.budget_bytes == 0 || needed_bytes <= w->room.available_bytes)
        return 0;
    err_set(e, ERR_NO_SPACE,
            "about %.0f MiB of memory are needed, and %.0f MiB are free of the %.0f MiB of the %s",
            mib(needed_bytes), mib(w->room.available_bytes), mib(w->room.budget_bytes), w->room.what);
    err_hint(e, "Delete versions that are not needed, or give the server more memory.");
    return ERR_NO_SPACE;
}

static int say_fit(struct work *w, uint64_t needed_bytes, const char *of_what, struct err *e)
{
    admission_begin(&w->admission, ADMISSION_FIT);
    int rc = check_fit(w, needed_bytes, e);
    if (rc)
        return rc;
    if (w->room.budget_bytes)
        admission_end(&w->admission, ADMISSION_FIT, ADMISSION_PASSED,
                      "%.1f MiB %s; %.0f MiB are free of the %.0f MiB of the %s", mib(needed_bytes), of_what,
                      mib(w->room.available_bytes), mib(w->room.budget_bytes), w->room.what);
    else
        admission_end(&w->admission, ADMISSION_FIT, ADMISSION_SKIPPED,
                      "%.1f MiB %s; how much is free is not known", mib(needed_bytes), of_what);
    return 0;
}

// ---- models that run in replicas

enum { COPIES = 2 }; // of the weights, while a model is loaded: as read, and packed for the kernels

static int write_image(const struct buf *image, struct err *e)
{
    if (image->failed)
        return err_set(e, ERR_NOMEM, "no memory for the compiled model");
    return file_write_all(COMPILE_FD_IMAGE, image->p, image->n, e);
}

// The image again, of the same length, when rows turned out to depend on each other.
static int rewrite_interface(const struct interface *i, size_t n, struct err *e)
{
    struct buf b;
    buf_init(&b, LIMIT_INTERFACE_BYTES);
    interface_encode(i, &b);
    while (!b.failed && b.n < n)
        buf_putc(&b, ' ');
    ssize_t done = b.failed || b.n != n ? -1 : pwrite(COMPILE_FD_IMAGE, b.p, b.n, 0);
    buf_done(&b);
    return done == (ssize_t)n ? 0 : err_set(e, ERR_INTERNAL, "the interface cannot be written again");
}

static int try_session(struct work *w, const struct runtime *runtime, struct session *s, struct interface *i,
                       size_t image_bytes, struct err *e)
{
    struct subject subject;
    int rc = subject_of_session(&subject, runtime, s, i->max_batch_rows, e);
    subject.asked_interface = w->signature.tensors;
    if (!rc)
        rc = admission_run(&w->admission, &subject, w->golden, w->is_new, e);
    if (!rc && i->max_batch_rows && !subject.has_rows) {
        i->max_batch_rows = 0;
        rc = rewrite_interface(i, image_bytes, e);
    }
    subject_done(&subject);
    return rc;
}

// The image of a model that runs in replicas is its interface.
static int try_loaded(struct work *w, const struct runtime *runtime, struct session *s, uint64_t loaded_bytes,
                      struct err *e)
{
    struct buf image;
    double worst;
    struct interface i = *runtime->interface(s);
    i.max_batch_rows = w->is_new ? runtime->probe_batching(s, &worst) : w->batch_rows;
    buf_init(&image, LIMIT_INTERFACE_BYTES);
    interface_encode(&i, &image);
    int rc = write_image(&image, e);
    if (!rc)
        rc = compile_signature_of_tensors(&w->signature, buf_str(&image), e);
    if (!rc && !w->signature.is_breaking) {
        say_tensors(&w->admission, &i);
        say_limits(w, image.n);
        rc = say_fit(w, loaded_bytes, "more in memory when loaded", e);
        if (!rc)
            rc = try_session(w, runtime, s, &i, image.n, e);
    }
    buf_done(&image);
    return rc;
}

static int inspect(struct work *w, const struct runtime *runtime, struct err *e)
{
    struct session *s;
    if (!w->library) {
        *e = w->library_error;
        return e->code ? e->code : err_set(e, ERR_INTERNAL, "the file is not what it began like");
    }
    snprintf(w->admission.report.library, sizeof w->admission.report.library, "%s %s", runtime->name,
             runtime->version(w->library));
    int rc = check_fit(w, (uint64_t)w->size * COPIES, e); // before anything is loaded
    uint64_t before = peak_bytes();
    if (!rc)
        rc = runtime->load(w->library, w->bytes, w->size, &w->options, &s, e);
    if (rc)
        return rc;
    note_load(w);
    rc = try_loaded(w, runtime, s, peak_bytes() - before, e);
    runtime->close(s);
    return rc;
}

// ---- models that gateways compute

static int map_image(void **ret, size_t *ret_size, struct err *e)
{
    uint64_t size;
    int rc = file_size(COMPILE_FD_IMAGE, &size, e);
    if (rc)
        return rc;
    *ret = mmap(NULL, size, PROT_READ, MAP_PRIVATE, COMPILE_FD_IMAGE, 0); // a sealed one is not shared
    *ret_size = size;
    _Static_assert(IMAGE_ALIGN <= 4096, "a mapping is aligned well enough");
    return *ret == MAP_FAILED ? err_errno(e, errno, "map the compiled model") : 0;
}

static int try_model(struct work *w, struct model *m, size_t size, struct err *e)
{
    struct subject subject;
    const struct signature *sig = w->engine->signature(m);
    int rc = compile_signature_of_rows(&w->signature, sig, e);
    if (rc || w->signature.is_breaking)
        return rc;
    say_rows(&w->admission, sig);
    say_limits(w, size);
    subject_of_model(&subject, w->engine, m);
    subject.asked_signature = w->signature.rows;
    rc = say_fit(w, size, "in memory, shared by all gateways", e);
    if (!rc)
        rc = admission_run(&w->admission, &subject, w->golden, w->is_new, e);
    subject_done(&subject);
    return rc;
}

// The image as gateways will open it: what would fail there shall fail here.
static int try_image(struct work *w, struct err *e)
{
    void *p = NULL;
    size_t size = 0;
    struct model *m;
    int rc = map_image(&p, &size, e);
    if (!rc)
        rc = w->engine->open(p, size, &m, e);
    if (rc)
        return rc;
    note_load(w);
    rc = try_model(w, m, size, e);
    w->engine->close(m);
    return rc;
}

static int build_image(struct work *w, struct err *e)
{
    struct buf image;
    buf_init(&image, w->max_image);
    int rc = w->engine->compile(w->bytes, w->size, &image, e);
    if (!rc)
        rc = write_image(&image, e);
    buf_done(&image);
    return rc ? rc : try_image(w, e);
}

static int compile(struct work *w, struct err *e)
{
    struct admission *a = &w->admission;
    admission_begin(a, ADMISSION_FORMAT);
    w->engine = engine_detect(w->bytes, w->size, &w->format);
    if (!w->engine)
        return engine_refuse(w->bytes, w->size, e);
    say_engine(w); // first: with the step it is looked at whether it suits the version
    admission_end(a, ADMISSION_FORMAT, ADMISSION_PASSED, "%s, known by its content", w->format);
    admission_begin(a, ADMISSION_SIGNATURE);
    w->load_began_ns = clock_mono_ns();
    if (w->engine->runtime)
        return inspect(w, w->engine->runtime, e);
    return w->has_image ? try_image(w, e) : build_image(w, e);
}

static int map_golden(struct work *w, struct str digest, struct err *e)
{
    const uint8_t *bytes;
    size_t size;
    if (digest.n == 0)
        return 0;
    int rc = map_file(COMPILE_FD_GOLDEN, digest, &bytes, &size, e);
    w->golden = rc ? w->golden : (struct str){(const char *)bytes, size};
    if (rc == ERR_DIGEST)
        err_at(e, "%s", COMPILE_GOLDEN_PATH);
    return rc ? err_wrap(e, "golden rows") : 0;
}

int compile_main(int argc, char *const *argv)
{
    struct err e = {0};
    uint64_t memory_bytes, cpu_s, rows = 0;
    if (argc != COMPILE_ARGS ||
        !str_to_u64(str_of(argv[COMPILE_ARG_MEMORY_BYTES]), UINT64_MAX, &memory_bytes) ||
        !str_to_u64(str_of(argv[COMPILE_ARG_CPU_S]), UINT64_MAX, &cpu_s) ||
        (argv[COMPILE_ARG_BATCH_ROWS][0] &&
         !str_to_u64(str_of(argv[COMPILE_ARG_BATCH_ROWS]), UINT32_MAX, &rows)))
        return 2;
    static struct work w;
    w = (struct work){.max_image = memory_bytes,
                      .is_new = !argv[COMPILE_ARG_BATCH_ROWS][0],
                      .has_image = argv[COMPILE_ARG_IMAGE][0],
                      .batch_rows = (uint32_t)rows,
                      .options = {.threads = 1,
                                  .optimization = argv[COMPILE_ARG_OPTIMIZATION],
                                  .provider = argv[COMPILE_ARG_PROVIDER]},
                      .admission = {.on_begin = on_begin, .on_step = on_step}};
    proc_give_way();
    open_library(&w, argv[COMPILE_ARG_ONNXRUNTIME]);
    if (memory_room("/", &w.room, &e))
        w.room.budget_bytes = 0;
    struct model_files files;
    int rc = model_files_map(str_of(argv[COMPILE_ARG_FILES]), argv[COMPILE_ARG_DATA_DIR], &files, &e);
    w.options.files = files.files;
    w.options.n_files = files.n;
    if (!rc)
        rc = confine(memory_bytes, cpu_s, files.bytes, &e);
    if (!rc)
        rc = map_file(COMPILE_FD_FILE, str_of(argv[COMPILE_ARG_DIGEST]), &w.bytes, &w.size, &e);
    if (!rc)
        rc = map_golden(&w, str_of(argv[COMPILE_ARG_GOLDEN]), &e);
    if (!rc && argv[COMPILE_ARG_SIGNATURE][0])
        rc = compile_signature_read(COMPILE_FD_SIGNATURE, &w.signature, &e);
    if (!rc)
        rc = compile(&w, &e);
    int code = report(rc, &w, &e);
    compile_signature_done(&w.signature);
    return code;
}
