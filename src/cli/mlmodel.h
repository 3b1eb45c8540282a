// SPDX-License-Identifier: Apache-2.0
// The file MLmodel of an MLflow model directory: YAML with a signature in JSON inside. Pure; read with
// libyaml's events, so that no document, however made, costs more than its length. Fuzzed.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { MLMODEL_FLAVORS_MAX = 32 };

// One way to load the model: what stands below "flavors".
struct mlmodel_flavor {
    struct str name;            // "xgboost"
    struct str data;            // path of the model's file or folder in the directory
    struct str model_class;     // "xgboost.sklearn.XGBClassifier"
    struct str library_version; // "3.2.0"
    struct str loader_module;   // of python_function: "mlflow.sklearn"
};

// All strings lie in the arena given; empty where the file does not say.
struct mlmodel {
    struct str run_id, model_id, mlflow_version;
    struct str signature_inputs; // JSON
    struct str example;          // path of input_example.json
    struct mlmodel_flavor flavors[MLMODEL_FLAVORS_MAX];
    size_t n_flavors;
};

// ERR_INVALID with the line for what is not YAML, has aliases or two values for one key, or names no flavors;
// ERR_TOO_DEEP, ERR_TOO_LARGE (over LIMIT_MLMODEL_BYTES, too many flavors), ERR_NOMEM.
int mlmodel_parse(struct str yaml, struct arena *a, struct mlmodel *ret, struct err *e) ERR_CHECKED;
// NULL: it has none of this name.
const struct mlmodel_flavor *mlmodel_find(const struct mlmodel *m, const char *flavor);

// One column of a signature, or a tensor.
struct mlmodel_column {
    struct str name; // empty: none
    struct str type; // "double", "tensor", …
    bool required;   // true unless said otherwise
};
// Columns of a signature's JSON, into the arena. ERR_BAD_JSON, ERR_WRONG_TYPE, ERR_TOO_LARGE past
// LIMIT_MODEL_FEATURES, ERR_NOMEM.
int mlmodel_columns(struct str json, struct arena *a, struct mlmodel_column **ret, size_t *ret_n,
                    struct err *e) ERR_CHECKED;
// Appends the columns as the completion of a signature: {"inputs":[{"name","type"},…]}, MLflow's types said
// in ours. `underscores`: LightGBM writes blanks in names as '_'. False, and nothing appended, when there is
// nothing to say: tensors, columns without names.
bool mlmodel_put_signature(const struct mlmodel_column *columns, size_t n, bool underscores, struct buf *out);
