# SPDX-License-Identifier: Apache-2.0
"""Models in ONNX: what Slipway's runtime gives for them against Python's onnxruntime and the ONNX project's own tests.

Run with build/venv/bin/python -m pytest tests/onnx. The tool is found in build/ (or where SLIPWAY_BUILD points)."""

import pytest

import runner


@pytest.fixture(scope="session")
def slipway():
    r = runner.Runner()
    yield r
    r.close()
