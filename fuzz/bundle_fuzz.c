// SPDX-License-Identifier: Apache-2.0
// slipway.json: no name leads out of the directory, and what was read is written again to the same bytes.
#include "fuzz.h"

#include "cli/bundle.h"
#include "cli/folder.h"

#include <string.h>

static void write_again(const struct bundle *b, struct buf *out)
{
    struct err e;
    buf_init(out, 1 << 24);
    EXPECT(bundle_write(yyjson_doc_get_root(b->doc), out, &e) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bundle b, again;
    struct err e = {0};
    int rc = bundle_parse((struct str){(const char *)data, n}, &b, &e);
    EXPECT(rc == 0 || (rc < 0 && rc == e.code && e.msg[0]));
    if (rc == 0) {
        struct buf first, second, manifest;
        struct package p;
        EXPECT(b.n_files > 0);
        for (size_t i = 0; i < b.n_files; i++)
            EXPECT(folder_path_is_below(b.files[i].name) && strlen(b.files[i].name.p) == b.files[i].name.n);
        write_again(&b, &first);
        EXPECT(bundle_parse(buf_str(&first), &again, &e) == 0 && again.n_files == b.n_files);
        write_again(&again, &second);
        EXPECT(str_eq(buf_str(&first), buf_str(&second)));
        EXPECT(package_init(&p, &e) == 0);
        bundle_fill(&b, &p);
        buf_init(&manifest, 1 << 24);
        EXPECT(package_put_manifest(&p, STR("{}"), &manifest, &e) == 0);
        yyjson_doc *doc = yyjson_read(manifest.p, manifest.n, 0);
        EXPECT(doc);
        yyjson_doc_free(doc);
        package_done(&p);
        bundle_done(&again);
        buf_done(&manifest);
        buf_done(&first);
        buf_done(&second);
    }
    bundle_done(&b);
    return 0;
}
