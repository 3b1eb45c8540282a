# SPDX-License-Identifier: Apache-2.0
"""One version replaces another: beside it, or in its place when there is no room for both."""

import hashlib
import json
import os
import signal
import threading
import time

import pytest
import requests

from test_replicas import INTERFACE, answer, row

MIB = 1 << 20


@pytest.fixture
def heavy(tmp_path):
    """Makes a model of so many MiB of weights."""
    def make(name, mib, **changes):
        path = tmp_path / f"{name}.fake"
        head = " " + json.dumps({**INTERFACE, **changes}, separators=(",", ":"))
        path.write_bytes(head.encode() + b"\0" + name.encode() * (mib * MIB // len(name)))
        return path
    return make


def push(server, path, **manifest):
    """The answer of a push that may fail."""
    data = path.read_bytes()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    requests.put(f"{server.url}/api/v1/blobs/{digest}", data=data, timeout=180).raise_for_status()
    body = {"artifacts": [{"name": path.name, "digest": digest, "size": len(data)}], **manifest}
    return requests.post(f"{server.url}/api/v1/models/m/versions", json=body, timeout=180)


def deployments(server):
    status = requests.get(f"{server.url}/api/v1/status", timeout=60).json()
    return {d["version"]: d["replicas"] for d in status["deployments"]}


def until(true, what, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_both_fit_so_none_is_missed_and_the_old_one_leaves_memory(start_fake_server, heavy):
    server = start_fake_server("--gateways", 2, "--replace-policy", "availability-preserving")
    assert push(server, heavy("one", 4)).status_code == 201
    wrong, stopping = [], threading.Event()

    def probe():
        while not stopping.is_set():
            got = server.predict("m", {"instances": [row(1)]})
            if got.status_code != 200 or got.json()["predictions"] != [answer(1)]:
                wrong.append(got.text)

    prober = threading.Thread(target=probe)
    prober.start()
    assert push(server, heavy("two", 4)).status_code == 201
    until(lambda: deployments(server)[1]["ready"] == 0, "version 1 is unloaded")
    stopping.set()
    prober.join()
    assert not wrong
    until(lambda: deployments(server)[2] == {"wanted": 1, "ready": 1, "min": 1, "max": 1}, "version 2 is there")
    assert requests.get(f"{server.url}/ready", timeout=60).status_code == 200
    # Who names the old one gets it.
    got = requests.post(f"{server.url}/v1/models/m/versions/1:predict", json={"instances": [row(2)]}, timeout=60)
    assert got.status_code == 200 and got.json()["predictions"] == [answer(2)]
    # And a rollback loads it for good, whether somebody asks or not.
    requests.put(f"{server.url}/api/v1/models/m/aliases/champion",
                 json={"version": 1, "allow_breaking": True}, timeout=60).raise_for_status()
    until(lambda: deployments(server)[1] == {"wanted": 1, "ready": 1, "min": 1, "max": 1}, "version 1 is back")


def test_what_does_not_fit_beside_is_refused_with_numbers(start_fake_server, heavy):
    server = start_fake_server("--gateways", 1, "--replica-memory", "100MiB")
    assert push(server, heavy("one", 40)).status_code == 201
    got = push(server, heavy("two", 30), policy="availability-preserving")
    assert got.status_code == 507, got.text
    text = got.json()["error"]
    assert "beside version 1" in text and "about 73 MiB of memory are needed" in text, text
    assert "of the 100 MiB of the setting replica_memory" in text and "resource-preserving" in got.json()["hint"]
    assert deployments(server) == {1: {"wanted": 1, "ready": 1, "min": 1, "max": 1}}
    assert push(server, heavy("two", 2), policy="availability-preserving").status_code == 201 # that one does
    assert push(server, heavy("three", 30)).status_code == 201 # and by default nobody asks


def test_in_place_of_the_old_one_with_a_gap(start_fake_server, heavy):
    server = start_fake_server("--gateways", 2, "--replica-memory", "100MiB")
    assert push(server, heavy("one", 40), policy="resource-preserving").status_code == 201
    loaders = [p["pid"] for p in requests.get(f"{server.url}/api/v1/status", timeout=60).json()["processes"]
               if p["kind"] == "loader"]
    seen, stopping = [], threading.Event()

    def probe():
        while not stopping.is_set():
            got = server.predict("m", {"instances": [row(1)]})
            seen.append((got.status_code, got.headers.get("Retry-After"), got.json().get("error")))

    prober = threading.Thread(target=probe)
    prober.start()
    got = push(server, heavy("two", 30), policy="resource-preserving")
    stopping.set()
    prober.join()
    assert got.status_code == 201, got.text
    assert not os.path.exists(f"/proc/{loaders[0]}")
    refused = [s for s in seen if s[0] != 200]
    assert all(s[0] == 503 and s[1] and "is being replaced" in s[2] for s in refused), refused[:3]
    assert server.wait_event("gap_began")["ts"] <= server.wait_event("gap_ended")["ts"]
    # The supervisor says so itself a moment after it told the controller.
    assert server.find("gap_began")[0]["ts"] <= server.wait_event("replica_ready", lambda e: e["version"] == 2)["ts"]
    assert server.predict("m", {"instances": [row(3)]}).json()["predictions"] == [answer(3)]
    assert deployments(server)[1]["wanted"] == 0
    # Not even alone: refused before anything is unloaded.
    got = push(server, heavy("big", 60), policy="resource-preserving")
    assert got.status_code == 507 and "in place of version 2" in got.json()["error"], got.text
    assert deployments(server)[2]["ready"] == 1


def test_the_new_one_is_not_loaded_before_the_memory_of_the_old_one_is_free(start_fake_server, heavy):
    server = start_fake_server("--gateways", 1)
    assert push(server, heavy("one", 4), policy="resource-preserving", hang_ms=60000).status_code == 201

    def loaders(version):
        return [p["pid"] for p in requests.get(f"{server.url}/api/v1/status", timeout=60).json()["processes"]
                if p["kind"] == "loader" and p["version"] == version]

    (old,), got = loaders(1), []
    os.kill(old, signal.SIGSTOP)  # so that it does not end when it is asked to
    try:
        second = heavy("two", 4)
        thread = threading.Thread(target=lambda: got.append(push(server, second, policy="resource-preserving")))
        thread.start()
        server.wait_event("gap_began")
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert not loaders(2)
    finally:
        os.kill(old, signal.SIGCONT)
    thread.join()
    assert got[0].status_code == 201, got[0].text
    assert loaders(2) and not os.path.exists(f"/proc/{old}")


def test_the_old_one_comes_back_when_the_new_one_cannot_be_loaded(start_fake_server, heavy):
    server = start_fake_server("--gateways", 2)
    assert push(server, heavy("one", 4)).status_code == 201
    got = push(server, heavy("two", 40), policy="resource-preserving", memory_mb=20) # less than its weights
    assert got.status_code == 422, got.text
    server.wait_event("gap_ended")
    until(lambda: server.predict("m", {"instances": [row(3)]}).status_code == 200, "version 1 answers")
    assert server.predict("m", {"instances": [row(3)]}).json()["predictions"] == [answer(3)]
    until(lambda: deployments(server) == {1: {"wanted": 1, "ready": 1, "min": 1, "max": 1}}, "version 1 is back")
    assert server.find("gap_began") and not server.find("version_failed")


def test_what_was_unloaded_is_not_loaded_at_the_next_start(start_fake_server, heavy, tmp_path):
    server = start_fake_server("--gateways", 1, data_dir=tmp_path / "d")
    push(server, heavy("one", 4))
    push(server, heavy("two", 4), policy="availability-preserving")
    until(lambda: deployments(server)[1]["ready"] == 0, "version 1 is unloaded")
    server.stop()
    server = start_fake_server("--gateways", 1, data_dir=tmp_path / "d")
    until(lambda: requests.get(f"{server.url}/ready", timeout=60).status_code == 200, "it is ready")
    server.wait_event("replica_ready")
    assert {e["version"] for e in server.find("replica_ready")} == {2}
    assert deployments(server)[1] == {"wanted": 0, "ready": 0, "min": 0, "max": 1}
    got = requests.post(f"{server.url}/v1/models/m/versions/1:predict", json={"instances": [row(2)]}, timeout=60)
    assert got.status_code == 200
