# SPDX-License-Identifier: Apache-2.0
"""Replicas of ONNX models while their supervisor is killed, and while the program is replaced."""

import os
import signal

from test_replica_operations import Load, doubling, infer, ready, replicas, until  # noqa: F401, doubling is a fixture
from upgrades import upgrade


def pids(server):
    return {r["pid"] for r in replicas(server)}


def test_replicas_go_on_when_the_supervisor_is_killed(start_server, doubling):  # noqa: F811
    server = start_server("--gateways", "2")
    server.push("double", doubling, replicas=2)
    ready(server, 2)
    before = pids(server)
    with Load(server) as load:
        for n in range(1, 4):
            load.more(50)
            os.kill(server.supervisor_pid(), signal.SIGKILL)
            server.wait_event("supervisor_replaced", n=n)
        load.more(50)
    assert not load.wrong
    ready(server, 2)
    assert pids(server) == before
    # The new one replaces them: its loader is its own.
    until(lambda: replicas(server, kind="loader"), lambda ls: [x["state"] for x in ls] == ["ready"])
    os.kill(min(before), signal.SIGKILL)
    until(lambda: pids(server), lambda now: len(now) == 2 and min(before) not in now)
    ready(server, 2)
    assert infer(server, 3).json()["outputs"][0]["data"] == [6, 2]


def test_replicas_are_replaced_by_an_upgrade(start_server, doubling):  # noqa: F811
    server = start_server("--gateways", "2")
    server.push("double", doubling, replicas=2)
    ready(server, 2)
    before = pids(server)
    with Load(server) as load:
        load.more(50)
        done = upgrade(server)
        assert done.returncode == 0, done.stderr
        load.more(50)
    assert not load.wrong
    ready(server, 2)
    assert not pids(server) & before
