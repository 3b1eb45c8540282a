// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include "unit.h"

#include <string.h>

static struct err refuse(const void *bytes, size_t size)
{
    struct err e = {0};
    ck_assert_int_eq(engine_refuse(bytes, size, &e), ERR_UNSUPPORTED_MODEL);
    ck_assert_int_eq(e.code, ERR_UNSUPPORTED_MODEL);
    ck_assert_uint_lt(strlen(e.hint), sizeof e.hint - 1); // not cut
    return e;
}

START_TEST(common_kinds_are_named_with_what_to_do)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *what, *hint;
    } CASES[] = {
#define BYTES(text) text, sizeof(text) - 1
        {BYTES("\x80\4\x95....sklearn"), "pickle", "skl2onnx"},
        {BYTES("x\x9c\xff\xff"), "joblib", "skl2onnx"},
        {BYTES("\x89HDF\r\n\x1a\n\0\0"), "HDF5", "onnx"},
        {BYTES("PK\3\4..archive/data.pkl"), "PyTorch", "torch.onnx.export"},
        {BYTES("PK\3\4..metadata.json..config.json"), "Keras", "onnx"},
        {BYTES("PK\3\4..m/saved_model.pb"), "SavedModel", "tf2onnx"},
        {BYTES("PK\3\4..else"), "zip archive", "ONNX"},
        {BYTES("\x1c\0\0\0TFL3"), "TensorFlow Lite", "tf2onnx"},
        {BYTES("CBM1...."), "CatBoost", "onnx"},
        {BYTES("binf...."), "XGBoost", "save_model"},
        {BYTES("hello"), "not a model that this build knows", "ONNX"},
#undef BYTES
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct err e = refuse(CASES[i].bytes, CASES[i].n);
        ck_assert_msg(strstr(e.msg, CASES[i].what) != NULL, "%s: %s", CASES[i].what, e.msg);
        ck_assert_msg(strstr(e.hint, CASES[i].hint) != NULL, "%s: %s", CASES[i].what, e.hint);
    }
}
END_TEST

START_TEST(files_too_short_for_a_mark_are_unknown)
{
    ck_assert_ptr_nonnull(strstr(refuse("", 0).msg, "not a model"));
    ck_assert_ptr_nonnull(strstr(refuse("\x80", 1).msg, "not a model"));
    ck_assert_ptr_nonnull(strstr(refuse("....TFL", 7).msg, "not a model"));
}
END_TEST

UNIT_MAIN("engine/refuse", common_kinds_are_named_with_what_to_do, files_too_short_for_a_mark_are_unknown)
