// SPDX-License-Identifier: Apache-2.0
// Records of a rollout: reading and replaying any bytes ends in an error or in a record equal to them.
#include "fuzz.h"
#include "rollout/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct rollout_spec spec;
    struct plan p = {0};
    struct err e = {0};
    if (rollout_request_decode(STR("{\"model\":\"m\",\"candidate\":\"2\"}"), &spec, &e))
        EXPECT(false);
    if (rollout_replay(&spec, &p, (struct str){(const char *)data, n}, &e))
        EXPECT(e.code < 0 && e.msg[0] && p.n_moves == 0);
    else
        EXPECT(p.n_moves == 1);
    return 0;
}
