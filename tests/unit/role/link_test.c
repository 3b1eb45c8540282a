// SPDX-License-Identifier: Apache-2.0
#include "role/link.h"

#include "role/link_end.h"
#include "unit.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct tensor_spec INPUTS[] = {
    {.name = {"x", 1}, .dtype = DTYPE_FP32, .n_dims = 2, .shape = {-1, 3}},
    {.name = {"words", 5}, .dtype = DTYPE_BYTES, .n_dims = 1, .shape = {-1}, .optional = true},
};
static struct tensor_spec OUTPUTS[] = {
    {.name = {"y", 1}, .dtype = DTYPE_FP64, .n_dims = 1, .shape = {-1}},
    {.name = {"label", 5}, .dtype = DTYPE_BYTES, .any_shape = true},
};
static const struct interface MODEL = {
    .n_inputs = 2, .n_outputs = 2, .inputs = INPUTS, .outputs = OUTPUTS, .max_batch_rows = 8};

enum { ROOM = 4096 };
static _Alignas(64) char message[ROOM];
static _Alignas(64) const float X[2][3] = {{1, 2, 3}, {4, 5, 6}};
static _Alignas(64) const double Y[2] = {12, 30};
static const char WORDS[] = "\2\0\0\0ab\0\0\0"; // "ab", and an empty one; the last byte is the literal's NUL

static struct tensor x_tensor(void)
{
    return (struct tensor){.dtype = DTYPE_FP32, .n_dims = 2, .shape = {2, 3}, .data = X, .bytes = sizeof X};
}

static struct tensor words_tensor(enum dtype dtype)
{
    return (struct tensor){.dtype = dtype, .n_dims = 1, .shape = {2}, .data = WORDS, .bytes = sizeof WORDS};
}

static size_t make_request(struct link_request **ret)
{
    memset(message, 0, sizeof message);
    struct link_request *r = (struct link_request *)message;
    *r = (struct link_request){.id = 77, .outputs = 3, .n_rows = 2, .n_tensors = 2, .deadline_mono_ns = 5};
    struct tensor x = x_tensor(), words = words_tensor(DTYPE_BYTES);
    size_t n = link_put_tensor(r, link_request_head_bytes(2), ROOM, &words, &r->tensors[0]);
    n = link_put_tensor(r, n, ROOM, &x, &r->tensors[1]);
    r->tensors[0].index = 1;
    r->tensors[1].index = 0;
    *ret = r;
    return n;
}

static size_t make_response(struct link_response **ret)
{
    memset(message, 0, sizeof message);
    struct link_response *r = (struct link_response *)message;
    *r = (struct link_response){.id = 77, .n_tensors = 2, .batch_rows = 2, .queue_ns = 8, .compute_ns = 9};
    struct tensor y = {.dtype = DTYPE_FP64, .n_dims = 1, .shape = {2}, .data = Y, .bytes = sizeof Y};
    struct tensor label = words_tensor(DTYPE_BYTES);
    size_t n = link_put_tensor(r, link_response_head_bytes(2), ROOM, &y, &r->tensors[0]);
    n = link_put_tensor(r, n, ROOM, &label, &r->tensors[1]);
    r->tensors[1].index = 1;
    *ret = r;
    return n;
}

static const struct link_asked ASKED = {.interface = &MODEL, .outputs = 3, .n_rows = 2};

START_TEST(a_request_is_read_as_it_was_written)
{
    struct link_request *r, head;
    struct tensor in[2];
    struct err e;
    size_t n = make_request(&r);
    ck_assert_int_eq(link_request_open(message, n, &MODEL, &head, in, &e), 0);
    ck_assert_uint_eq(head.id, 77);
    ck_assert_uint_eq(head.deadline_mono_ns, 5);
    ck_assert_int_eq(in[0].dtype, DTYPE_FP32);
    ck_assert_uint_eq((uintptr_t)in[0].data % TENSOR_ALIGN, 0);
    ck_assert_int_eq(memcmp(in[0].data, X, sizeof X), 0);
    ck_assert_int_eq(memcmp(in[1].data, WORDS, sizeof WORDS), 0);
    ck_assert(str_eq(in[1].name, STR("words")));
    // Without the optional one.
    r->n_tensors = 1;
    r->tensors[0] = r->tensors[1];
    ck_assert_int_eq(link_request_open(message, n, &MODEL, &head, in, &e), 0);
    ck_assert_int_eq(in[1].dtype, DTYPE_NONE);
}
END_TEST

START_TEST(a_tensor_that_lies_in_its_place_is_not_copied)
{
    memset(message, 0, sizeof message);
    struct link_tensor t;
    struct tensor x = x_tensor();
    memcpy(message + 128, X, sizeof X);
    x.data = message + 128;
    ck_assert_uint_eq(link_put_tensor(message, 65, ROOM, &x, &t), 128 + sizeof X);
    ck_assert_uint_eq(t.offset, 128);
    ck_assert_uint_eq(link_put_tensor(message, 65, 128 + sizeof X, &x, &t), 128 + sizeof X);
    ck_assert_uint_eq(link_put_tensor(message, 65, 128 + sizeof X - 1, &x, &t), 0);
    ck_assert_uint_eq(link_put_tensor(message, 65, 100, &x, &t), 0);
}
END_TEST

// Each breaks one thing of a request, by the word at a place of it.
static const struct broken {
    const char *why;
    size_t at, n_bytes;
    uint64_t value;
    size_t cut; // bytes of the message; 0: all
} BROKEN_REQUESTS[] = {
    {"cut in its head", 0, 0, 0, sizeof(struct link_request) - 1},
    {"cut in its tensors", 0, 0, 0, sizeof(struct link_request) + 2 * sizeof(struct link_tensor) - 1},
    {"cut in its memory", 0, 0, 0, 320 + sizeof X - 1},
    {"too many tensors", offsetof(struct link_request, n_tensors), 4, 3, 0},
    {"2^32 - 1 tensors", offsetof(struct link_request, n_tensors), 4, UINT32_MAX, 0},
    {"a required input is missing", offsetof(struct link_request, n_tensors), 4, 1, 0},
    {"no output", offsetof(struct link_request, outputs), 8, 0, 0},
    {"an output that is not", offsetof(struct link_request, outputs), 8, 5, 0},
    {"rows that are not", offsetof(struct link_request, n_rows), 4, 3, 0},
#define TENSOR_0 sizeof(struct link_request)
    {"an input that is not", TENSOR_0 + offsetof(struct link_tensor, index), 4, 2, 0},
    {"an input twice", TENSOR_0 + offsetof(struct link_tensor, index), 4, 0, 0},
    {"another datatype", TENSOR_0 + offsetof(struct link_tensor, dtype), 4, DTYPE_UINT8, 0},
    {"no datatype", TENSOR_0 + offsetof(struct link_tensor, dtype), 4, 0, 0},
    {"2^32 - 1 dimensions", TENSOR_0 + offsetof(struct link_tensor, n_dims), 4, UINT32_MAX, 0},
    {"another rank", TENSOR_0 + offsetof(struct link_tensor, n_dims), 4, 2, 0},
    {"lengths that do not fit", TENSOR_0 + offsetof(struct link_tensor, bytes), 8, sizeof WORDS - 1, 0},
    {"beyond its end", TENSOR_0 + offsetof(struct link_tensor, offset), 8, 4096, 0},
    {"far beyond its end", TENSOR_0 + offsetof(struct link_tensor, offset), 8, -64ull, 0},
    {"not aligned", TENSOR_0 + offsetof(struct link_tensor, offset), 8, 260, 0},
    {"2^64 - 1 bytes", TENSOR_0 + offsetof(struct link_tensor, bytes), 8, UINT64_MAX, 0},
#define TENSOR_1 sizeof(struct link_request) + sizeof(struct link_tensor)
    {"a negative size", TENSOR_1 + offsetof(struct link_tensor, shape), 8, -2ull, 0},
    {"another width", TENSOR_1 + offsetof(struct link_tensor, shape) + 8, 8, 2, 0},
    {"fewer bytes than values", TENSOR_1 + offsetof(struct link_tensor, bytes), 8, 20, 0},
};

START_TEST(broken_requests_are_refused)
{
    const struct broken *b = &BROKEN_REQUESTS[_i];
    struct link_request *r, head;
    struct tensor in[2];
    struct err e;
    size_t n = make_request(&r);
    ck_assert_int_eq(link_request_open(message, n, &MODEL, &head, in, &e), 0);
    ck_assert_uint_eq(n, 320 + sizeof X);
    memcpy(message + b->at, &b->value, b->n_bytes);
    ck_assert_msg(link_request_open(message, b->cut ? b->cut : n, &MODEL, &head, in, &e) == ERR_INVALID, "%s",
                  b->why);
    ck_assert_uint_eq(head.id, _i == 0 ? 0 : 77);
}
END_TEST

static int open_response(size_t n, struct link_response *head, struct tensor *out, struct err *e)
{
    static struct arena arena;
    if (!arena.base)
        ck_assert_int_eq(arena_init(&arena, 1 << 16, e), 0);
    arena_reset(&arena, 0);
    int code = link_response_head(message, n, head, e);
    return code ? code : link_response_open(message, n, head, &ASKED, &arena, out, e);
}

START_TEST(a_response_is_read_as_it_was_written)
{
    struct link_response *r, head;
    struct tensor out[2];
    struct err e;
    size_t n = make_response(&r);
    ck_assert_int_eq(open_response(n, &head, out, &e), 0);
    ck_assert_uint_eq(head.id, 77);
    ck_assert_uint_eq(head.queue_ns, 8);
    ck_assert_uint_eq(head.compute_ns, 9);
    ck_assert_int_eq(memcmp(out[0].data, Y, sizeof Y), 0);
    ck_assert_int_eq(out[1].dtype, DTYPE_BYTES);
    // The replica changes its words afterwards: nothing happens, for they were copied.
    memset(message, 0xff, sizeof message);
    ck_assert_int_eq(memcmp(out[1].data, WORDS, sizeof WORDS), 0);
    ck_assert_uint_eq((uintptr_t)out[1].data % TENSOR_ALIGN, 0);
}
END_TEST

#define OUT_0 sizeof(struct link_response)
#define OUT_1 sizeof(struct link_response) + sizeof(struct link_tensor)
static const struct broken BROKEN_RESPONSES[] = {
    {"cut in its head", 0, 0, 0, sizeof(struct link_response) - 1},
    {"cut in its tensors", 0, 0, 0, sizeof(struct link_response) + 2 * sizeof(struct link_tensor) - 1},
    {"cut in its memory", 0, 0, 0, 320 + sizeof WORDS - 1},
    {"no such code", offsetof(struct link_response, code), 4, 1, 0},
    {"no such code either", offsetof(struct link_response, code), 4, (uint32_t)-99, 0},
    {"an error with tensors", offsetof(struct link_response, code), 4, (uint32_t)ERR_INTERNAL, 0},
    {"tensors with a text", offsetof(struct link_response, text_bytes), 4, 5, 0},
    {"too many tensors", offsetof(struct link_response, n_tensors), 4, 65, 0},
    {"an output is missing", offsetof(struct link_response, n_tensors), 4, 1, 0},
    {"an output that is not", OUT_1 + offsetof(struct link_tensor, index), 4, 64, 0},
    {"an output twice", OUT_1 + offsetof(struct link_tensor, index), 4, 0, 0},
    {"another datatype", OUT_0 + offsetof(struct link_tensor, dtype), 4, DTYPE_INT64, 0},
    {"other rows", OUT_0 + offsetof(struct link_tensor, shape), 8, 1, 0},
    {"other rows in any shape", OUT_1 + offsetof(struct link_tensor, shape), 8, 1, 0},
    {"no rows", OUT_1 + offsetof(struct link_tensor, n_dims), 4, 0, 0},
    {"nine dimensions", OUT_1 + offsetof(struct link_tensor, n_dims), 4, 9, 0},
    {"beyond its end", OUT_0 + offsetof(struct link_tensor, offset), 8, 4096, 0},
    {"a length that is not", 320, 4, 3, 0},
};

START_TEST(broken_responses_are_refused)
{
    const struct broken *b = &BROKEN_RESPONSES[_i];
    struct link_response *r, head;
    struct tensor out[2];
    struct err e;
    size_t n = make_response(&r);
    ck_assert_uint_eq(n, 320 + sizeof WORDS);
    memcpy(message + b->at, &b->value, b->n_bytes);
    ck_assert_msg(open_response(b->cut ? b->cut : n, &head, out, &e) == ERR_INTERNAL, "%s", b->why);
}
END_TEST

START_TEST(an_error_is_read_as_it_was_written)
{
    struct link_response head = {.id = 9, .queue_ns = 4}, got;
    struct err e, error;
    err_set(&error, ERR_NOMEM, "no\nroom");
    err_at(&error, "$.inputs[0]");
    err_hint(&error, "Use less.");
    size_t n = link_put_error(message, ROOM, &head, &error);
    ck_assert_int_eq(link_response_head(message, n, &got, &e), 0);
    ck_assert_uint_eq(got.id, 9);
    ck_assert_int_eq(got.code, ERR_NOMEM);
    link_response_error(message, &got, &e);
    ck_assert_int_eq(e.code, ERR_NOMEM);
    ck_assert_str_eq(e.msg, "no room");
    ck_assert_str_eq(e.path, "$.inputs[0]");
    ck_assert_str_eq(e.hint, "Use less.");
    ck_assert_uint_eq(link_put_error(message, sizeof head, &head, &error), sizeof head);
    ck_assert_uint_eq(link_put_error(message, sizeof head - 1, &head, &error), 0);
    // A text without ends is cut.
    n = sizeof head + 2000;
    got = (struct link_response){.code = ERR_INVALID, .text_bytes = 2000};
    memcpy(message, &got, sizeof got);
    memset(message + sizeof got, 'a', 2000);
    ck_assert_int_eq(link_response_head(message, n, &got, &e), 0);
    ck_assert_int_eq(link_response_head(message, n - 1, &got, &e), ERR_INTERNAL);
    link_response_error(message, &got, &e);
    ck_assert_uint_eq(strlen(e.msg), sizeof e.msg - 1);
    ck_assert_str_eq(e.path, "");
}
END_TEST

START_TEST(what_was_begun_is_known_afterwards)
{
    struct ring_writer w;
    struct ring_reader r;
    void *memory = mmap(NULL, ring_memory_bytes(RING_BYTES_MIN), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t ids[LINK_BATCH_REQUESTS_MAX], got[LINK_BATCH_REQUESTS_MAX];
    for (uint64_t i = 0; i < LINK_BATCH_REQUESTS_MAX; i++)
        ids[i] = i + 1000;
    ring_writer_init(&w, memory, RING_BYTES_MIN);
    ring_reader_init(&r, memory, RING_BYTES_MIN);
    link_started_put(&w, ids, LINK_BATCH_REQUESTS_MAX);
    ck_assert_uint_eq(link_started_get(&r, got), LINK_BATCH_REQUESTS_MAX);
    ck_assert_int_eq(memcmp(ids, got, sizeof ids), 0);
    link_started_put(&w, ids + 7, 1);
    ck_assert_uint_eq(link_started_get(&r, got), 1);
    ck_assert_uint_eq(got[0], 1007);
}
END_TEST

static int n_open_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) {
        int copy = dup(fd);
        n += copy >= 0;
        if (copy >= 0)
            close(copy);
    }
    return n;
}

START_TEST(two_ends_make_a_link)
{
    struct link_end gateway, replica;
    struct err e;
    int fds[LINK_FDS], before = n_open_fds();
    ck_assert_int_eq(link_end_new(&gateway, 1 << 20, fds, &e), 0);
    struct link_open o = {.protocol = LINK_PROTOCOL, .ring_bytes = 1 << 20};
    int sent[LINK_FDS];
    for (int i = 0; i < LINK_FDS; i++)
        sent[i] = dup(fds[i]);
    close(fds[LINK_FD_REQUESTS]);
    close(fds[LINK_FD_RESPONSES]);
    ck_assert_int_eq(link_end_attach(&replica, &o, sent, &e), 0);
    strcpy(ring_reserve(&gateway.out, 3), "hi");
    ring_commit(&gateway.out, 3);
    const void *p;
    size_t n;
    ck_assert_int_eq(ring_take(&replica.in, &p, &n, &e), 1);
    ck_assert_str_eq(p, "hi");
    // The replica cannot write what the gateway wrote.
    ck_assert_int_lt(mprotect((void *)(uintptr_t)replica.in_memory, 4096, PROT_READ | PROT_WRITE), 0);
    strcpy(ring_reserve(&replica.out, 3), "yo");
    ring_commit(&replica.out, 3);
    ck_assert_int_eq(ring_take(&gateway.in, &p, &n, &e), 1);
    ck_assert_str_eq(p, "yo");
    uint64_t count;
    link_end_wake_other(&gateway);
    ck_assert_int_eq(read(replica.own_event, &count, 8), 8);
    link_end_wake_other(&replica);
    ck_assert_int_eq(read(gateway.own_event, &count, 8), 8);
    ck_assert_int_lt(read(gateway.own_event, &count, 8), 0); // does not block
    link_end_done(&gateway);
    link_end_done(&replica);
    link_end_done(&replica);
    ck_assert_int_eq(n_open_fds(), before);
}
END_TEST

START_TEST(memory_that_is_not_as_announced_is_refused)
{
    struct link_end gateway, replica;
    struct err e;
    int fds[LINK_FDS], before = n_open_fds();
    ck_assert_int_eq(link_end_new(&gateway, 1 << 20, fds, &e), 0);
    struct link_open o = {.protocol = LINK_PROTOCOL, .ring_bytes = 1 << 21};
    int sent[LINK_FDS];
    for (int i = 0; i < LINK_FDS; i++)
        sent[i] = dup(fds[i]);
    ck_assert_int_eq(link_end_attach(&replica, &o, sent, &e), ERR_INVALID);
    close(fds[LINK_FD_REQUESTS]);
    close(fds[LINK_FD_RESPONSES]);
    link_end_done(&gateway);
    ck_assert_int_eq(n_open_fds(), before);
}
END_TEST

START_TEST(the_handshake_is_checked)
{
    struct err e;
    struct link_open o = {.protocol = LINK_PROTOCOL, .gateway = 3, .ring_bytes = LINK_RING_BYTES}, got_o;
    struct msg m = {.type = LINK_OPEN, .n_fds = LINK_FDS, .payload = {(const char *)&o, sizeof o}};
    ck_assert_int_eq(link_open_read(&m, &got_o, &e), 0);
    ck_assert_uint_eq(got_o.gateway, 3);
    o.ring_bytes--;
    ck_assert_int_eq(link_open_read(&m, &got_o, &e), ERR_INVALID);
    o.ring_bytes = (uint64_t)LINK_RING_BYTES_MAX * 2;
    ck_assert_int_eq(link_open_read(&m, &got_o, &e), ERR_INVALID);
    o.ring_bytes = LINK_RING_BYTES;
    o.protocol++;
    ck_assert_int_eq(link_open_read(&m, &got_o, &e), ERR_INVALID);
    o.protocol--;
    m.n_fds = 1;
    ck_assert_int_eq(link_open_read(&m, &got_o, &e), ERR_INVALID);
    m.n_fds = LINK_FDS;
    m.payload.n--;
    ck_assert_int_eq(link_open_read(&m, &got_o, &e), ERR_INVALID);

    struct link_accept a = {.protocol = LINK_PROTOCOL, .replica = 4}, got_a;
    m = (struct msg){.type = LINK_ACCEPT, .payload = {(const char *)&a, sizeof a}};
    ck_assert_int_eq(link_accept_read(&m, &got_a, &e), 0);
    ck_assert_uint_eq(got_a.replica, 4);
    m.n_fds = 1;
    ck_assert_int_eq(link_accept_read(&m, &got_a, &e), ERR_INVALID);
    m.n_fds = 0;
    m.type = LINK_OPEN;
    ck_assert_int_eq(link_accept_read(&m, &got_a, &e), ERR_INVALID);
    m.type = LINK_ACCEPT;
    a.protocol = 0;
    ck_assert_int_eq(link_accept_read(&m, &got_a, &e), ERR_INVALID);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("role/link");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, UNIT_SECONDS);
    tcase_add_test(c, a_request_is_read_as_it_was_written);
    tcase_add_test(c, a_tensor_that_lies_in_its_place_is_not_copied);
    tcase_add_loop_test(c, broken_requests_are_refused, 0,
                        sizeof BROKEN_REQUESTS / sizeof BROKEN_REQUESTS[0]);
    tcase_add_test(c, a_response_is_read_as_it_was_written);
    tcase_add_loop_test(c, broken_responses_are_refused, 0,
                        sizeof BROKEN_RESPONSES / sizeof BROKEN_RESPONSES[0]);
    tcase_add_test(c, an_error_is_read_as_it_was_written);
    tcase_add_test(c, what_was_begun_is_known_afterwards);
    tcase_add_test(c, two_ends_make_a_link);
    tcase_add_test(c, memory_that_is_not_as_announced_is_refused);
    tcase_add_test(c, the_handshake_is_checked);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
