// SPDX-License-Identifier: Apache-2.0
// What the ONNX runtime computes, for the tests in Python: commands on stdin, answers on stdout, one after
// another.
//   onnx_runner LIBRARY
// A frame is two u64, the bytes of a JSON object and of the data that follows it. Commands:
//   {"do":"load","threads":1,"optimization":"all","provider":"cpu"} + model → {"interface":{…}}
//   {"do":"run","inputs":[{"name","datatype","shape","bytes"}…],"outputs":["y"…],"room":65536} + the tensors'
//   memory
//       → {"outputs":[{"name","datatype","shape","bytes","placed":true}…]} + the tensors' memory
//   {"do":"probe"} → {"max_batch_rows":256,"worst":1e-7}
//   {"do":"run","seconds":0.1,…} → {"ns":1234.5} of one run
// A failure is {"error":"bad_model","message":"…","hint":"…"}.
#include "base/buf.h"
#include "engine/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yyjson.h>

enum { FRAME_MAX = 1 << 30 };

struct command {
    yyjson_val *root;
    char *data;
    size_t bytes;
};

static struct library *library;
static struct session *session;

_Noreturn static void die(const char *why)
{
    fprintf(stderr, "onnx_runner: %s\n", why);
    exit(EXIT_FAILURE);
}

static void *aligned(size_t n)
{
    void *p = aligned_alloc(TENSOR_ALIGN, (n / TENSOR_ALIGN + 1) * TENSOR_ALIGN);
    if (!p)
        die("no memory");
    return p;
}

static void answer(const struct buf *json, const struct buf *data)
{
    uint64_t sizes[2] = {json->n, data ? data->n : 0};
    if (json->failed || (data && data->failed))
        die("an answer is too large");
    fwrite(sizes, sizeof sizes, 1, stdout);
    fwrite(json->p, 1, json->n, stdout);
    if (sizes[1])
        fwrite(data->p, 1, data->n, stdout);
    fflush(stdout);
}

static void answer_error(const struct err *e)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_printf(&b, "{\"error\":\"%s\",\"message\":", err_name(e->code));
    buf_put_json_str(&b, str_of(e->msg));
    buf_puts(&b, ",\"hint\":");
    buf_put_json_str(&b, str_of(e->hint));
    buf_putc(&b, '}');
    answer(&b, NULL);
    buf_done(&b);
}

static int do_load(const struct command *c, struct err *e)
{
    struct runtime_options o = {.threads = (unsigned)yyjson_get_uint(yyjson_obj_get(c->root, "threads")),
                                .optimization = yyjson_get_str(yyjson_obj_get(c->root, "optimization")),
                                .provider = yyjson_get_str(yyjson_obj_get(c->root, "provider"))};
    struct buf b;
    runtime_onnx.close(session);
    session = NULL;
    int rc = runtime_onnx.load(library, c->data, c->bytes, &o, &session, e);
    if (rc)
        return rc;
    memset(c->data, 0xee, c->bytes); // the model's memory may be gone after load
    buf_init(&b, FRAME_MAX);
    buf_puts(&b, "{\"interface\":");
    interface_encode(runtime_onnx.interface(session), &b);
    buf_putc(&b, '}');
    answer(&b, NULL);
    buf_done(&b);
    return 0;
}

static struct str text_of(yyjson_val *v)
{
    return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
}

// The inputs of a command by the interface's indices. Each gets aligned memory of its own, freed by the
// caller.
static int take_inputs(const struct command *c, struct tensor *inputs, void **memory, struct err *e)
{
    const struct interface *i = runtime_onnx.interface(session);
    yyjson_val *in, *size;
    size_t k, n, at = 0, d, n_dims;
    yyjson_arr_foreach(yyjson_obj_get(c->root, "inputs"), k, n, in)
    {
        int index = interface_input(i, text_of(yyjson_obj_get(in, "name")));
        if (index < 0)
            return err_set(e, ERR_INVALID, "no such input");
        size_t bytes = yyjson_get_uint(yyjson_obj_get(in, "bytes"));
        struct tensor *t = &inputs[index];
        *t = (struct tensor){.name = i->inputs[index].name,
                             .dtype = dtype_find(text_of(yyjson_obj_get(in, "datatype"))),
                             .bytes = bytes};
        yyjson_arr_foreach(yyjson_obj_get(in, "shape"), d, n_dims, size) t->shape[t->n_dims++] =
            yyjson_get_sint(size);
        memory[index] = aligned(bytes);
        memcpy(memory[index], c->data + at, bytes);
        t->data = memory[index];
        at += bytes;
        int rc = tensor_check(t, e);
        if (rc)
            return rc;
    }
    return 0;
}

static void put_results(const struct tensor *results, const char *room, size_t room_bytes)
{
    struct buf json, data;
    const struct interface *i = runtime_onnx.interface(session);
    const char *comma = "";
    buf_init(&json, FRAME_MAX);
    buf_init(&data, FRAME_MAX);
    buf_puts(&json, "{\"outputs\":[");
    for (uint32_t o = 0; o < i->n_outputs; o++) {
        const struct tensor *t = &results[o];
        const char *p = t->data;
        if (t->dtype == DTYPE_NONE)
            continue;
        buf_printf(&json, "%s{\"name\":", comma);
        buf_put_json_str(&json, t->name);
        buf_printf(&json, ",\"datatype\":\"%s\",\"bytes\":%zu,\"placed\":%s,\"shape\":[",
                   dtype_name(t->dtype), t->bytes,
                   room && p >= room && p < room + room_bytes ? "true" : "false");
        for (uint32_t d = 0; d < t->n_dims; d++)
            buf_printf(&json, "%s%lld", d ? "," : "", (long long)t->shape[d]);
        buf_puts(&json, "]}");
        if (t->bytes)
            buf_put(&data, t->data, t->bytes);
        comma = ",";
    }
    buf_puts(&json, "]}");
    answer(&json, &data);
    buf_done(&json);
    buf_done(&data);
}

static uint64_t wanted(const struct command *c)
{
    const struct interface *i = runtime_onnx.interface(session);
    yyjson_val *names = yyjson_obj_get(c->root, "outputs"), *name;
    uint64_t set = 0;
    size_t k, n;
    if (!names)
        return i->n_outputs == 64 ? ~0ull : (1ull << i->n_outputs) - 1;
    yyjson_arr_foreach(names, k, n, name)
    {
        int index = interface_output(i, text_of(name));
        set |= index >= 0 ? 1ull << index : 0;
    }
    return set;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

// Runs again and again for so long and says what processor time one run takes.
static int measure(const struct run *r, double seconds, struct err *e)
{
    struct buf b;
    uint64_t begin = cpu_ns(), now = begin, n = 0;
    do {
        int rc = runtime_onnx.run(session, r, e);
        if (rc)
            return rc;
        n++;
        if (n % 16 == 0) // the clock costs as much as a small model
            now = cpu_ns();
    } while (n % 16 || (double)(now - begin) < seconds * 1e9);
    buf_init(&b, 1 << 10);
    buf_printf(&b, "{\"ns\":%.1f}", (double)(now - begin) / (double)n);
    answer(&b, NULL);
    buf_done(&b);
    return 0;
}

static int do_run(const struct command *c, struct err *e)
{
    struct tensor inputs[TENSORS_MAX] = {0}, results[TENSORS_MAX];
    void *memory[TENSORS_MAX] = {0};
    if (!session)
        return err_set(e, ERR_INVALID, "no model");
    size_t room_bytes = yyjson_get_uint(yyjson_obj_get(c->root, "room"));
    double seconds = yyjson_get_num(yyjson_obj_get(c->root, "seconds"));
    void *room = room_bytes ? aligned(room_bytes) : NULL;
    struct run r = {inputs, wanted(c), room, room_bytes, results};
    int rc = take_inputs(c, inputs, memory, e);
    if (!rc && seconds > 0)
        rc = measure(&r, seconds, e);
    else if (!rc && !(rc = runtime_onnx.run(session, &r, e)))
        put_results(results, room, room_bytes);
    for (unsigned i = 0; i < TENSORS_MAX; i++)
        free(memory[i]);
    free(room);
    return rc;
}

static int do_probe(struct err *e)
{
    struct buf b;
    double worst;
    if (!session)
        return err_set(e, ERR_INVALID, "no model");
    uint32_t rows = runtime_onnx.probe_batching(session, &worst);
    buf_init(&b, 1 << 10);
    buf_printf(&b, "{\"max_batch_rows\":%u,\"worst\":%.17g}", rows, worst > 1e300 ? 1e300 : worst);
    answer(&b, NULL);
    buf_done(&b);
    return 0;
}

static void obey(const struct command *c)
{
    struct err e = {0};
    struct str verb = text_of(yyjson_obj_get(c->root, "do"));
    int rc = str_eq(verb, STR("load"))    ? do_load(c, &e)
             : str_eq(verb, STR("run"))   ? do_run(c, &e)
             : str_eq(verb, STR("probe")) ? do_probe(&e)
                                          : err_set(&e, ERR_INVALID, "no such command");
    if (rc)
        answer_error(&e);
}

int main(int argc, char **argv)
{
    struct err e;
    uint64_t sizes[2];
    if (argc != 2)
        die("usage: onnx_runner LIBRARY");
    if (runtime_onnx.open(argv[1], &library, &e))
        die(e.msg);
    while (fread(sizes, sizeof sizes, 1, stdin) == 1) {
        if (sizes[0] > FRAME_MAX || sizes[1] > FRAME_MAX)
            die("a frame is too large");
        char *json = aligned(sizes[0]);
        struct command c = {.data = aligned(sizes[1]), .bytes = sizes[1]};
        if (fread(json, 1, sizes[0], stdin) != sizes[0] || fread(c.data, 1, sizes[1], stdin) != sizes[1])
            die("a frame was cut short");
        yyjson_doc *doc = yyjson_read(json, sizes[0], 0);
        if (!doc)
            die("a frame is not JSON");
        c.root = yyjson_doc_get_root(doc);
        obey(&c);
        yyjson_doc_free(doc);
        free(json);
        free(c.data);
    }
    runtime_onnx.close(session);
    return 0;
}
