# SPDX-License-Identifier: Apache-2.0
"""The server under a service manager: a fake one, which is a datagram socket and a store of descriptors."""

import array
import os
import pathlib
import signal
import socket
import threading
import time

import pytest
import requests

from conftest import BINARY, ROOT, until


class Manager:
    """Receives notifications at a path, keeps descriptors as systemd's store does."""

    def __init__(self, path):
        self.path, self.messages, self.store = path, [], []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(0.05)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop.is_set():
            try:
                text, control, _, _ = self.socket.recvmsg(4096, 4096)
            except TimeoutError:
                continue
            fields = dict(line.split("=", 1) for line in text.decode().split("\n"))
            for level, kind, data in control:
                assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                self.store += [(fields["FDNAME"], fd) for fd in array.array("i", data)]
            self.messages.append(fields)

    def wait(self, n=1, **fields):
        end = time.monotonic() + 60
        while len(found := [m for m in list(self.messages) if fields.items() <= m.items()]) < n:
            assert time.monotonic() < end, self.messages
            time.sleep(0.01)
        return found[n - 1]

    def close(self):
        self.stop.set()
        self.thread.join()
        self.socket.close()
        for _, fd in self.store:
            os.close(fd)


@pytest.fixture
def manager(tmp_path):
    m = Manager(tmp_path / "notify")
    yield m
    m.close()


def start(start_server, manager, *flags, stored=(), **env):
    """As systemd would: the variables, and the stored descriptors from 3 on."""
    def place():
        high = [os.dup2(fd, 200 + i) for i, (_, fd) in enumerate(stored)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i)

    variables = {"NOTIFY_SOCKET": str(manager.path), "LISTEN_FDS": str(len(stored)),
                 "LISTEN_FDNAMES": ":".join(name for name, _ in stored), **env}
    return start_server(*flags, command=("/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", BINARY, "serve"),
                        env=variables, preexec_fn=place, pass_fds=range(3, 3 + len(stored)))


def test_the_manager_is_told_when_it_is_ready_reloads_and_stops(start_server, manager):
    server = start(start_server, manager, "--gateways", "2")
    ready = manager.wait(READY="1")
    assert ready["MAINPID"] == str(server.process.pid) and server.url in ready["STATUS"]
    server.process.send_signal(signal.SIGHUP)
    assert int(manager.wait(RELOADING="1")["MONOTONIC_USEC"]) > 0
    manager.wait(n=2, READY="1")
    assert server.stop() == 0
    manager.wait(STOPPING="1")


def test_nothing_is_ready_before_the_server_is(start_fake, manager, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "fail-controller").touch()
    server = start_fake(ready=False, env={"NOTIFY_SOCKET": str(manager.path)})
    assert server.ended() == 1
    manager.wait(STOPPING="1")
    assert not [m for m in manager.messages if "READY" in m]


def test_the_watchdog_is_fed_while_the_loop_turns(start_server, manager):
    server = start(start_server, manager, WATCHDOG_USEC="200000")
    manager.wait(n=5, WATCHDOG="1")

    def fed():
        return len([m for m in list(manager.messages) if "WATCHDOG" in m])

    def fed_in_a_second():
        before = fed()
        time.sleep(1)
        return fed() - before

    server.process.send_signal(signal.SIGSTOP)
    until(fed_in_a_second, 0)  # what was sent before may still be on its way
    server.process.send_signal(signal.SIGCONT)
    manager.wait(n=fed() + 3, WATCHDOG="1")


def test_a_restart_refuses_no_connection(start_server, manager, churn, tmp_path):
    data = tmp_path / "data"
    first = start_server("--gateways", "2", data_dir=data, env={"NOTIFY_SOCKET": str(manager.path)})
    first.push("churn", churn.path)
    manager.wait(n=2, FDSTORE="1")
    assert [name for name, _ in manager.store] == ["listen", "listen"]
    assert first.stop() == 0
    # Nobody serves now; connections are taken nevertheless and answered by the next start.
    waiting = [socket.create_connection(("127.0.0.1", first.port), timeout=60) for _ in range(20)]
    for s in waiting:
        s.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    stored = list(manager.store)
    second = start(start_with(start_server, data), manager, "--gateways", "2", stored=stored)
    assert second.port == first.port
    for s in waiting:
        with s:
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
    assert second.predict("churn", {"instances": churn.instances(1)}).status_code == 200


def start_with(start_server, data_dir):
    return lambda *flags, **how: start_server(*flags, data_dir=data_dir, **how)


def test_listeners_that_do_not_fit_are_given_back(start_server, manager, tmp_path):
    first = start(start_server, manager, "--gateways", "2")
    manager.wait(n=2, FDSTORE="1")
    assert first.stop() == 0
    stored = list(manager.store)
    second = start(start_with(start_server, tmp_path / "other"), manager, "--gateways", "1", stored=stored)
    manager.wait(FDSTOREREMOVE="1", FDNAME="listen")
    assert second.port != first.port
    # No connection waits at a listener that nobody serves.
    def is_refused():
        try:
            socket.create_connection(("127.0.0.1", first.port), timeout=60).close()
        except ConnectionRefusedError:
            return True
        return False

    until(is_refused)
    assert requests.get(second.url + "/v2/health/live", timeout=60).status_code == 200


def test_after_an_adoption_another_process_is_the_main_one(start_server, manager):
    server = start(start_server, manager, WATCHDOG_USEC="200000")
    manager.wait(READY="1")
    os.kill(server.process.pid, signal.SIGKILL)
    server.wait_event("supervisor_replaced")
    assert manager.wait(n=2, READY="1")["MAINPID"] == str(server.supervisor_pid())
    fed = len([m for m in manager.messages if "WATCHDOG" in m])
    manager.wait(n=fed + 3, WATCHDOG="1")


def test_the_unit_names_what_the_server_says():
    unit = (pathlib.Path(ROOT) / "deploy" / "slipway.service").read_text()
    for line in ("Type=notify", "NotifyAccess=all", "WatchdogSec=30s", "FileDescriptorStoreMax=256",
                 "ExecReload=/bin/kill -HUP $MAINPID", "ExecStart=/usr/local/bin/slipway serve"):
        assert line in unit.splitlines()
