# SPDX-License-Identifier: Apache-2.0
"""LightGBM text models: raw scores bit-equal to the library, outputs within one unit of the last place.

Each model is trained here, saved, and read by LightGBM and by us; a file is all that either of them has. Rows mix
training data with values at the edges of the rules (see EDGES)."""

import json

import lightgbm as lgb
import numpy as np
import pytest

from compare import same_bits, ulps, within_ulps
from conftest import Refused

N_FEATURES, N_ROWS = 6, 500
KIND = 4  # the feature with categories 0 .. 49
EDGES = [np.nan, 0.0, -0.0, 1e-36, -1e-36, 1.0000000180025095e-35, 1.1e-35, -1.1e-35, np.inf, -np.inf, 1e300, -1e300,
         0.5, -0.5, -0.99, -1.0, -1.5, -5.0, 3.7, 31.0, 32.0, 33.0, 49.0, 50.0, 51.0, 63.0, 64.0, 1e5, 2147483647.0,
         2147483648.0, 4294967296.0, 1e18]  # fmt: skip


def table(rng, missing):
    x = rng.normal(size=(N_ROWS, N_FEATURES))
    x[:, 1] = np.round(x[:, 1], 1)
    x[:, 2] *= 1e-34  # around the width of LightGBM's zero
    x[:, 3][rng.random(N_ROWS) < 0.5] = 0.0
    x[:, KIND] = rng.integers(0, 50, N_ROWS)
    x[:, 5] = rng.exponential(size=N_ROWS) * 100
    if missing:
        x[rng.random(x.shape) < 0.05] = np.nan
    return x


def edge_rows(rng, x):
    rows = x[rng.integers(0, len(x), 300)].copy()
    mixed = rng.random(rows.shape) < 0.3
    rows[mixed] = rng.choice(EDGES, size=mixed.sum())
    return np.vstack([x[:100], rows, rng.choice(EDGES, size=(200, N_FEATURES))])


def label(rng, x, objective):
    z = np.nan_to_num(x)
    y = z[:, 0] + z[:, KIND] % 7 * 0.3 + np.sign(z[:, 2]) + 0.01 * z[:, 5] + rng.normal(size=len(x)) * 0.2
    y = (y - y.min()) / (y.max() - y.min()) * 0.98 + 0.01
    if "multiclass" in objective:
        return (y * 2.999).astype(int)
    if "rank" in objective:
        return (y * 3.99).astype(int)
    return (y > 0.4).astype(int) if objective == "binary" else y


def train(params, missing=True, kind=False, rounds=12):
    rng = np.random.default_rng(11)
    x = table(rng, missing)
    objective = params["objective"]
    y = label(rng, x, objective if isinstance(objective, str) else "regression")
    data = lgb.Dataset(x, y, categorical_feature=[KIND] if kind else "auto")
    if "rank" in str(objective):
        data.set_group([50] * (N_ROWS // 50))
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "seed": 3, "num_leaves": 15, **params}
    if "multiclass" in str(objective):
        settings["num_class"] = 3
    return lgb.train(settings, data, rounds), edge_rows(rng, x)


def own_objective(predicted, data):
    return predicted - data.get_label(), np.ones_like(predicted)


def own_objective_of_three(predicted, data):
    wanted = np.arange(3) == (data.get_label() * 2.999).astype(int)[:, None]
    return predicted - wanted, np.ones_like(predicted)


RF = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}
MODELS = {
    # every objective
    "regression": dict(params={"objective": "regression"}),
    "regression-sqrt": dict(params={"objective": "regression", "reg_sqrt": True}),
    "l1": dict(params={"objective": "regression_l1"}),
    "l1-sqrt": dict(params={"objective": "regression_l1", "reg_sqrt": True}),
    "huber": dict(params={"objective": "huber"}),
    "fair": dict(params={"objective": "fair"}),
    "fair-sqrt": dict(params={"objective": "fair", "reg_sqrt": True}),
    "poisson": dict(params={"objective": "poisson"}),
    "quantile": dict(params={"objective": "quantile", "alpha": 0.8}),
    "quantile-sqrt": dict(params={"objective": "quantile", "reg_sqrt": True}),
    "mape": dict(params={"objective": "mape"}),
    "gamma": dict(params={"objective": "gamma"}),
    "tweedie": dict(params={"objective": "tweedie", "tweedie_variance_power": 1.3}),
    "cross-entropy": dict(params={"objective": "cross_entropy"}),
    "cross-entropy-lambda": dict(params={"objective": "cross_entropy_lambda"}),
    "lambdarank": dict(params={"objective": "lambdarank"}),
    "rank-xendcg": dict(params={"objective": "rank_xendcg"}),
    "binary": dict(params={"objective": "binary"}, kind=True),
    # the library reads these by its own quick routine; 5.56622 is not the nearest double there
    "binary-sigmoid-0.15": dict(params={"objective": "binary", "sigmoid": 0.15}),
    "binary-sigmoid-5.56622": dict(params={"objective": "binary", "sigmoid": 5.56622}),
    "multiclass": dict(params={"objective": "multiclass"}, kind=True),
    "multiclassova": dict(params={"objective": "multiclassova"}),
    "multiclassova-sigmoid": dict(params={"objective": "multiclassova", "sigmoid": 2.5}),
    "own-objective": dict(params={"objective": own_objective}),
    "own-objective-of-three": dict(params={"objective": own_objective_of_three, "num_class": 3}),
    # boosting
    "dart": dict(params={"objective": "binary", "boosting": "dart", "drop_rate": 0.5}, kind=True),
    "goss": dict(params={"objective": "binary", "data_sample_strategy": "goss"}),
    "rf-binary": dict(params={"objective": "binary", **RF}, kind=True),
    "rf-regression": dict(params={"objective": "regression", **RF}),
    "rf-multiclass": dict(params={"objective": "multiclass", **RF}),
    "rf-poisson": dict(params={"objective": "poisson", **RF}),
    # missing values and zeros
    "no-missing-seen": dict(params={"objective": "regression"}, missing=False, kind=True),
    "missing-unused": dict(params={"objective": "regression", "use_missing": False}, kind=True),
    "zero-as-missing": dict(params={"objective": "regression", "zero_as_missing": True}, kind=True),
    "zero-as-missing-none-seen": dict(params={"objective": "binary", "zero_as_missing": True}, missing=False),
    # categories
    "categories-many": dict(params={"objective": "binary", "cat_smooth": 0, "min_data_per_group": 1}, kind=True),
    "categories-one-hot": dict(params={"objective": "binary", "max_cat_to_onehot": 100}, kind=True),
    "categories-rf-sqrt": dict(params={"objective": "regression", "reg_sqrt": True, **RF}, kind=True),
    # linear leaves
    "linear": dict(params={"objective": "regression", "linear_tree": True}),
    "linear-no-missing-seen": dict(params={"objective": "regression", "linear_tree": True}, missing=False, kind=True),
    "linear-binary": dict(params={"objective": "binary", "linear_tree": True, "linear_lambda": 0.1}, kind=True),
    # shapes
    "stumps": dict(params={"objective": "binary", "num_leaves": 2}),
    "wide": dict(params={"objective": "regression", "num_leaves": 200, "min_data_in_leaf": 1}),
    "one-leaf": dict(params={"objective": "binary", "min_data_in_leaf": 10**6}),
    "one-leaf-multiclass": dict(params={"objective": "multiclass", "min_data_in_leaf": 10**6}),
    "monotone": dict(params={"objective": "regression", "monotone_constraints": [1, 0, 0, 0, 0, -1]}),
    "quantized": dict(params={"objective": "regression", "use_quantized_grad": True}),
    "many-trees": dict(params={"objective": "binary"}, rounds=300),
}


def compare(slipway, file, rows):
    library = lgb.Booster(model_file=str(file))
    about, margins, outputs = slipway(file, rows, dtype=np.float64)
    raw = np.asarray(library.predict(rows, raw_score=True)).reshape(margins.shape)
    if "average_output" in file.read_text().splitlines():  # a margin of ours is the mean, the library's is the sum
        raw = raw / library.current_iteration()
    same_bits(margins, raw)
    within_ulps(outputs, library.predict(rows), 1)
    return about


@pytest.mark.parametrize("name", MODELS)
def test_raw_scores_are_the_librarys_bits(name, slipway, tmp_path):
    booster, rows = train(**MODELS[name])
    file = tmp_path / "model.txt"
    booster.save_model(file)
    about = compare(slipway, file, rows)
    assert about["n_trees"] == booster.num_trees()
    assert about["platform"] == "lightgbm_txt"
    assert about["categorical"][KIND] == int(MODELS[name].get("kind", False))
    assert about["is_vector"] == (about["n_outputs"] == 3) == ("multi" in name or "three" in name)


def test_values_within_the_librarys_zero_are_zero_on_input(slipway, tmp_path):
    """Training never puts a threshold there, a file may."""
    booster, rows = train({"objective": "regression", "num_leaves": 2}, rounds=1)
    kept = [line for line in booster.model_to_string().splitlines() if not line.startswith("tree_sizes=")]
    for threshold in ["5e-36", "-5e-36", "0", "-0", "1e-35", "-1.0000000180025095e-35"]:
        for decision in [0, 2, 4, 6, 8, 10]:
            edits = {"threshold": threshold, "decision_type": decision, "split_feature": 0}
            lines = [f"{k}={edits[k]}" if (k := line.partition("=")[0]) in edits else line for line in kept]
            (tmp_path / "model.txt").write_text("\n".join(lines) + "\n")
            compare(slipway, tmp_path / "model.txt", rows)


def early_stopped():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(400, 3))
    y = (x[:, 0] + rng.normal(size=400) > 0).astype(int)
    data = lgb.Dataset(x[:300], y[:300])
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "learning_rate": 0.5}
    stop = lgb.early_stopping(5, verbose=False)
    valid = lgb.Dataset(x[300:], y[300:], reference=data)
    # Kept as it was trained: else train() itself already drops the trees after the best iteration.
    return lgb.train(settings, data, 100, valid_sets=[valid], callbacks=[stop], keep_training_booster=True), x


def test_an_early_stopped_model_is_saved_up_to_its_best_iteration(slipway, tmp_path):
    booster, x = early_stopped()
    assert 0 < booster.best_iteration < booster.num_trees()
    booster.save_model(tmp_path / "best.txt")
    about, margins, _ = slipway(tmp_path / "best.txt", x, dtype=np.float64)
    assert about["n_trees"] == booster.best_iteration
    same_bits(margins, booster.predict(x, raw_score=True))


def test_a_model_saved_whole_predicts_with_all_its_trees(slipway, tmp_path):
    booster, x = early_stopped()
    booster.save_model(tmp_path / "all.txt", num_iteration=-1)
    about, margins, _ = slipway(tmp_path / "all.txt", x, dtype=np.float64)
    assert about["n_trees"] == booster.num_trees()
    same_bits(margins, lgb.Booster(model_file=str(tmp_path / "all.txt")).predict(x, raw_score=True))
    assert ulps(margins, booster.predict(x, raw_score=True)) > 1  # that one stops at the best iteration


def test_names_are_the_files_own(slipway, tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 5))
    names = ["net income", "a=b", "größe", "it's\\", "Column_4"]
    data = lgb.Dataset(x, x[:, 0], feature_name=names)
    booster = lgb.train({"objective": "regression", "verbose": -1, "num_threads": 1}, data, 3)
    booster.save_model(tmp_path / "named.txt")
    about = compare(slipway, tmp_path / "named.txt", x)
    assert about["features"] == ["net_income", "a=b", "größe", "it's\\", "Column_4"] and about["named"]


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_the_scikit_learn_wrappers_booster(slipway, tmp_path):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 4))
    model = lgb.LGBMClassifier(n_estimators=8, verbose=-1, n_jobs=1).fit(x, np.digitize(x[:, 1], [-0.5, 0.5]))
    model.booster_.save_model(tmp_path / "sk.txt")
    compare(slipway, tmp_path / "sk.txt", x)
    _, _, outputs = slipway(tmp_path / "sk.txt", x, dtype=np.float64)
    within_ulps(outputs, model.predict_proba(x), 1)


@pytest.mark.parametrize("categories, says", [('[["a", "b"], [0, 1]]', None), ("[[10, 20]]", "its code 0")])
def test_pandas_categories_are_codes(categories, says, slipway, tmp_path):
    booster, rows = train({"objective": "binary"}, kind=True)
    text = booster.model_to_string()
    assert "pandas_categorical:null" in text
    (tmp_path / "p.txt").write_text(text.replace("pandas_categorical:null", "pandas_categorical:" + categories))
    if not says:
        same_bits(slipway(tmp_path / "p.txt", rows, dtype=np.float64)[1], booster.predict(rows, raw_score=True))
        return
    with pytest.raises(Refused, match=says):
        slipway(tmp_path / "p.txt", rows, dtype=np.float64)


def test_a_dumped_model_and_half_a_file_are_refused(slipway, tmp_path):
    booster, rows = train({"objective": "binary"})
    (tmp_path / "dump.json").write_text(json.dumps(booster.dump_model()))
    with pytest.raises(Refused, match="unsupported_model"):
        slipway(tmp_path / "dump.json", rows, dtype=np.float64)
    text = booster.model_to_string()
    (tmp_path / "half.txt").write_text(text[: text.index("end of trees")])
    with pytest.raises(Refused, match="was it cut short"):
        slipway(tmp_path / "half.txt", rows, dtype=np.float64)
