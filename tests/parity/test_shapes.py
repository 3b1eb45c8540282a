# SPDX-License-Identifier: Apache-2.0
"""Models of the shapes at which the engine changes its way: more cuts in a feature than one column holds, many features,
deep trees, many trees, many classes, wide leaf-wise trees with categories. Small data, so that they train quickly; each test
first makes sure that its model has the shape. Ordinary shapes are in test_xgboost.py and test_lightgbm.py."""

import lightgbm as lgb
import numpy as np
import pytest

import test_lightgbm
import test_xgboost
from test_xgboost import hard_rows, thresholds

COLUMN = 253  # cuts that one column of the image takes


def data(n, d, seed=21):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 0]) + rng.normal(size=n) * 0.5
    x[rng.random(x.shape) < 0.03] = np.nan
    return x, y.astype(np.float32)


def xgboost_check(slipway, tmp_path, booster, rows):
    test_xgboost.check(slipway, booster, tmp_path / "model.json", rows)
    return test_xgboost.check(slipway, booster, tmp_path / "model.ubj", rows)


def at_each_cut(cuts, n_features, rng):
    """Rows whose feature 0 is each cut, and the float32 just below and above it."""
    cuts = np.unique(np.asarray(cuts, dtype=np.float32))
    beside = [np.nextafter(cuts, np.float32(-np.inf)), cuts, np.nextafter(cuts, np.float32(np.inf))]
    first = np.concatenate(beside)
    rows = rng.normal(size=(len(first), n_features)).astype(np.float32)
    rows[:, 0] = first
    return rows


@pytest.mark.parametrize("columns", [2, 5])
def test_more_cuts_than_a_column_holds(slipway, tmp_path, columns):
    """254 cuts are one too many for a column; the second case fills four columns and begins a fifth."""
    x, y = data(1200 if columns == 2 else 3000, 2)
    params = {"tree_method": "exact", "max_depth": 10 if columns == 2 else 14, "min_child_weight": 0, "eta": 0.9}
    booster = test_xgboost.train(params, x, y, rounds=4)
    cuts = thresholds(booster)[0]
    assert len(np.unique(np.float32(cuts))) > (columns - 1) * COLUMN
    rows = np.concatenate([at_each_cut(cuts, 2, np.random.default_rng(3)), hard_rows(booster, x)])
    xgboost_check(slipway, tmp_path, booster, rows)


def test_500_features(slipway, tmp_path):
    x, y = data(200, 500)
    booster = test_xgboost.train({"colsample_bytree": 0.1, "max_depth": 6, "min_child_weight": 0}, x, y, rounds=60)
    assert sum(len(cuts) > 0 for cuts in thresholds(booster)) > 350
    about = xgboost_check(slipway, tmp_path, booster, hard_rows(booster, x, 200))
    assert about["n_features"] == 500


def test_depth_12(slipway, tmp_path):
    x, y = data(2500, 5)
    booster = test_xgboost.train({"max_depth": 12, "min_child_weight": 0}, x, y, rounds=8)
    about = xgboost_check(slipway, tmp_path, booster, hard_rows(booster, x))
    assert about["max_depth"] == 12 and about["n_nodes"] > 8 * 500


@pytest.mark.parametrize("depth", [3, 6])
def test_2000_trees(slipway, tmp_path, depth):
    x, y = data(120, 8)
    booster = test_xgboost.train({"max_depth": depth, "eta": 0.02, "min_child_weight": 0}, x, y, rounds=2000)
    about = xgboost_check(slipway, tmp_path, booster, hard_rows(booster, x, 150))
    assert about["n_trees"] == 2000 and about["max_depth"] == depth


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
def test_10_classes(slipway, tmp_path, objective):
    x, y = data(600, 6)
    classes = np.digitize(y, np.quantile(y, np.arange(0.1, 1.0, 0.1)))
    booster = test_xgboost.train({"objective": objective, "num_class": 10, "max_depth": 6}, x, classes, rounds=6)
    about = xgboost_check(slipway, tmp_path, booster, hard_rows(booster, x))
    assert (about["n_margins"], about["n_outputs"]) == (10, 10 if objective.endswith("prob") else 1)
    assert about["n_trees"] == 60


@pytest.mark.parametrize("classes", [1, 10])
def test_255_leaves_with_categories(slipway, tmp_path, classes):
    """LightGBM, two categorical features of 60 and 400 categories beside four of numbers."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(4000, 6))
    x[:, 1], x[:, 4] = rng.integers(0, 60, len(x)), rng.integers(0, 400, len(x))
    x[:, 2] = rng.integers(0, 3000, len(x))
    effect = rng.normal(size=400)
    y = x[:, 0] + effect[x[:, 1].astype(int)] + effect[x[:, 4].astype(int)] + np.sin(x[:, 2]) + rng.normal(size=len(x))
    x[rng.random(x.shape) < 0.03] = np.nan
    params = {"objective": "binary", "num_leaves": 255, "min_data_in_leaf": 1, "min_data_per_group": 1, "cat_smooth": 1,
              "min_sum_hessian_in_leaf": 0, "verbose": -1, "num_threads": 1, "seed": 1}  # fmt: skip
    labels = y > 0
    if classes > 1:
        params |= {"objective": "multiclass", "num_class": classes}
        labels = np.digitize(y, np.quantile(y, np.arange(1, classes) / classes))
    booster = lgb.train(params, lgb.Dataset(x, labels, categorical_feature=[1, 4]), 6 if classes == 1 else 2)
    booster.save_model(tmp_path / "model.txt")
    rows = x[:500].copy()
    mixed = rng.random(rows.shape) < 0.2
    rows[mixed] = rng.choice(test_lightgbm.EDGES, size=mixed.sum())
    about = test_lightgbm.compare(slipway, tmp_path / "model.txt", rows)
    assert max(tree["num_leaves"] for tree in booster.dump_model()["tree_info"]) == 255
    assert about["n_margins"] == classes
    assert about["categorical"] == [0, 1, 0, 0, 1, 0]
