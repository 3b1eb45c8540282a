// SPDX-License-Identifier: Apache-2.0
// A folder of its own for a test, under TMPDIR or /tmp, and its removal with all that is in it.
#pragma once

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEMPDIR_SIZE = 512 };

static inline void tempdir_new(char ret[TEMPDIR_SIZE])
{
    const char *base = getenv("TMPDIR");
    snprintf(ret, TEMPDIR_SIZE, "%s/slipway-test-XXXXXX", base && base[0] ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(ret));
}

static inline int tempdir_remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
    (void)st, (void)what, (void)at;
    return remove(path);
}

static inline void tempdir_remove(const char *dir)
{
    nftw(dir, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
