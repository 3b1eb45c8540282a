// SPDX-License-Identifier: Apache-2.0
// Kinds of files that people push in good faith and that no engine runs: named by their content, with what to
// do instead. Nothing in them is read beyond their marks: a pickle, say, is code.
#include "engine/engine.h"

#include <string.h>

enum { LOOK_BYTES = 64 << 10, ENDS_BYTES = 64 << 10, TEXT_LINES = 3 };

static const char PICKLE_HINT[] =
    "A pickle runs code when it is read. Export the model to ONNX, scikit-learn "
    "with skl2onnx.to_onnx(model, X[:1]), and push that.";
static const char KERAS_HINT[] =
    "Load it in Keras, export it with model.export(\"model.onnx\", format=\"onnx\"), and push that.";
static const char TORCH_HINT[] =
    "Export the network in Python: torch.onnx.export(model, example, \"model.onnx\"), and push that.";
static const char SAVED_MODEL_HINT[] =
    "Convert its folder: python -m tf2onnx.convert --saved-model DIR --output model.onnx, and push that.";
static const char UNPACK_HINT[] =
    "Unpack it and push the model file itself; models of other libraries as ONNX.";
static const char DATA_HINT[] =
    "That is data, not a model. Push a model file: XGBoost JSON or UBJSON, LightGBM "
    "text, or ONNX.";
static const char H2O_HINT[] =
    "H2O's own formats are not run. Train with XGBoost or LightGBM, or export the model to ONNX.";

static const struct kind {
    size_t offset;
    const char *magic;
    size_t n;
    const char *inside; // also somewhere in the first or last bytes; NULL: no matter
    const char *what, *hint;
} KINDS[] = {
#define MAGIC(text) text, sizeof(text) - 1
    {0, MAGIC("PK\3\4"), "/data.pkl", "a PyTorch file (.pt)", TORCH_HINT},
    {0, MAGIC("PK\3\4"), "saved_model.pb", "a zipped TensorFlow SavedModel", SAVED_MODEL_HINT},
    {0, MAGIC("PK\3\4"), "config.json", "a Keras file (.keras)", KERAS_HINT},
    {0, MAGIC("PK\3\4"), "model.ini", "an H2O MOJO", H2O_HINT},
    {0, MAGIC("PK\3\4"), ".npy", "a NumPy archive (.npz)", DATA_HINT},
    {0, MAGIC("PK\3\4"), NULL, "a zip archive", UNPACK_HINT},
    {0, MAGIC("\x89HDF\r\n\x1a\n"), "keras", "an HDF5 file (.h5) of Keras", KERAS_HINT},
    {0, MAGIC("\x89HDF\r\n\x1a\n"), NULL, "an HDF5 file (.h5), as Keras saves them", KERAS_HINT},
    {0, MAGIC("\x80\2\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19"), NULL, "a PyTorch file (.pt) of before 1.6",
     TORCH_HINT},
#define PICKLE(protocol)                                                                                     \
    {0, MAGIC("\x80" protocol), "joblib", "a joblib file, which is a Python pickle", PICKLE_HINT},           \
    {                                                                                                        \
        0, MAGIC("\x80" protocol), NULL, "a Python pickle", PICKLE_HINT                                      \
    }
    PICKLE("\2"),
    PICKLE("\3"),
    PICKLE("\4"),
    PICKLE("\5"),
#undef PICKLE
    {4, MAGIC("TFL3"), NULL, "a TensorFlow Lite model",
     "Convert it: python -m tf2onnx.convert --tflite model.tflite --output model.onnx, and push that."},
    {4, MAGIC("ORTM"), NULL, "an ONNX Runtime file (.ort)", "Push the .onnx file that it was made from."},
    {0, MAGIC("CBM1"), NULL, "a CatBoost model (.cbm)",
     "Save it in Python: model.save_model(\"model.onnx\", format=\"onnx\"), and push that."},
    {0, MAGIC("binf"), NULL, "an XGBoost model in the binary form of before 1.0",
     "Load it in XGBoost before 3.1, save it with save_model(\"model.json\"), and push that."},
    {0, MAGIC("GGUF"), NULL, "a language model in GGUF",
     "Slipway runs XGBoost JSON or UBJSON, LightGBM text, and ONNX."},
    {0, MAGIC("\x1f\x8b"), NULL, "compressed with gzip", "Push the file uncompressed."},
    {0, MAGIC("BZh"), NULL, "compressed with bzip2", "Push the file uncompressed."},
    {0,
     MAGIC("\xfd"
           "7zXZ"),
     NULL, "compressed with xz", "Push the file uncompressed."},
    {0, MAGIC("\x28\xb5\x2f\xfd"), NULL, "compressed with zstd", "Push the file uncompressed."},
    {0, MAGIC("7z\xbc\xaf\x27\x1c"), NULL, "a 7-Zip archive", UNPACK_HINT},
    {257, MAGIC("ustar"), NULL, "a tar archive", UNPACK_HINT},
    {0, MAGIC("PAR1"), NULL, "a Parquet file", DATA_HINT},
    {0, MAGIC("ARROW1"), NULL, "an Arrow file", DATA_HINT},
    {0, MAGIC("SQLite format 3"), NULL, "an SQLite database", DATA_HINT},
    {0, MAGIC("version https://git-lfs"), NULL, "a pointer of Git LFS, not the file that it stands for",
     "Fetch the file with git lfs pull, and push that."},
#undef MAGIC
};

static bool holds(const uint8_t *bytes, size_t size, const char *text)
{
    size_t n = size < LOOK_BYTES ? size : LOOK_BYTES, end = size < ENDS_BYTES ? size : ENDS_BYTES;
    return memmem(bytes, n, text, strlen(text)) || memmem(bytes + size - end, end, text, strlen(text));
}

static const struct kind *kind_of(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        const struct kind *k = &KINDS[i];
        if (size >= k->offset + k->n && memcmp(bytes + k->offset, k->magic, k->n) == 0 &&
            (!k->inside || holds(bytes, size, k->inside)))
            return k;
    }
    return NULL;
}

// UTF-8 without control characters, as far as it is looked at.
static bool is_text(const uint8_t *bytes, size_t size)
{
    size_t n = size < LOOK_BYTES ? size : LOOK_BYTES;
    for (size_t i = 0; i < n;) {
        size_t length = str_utf8_len((struct str){(const char *)bytes + i, size - i});
        if (length == 0 || (bytes[i] < ' ' && !memchr("\t\n\r\f", bytes[i], 4)) || bytes[i] == 0x7f)
            return false;
        i += length;
    }
    return n > 0;
}

// Pickles of the protocols 0 and 1 have no mark: opcodes that such a file begins with, and STOP at its end.
static bool is_old_pickle(const uint8_t *bytes, size_t size)
{
    static const char *const BEGINNINGS[] = {
        "ccopy_reg\n", "ccopyreg\n", "csklearn.", "cxgboost.", "clightgbm.", "c__main__\n", "cnumpy",
        "cpandas.",    "(lp",        "(dp",       "(ip",       "(c",         "]q",          "}q",
        "(I",          "(F",         "(V",        "(S'",       "(K",         "(]"};
    if (size < 3 || bytes[size - 1] != '.')
        return false;
    for (size_t i = 0; i < sizeof BEGINNINGS / sizeof BEGINNINGS[0]; i++) {
        size_t n = strlen(BEGINNINGS[i]);
        if (size >= n && memcmp(bytes, BEGINNINGS[i], n) == 0)
            return true;
    }
    return false;
}

// RFC 1950: 32 KiB window, deflate, and a check of these two bytes. Text may begin so, too.
static bool is_zlib(const uint8_t *bytes, size_t size)
{
    return size > 2 && bytes[0] == 'x' && (bytes[0] << 8 | bytes[1]) % 31 == 0 && !is_text(bytes, size);
}

// A header of JSON behind its length (a u64).
static bool is_safetensors(const uint8_t *bytes, size_t size)
{
    uint64_t n;
    if (size < sizeof n + 2)
        return false;
    memcpy(&n, bytes, sizeof n);
    return n >= 2 && n <= size - sizeof n && bytes[8] == '{' && holds(bytes, size, "data_offsets");
}

// A protobuf whose schema version is 1 and whose graph has tags and the release of TensorFlow.
static bool is_saved_model(const uint8_t *bytes, size_t size)
{
    return size > 4 && memcmp(bytes, "\x08\x01\x12", 3) == 0 && holds(bytes, size, "serve");
}

static size_t commas_in_line(const uint8_t **at, const uint8_t *end)
{
    size_t n = 0;
    for (; *at < end && **at != '\n'; ++*at)
        n += **at == ',' || **at == ';' || **at == '\t';
    *at += *at < end;
    return n;
}

// Lines that have as many separators as the first.
static bool is_table(const uint8_t *bytes, size_t size)
{
    const uint8_t *at = bytes, *end = bytes + (size < LOOK_BYTES ? size : LOOK_BYTES);
    size_t first = commas_in_line(&at, end), n_lines = 1;
    for (; at < end && n_lines < TEXT_LINES; n_lines++)
        if (commas_in_line(&at, end) != first)
            return false;
    return first > 0 && n_lines > 1;
}

static bool starts_nocase(const uint8_t *bytes, size_t size, const char *text)
{
    size_t n = strlen(text);
    return size >= n && str_eq_nocase((struct str){(const char *)bytes, n}, (struct str){text, n});
}

static const struct kind *json_kind(const uint8_t *bytes, size_t size)
{
    static const struct kind
        LIGHTGBM = {.what = "LightGBM's dump_model() as JSON",
                    .hint = "Save it with booster.save_model(\"model.txt\"), and push that."},
        CATBOOST = {.what = "a CatBoost model as JSON",
                    .hint = "Save it in Python: model.save_model(\"model.onnx\", "
                            "format=\"onnx\"), and push that."},
        OTHER = {.what = "JSON, but not an XGBoost model",
                 .hint = "Save an XGBoost model with save_model(\"model.json\"), not with "
                         "dump_model, and push that."};
    if (holds(bytes, size, "\"tree_info\""))
        return &LIGHTGBM;
    return holds(bytes, size, "\"oblivious_trees\"") ? &CATBOOST : &OTHER;
}

static const struct kind *text_kind(const uint8_t *bytes, size_t size)
{
    static const struct kind PMML = {.what = "PMML",
                                     .hint = "Export the model to ONNX, scikit-learn with "
                                             "skl2onnx.to_onnx(model, X[:1]), and push that."},
                             HTML = {.what = "an HTML page, as a download that failed leaves it",
                                     .hint =
                                         "Look into the file, and push the model that it should have been."},
                             XML = {.what = "XML", .hint = DATA_HINT},
                             TABLE = {.what = "a table as text (CSV)", .hint = DATA_HINT},
                             TEXT = {.what = "plain text, but not a LightGBM model",
                                     .hint =
                                         "Save a LightGBM model with booster.save_model(\"model.txt\"), and "
                                         "push that."};
    if (holds(bytes, size, "<PMML"))
        return &PMML;
    if (starts_nocase(bytes, size, "<!doctype html") || starts_nocase(bytes, size, "<html"))
        return &HTML;
    if (starts_nocase(bytes, size, "<?xml"))
        return &XML;
    size_t i = 0;
    while (i < size && memchr(" \t\r\n", bytes[i], 4))
        i++;
    if (i < size && (bytes[i] == '{' || bytes[i] == '['))
        return json_kind(bytes, size);
    return is_table(bytes, size) ? &TABLE : &TEXT;
}

int engine_refuse(const uint8_t *bytes, size_t size, struct err *e)
{
    static const struct kind PICKLE = {.what = "a Python pickle", .hint = PICKLE_HINT},
                             ZLIB = {.what = "compressed with zlib, as joblib does it with pickles",
                                     .hint = PICKLE_HINT},
                             TENSORS = {.what = "weights without a network (safetensors)",
                                        .hint = TORCH_HINT},
                             SAVED_MODEL = {.what = "a TensorFlow SavedModel (saved_model.pb)",
                                            .hint = SAVED_MODEL_HINT};
    const struct kind *k = kind_of(bytes, size);
    if (!k && is_old_pickle(bytes, size))
        k = &PICKLE;
    if (!k && is_zlib(bytes, size))
        k = &ZLIB;
    if (!k && is_safetensors(bytes, size))
        k = &TENSORS;
    if (!k && is_saved_model(bytes, size))
        k = &SAVED_MODEL;
    if (!k && is_text(bytes, size))
        k = text_kind(bytes, size);
    if (k) {
        err_set(e, ERR_UNSUPPORTED_MODEL, "the file is %s, which is not run", k->what);
        err_hint(e, "%s", k->hint);
        return ERR_UNSUPPORTED_MODEL;
    }
    err_set(e, ERR_UNSUPPORTED_MODEL, "the file is not a model that this build knows");
    err_hint(
        e,
        "Known are XGBoost models saved as JSON or UBJSON, LightGBM models saved as text, and ONNX models.");
    return ERR_UNSUPPORTED_MODEL;
}
