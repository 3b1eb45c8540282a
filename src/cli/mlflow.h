// SPDX-License-Identifier: Apache-2.0
// MLflow models become packages: the file that can be served as it is, its signature and example, where it
// comes from. What holds Python code is refused with the lines that export it.
#pragma once

#include "cli/folder.h"
#include "cli/mlmodel.h"
#include "cli/package.h"

// From a directory with a file MLmodel. `uri`: what MLflow's load_model takes to find it.
// ERR_UNSUPPORTED_MODEL with what to do in the notes; errors of mlmodel_parse and of the folder. The package
// was begun by package_init.
int mlflow_import(struct folder *f, const char *uri, struct package *p, struct err *e) ERR_CHECKED;

// Refuses a model that has none of the flavors served: the notes get the Python lines that export it.
int mlflow_refuse(const struct mlmodel *m, const char *uri, struct package *p, struct err *e);
// Refuses XGBoost's binary format of before 3.1, and LightGBM models that were pickled, in the same way.
int mlflow_refuse_xgboost(const char *uri, const char *data, struct str version, struct package *p,
                          struct err *e);
int mlflow_refuse_lightgbm(const char *uri, struct package *p, struct err *e);

// From a tracking server: models:/NAME/3, models:/NAME@ALIAS, models:/m-ID, runs:/RUN/PATH. The server is
// --tracking-uri or MLFLOW_TRACKING_URI. ERR_UNAVAILABLE without libcurl or when it cannot be reached,
// ERR_NOT_FOUND, ERR_INVALID, ERR_REFUSED, ERR_UNSUPPORTED_MODEL.
bool mlflow_is_uri(const char *source);
int mlflow_import_uri(const char *source, const struct args *a, struct package *p, struct err *e) ERR_CHECKED;
