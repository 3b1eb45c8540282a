# SPDX-License-Identifier: Apache-2.0
"""Saves models with the XGBoost that is installed, of whatever version since 1.0, and what it predicts with them.

    python make_models.py FOLDER [--tiny]

For each case: xgboost-VERSION-NAME.json (and .ubj where the version can), and .expected with rows, margins, outputs.
Needs NumPy and XGBoost only. dev/parity-old runs it for many versions; --tiny made what is in fixtures/."""

import json
import pathlib
import sys

import numpy as np
import xgboost as xgb

VERSION = tuple(int(x) for x in xgb.__version__.split(".")[:2])
TINY = "--tiny" in sys.argv
N_ROWS = 6 if TINY else 100

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3 if TINY else 6)).astype(np.float32)
Y = (X[:, 0] + np.sin(X[:, 1] * 2) + 0.3 * X[:, 2]).astype(np.float32)
X[rng.random(X.shape) < 0.1] = np.nan
ROWS = (rng.normal(size=(N_ROWS, X.shape[1])) * 2).astype(np.float32)
ROWS[rng.random(ROWS.shape) < 0.2] = np.nan
POSITIVE = np.abs(Y) + np.float32(0.01)
CLASSES = np.digitize(Y, [-1.0, 1.0])
TWO = np.stack([Y, -Y * 2], axis=1)
CATEGORICAL = X.copy()
CATEGORICAL[:, 1] = rng.integers(0, 9, len(X))

# name: (parameters, labels, first version that can)
CASES = {
    "squarederror": ({}, Y, (1, 0)),
    "squarederror_base": ({"base_score": 3.3}, Y, (1, 0)),
    "squaredlogerror": ({"objective": "reg:squaredlogerror"}, POSITIVE, (1, 0)),
    "absoluteerror": ({"objective": "reg:absoluteerror"}, Y, (1, 7)),
    "pseudohubererror": ({"objective": "reg:pseudohubererror"}, Y, (1, 3)),
    "quantileerror": ({"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.8]}, Y, (2, 0)),
    "logistic": ({"objective": "binary:logistic"}, Y > 0, (1, 0)),
    "logistic_base": ({"objective": "binary:logistic", "base_score": 0.3}, Y > 0, (1, 0)),
    "logitraw": ({"objective": "binary:logitraw"}, Y > 0, (1, 0)),
    "logitraw_base": ({"objective": "binary:logitraw", "base_score": 0.3}, Y > 0, (1, 0)),
    "hinge": ({"objective": "binary:hinge"}, Y > 0, (1, 0)),
    "poisson": ({"objective": "count:poisson"}, POSITIVE, (1, 0)),
    "gamma_base": ({"objective": "reg:gamma", "base_score": 0.3}, POSITIVE, (1, 0)),
    "tweedie": ({"objective": "reg:tweedie"}, POSITIVE, (1, 0)),
    "cox": ({"objective": "survival:cox"}, POSITIVE, (1, 0)),
    "softmax": ({"objective": "multi:softmax", "num_class": 3}, CLASSES, (1, 0)),
    "softprob": ({"objective": "multi:softprob", "num_class": 3}, CLASSES, (1, 0)),
    "rank": ({"objective": "rank:pairwise"}, CLASSES, (1, 0)),
    "dart": ({"booster": "dart", "rate_drop": 0.5}, Y, (1, 0)),
    "dart_softprob": ({"booster": "dart", "rate_drop": 0.5, "objective": "multi:softprob", "num_class": 3}, CLASSES, (1, 0)),
    "linear": ({"booster": "gblinear"}, Y, (1, 0)),
    "forest": ({"num_parallel_tree": 3, "subsample": 0.5}, Y, (1, 0)),
    "pruned": ({"tree_method": "exact", "gamma": 30.0 if TINY else 2.0}, Y, (1, 0)),
    "multi_target": ({"tree_method": "hist"}, TWO, (1, 7)),
    "vector_leaf": ({"tree_method": "hist", "multi_strategy": "multi_output_tree"}, TWO, (2, 0)),
    "categorical": ({"tree_method": "hist", "max_cat_to_onehot": 1}, Y, (1, 7)),
}  # fmt: skip


def numbers(array):
    return [None if np.isnan(v) else float(v) for v in np.ravel(array)]


def make(folder, name, params, labels):
    x, rows, names = X, ROWS, {}
    if name == "categorical":
        rows = ROWS.copy()
        rows[:, 1] = np.arange(len(rows)) % 12
        x, names = CATEGORICAL, {"feature_types": ["q", "c"] + ["q"] * (X.shape[1] - 2), "enable_categorical": True}
    data = xgb.DMatrix(x, np.asarray(labels, dtype=np.float32), **names)
    if name == "rank":
        data.set_group([150, 150])
    params = {"nthread": 1, "verbosity": 0, "max_depth": 4, **params}
    if TINY:
        params["max_depth"] = 1 if name == "forest" else 2
    booster = xgb.train(params, data, 2 if TINY else 12)
    ask = xgb.DMatrix(rows, **names)
    stem = f"xgboost-{xgb.__version__}-{name}"
    expected = {
        "rows": [numbers(row) for row in rows],
        "margins": numbers(booster.predict(ask, output_margin=True)),
        "outputs": numbers(booster.predict(ask)),
    }
    (folder / f"{stem}.expected").write_text(json.dumps(expected) + "\n")
    for encoding in ("json", "ubj") if VERSION >= (1, 6) else ("json",):
        booster.save_model(str(folder / f"{stem}.{encoding}"))


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    made = 0
    for name, (params, labels, since) in CASES.items():
        if VERSION >= since:
            make(folder, name, params, labels)
            made += 1
    print(f"XGBoost {xgb.__version__}: {made} models in {folder}")


if __name__ == "__main__":
    main()
