// SPDX-License-Identifier: Apache-2.0
#include "os/shm.h"

#include "unit.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int new_fd(size_t size)
{
    struct err e;
    int fd;
    ck_assert_int_eq(shm_new("test", size, &fd, &e), 0);
    return fd;
}

START_TEST(fixed_size_is_shared_and_cannot_shrink)
{
    struct err e;
    int fd = new_fd(5000);
    ck_assert_int_eq(shm_seal(fd, SHM_SEAL_SIZE, &e), 0);
    void *w, *r;
    size_t n;
    ck_assert_int_eq(shm_map(fd, true, 5000, 5000, &w, &n, &e), 0);
    ck_assert_int_eq(shm_map(fd, false, 1, 1 << 20, &r, &n, &e), 0);
    ck_assert_uint_eq(n, 5000);
    memcpy(w, "hello", 6);
    ck_assert_str_eq(r, "hello");
    ck_assert_int_lt(ftruncate(fd, 10), 0);
    shm_unmap(w, n);
    shm_unmap(r, n);
    shm_unmap(NULL, 0);
    close(fd);
}
END_TEST

START_TEST(a_reader_refuses_what_could_change_under_it)
{
    struct err e;
    int fd = new_fd(100);
    void *p;
    const void *cp;
    size_t n;
    ck_assert_int_eq(shm_map(fd, false, 1, 1000, &p, &n, &e), ERR_INVALID); // no seal
    ck_assert_int_eq(shm_seal(fd, SHM_SEAL_SIZE, &e), 0);
    ck_assert_int_eq(shm_map_immutable(fd, 1, 1000, &cp, &n, &e), ERR_INVALID); // contents may change
    ck_assert_int_eq(shm_map(fd, false, 101, 1000, &p, &n, &e), ERR_INVALID);
    ck_assert_int_eq(shm_map(fd, false, 1, 99, &p, &n, &e), ERR_INVALID);
    ck_assert_int_eq(shm_map(STDIN_FILENO, false, 1, 99, &p, &n, &e), ERR_INVALID);
    close(fd);
}
END_TEST

START_TEST(only_the_writer_of_before_the_seal_writes)
{
    struct err e;
    int fd = new_fd(100);
    char *w = mmap(NULL, 100, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_int_eq(shm_seal(fd, SHM_SEAL_WRITERS, &e), 0);
    void *p;
    size_t n;
    ck_assert_int_eq(shm_map(fd, true, 100, 100, &p, &n, &e), ERR_IO);
    ck_assert_int_eq(shm_map(fd, false, 100, 100, &p, &n, &e), 0);
    w[5] = 'x';
    ck_assert_int_eq(((char *)p)[5], 'x');
    ck_assert_int_lt(mprotect(p, n, PROT_READ | PROT_WRITE), 0);
    ck_assert_int_lt(pwrite(fd, "y", 1, 5), 0);
    shm_unmap(p, n);
    munmap(w, 100);
    close(fd);
}
END_TEST

START_TEST(immutable_memory_is_read_only_for_ever)
{
    struct err e;
    int fd = new_fd(100);
    ck_assert_int_eq(pwrite(fd, "abc", 3, 0), 3);
    ck_assert_int_eq(shm_seal(fd, SHM_SEAL_ALL, &e), 0);
    const void *p;
    size_t n;
    ck_assert_int_eq(shm_map_immutable(fd, 1, 1000, &p, &n, &e), 0);
    ck_assert_int_eq(memcmp(p, "abc", 4), 0);
    ck_assert_int_lt(pwrite(fd, "y", 1, 0), 0);
    ck_assert_int_lt(shm_seal(fd, SHM_SEAL_SIZE, &e), 0);
    shm_unmap(p, n);
    close(fd);
}
END_TEST

UNIT_MAIN("os/shm", fixed_size_is_shared_and_cannot_shrink, a_reader_refuses_what_could_change_under_it,
          only_the_writer_of_before_the_seal_writes, immutable_memory_is_read_only_for_ever)
