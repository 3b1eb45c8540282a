// SPDX-License-Identifier: Apache-2.0
// Loads a model. The order matters: what comes from the file system first, then the sandbox, then what nobody
// trusts.
#include "role/replica/load.h"

#include "base/clock.h"
#include "base/limits.h"
#include "os/sandbox.h"
#include "os/shm.h"
#include "role/link.h"
#include "role/model_files.h"
#include "settings/settings.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int file_size(int fd, size_t *ret, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "read the size of the model file");
    if (st.st_size == 0)
        return err_set(e, ERR_BAD_MODEL, "the model file is empty");
    *ret = (size_t)st.st_size;
    return 0;
}

// Rings of all gateways, and of as many that were just replaced.
static uint64_t rings_bytes(const struct settings *s)
{
    long n = s->gateways ? (long)s->gateways : sysconf(_SC_NPROCESSORS_ONLN);
    return 2 * (uint64_t)(n > 0 ? n : 1) * 2 * ring_memory_bytes(LINK_RING_BYTES);
}

static int confine(struct loaded *m, const struct replica_args *a, size_t model_bytes, struct err *e)
{
    enum { FDS_OF_LINK = 3, FDS_OTHERS = 64 };
    const struct sandbox box = {
        .memory_bytes = a->memory_bytes,
        .mapped_bytes = model_bytes + rings_bytes(a->settings),
        .n_files = FDS_OTHERS + LIMIT_REPLICA_LINKS * FDS_OF_LINK,
        .n_threads = a->threads,
        .may_fork = a->is_loader,
        .siblings = a->is_loader, // the supervisor waits for what is forked
        .may_message = true,
    };
    struct sandbox_report report;
    int code = sandbox_enter(&box, &report, e);
    if (code)
        return err_wrap(e, "confine the process");
    snprintf(m->sandbox, sizeof m->sandbox, "%s", report.text);
    return 0;
}

static int check_digest(const void *bytes, size_t size, const char *digest, struct err *e)
{
    static const char prefix[] = "sha256:";
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n_sum = 0;
    char text[sizeof prefix + 2 * EVP_MAX_MD_SIZE];
    if (!EVP_Digest(bytes, size, sum, &n_sum, EVP_sha256(), NULL)) // which fails for want of memory only
        return err_set(e, ERR_NOMEM, "no memory to hash the model file");
    int n = snprintf(text, sizeof text, "%s", prefix);
    for (unsigned i = 0; i < n_sum; i++, n += 2)
        snprintf(text + n, sizeof text - (size_t)n, "%02x", sum[i]);
    return strcmp(text, digest) == 0
               ? 0
               : err_set(e, ERR_DIGEST, "the model file is %s, expected %s", text, digest);
}

// What the controller wrote about the model: the files beside it, and the interface that was admitted.
struct brief {
    const void *memory;
    size_t size;
    struct str lines, json;
    struct model_files files;
};

static void brief_done(struct brief *b)
{
    model_files_unmap(&b->files);
    shm_unmap(b->memory, b->size);
}

static int brief_open(struct brief *b, const struct replica_args *a, struct err *e)
{
    int code = shm_map_immutable(a->interface_fd, 1, LIMIT_INTERFACE_BYTES + LIMIT_MODEL_FILES_BYTES,
                                 &b->memory, &b->size, e);
    if (code)
        return err_wrap(e, "interface");
    b->json = (struct str){b->memory, b->size};
    b->lines = model_files_split(&b->json);
    code = model_files_map(b->lines, a->settings->data_dir, &b->files, e);
    if (code)
        shm_unmap(b->memory, b->size);
    return code;
}

static bool same_specs(const struct tensor_spec *a, uint32_t n_a, const struct tensor_spec *b, uint32_t n_b)
{
    bool same = n_a == n_b;
    for (uint32_t k = 0; same && k < n_a; k++)
        same = str_eq(a[k].name, b[k].name) && a[k].dtype == b[k].dtype && a[k].n_dims == b[k].n_dims &&
               a[k].any_shape == b[k].any_shape;
    return same;
}

// Gateways speak of inputs and outputs by their index.
static int check_same(const struct interface *admitted, const struct interface *loaded, struct err *e)
{
    if (same_specs(admitted->inputs, admitted->n_inputs, loaded->inputs, loaded->n_inputs) &&
        same_specs(admitted->outputs, admitted->n_outputs, loaded->outputs, loaded->n_outputs))
        return 0;
    return err_set(e, ERR_CONFLICT,
                   "the model has other inputs and outputs than when it was admitted; push it again");
}

enum { WARM_UP_BYTES_MAX = 1 << 20 };

// One row in *ret, of ones where they are integers, as dividing these by zero ends a process, else of zeros;
// false when that is not cheap, or of unknown shape. Its memory is the caller's.
static bool make_row(const struct tensor_spec *s, struct tensor *ret)
{
    *ret = (struct tensor){.name = s->name, .dtype = s->dtype, .n_dims = s->n_dims};
    for (uint32_t k = 0; k < s->n_dims; k++)
        ret->shape[k] = s->shape[k] < 0 ? 1 : s->shape[k];
    int64_t n = tensor_n_elements(ret->shape, ret->n_dims);
    size_t size = s->dtype == DTYPE_BYTES ? sizeof(uint32_t) : dtype_size(s->dtype); // empty strings
    if (s->any_shape || n <= 0 || n > (int64_t)(WARM_UP_BYTES_MAX / size))
        return false;
    ret->bytes = (size_t)n * size;
    void *data = aligned_alloc(TENSOR_ALIGN, (ret->bytes + TENSOR_ALIGN - 1) & ~(size_t)(TENSOR_ALIGN - 1));
    if (data)
        memset(data, 0, ret->bytes);
    bool integers = s->dtype >= DTYPE_UINT8 && s->dtype <= DTYPE_INT64;
    for (size_t at = 0; data && integers && at < ret->bytes; at += size)
        ((char *)data)[at] = 1;
    ret->data = data;
    return data != NULL;
}

// What the first run allocates and prepares is then shared by all forks. What the model says to it does not
// matter.
static void warm_up(struct loaded *m)
{
    const struct interface *i = m->interface;
    struct tensor *inputs = calloc(i->n_inputs + i->n_outputs, sizeof *inputs);
    bool cheap = inputs != NULL;
    for (uint32_t k = 0; cheap && k < i->n_inputs; k++)
        cheap = i->inputs[k].optional || make_row(&i->inputs[k], &inputs[k]);
    if (cheap) {
        struct err ignored;
        struct run run = {.inputs = inputs,
                          .outputs = i->n_outputs >= 64 ? UINT64_MAX : (1ull << i->n_outputs) - 1,
                          .results = inputs + i->n_inputs};
        (void)m->runtime->run(m->session, &run, &ignored);
    }
    for (uint32_t k = 0; inputs && k < i->n_inputs; k++)
        free((void *)(uintptr_t)inputs[k].data);
    free(inputs);
}

static int load_file(struct loaded *m, const struct replica_args *a, struct library *library, size_t size,
                     const struct model_files *files, struct err *e)
{
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, a->model_fd, 0);
    if (bytes == MAP_FAILED)
        return err_errno(e, errno, "map the model file of %zu bytes", size);
    struct runtime_options o = {.threads = a->threads,
                                .optimization = a->optimization,
                                .provider = a->provider,
                                .files = files->files,
                                .n_files = files->n};
    int code = check_digest(bytes, size, a->digest, e);
    if (code == 0)
        code = m->runtime->load(library, bytes, size, &o, &m->session, e);
    munmap(bytes, size);
    return code;
}

int load_model(struct loaded *m, const struct replica_args *a, struct err *e)
{
    uint64_t start = clock_mono_ns();
    struct library *library = NULL;
    size_t size = 0;
    m->runtime = runtime_find(str_of(a->engine));
    if (!m->runtime)
        return err_set(e, ERR_UNAVAILABLE, "there is no engine '%s'", a->engine);
    int code = m->runtime->open(a->settings->onnxruntime_library, &library, e);
    if (code == 0)
        code = file_size(a->model_fd, &size, e);
    struct brief brief;
    if (code == 0)
        code = brief_open(&brief, a, e);
    if (code)
        return code;
    code = confine(m, a, size + brief.files.bytes, e);
    if (code == 0 && (code = interface_decode(brief.json, &m->interface, e)) != 0)
        err_wrap(e, "interface");
    if (code == 0)
        code = load_file(m, a, library, size, &brief.files, e);
    brief_done(&brief);
    if (code == 0)
        code = check_same(m->interface, m->runtime->interface(m->session), e);
    if (code)
        return code;
    warm_up(m);
    // The threads of the library are there now; a loader still has to fork.
    if (a->threads > 1 && !a->is_loader)
        code = sandbox_end_tasks(e);
    m->load_ns = clock_mono_ns() - start;
    return code;
}

uint64_t load_memory_bytes(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss << 10 : 0;
}
