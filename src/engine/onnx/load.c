// SPDX-License-Identifier: Apache-2.0
// From a model's bytes to a session: what the library cannot be given as it is (weights in other files, maps
// of classifiers) is dealt with before it sees the model.
#include "engine/onnx/session.h"

#include "base/limits.h"

#include <onnxruntime_session_options_config_keys.h>
#include <stdlib.h>
#include <string.h>

// Tags of fields that nothing reads: a parser skips a field whose number it does not know.
enum { TAG_NODE = 1 << 3 | 2, TAG_OUTPUT = 12 << 3 | 2, TAG_SKIPPED = 3 << 3 | 2 };
enum { FLOAT_TENSOR_BYTES = 6 }; // a TypeProto: tensor_type { elem_type: FLOAT }

// The model as the library gets it. ZipMap, which makes of a tensor of scores one map per row with the same
// keys in all, is cut out: the node and the graph's output become unknown fields, and a second `graph` is
// appended, which parsers of protobuf merge with the first, whose output is the tensor itself.
struct edited {
    struct str model;
    char *copy; // NULL: the model is as it was
};

static size_t varint_put(uint8_t *to, size_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        to[n++] = (uint8_t)(v | 0x80);
    to[n++] = (uint8_t)v;
    return n;
}

enum { VARINT_MAX = 10 };

// graph { output { name: z->input, type { tensor_type { elem_type: FLOAT } } } }
static size_t put_output(uint8_t *to, const struct scan_zipmap *z)
{
    static const uint8_t TYPE[FLOAT_TENSOR_BYTES] = {0x12, 4, 0x0a, 2, 0x08, 1};
    uint8_t head[2 * (1 + VARINT_MAX)];
    size_t n = 0, name = 0;
    uint8_t name_head[1 + VARINT_MAX];
    name_head[name++] = 0x0a;
    name += varint_put(name_head + name, z->input.n);
    size_t info = name + z->input.n + sizeof TYPE;
    uint8_t output_head[1 + VARINT_MAX];
    output_head[0] = TAG_OUTPUT;
    size_t output = 1 + varint_put(output_head + 1, info);
    head[n++] = 7 << 3 | 2;
    n += varint_put(head + n, output + info);
    uint8_t *at = mempcpy(to, head, n);
    at = mempcpy(at, output_head, output);
    at = mempcpy(at, name_head, name);
    at = mempcpy(at, z->input.p, z->input.n);
    at = mempcpy(at, TYPE, sizeof TYPE);
    return (size_t)(at - to);
}

// A tensor is an output of the graph once.
static bool is_output(const struct scan *scan, const struct scan_zipmap *z)
{
    for (const struct scan_port *o = scan->outputs; o; o = o->next)
        if (str_eq(o->name, z->input))
            return true;
    for (const struct scan_zipmap *earlier = scan->zipmaps; earlier != z; earlier = earlier->next)
        if (str_eq(earlier->input, z->input))
            return true;
    return false;
}

static int edit(struct str model, const struct scan *scan, struct edited *ret, struct err *e)
{
    *ret = (struct edited){.model = model};
    size_t more = 0;
    for (const struct scan_zipmap *z = scan->zipmaps; z; z = z->next)
        more += z->input.n + 3 * (1 + VARINT_MAX) + FLOAT_TENSOR_BYTES;
    if (!more)
        return 0;
    ret->copy = malloc(model.n + more);
    if (!ret->copy)
        return err_set(e, ERR_NOMEM, "no memory for the model");
    memcpy(ret->copy, model.p, model.n);
    size_t n = model.n;
    for (const struct scan_zipmap *z = scan->zipmaps; z; z = z->next) {
        ret->copy[z->node] = ret->copy[z->result] = TAG_SKIPPED;
        if (!is_output(scan, z))
            n += put_output((uint8_t *)ret->copy + n, z);
    }
    ret->model = (struct str){ret->copy, n};
    return 0;
}

static const struct runtime_file *file_find(const struct runtime_options *o, struct str name)
{
    for (size_t i = 0; i < o->n_files; i++)
        if (str_eq(o->files[i].name, name))
            return &o->files[i];
    return NULL;
}

static int refuse_file(const struct scan_file *f, struct err *e)
{
    err_set(e, ERR_UNSUPPORTED_MODEL, "the model keeps weights in another file, '" STR_FMT "', which %s",
            STR_ARG(f->name),
            f->in_attribute ? "an operator's attribute refers to" : "was not pushed with it");
    if (f->in_attribute)
        err_hint(e, "Save it in one file: onnx.save_model(onnx.load(\"model.onnx\"), \"one.onnx\", "
                    "save_as_external_data=False).");
    else
        err_hint(e, "Push it under exactly that name (--file FILE=NAME), or save the model in one file: "
                    "onnx.save_model(model, \"m.onnx\", save_as_external_data=False).");
    return ERR_UNSUPPORTED_MODEL;
}

// A name in a model is never opened as a file: what is not given is refused.
static int add_files(const struct library *l, const struct scan *scan, const struct runtime_options *o,
                     OrtSessionOptions *so, struct arena *a, struct err *e)
{
    size_t n = 0;
    for (const struct scan_file *f = scan->files; f; f = f->next)
        n++;
    if (!n)
        return 0;
    const char **names = arena_calloc(a, n, sizeof *names);
    char **bytes = arena_calloc(a, n, sizeof *bytes);
    size_t *sizes = arena_calloc(a, n, sizeof *sizes), i = 0;
    if (!names || !bytes || !sizes)
        return err_set(e, ERR_NOMEM, "no memory for the names of files");
    for (const struct scan_file *f = scan->files; f; f = f->next, i++) {
        const struct runtime_file *file = f->in_attribute ? NULL : file_find(o, f->name);
        char *name = arena_calloc(a, f->name.n + 1, 1);
        if (!file)
            return refuse_file(f, e);
        if (!name)
            return err_set(e, ERR_NOMEM, "no memory for the names of files");
        memcpy(name, f->name.p, f->name.n);
        names[i] = name;
        memcpy(&bytes[i], &file->bytes, sizeof bytes[i]); // the library only reads them
        sizes[i] = file->size;
    }
    return library_check(l, LIBRARY_LOAD,
                         l->api->AddExternalInitializersFromFilesInMemory(so, names, bytes, sizes, n), e);
}

static int create(struct session *s, struct str model, const struct scan *scan,
                  const struct runtime_options *o, struct err *e)
{
    const OrtApi *a = s->library->api;
    OrtSessionOptions *so;
    int rc = session_options(s->library, o, &so, e);
    if (rc)
        return rc;
    rc = add_files(s->library, scan, o, so, &s->arena, e);
    if (!rc)
        rc = library_check(s->library, LIBRARY_LOAD,
                           a->CreateSessionFromArray(s->library->env, model.p, model.n, so, &s->ort), e);
    a->ReleaseSessionOptions(so);
    return rc;
}

int session_load(struct library *l, const void *bytes, size_t size, const struct runtime_options *o,
                 struct session **ret, struct err *e)
{
    struct str model = {bytes, size};
    struct scan scan;
    struct edited edited = {0};
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory for a model");
    s->library = l;
    int rc = arena_init(&s->arena, LIMIT_ONNX_NAMES_BYTES, e);
    if (!rc)
        rc = scan_model(model, &s->arena, &scan, e);
    if (!rc)
        rc = edit(model, &scan, &edited, e);
    if (!rc)
        rc = create(s, edited.model, &scan, o, e);
    if (!rc)
        rc = session_ports(s, &scan, e);
    free(edited.copy);
    if (rc) {
        session_close(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void session_close(struct session *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->interface.n_outputs; i++) {
        s->library->api->ReleaseValue(s->outputs[i].value);
        buf_done(&s->outputs[i].memory);
    }
    if (s->ort)
        s->library->api->ReleaseSession(s->ort);
    arena_done(&s->arena);
    free(s);
}
