// SPDX-License-Identifier: Apache-2.0
// Answers out of the prediction log that are too long. The process that reads the files is this program,
// which writes what the query says.
#include "asker.h"
#include "role/ipc.h"
#include "role/log_worker.h"
#include "settings/settings.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static struct settings settings;
static struct monitor m = {.log = {-1, LOG_LEVEL_ERROR, "test", -1}};

// By everybody who sends or reads here: bytes.
static uint64_t n_moved;

void __real_buf_consume(struct buf *b, size_t n);
void __wrap_buf_consume(struct buf *b, size_t n);
void __wrap_buf_consume(struct buf *b, size_t n)
{
    n_moved += n ? b->n - n : 0;
    __real_buf_consume(b, n);
}

// "manifest": 70 MiB in lines of a KiB. "verify": one line that is as long and has no end. "query": just
// above the limit with the last line, or just below it.
__attribute__((constructor)) static void worker(int argc, char **argv)
{
    enum { LINES = 70 << 10, LINE = 1024 };
    static char line[LINE];
    if (argc < 3 || strcmp(argv[1], LOG_WORKER_ROLE) != 0)
        return;
    memset(line, '1', sizeof line);
    if (strcmp(argv[2], "manifest") == 0)
        line[LINE - 1] = '\n';
    bool is_query = strcmp(argv[2], "query") == 0, is_below = getenv("BELOW_THE_LIMIT");
    if (is_query)
        line[0] = '\n';
    for (int i = 0; i < (is_query ? IPC_ANSWER_MAX / LINE - is_below : LINES); i++)
        if (write(LOG_WORKER_FD_OUT, line, sizeof line) != sizeof line)
            _exit(1);
    _exit(is_query && !is_below && write(LOG_WORKER_FD_OUT, "11\n", 3) != 3);
}

static void check_too_large(const char *path, bool takes_lines)
{
    struct answer a;
    asker_ask(&m, "GET", path, takes_lines, STR(""), &a);
    ck_assert_int_eq(a.status, 413);
    ck_assert_uint_eq(m.n_queries, 0);
    ck_assert_uint_lt(a.body.n, 1000);
    yyjson_doc *doc = yyjson_read(a.body.p, a.body.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    ck_assert_msg(yyjson_equals_str(yyjson_obj_get(root, "code"), "too_large"), "%.300s", a.body.p);
    ck_assert_ptr_nonnull(yyjson_obj_get(root, "hint"));
    yyjson_doc_free(doc);
    buf_done(&a.body);
}

START_TEST(lines_that_are_gathered_are_so_many_or_refused)
{
    settings_init(&settings);
    asker_start(&m, &settings);
    check_too_large("/api/v1/log/manifest", false);
    check_too_large("/api/v1/log", false);
    check_too_large("/api/v1/log/manifest", false); // nothing is left of the one before
    asker_stop(&m);
}
END_TEST

START_TEST(a_line_without_end_is_no_end_of_the_answer)
{
    settings_init(&settings);
    asker_start(&m, &settings);
    check_too_large("/api/v1/log/verify", false);
    check_too_large("/api/v1/log/verify", true);
    asker_stop(&m);
}
END_TEST

START_TEST(lines_that_are_passed_on_may_be_as_many_as_there_are)
{
    struct answer a;
    settings_init(&settings);
    asker_start(&m, &settings);
    asker_ask(&m, "GET", "/api/v1/log/manifest", true, STR(""), &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert_uint_eq(a.body.n, 70 << 20);
    buf_done(&a.body);
    asker_stop(&m);
}
END_TEST

// What is left of it is not moved with each piece that was sent.
START_TEST(the_longest_answer_costs_as_much_as_it_has_bytes)
{
    struct answer a;
    settings_init(&settings);
    asker_start(&m, &settings);
    ck_assert_int_eq(setenv("BELOW_THE_LIMIT", "1", 1), 0);
    n_moved = 0;
    asker_ask(&m, "GET", "/api/v1/log", false, STR(""), &a);
    ck_assert_int_eq(unsetenv("BELOW_THE_LIMIT"), 0);
    ck_assert_int_eq(a.status, 200);
    ck_assert_uint_gt(a.body.n, IPC_ANSWER_MAX - 2048);
    ck_assert_msg(n_moved < 20 * a.body.n, "%llu bytes were moved for %zu", (unsigned long long)n_moved,
                  a.body.n);
    buf_done(&a.body);
    asker_stop(&m);
}
END_TEST

UNIT_MAIN("role/monitor/log_query", the_longest_answer_costs_as_much_as_it_has_bytes,
          lines_that_are_gathered_are_so_many_or_refused, a_line_without_end_is_no_end_of_the_answer,
          lines_that_are_passed_on_may_be_as_many_as_there_are)
