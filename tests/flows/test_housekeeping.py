# SPDX-License-Identifier: Apache-2.0
"""fsck, backup, restore and garbage collection through the command line, beside a server that works."""

import hashlib
import json
import os
import random
import subprocess
import threading

import numpy as np
import requests
from conftest import BINARY, until

CLIENTS = 8


def slipway(*words):
    return subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, timeout=300)


def answer(*words, code=0):
    """The JSON of a verb that ends with this code."""
    done = slipway(*words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def blob_path(data_dir, path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return data_dir / "blobs" / "sha256" / digest[:2] / digest


def flip(path, at):
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << at % 8
    path.write_bytes(data)


def assert_serves(server, model, trained, version=None):
    """The library's own numbers, bit for bit."""
    rows = trained.instances(20)
    path = f"/v1/models/{model}" + (f"/versions/{version}" if version else "")
    got = requests.post(f"{server.url}{path}:predict", json={"instances": rows}, timeout=60)
    assert got.status_code == 200, got.text
    expected = trained.expected[:20]
    np.testing.assert_array_equal(np.array(got.json()["predictions"], dtype=expected.dtype), expected)


def variants(trained, folder, n):
    """The same model as files of other bytes: white space is free in JSON."""
    paths = []
    for i in range(n):
        paths.append(folder / f"variant{i}.json")
        paths[-1].write_bytes(trained.path.read_bytes().rstrip() + b" " * (i + 1) + b"\n")
    return paths


class Client(threading.Thread):
    """Pushes versions of a model of its own, each the champion at once, until it is told to end."""

    def __init__(self, server, model, paths):
        super().__init__()
        self.server, self.model, self.paths = server, model, paths
        self.begun = self.acknowledged = 0
        self.ends = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.ends.is_set():
                self.begun += 1
                made = self.push(self.paths[self.begun % len(self.paths)])
                assert made["version"] == self.begun
                self.acknowledged = self.begun
                if self.begun % 3 == 0:
                    answer = requests.delete(
                        f"{self.server.url}/api/v1/models/{self.model}/versions/{self.begun - 1}", timeout=60)
                    assert answer.status_code == 200, answer.text
        except Exception as e:  # told by the test
            self.failure = e

    def push(self, path):
        """Again when the file was collected before its version came: the grace is short here, and the machine busy."""
        while True:
            try:
                return self.server.push(self.model, path)
            except AssertionError as e:
                if "Upload the file first" not in str(e):
                    raise


def test_a_backup_under_eight_clients_is_a_state_that_was_acknowledged(start_server, tmp_path, churn, price):
    server = start_server("--gc-grace", "1s", "--gc-interval", "1s")
    server.push("price", price.path)
    files = variants(churn, tmp_path, 3)
    clients = [Client(server, f"churn{i}", files) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    copy = tmp_path / "copy"
    try:
        until(lambda: [client.acknowledged for client in clients if not client.failure],
              lambda done: len(done) < CLIENTS or min(done) >= 2, seconds=180)
        for _ in range(3):
            before = [client.acknowledged for client in clients]
            made = answer("backup", "--data-dir", server.data_dir, "-o", copy)
            after = [client.begun for client in clients]
            assert made["complete"] and made["findings"] == []
    finally:
        for client in clients:
            client.ends.set()
        for client in clients:
            client.join()
    assert not any(client.failure for client in clients), [client.failure for client in clients]
    assert answer("fsck", copy)["sound"]
    restored = answer("restore", copy, "--data-dir", tmp_path / "new")
    assert restored["complete"] and restored["versions"] == made["versions"]
    second = start_server(data_dir=tmp_path / "new")
    second.wait_event("models_loaded")
    assert_serves(second, "price", price)
    for client, least, most in zip(clients, before, after):
        model = requests.get(f"{second.url}/api/v1/models/{client.model}", timeout=60).json()
        champion = model["aliases"]["champion"]
        assert least <= champion <= most
        assert max(v["version"] for v in model["versions"]) == champion
        assert_serves(second, client.model, churn)
    assert second.push("price", price.path)["version"] == 2


def test_flipped_files_are_found_and_never_served(start_server, tmp_path, churn, price):
    server = start_server()
    files = variants(churn, tmp_path, 12)
    for i, path in enumerate(files):
        server.push(f"m{i}", path)
    server.push("price", price.path)
    refused = slipway("fsck", server.data_dir)
    assert refused.returncode == 3 and "a server uses" in refused.stderr
    server.stop()
    assert answer("fsck", server.data_dir)["sound"]
    chance = random.Random(3)
    bad = sorted(chance.sample(range(len(files)), 6))
    for i in bad:
        flip(blob_path(server.data_dir, files[i]), chance.randrange(files[i].stat().st_size))
    found = answer("fsck", server.data_dir, code=1)
    named = [f["what"].split(":")[1] for f in found["findings"]]
    assert sorted(named) == sorted(hashlib.sha256(files[i].read_bytes()).hexdigest() for i in bad)
    assert all(f["code"] == "blob_damaged" and f["do"] for f in found["findings"])
    again = start_server(data_dir=server.data_dir)
    again.wait_event("models_loaded")
    for i in range(len(files)):
        if i in bad:
            got = again.predict(f"m{i}", {"instances": churn.instances(1)})
            assert got.status_code == 503, got.text
            assert again.find("version_failed", model=f"m{i}")
        else:
            assert_serves(again, f"m{i}", churn)
    assert_serves(again, "price", price)
    # A push finds the damage, sets it aside and stores the file anew.
    pushed = slipway("push", f"m{bad[0]}", files[bad[0]], "--url", again.url)
    assert pushed.returncode == 0, pushed.stderr
    gone = "sha256:" + hashlib.sha256(files[bad[0]].read_bytes()).hexdigest()
    again.wait_event("blob_damaged", lambda e: e["digest"] == gone)
    assert_serves(again, f"m{bad[0]}", churn)
    # So does an upload that asks nobody.
    data = files[bad[1]].read_bytes()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    put = requests.put(f"{again.url}/api/v1/blobs/{digest}", data=data, timeout=30)
    assert put.status_code == 201 and put.json()["replaced_damaged"] is True, put.text
    again.wait_event("blob_replaced", lambda e: e["digest"] == digest)


def kept_images(server):
    return server.wait_event("models_loaded")["kept_images"]


def test_a_start_takes_the_images_that_are_whole_and_compiles_the_others(start_server, tmp_path, churn, price):
    server = start_server()
    files = variants(churn, tmp_path, 6)
    for i, path in enumerate(files):
        server.push(f"m{i}", path)
    server.push("price", price.path)
    server.stop()
    images = sorted((server.data_dir / "images").iterdir())
    assert len(images) == 7
    again = start_server(data_dir=server.data_dir)
    assert kept_images(again) == 7
    again.stop()
    chance = random.Random(4)
    for image in images[:3]:
        flip(image, chance.randrange(image.stat().st_size))
    images[3].write_bytes(images[4].read_bytes())
    images[4].write_bytes(images[4].read_bytes()[:-1])
    images[5].write_bytes(b"")
    (server.data_dir / "images" / "of-nothing").write_bytes(b"x")
    again = start_server(data_dir=server.data_dir)
    assert kept_images(again) == 1
    for i in range(6):
        assert_serves(again, f"m{i}", churn)
    assert_serves(again, "price", price)
    until(lambda: sorted((server.data_dir / "images").iterdir()), images)


def test_gc_says_what_would_go_and_removes_it(start_server, tmp_path, churn):
    server = start_server("--gc-grace", "1h", "--retain-versions", "2")
    files = variants(churn, tmp_path, 4)
    for path in files:
        server.push("churn", path)
        made = blob_path(server.data_dir, path)
        os.utime(made, (1, 1))
    # The champion is 4, a rollback goes to 3: 2 is neither, nor among the newest two.
    asked = slipway("gc", "--url", server.url, "--dry-run")
    assert asked.returncode == 0 and "churn version 1: not among the newest 2" in asked.stdout
    assert "2 versions would go" in asked.stdout and "2 files would go" in asked.stdout
    assert blob_path(server.data_dir, files[0]).exists()
    done = answer("gc", "--url", server.url)
    assert done["versions"]["count"] == 2 and done["blobs"]["count"] == 2
    assert not blob_path(server.data_dir, files[0]).exists()
    assert_serves(server, "churn", churn)
    assert_serves(server, "churn", churn, version=3)
    assert server.predict("churn", {"instances": churn.instances(1)}).status_code == 200
    gone = requests.post(f"{server.url}/v1/models/churn/versions/1:predict", json={"instances": churn.instances(1)},
                         timeout=60)
    assert gone.status_code == 404
