// SPDX-License-Identifier: Apache-2.0
// The throw-away process that posts one notice to a webhook: over libcurl, which is opened only there, so
// that no other process of the server ever speaks to the outside.
#pragma once

// Its arguments and descriptors (os/proc places them).
enum notify_arg { NOTIFY_ARG_PROGRAM, NOTIFY_ARG_ROLE, NOTIFY_ARGS };
#define NOTIFY_ROLE "@notify"
enum notify_fd {
    NOTIFY_FD_BODY = 3, // the URL, which may be a secret and is therefore no argument; a line feed; JSON
    NOTIFY_FD_RESULT,
};
enum { NOTIFY_BODY_MAX = 16 << 10, NOTIFY_URL_MAX = 1023, NOTIFY_TIMEOUT_MS = 10000 };

// Result: {"status":200}, whatever it is, or an error as compile_main writes it. Returns the exit code, 0
// when a result was written. argc and argv are main's; argv[1] is NOTIFY_ROLE.
int notify_main(int argc, char *const *argv);
