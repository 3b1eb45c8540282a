# SPDX-License-Identifier: Apache-2.0
"""The command line with models of tensors: what push and show say, the curl line they print, predict and bench."""

import csv
import io
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
import requests
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

from conftest import BINARY

sys.path.append(str(pathlib.Path(__file__).parents[1] / "onnx"))
import networks  # noqa: E402


def slipway(server, *words, **how):
    return subprocess.run([BINARY, *map(str, words), "--url", server.url], capture_output=True, text=True, timeout=300, **how)


def fine(server, *words, **how):
    done = slipway(server, *words, **how)
    assert done.returncode == 0, done.stderr
    return done.stdout


def saved(model, path):
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


def doubled(path, shape):
    """y = x + x for x of that shape."""
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["x", "x"], ["y"])], "g", values[:1], values[1:])
    opsets = [onnx.helper.make_opsetid("", networks.OPSET)]
    return saved(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


class Scored:
    """A fitted scikit-learn model, its ONNX file, rows and the library's own answers to them."""

    def __init__(self, path, rows, labels, probabilities, classes):
        self.path, self.rows, self.labels, self.probabilities, self.classes = path, rows, labels, probabilities, classes


@pytest.fixture(scope="module")
def logistic(tmp_path_factory):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    fitted = LogisticRegression().fit(x[:200], np.where(x[:200, 0] + x[:200, 1] > 0, "yes", "no"))
    path = saved(skl2onnx.to_onnx(fitted, x[:1], target_opset=networks.OPSET), tmp_path_factory.mktemp("lr") / "lr.onnx")
    held_out = x[200:]
    return Scored(path, held_out, fitted.predict(held_out), fitted.predict_proba(held_out), fitted.classes_)


@pytest.fixture(scope="module")
def titanic(tmp_path_factory):
    """A data frame's columns as inputs: numbers with missing values, an integer, two of strings; gradient boosting."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rng = np.random.default_rng(5)
    n = 500
    columns = {
        "age": rng.uniform(1, 80, n).astype(np.float32),
        "fare": rng.exponential(30, n).astype(np.float32),
        "siblings": rng.integers(0, 5, n),
        "sex": rng.choice(["female", "male"], n),
        "port": rng.choice(["Bern, West", 'the "old" one', "Zürich"], n),
    }
    survived = (columns["sex"] == "female") * 2 + (columns["age"] < 20) + (columns["port"] == "Zürich") > 1.5
    columns["age"][rng.random(n) < 0.2] = np.nan

    table = np.empty((n, 5), dtype=object)
    for k, values in enumerate(columns.values()):
        table[:, k] = values
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    prepared = ColumnTransformer([
        ("numbers", numbers, [0, 1, 2]), ("words", OneHotEncoder(handle_unknown="ignore"), [3, 4]),
    ])  # fmt: skip
    fitted = make_pipeline(prepared, GradientBoostingClassifier(n_estimators=30, random_state=0)).fit(
        table[:400], np.where(survived, "survived", "died")[:400])
    types = [FloatTensorType([None, 1])] * 2 + [Int64TensorType([None, 1])] + [StringTensorType([None, 1])] * 2
    model = skl2onnx.to_onnx(fitted, initial_types=list(zip(columns, types)), target_opset=networks.OPSET)
    path = saved(model, tmp_path_factory.mktemp("titanic") / "titanic.onnx")
    rows = [dict(zip(columns, (None if v != v else v for v in row))) for row in table[400:].tolist()]
    return Scored(path, rows, fitted.predict(table[400:]), fitted.predict_proba(table[400:]), fitted.classes_)


def curl_of(text):
    """Runs the curl line that was printed, in a shell as a user would."""
    line = next(line for line in text.splitlines() if line.startswith("  curl "))
    return json.loads(subprocess.run(["bash", "-c", line + " -sS --fail"], capture_output=True, check=True, timeout=120).stdout)


def test_push_and_show_say_what_a_model_of_tensors_takes(server, logistic):
    pushed = fine(server, "push", "lr", logistic.path, "--replicas", 2, "--optimization", "basic")
    for text in (pushed, fine(server, "show", "lr"), fine(server, "show", "lr", 1)):
        assert "  inputs        X, FP32 [-1, 4]\n" in text
        assert "  outputs       output_label, BYTES [-1]\n" in text
        assert "                output_probability, FP32 [-1, 2]: no, yes\n" in text
        assert re.search("  replicas      [12] of 2 ready\n", text)  # the push waits for one
        assert "replicas: 2\n" in text and "optimization: basic\n" in text and "max_batch_rows: 256\n" in text
        assert "features" not in text and '"datatype"' not in text
    version = json.loads(fine(server, "show", "lr", 1, "--json"))
    assert version["replicas"]["wanted"] == 2
    assert version["signature"]["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}]


def test_the_printed_curl_line_works(server, logistic, titanic, tmp_path):
    for name, path in {
        "lr": logistic.path, "titanic": titanic.path, "words": saved(networks.transformer(), tmp_path / "w.onnx"),
    }.items():  # fmt: skip
        pushed = fine(server, "push", name, path)
        assert len(curl_of(pushed)["predictions"]) == 1
        assert len(curl_of(fine(server, "show", name))["predictions"]) == 1
    assert '{"instances":[[0,0,0,0]]}' in fine(server, "show", "lr")
    assert '{"words":[0],"mask":[0]}' in fine(server, "show", "words")
    assert '{"age":[0],"fare":[0],"siblings":[0],"sex":["a"],"port":["a"]}' in fine(server, "show", "titanic")


def test_a_model_whose_sizes_are_fixed_is_asked_as_it_wants(server, tmp_path):
    table_of_three = fine(server, "push", "three", doubled(tmp_path / "three.onnx", [3, 2]))
    assert '{"inputs":[[0,0],[0,0],[0,0]]}' in table_of_three
    assert curl_of(table_of_three)["outputs"] == [[0, 0], [0, 0], [0, 0]]
    assert curl_of(fine(server, "push", "scalar", doubled(tmp_path / "scalar.onnx", [])))["outputs"] == 0

    # Rows go one by one to a model that takes one.
    fine(server, "push", "one", doubled(tmp_path / "one.onnx", [1, 2]))
    assert fine(server, "predict", "one", input="a,b\n1,2\n3,4\n") == "y_0,y_1\n2.0,4.0\n6.0,8.0\n"
    assert slipway(server, "predict", "one", "--batch", 2, input="1,2\n3,4\n").returncode == 1
    refused = slipway(server, "bench", "three", "--duration", "0.1", "--sleep")
    assert refused.returncode == 1 and "first dimension is not its rows" in refused.stderr


def test_a_pipeline_of_columns_predicts_as_scikit_learn_does(server, titanic):
    server.push("titanic", titanic.path)
    v1 = server.predict("titanic", {"instances": titanic.rows}).json()["predictions"]
    assert [p["output_label"] for p in v1] == list(titanic.labels)
    np.testing.assert_allclose([p["output_probability"] for p in v1], titanic.probabilities, atol=1e-6)

    inputs = [
        {"name": name, "datatype": datatype, "shape": [len(titanic.rows), 1], "data": [row[name] for row in titanic.rows]}
        for name, datatype in zip(titanic.rows[0], ["FP32", "FP32", "INT64", "BYTES", "BYTES"])
    ]
    answer = requests.post(f"{server.url}/v2/models/titanic/infer", json={"inputs": inputs}, timeout=30).json()
    outputs = {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in answer["outputs"]}
    assert list(outputs["output_label"]) == list(titanic.labels)
    np.testing.assert_allclose(outputs["output_probability"], titanic.probabilities, atol=1e-6)


def csv_of(rows, header=None):
    """Text of a CSV file; missing values are empty."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows(([header] if header else []) + [["" if v is None else v for v in row] for row in rows])
    return text.getvalue()


def table(text):
    """CSV as {column: values}."""
    header, *rows = csv.reader(io.StringIO(text))
    return dict(zip(header, zip(*rows)))


def same_as(scored, text):
    got = table(text)
    assert list(got) == ["output_label"] + [f"output_probability_{c}" for c in scored.classes]
    assert list(got["output_label"]) == list(scored.labels)
    probabilities = np.array([got[f"output_probability_{c}"] for c in scored.classes], dtype=float).T
    np.testing.assert_allclose(probabilities, scored.probabilities, atol=1e-6)


def test_predict_takes_columns_in_order_for_one_input(server, logistic):
    server.push("lr", logistic.path)
    for header, flags in [
        (None, []), (["f0", "f1", "f2", "f3"], []), (["X_0", "X_1", "X_2", "X_3"], []), (["X_1", "b", "c", "d"], ["--by-position"]),
    ]:  # fmt: skip
        same_as(logistic, fine(server, "predict", "lr", *flags, "--batch", 7, input=csv_of(logistic.rows.tolist(), header)))
    swapped = csv_of(logistic.rows[:, ::-1].tolist(), ["X_3", "X_2", "X_1", "X_0"])
    same_as(logistic, fine(server, "predict", "lr", input=swapped))
    with_id = [[f"p{i}", *row] for i, row in enumerate(logistic.rows.tolist())]
    same_as(logistic, fine(server, "predict", "lr", "--ignore", "id", input=csv_of(with_id, ["id", "a", "b", "c", "d"])))
    lines = "\n".join(map(json.dumps, logistic.rows.tolist()))
    same_as(logistic, fine(server, "predict", "lr", "--format", "csv", input=lines))
    first = json.loads(fine(server, "predict", "lr", input=lines).splitlines()[0])
    assert first["output_label"] == logistic.labels[0] and len(first["output_probability"]) == 2
    wrong = slipway(server, "predict", "lr", input="a,b,c\n1,2,3\n")
    assert wrong.returncode == 1 and "has 3 columns, the model has 4 values a row" in wrong.stderr


def test_predict_takes_the_columns_of_a_data_frame_by_name(server, titanic):
    server.push("titanic", titanic.path)
    names = ["port", "fare", "age", "sex", "siblings"]
    rows = [[row[n] for n in names] for row in titanic.rows]
    same_as(titanic, fine(server, "predict", "titanic", "--batch", 9, input=csv_of(rows, names)))
    with_id = csv_of([[i, *row] for i, row in enumerate(rows)], ["id", *names])
    same_as(titanic, fine(server, "predict", "titanic", "--ignore", "id", input=with_id))
    unknown = slipway(server, "predict", "titanic", input=with_id)
    assert unknown.returncode == 1 and "column 'id' is no input of the model" in unknown.stderr
    lacking = slipway(server, "predict", "titanic", input=csv_of([row[:4] for row in rows], names[:4]))
    assert lacking.returncode == 1 and "no column 'siblings'" in lacking.stderr
    no_number = slipway(server, "predict", "titanic", input="age,fare,siblings,sex,port\n1,2,0,male,Bern\n1,2,many,male,Bern\n")
    assert "row 2, column 'siblings': 'many' is not a number" in no_number.stderr
    lines = "\n".join(map(json.dumps, titanic.rows))
    same_as(titanic, fine(server, "predict", "titanic", "--format", "csv", input=lines))


def test_predict_refuses_csv_where_rows_are_no_lists_and_takes_json_lines(server, tmp_path):
    server.push("net", saved(networks.convolutional(), tmp_path / "net.onnx"))
    refused = slipway(server, "predict", "net", input="a,b\n1,2\n")
    assert refused.returncode == 1 and "input 'x'" in refused.stderr and "JSON lines" in refused.stderr
    image = np.random.default_rng(1).normal(size=(3, 32, 32)).round(3).tolist()
    got = table(fine(server, "predict", "net", "--format", "csv", input=json.dumps(image) + "\n"))
    want = server.predict("net", {"instances": [image]}).json()["predictions"][0]
    assert list(got) == [f"y_{i}" for i in range(len(want))]
    assert [float(v) for (v,) in got.values()] == want


def test_bench_measures_models_of_tensors(server, logistic, titanic, tmp_path):
    # A tenth of the capacity is little on a busy machine, and no request in all of a run is not clean.
    shares, rate = ["--duration", "2"], ["--duration", "1", "--rate", "50"]
    for name, path, values, how, n_runs in [
        ("lr", logistic.path, 4, shares, 8), ("titanic", titanic.path, 5, rate, 2),
        ("net", saved(networks.mlp(), tmp_path / "m.onnx"), 20, rate, 2),
    ]:  # fmt: skip
        fine(server, "push", name, path)
        flags = ["--rows", "1,40", "--connections", "2", *how, "--sleep"]
        got = json.loads(fine(server, "bench", name, *flags, "--json"))
        assert got["clean"] and got["features"] == values and len(got["runs"]) == n_runs
        assert all(run["result"]["answered"] > 0 for run in got["runs"])
    assert f"{values} values a row" in fine(server, "bench", name, *flags, "--version", 1)
