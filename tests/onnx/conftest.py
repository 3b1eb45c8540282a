# SPDX-License-Identifier: Apache-2.0
"""Models in ONNX: what Slipway's runtime gives for them against Python's onnxruntime and the ONNX project's own tests.

Run with build/venv/bin/python -m pytest tests/onnx. The tool is found in build/ (or where SLIPWAY_BUILD points)."""

import importlib.util
import pathlib

import pytest

import runner
import served


@pytest.fixture(scope="session")
def slipway():
    r = runner.Runner()
    yield r
    r.close()


@pytest.fixture(scope="session")
def served_slipway(tmp_path_factory):
    """The same as `slipway`, but over a server's API. The server is started as the flows start theirs."""
    flows = pathlib.Path(__file__).parents[1] / "flows/conftest.py"
    spec = importlib.util.spec_from_file_location("flows_conftest", flows)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.Server(tmp_path_factory.mktemp("served") / "data")
    s = served.Served(server.url)
    yield s
    s.close()
    server.end()
