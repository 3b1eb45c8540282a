// SPDX-License-Identifier: Apache-2.0
// Any bytes as an ONNX model, as far as we look into it ourselves, and as a message of the library.
#include "base/assert.h"
#include "engine/onnx/library.h"
#include "engine/onnx/scan.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 8 << 20, MESSAGE_BYTES = 100 };

static void scan(const uint8_t *data, size_t size)
{
    struct arena a;
    struct scan s;
    struct err e;
    const char *format = scan_detect(data, size);
    ASSERT(arena_init(&a, ARENA_BYTES, &e) == 0);
    int rc = scan_model((struct str){(const char *)data, size}, &a, &s, &e);
    ASSERT(rc == 0 || rc == ERR_BAD_MODEL || rc == ERR_NOMEM || rc == ERR_UNSUPPORTED_MODEL);
    for (const struct scan_zipmap *z = rc ? NULL : s.zipmaps; z; z = z->next) {
        // load.c writes to these places.
        ASSERT(z->node < size && data[z->node] == (1 << 3 | 2));
        ASSERT(z->result < size && data[z->result] == (12 << 3 | 2));
        for (uint32_t i = 0; i < z->n_labels; i++)
            ASSERT(z->labels[i].n == 0 || z->labels[i].p);
    }
    ASSERT(!format || size > 0);
    arena_done(&a);
}

static void message(const uint8_t *data, size_t size)
{
    char out[MESSAGE_BYTES];
    char *text = malloc(size + 1);
    ASSERT(text);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    library_message(text, out, sizeof out);
    size_t n = strnlen(out, sizeof out);
    ASSERT(n < sizeof out);
    for (size_t i = 0; i < n; i++)
        ASSERT((unsigned char)out[i] >= ' ');
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scan(data, size);
    message(data, size);
    return 0;
}
