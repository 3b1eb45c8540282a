// SPDX-License-Identifier: Apache-2.0
// Signature files as they are pushed: YAML or JSON becomes JSON, that is read as a user's, laid over a
// model's, written, read again without a change, and compared with what was there before.
#include "cli/yaml_json.h"
#include "fuzz.h"
#include "tensor/schema.h"

#define OUT ",\"outputs\":[{\"name\":\"prediction\",\"datatype\":\"FP32\",\"shape\":[-1]}]"
#define ROWS                                                                                                 \
    "{\"inputs\":[{\"name\":\"age\",\"datatype\":\"FP32\",\"missing\":true},"                                \
    "{\"name\":\"color\",\"datatype\":\"FP32\",\"categorical\":true,\"categories\":[\"a\",\"b\"]}]" OUT      \
    ",\"named\":true}"
#define UNNAMED                                                                                              \
    "{\"inputs\":[{\"name\":\"f0\",\"datatype\":\"FP32\"},{\"name\":\"f1\",\"datatype\":\"FP32\"}]" OUT      \
    ",\"named\":false}"
#define TENSORS                                                                                              \
    "{\"max_batch_rows\":8,\"inputs\":[{\"name\":\"age\",\"datatype\":\"FP32\",\"shape\":[-1,1]},"           \
    "{\"name\":\"color\",\"datatype\":\"BYTES\",\"shape\":[-1,1]}],\"outputs\":[]}"
static const char *const MODELS[] = {ROWS, UNNAMED, TENSORS};
enum { N_MODELS = sizeof MODELS / sizeof MODELS[0], BYTES_MAX = 1 << 20 };

static void complete(const char *json, const struct schema *user, struct arena *a)
{
    struct schema before, model, again;
    struct schema_changes changes;
    struct buf first, second;
    struct err e;
    EXPECT(schema_read(str_of(json), false, "$", a, &before, &e) == 0);
    EXPECT(schema_read(str_of(json), false, "$", a, &model, &e) == 0);
    if (schema_complete(&model, user, "$", a, &e))
        return;
    buf_init(&first, 8 * BYTES_MAX);
    buf_init(&second, 8 * BYTES_MAX);
    schema_write(&model, STR(""), &first);
    EXPECT(!first.failed && schema_read(buf_str(&first), false, "$", a, &again, &e) == 0);
    schema_write(&again, STR(""), &second);
    EXPECT(str_eq(buf_str(&first), buf_str(&second)));
    EXPECT(schema_compare(&model, &again, a, &changes, &e) == 0 && changes.n == 0);
    EXPECT(schema_compare(&before, &again, a, &changes, &e) == 0);
    buf_done(&first);
    buf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena a;
    struct schema user;
    struct buf json;
    struct err e;
    buf_init(&json, BYTES_MAX);
    EXPECT(arena_init(&a, 256 << 20, &e) == 0);
    if (yaml_to_json((struct str){(const char *)data, n}, "file", &json, &e) == 0 &&
        schema_read(buf_str(&json), true, "$", &a, &user, &e) == 0)
        for (size_t i = 0; i < N_MODELS; i++)
            complete(MODELS[i], &user, &a);
    arena_done(&a);
    buf_done(&json);
    return 0;
}
