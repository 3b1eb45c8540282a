// SPDX-License-Identifier: Apache-2.0
// Kinds of files that people push in good faith and that no engine runs: named, with what to do instead.
#include "engine/engine.h"

#include <string.h>

enum { LOOK_BYTES = 64 << 10 };

static const struct kind {
    size_t offset;
    const char *magic;
    size_t n;
    const char *inside; // also somewhere in the first bytes; NULL: no matter
    const char *what, *hint;
} KINDS[] = {
#define MAGIC(text) text, sizeof(text) - 1
    {0, MAGIC("PK\3\4"), "/data.pkl", "a PyTorch file (.pt)",
     "Export the network in Python: torch.onnx.export(model, example, \"model.onnx\"), and push that."},
    {0, MAGIC("PK\3\4"), "saved_model.pb", "a zipped TensorFlow SavedModel",
     "Unzip it and convert it: python -m tf2onnx.convert --saved-model DIR --output model.onnx, and push "
     "that."},
    {0, MAGIC("PK\3\4"), "config.json", "a Keras file (.keras)",
     "Export it in Python: model.export(\"model.onnx\", format=\"onnx\"), and push that."},
    {0, MAGIC("PK\3\4"), NULL, "a zip archive",
     "Push the model file itself; models of other libraries as ONNX."},
    {0, MAGIC("\x89HDF\r\n\x1a\n"), NULL, "an HDF5 file (.h5), as Keras saves them",
     "Load it in Keras, export it with model.export(\"model.onnx\", format=\"onnx\"), and push that."},
    {0, MAGIC("\x80\2"), NULL, "a Python pickle", NULL},
    {0, MAGIC("\x80\3"), NULL, "a Python pickle", NULL},
    {0, MAGIC("\x80\4"), NULL, "a Python pickle", NULL},
    {0, MAGIC("\x80\5"), NULL, "a Python pickle", NULL},
    {4, MAGIC("TFL3"), NULL, "a TensorFlow Lite model",
     "Convert it: python -m tf2onnx.convert --tflite model.tflite --output model.onnx, and push that."},
    {4, MAGIC("ORTM"), NULL, "an ONNX Runtime file (.ort)", "Push the .onnx file that it was made from."},
    {0, MAGIC("CBM1"), NULL, "a CatBoost model (.cbm)",
     "Save it in Python: model.save_model(\"model.onnx\", format=\"onnx\"), and push that."},
    {0, MAGIC("binf"), NULL, "an XGBoost model in the binary form of before 1.0",
     "Load it in XGBoost before 3.1, save it with save_model(\"model.json\"), and push that."},
    {0, MAGIC("\x1f\x8b"), NULL, "compressed with gzip", "Push the file uncompressed."},
    {0, MAGIC("x\x9c"), NULL, "compressed with zlib, as joblib does it with pickles", NULL},
    {0, MAGIC("\x93NUMPY"), NULL, "a NumPy array",
     "Push a model file: XGBoost JSON or UBJSON, LightGBM text, or ONNX."},
#undef MAGIC
};
static const char PICKLE_HINT[] =
    "A pickle runs code when it is read. Export the model to ONNX, scikit-learn "
    "with skl2onnx.to_onnx(model, X[:1]), and push that.";

int engine_refuse(const uint8_t *bytes, size_t size, struct err *e)
{
    size_t look = size < LOOK_BYTES ? size : LOOK_BYTES;
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        const struct kind *k = &KINDS[i];
        if (size < k->offset + k->n || memcmp(bytes + k->offset, k->magic, k->n) != 0)
            continue;
        if (k->inside && !memmem(bytes, look, k->inside, strlen(k->inside)))
            continue;
        err_set(e, ERR_UNSUPPORTED_MODEL, "the file is %s, which is not run", k->what);
        err_hint(e, "%s", k->hint ? k->hint : PICKLE_HINT);
        return ERR_UNSUPPORTED_MODEL;
    }
    err_set(e, ERR_UNSUPPORTED_MODEL, "the file is not a model that this build knows");
    err_hint(
        e,
        "Known are XGBoost models saved as JSON or UBJSON, LightGBM models saved as text, and ONNX models.");
    return ERR_UNSUPPORTED_MODEL;
}
