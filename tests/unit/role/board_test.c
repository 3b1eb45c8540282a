// SPDX-License-Identifier: Apache-2.0
#include "role/board.h"

#include "os/shm.h"
#include "unit.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct board *new_board(int *ret_fd)
{
    struct err e;
    struct board *b;
    ck_assert_int_eq(board_new(&b, ret_fd, &e), 0);
    return b;
}

START_TEST(a_reader_sees_what_was_written)
{
    int fd;
    struct err e;
    struct board *b = new_board(&fd);
    const struct board *r;
    ck_assert_int_eq(board_attach(fd, &r, &e), 0);
    ck_assert_uint_eq(board_n_rows(r), 0);
    board_write(b, 1,
                &(struct board_row){.kind = BOARD_GATEWAY, .index = 1, .state = BOARD_STARTING, .pid = 42});
    ck_assert_uint_eq(board_n_rows(r), 2);
    struct board_row row = board_read(r, 1);
    ck_assert_uint_eq(row.kind, BOARD_GATEWAY);
    ck_assert_int_eq(row.pid, 42);
    ck_assert_str_eq(board_state_name(row.state), "starting");
    ck_assert_uint_eq(board_read(r, 0).state, BOARD_EMPTY);
    board_done(r);
    board_done(b);
    close(fd);
}
END_TEST

START_TEST(nobody_else_can_write)
{
    int fd;
    struct board *b = new_board(&fd);
    ck_assert(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    ck_assert_int_lt(pwrite(fd, "x", 1, 0), 0);
    board_done(b);
    close(fd);
}
END_TEST

START_TEST(other_memory_is_not_a_board)
{
    int fd, real;
    struct err e;
    const struct board *r;
    struct board *b = new_board(&real);
    ck_assert_int_eq(shm_new("test", (size_t)lseek(real, 0, SEEK_END), &fd, &e), 0);
    ck_assert_int_eq(board_attach(fd, &r, &e), ERR_INVALID);
    ck_assert_int_eq(shm_seal(fd, SHM_SEAL_SIZE, &e), 0);
    ck_assert_int_eq(board_attach(fd, &r, &e), ERR_INVALID);
    board_done(b);
    close(fd);
    close(real);
}
END_TEST

START_TEST(a_row_is_never_half_old)
{
    int fd;
    struct err e;
    struct board *b = new_board(&fd);
    const struct board *r;
    ck_assert_int_eq(board_attach(fd, &r, &e), 0);
    struct board_row row = {.state = BOARD_STARTING};
    board_write(b, 0, &row);
    row.state = BOARD_RESTARTING;
    board_write(b, 0, &row);
    pid_t pid = fork();
    if (pid == 0)
        for (uint32_t i = 0;; i++) {
            row.pid = (int32_t)i;
            row.restarts = i;
            row.ready_mono_ns = i;
            board_write(b, 0, &row);
        }
    uint32_t changes = 0, last = 0, torn = 0;
    for (int i = 0; i < 200000 || changes < 3; i++) {
        struct board_row got = board_read(r, 0);
        torn += (uint32_t)got.pid != got.restarts || got.ready_mono_ns != got.restarts;
        changes += got.restarts != last;
        last = got.restarts;
    }
    ck_assert_uint_eq(torn, 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    board_done(r);
    board_done(b);
    close(fd);
}
END_TEST

START_TEST(moves_follow_the_drawing)
{
    static const struct {
        enum board_state from, to;
    } allowed[] = {
        {BOARD_EMPTY, BOARD_STARTING},      {BOARD_STARTING, BOARD_READY},
        {BOARD_STARTING, BOARD_RESTARTING}, {BOARD_STARTING, BOARD_FAILED},
        {BOARD_STARTING, BOARD_STOPPING},   {BOARD_READY, BOARD_RESTARTING},
        {BOARD_READY, BOARD_FAILED},        {BOARD_READY, BOARD_STOPPING},
        {BOARD_RESTARTING, BOARD_STARTING}, {BOARD_RESTARTING, BOARD_RESTARTING},
        {BOARD_RESTARTING, BOARD_FAILED},   {BOARD_RESTARTING, BOARD_STOPPED},
        {BOARD_FAILED, BOARD_STOPPED},      {BOARD_STOPPING, BOARD_STOPPED},
        {BOARD_STOPPED, BOARD_EMPTY},
    };
    int n = 0;
    for (int from = 0; from < BOARD_STATES; from++)
        for (int to = 0; to < BOARD_STATES; to++)
            n += board_move_allowed(from, to);
    ck_assert_int_eq(n, sizeof allowed / sizeof allowed[0]);
    for (int i = 0; i < n; i++)
        ck_assert(board_move_allowed(allowed[i].from, allowed[i].to));
    ck_assert_str_eq(board_state_name(99), "unknown");
}
END_TEST

START_TEST(a_move_that_is_not_allowed_aborts)
{
    int fd;
    struct board *b = new_board(&fd);
    board_write(b, 0, &(struct board_row){.state = BOARD_READY});
}
END_TEST

int main(void)
{
    Suite *s = suite_create("role/board");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    tcase_add_test(c, a_reader_sees_what_was_written);
    tcase_add_test(c, nobody_else_can_write);
    tcase_add_test(c, other_memory_is_not_a_board);
    tcase_add_test(c, a_row_is_never_half_old);
    tcase_add_test(c, moves_follow_the_drawing);
    tcase_add_test_raise_signal(c, a_move_that_is_not_allowed_aborts, SIGABRT);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
