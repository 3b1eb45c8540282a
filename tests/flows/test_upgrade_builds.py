# SPDX-License-Identifier: Apache-2.0
"""Upgrades to another build, that end midway, and while the process before still answers."""

import os
import pathlib
import re
import signal
import threading
import time

import pytest
import requests

from conftest import BINARY, FAKE_SERVER
from test_replicas import SLEEP, model, row, answer  # noqa: F401, model is a fixture
from test_upgrade import copy_of, exe, processes, served, status_of  # noqa: F401, served is a fixture
from upgrades import FAKE, Connections, upgrade

OTHER = b"9.9.9"
FAKES = FAKE.parent  # fake_other_ipc and fake_other_link: tests/fakes/other_protocol.h


def other_version(own, tmp_path):
    """This program under another version: its text is replaced in a copy, by one of the same length."""
    program = pathlib.Path(BINARY).resolve().read_bytes()
    changed = re.sub(rb"(?<![0-9.])" + re.escape(own) + rb"(?![0-9.])", OTHER.ljust(len(own), b"\0"), program)
    assert changed != program and len(changed) == len(program)
    path = tmp_path / "slipway-other"
    path.write_bytes(changed)
    path.chmod(0o755)
    return path


def metrics(server, name):
    lines = requests.get(f"{server.url}/metrics", timeout=60).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{") or line.startswith(name + " "))


def until(true, what):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_another_version_of_the_same_protocol_takes_over(served, churn, tmp_path):  # noqa: F811
    own = requests.get(f"{served.url}/v2", timeout=60).json()["version"]
    other = other_version(own.encode(), tmp_path)
    with Connections(served, churn, rate=200) as stream:
        done = upgrade(served, "--binary", str(other))
        stream.more(50)
    assert done.returncode == 0 and OTHER.decode() in done.stdout + done.stderr, (done.stdout, done.stderr)
    assert not stream.failed
    assert requests.get(f"{served.url}/v2", timeout=60).json()["version"] == OTHER.decode()
    # And back, which is no different.
    served.wait_child("child_ready", "controller", n=2)
    done = upgrade(served, "--binary", str(copy_of(pathlib.Path(BINARY).resolve(), tmp_path / "slipway-own")))
    assert done.returncode == 0, done.stderr
    assert requests.get(f"{served.url}/v2", timeout=60).json()["version"] == own


@pytest.mark.parametrize("protocol", ["ipc", "link"])
def test_a_build_of_another_protocol_is_refused_and_takes_over_by_a_restart(start_server, churn, tmp_path, protocol):
    own, other = pathlib.Path(BINARY).resolve(), copy_of(FAKES / f"fake_other_{protocol}", tmp_path / "slipway-other")
    server = start_server("--gateways", 2, data_dir=tmp_path / "data")
    server.push("churn", churn.path)
    pids = processes(server)
    with Connections(server, churn, rate=200) as stream:
        done = upgrade(server, "--binary", str(other))
        stream.more(50)
    assert done.returncode == 1 and not stream.failed, (done.stdout, stream.failed[:3])
    assert "another protocol: stop the server and start this program" in done.stderr
    assert processes(server) == pids and exe(server.process.pid) == str(own)
    assert server.stop() == 0
    # Which is what the operator does then; and it would not go on as our program either.
    server = start_server("--gateways", 2, data_dir=tmp_path / "data", command=(str(other), "serve"))
    with Connections(server, churn, rate=200) as stream:
        done = upgrade(server, "--binary", str(copy_of(own, tmp_path / "slipway-own")))
        stream.more(50)
    assert done.returncode == 1 and "another protocol" in done.stderr and not stream.failed
    assert exe(server.process.pid) == str(other)


def test_a_build_that_counts_otherwise_begins_at_zero_and_goes_on_with_the_log(start_server, churn, tmp_path):
    server = start_server("--gateways", 2)
    server.push("churn", churn.path)
    for _ in range(7):
        assert server.predict("churn", {"instances": churn.instances(1)}).status_code == 200
    until(lambda: metrics(server, "slipway_log_committed_total") == 7 == metrics(server, "slipway_requests_total"), "all are counted")
    done = upgrade(server, "--binary", str(copy_of(FAKES / "fake_other_metrics", tmp_path / "slipway-other")))
    assert done.returncode == 0, done.stderr
    assert server.predict("churn", {"instances": churn.instances(1)}).status_code == 200
    until(lambda: metrics(server, "slipway_requests_total") == 1, "the counters begin anew")
    until(lambda: metrics(server, "slipway_log_committed_total") == 8 == metrics(server, "slipway_log_accepted_total"), "the log does not")


def test_a_supervisor_killed_midway_leaves_a_server_that_answers_and_can_be_upgraded(start_server, churn, tmp_path):
    server = start_server("--gateways", 4)
    server.push("churn", churn.path)
    program = copy_of(pathlib.Path(BINARY).resolve(), tmp_path / "slipway-new")
    done = []
    with Connections(server, churn, rate=200) as stream:
        thread = threading.Thread(target=lambda: done.append(upgrade(server, "--binary", str(program))))
        thread.start()
        n = len(server.find("child_ready", child="gateway"))
        server.wait_event("child_ready", lambda e: e["child"] == "gateway", n=n + 1)  # the first is replaced
        os.kill(server.process.pid, signal.SIGKILL)
        server.wait_event("supervisor_replaced")
        thread.join()
        stream.more(50)
    # Requests of a gateway that was being replaced may have been cut off; none is refused.
    assert all("refused" not in f for f in stream.failed) and len(stream.failed) <= 4, stream.failed[:3]
    status = status_of(server)
    assert status["ready"] and sum(p["kind"] == "gateway" and p["state"] == "ready" for p in status["processes"]) == 4
    assert server.push("churn", churn.path)
    until(lambda: upgrade(server, "--binary", str(program)).returncode == 0, "it can be upgraded")
    assert {exe(pid) for pid in processes(server)} == {str(program)}
    os.kill(server.supervisor_pid(), signal.SIGTERM)
    server.wait_event("stopped")


def test_old_and_new_gateway_count_for_themselves(start_fake_server, model, tmp_path):  # noqa: F811
    server = start_fake_server("--gateways", 1, "--drain-timeout", "100s", "--request-timeout", "100s")
    server.push("m", model, replicas=2, hang_ms=200000)
    statuses = []

    def ask(ms):
        statuses.append(server.predict("m", {"instances": [[SLEEP, ms, 0]]}).status_code)

    threads = [threading.Thread(target=ask, args=(20000,))]
    threads[0].start()
    until(lambda: metrics(server, "slipway_inflight") == 1, "the old one has a request")
    n = len(server.find("child_ready", child="gateway"))
    done = []
    threads.append(threading.Thread(target=lambda: done.append(upgrade(server, "--binary", FAKE_SERVER))))
    threads[1].start()
    server.wait_event("child_ready", lambda e: e["child"] == "gateway", n=n + 1)
    assert server.predict("m", {"instances": [row(1)]}).json()["predictions"] == [answer(1)]
    threads.append(threading.Thread(target=ask, args=(8000,)))
    threads[2].start()
    until(lambda: metrics(server, "slipway_inflight") == 2, "each has one")
    for t in threads:
        t.join()
    assert statuses == [200, 200]
    assert metrics(server, "slipway_inflight") == 0
