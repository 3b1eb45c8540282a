# SPDX-License-Identifier: Apache-2.0
"""A flipped byte anywhere in the registry of a data directory: found or harmless, never served wrongly, never a crash.

First as many flips through the registry's own functions (tests/unit/registry/flips_test.c), where nothing of what it tells
may be wrong. Then with a server: models, aliases and a rollback's way, a byte changed while nothing runs, a start. A server
that does not start says why and ends with a code; one that starts answers each prediction with the library's own numbers, or
with an error, and no process of it dies. Each tenth time the server was killed before, so that its log of writes is there.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import requests
import xgboost

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

import conftest  # noqa: E402

FLIPS_TEST = ROOT / "build" / "gcc" / "tests" / "unit" / "test_registry_flips"
SELECTORS = {"": 2, "/versions/1": 1, "/versions/2": 2, "/versions/3": 3, "/labels/challenger": 1}  # and what they name
ROWS = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
KINDS = ("blobs/sha256", "images", "registry.db", "audit.head")


class Model:
    """Some trees, and what the library says of ROWS."""

    def __init__(self, folder, seed):
        rows = np.random.default_rng(seed).normal(size=(200, 4)).astype(np.float32)
        booster = xgboost.train({"max_depth": 3, "nthread": 1}, xgboost.DMatrix(rows, rows.sum(axis=1)), 5)
        self.path = folder / f"model{seed}.json"
        booster.save_model(self.path)
        self.expected = booster.predict(xgboost.DMatrix(ROWS))


def fill(folder, models):
    """Two models of three versions each: folder/killed as a server left it that was killed, folder/stopped as one that ended."""
    data = folder / "stopped"
    server = conftest.Server(data, "--gateways", "1")
    for name in ("a", "b"):
        for model in models:
            server.push(name, model.path)
        url = f"{server.url}/api/v1/models/{name}"
        requests.put(f"{url}/aliases/challenger", json={"version": 1}, timeout=60).raise_for_status()
        requests.post(f"{url}/rollback", json={}, timeout=60).raise_for_status()  # champion 3 -> 2
    shutil.copytree(data, folder / "killed", ignore=shutil.ignore_patterns("run"))  # nothing writes now
    assert server.stop() == 0
    server.end()


def ask(server, name, selector):
    return requests.post(f"{server.url}/v1/models/{name}{selector}:predict", json={"instances": ROWS.tolist()}, timeout=60)


def files_of(data):
    return [path for path in sorted(data.rglob("*")) if path.is_file() and path.stat().st_size
            and not path.name.endswith("-shm") and str(path.relative_to(data)).startswith(KINDS)]


def flip(path, chance):
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    at, mask = chance.randrange(len(content)), chance.randrange(1, 256)
    content[at] ^= mask
    path.write_bytes(content)
    return f"{path.name} at {at} by {mask:#x}"


def is_sound(data):
    return subprocess.run([conftest.BINARY, "fsck", str(data)], capture_output=True, timeout=120).returncode == 0


def start(data):
    """A server, or why there is none."""
    server = conftest.Server(data, "--gateways", "1", ready=False)
    try:
        server.url = server.wait_event("listening")["url"]
        server.wait_event("ready")
        return server
    except AssertionError:
        code = server.process.poll()
        server.end()
        assert code is None or code >= 0, f"the server died of signal {-code}"
        return None


def check(data, models, where, may_be_older):
    """'refused', 'partly' or 'whole'; an assertion when something was served wrongly."""
    server = start(data)
    if not server:
        return "refused"
    outcome = "whole"
    try:
        for name in ("a", "b"):
            for selector, version in SELECTORS.items():
                got = ask(server, name, selector)
                if got.status_code != 200:
                    assert got.status_code in (404, 503), f"{where}: {name}{selector}: {got.status_code} {got.text}"
                    outcome = "partly"
                    continue
                told = np.array(got.json()["predictions"], dtype=np.float32)
                # Without the end of the log an alias is where it was before; a number never changes its meaning.
                good = models if may_be_older and "versions" not in selector else [models[version - 1]]
                assert any(np.array_equal(told, model.expected) for model in good), f"{where}: {name}{selector} is wrong"
        assert not [e for e in server.find("child_ended") if "signal" in e], f"{where}: {server.events}"
        assert server.stop() == 0
    finally:
        server.end()
    return outcome


def kind_of(path, data):
    return next(kind for kind in KINDS if str(path.relative_to(data)).startswith(kind))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    subprocess.run([FLIPS_TEST], env={**os.environ, "FLIPS": str(args.flips), "CK_DEFAULT_TIMEOUT": "3600",
                                      "SOURCE_ROOT": str(ROOT)}, check=True)
    chance = random.Random(args.seed)
    counts = {}
    with tempfile.TemporaryDirectory(prefix="slipway-flips-", ignore_cleanup_errors=True) as folder:
        folder = pathlib.Path(folder)
        models = [Model(folder, seed) for seed in (1, 2, 3)]
        fill(folder, models)
        for i in range(args.flips):
            was_killed = i % 10 == 9
            data = folder / "data"
            shutil.copytree(folder / ("killed" if was_killed else "stopped"), data)
            files = files_of(data)
            kind = chance.choice(sorted({kind_of(path, data) for path in files}))
            where = flip(chance.choice([path for path in files if kind_of(path, data) == kind]), chance)
            fsck = "found" if not is_sound(data) else "not found"
            outcome = check(data, models, where, was_killed)
            counts[kind, fsck, outcome] = counts.get((kind, fsck, outcome), 0) + 1
            shutil.rmtree(data)
            if i % 100 == 99:
                print(f"{i + 1} flips", flush=True)
    for (kind, fsck, outcome), n in sorted(counts.items()):
        print(f"{n:5}  {kind}: {fsck} by fsck, server: {outcome}")
    print(json.dumps({"flips": args.flips, "seed": args.seed, "served_wrongly": 0}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
