// SPDX-License-Identifier: Apache-2.0
// What gateway and controller say to each other about versions that are not loaded: what is taken keeps the
// limits, and means the same when it is written and read again. The first byte chooses the message.
#include "fuzz.h"

#include "base/limits.h"
#include "role/ipc_ask.h"

#include <string.h>

static void ask(struct str json)
{
    struct ipc_ask m, again;
    struct buf text;
    struct err e = {0};
    if (ipc_ask_decode(json, &m, &e)) {
        EXPECT(e.code == ERR_INVALID && e.msg[0]);
        return;
    }
    EXPECT(m.model.n <= LIMIT_MODEL_NAME_BYTES && m.name.n <= LIMIT_ALIAS_BYTES);
    buf_init(&text, 1 << 16);
    ipc_ask_encode(m.model, m.name, &text);
    EXPECT(!text.failed && ipc_ask_decode(buf_str(&text), &again, &e) == 0);
    EXPECT(str_eq(m.model, again.model) && str_eq(m.name, again.name));
    ipc_ask_done(&again);
    ipc_ask_done(&m);
    buf_done(&text);
}

static void absent(struct str json)
{
    struct ipc_absent m, again;
    struct buf text;
    struct err e = {0};
    if (ipc_absent_decode(json, &m, &e)) {
        EXPECT(e.code == ERR_INVALID && e.msg[0]);
        return;
    }
    EXPECT(m.model.n <= LIMIT_MODEL_NAME_BYTES && m.name.n <= LIMIT_ALIAS_BYTES);
    EXPECT(m.why.code < 0 && m.why.code > ERR_CODE_LIMIT && err_name(m.why.code));
    EXPECT(memchr(m.why.msg, '\0', sizeof m.why.msg) && memchr(m.why.hint, '\0', sizeof m.why.hint));
    buf_init(&text, 1 << 16);
    ipc_absent_encode(m.model, m.name, &m.why, &text);
    EXPECT(!text.failed && ipc_absent_decode(buf_str(&text), &again, &e) == 0);
    EXPECT(str_eq(m.model, again.model) && str_eq(m.name, again.name) && m.why.code == again.why.code);
    ipc_absent_done(&again);
    ipc_absent_done(&m);
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str json = {(const char *)data + 1, size - 1};
    if (size == 0)
        return 0;
    if (data[0] & 1)
        ask(json);
    else
        absent(json);
    return 0;
}
