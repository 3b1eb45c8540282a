// SPDX-License-Identifier: Apache-2.0
// Requests and responses of a link, opened from hostile bytes: what is accepted lies inside of the message,
// has the interface's datatypes and shapes, and can be read to its end, also when the message is overwritten
// after it was opened.
#include "fuzz.h"

#include "role/link.h"

#include <string.h>

static struct tensor_spec INPUTS[] = {
    {.name = {"x", 1}, .dtype = DTYPE_FP32, .n_dims = 2, .shape = {-1, 3}},
    {.name = {"words", 5}, .dtype = DTYPE_BYTES, .n_dims = 1, .shape = {-1}, .optional = true},
    {.name = {"flags", 5}, .dtype = DTYPE_BOOL, .any_shape = true, .optional = true},
};
static struct tensor_spec OUTPUTS[] = {
    {.name = {"y", 1}, .dtype = DTYPE_FP64, .n_dims = 1, .shape = {-1}},
    {.name = {"label", 5}, .dtype = DTYPE_BYTES, .any_shape = true},
};
static const struct interface MODEL = {.n_inputs = 3, .n_outputs = 2, .inputs = INPUTS, .outputs = OUTPUTS};

enum { ARENA_BYTES = 1 << 20 };
static volatile uint8_t sink;

// Reads all of a tensor as a user of it would; lengths of BYTES are believed.
static void read_through(const struct tensor *t)
{
    const uint8_t *p = t->data;
    int64_t n = tensor_n_elements(t->shape, t->n_dims);
    EXPECT(n >= 0);
    if (t->dtype != DTYPE_BYTES) {
        EXPECT(t->bytes == (size_t)n * dtype_size(t->dtype));
        for (size_t i = 0; i < t->bytes; i++)
            sink ^= p[i];
        return;
    }
    for (; n > 0; n--) {
        uint32_t length;
        memcpy(&length, p, sizeof length);
        p += sizeof length;
        for (uint32_t i = 0; i < length; i++)
            sink ^= p[i];
        p += length;
    }
    EXPECT(p == (const uint8_t *)t->data + t->bytes);
}

static void open_request(const char *message, size_t n)
{
    struct link_request r;
    struct tensor inputs[3];
    struct err e;
    int code = link_request_open(message, n, &MODEL, &r, inputs, &e);
    EXPECT(code == 0 || code == ERR_INVALID);
    for (int k = 0; code == 0 && k < 3; k++)
        if (inputs[k].dtype != DTYPE_NONE)
            read_through(&inputs[k]);
}

static void open_response(char *message, size_t n)
{
    static struct arena arena;
    struct link_response head;
    struct tensor results[2];
    struct err e;
    if (!arena.base && arena_init(&arena, ARENA_BYTES, &e))
        return;
    arena_reset(&arena, 0);
    if (link_response_head(message, n, &head, &e))
        return;
    if (head.code) {
        link_response_error(message, &head, &e);
        EXPECT(memchr(e.msg, 0, sizeof e.msg) && memchr(e.path, 0, sizeof e.path));
        return;
    }
    struct link_asked asked = {&MODEL, head.id & 3, 0};
    // What is told apart from the copy of the head may have changed by now.
    if (n > sizeof head && head.queue_ns & 1)
        message[n / 2] = (char)~message[n / 2];
    if (link_response_open(message, n, &head, &asked, &arena, results, &e))
        return;
    memset(message, 0xff, n);
    for (int k = 0; k < 2; k++)
        if (results[k].dtype != DTYPE_NONE)
            read_through(&results[k]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *message = aligned_alloc(RING_ALIGN, (n / RING_ALIGN + 1) * RING_ALIGN);
    memcpy(message, data, n);
    open_request(message, n);
    open_response(message, n);
    free(message);
    return 0;
}
