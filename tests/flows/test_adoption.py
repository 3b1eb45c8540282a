# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the supervisor: the children go on, and a new supervisor takes them over."""

import os
import signal
import threading
import time

import pytest
import requests

import proc
from conftest import until


class Predictions:
    """Predictions on three kept connections and on new ones, in the background; every answer's value is checked."""

    def __init__(self, server, churn):
        self.server, self.churn, self.stop = server, churn, threading.Event()
        self.answered, self.failed, self.lock = 0, [], threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(kept,)) for kept in (True, True, True, False)]

    def one(self, session, row):
        body = {"instances": self.churn.instances()[row:row + 1]}
        answer = session.post(f"{self.server.url}/v1/models/churn:predict", json=body, timeout=30)
        if answer.status_code != 200 or abs(answer.json()["predictions"][0] - self.churn.expected[row]) > 1e-6:
            raise AssertionError(answer.text)

    def run(self, kept):
        session, row = requests.Session(), 0
        while not self.stop.is_set():
            row = (row + 1) % 100
            try:
                self.one(session if kept else requests, row)
                with self.lock:
                    self.answered += 1
            except Exception as e:  # whatever it is, it is a prediction that failed
                self.failed.append(repr(e))

    def more(self, n):
        wanted = self.answered + n
        until(lambda: self.answered >= wanted or self.failed)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


@pytest.fixture
def served(start_server, churn):
    server = start_server("--gateways", "2")
    server.push("churn", churn.path)
    return server


def supervisors(server):
    """Processes of this server that are neither gateway nor controller."""
    found = []
    for pid in server.pids():
        if proc.words(pid)[1:2] in ([b"serve"], [b"@supervisor"]):
            found.append(pid)
    return found


def kill_supervisor(server, n):
    """The n-th of them; returns when the next one has everything. How long that takes: dev/bench recovery."""
    os.kill(server.supervisor_pid(), signal.SIGKILL)
    server.wait_event("supervisor_replaced", n=n)
    until(lambda: len(supervisors(server)), 1)


def processes(server, kind):
    status = requests.get(server.url + "/api/v1/status", timeout=20).json()
    return {p["index"]: p["pid"] for p in status["processes"] if p["kind"] == kind and p["state"] == "ready"}


def test_no_prediction_fails_when_the_supervisor_is_killed(served, churn):
    gateways, controller = processes(served, "gateway"), processes(served, "controller")
    with Predictions(served, churn) as stream:
        for n in range(1, 4):
            stream.more(50)
            kill_supervisor(served, n)
        stream.more(50)
    assert not stream.failed
    # They are the same ones, and what they report is current.
    until(lambda: processes(served, "gateway"), gateways)
    until(lambda: processes(served, "controller"), controller)
    # The same controller sees what the new supervisor writes.
    served.kill_child("gateway", 1)
    served.wait_child("child_ready", "gateway", 1, n=2)
    until(lambda: processes(served, "gateway"), {0: gateways[0], 1: served.child_pid("gateway", 1)})
    assert served.push("churn", churn.path)


def test_the_new_supervisor_replaces_gateways_and_the_controller(served, churn):
    kill_supervisor(served, 1)
    with Predictions(served, churn) as stream:
        stream.more(20)
        served.kill_child("controller")
        served.wait_child("child_ready", "controller", n=2)
        stream.more(20)
    assert not stream.failed
    served.kill_child("gateway", 1)
    served.wait_child("child_ready", "gateway", 1, n=2)
    until(lambda: set(processes(served, "gateway")), {0, 1})
    # And the controller that it started starts the next supervisor.
    kill_supervisor(served, 2)
    # One that came a moment before may be unknown to its successor, which starts another.
    until(lambda: processes(served, "gateway") == {i: served.child_pid("gateway", i) for i in (0, 1)})


def test_the_new_supervisor_stops_the_server_in_order(served, churn):
    kill_supervisor(served, 1)
    os.kill(served.supervisor_pid(), signal.SIGTERM)
    served.wait_event("stopped")
    until(served.pids, [])
    assert not served.find("drain_timeout")


def test_the_directory_stays_locked_while_nobody_supervises(served, start_server):
    # The controller cannot start a successor while it is stopped, and nobody else may.
    controller = served.child_pid("controller")
    os.kill(controller, signal.SIGSTOP)
    os.kill(served.process.pid, signal.SIGKILL)
    served.process.wait()
    other = start_server("--listen", "127.0.0.1:0", data_dir=served.data_dir, ready=False)
    assert other.ended() == 1
    assert "in use by another server" in other.wait_event("start_failed")["error"]
    os.kill(controller, signal.SIGCONT)
    served.wait_event("supervisor_replaced")


def test_a_successor_that_is_killed_has_a_successor(served, churn):
    with Predictions(served, churn) as stream:
        for n in range(1, 6):
            os.kill(served.supervisor_pid(), signal.SIGKILL)
            served.wait_event("adopted", n=n)
        served.wait_event("supervisor_replaced", n=1)
        stream.more(20)
    assert not stream.failed
    until(lambda: len(supervisors(served)), 1)


def test_without_both_gateways_serve_a_while_and_make_way(served, churn, start_server):
    gateways = [served.child_pid("gateway", i) for i in (0, 1)]
    os.kill(served.process.pid, signal.SIGSTOP)
    os.kill(served.child_pid("controller"), signal.SIGKILL)
    os.kill(served.process.pid, signal.SIGKILL)
    served.process.wait()
    killed_at = time.monotonic()
    for i in (0, 1):
        served.wait_event("orphaned", lambda e, i=i: e["pid"] == gateways[i])
    # They still answer, nobody else may listen there, and a server elsewhere has its own gateways.
    assert served.predict("churn", {"instances": churn.instances(1)}).status_code == 200
    same = start_server("--listen", f"127.0.0.1:{served.port}", data_dir=served.data_dir, ready=False)
    assert same.ended() == 1
    assert "in use" in same.wait_event("start_failed")["error"]
    other = start_server("--gateways", "2", data_dir=served.data_dir)
    pids = {other.child_pid("gateway", i) for i in (0, 1)}
    until(lambda: set(processes(other, "gateway").values()), pids)
    until(lambda: not any(map(proc.is_alive, gateways)))
    assert time.monotonic() - killed_at >= 4
    with pytest.raises(requests.ConnectionError):
        served.predict("churn", {"instances": churn.instances(1)})
    assert other.predict("churn", {"instances": churn.instances(1)}).status_code == 200


def test_sighup_after_an_adoption_reads_the_first_ones_settings(start_server, tmp_path):
    config = tmp_path / "slipway.yaml"
    config.write_text("max_body: 1MiB\n")
    server = start_server("--config", str(config))
    kill_supervisor(server, 1)
    config.write_text("max_body: 2MiB\n")
    os.kill(server.supervisor_pid(), signal.SIGHUP)
    assert server.wait_event("settings_reloaded")["changed"] == "max_body"
