# SPDX-License-Identifier: Apache-2.0
"""Trains small XGBoost models across everything that is supported and holds Slipway's numbers against the library's:
margins equal in all bits, outputs within one unit of the last place (the sigmoid and the exponential are the C
library's, and wheels may bring a build of their own)."""

import json
import os
import pathlib

import numpy as np
import pytest
import xgboost as xgb
from sklearn import datasets

from compare import same_bits, within_ulps
from conftest import FIXTURES, Refused

ROUNDS = 12


def synthetic(seed=7, n=300, d=6):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    y = x[:, 0] + np.sin(2 * x[:, 1]) + 0.3 * x[:, 2] * x[:, 3]
    x[rng.random(x.shape) < 0.08] = np.nan
    return x, y.astype(np.float32)


X, Y = synthetic()
POSITIVE = np.abs(Y) + 0.01
CLASSES = np.digitize(Y, [-1.0, 0.0, 1.0])
UNIT = (Y - Y.min()) / (Y.max() - Y.min())
TWO = np.stack([Y, np.cos(Y) * 3], axis=1)
WEIGHTS = np.random.default_rng(1).random(len(Y)).astype(np.float32) + 0.1


def hard_rows(booster, x, n=400):
    """Rows around the training data, its own thresholds, missing values and the ends of float32."""
    rng = np.random.default_rng(11)
    rows = x[rng.integers(0, len(x), n)] + rng.normal(scale=0.5, size=(n, x.shape[1])).astype(np.float32)
    for i, feature in enumerate(thresholds(booster)):
        if feature and i < x.shape[1]:
            at = rng.integers(0, n, 60)
            rows[at, i] = rng.choice(np.asarray(feature, dtype=np.float32), 60)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    ends = np.array([0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, 1e-36], dtype=np.float32)
    at = rng.random(rows.shape) < 0.05
    rows[at] = rng.choice(ends, at.sum())
    return rows.astype(np.float32)


def thresholds(booster):
    document = json.loads(booster.save_raw("json"))["learner"]
    model = document["gradient_booster"]
    model = model.get("gbtree", model)["model"]
    found = [[] for _ in range(int(document["learner_model_param"]["num_feature"]))]
    for tree in model.get("trees", []):
        for left, feature, condition in zip(tree["left_children"], tree["split_indices"], tree["split_conditions"]):
            if left != -1 and condition is not None:
                found[feature].append(condition)
    return found


def train(params, x=X, y=Y, rounds=ROUNDS, weight=None, group=None, **names):
    data = xgb.DMatrix(x, y, weight=weight, **names)
    if group is not None:
        data.set_group(group)
    return xgb.train({"max_depth": 4, "nthread": 1, "verbosity": 0, "seed": 3, **params}, data, rounds)


def aft(params):
    data = xgb.DMatrix(X)
    data.set_float_info("label_lower_bound", POSITIVE)
    data.set_float_info("label_upper_bound", np.where(POSITIVE > 1, np.inf, POSITIVE))
    return xgb.train({"nthread": 1, "verbosity": 0, "objective": "survival:aft", **params}, data, ROUNDS)


def sklearn_data(name):
    return getattr(datasets, "load_" + name)(return_X_y=True)


def bundled(name, params):
    x, y = sklearn_data(name)
    return train(params, x.astype(np.float32), y)


def own_objective(predicted, data):
    return predicted - data.get_label(), np.ones_like(predicted)


def reg(objective, y=Y, **params):
    return lambda: train({"objective": objective, **params}, y=y)


CASES = {
    "squarederror": reg("reg:squarederror"),
    "squarederror_base_score": reg("reg:squarederror", base_score=-3.75),
    "squaredlogerror": reg("reg:squaredlogerror", POSITIVE),
    "absoluteerror": reg("reg:absoluteerror"),
    "pseudohubererror": reg("reg:pseudohubererror"),
    "quantileerror": reg("reg:quantileerror", quantile_alpha=0.3),
    "quantileerror_vector": reg("reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9]),
    "reg_logistic": reg("reg:logistic", UNIT),
    "gamma": reg("reg:gamma", POSITIVE),
    "gamma_base_score": reg("reg:gamma", POSITIVE, base_score=0.0625),
    "tweedie": reg("reg:tweedie", POSITIVE, tweedie_variance_power=1.3),
    "poisson": reg("count:poisson", np.floor(POSITIVE * 2)),
    "binary_logistic": reg("binary:logistic", Y > 0),
    "binary_logistic_base_score": reg("binary:logistic", Y > 0, base_score=0.123),
    "binary_logistic_base_score_tiny": reg("binary:logistic", Y > 0, base_score=1e-7),
    "binary_logistic_base_score_one": reg("binary:logistic", Y > 0, base_score=1.0),
    "binary_logistic_base_score_zero": reg("binary:logistic", Y > 0, base_score=0.0),
    "binary_logitraw": reg("binary:logitraw", Y > 0, base_score=0.3),
    "binary_hinge": reg("binary:hinge", Y > 0),
    "softmax": reg("multi:softmax", CLASSES, num_class=4),
    "softprob": reg("multi:softprob", CLASSES, num_class=4),
    "softprob_many_classes": reg("multi:softprob", np.arange(len(Y)) % 17, num_class=17, max_depth=2),
    "multi_label": reg("binary:logistic", TWO > 0),
    "multi_target": reg("reg:squarederror", TWO),
    "vector_leaf": reg("reg:squarederror", TWO, multi_strategy="multi_output_tree"),
    "vector_leaf_softprob": reg("multi:softprob", CLASSES, num_class=4, multi_strategy="multi_output_tree"),
    "vector_leaf_forest": reg(
        "reg:squarederror", TWO, multi_strategy="multi_output_tree", num_parallel_tree=3, subsample=0.6
    ),
    "rank_pairwise": lambda: train({"objective": "rank:pairwise"}, y=CLASSES, group=[100, 120, 80]),
    "rank_ndcg": lambda: train({"objective": "rank:ndcg"}, y=CLASSES, group=[100, 120, 80]),
    "rank_map": lambda: train({"objective": "rank:map"}, y=CLASSES > 1, group=[100, 120, 80]),
    "cox": reg("survival:cox", np.where(Y > 0, POSITIVE, -POSITIVE)),
    "aft_normal": lambda: aft({"aft_loss_distribution": "normal"}),
    "aft_extreme": lambda: aft({"aft_loss_distribution": "extreme", "booster": "dart", "rate_drop": 0.3}),
    "dart": reg("reg:squarederror", booster="dart", rate_drop=0.4, skip_drop=0.1),
    "dart_softprob": reg("multi:softprob", CLASSES, num_class=4, booster="dart", rate_drop=0.4, normalize_type="forest"),
    "dart_weighted": reg("binary:logistic", Y > 0, booster="dart", rate_drop=0.5, sample_type="weighted"),
    "linear": reg("reg:squarederror", booster="gblinear"),
    "linear_logistic": reg("binary:logistic", Y > 0, booster="gblinear", base_score=0.2),
    "linear_softprob": reg("multi:softprob", CLASSES, num_class=4, booster="gblinear"),
    "random_forest": reg("reg:squarederror", num_parallel_tree=5, subsample=0.6, colsample_bynode=0.5, eta=1.0),
    "random_forest_softprob": reg("multi:softprob", CLASSES, num_class=4, num_parallel_tree=3, subsample=0.6),
    "pruned": reg("reg:squarederror", tree_method="exact", gamma=2.0, max_depth=6),
    "approx": reg("reg:squarederror", tree_method="approx"),
    "lossguide": reg("reg:squarederror", grow_policy="lossguide", max_leaves=24, max_depth=0),
    "deep": reg("reg:squarederror", max_depth=14, min_child_weight=0),
    "stump": reg("reg:squarederror", max_depth=1),
    "single_leaf": reg("reg:squarederror", gamma=1e9),
    "monotone": reg("reg:squarederror", monotone_constraints="(1,0,0,0,0,-1)"),
    "refreshed_leaves": reg("reg:squarederror", eta=0.05, reg_alpha=0.5),
    "weighted_rows": lambda: train({"objective": "binary:logistic"}, y=Y > 0, weight=WEIGHTS),
    "own_objective": lambda: xgb.train({"max_depth": 4, "nthread": 1}, xgb.DMatrix(X, Y), ROUNDS, obj=own_objective),
    "no_trees": lambda: train({"objective": "binary:logistic", "base_score": 0.4}, y=Y > 0, rounds=0),
    "sliced": lambda: train({}, rounds=10)[2:7],
    "breast_cancer": lambda: bundled("breast_cancer", {"objective": "binary:logistic"}),
    "diabetes": lambda: bundled("diabetes", {"objective": "reg:gamma"}),
    "wine": lambda: bundled("wine", {"objective": "multi:softprob", "num_class": 3}),
    "digits": lambda: bundled("digits", {"objective": "multi:softmax", "num_class": 10, "max_depth": 3}),
}


def check(slipway, booster, path, rows, names=None, iterations=None):
    """Saves, runs and compares; gives what the tool says about the model."""
    booster.save_model(path)
    about, margins, outputs = slipway(path, rows)
    data = xgb.DMatrix(rows, **(names or {}))
    kind = {"iteration_range": (0, iterations)} if iterations else {}
    same_bits(margins, booster.predict(data, output_margin=True, **kind))
    within_ulps(outputs, booster.predict(data, **kind), 1)
    return about


@pytest.fixture(scope="module")
def trained():
    done = {}

    def get(name):
        if name not in done:
            done[name] = CASES[name]()
        return done[name]

    return get


@pytest.mark.parametrize("encoding", ["json", "ubj"])
@pytest.mark.parametrize("name", CASES)
def test_margins_and_outputs(slipway, trained, tmp_path, name, encoding):
    booster = trained(name)
    n_features = booster.num_features()
    x = sklearn_data(name)[0].astype(np.float32) if n_features != X.shape[1] else X
    about = check(slipway, booster, tmp_path / f"model.{encoding}", hard_rows(booster, x))
    assert about["platform"] == "xgboost_" + encoding
    assert about["n_features"] == n_features
    assert about["features"] == [f"f{i}" for i in range(n_features)] and not about["named"]


def categorical_data(n_categories, seed=5, n=500):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    x[:, 1] = rng.integers(0, n_categories, n)
    x[:, 3] = rng.integers(0, 3, n)
    y = x[:, 0] + rng.normal(size=n_categories)[x[:, 1].astype(int)] * 2 + (x[:, 3] == 1)
    x[rng.random(x.shape) < 0.05] = np.nan
    return x, y


@pytest.mark.parametrize("encoding", ["json", "ubj"])
@pytest.mark.parametrize("n_categories, onehot", [(3, 100), (12, 1), (70, 1), (70, 200)])
def test_categorical_splits(slipway, tmp_path, n_categories, onehot, encoding):
    x, y = categorical_data(n_categories)
    names = {"feature_types": ["float", "c", "float", "c"], "enable_categorical": True}
    booster = train({"max_cat_to_onehot": onehot, "max_depth": 5}, x, y, **names)
    rows = np.concatenate([x, x[:100]])
    rows[-100:, 1] = np.arange(100) % (2 * n_categories)  # half of them were never seen
    rows[-20:, 3] = [0.5, 2.9, 16777215, 16777216, 3e9, -1, -0.5, -0.0, 31, 32] * 2
    about = check(slipway, booster, tmp_path / f"model.{encoding}", rows, names)
    assert about["categorical"] == [0, 1, 0, 1]


@pytest.mark.parametrize("encoding", ["json", "ubj"])
def test_names_come_from_the_file(slipway, tmp_path, encoding):
    names = ["age", "größe", "a b", '"quoted"', "x" * 200, "naïve"]
    booster = train({}, feature_names=names)
    about = check(slipway, booster, tmp_path / f"model.{encoding}", X, {"feature_names": names})
    assert about["features"] == names and about["named"]


@pytest.mark.parametrize("booster_kind", ["gbtree", "dart"])
@pytest.mark.parametrize("trees", [1, 3])
@pytest.mark.parametrize("objective", ["reg:squarederror", "multi:softprob"])
def test_an_early_stopped_model_serves_its_best_iteration(slipway, tmp_path, booster_kind, trees, objective):
    """As XGBModel.predict does, and Booster.predict with the iteration range."""
    y = Y + np.random.default_rng(2).normal(scale=2, size=len(Y)) if objective[0] == "r" else CLASSES
    kind = xgb.XGBRegressor if objective[0] == "r" else xgb.XGBClassifier
    model = kind(
        objective=objective, n_estimators=60, early_stopping_rounds=2, booster=booster_kind, learning_rate=0.9,
        rate_drop=0.02, num_parallel_tree=trees, subsample=0.7, n_jobs=1, random_state=1, verbosity=0,
    )  # fmt: skip
    model.fit(X[:150], y[:150], eval_set=[(X[150:], y[150:])], verbose=False)
    booster, best = model.get_booster(), model.best_iteration
    assert best + 1 < booster.num_boosted_rounds(), "nothing was stopped early"
    about = check(slipway, booster, tmp_path / "model.json", X, iterations=best + 1)
    assert about["n_trees"] == (best + 1) * trees * (4 if objective[0] == "m" else 1)
    _, _, outputs = slipway(tmp_path / "model.json", X)
    assert (booster.predict(xgb.DMatrix(X)).reshape(outputs.shape) != outputs).any(), "Booster.predict stops there too"
    theirs = model.predict(X) if objective[0] == "r" else model.predict_proba(X)
    np.testing.assert_allclose(outputs.reshape(theirs.shape), theirs, rtol=2e-5, atol=1e-6)
    if booster_kind == "gbtree":
        within_ulps(outputs, theirs, 1)
    booster.set_attr(best_iteration=None)
    check(slipway, booster, tmp_path / "whole.json", X)


def test_a_linear_model_has_no_iteration_to_stop_at(slipway, tmp_path):
    booster = train({"booster": "gblinear"})
    booster.set_attr(best_iteration="3")
    check(slipway, booster, tmp_path / "model.json", X)


def test_dart_weights_inside_the_model(slipway, tmp_path):
    """The layout of newer versions: the weights stand in the model, no inner gbtree."""
    booster = train({"booster": "dart", "rate_drop": 0.5})
    document = json.loads(booster.save_raw("json"))
    old = document["learner"]["gradient_booster"]
    model = {**old["gbtree"]["model"], "weight_drop": old["weight_drop"]}
    assert set(old["weight_drop"]) != {1}
    for name in ("dart", "gbtree"):
        document["learner"]["gradient_booster"] = {"name": name, "model": model}
        (tmp_path / "model.json").write_text(json.dumps(document))
        _, margins, _ = slipway(tmp_path / "model.json", X)
        same_bits(margins, booster.predict(xgb.DMatrix(X), output_margin=True))


def test_the_pretty_printed_and_reordered_file_is_the_same_model(slipway, tmp_path):
    booster = train({})
    document = json.loads(booster.save_raw("json"))
    turned = {key: document[key] for key in reversed(document)}
    (tmp_path / "model.json").write_text("\n " + json.dumps(turned, indent=2))
    _, margins, _ = slipway(tmp_path / "model.json", X)
    same_bits(margins, booster.predict(xgb.DMatrix(X), output_margin=True))


SAVED = FIXTURES if "SLIPWAY_PARITY_MODELS" not in os.environ else pathlib.Path(os.environ["SLIPWAY_PARITY_MODELS"])


@pytest.mark.parametrize("model", sorted(p.name for p in SAVED.glob("xgboost-*") if p.suffix != ".expected"))
def test_models_saved_by_older_versions(slipway, model):
    """The margins that the version that saved the file gave: dev/parity-old for all cases, fixtures/ for a few."""
    _, version, name = model.rsplit(".", 1)[0].split("-")
    version = tuple(int(x) for x in version.split("."))
    expected = json.loads((SAVED / (model.rsplit(".", 1)[0] + ".expected")).read_text())
    rows = np.array([[np.nan if v is None else v for v in row] for row in expected["rows"]], dtype=np.float32)
    _, margins, outputs = slipway(SAVED / model, rows)
    theirs = np.array(expected["margins"], dtype=np.float32).reshape(margins.shape)
    # Before 1.3 the leaves were summed before the base score was added, and DART until 1.5 added the base score to
    # each tree and took it off again. Later versions read these files as we do; the difference is rounding.
    if version < (1, 3) or ("dart" in name and version < (1, 6)):
        np.testing.assert_allclose(margins, theirs, rtol=1e-5, atol=2e-6)
    else:
        same_bits(margins, theirs)
        within_ulps(outputs, np.array(expected["outputs"], dtype=np.float32), 1)


def test_a_future_version_is_refused_by_name(slipway, tmp_path):
    document = json.loads(train({}).save_raw("json"))
    document["version"] = [4, 0, 0]
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(Refused, match="unsupported_model: saved by XGBoost 4.0.0"):
        slipway(tmp_path / "model.json", X)


def test_an_early_stopped_model_of_a_version_that_counts_trees(slipway, tmp_path):
    """Before 1.6 the file says best_ntree_limit and not how many trees an iteration has, here three."""
    document = json.loads((FIXTURES / "xgboost-1.5.2-forest.json").read_text())
    rows = np.random.default_rng(4).normal(size=(50, 3))
    model = document["learner"]["gradient_booster"]["model"]
    assert len(model["trees"]) == 6
    document["learner"]["attributes"] = {"best_iteration": "0", "best_ntree_limit": "3"}
    (tmp_path / "stopped.json").write_text(json.dumps(document))
    about, stopped, _ = slipway(tmp_path / "stopped.json", rows)
    assert about["n_trees"] == 3
    document["learner"]["attributes"] = {}
    (tmp_path / "whole.json").write_text(json.dumps(document))
    _, whole, _ = slipway(tmp_path / "whole.json", rows)
    model["trees"], model["tree_info"] = model["trees"][:3], model["tree_info"][:3]
    model["gbtree_model_param"]["num_trees"] = "3"
    (tmp_path / "cut.json").write_text(json.dumps(document))
    _, cut, _ = slipway(tmp_path / "cut.json", rows)
    same_bits(stopped, cut)
    assert (whole != cut).any()


def test_the_old_name_of_squarederror(slipway, tmp_path):
    booster = train({})
    document = json.loads(booster.save_raw("json"))
    document["learner"]["objective"]["name"] = "reg:linear"
    (tmp_path / "model.json").write_text(json.dumps(document))
    _, margins, outputs = slipway(tmp_path / "model.json", X)
    same_bits(margins, booster.predict(xgb.DMatrix(X), output_margin=True))
    same_bits(outputs, booster.predict(xgb.DMatrix(X)))


@pytest.mark.parametrize("objective", ["reg:expectileerror", "survival:interval", "my:objective"])
def test_an_unknown_objective_is_refused_by_name(slipway, tmp_path, objective):
    document = json.loads(train({}).save_raw("json"))
    document["learner"]["objective"]["name"] = objective
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(Refused, match=f"unsupported_model: objective '{objective}' is not supported"):
        slipway(tmp_path / "model.json", X)


def test_a_base_score_at_the_end_of_its_range(slipway, tmp_path):
    """Of a probability, XGBoost 3.2 moves it inwards (the cases above), and 3.1 refuses it, as we do for a file that says 3.1.
    Of a rate, it would be a margin that is not finite."""
    document = json.loads(train({"objective": "binary:logistic"}, y=Y > 0).save_raw("json"))
    document["version"] = [3, 1, 0]
    for score, objective in [("[1E0]", "binary:logistic"), ("[0E0]", "reg:logistic"), ("[0E0]", "count:poisson")]:
        document["learner"]["learner_model_param"]["base_score"] = score
        document["learner"]["objective"]["name"] = objective
        (tmp_path / "model.json").write_text(json.dumps(document))
        with pytest.raises(Refused, match=f"bad_model: base_score . of {objective}"):
            slipway(tmp_path / "model.json", X)


def test_a_dumped_model_is_refused(slipway, tmp_path):
    booster = train({})
    booster.dump_model(str(tmp_path / "dump.json"), dump_format="json")
    with pytest.raises(Refused, match="unsupported_model"):
        slipway(tmp_path / "dump.json", X)


UBJ = (FIXTURES / "xgboost-2.1.4-vector_leaf.ubj").read_bytes()
TYPED = UBJ.index(b"[$")  # the first packed array: marker, type, "#L", count in eight bytes


@pytest.mark.parametrize(
    "bytes_, fault",
    [
        (UBJ[:-1], "the file ends"),
        (UBJ[: len(UBJ) // 2], "the file ends|longer than the file"),
        (UBJ + b"Z", "bytes after the end of the document"),
        (b"{L" + bytes(7) + b"\7learnerX}", "an unknown type marker at byte 17"),
        (b"{L" + bytes(7) + b"\7learnerH", "an unknown type marker"),
        (b"{L" + bytes(7) + b"\7learner" + b"[" * 100, "nested too deep"),
        (b"{L" + bytes(7) + b"\7learnerZ}", "'learner' is absent"),
        (b"{L" + b"\xff" * 8 + b"learner", "a length is negative"),
        (b"{L" + b"\x7f" * 8 + b"learner", "a string is longer than the file"),
        (UBJ[: TYPED + 2] + b"S" + UBJ[TYPED + 3 :], "something else than numbers"),
        (UBJ[: TYPED + 3] + b"L" + UBJ[TYPED + 4 :], "a typed array without a count"),
        (UBJ[: TYPED + 4] + b"d" + UBJ[TYPED + 5 :], "a length is not an integer"),
        (UBJ[: TYPED + 5] + b"\x7f" + UBJ[TYPED + 6 :], "a typed array is longer than the file"),
        (UBJ[: TYPED + 5] + b"\x80" + UBJ[TYPED + 6 :], "a length is negative"),
    ],
)
def test_a_broken_ubjson_document_is_refused_with_its_fault(slipway, tmp_path, bytes_, fault):
    (tmp_path / "model.ubj").write_bytes(bytes_)
    with pytest.raises(Refused, match=f"bad_model: .*({fault})"):
        slipway(tmp_path / "model.ubj", np.zeros((0, 3)))
