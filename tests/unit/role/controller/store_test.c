// SPDX-License-Identifier: Apache-2.0
// An upload on its way to the disk: in which order, what others get meanwhile, and what a crash leaves.
//
// This program defines the system calls' wrappers itself, also for the store processes, which are this
// program again. While the file "steps" is in the working directory, each step writes its letter there: F
// fsync of a file, D of a directory, V a read of a block to be hashed, R a rename. At step N the process
// waits until the pipe "gate-N" is closed by its writer, if there is one, and dies if there is a file
// "die-N".
#include "base/assert.h"
#include "harness.h"
#include "tempdir.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HASH_BLOCK = 256 << 10, UPLOAD_STEPS = 6 };
#define UPLOAD_ORDER "FVVDRD" // the first D is of the folder above, in which the new one was made

static void step(char letter)
{
    static unsigned n;
    char name[32];
    int saved = errno, fd = open("steps", O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd >= 0) {
        n++;
        ASSERT(syscall(SYS_write, fd, &letter, 1) == 1);
        close(fd);
        snprintf(name, sizeof name, "die-%u", n);
        if (access(name, F_OK) == 0)
            raise(SIGKILL);
        snprintf(name, sizeof name, "gate-%u", n);
        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            ASSERT(syscall(SYS_read, fd, name, 1) == 0);
            close(fd);
        }
    }
    errno = saved;
}

int fsync(int fd)
{
    struct stat st;
    step(syscall(SYS_fstat, fd, &st) == 0 && S_ISDIR(st.st_mode) ? 'D' : 'F');
    return (int)syscall(SYS_fsync, fd);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    step('R');
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

ssize_t step_pread(int fd, void *p, size_t n, off_t at) __asm__("pread64");
ssize_t step_pread(int fd, void *p, size_t n, off_t at)
{
    if (n == HASH_BLOCK) // else a page of the registry
        step('V');
    return syscall(SYS_pread64, fd, p, n, at);
}

static const char TEXT[] = "fake ok 3";
static char dir[TEMPDIR_SIZE], digest[72];
static pid_t pid;
static struct answer a;

static void touch(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void start(void)
{
    tempdir_new(dir);
    ck_assert_int_eq(chdir(dir), 0);
    pid = harness_start(dir, 1);
}

static void stop(void)
{
    unlink("steps");
    ck_assert_int_eq(harness_stop(pid), 0);
    ck_assert_int_eq(chdir("/"), 0);
    tempdir_remove(dir);
}

static void make_gate(unsigned n)
{
    char name[32];
    snprintf(name, sizeof name, "gate-%u", n);
    ck_assert_int_eq(mkfifo(name, 0600), 0);
}

// Waits until a process stands at the gate, which is closed behind it; closing the result lets it go on.
static int wait_at_gate(unsigned n)
{
    char name[32];
    snprintf(name, sizeof name, "gate-%u", n);
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    unlink(name);
    return fd;
}

static void expect_steps(const char *want)
{
    char have[64] = "";
    int fd = open("steps", O_RDONLY);
    ck_assert_int_ge(read(fd, have, sizeof have - 1), 0);
    close(fd);
    ck_assert_str_eq(have, want);
    touch("steps");
}

static int get_blob(const char *method)
{
    char target[128];
    snprintf(target, sizeof target, "/api/v1/blobs/%s", digest);
    return harness_send(method, target, NULL, 0);
}

// Uploads TEXT, which is there when this returns; nothing half-written was left by earlier attempts.
static void expect_upload(int status)
{
    harness_upload(TEXT, digest, &a);
    ck_assert_msg(a.status == status, "%d %s", a.status, a.body);
    harness_receive(get_blob("GET"), &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert_str_eq(a.body, TEXT);
    unsigned n = 0;
    DIR *tmp = opendir("data/blobs/tmp");
    ck_assert_ptr_nonnull(tmp);
    for (struct dirent *entry; (entry = readdir(tmp));)
        n += entry->d_name[0] != '.';
    closedir(tmp);
    ck_assert_uint_eq(n, 0);
}

// The blob is wholly there or wholly absent: there, if the step that did not happen was the last.
static void expect_whole_or_absent(unsigned n)
{
    harness_receive(get_blob("GET"), &a);
    ck_assert_int_eq(a.status, n == UPLOAD_STEPS ? 200 : 404);
    ck_assert(n < UPLOAD_STEPS || strcmp(a.body, TEXT) == 0);
}

START_TEST(an_upload_is_synced_checked_named_and_the_name_synced)
{
    start();
    touch("steps");
    harness_upload(TEXT, digest, &a);
    ck_assert_int_eq(a.status, 201);
    expect_steps(UPLOAD_ORDER);
    harness_upload(TEXT, digest, &a);
    ck_assert_int_eq(a.status, 200);
    expect_steps("VVD"); // is it still whole? And whoever put it there may have died before
    stop();
}
END_TEST

static void damage(void)
{
    char path[160];
    snprintf(path, sizeof path, "data/blobs/sha256/%.2s/%s", digest + 7, digest + 7);
    ck_assert_int_eq(chmod(path, 0600), 0);
    int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "F", 1, 0), 1);
    close(fd);
}

// Both ways of a first push: asking whether the file is there, and just sending it.
START_TEST(what_the_disk_damaged_is_replaced_by_the_first_push)
{
    start();
    expect_upload(201);
    damage();
    harness_upload(TEXT, digest, &a);
    ck_assert_int_eq(a.status, 201);
    ck_assert_ptr_nonnull(strstr(a.body, "\"replaced_damaged\":true"));
    expect_upload(200);
    damage();
    harness_receive(get_blob("HEAD"), &a);
    ck_assert_int_eq(a.status, 404);
    expect_upload(201);
    harness_receive(get_blob("HEAD"), &a);
    ck_assert_int_eq(a.status, 200);
    harness_receive(harness_push("churn", TEXT, ""), &a);
    ck_assert_int_eq(a.status, 201);
    stop();
}
END_TEST

START_TEST(others_are_answered_while_the_disk_takes_an_upload)
{
    char target[128];
    start();
    harness_digest(TEXT, digest);
    snprintf(target, sizeof target, "/api/v1/blobs/%s", digest);
    touch("steps");
    make_gate(1);
    int fd = harness_send("PUT", target, TEXT, strlen(TEXT));
    int gate = wait_at_gate(1);
    harness_request("GET", "/api/v1/models", NULL, &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert(!harness_is_answered(fd));
    close(gate);
    harness_receive(fd, &a);
    ck_assert_int_eq(a.status, 201);
    stop();
}
END_TEST

START_TEST(others_are_answered_while_a_blob_is_read_back)
{
    enum { N_BLOCKS = 24, FIRST = 3, SECOND = 13 };
    static char text[N_BLOCKS * HASH_BLOCK + 1];
    memset(text, 'x', sizeof text - 1);
    start();
    harness_upload(text, digest, &a);
    ck_assert_int_eq(a.status, 201);
    touch("steps");
    make_gate(FIRST);
    make_gate(SECOND);
    int blob = get_blob("GET");
    int gate = wait_at_gate(FIRST);
    int models = harness_send("GET", "/api/v1/models", NULL, 0);
    close(gate);
    gate = wait_at_gate(SECOND);
    ck_assert(harness_is_answered(models));
    ck_assert(!harness_is_answered(blob));
    close(blob); // its client leaves
    close(gate);
    harness_receive(models, &a);
    ck_assert_int_eq(a.status, 200);
    stop();
}
END_TEST

START_TEST(a_store_process_that_dies_leaves_no_half_blob)
{
    for (unsigned n = 1; n <= UPLOAD_STEPS; n++) {
        char name[32];
        start();
        snprintf(name, sizeof name, "die-%u", n);
        touch(name);
        touch("steps");
        harness_upload(TEXT, digest, &a);
        ck_assert_int_eq(a.status, 500);
        ck_assert_ptr_nonnull(strstr(a.body, "signal 9"));
        unlink("steps");
        expect_whole_or_absent(n);
        expect_upload(n == UPLOAD_STEPS ? 200 : 201);
        stop();
    }
}
END_TEST

START_TEST(a_controller_that_dies_leaves_no_half_blob)
{
    for (unsigned n = 1; n <= UPLOAD_STEPS; n++) {
        char target[128];
        start();
        harness_digest(TEXT, digest);
        snprintf(target, sizeof target, "/api/v1/blobs/%s", digest);
        touch("steps");
        make_gate(n);
        int fd = harness_send("PUT", target, TEXT, strlen(TEXT));
        int gate = wait_at_gate(n);
        harness_kill(pid);
        close(fd);
        struct pollfd reader = {.fd = gate}; // an error once nobody reads: the process ended with its maker
        ck_assert_int_eq(poll(&reader, 1, 20000), 1);
        ck_assert(reader.revents & POLLERR);
        close(gate);
        unlink("steps");
        pid = harness_start(dir, 1);
        expect_whole_or_absent(n);
        expect_upload(n == UPLOAD_STEPS ? 200 : 201);
        stop();
    }
}
END_TEST

START_TEST(a_version_is_created_only_once_the_name_of_its_file_is_durable)
{
    start();
    harness_upload(TEXT, digest, &a);
    ck_assert_int_eq(a.status, 201);
    touch("steps");
    make_gate(1);
    char body[256];
    int n = snprintf(body, sizeof body,
                     "{\"artifacts\":[{\"name\":\"model.json\",\"digest\":\"%s\",\"size\":%zu}]}", digest,
                     strlen(TEXT));
    int fd = harness_send("POST", "/api/v1/models/churn/versions", body, (size_t)n);
    int gate = wait_at_gate(1);
    expect_steps("D");
    harness_request("GET", "/api/v1/models", NULL, &a);
    ck_assert_str_eq(a.body, "{\"models\":[]}");
    close(fd); // its client leaves
    close(gate);
    stop();
}
END_TEST

int unit_main(void);
#define main unit_main
UNIT_MAIN("role/controller/store", what_the_disk_damaged_is_replaced_by_the_first_push,
          an_upload_is_synced_checked_named_and_the_name_synced,
          others_are_answered_while_the_disk_takes_an_upload, others_are_answered_while_a_blob_is_read_back,
          a_store_process_that_dies_leaves_no_half_blob, a_controller_that_dies_leaves_no_half_blob,
          a_version_is_created_only_once_the_name_of_its_file_is_durable)
#undef main

int main(int argc, char **argv)
{
    harness_helper_entry(argc, argv);
    return unit_main();
}
