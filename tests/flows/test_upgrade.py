# SPDX-License-Identifier: Apache-2.0
"""`slipway upgrade`: a new program takes over under load; a broken one leaves the old one running."""

import os
import pathlib
import shutil
import signal

import pytest
import requests

from conftest import BINARY, until
from upgrades import FAKE, Connections, upgrade


@pytest.fixture
def served(start_server, churn):
    server = start_server("--gateways", "2")
    server.push("churn", churn.path)
    return server


def status_of(server):
    """As a controller tells it that is not being replaced just now."""
    return until(lambda: requests.get(server.url + "/api/v1/status", timeout=60), lambda got: got.status_code == 200).json()


def processes(server):
    return {p["pid"] for p in status_of(server)["processes"]}


def exe(pid):
    return os.readlink(f"/proc/{pid}/exe")


def copy_of(program, path):
    shutil.copy(program, path)
    path.chmod(0o755)
    return path


def test_no_connection_fails_while_the_program_is_replaced(served, churn, tmp_path):
    supervisor, old = served.process.pid, processes(served)
    with Connections(served, churn) as stream:
        for n in range(1, 4):
            stream.more(100)
            program = copy_of(pathlib.Path(BINARY).resolve(), tmp_path / f"slipway-{n}")
            done = upgrade(served, "--binary", str(program))
            assert done.returncode == 0, done.stderr
            served.wait_child("child_ready", "controller", n=n + 1)
        stream.more(100)
    assert not stream.failed
    # The same process supervises another program; all others are new.
    assert served.process.poll() is None and exe(supervisor) == str(program)
    now = processes(served)
    assert not now & old and {exe(pid) for pid in now} == {str(program)}
    assert served.push("churn", churn.path)


def test_without_a_path_it_is_the_file_that_lies_there_now(start_server, churn, tmp_path):
    program = copy_of(pathlib.Path(BINARY).resolve(), tmp_path / "slipway")
    server = start_server(command=(str(program), "serve"))
    program.unlink()  # as a package manager does
    assert exe(server.process.pid).endswith("(deleted)")
    copy_of(pathlib.Path(BINARY).resolve(), program)
    done = upgrade(server)
    assert done.returncode == 0, done.stderr
    assert exe(server.process.pid) == str(program)


@pytest.mark.parametrize("broken, reason", [
    ("/bin/true", "no Slipway that can go on"),
    ("/nonexistent", "cannot be opened"),
    ("/", "is no program"),
    ("mute", "does not answer within 5 s"),
])
def test_what_is_no_new_program_is_refused_before(served, churn, tmp_path, broken, reason):
    if broken == "mute":
        broken = str(copy_of(FAKE, tmp_path / "fake-mute"))
    pids = processes(served)
    with Connections(served, churn, rate=200) as stream:
        done = upgrade(served, "--binary", broken)
        stream.more(50)
    assert done.returncode == 1 and reason in done.stderr
    assert not stream.failed and processes(served) == pids
    assert exe(served.process.pid) == str(pathlib.Path(BINARY).resolve())


def test_a_file_that_others_may_write_and_a_pipe_are_refused(served, tmp_path):
    program = copy_of(pathlib.Path(BINARY).resolve(), tmp_path / "slipway")
    program.chmod(0o777)
    done = upgrade(served, "--binary", str(program))
    assert done.returncode != 0 and "may be written by others" in done.stderr
    os.mkfifo(tmp_path / "pipe", 0o700)  # which nobody writes to: opening it must not wait for that
    done = upgrade(served, "--binary", str(tmp_path / "pipe"))
    assert done.returncode != 0 and "is no program" in done.stderr


@pytest.mark.parametrize("how", ["crash", "hang"])
def test_a_program_that_breaks_after_it_took_over_is_replaced_by_the_old_one(served, churn, tmp_path, how):
    pids, old = processes(served), str(pathlib.Path(BINARY).resolve())
    with Connections(served, churn, rate=300) as stream:
        done = upgrade(served, "--binary", str(copy_of(FAKE, tmp_path / f"fake-{how}")))
        served.wait_event("supervisor_replaced")
        stream.more(100)
    assert done.returncode == 1 and "goes on with the one that it had" in done.stderr
    assert not stream.failed and processes(served) == pids
    assert exe(served.supervisor_pid()) == old
    # And that one can be upgraded, to something that works.
    assert upgrade(served).returncode == 0
    os.kill(served.supervisor_pid(), signal.SIGTERM)
    served.wait_event("stopped")


def test_another_upgrade_waits_its_turn(served, tmp_path):
    import threading

    broken, tries = str(copy_of(FAKE, tmp_path / "fake-mute")), []
    for _ in range(5):  # a try in which the second comes after the five seconds of the first tells nothing
        seen = []
        first = threading.Thread(target=lambda seen=seen: seen.append(upgrade(served, "--binary", broken)))
        first.start()
        # Whichever of the two comes second is refused, while the first waits for the mute program.
        seen.append(upgrade(served, "--binary", broken))
        first.join()
        assert len(seen) == 2 and all(done.returncode for done in seen)
        tries.append([done.stderr for done in seen])
        if sum("an upgrade is running" in said for said in tries[-1]) == 1:
            return
    raise AssertionError(tries)


def test_only_the_own_machine_may_ask(start_server):
    import socket

    own = socket.gethostbyname(socket.gethostname())
    if own.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    server = start_server("--listen", "0.0.0.0:0")
    for path in ("/api/v1/upgrade", "/api/v1/upgrade/"):
        answer = requests.post(f"http://{own}:{server.port}{path}", timeout=60)
        assert answer.status_code == 403, answer.text
