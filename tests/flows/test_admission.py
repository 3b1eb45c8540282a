# SPDX-License-Identifier: Apache-2.0
"""Admission: golden rows of the training libraries, what is rejected and kept, what is refused, and later starts."""

import gzip
import hashlib
import io
import json
import os
import pathlib
import pickle
import re
import sqlite3
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import requests

from conftest import BINARY, restore_sums

sys.path.append(str(pathlib.Path(__file__).parents[1] / "onnx"))
STEPS = ["format", "signature", "limits", "fit", "golden", "batch", "stability", "extremes", "warm-up", "latency"]


def upload(server, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    requests.put(f"{server.url}/api/v1/blobs/{digest}", data=data, timeout=30).raise_for_status()
    return digest, len(data)


def push(server, model, data, golden=None, session=requests, **how):
    """The answer to a push of a model with golden rows, given as an object or as bytes."""
    files = [("model", "model", data)]
    if golden is not None:
        files.append(("golden", "golden.json", golden if isinstance(golden, bytes) else json.dumps(golden).encode()))
    artifacts = []
    for role, name, content in files:
        digest, size = upload(server, content)
        artifacts.append({"name": name, "role": role, "digest": digest, "size": size})
    return session.post(f"{server.url}/api/v1/models/{model}/versions", json={"artifacts": artifacts}, timeout=180, **how)


def show(server, model, version):
    return requests.get(f"{server.url}/api/v1/models/{model}/versions/{version}", timeout=30).json()


def golden_of(trained, n=60, **fields):
    return {"inputs": trained.instances(n), "outputs": trained.expected[:n].astype(float).tolist(), **fields}


@pytest.fixture(scope="module")
def pipeline():
    """scikit-learn, three classes, as ONNX, with the probabilities that scikit-learn gives."""
    import skl2onnx
    import sklearn.datasets
    import sklearn.linear_model

    x, y = sklearn.datasets.load_iris(return_X_y=True)
    x = x.astype(np.float32)
    model = sklearn.linear_model.LogisticRegression(max_iter=500).fit(x, y)
    onnx = skl2onnx.to_onnx(model, x[:1], options={"zipmap": False})
    return onnx.SerializeToString(), x, model.predict_proba(x), model.predict(x)


def golden_of_pipeline(pipeline, n=40):
    _, x, probabilities, labels = pipeline
    return {"inputs": x[:n].astype(float).tolist(), "tolerance": {"absolute": 1e-5, "relative": 1e-5},
            "outputs": [{"probabilities": p.tolist(), "label": int(c)} for p, c in zip(probabilities[:n], labels[:n])]}


@pytest.mark.parametrize("name, tolerance", [("churn", 1e-6), ("price", 1e-9), ("species", {"relative": 1e-5})])
def test_golden_rows_of_the_training_library_hold(server, request, name, tolerance):
    trained = request.getfixturevalue(name)
    answer = push(server, name, trained.path.read_bytes(), golden_of(trained, tolerance=tolerance))
    assert answer.status_code == 201, answer.text
    report = show(server, name, 1)["admission"]
    assert report["verdict"] == "accepted"
    assert [step["step"] for step in report["steps"]] == STEPS
    assert {step["result"] for step in report["steps"]} <= {"passed", "warned"}
    assert report["golden"]["rows"] == 60 and report["golden"]["batched_equal"] is True
    assert [size["rows"] for size in report["latency"]] == [1, 8, 32, 128, 1024]
    assert all(0 < size["p50_us"] <= size["p99_us"] for size in report["latency"])
    assert report["load_ms"] > 0 and report["memory_bytes"] > 1 << 20


def test_golden_rows_of_scikit_learn_hold_for_its_onnx(server, pipeline):
    answer = push(server, "iris", pipeline[0], golden_of_pipeline(pipeline))
    assert answer.status_code == 201, answer.text
    report = answer.json()["admission"]
    assert report["golden"]["rows"] == 40 and "onnx" in report["library"]
    assert 0 < report["golden"]["worst"]["difference"] < 1e-5 # float64 there, float32 here


def test_a_wrong_output_is_rejected_with_its_row_and_column_and_the_version_is_kept(server, species):
    good = push(server, "species", species.path.read_bytes())
    assert good.status_code == 201
    golden = golden_of(species, tolerance=1e-5)
    golden["outputs"][17][2] += 0.25
    refused = push(server, "species", species.path.read_bytes(), golden)
    error = refused.json()
    assert refused.status_code == 422 and error["code"] == "rejected" and error["version"] == 2
    assert error["step"] == "golden" and error["path"] == "$.outputs[17]"
    for text in ("version 2 of 'species'", "golden row 17", "prediction[2]", "0.25 off", "1e-05 is allowed"):
        assert text in error["error"], error
    worst = error["admission"]["golden"]["worst"]
    assert (worst["row"], worst["output"]) == (17, "prediction[2]")

    kept = show(server, "species", 2)
    assert kept["state"] == "rejected" and kept["serving"] == "none" and kept["reasons"][0]["step"] == "golden"
    assert kept["admission"]["verdict"] == "rejected"
    alias = requests.put(f"{server.url}/api/v1/models/species/aliases/champion", json={"version": 2}, timeout=30)
    assert alias.status_code in (409, 422), alias.text
    assert requests.post(f"{server.url}/v1/models/species/versions/2:predict",
                         json={"instances": species.instances(1)}, timeout=30).status_code == 404
    assert server.predict("species", {"instances": species.instances(1)}).headers["Slipway-Model-Version"] == "1"
    assert push(server, "species", species.path.read_bytes()).json()["version"] == 3


def test_a_wrong_output_of_an_onnx_model_is_rejected(server, pipeline):
    golden = golden_of_pipeline(pipeline)
    golden["outputs"][5]["label"] = 2
    error = push(server, "iris", pipeline[0], golden).json()
    assert error["code"] == "rejected" and "golden row 5, output 'label': expected 2, got 0" in error["error"], error
    assert show(server, "iris", 1)["state"] == "rejected"


@pytest.mark.parametrize("golden, code, path", [
    (b"{", "bad_json", None),
    ({"inputs": [[1, 2]], "outputs": [1]}, "wrong_count", "$.inputs[0]"),
    ({"inputs": [{"age": 1, "incme": 2}], "outputs": [1]}, "unknown_feature", "$.inputs[0].incme"),
    ({"inputs": [[1] * 6], "outputs": [1, 2]}, "wrong_count", "$.outputs"),
    ({"inputs": [[1] * 6], "outputs": [[1, 2]]}, "wrong_type", "$.outputs[0]"),
    ({"inputs": [[1] * 6], "outputs": [1], "tolerance": -1}, "out_of_range", "$.tolerance"),
])
def test_a_broken_golden_file_is_refused_with_the_place_and_makes_no_version(server, churn, golden, code, path):
    answer = push(server, "churn", churn.path.read_bytes(), golden)
    assert answer.status_code == 400 and answer.json()["code"] == code, answer.text
    assert answer.json().get("path") == path and "golden rows" in answer.json()["error"]
    assert requests.get(f"{server.url}/api/v1/models/churn", timeout=30).status_code == 404


def archive():
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("model.json")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"{}"))
    return data.getvalue()


def joblib_file(compress):
    import joblib
    import sklearn.linear_model

    data = io.BytesIO()
    joblib.dump(sklearn.linear_model.LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), data, compress=compress)
    return data.getvalue()


def numpy_file():
    data = io.BytesIO()
    np.savez(data, weights=np.zeros(3))
    return data.getvalue()


def test_files_that_are_no_models_are_named_and_make_no_version(server):
    import sklearn.linear_model

    model = sklearn.linear_model.LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    kinds = [(pickle.dumps(model, protocol=p), "a Python pickle") for p in range(6)]
    kinds += [(joblib_file(0), "pickle"), (joblib_file(3), "zlib"), (archive(), "a tar archive"), (numpy_file(), "NumPy"),
              (gzip.compress(b"{}"), "gzip"), (b"age,income\n1,2\n3,4\n", "CSV"), (b"some notes\n", "plain text"),
              (b"<?xml version='1.0'?><PMML version='4.4'/>", "PMML"), (b"PAR1" + bytes(8) + b"PAR1", "Parquet")]
    for data, what in kinds:
        answer = push(server, "m", data)
        error = answer.json()
        assert answer.status_code == 422 and error["code"] == "unsupported_model", (what, error)
        assert what in error["error"] and len(error["hint"]) > 20, (what, error)
    assert requests.get(f"{server.url}/api/v1/models/m", timeout=30).status_code == 404


def test_steps_come_as_lines_while_it_works(server, churn):
    how = {"session": requests.Session(), "headers": {"Accept": "application/x-ndjson"}, "stream": True} # one connection
    answer = push(server, "churn", churn.path.read_bytes(), golden_of(churn), **how)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/x-ndjson"
    said = [json.loads(line) for line in answer.iter_lines()]
    assert [line["step"] for line in said[:-1]] == STEPS
    assert said[-1]["version"] == 1 and said[-1]["state"] == "ready"
    wrong = golden_of(churn)
    wrong["outputs"][3] += 1
    answer = push(server, "churn", churn.path.read_bytes(), wrong, **how)
    said = [json.loads(line) for line in answer.iter_lines()]
    assert said[-2]["step"] == "golden" and said[-2]["result"] == "failed"
    assert said[-1]["code"] == "rejected" and said[-1]["version"] == 2
    refused = push(server, "churn", b"{}", **how)
    assert refused.status_code == 422 and refused.json()["code"] == "unsupported_model" # no step had ended


def run(server, *words, rc=0):
    done = subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, timeout=180,
                          env={**os.environ, "SLIPWAY_URL": server.url})
    assert done.returncode == rc, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def test_the_command_line_shows_the_steps_and_a_curl_line_that_works(server, churn, tmp_path):
    golden = tmp_path / "golden.json"
    golden.write_text(json.dumps(golden_of(churn)))
    out = run(server, "push", "churn", churn.path, "--golden", golden, "--metric", "auc=0.91", "--trained-from", "run 7").stdout
    found = [line.split()[0] for line in out.splitlines() if re.match(r"  \S+ +(passed|warned) +[0-9.]+ ms  ", line)]
    assert found == STEPS
    curl = next(line for line in out.splitlines() if line.strip().startswith("curl "))
    answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=30)
    assert len(json.loads(answer.stdout)["predictions"]) == 1
    shown = run(server, "show", "churn", "1").stdout
    for text in ("Admission: accepted", "60 rows, alone and together", "1024 rows", "p99", "auc", "run 7"):
        assert text in shown, shown
    assert run(server, "show", "churn/1").stdout == shown
    final = json.loads(run(server, "push", "churn", churn.path, "--golden", golden, "--json").stdout)
    assert final["version"] == 2 and final["admission"]["verdict"] == "accepted"
    wrong = golden_of(churn)
    wrong["outputs"][9] += 1
    golden.write_text(json.dumps(wrong))
    refused = run(server, "push", "churn", churn.path, "--golden", golden, rc=1)
    assert re.search(r"  golden +failed ", refused.stdout) and "golden row 9" in refused.stderr
    assert "Admission: rejected" in run(server, "show", "churn", "3").stdout
    assert run(server, "push", "churn", churn.path, "--metric", "auc=high", rc=1).stderr.count("--metric")


def test_golden_rows_are_computed_again_at_a_later_start(start_server, churn, price, pipeline, tmp_path):
    """As if the library computed something else now: the stored rows are exchanged for others while nothing runs."""
    server = start_server(data_dir=tmp_path / "data")
    assert push(server, "churn", churn.path.read_bytes(), golden_of(churn)).status_code == 201
    assert push(server, "iris", pipeline[0], golden_of_pipeline(pipeline)).status_code == 201
    assert push(server, "price", price.path.read_bytes(), golden_of(price)).status_code == 201
    others = {}
    for model, golden in (("churn", golden_of(churn)), ("iris", golden_of_pipeline(pipeline))):
        first = golden["outputs"][4]
        golden["outputs"][4] = {**first, "label": 2} if model == "iris" else first + 0.5
        others[model] = upload(server, json.dumps(golden).encode())
    server.stop()
    db = sqlite3.connect(tmp_path / "data" / "registry.db")
    for model, (digest, size) in others.items():
        changed = db.execute("UPDATE artifacts SET digest = ?, size = ? WHERE role = 'golden' AND version_id ="
                             " (SELECT v.id FROM versions v JOIN models m ON m.id = v.model_id WHERE m.name = ?)",
                             (digest.removeprefix("sha256:"), size, model)).rowcount
        assert changed == 1
    restore_sums(db, "artifacts", "version_id, name, digest, size, role")
    db.commit()
    db.close()

    server = start_server(data_dir=tmp_path / "data")
    # The image was kept: it would serve already, if its rows did not come first.
    assert show(server, "churn", 1)["serving"] == "failed"
    for model in others:
        server.wait_event("version_failed", lambda e, model=model: e["model"] == model)
        version = show(server, model, 1)
        assert version["serving"] == "failed" and "golden row 4" in version["error"], version
    assert server.predict("churn", {"instances": churn.instances(1)}).status_code == 503
    assert server.predict("price", {"instances": price.instances(1)}).status_code == 200


def test_a_kept_image_is_tried_with_the_golden_rows_before_it_serves(start_server, churn, tmp_path):
    server = start_server(data_dir=tmp_path / "data")
    assert push(server, "churn", churn.path.read_bytes(), golden_of(churn)).status_code == 201
    server.stop()
    server = start_server(data_dir=tmp_path / "data")
    assert server.wait_event("models_loaded")["kept_images"] == 1
    assert server.predict("churn", {"instances": churn.instances(1)}).status_code == 200
