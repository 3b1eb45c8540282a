# SPDX-License-Identifier: Apache-2.0
"""Models that keep their weights in files beside them: only what was pushed is read, under the name that the model uses."""

import hashlib
import json
import os
import signal
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
import requests

from conftest import BINARY, until


def save(folder, location="weights.bin", seed=1):
    """A network of two layers whose weights lie in `location`; (path, x, what Python computes)."""
    rng = np.random.default_rng(seed)
    w1, w2 = rng.normal(size=(20, 64)).astype(np.float32), rng.normal(size=(64, 3)).astype(np.float32)
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w1"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
         helper.make_node("MatMul", ["r", "w2"], ["y"])], "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 20])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 3])],
        [onnx.numpy_helper.from_array(w1, "w1"), onnx.numpy_helper.from_array(w2, "w2")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = rng.normal(size=(4, 20)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    want = session.run(None, {"x": x})[0]
    folder.mkdir(exist_ok=True)
    onnx.save_model(model, folder / "big.onnx", save_as_external_data=True, location=location, size_threshold=0)
    return folder / "big.onnx", x, want


def push(server, *words):
    return subprocess.run([BINARY, "push", *map(str, words), "--url", server.url], capture_output=True, text=True,
                          timeout=300, stdin=subprocess.DEVNULL)


def same(server, x, want, model="m"):
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": list(x.shape), "data": x.reshape(-1).tolist()}]}
    # That a replica has ended is known a moment later.
    got = until(lambda: requests.post(f"{server.url}/v2/models/{model}/infer", json=body, timeout=60),
                lambda got: got.status_code != 503)
    assert got.status_code == 200, got.text
    return np.array_equal(np.array(got.json()["outputs"][0]["data"], np.float32).reshape(want.shape), want)


def test_weights_beside_the_model_are_pushed_with_it_and_survive_deaths_and_restarts(start_server, tmp_path):
    path, x, want = save(tmp_path / "model")
    server = start_server(data_dir=tmp_path / "data")
    done = push(server, "m", path, "--replicas", 2)
    assert done.returncode == 0, done.stderr
    assert "weights.bin" in done.stderr and "names as its weights" in done.stderr
    assert same(server, x, want)
    pids = until(lambda: [p["pid"] for p in requests.get(f"{server.url}/api/v1/status", timeout=60).json()["processes"]
                          if p["kind"] in ("replica", "loader") and p["state"] == "ready"], lambda found: len(found) == 3)
    for pid in pids: # the loader as well: it reads the weights again
        os.kill(pid, signal.SIGKILL)
    until(lambda: requests.get(f"{server.url}/ready", timeout=60).status_code, 200)
    assert same(server, x, want)
    server.stop()
    server = start_server(data_dir=tmp_path / "data")
    until(lambda: requests.get(f"{server.url}/ready", timeout=60).status_code, 200)
    assert same(server, x, want)
    # With more than one thread each replica loads them itself.
    assert push(server, "m", path, "--threads", 2).returncode == 0 and same(server, x, want)


def test_a_damaged_file_of_weights_never_answers(start_server, tmp_path):
    path, x, want = save(tmp_path / "model")
    server = start_server(data_dir=tmp_path / "data")
    assert push(server, "m", path).returncode == 0 and same(server, x, want)
    server.stop()
    digest = hashlib.sha256((path.parent / "weights.bin").read_bytes()).hexdigest()
    (blob,) = [f for f in (tmp_path / "data" / "blobs").rglob("*") if f.name in (digest, digest[2:])]
    blob.chmod(0o600)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    server = start_server(data_dir=tmp_path / "data")
    failed = server.wait_event("version_failed")
    assert "weights.bin" in json.dumps(failed) and "damaged" in json.dumps(failed), failed
    got = server.predict("m", {"instances": x.tolist()})
    assert got.status_code == 503, got.text


def test_a_file_may_lie_elsewhere_and_be_called_otherwise(start_server, tmp_path):
    path, x, want = save(tmp_path / "model")
    (tmp_path / "model" / "weights.bin").rename(tmp_path / "other.bin")
    server = start_server()
    assert push(server, "m", path, "--file", f"{tmp_path / 'other.bin'}=weights.bin").returncode == 0
    assert same(server, x, want)


@pytest.mark.parametrize("how", ["missing", "under another name"])
def test_a_file_that_is_missing_is_named(start_server, tmp_path, how):
    path, _, _ = save(tmp_path / "model")
    (tmp_path / "model" / "weights.bin").rename(tmp_path / "other.bin")
    server = start_server()
    done = push(server, "m", path, *(["--file", tmp_path / "other.bin"] if how != "missing" else []))
    assert done.returncode == 1 and "'weights.bin', which was not pushed with it" in done.stderr, done.stderr
    assert "--file FILE=NAME" in done.stderr
    assert requests.get(f"{server.url}/api/v1/models/m", timeout=10).status_code == 404


def test_no_path_leads_out_of_what_was_pushed(start_server, tmp_path):
    path, _, _ = save(tmp_path / "model")
    server, secret = start_server(), tmp_path / "secret.bin"
    (tmp_path / "model" / "weights.bin").rename(secret)
    for name in ("../secret.bin", str(secret)):
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            next(entry for entry in tensor.external_data if entry.key == "location").value = name
        path.write_bytes(model.SerializeToString())
        done = push(server, "m", path)
        assert done.returncode == 1 and f"'{name}', which was not pushed with it" in done.stderr, done.stderr


def test_data_files_of_a_model_that_has_none_are_refused(start_server, tmp_path):
    import xgboost
    rng = np.random.default_rng(1)
    booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(rng.normal(size=(50, 3)), rng.normal(size=50)), 2)
    booster.save_model(tmp_path / "m.json")
    (tmp_path / "w.bin").write_bytes(b"w")
    done = push(start_server(), "m", tmp_path / "m.json", "--file", tmp_path / "w.bin")
    assert done.returncode == 1 and "data files belong to ONNX models" in done.stderr, done.stderr
