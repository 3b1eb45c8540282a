// SPDX-License-Identifier: Apache-2.0
// A path, a newline and a text: what is found lies in the text or in the arena, and where the whole text is
// JSON it is what yyjson has at that place.
#include "fuzz.h"

#include "wire/json_path.h"

#include <string.h>
#include <yyjson.h>

// The value at a path that json_path_check took; NULL: none.
static yyjson_val *walk(yyjson_val *v, struct str path)
{
    const char *p = path.p + 1, *end = path.p + path.n;
    while (p < end && v) {
        bool is_index = *p == '[';
        const char *from = ++p;
        while (p < end && *p != '.' && *p != '[' && *p != ']')
            p++;
        struct str name = {from, (size_t)(p - from)};
        uint64_t index = 0;
        if (is_index) {
            EXPECT(str_to_u64(name, UINT32_MAX, &index));
            v = yyjson_is_arr(v) ? yyjson_arr_get(v, index) : NULL;
            p++;
        } else {
            v = yyjson_is_obj(v) ? yyjson_obj_getn(v, name.p, name.n) : NULL;
        }
    }
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = (const char *)data, *newline = n ? memchr(data, '\n', n) : NULL;
    struct str path = {text, newline ? (size_t)(newline - text) : n}, json = {text + path.n, n - path.n}, got;
    struct arena arena;
    struct err e = {0};
    if (json_path_check(path, &e)) {
        EXPECT(e.code == ERR_INVALID && e.msg[0]);
        return 0;
    }
    if (arena_init(&arena, 1 << 24, &e))
        return 0;
    if (json_path_find(json, path, &arena, &got)) {
        EXPECT(got.n <= json.n);
        yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
        yyjson_val *v = walk(yyjson_doc_get_root(doc), path);
        EXPECT(!doc || (v && !yyjson_is_ctn(v) && !yyjson_is_null(v)));
        if (doc && yyjson_is_str(v))
            EXPECT(yyjson_get_len(v) == got.n && memcmp(yyjson_get_str(v), got.p, got.n) == 0);
        yyjson_doc_free(doc);
    }
    arena_done(&arena);
    return 0;
}
