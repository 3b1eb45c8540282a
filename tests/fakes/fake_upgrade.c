// SPDX-License-Identifier: Apache-2.0
// A new program that passes the check of `slipway upgrade` and is broken nevertheless, as its file's name
// says: …-crash ends when it takes over, …-hang never does anything, …-mute hangs already in the check.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void hang(void)
{
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    const char *how = strrchr(path, '-') ? strrchr(path, '-') + 1 : "";
    if (argc > 1 && strcmp(argv[1], "@check") == 0) {
        if (strcmp(how, "mute") == 0)
            hang();
        dprintf(4, "slipway can go on as 9.9.9");
        return 0;
    }
    if (strcmp(how, "hang") == 0)
        hang();
    abort();
}
