# SPDX-License-Identifier: Apache-2.0
"""The processes of a real server: what clients notice when one dies, when the server drains, and what it costs idle."""

import pathlib
import socket
import threading
import time

import pytest
import requests


class Predictions:
    """Predictions over new connections, one after the other, in the background; each is checked."""

    def __init__(self, server, churn):
        self.server, self.churn, self.stop = server, churn, threading.Event()
        self.answered, self.refused, self.cut, self.wrong = 0, 0, 0, []
        self.thread = threading.Thread(target=self.run)

    def one(self):
        answer = self.server.predict("churn", {"instances": self.churn.instances(1)})
        if answer.status_code != 200 or abs(answer.json()["predictions"][0] - self.churn.expected[0]) > 1e-6:
            self.wrong.append(answer.text)

    def run(self):
        while not self.stop.is_set():
            try:
                self.one()
                self.answered += 1
            except requests.ConnectionError as e:
                if "refused" in str(e).lower():
                    self.refused += 1
                else:
                    self.cut += 1

    def until(self, n):
        while self.answered < n:
            assert self.thread.is_alive()
            time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


@pytest.fixture
def served(start_server, churn):
    server = start_server("--gateways", "2")
    server.push("churn", churn.path)
    return server


def test_predictions_go_on_when_a_gateway_is_killed(served, churn):
    with Predictions(served, churn) as stream:
        for n in range(1, 4):
            stream.until(50 * n)
            served.kill_child("gateway", n % 2)
            served.wait_child("child_ready", "gateway", n % 2, n=1 + (n + 1) // 2)
        stream.until(stream.answered + 50)
    assert stream.refused == 0 and not stream.wrong
    assert stream.cut <= 3  # what the dead processes had already accepted


def test_predictions_go_on_while_the_controller_is_dead(served, churn):
    with Predictions(served, churn) as stream:
        stream.until(20)
        served.kill_child("controller")
        served.wait_child("child_ready", "controller", n=2)
        stream.until(stream.answered + 20)
    assert stream.refused == stream.cut == 0 and not stream.wrong
    # The new controller takes pushes, and the old gateways route them.
    assert served.push("churn", churn.path)
    assert not served.find("child_ended", child="gateway")


def test_a_new_gateway_has_the_models_before_it_answers(served, churn):
    for n in (2, 3):
        served.kill_child("gateway", 0)
        served.wait_child("child_ready", "gateway", 0, n=n)
        for _ in range(20):
            assert served.predict("churn", {"instances": churn.instances(1)}).status_code == 200


def test_a_restarted_server_serves_the_same_models(start_server, churn, tmp_path):
    first = start_server(data_dir=tmp_path / "data")
    first.push("churn", churn.path)
    first.kill()
    second = start_server(data_dir=tmp_path / "data")
    answer = second.predict("churn", {"instances": churn.instances(5)})
    assert answer.json()["predictions"] == pytest.approx(churn.expected[:5], abs=1e-6)


def test_drain_answers_a_request_that_is_half_sent(served, churn):
    body = requests.Request("POST", "http://x", json={"instances": churn.instances(1)}).prepare().body
    head = f"POST /v1/models/churn:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as busy, \
            socket.create_connection(("127.0.0.1", served.port), timeout=60) as idle:
        # One whole request on each: both connections are accepted and kept alive.
        for s in (busy, idle):
            s.sendall(head + body)
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
        busy.sendall(head)
        served.process.terminate()
        served.wait_event("draining")
        assert idle.recv(4096) == b""
        busy.sendall(body)
        answer = busy.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer.lower()
        assert busy.recv(4096) == b""
    assert served.ended() == 0
    assert not served.find("drain_timeout")


def memory_kb(pid, what):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1])
    raise AssertionError(f"no {what} of process {pid}")


def test_an_idle_server_needs_less_than_25_mb(start_server):
    server = start_server("--gateways", "2")
    pids = [server.process.pid, server.child_pid("gateway", 0), server.child_pid("gateway", 1),
            server.child_pid("controller"), server.child_pid("monitor")]
    if b"libasan" in pathlib.Path(f"/proc/{pids[0]}/maps").read_bytes():
        pytest.skip("AddressSanitizer's own memory is not ours")
    # Pages that several of them share count once.
    assert sum(memory_kb(pid, "Pss") for pid in pids) < 25 * 1000
    # Nobody reads counters of slots that were never used: pages of shared memory come to be by being read.
    assert all(memory_kb(pid, "Pss_Shmem") < 200 for pid in pids)
