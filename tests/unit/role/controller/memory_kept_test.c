// SPDX-License-Identifier: Apache-2.0
#include "role/controller/memory_kept.h"

#include "os/proc.h"
#include "unit.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BYTES = 32 << 20 };
static const uint64_t BEGIN = 5000000000, SECOND = 1000000000;

static void *touched(void)
{
    void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(p, MAP_FAILED);
    memset(p, 1, BYTES);
    return p;
}

START_TEST(the_share_is_looked_at_once_a_second)
{
    struct memory_kept k = {0};
    struct proc_memory first, m;
    ck_assert(memory_kept_look(&k, getpid(), BEGIN, &first));
    ck_assert_uint_gt(first.pss_bytes, 0);
    void *p = touched();
    // What costs nothing is of now.
    ck_assert(memory_kept_look(&k, getpid(), BEGIN + SECOND - 1, &m));
    ck_assert_uint_eq(m.pss_bytes, first.pss_bytes);
    ck_assert_uint_ge(m.resident_bytes, first.resident_bytes + BYTES / 2);
    ck_assert(memory_kept_look(&k, getpid(), BEGIN + SECOND, &m));
    ck_assert_uint_ge(m.pss_bytes, first.pss_bytes + BYTES / 2);
    munmap(p, BYTES);
}
END_TEST

START_TEST(what_is_kept_is_of_one_process)
{
    struct memory_kept k = {.pid = getpid(), .pss_bytes = 12345, .looked_mono_ns = BEGIN};
    struct proc_memory m;
    ck_assert(memory_kept_look(&k, getpid(), BEGIN, &m) && m.pss_bytes == 12345);
    ck_assert(memory_kept_look(&k, getppid(), BEGIN, &m) && m.pss_bytes != 12345);
    ck_assert(!memory_kept_look(&k, 1 << 30, BEGIN, &m)); // no such process
    k = (struct memory_kept){.pid = 1 << 30, .pss_bytes = 1, .looked_mono_ns = BEGIN};
    ck_assert(!memory_kept_look(&k, 1 << 30, BEGIN, &m)); // it has ended
}
END_TEST

UNIT_MAIN("role/controller/memory_kept", the_share_is_looked_at_once_a_second, what_is_kept_is_of_one_process)
