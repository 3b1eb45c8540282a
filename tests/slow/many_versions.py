# SPDX-License-Identifier: Apache-2.0
"""Ten thousand versions through a server's own push, and what lists, pages, loads and starts take at each power of ten.

Half of the versions are of one model, the others of models of their own. What a push takes is told for each thousand, and
fails the run when the last takes more than twice as long as the first. With --direct the rows are written by the registry's
own functions between two servers, which takes a minute instead of an hour.
"""

import argparse
import concurrent.futures
import json
import pathlib
import statistics
import subprocess
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
BLOCK = 1000
MANY_ROWS = ROOT / "build" / "gcc" / "tests" / "slow" / "many_rows"


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


def push_in_blocks(server, artifact, done, n, block_ms):
    while done < n:
        upto = min(n, done // BLOCK * BLOCK + BLOCK)
        begin = time.monotonic()
        push_all(server, artifact, range(done, upto))
        ms = (time.monotonic() - begin) / (upto - done) * 1000
        print(f"{upto:6} versions: {ms:.1f} ms a push", flush=True)
        if upto - done >= BLOCK // 2:
            block_ms.append(ms)
        done = upto


def write_rows(server, folder, done, n):
    """Between two servers."""
    assert server.stop() == 0
    subprocess.run([MANY_ROWS, folder, str(done), str(n)], check=True)
    return conftest.Server(folder, "--gateways", "1")


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


def check_kept(server, versions):
    """What was loaded on demand is served on when the controller alone dies, among however many it is."""
    def serving():
        listed = requests.get(f"{server.url}/api/v1/models/many?limit=1000", timeout=60)
        return {v["version"] for v in listed.json()["versions"] if v["serving"] == "ready"} if listed.ok else None
    server.kill_child("controller")
    server.wait_child("child_ready", "controller", n=2)
    assert conftest.until(lambda: serving() is not None and serving() >= set(versions)), serving()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=10_000)
    parser.add_argument("--direct", action="store_true", help="write rows instead of pushing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slipway-many-", ignore_cleanup_errors=True) as folder:
        model = pathlib.Path(folder) / "model.json"
        train(model)
        server = conftest.Server(folder, "--gateways", "1")
        try:
            artifact = server.push("many", model)["artifacts"][0]
            artifact = {k: artifact[k] for k in ("name", "digest", "size")}
            done, block_ms = 1, []
            for n in sorted({10, 1000, args.versions} - {m for m in (10, 1000) if m > args.versions}):
                if args.direct:
                    server = write_rows(server, folder, done, n)
                else:
                    push_in_blocks(server, artifact, done, n, block_ms)
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
            check_kept(server, away[:20])
            print(json.dumps({"versions": done, "loaded_on_demand": len(away[:20])}))
            assert len(block_ms) < 2 or block_ms[-1] < 2 * block_ms[0], f"pushes get slower: {block_ms}"
        finally:
            server.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
