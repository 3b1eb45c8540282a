# SPDX-License-Identifier: Apache-2.0
"""Predictions of ONNX models in the log: what was sent and answered, tensor by tensor, and what may not be kept."""

import hashlib
import hmac
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import requests
from onnx import TensorProto, helper, numpy_helper

import test_replicas as replicas
from conftest import BINARY
from predlog import lines, settled
from test_replicas import model  # noqa: F401 (a fixture)

sys.path.append(str(pathlib.Path(__file__).parents[1] / "onnx"))
import networks  # noqa: E402

FLOAT, INT64, STRING, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL
node = helper.make_node


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Rows of tensors of four datatypes."""
    model = networks.of_nodes(
        [node("Add", ["x", "secret"], ["y"]), node("Greater", ["x", "secret"], ["over"]), node("Identity", ["word"], ["said"]),
         node("Identity", ["account"], ["of"])],
        [("x", FLOAT, ["n", 2]), ("secret", FLOAT, ["n", 1]), ("word", STRING, ["n", 1]), ("note", STRING, ["n", 1]),
         ("account", INT64, ["n", 1])],
        [("y", FLOAT, ["n", 2]), ("over", BOOL, ["n", 2]), ("said", STRING, ["n", 1]), ("of", INT64, ["n", 1])])
    path = tmp_path_factory.mktemp("mixed") / "mixed.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def loose(tmp_path_factory):
    """An input that may be left out, and two outputs."""
    factor = numpy_helper.from_array(np.array([2], np.float32), "factor")
    model = networks.of_nodes([node("Mul", ["x", "factor"], ["y"]), node("Neg", ["x"], ["less"])],
                              [("x", FLOAT, [2, 2]), ("factor", FLOAT, [1])],
                              [("y", FLOAT, [2, 2]), ("less", FLOAT, [2, 2])], [factor])
    path = tmp_path_factory.mktemp("loose") / "loose.onnx"
    path.write_bytes(model.SerializeToString())
    return path


ROWS = {"x": ("FP32", [[0.1, -2.5], [3.25, 1e-7]]), "secret": ("FP32", [[0.5], [1.25]]),
        "word": ("BYTES", [["Zürich"], ['a "b"']]), "note": ("BYTES", [["private"], [""]]),
        "account": ("INT64", [[7], [3]])}


def tensor(name, datatype, values):
    return {"name": name, "datatype": datatype, "shape": list(np.shape(values)), "data": list(np.asarray(values, dtype=object).flat)}


def infer(server, model, inputs, outputs=None, **how):
    body = {"inputs": [tensor(name, *values) for name, values in inputs.items()]}
    if outputs:
        body["outputs"] = [{"name": name} for name in outputs]
    return requests.post(f"{server.url}/v2/models/{model}/infer", json=body, timeout=60, **how)


def answered(answer):
    """{name: nested lists} of an answer of the Open Inference Protocol."""
    assert answer.status_code == 200, answer.text
    return {o["name"]: np.asarray(o["data"], dtype=object).reshape(o["shape"]).tolist() for o in answer.json()["outputs"]}


def queried(server, model):
    done = subprocess.run([BINARY, "log", "query", model, "--json", "--url", server.url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def close(logged, sent):
    """The text of a float32 is the shortest that gives it again."""
    return np.array_equal(np.asarray(logged, np.float32), np.asarray(sent, np.float32))


def test_the_log_has_what_was_sent_and_what_was_answered(start_server, mixed):
    server = start_server("--gateways", 1)
    server.push("mixed", mixed)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    v2 = infer(server, "mixed", ROWS, headers={"traceparent": trace})
    some = infer(server, "mixed", ROWS, outputs=["of", "said"])
    v1 = server.predict("mixed", {"instances": [{name: values[0] for name, (_, values) in ROWS.items()}]})
    assert v1.status_code == 200, v1.text
    assert (c := settled(server, 3))["committed"] == 3 and c["dropped"] == 0
    whole, asked, row = queried(server, "mixed")
    assert [line["id"] for line in (whole, asked, row)] == \
        [answer.headers["Slipway-Prediction-Id"] for answer in (v2, some, v1)]
    for line in (whole, asked):
        assert (line["kind"], line["status"], line["rows"], line["truncated"]) == ("prediction", 200, 2, False)
        assert list(line["inputs"]) == list(ROWS) and line["latency_us"] > 0
        for name, (datatype, values) in ROWS.items():
            assert close(line["inputs"][name], values) if datatype == "FP32" else line["inputs"][name] == values
    assert whole["trace_id"] == trace.split("-")[1] and asked["trace_id"] is None
    assert whole["outputs"] == answered(v2) and list(whole["outputs"]) == ["y", "over", "said", "of"]
    assert whole["outputs"]["over"] == [[False, False], [True, False]] and whole["outputs"]["of"] == [[7], [3]]
    assert asked["outputs"] == answered(some) and set(asked["outputs"]) == {"of", "said"}
    assert row["rows"] == 1 and row["inputs"]["word"] == [["Zürich"]] and row["inputs"]["account"] == [[7]]
    assert {name: values[0] for name, values in row["outputs"].items()} == v1.json()["predictions"][0]


def test_what_may_not_be_kept_of_a_tensor_is_not_in_the_log(start_server, mixed):
    server = start_server("--gateways", 1)
    rules = {"secret": "hash", "word": "truncate:3", "note": "hash", "account": "drop", "x": "bucket:0.5"}
    server.push("mixed", mixed, signature={"inputs": [{"name": name, "log": rule} for name, rule in rules.items()],
                                           "outputs": [{"name": "of", "log": "drop"}, {"name": "said", "log": "hash"}]})
    answer = infer(server, "mixed", ROWS)
    assert answered(answer)["of"] == ROWS["account"][1]  # it is the log that leaves it out
    settled(server, 1)
    key = (server.data_dir / "state" / "log.key").read_bytes()

    def hashed(text):
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:16]

    [line] = lines(server, model="mixed")
    assert line["inputs"] == {"x": [[0, -2.5], [3, 0]], "secret": [[hashed("0.5")], [hashed("1.25")]], "word": [["Zü"], ['a "']],
                              "note": [[hashed("private")], [hashed("")]]}
    assert set(line["outputs"]) == {"y", "over", "said"}
    assert line["outputs"]["said"] == [[hashed("Zürich")], [hashed('a "b"')]]
    for path in server.data_dir.glob("state/wal/*"):
        data = path.read_bytes()
        assert b"private" not in data and "Zürich".encode() not in data


def test_an_input_that_is_left_out_is_left_out_of_the_log(start_server, loose):
    server = start_server("--gateways", 1)
    x = ("FP32", [[1, 2], [3, 4]])
    for model, signature in (("kept", {}), ("hashed", {"signature": {"inputs": [{"name": "factor", "log": "hash"}]}})):
        server.push(model, loose, **signature)
        without, given = infer(server, model, {"x": x}), infer(server, model, {"x": x, "factor": ("FP32", [3])}, outputs=["y"])
        assert answered(without)["y"] == [[2, 4], [6, 8]] and answered(given) == {"y": [[3, 6], [9, 12]]}
        assert settled(server, 1)["dropped"] == 0
        first, second = lines(server, model=model)
        assert first["inputs"] == {"x": x[1]} and first["outputs"] == answered(without)
        assert second["inputs"].keys() == {"x", "factor"} and second["outputs"] == answered(given)
        assert second["inputs"]["factor"] == [3] or model == "hashed"
    assert [line for line in lines(server, gaps="true") if line["kind"] == "gap"] == []


def test_failures_of_a_model_in_replicas_are_logged(start_fake_server, model):  # noqa: F811
    server = start_fake_server("--gateways", 1)
    server.push("m", model)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answers = [server.predict("m", {"instances": [row]}, headers={"traceparent": trace}) for row in
               ([1, "a", 3], replicas.row(replicas.ERROR), replicas.row(replicas.ABORT))]  # not decoded, refused, crashed
    assert [answer.status_code for answer in answers] == [400, 400, 500]
    assert settled(server, 3)["dropped"] == 0
    found = queried(server, "m")
    assert [(line["kind"], line["status"], line["error"]) for line in found] == \
        [("failure", answer.status_code, answer.json()["code"]) for answer in answers]
    for line in found:
        assert line["inputs"] is None and line["outputs"] is None and (line["version"], line["rows"]) == (1, 0)
        assert line["trace_id"] == trace.split("-")[1]
    assert found[2]["latency_us"] > 0
