// SPDX-License-Identifier: Apache-2.0
// Two who store the same bytes, and one who collects them, interleaved at each place where it matters: who
// was told that a blob is stored has it.
//
// This program defines the system calls' wrappers itself. A process that was told to stops where it is about
// to make a call, says so, and goes on when the test lets it.
#include "registry/registry.h"

#include "tempdir.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum place { NOWHERE, AT_RENAME, AT_TOUCH, AT_LOCK };

static struct {
    enum place place;
    int says, waits; // pipes; not for a process that never stops
} stop;

static void reach(enum place place, char letter)
{
    char c;
    if (place != stop.place)
        return;
    stop.place = NOWHERE; // once
    if (syscall(SYS_write, stop.says, &letter, 1) != 1 || syscall(SYS_read, stop.waits, &c, 1) < 0)
        _exit(3);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    reach(AT_RENAME, 'r');
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int utimensat(int dir, const char *name, const struct timespec times[2], int flags)
{
    reach(AT_TOUCH, 't');
    return (int)syscall(SYS_utimensat, dir, name, times, flags);
}

int flock(int fd, int how)
{
    if (!(how & (LOCK_NB | LOCK_UN)))
        reach(AT_LOCK, 'l');
    return (int)syscall(SYS_flock, fd, how);
}

static const char BYTES[] = "the bytes of a model";
static char dir[TEMPDIR_SIZE];
static struct blobs *blobs;
static struct registry_digest digest;
static struct err e;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// An upload that is whole, as the controller has it before it starts a process that stores it.
static struct blob_writer *upload(void)
{
    struct blob_writer *w;
    ck_assert_int_eq(blobs->ops->writer_open(blobs, 1000, &w, &e), 0);
    ck_assert_int_eq(blobs->ops->write(w, BYTES, sizeof BYTES, &e), 0);
    return w;
}

static int store(struct blob_writer *w, bool *ret_stored)
{
    struct blob_parts parts;
    blobs->ops->parts(blobs, w, &parts);
    return blob_store(&parts, &digest, ret_stored, &e);
}

// Stored two hours ago.
static void put_old(void)
{
    char path[TEMPDIR_SIZE + 128], hex[REGISTRY_DIGEST_HEX];
    bool stored;
    struct blob_writer *w = upload();
    ck_assert_int_eq(store(w, &stored), 0);
    blobs->ops->abort(w);
    registry_digest_hex(&digest, hex);
    snprintf(path, sizeof path, "%s/blobs/sha256/%.2s/%s", dir, hex, hex);
    const time_t then = time(NULL) - 7200;
    const struct timespec times[2] = {{.tv_sec = then}, {.tv_sec = then}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void start(void)
{
    tempdir_new(dir);
    stop.place = NOWHERE;
    ck_assert_int_eq(registry_digest_bytes((struct str){BYTES, sizeof BYTES}, &digest, &e), 0);
    ck_assert_int_eq(blobs_dir_open(dir, false, &blobs, &e), 0);
}

static void finish(void)
{
    blobs->ops->close(blobs);
    tempdir_remove(dir);
}

static void expect_whole(void)
{
    struct registry_digest is;
    int fd = -1;
    ck_assert_msg(blobs->ops->open(blobs, &digest, &fd, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(registry_digest_file(fd, &is, &e), 0);
    ck_assert(registry_digest_eq(&is, &digest));
    close(fd);
}

// What a process of the test did, as it said.
struct worker {
    pid_t pid;
    int hears, lets;
    struct blob_writer *upload; // NULL: it collects
};
enum { STORED = 10, WAS_THERE, DISCARDED, REFUSED, FAILED };

static int work(struct blob_writer *pushes)
{
    bool stored;
    if (pushes)
        return store(pushes, &stored) ? FAILED : stored ? STORED : WAS_THERE;
    int rc = blobs->ops->discard(blobs, &digest, now_ns() - 3600 * UINT64_C(1000000000), &e);
    return rc == 0 ? DISCARDED : rc == ERR_BUSY || rc == ERR_NOT_FOUND ? REFUSED : FAILED;
}

// Starts one that stops there, and says 'e' when it ends.
static struct worker begin(bool pushes, enum place place)
{
    int says[2], waits[2];
    struct blob_writer *w = pushes ? upload() : NULL;
    ck_assert_int_eq(pipe2(says, O_CLOEXEC) | pipe2(waits, O_CLOEXEC), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(waits[1]);
        stop.says = says[1];
        stop.waits = waits[0];
        stop.place = place;
        int did = work(w);
        (void)!write(says[1], "e", 1);
        _exit(did);
    }
    close(says[1]);
    close(waits[0]);
    return (struct worker){pid, says[0], waits[1], w};
}

// Where it stopped; 'e': it ended.
static char hear(const struct worker *w)
{
    struct pollfd p = {.fd = w->hears, .events = POLLIN};
    char letter = 0;
    ck_assert_int_eq(poll(&p, 1, 30000), 1);
    ck_assert_int_eq(read(w->hears, &letter, 1), 1);
    return letter;
}

static void let_go(const struct worker *w)
{
    ck_assert_int_eq(write(w->lets, "g", 1), 1);
}

static int ended(const struct worker *w)
{
    int status;
    ck_assert_int_eq(waitpid(w->pid, &status, 0), w->pid);
    ck_assert(WIFEXITED(status));
    close(w->hears);
    close(w->lets);
    blobs->ops->abort(w->upload);
    return WEXITSTATUS(status);
}

START_TEST(a_collection_that_saw_an_old_blob_takes_none_that_is_pushed_meanwhile)
{
    start();
    put_old();
    struct worker collector = begin(false, AT_RENAME);
    ck_assert_int_eq(hear(&collector), 'r'); // it was old
    struct worker pusher = begin(true, AT_LOCK);
    if (hear(&pusher) == 'l') // else it is done already
        let_go(&pusher);
    let_go(&collector);
    ck_assert_int_eq(ended(&collector), DISCARDED);
    ck_assert_int_eq(ended(&pusher), STORED); // anew
    expect_whole();
    finish();
}
END_TEST

START_TEST(a_blob_that_is_just_being_kept_is_not_collected)
{
    start();
    put_old();
    struct worker pusher = begin(true, AT_TOUCH);
    ck_assert_int_eq(hear(&pusher), 't'); // it found the blob
    struct worker collector = begin(false, NOWHERE);
    ck_assert_int_eq(hear(&collector), 'e');
    ck_assert_int_eq(ended(&collector), REFUSED);
    let_go(&pusher);
    ck_assert_int_eq(ended(&pusher), WAS_THERE);
    expect_whole();
    finish();
}
END_TEST

START_TEST(of_two_who_push_the_same_bytes_one_stores_them)
{
    start();
    struct worker first = begin(true, AT_RENAME);
    ck_assert_int_eq(hear(&first), 'r');
    struct worker second = begin(true, AT_LOCK);
    if (hear(&second) == 'l')
        let_go(&second);
    let_go(&first);
    ck_assert_int_eq(ended(&first), STORED);
    ck_assert_int_eq(ended(&second), WAS_THERE);
    expect_whole();
    finish();
}
END_TEST

START_TEST(whoever_was_told_that_it_is_stored_has_it_however_they_meet)
{
    enum { ROUNDS = 60 };
    start();
    for (unsigned i = 0; i < ROUNDS; i++) {
        put_old();
        struct worker a = begin(true, NOWHERE), c = begin(false, NOWHERE), b = begin(true, NOWHERE);
        int did_a = ended(&a), did_b = ended(&b);
        ck_assert_int_ne(ended(&c), FAILED);
        ck_assert_int_ne(did_a, FAILED);
        ck_assert_int_ne(did_b, FAILED);
        expect_whole();
    }
    finish();
}
END_TEST

UNIT_MAIN("registry/blob_race", a_collection_that_saw_an_old_blob_takes_none_that_is_pushed_meanwhile,
          a_blob_that_is_just_being_kept_is_not_collected, of_two_who_push_the_same_bytes_one_stores_them,
          whoever_was_told_that_it_is_stored_has_it_however_they_meet)
