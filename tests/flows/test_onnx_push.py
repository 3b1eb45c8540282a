# SPDX-License-Identifier: Apache-2.0
"""Files that are pushed as ONNX models, or instead of them, and are refused: what is said."""

import hashlib
import io
import pathlib
import pickle
import sys
import zipfile

import pytest
import requests

sys.path.append(str(pathlib.Path(__file__).parents[1] / "onnx"))
import networks  # noqa: E402


def push(server, data, name="m", **settings):
    """The status of a push and its answer."""
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    requests.put(f"{server.url}/api/v1/blobs/{digest}", data=data, timeout=60).raise_for_status()
    artifact = {"name": "file", "digest": digest, "size": len(data)}
    answer = requests.post(f"{server.url}/api/v1/models/{name}/versions", json={"artifacts": [artifact], "allow_breaking": True, **settings}, timeout=180)
    return answer.status_code, answer.json()


def zipped(*names):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        for name in names:
            z.writestr(name, b"x")
    return data.getvalue()


@pytest.mark.parametrize(
    "data, what, hint",
    [
        (pickle.dumps([1, 2], protocol=4), "a Python pickle", "skl2onnx"),
        (zipped("archive/data.pkl", "archive/version"), "a PyTorch file", "torch.onnx.export"),
        (zipped("model/saved_model.pb"), "a zipped TensorFlow SavedModel", "tf2onnx"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file", "onnx"),
        (b"a,b,c\n1,2,3\n", "a table as text (CSV)", "ONNX"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_other_files_are_named_with_what_to_do(server, data, what, hint):
    status, error = push(server, data)
    assert status == 422 and error["code"] == "unsupported_model"
    assert what in error["error"] and hint in error["hint"]


def test_a_broken_model_is_named(server):
    status, error = push(server, networks.mlp().SerializeToString()[:-50])
    assert status == 422 and error["code"] == "bad_model"
    assert "cut short" in error["error"]


def test_a_provider_that_the_library_lacks_is_refused_with_what_it_has(server):
    status, error = push(server, networks.mlp().SerializeToString(), provider="cuda")
    assert status == 422 and error["code"] == "unsupported_model"
    assert "the provider 'cuda' is not in this ONNX Runtime, which has: cpu" in error["error"]
    assert "onnxruntime_library" in error["hint"]
    status, version = push(server, networks.mlp().SerializeToString(), provider="cpu", optimization="none")
    assert status == 201 and version["settings"] == {"optimization": "none", "provider": "cpu"}


def test_without_the_library_only_onnx_fails(start_server, tmp_path, churn):
    server = start_server("--onnxruntime-library", tmp_path / "libonnxruntime.so")
    status, error = push(server, networks.mlp().SerializeToString())
    assert status == 503 and error["code"] == "unavailable"
    assert str(tmp_path) in error["error"] and "onnxruntime_library" in error["hint"]
    server.push("churn", churn.path)
    assert server.predict("churn", {"instances": churn.instances(1)}).status_code == 200
