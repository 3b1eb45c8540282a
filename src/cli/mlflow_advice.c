// SPDX-License-Identifier: Apache-2.0
// What to do with an MLflow model that cannot be served as it is: the Python lines that export it, with this
// model's address and columns in them, to be run where it was trained.
#include "cli/mlflow.h"

#include "cli/term.h"

#include <stdio.h>
#include <string.h>

enum { LINES_BYTES = 1 << 20, ARENA_BYTES = 64 << 20 };

// @URI@ stands for the model's address as a Python string.
static const struct {
    const char *flavor, *library, *lines;
} ADVICE[] = {
    {"pytorch", "PyTorch",
     "import mlflow.pytorch, torch\n"
     "model = mlflow.pytorch.load_model(@URI@, map_location=\"cpu\").eval()\n"
     "rows = torch.zeros(1, 10)  # one row as the model takes it: put its shape here\n"
     "torch.onnx.export(model, (rows,), \"model.onnx\", input_names=[\"x\"], output_names=[\"y\"],\n"
     "                  dynamic_axes={\"x\": {0: \"rows\"}, \"y\": {0: \"rows\"}})\n"},
    {"tensorflow", "TensorFlow",
     "import mlflow.tensorflow, tf2onnx  # pip install tf2onnx\n"
     "model = mlflow.tensorflow.load_model(@URI@)\n"
     "tf2onnx.convert.from_keras(model, output_path=\"model.onnx\")\n"},
    {"keras", "Keras",
     "import mlflow.keras, tf2onnx  # pip install tf2onnx\n"
     "model = mlflow.keras.load_model(@URI@)\n"
     "tf2onnx.convert.from_keras(model, output_path=\"model.onnx\")\n"},
    {"catboost", "CatBoost",
     "import mlflow.catboost\n"
     "model = mlflow.catboost.load_model(@URI@)\n"
     "model.save_model(\"model.onnx\", format=\"onnx\")\n"},
    {"spark", "Spark ML",
     "import mlflow.spark, onnxmltools  # pip install onnxmltools\n"
     "from onnxmltools.convert.common.data_types import FloatTensorType\n"
     "model = mlflow.spark.load_model(@URI@)\n"
     "columns = [(\"features\", FloatTensorType([None, 10]))]  # as many as the model takes\n"
     "onnx = onnxmltools.convert_sparkml(model, \"model\", columns)\n"
     "open(\"model.onnx\", \"wb\").write(onnx.SerializeToString())\n"},
};

static void put_lines(const char *lines, const char *uri, struct buf *out)
{
    for (const char *p = lines; *p;) {
        const char *at = strstr(p, "@URI@");
        size_t n = at ? (size_t)(at - p) : strlen(p);
        buf_put(out, p, n);
        p += n;
        if (at) {
            buf_put_json_str(out, str_of(uri)); // what JSON quotes, Python reads
            p += strlen("@URI@");
        }
    }
}

// Indents the lines into the notes, so that they can be told from what is around them.
static void note_lines(struct package *p, struct str lines)
{
    package_note(p, "%s", "");
    while (lines.n) {
        struct str line = str_split(&lines, '\n');
        package_note(p, "    " STR_FMT, STR_ARG(line));
    }
    package_note(p, "%s", "");
}

static int refuse(struct package *p, const char *what, const char *lines, const char *uri, struct err *e)
{
    struct buf text;
    buf_init(&text, LINES_BYTES);
    put_lines(lines, uri, &text);
    package_note(p, "These lines write a file that can be pushed; run them where the model was trained:");
    note_lines(p, buf_str(&text));
    buf_done(&text);
    return err_set(e, ERR_UNSUPPORTED_MODEL, "%s", what);
}

int mlflow_refuse_xgboost(const char *uri, const char *data, struct str version, struct package *p,
                          struct err *e)
{
    struct str v = version.n && version.n < 40 ? version : STR("the one it was trained with");
    refuse(p, "the MLflow model has XGBoost's old binary format, which XGBoost itself reads no more",
           "import mlflow.xgboost  # with XGBoost before 3.1\n"
           "model = mlflow.xgboost.load_model(@URI@)\n"
           "model.save_model(\"model.ubj\")\n",
           uri, e);
    err_at(e, "%.100s", data);
    err_hint(e, "Write it anew with XGBoost " STR_FMT " by the lines above, and push model.ubj.", STR_ARG(v));
    return ERR_UNSUPPORTED_MODEL;
}

int mlflow_refuse_lightgbm(const char *uri, struct package *p, struct err *e)
{
    refuse(p, "the MLflow model is a pickled LightGBM estimator; a pickle is code, and code is not served",
           "import mlflow.lightgbm\n"
           "model = mlflow.lightgbm.load_model(@URI@)\n"
           "model.booster_.save_model(\"model.txt\")\n",
           uri, e);
    err_hint(e, "Write its trees by the lines above, and push model.txt.");
    return ERR_UNSUPPORTED_MODEL;
}

// ---- scikit-learn, whose columns decide how the exporter is called

static bool has_text(const struct mlmodel_column *columns, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(columns[i].type, STR("string")) && columns[i].name.n)
            return true;
    return false;
}

static void put_sklearn_columns(const struct mlmodel_column *columns, size_t n, struct buf *out)
{
    buf_puts(out, "import mlflow.sklearn\n"
                  "from skl2onnx import to_onnx  # pip install skl2onnx\n"
                  "from skl2onnx.common.data_types import FloatTensorType, StringTensorType\n"
                  "model = mlflow.sklearn.load_model(@URI@)\n"
                  "columns = {\n");
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, "    ");
        buf_put_json_str(out, columns[i].name);
        buf_printf(out, ": %s,\n",
                   str_eq(columns[i].type, STR("string")) ? "StringTensorType" : "FloatTensorType");
    }
    buf_puts(out, "}\n"
                  "onnx = to_onnx(model, initial_types=[(name, kind([None, 1])) for name, kind in "
                  "columns.items()])\n"
                  "open(\"model.onnx\", \"wb\").write(onnx.SerializeToString())\n");
}

static const char SKLEARN_LINES[] =
    "import mlflow.sklearn, numpy\n"
    "from skl2onnx import to_onnx  # pip install skl2onnx\n"
    "model = mlflow.sklearn.load_model(@URI@)\n"
    "onnx = to_onnx(model, numpy.zeros((1, model.n_features_in_), numpy.float32))\n"
    "open(\"model.onnx\", \"wb\").write(onnx.SerializeToString())\n";

static int refuse_sklearn(const struct mlmodel *m, const char *uri, struct package *p, struct err *e)
{
    struct arena arena;
    struct buf lines;
    struct mlmodel_column *columns = NULL;
    size_t n = 0;
    int rc = arena_init(&arena, ARENA_BYTES, e);
    if (rc)
        return rc;
    buf_init(&lines, LINES_BYTES);
    if (m->signature_inputs.n && mlmodel_columns(m->signature_inputs, &arena, &columns, &n, e))
        n = 0;
    if (has_text(columns, n))
        put_sklearn_columns(columns, n, &lines);
    else
        buf_puts(&lines, SKLEARN_LINES);
    buf_putc(&lines, '\0');
    rc = lines.failed ? err_set(e, ERR_NOMEM, "out of memory")
                      : refuse(p,
                               "the MLflow model is a pickled scikit-learn estimator; a pickle is code, and "
                               "code is not served",
                               lines.p, uri, e);
    if (rc == ERR_UNSUPPORTED_MODEL)
        err_hint(e, "Export it to ONNX by the lines above, and push model.onnx.");
    buf_done(&lines);
    arena_done(&arena);
    return rc;
}

// ----

static void put_flavors(const struct mlmodel *m, struct buf *out)
{
    for (size_t i = 0; i < m->n_flavors; i++) {
        if (i)
            buf_puts(out, ", ");
        term_put_safe(
            (struct str){m->flavors[i].name.p, m->flavors[i].name.n < 40 ? m->flavors[i].name.n : 40}, out);
    }
    buf_putc(out, '\0');
}

int mlflow_refuse(const struct mlmodel *m, const char *uri, struct package *p, struct err *e)
{
    if (mlmodel_find(m, "sklearn"))
        return refuse_sklearn(m, uri, p, e);
    for (size_t i = 0; i < sizeof ADVICE / sizeof ADVICE[0]; i++) {
        char what[160];
        if (!mlmodel_find(m, ADVICE[i].flavor))
            continue;
        snprintf(what, sizeof what, "the MLflow model is one of %s, whose files are loaded by its own code",
                 ADVICE[i].library);
        refuse(p, what, ADVICE[i].lines, uri, e);
        err_hint(e, "Export it to ONNX by the lines above, and push model.onnx.");
        return ERR_UNSUPPORTED_MODEL;
    }
    struct buf flavors;
    buf_init(&flavors, 4096);
    put_flavors(m, &flavors);
    err_set(e, ERR_UNSUPPORTED_MODEL,
            "the MLflow model has the flavors %.160s: it runs as Python code, and code is not served",
            flavors.failed ? "" : flavors.p);
    err_hint(e,
             "Served are the flavors xgboost, lightgbm and onnx. If the library can export ONNX, push that "
             "file; if not, the model cannot be served here.");
    buf_done(&flavors);
    return ERR_UNSUPPORTED_MODEL;
}
