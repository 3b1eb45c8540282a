# SPDX-License-Identifier: Apache-2.0
"""`slipway status` and what is behind it: processes with memory, restarts and the reason of the last end."""

import json
import os
import pty
import select
import signal
import subprocess
import time

import requests

from conftest import BINARY


def status(server, *flags, **how):
    return subprocess.run([BINARY, "status", "--url", server.url, *flags], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, **how)


def processes(server):
    answer = requests.get(server.url + "/api/v1/status", timeout=60).json()
    return {(p["kind"], p["index"]): p for p in answer["processes"]}


def test_status_shows_every_process_with_its_memory(start_server, churn):
    server = start_server("--gateways", 2)
    server.push("churn", churn.path)
    shown = processes(server)
    assert set(shown) == {("gateway", 0), ("gateway", 1), ("controller", 0), ("monitor", 0)}
    for p in shown.values():
        assert p["state"] == "ready" and p["restarts"] == 0 and p["pid"] > 0 and "reason" not in p
        assert 0 < p["memory"]["own"] < p["memory"]["resident"]
        assert p["memory"]["own"] <= p["memory"]["proportional"] < p["memory"]["resident"]
    done = status(server)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line]
    assert lines[0][1:3] == ["is", "ready:"]
    assert ["churn", "1", "ready"] in lines
    assert sum(line[0] == "gateway" and line[2] == "ready" for line in lines) == 2
    assert json.loads(status(server, "--json").stdout)["ready"] is True


def test_status_says_how_often_and_why_a_process_ended(start_server):
    server = start_server("--gateways", 2)
    server.kill_child("gateway", 1)
    server.wait_child("child_ready", "gateway", 1, n=2)
    p = processes(server)["gateway", 1]
    assert (p["restarts"], p["reason"], p["last_exit"]) == (1, "ended by signal 9", -signal.SIGKILL)
    assert "ended by signal 9" in status(server).stdout


def test_watch_renews_the_view_on_a_terminal_only(start_server):
    server = start_server("--gateways", 1)
    assert status(server, "--watch").returncode == 2
    ours, theirs = pty.openpty()
    with subprocess.Popen([BINARY, "status", "--watch", "--url", server.url], stdin=subprocess.DEVNULL, stdout=theirs,
                          stderr=subprocess.PIPE) as view:
        os.close(theirs)
        seen, end = b"", time.monotonic() + 60
        while seen.count(b"PROCESS") < 2 and time.monotonic() < end:
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 4096)
        view.terminate()
        view.stderr.close()
    os.close(ours)
    assert seen.count(b"PROCESS") >= 2 and seen.count(b"\x1b[H") >= 2
