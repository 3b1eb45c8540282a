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
        {BYTES("x^\xff\xff"), "joblib", "skl2onnx"},
        {BYTES("x^ is no model"), "plain text", "save_model"},
        {BYTES("\x89HDF\r\n\x1a\n\0\0"), "HDF5", "onnx"},
        {BYTES("PK\3\4..archive/data.pkl"), "PyTorch", "torch.onnx.export"},
        {BYTES("PK\3\4..metadata.json..config.json"), "Keras", "onnx"},
        {BYTES("PK\3\4..m/saved_model.pb"), "SavedModel", "tf2onnx"},
        {BYTES("PK\3\4..else"), "zip archive", "ONNX"},
        {BYTES("\x1c\0\0\0TFL3"), "TensorFlow Lite", "tf2onnx"},
        {BYTES("CBM1...."), "CatBoost", "onnx"},
        {BYTES("binf...."), "XGBoost", "save_model"},
        {BYTES("\x80\3cjoblib.numpy_pickle"), "joblib", "skl2onnx"},
        {BYTES("ccopy_reg\n_reconstructor\np0\n."), "pickle", "skl2onnx"}, // protocol 0
        {BYTES("]q\0(K\1K\2e."), "pickle", "skl2onnx"},                    // protocol 1
        {BYTES("\x80\2\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19."), "PyTorch", "torch.onnx.export"},
        {BYTES("PK\3\4..model.ini"), "MOJO", "ONNX"},
        {BYTES("PK\3\4..x.npy"), "NumPy", "not a model"},
        {BYTES("\x0f\0\0\0\0\0\0\0{\"data_offsets\"}...."), "safetensors", "torch.onnx.export"},
        {BYTES("\x08\1\x12\x10\x0a\x0e\x22\5serve...."), "SavedModel", "tf2onnx"},
        {BYTES("\x1f\x8b\x08"), "gzip", "uncompressed"},
        {BYTES("BZh91AY"), "bzip2", "uncompressed"},
        {BYTES("\xfd"
               "7zXZ\0"),
         "xz", "uncompressed"},
        {BYTES("\x28\xb5\x2f\xfd"), "zstd", "uncompressed"},
        {BYTES("PAR1...."), "Parquet", "data"},
        {BYTES("<?xml version=\"1.0\"?><PMML version=\"4.4\">"), "PMML", "ONNX"},
        {BYTES("<!DOCTYPE html><html>"), "HTML", "Look"},
        {BYTES("a,b\n1,2\n"), "CSV", "data"},
        {BYTES("{\"inputs\": []}"), "not an XGBoost model", "save_model"},
        {BYTES("{\"name\":\"tree\",\"tree_info\":[]}"), "dump_model", "model.txt"},
        {BYTES("version https://git-lfs.github.com/spec/v1\n"), "Git LFS", "git lfs pull"},
        {BYTES("hello"), "plain text", "save_model"},
        {BYTES("\1\2\3\4"), "not a model that this build knows", "ONNX"},
#undef BYTES
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct err e = refuse(CASES[i].bytes, CASES[i].n);
        ck_assert_msg(strstr(e.msg, CASES[i].what) != NULL, "%s: %s", CASES[i].what, e.msg);
        ck_assert_msg(strstr(e.hint, CASES[i].hint) != NULL, "%s: %s", CASES[i].what, e.hint);
    }
}
END_TEST

START_TEST(a_tar_archive_is_known_by_its_mark_at_257)
{
    char tar[512] = "model.json";
    memcpy(tar + 257, "ustar", 5);
    ck_assert_ptr_nonnull(strstr(refuse(tar, sizeof tar).msg, "a tar archive"));
    ck_assert_ptr_null(strstr(refuse(tar, 261).msg, "a tar archive"));
}
END_TEST

// The directory of a zip archive is at its end.
START_TEST(what_an_archive_holds_is_looked_for_at_its_end_too)
{
    static char zip[1 << 18] = "PK\3\4";
    memcpy(zip + sizeof zip - 40, "archive/data.pkl", 16);
    ck_assert_ptr_nonnull(strstr(refuse(zip, sizeof zip).msg, "PyTorch"));
}
END_TEST

START_TEST(files_too_short_for_a_mark_are_unknown)
{
    ck_assert_ptr_nonnull(strstr(refuse("", 0).msg, "not a model"));
    ck_assert_ptr_nonnull(strstr(refuse("\x80", 1).msg, "not a model"));
    ck_assert_ptr_nonnull(strstr(refuse("\1...TFL", 7).msg, "not a model"));
}
END_TEST

UNIT_MAIN("engine/refuse", common_kinds_are_named_with_what_to_do, a_tar_archive_is_known_by_its_mark_at_257,
          what_an_archive_holds_is_looked_for_at_its_end_too, files_too_short_for_a_mark_are_unknown)
