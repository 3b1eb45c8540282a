// SPDX-License-Identifier: Apache-2.0
// What a replica, or anybody else, may write into its supervision socket: messages are whole and their words
// end, or the stream is refused. The first byte of the input is the set of those who may have sent it.
#include "fuzz.h"

#include "role/board.h"
#include "role/supervision.h"

#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e;
    struct msg_conn c;
    struct supervision_message m;
    int pair[2], got = 1;
    if (size < 1 || size > 32768 || supervision_pair(pair, &e))
        return 0;
    supervision_init(&c, pair[0]);
    EXPECT(write(pair[1], data + 1, size - 1) == (ssize_t)size - 1);
    close(pair[1]);
    while (got > 0 && !msg_conn_fill(&c, &e)) {
        while ((got = supervision_take(&c, (enum supervision_sender)(data[0] & 7), &m, &e)) > 0) {
            EXPECT(m.n_fds == 0);
            if (m.type == SUPERVISION_FAILED)
                EXPECT(memchr(m.failed.why, '\0', sizeof m.failed.why));
            if (m.type == SUPERVISION_LOADED)
                EXPECT(memchr(m.loaded.sandbox, '\0', sizeof m.loaded.sandbox));
            if (m.type == SUPERVISION_REPLICA)
                EXPECT(m.replica.state < BOARD_STATES && memchr(m.replica.why, '\0', sizeof m.replica.why));
            if (m.type == SUPERVISION_SERVE)
                EXPECT(m.serve.threads > 0 && memchr(m.serve.model, '\0', sizeof m.serve.model));
        }
        got = got == 0; // more may follow
    }
    msg_conn_done(&c);
    return 0;
}
