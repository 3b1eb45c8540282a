# SPDX-License-Identifier: Apache-2.0
"""The real supervisor over fake children (tests/fakes/fake_children.c): what happens when they die, hang, drain.
How long it takes is measured by dev/bench recovery."""

import os
import signal
import socket
import stat
import threading
import time

import pytest
import requests

import proc
from conftest import until

GATEWAYS, CONTROLLER = "gateway", "controller"


def ask(server, path="/", timeout=60):
    return requests.get(server.url + path, timeout=timeout).text


def states(server):
    return ask(server).split()[2:]


class Stream:
    """New connections one after the other from two threads; counts answers and how the others ended."""

    def __init__(self, server):
        self.server, self.stop = server, threading.Event()
        self.answered, self.refused, self.cut = 0, 0, 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(2)]

    def one(self):
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as s:
            s.sendall(b"GET / HTTP/1.1\r\n\r\n")
            return s.recv(1000).startswith(b"HTTP/1.1 200")

    def run(self):
        while not self.stop.is_set():
            try:
                answered = self.one()
                with self.lock:
                    self.answered += answered
            except ConnectionRefusedError:
                self.refused += 1
            except OSError:
                self.cut += 1

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


def test_killed_gateway_is_replaced_and_no_connection_is_refused(start_fake):
    server = start_fake("--gateways", 2)
    with Stream(server) as stream:
        for n in range(1, 4):
            until(lambda n=n: stream.answered >= 100 * n)
            server.kill_child(GATEWAYS, 0)
            server.wait_child("child_ready", GATEWAYS, 0, n=n + 1)
    assert stream.refused == 0
    assert stream.answered >= 300
    # Only what the dead process had accepted is lost: at most one connection of each client a death.
    assert stream.cut <= 2 * 3


def test_a_death_and_its_restart_are_said(start_fake):
    server = start_fake("--gateways", 1)
    server.kill_child(GATEWAYS)
    restarted = server.wait_child("child_restarted", GATEWAYS)
    assert server.find("child_ended")[0]["signal"] == signal.SIGKILL
    assert restarted["restarts"] == 1


def test_five_deaths_make_a_gateway_failed_and_the_others_serve_on(start_fake):
    server = start_fake("--gateways", 2)
    for n in range(1, 6):
        server.wait_child("child_ready", GATEWAYS, 1, n=n)
        server.kill_child(GATEWAYS, 1)
    failed = server.wait_event("child_failed")
    assert (failed["child"], failed["child_index"], failed["level"]) == (GATEWAYS, 1, "error")
    # Its listener is gone: every connection reaches the other one.
    for _ in range(40):
        pid, index, *rows = ask(server).split()
        assert (index, rows) == ("0", ["ready", "failed", "ready", "ready"])
    assert server.stop() == 0


def test_the_server_ends_with_1_when_every_gateway_failed(start_fake):
    server = start_fake("--gateways", 2)
    (server.data_dir / "fail-gateways").touch()
    server.kill_child(GATEWAYS, 0)
    server.kill_child(GATEWAYS, 1)
    assert server.ended() == 1
    assert len(server.find("child_failed")) == 2
    assert server.find("giving_up")[0]["reason"] == "every gateway failed"


def test_gateways_do_not_notice_the_death_of_the_controller(start_fake):
    server = start_fake("--gateways", 2)
    pids = {server.child_pid(GATEWAYS, i) for i in (0, 1)}
    with Stream(server) as stream:
        server.kill_child(CONTROLLER)
        server.wait_child("child_ready", CONTROLLER, n=2)
    assert stream.refused == stream.cut == 0
    assert {int(ask(server).split()[0]) for _ in range(20)} <= pids
    until(lambda: states(server), ["ready"] * 4)


def test_a_failed_controller_does_not_end_the_gateways(start_fake):
    server = start_fake("--gateways", 1)
    (server.data_dir / "fail-controller").touch()
    server.kill_child(CONTROLLER)
    server.wait_child("child_failed", CONTROLLER)
    until(lambda: states(server), ["ready", "failed", "ready"])


def test_a_controller_that_never_becomes_ready_ends_the_start(start_fake, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "fail-controller").touch()
    server = start_fake(ready=False)
    assert server.ended() == 1
    assert not server.find("ready")
    assert server.find("child_ended")[0]["exit_code"] == 8


def test_drain_answers_what_is_in_flight_and_exits_with_0(start_fake):
    server = start_fake("--gateways", 1)
    answers, before = [], n_fds(server)
    slow = [threading.Thread(target=lambda: answers.append(ask(server, "/slow"))) for _ in range(5)]
    for t in slow:
        t.start()
    until(lambda: n_fds(server) >= before + len(slow))  # the gateway has accepted all
    assert server.stop() == 0
    for t in slow:
        t.join()
    assert len(answers) == 5
    assert not server.find("drain_timeout")
    with pytest.raises(requests.ConnectionError):
        ask(server)


def test_sigint_drains_too(start_fake):
    server = start_fake("--gateways", 1)
    assert server.stop(signal.SIGINT) == 0


def n_fds(server):
    """Descriptors open in the one gateway, this request's own included."""
    return len(ask(server, "/fds").split())


def hang(server):
    """A thread whose request is never answered; returns when the gateway has it."""
    def ask_in_vain():
        with pytest.raises(requests.RequestException):
            ask(server, "/hang")

    before = n_fds(server)
    thread = threading.Thread(target=ask_in_vain)
    thread.start()
    until(lambda: n_fds(server) > before)
    return thread


def test_a_child_that_does_not_finish_is_killed_after_the_drain_timeout(start_fake):
    server = start_fake("--gateways", 1, "--drain-timeout", "300ms")
    thread = hang(server)
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began >= 0.3
    assert server.find("drain_timeout")[0]["children_killed"] >= 1
    thread.join()


def test_a_second_signal_cuts_the_drain_short(start_fake):
    server = start_fake("--gateways", 1, "--drain-timeout", "1h")
    thread = hang(server)
    server.process.terminate()
    server.wait_event("draining")
    server.process.terminate()
    assert server.ended() == 1
    thread.join()


def test_sighup_keeps_every_process(start_fake, tmp_path):
    config = tmp_path / "slipway.yaml"
    config.write_text("max_queue: 7")
    server = start_fake("--gateways", 1, "--config", config)
    config.write_text("max_queue: 8")
    server.process.send_signal(signal.SIGHUP)
    assert server.wait_event("settings_reloaded")["changed"] == "max_queue"
    assert states(server) == ["ready"] * 3


def test_two_servers_cannot_share_a_directory(start_fake):
    first = start_fake("--gateways", 1)
    second = start_fake("--gateways", 1, ready=False)
    assert second.ended() == 1
    why = second.wait_event("start_failed")
    assert str(first.data_dir) in why["error"] and str(first.process.pid) in why["error"]
    assert "--data-dir" in why["hint"]
    assert states(first) == ["ready"] * 3


def test_a_port_in_use_is_refused(start_fake, tmp_path):
    first = start_fake("--gateways", 1)
    second = start_fake("--gateways", 1, "--listen", f"127.0.0.1:{first.port}", ready=False,
                   data_dir=tmp_path / "other")
    assert second.ended() == 1
    assert "in use" in second.wait_event("start_failed")["error"]


def test_children_end_when_supervisor_and_controller_are_gone_and_the_directory_is_free_again(start_fake):
    server = start_fake("--gateways", 2)
    pids = [server.child_pid(GATEWAYS, 0), server.child_pid(GATEWAYS, 1), server.child_pid(CONTROLLER)]
    server.process.kill()
    server.process.wait()
    until(lambda: not any(map(proc.is_alive, pids)))
    assert states(start_fake("--gateways", 1)) == ["ready"] * 3


def test_children_inherit_nothing_but_what_they_need(start_fake):
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, True)
    server = start_fake("--gateways", 1, env={"SECRET": "x", "TZ": "UTC"})
    os.close(leak)
    # 0-2 standard, 3 board, 5 listener, 6 supervision, 7 metrics, 8 log, its epoll, its signals, this connection; 4 (ready) is closed.
    assert len(ask(server, "/fds").split()) == 11
    assert {line.split("=")[0] for line in ask(server, "/env").split("\n") if line} <= {"TZ", "LANG", "LC_ALL", "TMPDIR"}


def test_files_of_the_server_are_its_owner_s(start_fake):
    server = start_fake("--gateways", 1)
    run = server.data_dir / "run"
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert stat.S_IMODE((run / "control.sock").stat().st_mode) == 0o600
    assert stat.S_ISSOCK((run / "control.sock").stat().st_mode)
