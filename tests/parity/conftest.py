# SPDX-License-Identifier: Apache-2.0
"""Parity with the training libraries: `slipway` is what the parity tool computes for a model file.

Run with build/venv/bin/python -m pytest tests/parity. The tool is found in build/ (or where SLIPWAY_BUILD points)."""

import collections
import hashlib
import importlib.metadata
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

import compare

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = pathlib.Path(__file__).parent / "fixtures"
DTYPES = {"FP32": np.float32, "FP64": np.float64}
LIBRARIES = {"xgboost": ("xgboost-cpu", "xgboost"), "lightgbm": ("lightgbm",)}  # the packages that bring each

models_by_kernel = collections.defaultdict(set)  # digests of the model files that each kernel ran
rows_run = 0


class Refused(Exception):
    """The model file was refused; the text is the error's name and message."""


def _tool():
    places = [os.environ["SLIPWAY_BUILD"]] if "SLIPWAY_BUILD" in os.environ else ["build", "build/gcc", "build/land"]
    found = [ROOT / p / "tests/parity/parity" for p in places]
    found = [p for p in found if p.exists()]
    if not found:
        pytest.exit("tests/parity/parity is not built: run ninja first, or set SLIPWAY_BUILD", returncode=2)
    return max(found, key=lambda p: p.stat().st_mtime)


def tally(model, about, n_rows):
    global rows_run
    rows_run += n_rows
    digest = hashlib.sha256(pathlib.Path(model).read_bytes()).digest()
    for kernel in about["kernels"]:
        models_by_kernel[kernel].add(digest)


def _version(library):
    for package in LIBRARIES[library]:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return "absent"


def pytest_terminal_summary(terminalreporter):
    if not models_by_kernel:
        return
    models = len(set.union(*models_by_kernel.values()))
    kernels = ", ".join(f"{name} {len(ran)}" for name, ran in sorted(models_by_kernel.items()))
    terminalreporter.write_line(
        f"parity: XGBoost {_version('xgboost')}, LightGBM {_version('lightgbm')}; {models} model files ({kernels}), "
        f"{rows_run} rows; outputs at most {compare.largest_ulps} ulp apart"
    )


class Slipway:
    """Runs the tool: slipway(model_file, rows) -> (about, margins, outputs), each (n_rows, n)."""

    def __init__(self, tmp_path):
        self.tool, self.tmp = _tool(), tmp_path

    def __call__(self, model, rows, dtype=np.float32):
        rows = np.ascontiguousarray(rows, dtype=dtype)
        rows_file, out_file = self.tmp / "rows.bin", self.tmp / "out.bin"
        rows_file.write_bytes(rows.tobytes())
        run = subprocess.run([self.tool, model, rows_file, out_file], capture_output=True, text=True, timeout=300)
        if run.returncode == 3:
            raise Refused(run.stderr.strip())
        assert run.returncode == 0, run.stderr
        about = json.loads(run.stdout)
        tally(model, about, len(rows))
        assert DTYPES[about["dtype"]] is dtype, "rows were written in another type than the model compares in"
        values = np.fromfile(out_file, dtype=dtype)
        cut = len(rows) * about["n_margins"]
        return about, values[:cut].reshape(len(rows), -1), values[cut:].reshape(len(rows), -1)


@pytest.fixture
def slipway(tmp_path):
    return Slipway(tmp_path)
