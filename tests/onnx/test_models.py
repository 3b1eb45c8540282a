# SPDX-License-Identifier: Apache-2.0
"""Real models: scikit-learn pipelines through skl2onnx, and networks. Slipway's runtime must give the bits of Python's
onnxruntime for the same model file, for single rows and batches, and tell which models may be batched."""

import numpy as np
import pytest
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR

import networks
import runner
import tensors

BATCHES = (1, 2, 7, 100)
CITIES = np.array(["Bern", "Zürich", "", "Genève"], dtype=object)


def data(n=300, seed=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + rng.normal(size=n) * 0.2).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    return x, y


def classes(y, n=3, text=False):
    labels = np.digitize(y, np.quantile(y, np.linspace(0, 1, n + 1)[1:-1]))
    return np.array(["low", "middle", "high"], dtype=object)[labels] if text else labels


def pipeline(last):
    return make_pipeline(SimpleImputer(), StandardScaler(), last)


def theirs_of(model, inputs):
    session = runner.python_session(model.SerializeToString())
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def plain(value, labels):
    """onnxruntime's list of maps as the tensor that Slipway makes of it; a list of tensors stacked."""
    if isinstance(value, list) and isinstance(value[0], dict):
        keys = {str(k): k for k in value[0]}
        return np.array([[row[keys[label]] for label in labels] for row in value], dtype=np.float32)
    value = np.stack(value) if isinstance(value, list) else np.asarray(value)
    return value.astype(str).astype(object) if value.dtype.kind in "OUS" else value


def check(slipway, model, make_inputs):
    """make_inputs(n) -> {name: array of n rows}"""
    loaded = slipway.load(model)
    specs = {o["name"]: o for o in loaded.interface["outputs"]}
    for n in BATCHES + BATCHES:
        inputs = make_inputs(n)
        ours, theirs = loaded.infer(inputs), theirs_of(model, inputs)
        assert set(ours) == set(theirs)
        for name, value in theirs.items():
            want = plain(value, specs[name].get("labels"))
            assert tensors.same(ours[name], want), (n, name, ours[name], want)
            shape = specs[name].get("shape")
            if shape:
                assert len(shape) == want.ndim and all(a in (-1, b) for a, b in zip(shape, want.shape)), (shape, want.shape)
    return loaded


REGRESSORS = [
    LinearRegression(), SVR(), KNeighborsRegressor(3), RandomForestRegressor(20, random_state=0),
    GradientBoostingRegressor(n_estimators=30, random_state=0),
]  # fmt: skip
CLASSIFIERS = [
    LogisticRegression(), SVC(probability=True, random_state=0), KNeighborsClassifier(3),
    RandomForestClassifier(20, random_state=0), GradientBoostingClassifier(n_estimators=10, random_state=0),
]  # fmt: skip


@pytest.mark.parametrize("last", REGRESSORS, ids=lambda m: type(m).__name__)
def test_regression(slipway, last):
    x, y = data()
    model = skl2onnx.to_onnx(pipeline(last).fit(x, y), x[:1], target_opset=networks.OPSET)
    loaded = check(slipway, model, lambda n: {"X": x[:n]})
    assert loaded.interface["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 5]}]
    assert loaded.probe()[0] == 256


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "texts"])
@pytest.mark.parametrize("last", CLASSIFIERS, ids=lambda m: type(m).__name__)
def test_classification(slipway, last, text):
    x, y = data()
    fitted = pipeline(last).fit(x, classes(y, text=text))
    model = skl2onnx.to_onnx(fitted, x[:1], target_opset=networks.OPSET)
    loaded = check(slipway, model, lambda n: {"X": x[:n]})
    label, score = loaded.interface["outputs"]
    assert label["datatype"] == ("BYTES" if text else "INT64")
    assert score["datatype"] == "FP32" and score["shape"] == [-1, 3]
    assert score["labels"] == [str(c) for c in fitted.classes_]
    assert loaded.probe()[0] == 256


def test_mixed_columns_are_inputs_of_their_own(slipway):
    x, y = data()
    rng = np.random.default_rng(5)
    cities, ages = CITIES[rng.integers(0, 4, len(x))].reshape(-1, 1), rng.integers(18, 90, (len(x), 1))
    everything = np.concatenate([x.astype(object), cities, ages.astype(object)], axis=1)
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1, 2, 3, 4]),
            ("city", OneHotEncoder(handle_unknown="ignore"), [5]),
            ("age", StandardScaler(), [6]),
        ]
    )
    fitted = make_pipeline(columns, LogisticRegression()).fit(everything, classes(y, 2))
    model = skl2onnx.to_onnx(
        fitted,
        initial_types=[
            ("numbers", FloatTensorType([None, 5])), ("city", StringTensorType([None, 1])), ("age", Int64TensorType([None, 1])),
        ],
        target_opset=networks.OPSET,
    )  # fmt: skip
    loaded = check(slipway, model, lambda n: {"numbers": x[:n], "city": cities[:n], "age": ages[:n]})
    assert [i["datatype"] for i in loaded.interface["inputs"]] == ["FP32", "BYTES", "INT64"]
    assert loaded.probe()[0] == 256


def test_several_targets_are_a_sequence_that_is_stacked(slipway):
    x, y = data()
    x = np.nan_to_num(x)
    targets = np.stack([classes(y), classes(-x[:, 0])], axis=1)
    model = skl2onnx.to_onnx(MultiOutputClassifier(LogisticRegression()).fit(x, targets), x[:1], target_opset=networks.OPSET)
    loaded = check(slipway, model, lambda n: {"X": x[:n]})
    assert loaded.infer({"X": x[:4]})["probabilities"].shape == (2, 4, 3)
    assert loaded.probe()[0] == 0  # the first dimension of that is not the rows'


def test_without_zipmap_the_scores_are_a_tensor_anyway(slipway):
    x, y = data()
    fitted = pipeline(LogisticRegression()).fit(x, classes(y))
    model = skl2onnx.to_onnx(fitted, x[:1], options={"zipmap": False}, target_opset=networks.OPSET)
    loaded = check(slipway, model, lambda n: {"X": x[:n]})
    assert "labels" not in loaded.interface["outputs"][1]


def test_convolutional_network(slipway):
    rng = np.random.default_rng(6)
    images = rng.normal(size=(100, 3, 32, 32)).astype(np.float32)
    loaded = check(slipway, networks.convolutional(), lambda n: {"x": images[:n]})
    assert loaded.placed == {"y": True}
    rows, worst = loaded.probe()
    assert rows == 256 and worst < 1e-5


def test_transformer_of_any_length(slipway):
    rng = np.random.default_rng(7)

    def make(n):
        length = 3 + n % 5
        mask = (rng.random((n, length)) < 0.8).astype(np.int64)
        return {"words": rng.integers(0, 100, (n, length)), "mask": mask}

    loaded = check(slipway, networks.transformer(), make)
    assert loaded.placed == {"states": True, "pooled": True}
    rows, worst = loaded.probe()
    assert rows == 256 and worst < 1e-5


def test_perceptron(slipway):
    x, _ = data()
    loaded = check(slipway, networks.mlp(5), lambda n: {"x": x[:n]})
    rows, worst = loaded.probe()
    assert rows == 256 and worst < 1e-5
