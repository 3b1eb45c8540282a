// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include "unit.h"

#include <string.h>

#define N(...)                                                                                               \
    tensor_n_elements((const int64_t[]){__VA_ARGS__},                                                        \
                      sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

START_TEST(elements_are_the_product_of_the_sizes)
{
    ck_assert_int_eq(tensor_n_elements(NULL, 0), 1);
    ck_assert_int_eq(N(2, 3, 4), 24);
    ck_assert_int_eq(N(0, 3), 0);
    ck_assert_int_eq(N(2, -1), -1);
    ck_assert_int_eq(N(0, -1), -1);
    ck_assert_int_eq(N(INT64_MAX), INT64_MAX);
    ck_assert_int_eq(N(INT64_MAX, 2), -1);
    ck_assert_int_eq(N((int64_t)1 << 32, (int64_t)1 << 31), -1);
    ck_assert_int_eq(N(INT64_MAX, 2, 0), 0);
    ck_assert_int_eq(N((int64_t)1 << 32, (int64_t)1 << 32, 1), -1);
}
END_TEST

// The tensor's bytes stand at the end of a block, so that AddressSanitizer sees one too many.
static int check(enum dtype dtype, int64_t n, const void *bytes, size_t size, struct err *e)
{
    void *exact = malloc(size ? size : 1);
    if (size)
        memcpy(exact, bytes, size);
    struct tensor t = {
        .name = STR("x"), .dtype = dtype, .n_dims = 1, .shape = {n}, .data = exact, .bytes = size};
    int rc = tensor_check(&t, e);
    free(exact);
    return rc;
}

START_TEST(a_tensor_has_the_bytes_of_its_shape)
{
    static const char zeros[64];
    struct err e = {0};
    for (enum dtype t = DTYPE_BOOL; t <= DTYPE_FP64; t++) {
        size_t size = dtype_size(t);
        ck_assert_int_eq(check(t, 3, zeros, 3 * size, &e), 0);
        ck_assert_int_eq(check(t, 0, zeros, 0, &e), 0);
        ck_assert_int_eq(check(t, 3, zeros, 3 * size - 1, &e), ERR_WRONG_COUNT);
        ck_assert_int_eq(check(t, 3, zeros, 3 * size + 1, &e), ERR_WRONG_COUNT);
        ck_assert_ptr_nonnull(strstr(e.msg, "'x'"));
        ck_assert_int_eq(check(t, -1, zeros, 0, &e), ERR_WRONG_COUNT);
    }
    ck_assert_int_eq(check(DTYPE_FP64, (int64_t)1 << 61, zeros, 0, &e), ERR_WRONG_COUNT);
    ck_assert_int_eq(check(DTYPE_NONE, 0, zeros, 0, &e), ERR_OUT_OF_RANGE);
    ck_assert_int_eq(check(DTYPE_BYTES + 1, 0, zeros, 0, &e), ERR_OUT_OF_RANGE);
    struct tensor t = {.dtype = DTYPE_FP32, .n_dims = TENSOR_DIMS_MAX + 1, .data = zeros};
    ck_assert_int_eq(tensor_check(&t, &e), ERR_WRONG_COUNT);
    t = (struct tensor){.dtype = DTYPE_INT16, .data = zeros, .bytes = 2}; // a scalar
    ck_assert_int_eq(tensor_check(&t, &e), 0);
}
END_TEST

START_TEST(bools_are_0_and_1)
{
    struct err e = {0};
    ck_assert_int_eq(check(DTYPE_BOOL, 3, "\0\1\1", 3, &e), 0);
    ck_assert_int_eq(check(DTYPE_BOOL, 3, "\0\1\2", 3, &e), ERR_OUT_OF_RANGE);
    ck_assert_int_eq(check(DTYPE_BOOL, 3, "\377\1\1", 3, &e), ERR_OUT_OF_RANGE);
}
END_TEST

START_TEST(the_lengths_of_strings_fill_the_bytes)
{
    struct err e = {0};
    ck_assert_int_eq(check(DTYPE_BYTES, 2, "\2\0\0\0ab\0\0\0\0", 10, &e), 0);
    ck_assert_int_eq(check(DTYPE_BYTES, 1, "\2\0\0\0ab\0\0\0\0", 10, &e), ERR_WRONG_COUNT);
    ck_assert_int_eq(check(DTYPE_BYTES, 3, "\2\0\0\0ab\0\0\0\0", 10, &e), ERR_WRONG_COUNT);
    ck_assert_int_eq(check(DTYPE_BYTES, 2, "\2\0\0\0ab\0\0\0", 9, &e), ERR_WRONG_COUNT);
    ck_assert_int_eq(check(DTYPE_BYTES, 1, "\2\0\0\0a", 5, &e), ERR_WRONG_COUNT);
    ck_assert_int_eq(check(DTYPE_BYTES, 1, "\377\377\377\377ab", 6, &e), ERR_WRONG_COUNT);
    ck_assert_int_eq(check(DTYPE_BYTES, 2, "\2\0\0\0a", 5, &e), ERR_WRONG_COUNT);
    ck_assert_int_eq(check(DTYPE_BYTES, 0, "", 0, &e), 0);
    char *large = calloc(1, 4 + 0x10203);
    memcpy(large, "\3\2\1\0", 4);
    ck_assert_int_eq(check(DTYPE_BYTES, 1, large, 4 + 0x10203, &e), 0);
    free(large);
}
END_TEST

UNIT_MAIN("tensor/tensor", elements_are_the_product_of_the_sizes, a_tensor_has_the_bytes_of_its_shape,
          bools_are_0_and_1, the_lengths_of_strings_fill_the_bytes)
