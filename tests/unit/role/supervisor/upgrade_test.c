// SPDX-License-Identifier: Apache-2.0
// What a program says that is asked whether it can go on from the state of a running server.
#include "role/supervisor/upgrade.h"

#include "role/ipc.h"
#include "role/link.h"
#include "role/supervisor/handover.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct handover_server OWN = {
    .format = HANDOVER_FORMAT,
    .n_gateways = 1,
    .ipc_protocol = IPC_PROTOCOL,
    .link_protocol = LINK_PROTOCOL,
    .supervision_bytes = sizeof(struct supervision_message),
    .supervision_protocol = SUPERVISION_PROTOCOL,
};

// Asks; what it said, and whether it would go on.
static bool goes_on(const struct handover_server *s, char said[400])
{
    int report[2];
    struct handover *h = handover_new();
    handover_put(h, HANDOVER_SERVER, s, sizeof *s);
    ck_assert_int_eq(pipe(report), 0);
    int code = upgrade_check(h, report[1]);
    ssize_t n = read(report[0], said, 399);
    said[n > 0 ? n : 0] = '\0';
    close(report[0]);
    close(report[1]);
    handover_free(h);
    return code == EXIT_SUCCESS;
}

START_TEST(a_server_that_speaks_as_we_do_is_taken_over)
{
    char said[400];
    ck_assert(goes_on(&OWN, said));
    ck_assert_ptr_nonnull(strstr(said, "can go on as "));
}
END_TEST

START_TEST(one_that_speaks_otherwise_is_refused_in_words)
{
    struct handover_server others[5] = {OWN, OWN, OWN, OWN, OWN};
    others[0].ipc_protocol++;
    others[1].link_protocol++;
    others[2].supervision_protocol++;
    others[3].supervision_bytes += 8;
    others[4].supervision_protocol = 0; // a build before there was such a number
    for (size_t i = 0; i < 5; i++) {
        char said[400];
        ck_assert(!goes_on(&others[i], said));
        ck_assert_str_eq(
            said, "the running processes speak another protocol: stop the server and start this program");
    }
}
END_TEST

START_TEST(a_state_of_another_form_is_refused_by_its_number)
{
    char said[400];
    struct handover_server s = OWN;
    s.format = 7;
    ck_assert(!goes_on(&s, said));
    ck_assert_ptr_nonnull(strstr(said, "of form 7"));
}
END_TEST

UNIT_MAIN("role/supervisor/upgrade", a_server_that_speaks_as_we_do_is_taken_over,
          one_that_speaks_otherwise_is_refused_in_words, a_state_of_another_form_is_refused_by_its_number)
