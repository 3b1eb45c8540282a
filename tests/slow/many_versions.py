# SPDX-License-Identifier: Apache-2.0
"""Ten thousand versions through a server's own push, and what lists, pages, loads and starts take at each power of ten.

Half of the versions are of one model, the others of models of their own.
"""

import argparse
import concurrent.futures
import json
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
import requests
import xgboost

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

import conftest  # noqa: E402

TIMES = 15


def median_ms(send):
    times = []
    for _ in range(TIMES):
        begin = time.monotonic()
        send().raise_for_status()
        times.append((time.monotonic() - begin) * 1000)
    return statistics.median(times)


def train(path):
    """Three small trees."""
    rows = np.random.default_rng(1).normal(size=(200, 4))
    booster = xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(rows, rows.sum(axis=1)), 3)
    booster.save_model(path)


def name_of(i):
    return "many" if i % 2 else f"m{i:06d}"


def push_all(server, artifact, numbers):
    with concurrent.futures.ThreadPoolExecutor(4) as pool, requests.Session() as session:
        def push(i):
            made = {"artifacts": [artifact], "promote": False}
            got = session.post(f"{server.url}/api/v1/models/{name_of(i)}/versions", json=made, timeout=120)
            assert got.status_code == 201, got.text
        list(pool.map(push, numbers))


def report(server, n):
    with requests.Session() as session:
        def get(path):
            return median_ms(lambda: session.get(f"{server.url}/api/v1{path}", timeout=60))
        rows = [("50 models, the first page", get("/models?limit=50")),
                ("50 models from the middle", get(f"/models?limit=50&after=m{n // 2:06d}")),
                ("50 versions, the first page", get("/models/many?limit=50")),
                ("50 versions from the middle", get(f"/models/many?limit=50&after={max(n // 4, 2)}")),
                ("1,000 versions", get("/models/many?limit=1000"))]
    for what, ms in rows:
        print(f"{n:6} versions: {what}: {ms:.1f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slipway-many-", ignore_cleanup_errors=True) as folder:
        model = pathlib.Path(folder) / "model.json"
        train(model)
        server = conftest.Server(folder, "--gateways", "1")
        try:
            artifact = server.push("many", model)["artifacts"][0]
            artifact = {k: artifact[k] for k in ("name", "digest", "size")}
            done = 1
            for n in sorted({10, 1000, args.versions} - {m for m in (10, 1000) if m > args.versions}):
                begin = time.monotonic()
                push_all(server, artifact, range(done, n))
                print(f"{n:6} versions: {(time.monotonic() - begin) / max(n - done, 1) * 1000:.1f} ms a push", flush=True)
                done = n
                report(server, n)
                assert server.stop() == 0
                begin = time.monotonic()
                server = conftest.Server(folder, "--gateways", "1")
                print(f"{n:6} versions: ready {(time.monotonic() - begin) * 1000:.0f} ms after the start", flush=True)
            listed = requests.get(f"{server.url}/api/v1/models/many?limit=1000", timeout=60).json()
            away = [v["version"] for v in listed["versions"] if v["serving"] == "on_demand"]
            for version in away[:20]:
                got = requests.get(f"{server.url}/v2/models/many/versions/{version}", timeout=60)
                assert got.json()["versions"] == [str(version)], got.text
            print(json.dumps({"versions": done, "loaded_on_demand": len(away[:20])}))
        finally:
            server.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
