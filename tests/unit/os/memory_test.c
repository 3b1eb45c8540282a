// SPDX-License-Identifier: Apache-2.0
// Over trees of files as the kernel shows them.
#include "os/memory.h"

#include "tempdir.h"
#include "unit.h"

#include <string.h>
#include <sys/stat.h>

enum { MIB = 1 << 20 };
static char root[TEMPDIR_SIZE];

static void put(const char *path, const char *text)
{
    char whole[TEMPDIR_SIZE + 256];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *f = fopen(whole, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void put_mib(const char *path, unsigned mib)
{
    char text[32];
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)mib * MIB);
    put(path, text);
}

static void setup(void)
{
    tempdir_new(root);
    put("proc/meminfo",
        "MemTotal:        8388608 kB\nMemFree:          100 kB\nMemAvailable:    6291456 kB\n");
}

static void teardown(void)
{
    tempdir_remove(root);
}

static void expect(unsigned budget_mib, unsigned used_mib, const char *what)
{
    struct memory_room r;
    struct err e;
    ck_assert_int_eq(memory_room(root, &r, &e), 0);
    ck_assert_str_eq(r.what, what);
    ck_assert_uint_eq(r.budget_bytes / MIB, budget_mib);
    ck_assert_uint_eq(r.used_bytes / MIB, used_mib);
    ck_assert_uint_eq(r.available_bytes, r.budget_bytes - r.used_bytes);
}

START_TEST(without_groups_it_is_the_machine)
{
    setup();
    expect(8192, 2048, "machine");
    put("proc/self/cgroup", "0::/a\n");
    put("sys/fs/cgroup/a/memory.max", "max\n");
    put_mib("sys/fs/cgroup/a/memory.current", 100);
    expect(8192, 2048, "machine");
    teardown();
}
END_TEST

START_TEST(version_2_and_the_groups_above)
{
    setup();
    put("proc/self/cgroup", "0::/a/b\n");
    put_mib("sys/fs/cgroup/a/b/memory.max", 1024);
    put_mib("sys/fs/cgroup/a/b/memory.current", 400);
    put("sys/fs/cgroup/a/b/memory.stat", "anon 1\ninactive_file 104857600\nactive_file 7\n");
    expect(1024, 300, "control group /a/b");
    put_mib("sys/fs/cgroup/a/memory.max", 2048);
    put_mib("sys/fs/cgroup/a/memory.current", 1900);
    expect(2048, 1900, "control group /a");    // others in it have taken the most
    put_mib("sys/fs/cgroup/memory.max", 4096); // what a container sees as the root
    put_mib("sys/fs/cgroup/memory.current", 4095);
    expect(4096, 4095, "control group /");
    teardown();
}
END_TEST

START_TEST(version_1_alone_and_beside_version_2)
{
    setup();
    put("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:hugetlb,memory:/x/y\n0::/\n");
    put("sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "9223372036854771712\n"); // none
    put_mib("sys/fs/cgroup/memory/x/y/memory.usage_in_bytes", 1);
    expect(8192, 2048, "machine");
    put_mib("sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", 512);
    put_mib("sys/fs/cgroup/memory/x/y/memory.usage_in_bytes", 200);
    put("sys/fs/cgroup/memory/x/y/memory.stat", "inactive_file 5\ntotal_inactive_file 52428800\n");
    expect(512, 150, "control group /x/y");
    put_mib("sys/fs/cgroup/unified/memory.max", 256);
    put_mib("sys/fs/cgroup/unified/memory.current", 16);
    expect(256, 16, "control group /");
    teardown();
}
END_TEST

START_TEST(a_group_that_is_over_its_limit_or_cannot_be_seen)
{
    setup();
    put("proc/self/cgroup", "0::/../outside\n");
    put_mib("sys/fs/cgroup/memory.max", 64);
    put_mib("sys/fs/cgroup/memory.current", 80);
    struct memory_room r;
    struct err e;
    ck_assert_int_eq(memory_room(root, &r, &e), 0);
    ck_assert_uint_eq(r.available_bytes, 0);
    ck_assert_uint_eq(r.used_bytes, (uint64_t)80 * MIB);
    teardown();
}
END_TEST

START_TEST(a_limit_of_our_own_counts_if_it_is_narrower)
{
    struct memory_room r = {.budget_bytes = 100, .used_bytes = 40, .available_bytes = 60, .what = "machine"};
    memory_room_cap(&r, 90, 20, "setting");
    ck_assert_str_eq(r.what, "machine");
    memory_room_cap(&r, 90, 50, "setting");
    ck_assert_str_eq(r.what, "setting");
    ck_assert_uint_eq(r.available_bytes, 40);
    memory_room_cap(&r, 10, 50, "another");
    ck_assert_uint_eq(r.available_bytes, 0);
}
END_TEST

START_TEST(a_system_that_says_nothing_is_an_error)
{
    struct memory_room r;
    struct err e;
    tempdir_new(root);
    ck_assert_int_eq(memory_room(root, &r, &e), ERR_IO);
    teardown();
}
END_TEST

UNIT_MAIN("os/memory", without_groups_it_is_the_machine, version_2_and_the_groups_above,
          version_1_alone_and_beside_version_2, a_group_that_is_over_its_limit_or_cannot_be_seen,
          a_limit_of_our_own_counts_if_it_is_narrower, a_system_that_says_nothing_is_an_error)
