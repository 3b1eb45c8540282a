// SPDX-License-Identifier: Apache-2.0
// Loads a model. The order matters: what comes from the file system first, then the sandbox, then what nobody
// trusts.
#include "role/replica/model.h"

#include "base/clock.h"
#include "base/limits.h"
#include "os/shm.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int map_file(int fd, const void **ret, size_t *ret_size, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "read the size of the model file");
    if (st.st_size == 0)
        return err_set(e, ERR_BAD_MODEL, "the model file is empty");
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_errno(e, errno, "map the model file of %lld bytes", (long long)st.st_size);
    *ret = p;
    *ret_size = (size_t)st.st_size;
    return 0;
}

static int check_digest(const void *bytes, size_t size, const char *digest, struct err *e)
{
    static const char prefix[] = "sha256:";
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n_sum = 0;
    char text[sizeof prefix + 2 * EVP_MAX_MD_SIZE];
    if (!EVP_Digest(bytes, size, sum, &n_sum, EVP_sha256(), NULL))
        return err_set(e, ERR_INTERNAL, "the model file cannot be hashed");
    int n = snprintf(text, sizeof text, "%s", prefix);
    for (unsigned i = 0; i < n_sum; i++, n += 2)
        snprintf(text + n, sizeof text - (size_t)n, "%02x", sum[i]);
    return strcmp(text, digest) == 0
               ? 0
               : err_set(e, ERR_DIGEST, "the model file is %s, expected %s", text, digest);
}

static int read_interface(int fd, struct interface **ret, struct err *e)
{
    const void *json;
    size_t n;
    int code = shm_map_immutable(fd, 1, LIMIT_INTERFACE_BYTES, &json, &n, e);
    if (code)
        return err_wrap(e, "interface");
    code = interface_decode((struct str){json, n}, ret, e);
    shm_unmap(json, n);
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

// One row of zeros in *ret; false when that is not cheap, or of unknown shape. Its memory is the caller's.
static bool make_zeros(const struct tensor_spec *s, struct tensor *ret)
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
    ret->data = data;
    return data != NULL;
}

// What the first run allocates and prepares is then shared by all forks. What the model says to zeros does
// not matter.
static void warm_up(struct model *m)
{
    const struct interface *i = m->interface;
    struct tensor *inputs = calloc(i->n_inputs + i->n_outputs, sizeof *inputs);
    bool cheap = inputs != NULL;
    for (uint32_t k = 0; cheap && k < i->n_inputs; k++)
        cheap = i->inputs[k].optional || make_zeros(&i->inputs[k], &inputs[k]);
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

static int load_file(struct model *m, const struct replica_args *a, struct library *library, struct err *e)
{
    const void *bytes = NULL;
    size_t size = 0;
    int code = map_file(a->model_fd, &bytes, &size, e);
    if (code)
        return code;
    struct runtime_options o = {
        .threads = a->threads, .optimization = a->optimization, .provider = a->provider};
    code = check_digest(bytes, size, a->digest, e);
    if (code == 0)
        code = m->runtime->load(library, bytes, size, &o, &m->session, e);
    munmap((void *)(uintptr_t)bytes, size);
    return code;
}

int model_load(struct model *m, const struct replica_args *a, struct err *e)
{
    uint64_t start = clock_mono_ns();
    struct library *library;
    m->runtime = runtime_find(str_of(a->engine));
    if (!m->runtime)
        return err_set(e, ERR_UNAVAILABLE, "there is no engine '%s'", a->engine);
    int code = m->runtime->open("", &library, e);
    if (code == 0)
        code = read_interface(a->interface_fd, &m->interface, e);
    if (code == 0)
        code = load_file(m, a, library, e);
    if (code == 0)
        code = check_same(m->interface, m->runtime->interface(m->session), e);
    if (code)
        return code;
    warm_up(m);
    m->load_ns = clock_mono_ns() - start;
    return 0;
}

uint64_t model_memory_bytes(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss << 10 : 0;
}
