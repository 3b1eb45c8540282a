// SPDX-License-Identifier: Apache-2.0
// Options of librdkafka: what is found lies in the text, and a setting never gives a password.
#include "fuzz.h"

#include "role/monitor/kafka_options.h"

#include <string.h>

static void check_all(struct str text, bool is_file)
{
    struct str rest = text;
    struct kafka_option o = {.line = 0};
    struct err e;
    while (kafka_options_next(&rest, is_file, &o, &e) > 0) {
        EXPECT(o.name.n > 0 && o.name.p >= text.p && o.name.p + o.name.n < text.p + text.n);
        EXPECT(o.value.n == 0 || (o.value.p > o.name.p && o.value.p + o.value.n <= text.p + text.n));
        EXPECT(is_file || !memmem(o.name.p, o.name.n, "password", 8));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *in = malloc(n ? n : 1);
    memcpy(in, data, n);
    check_all((struct str){in, n}, false);
    check_all((struct str){in, n}, true);
    free(in);
    return 0;
}
