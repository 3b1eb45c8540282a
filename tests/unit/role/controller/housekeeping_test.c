// SPDX-License-Identifier: Apache-2.0
// Garbage collection: what nobody needs goes, what somebody needs or is about to need never does.
#include "harness.h"
#include "os/file.h"
#include "registry/check.h"
#include "registry/registry.h"
#include "tempdir.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <yyjson.h>

enum { GRACE_S = 3600 };

static char dir[TEMPDIR_SIZE];
static pid_t pid;
static struct answer a;

__attribute__((constructor)) static void in_memory(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
}

static void start(void)
{
    tempdir_new(dir);
    harness_setting("gc_grace", "1h");
    pid = harness_start(dir, 0);
}

static void stop(void)
{
    ck_assert_int_eq(harness_stop(pid), 0);
    tempdir_remove(dir);
}

static void path_of(const char *digest, char ret[TEMPDIR_SIZE + 128])
{
    snprintf(ret, TEMPDIR_SIZE + 128, "%s/data/blobs/sha256/%.2s/%s", dir, digest + 7, digest + 7);
}

static bool exists(const char *digest)
{
    char path[TEMPDIR_SIZE + 128];
    path_of(digest, path);
    return access(path, F_OK) == 0;
}

// As if it had been stored two hours ago.
static void age(const char *digest)
{
    char path[TEMPDIR_SIZE + 128];
    struct timespec times[2];
    path_of(digest, path);
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= 2 * GRACE_S;
    times[1] = times[0];
    utimensat(AT_FDCWD, path, times, 0); // it may be gone
}

static void gc(bool dry_run)
{
    harness_request("POST", "/api/v1/housekeeping/gc", dry_run ? "{\"dry_run\":true}" : NULL, &a);
    ck_assert_msg(a.status == 200, "%d %s", a.status, a.body);
}

static uint64_t count(const char *list)
{
    yyjson_doc *doc = yyjson_read(a.body, a.n, 0);
    uint64_t n = yyjson_get_uint(yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), list), "count"));
    yyjson_doc_free(doc);
    return n;
}

static void push(const char *model, const char *text, const char *more)
{
    harness_receive(harness_push(model, text, more), &a);
    ck_assert_msg(a.status == 201, "%d %s", a.status, a.body);
}

static int status_of(const char *model, unsigned version)
{
    static struct answer other;
    char target[128];
    snprintf(target, sizeof target, "/api/v1/models/%s/versions/%u", model, version);
    harness_request("GET", target, NULL, &other);
    return other.status;
}

static void set_alias(const char *model, const char *alias, unsigned version)
{
    static struct answer other;
    char target[128], body[64];
    snprintf(target, sizeof target, "/api/v1/models/%s/aliases/%s", model, alias);
    snprintf(body, sizeof body, "{\"version\":%u,\"allow_breaking\":true}", version);
    harness_request("PUT", target, body, &other);
    ck_assert_int_eq(other.status, 200);
}

START_TEST(what_no_version_needs_goes_when_it_is_old)
{
    char needed[72], old[72], young[72], path[TEMPDIR_SIZE + 64];
    start();
    push("m", "fake ok 1", "");
    harness_digest("fake ok 1", needed);
    harness_upload("fake ok 2", old, &a);
    harness_upload("fake ok 3", young, &a);
    age(needed);
    age(old);
    gc(true);
    ck_assert_uint_eq(count("blobs"), 1);
    ck_assert_ptr_nonnull(strstr(a.body, old));
    ck_assert_ptr_null(strstr(a.body, needed));
    ck_assert_ptr_nonnull(strstr(a.body, "\"blobs_young\":1"));
    ck_assert(exists(old));
    gc(false);
    ck_assert_uint_eq(count("blobs"), 1);
    ck_assert_ptr_nonnull(strstr(a.body, "\"bytes\":9,"));
    ck_assert(!exists(old) && exists(young) && exists(needed));
    snprintf(path, sizeof path, "%s/data/blobs/trash", dir);
    ck_assert_int_eq(rmdir(path), 0); // its files are gone, too
    gc(false);
    ck_assert_uint_eq(count("blobs"), 0);
    stop();
}
END_TEST

START_TEST(who_asks_for_a_file_has_time_to_use_it)
{
    char asked[72], put[72], target[128];
    start();
    harness_upload("fake ok 4", asked, &a);
    harness_upload("fake ok 5", put, &a);
    age(asked);
    age(put);
    snprintf(target, sizeof target, "/api/v1/blobs/%s", asked);
    harness_receive(harness_send("HEAD", target, NULL, 0), &a);
    ck_assert_int_eq(a.status, 200);
    harness_upload("fake ok 5", put, &a);
    ck_assert_int_eq(a.status, 200);
    gc(false);
    ck_assert_uint_eq(count("blobs"), 0);
    ck_assert(exists(asked) && exists(put));
    stop();
}
END_TEST

START_TEST(versions_go_by_the_rules_and_what_is_used_stays)
{
    start();
    harness_stop(pid);
    harness_setting("retain_versions", "2");
    pid = harness_start(dir, 0);
    char texts[9][32], digest[72];
    for (unsigned i = 1; i <= 8; i++) {
        snprintf(texts[i], sizeof texts[i], "fake ok %u", i);
        push("m", texts[i],
             i == 3 ? ",\"tags\":{\"pinned\":\"audited\"},\"promote\":false" : ",\"promote\":false");
        harness_digest(texts[i], digest);
        age(digest);
    }
    set_alias("m", "champion", 2);
    set_alias("m", "champion", 4);
    set_alias("m", "old", 1);
    // 1 has an alias, a rollback of champion goes to 2, 3 is pinned, 4 is the champion, 7 and 8 are the
    // newest.
    gc(true);
    ck_assert_uint_eq(count("versions"), 2);
    ck_assert_uint_eq(count("kept"), 4);
    ck_assert_uint_eq(count("blobs"), 2);
    for (unsigned i = 1; i <= 8; i++)
        ck_assert_int_eq(status_of("m", i), 200);
    gc(false);
    ck_assert_uint_eq(count("versions"), 2);
    ck_assert_uint_eq(count("blobs"), 2);
    ck_assert_ptr_nonnull(strstr(a.body, "\"version\":5,\"reason\":\"not among the newest 2\""));
    ck_assert_ptr_nonnull(strstr(a.body, "\"version\":1,\"reason\":\"alias old names it\""));
    ck_assert_ptr_nonnull(
        strstr(a.body, "\"version\":2,\"reason\":\"a rollback of champion would go to it\""));
    ck_assert_ptr_nonnull(strstr(a.body, "\"version\":3,\"reason\":\"it has the tag 'pinned'\""));
    for (unsigned i = 1; i <= 8; i++) {
        ck_assert_int_eq(status_of("m", i), i == 5 || i == 6 ? 404 : 200);
        harness_digest(texts[i], digest);
        ck_assert_int_eq(exists(digest), i != 5 && i != 6);
    }
    stop();
}
END_TEST

START_TEST(young_versions_stay_whatever_their_number)
{
    start();
    harness_stop(pid);
    harness_setting("retain_versions", "1");
    harness_setting("retain_days", "1");
    pid = harness_start(dir, 0);
    for (unsigned i = 1; i <= 4; i++)
        push("m", "fake ok 1", "");
    gc(true);
    ck_assert_uint_eq(count("versions"), 0);
    stop();
}
END_TEST

START_TEST(nothing_is_collected_while_a_backup_runs)
{
    char old[72], path[TEMPDIR_SIZE + 64];
    struct err e;
    int run_fd, lock_fd;
    start();
    harness_upload("fake ok 2", old, &a);
    age(old);
    snprintf(path, sizeof path, "%s/data/run", dir);
    run_fd = open(path, O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(file_lock_shared(run_fd, REGISTRY_BLOBS_LOCK, &lock_fd, &e), 0);
    harness_request("POST", "/api/v1/housekeeping/gc", NULL, &a);
    ck_assert_int_eq(a.status, 409);
    ck_assert(exists(old));
    gc(true);
    close(lock_fd);
    close(run_fd);
    gc(false);
    ck_assert(!exists(old));
    stop();
}
END_TEST

START_TEST(it_runs_by_itself)
{
    char old[72];
    start();
    harness_stop(pid);
    harness_setting("gc_interval", "1s");
    pid = harness_start(dir, 0);
    harness_upload("fake ok 2", old, &a);
    age(old);
    for (unsigned i = 0; i < 1000 && exists(old); i++)
        usleep(20000);
    ck_assert(!exists(old));
    stop();
}
END_TEST

static int gc_under_key(const char *key, const char *body)
{
    harness_key(key);
    harness_request("POST", "/api/v1/housekeeping/gc", body, &a);
    harness_key("");
    return a.status;
}

START_TEST(a_collection_under_a_key_is_made_once)
{
    static struct answer first;
    char old[72];
    start();
    harness_upload("fake ok 2", old, &a);
    age(old);
    ck_assert_int_eq(gc_under_key("k1", "{\"dry_run\":true}"), 200); // makes nothing: the key is free
    ck_assert_uint_eq(count("blobs"), 1);
    ck_assert_int_eq(gc_under_key("k1", "{\"reason\":\"full\"}"), 200);
    ck_assert_uint_eq(count("blobs"), 1);
    ck_assert_ptr_nonnull(strstr(a.body, "\"audit\":{\"id\":1,"));
    first = a;
    harness_upload("fake ok 2", old, &a);
    age(old);
    ck_assert_int_eq(gc_under_key("k1", "{\"reason\":\"full\"}"), 200);
    ck_assert_str_eq(a.body, first.body);
    ck_assert(exists(old));
    ck_assert_int_eq(gc_under_key("k1", "{}"), 422);
    harness_stop(pid);
    pid = harness_start(dir, 0);
    ck_assert_int_eq(gc_under_key("k1", "{\"reason\":\"full\"}"), 200);
    ck_assert_str_eq(a.body, first.body);
    ck_assert(exists(old));
    ck_assert_int_eq(gc_under_key("k2", "{\"reason\":\"full\"}"), 200);
    ck_assert(!exists(old));
    harness_request("GET", "/api/v1/audit", NULL, &a);
    ck_assert_ptr_nonnull(strstr(a.body, "\"id\":2,"));
    ck_assert_ptr_nonnull(strstr(a.body, "\"action\":\"collect\""));
    ck_assert_ptr_nonnull(strstr(a.body, "\"after\":\"versions=0 files=1 bytes=9\""));
    ck_assert_ptr_nonnull(strstr(a.body, "\"reason\":\"full\""));
    stop();
}
END_TEST

START_TEST(a_body_that_is_no_order_is_refused)
{
    start();
    harness_request("POST", "/api/v1/housekeeping/gc", "{\"dry\":true}", &a);
    ck_assert_int_eq(a.status, 400);
    harness_request("POST", "/api/v1/housekeeping/gc", "{\"dry_run\":1}", &a);
    ck_assert_int_eq(a.status, 400);
    stop();
}
END_TEST

// ---- many at once ----

enum { CLIENTS = 6, PUSHES = 15, TEXTS = 4 };

struct tally {
    atomic_uint n_pushed, n_refused, n_removed;
};

// Pushes shared files and deletes the versions again, and looks each time that what was acknowledged is
// there.
static void client(unsigned number, struct tally *t)
{
    static struct answer r;
    char model[16], target[160], text[32], digest[72];
    snprintf(model, sizeof model, "m%u", number);
    unsigned seed = number;
    for (unsigned done = 0; done < PUSHES;) {
        snprintf(text, sizeof text, "fake ok %u", (unsigned)rand_r(&seed) % TEXTS + 1);
        harness_receive(harness_push(model, text, ""), &r);
        if (r.status ==
            404) { // collected between the upload and the push: the clocks of this test are set back
            atomic_fetch_add(&t->n_refused, 1);
            continue;
        }
        ck_assert_msg(r.status == 201, "%d %s", r.status, r.body);
        atomic_fetch_add(&t->n_pushed, 1);
        harness_digest(text, digest);
        snprintf(target, sizeof target, "/api/v1/blobs/%s", digest);
        harness_receive(harness_send("GET", target, NULL, 0), &r);
        ck_assert_msg(r.status == 200 && strcmp(r.body, text) == 0, "%d %s", r.status, r.body);
        done++;
        snprintf(target, sizeof target, "/api/v1/models/%s", model);
        harness_receive(harness_send("DELETE", target, NULL, 0), &r);
        ck_assert_msg(r.status == 200, "%d %s", r.status, r.body);
    }
    exit(0);
}

// Files are always old, so that only holds and references save them.
static void sweeper(struct tally *t, const pid_t *clients)
{
    bool ended[CLIENTS] = {false};
    char digests[TEXTS][72], text[32];
    for (unsigned i = 0; i < TEXTS; i++) {
        snprintf(text, sizeof text, "fake ok %u", i + 1);
        harness_digest(text, digests[i]);
    }
    for (unsigned n_ended = 0; n_ended < CLIENTS;) {
        for (unsigned i = 0; i < TEXTS; i++)
            age(digests[i]);
        gc(false);
        atomic_fetch_add(&t->n_removed, (unsigned)count("blobs"));
        for (unsigned i = 0; i < CLIENTS; i++) {
            int status = 0;
            if (ended[i] || waitpid(clients[i], &status, WNOHANG) != clients[i])
                continue;
            ck_assert_int_eq(status, 0);
            ended[i] = true;
            n_ended++;
        }
    }
}

START_TEST(pushes_of_shared_files_never_lose_one_to_a_collection)
{
    struct tally *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t clients[CLIENTS];
    char data[TEMPDIR_SIZE + 16];
    struct registry_check_sum sum;
    struct err e;
    start();
    for (unsigned i = 0; i < CLIENTS; i++)
        if ((clients[i] = fork()) == 0)
            client(i, t);
    sweeper(t, clients);
    ck_assert_uint_eq(atomic_load(&t->n_pushed), CLIENTS * PUSHES);
    ck_assert_uint_ge(atomic_load(&t->n_removed), 10);
    push("last", "fake ok 1", "");
    ck_assert_int_eq(harness_stop(pid), 0);
    snprintf(data, sizeof data, "%s/data", dir);
    ck_assert_int_eq(registry_check(&(struct registry_check_spec){.dir = data}, &sum, &e), 0);
    ck_assert_uint_eq(sum.n_errors, 0);
    ck_assert_uint_eq(sum.n_versions, 1);
    tempdir_remove(dir);
}
END_TEST

int main(int argc, char **argv)
{
    harness_helper_entry(argc, argv);
    const TTest *tests[] = {what_no_version_needs_goes_when_it_is_old,
                            who_asks_for_a_file_has_time_to_use_it,
                            versions_go_by_the_rules_and_what_is_used_stays,
                            young_versions_stay_whatever_their_number,
                            nothing_is_collected_while_a_backup_runs,
                            it_runs_by_itself,
                            a_collection_under_a_key_is_made_once,
                            a_body_that_is_no_order_is_refused,
                            pushes_of_shared_files_never_lose_one_to_a_collection};
    Suite *s = suite_create("role/controller/housekeeping");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
