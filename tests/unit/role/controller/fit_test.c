// SPDX-License-Identifier: Apache-2.0
#include "role/controller/fit.h"

#include "unit.h"

#include <string.h>

enum { MIB = 1 << 20 };

static const struct memory_room ROOM = {.budget_bytes = (uint64_t)1000 * MIB,
                                        .used_bytes = (uint64_t)600 * MIB,
                                        .available_bytes = (uint64_t)400 * MIB,
                                        .what = "machine"};

// Whether it fits with so many MiB of files, and what was thought to be needed.
static bool fits(uint64_t file_mib, uint64_t freed_mib, const struct version_settings *v, unsigned *ret_mib,
                 struct err *e)
{
    struct fit f;
    struct fit_asked a = {.file_bytes = file_mib * MIB, .freed_bytes = freed_mib * MIB, .settings = v};
    int rc = fit_decide(&a, &ROOM, &f, e);
    *ret_mib = (unsigned)(f.needed_bytes / MIB);
    ck_assert(rc == 0 || rc == ERR_NO_SPACE);
    return rc == 0;
}

START_TEST(what_does_not_fit_is_refused_with_all_numbers)
{
    struct version_settings v;
    struct err e;
    unsigned mib;
    version_settings_init(&v);
    ck_assert(fits(194, 0, &v, &mib, &e)); // exactly
    ck_assert_uint_eq(mib, 400);
    ck_assert(!fits(195, 0, &v, &mib, &e));
    ck_assert_str_eq(e.msg, "about 402 MiB of memory are needed and 400 MiB are free of the 1000 MiB of the "
                            "machine");
}
END_TEST

START_TEST(what_is_to_end_first_counts_as_free)
{
    struct version_settings v;
    struct err e;
    unsigned mib;
    version_settings_init(&v);
    ck_assert(fits(244, 100, &v, &mib, &e));
    ck_assert(!fits(245, 100, &v, &mib, &e));
    ck_assert(!fits(500, 5000, &v, &mib, &e)); // never more than there is
    ck_assert_ptr_nonnull(strstr(e.msg, "1000 MiB are free of the 1000 MiB"));
}
END_TEST

START_TEST(forks_share_the_model_and_threads_do_not)
{
    struct version_settings v;
    struct err e;
    unsigned mib;
    version_settings_init(&v);
    v.min_replicas = v.max_replicas = 4;
    ck_assert(fits(100, 0, &v, &mib, &e));
    ck_assert_uint_eq(mib, 200 + 4 * 12);
    v.threads = 2;
    ck_assert(!fits(100, 0, &v, &mib, &e));
    ck_assert_uint_eq(mib, 4 * 212);
    v.memory_mb = 50; // it cannot take more than it may
    ck_assert(fits(100, 0, &v, &mib, &e));
    ck_assert_uint_eq(mib, 200);
    v.threads = 1;
    ck_assert(fits(150, 0, &v, &mib, &e));
    ck_assert_uint_eq(mib, 250); // the loader, too
}
END_TEST

START_TEST(what_was_measured_replaces_the_guess_and_zero_replicas_are_tried_with_one)
{
    struct version_settings v;
    struct err e;
    struct fit f;
    version_settings_init(&v);
    v.min_replicas = 0;
    struct fit_asked a = {
        .file_bytes = 900 * (uint64_t)MIB, .loaded_bytes = 30 * (uint64_t)MIB, .settings = &v};
    ck_assert_int_eq(fit_decide(&a, &ROOM, &f, &e), 0);
    ck_assert_uint_eq(f.needed_bytes / MIB, 42);
}
END_TEST

UNIT_MAIN("role/controller/fit", what_does_not_fit_is_refused_with_all_numbers,
          what_is_to_end_first_counts_as_free, forks_share_the_model_and_threads_do_not,
          what_was_measured_replaces_the_guess_and_zero_replicas_are_tried_with_one)
