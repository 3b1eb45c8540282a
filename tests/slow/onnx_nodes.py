# SPDX-License-Identifier: Apache-2.0
"""All of the ONNX project's node tests that can be asked in JSON over a running server: dev/slow onnx_nodes [PYTEST FLAG…].

dev/test has every third of them: tests/onnx/test_served.py. Each is a push, a new replica, a request and a deletion."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.exit(subprocess.call(
    [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests/onnx/test_served.py"), *sys.argv[1:]],
    env={**os.environ, "SLIPWAY_ALL_NODES": "1"}))
