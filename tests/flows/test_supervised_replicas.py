# SPDX-License-Identifier: Apache-2.0
"""The real supervisor over fake loaders and replicas (tests/fakes/fake_children.c): what runs, what happens when
they die, hang, cannot load or lie, and when gateways and the controller are replaced meanwhile. How long that takes is
measured by dev/bench recovery."""

import os
import pathlib
import resource
import shutil
import signal
import time

import requests

from upgrades import FAKE

DEADLINE_S = 60


def declare(server, *lines):
    path = server.data_dir / "declare"
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text("".join(line + "\n" for line in lines))
    new.rename(path)


def until(look, wanted, timeout=DEADLINE_S):
    """Waits until look() is as wanted, which is a value or a predicate."""
    end = time.monotonic() + timeout
    while not (wanted(got := look()) if callable(wanted) else (got := look()) == wanted):
        assert time.monotonic() < end, got
        time.sleep(0.01)
    return got


class Row:
    def __init__(self, line):
        kind, index, self.state, pid, restarts, name, replica, *why = line.split(" ", 7)
        self.kind, self.index, self.pid, self.name = kind, int(index), int(pid), name
        self.restarts, self.replica, self.why = int(restarts), int(replica), " ".join(why)


def rows(server, *kinds):
    text = requests.get(server.url + "/board", timeout=60).text
    return [row for row in map(Row, text.splitlines()) if row.kind in (kinds or ("loader", "replica"))]


def ready(server, n):
    """The n replicas, once they are ready and all gateways are linked to them."""
    until(lambda: [r.state for r in rows(server, "replica")], ["ready"] * n)
    replicas = rows(server, "replica")
    until(lambda: links(server), {r.replica for r in replicas})
    return replicas


def links(server):
    return set(map(int, requests.get(server.url + "/links", timeout=60).text.split()))


def command_line(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


def parent(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_replicas_are_forks_of_one_loader_and_children_of_the_supervisor(start_fake):
    server = start_fake("--gateways", 1)
    declare(server, "7 churn 3 2 1 60000 ok")
    first, second = ready(server, 2)
    (loader,) = rows(server, "loader")
    assert command_line(loader.pid) == "slipway: loader churn/3"
    assert command_line(first.pid) == command_line(second.pid) == "slipway: replica churn/3"
    assert {parent(r.pid) for r in (loader, first, second)} == {server.process.pid}
    assert server.wait_event("told", lambda e: e["state"] == "ready" and e["replica"] == 0)["deployment"] == 7
    assert server.stop() == 0
    assert not pathlib.Path(f"/proc/{first.pid}").exists() and not pathlib.Path(f"/proc/{loader.pid}").exists()


def test_a_killed_replica_is_replaced_and_the_other_is_left_alone(start_fake):
    server = start_fake("--gateways", 1)
    declare(server, "7 churn 3 2 1 60000 ok")
    for _ in range(10):
        victim, other = ready(server, 2)
        os.kill(victim.pid, signal.SIGKILL)
        until(lambda: rows(server, "replica")[0].replica, lambda n: n > victim.replica)
        after = ready(server, 2)
        assert after[1].pid == other.pid
        assert after[0].why == "ended by signal 9"
    assert links(server) == {r.replica for r in after}


def test_a_stopped_replica_is_noticed_and_replaced(start_fake):
    server = start_fake("--gateways", 1)
    declare(server, "7 churn 3 2 1 1500 ok")
    victim, _ = ready(server, 2)
    stopped = time.monotonic()
    os.kill(victim.pid, signal.SIGSTOP)
    until(lambda: rows(server, "replica")[0].replica, lambda n: n > victim.replica)
    assert time.monotonic() - stopped > 1.4
    replica = ready(server, 2)[0]
    assert replica.why == "hung: no answer for 1500 ms"


def test_a_dead_loader_is_replaced_while_its_replicas_serve_on(start_fake):
    server = start_fake("--gateways", 1)
    declare(server, "7 churn 3 2 1 60000 ok")
    before = ready(server, 2)
    (loader,) = rows(server, "loader")
    os.kill(loader.pid, signal.SIGKILL)
    until(lambda: rows(server, "loader")[0], lambda r: r.state == "ready" and r.pid != loader.pid)
    assert [r.pid for r in ready(server, 2)] == [r.pid for r in before]
    os.kill(before[0].pid, signal.SIGKILL)  # the new one can be forked, too
    until(lambda: rows(server, "replica")[0].replica, lambda n: n > before[1].replica)
    ready(server, 2)


def test_a_restarted_gateway_is_linked_to_all_replicas(start_fake):
    server = start_fake("--gateways", 1)
    declare(server, "7 churn 3 2 1 60000 ok", "8 price 1 1 2 60000 ok")
    before = ready(server, 3)
    server.kill_child("gateway")
    server.wait_child("child_ready", "gateway", n=2)
    assert [r.pid for r in ready(server, 3)] == [r.pid for r in before]


def test_a_supervisor_without_descriptors_links_a_replica_when_it_has_some(start_fake):
    server = start_fake("--gateways", 1)
    supervisor = server.process.pid
    declare(server, "7 churn 3 1 2 20000 late")  # of two threads: it loads for itself
    (replica,) = until(lambda: rows(server, "replica"), lambda found: [r for r in found if r.pid])
    until(lambda: pathlib.Path(f"/proc/{replica.pid}/stat").read_text().rsplit(")", 1)[1].split()[0], "T")
    taken, limits = set(map(int, os.listdir(f"/proc/{supervisor}/fd"))), resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
    one_more = next(n for n in range(4096) if n not in taken) + 1  # a link takes two
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (one_more, limits[1]))
    try:
        os.kill(replica.pid, signal.SIGCONT)
        server.wait_event("link_failed", n=2)
        server.wait_event("state_not_saved")
        assert links(server) == set()
    finally:
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, limits)
    assert ready(server, 1)[0].pid == replica.pid
    server.wait_event("state_saved")


def test_a_new_controller_finds_its_replicas_unchanged_and_others_withdrawn(start_fake):
    server = start_fake("--gateways", 1)
    declare(server, "7 churn 3 2 1 60000 ok", "8 price 1 1 2 60000 ok")
    before = {r.pid for r in ready(server, 3) if r.name == "churn/3"}
    told = len(server.find("told", deployment=7, replica=0))
    (server.data_dir / "declare").write_text("7 churn 3 2 1 60000 ok\n")  # in place: only a new controller looks
    server.kill_child("controller")
    server.wait_child("child_ready", "controller", n=2)
    assert {r.pid for r in ready(server, 2)} == before
    server.wait_event("told", lambda e: (e["deployment"], e["replica"]) == (7, 0), n=told + 1)
    until(lambda: links(server), lambda n: len(n) == 2)


def test_a_model_that_cannot_be_loaded_fails_with_its_reason_and_others_do_not_notice(start_fake):
    server = start_fake("--gateways", 1)
    declare(server, "7 churn 3 1 1 60000 ok", "8 price 1 2 1 60000 fail")
    told = server.wait_event("told", lambda e: e["state"] == "failed" and e["replica"] == 0)
    assert (told["deployment"], told["ready"], told["why"]) == (8, 0, "cannot load: operator Foo(17) is not known")
    states = {r.name: r.state for r in until(lambda: rows(server), lambda all: "starting" not in {r.state for r in all})}
    assert states == {"churn/3": "ready", "price/1": "failed"}
    assert server.wait_event("deployment_failed")["reason"] == told["why"]
    assert server.stop() == 0


def test_a_version_that_crashes_in_a_loop_is_given_up(start_fake):
    server = start_fake("--gateways", 1)
    declare(server, "7 churn 3 1 1 60000 ok", "8 price 1 1 2 60000 crash")
    told = server.wait_event("told", lambda e: e["state"] == "failed" and e["replica"] == 0)
    assert told["why"] == "ended by signal 6, the last of 5 deaths in 30 s"
    server.wait_event("replica_ended", n=5)  # the last is logged after the controller was told
    assert len(server.find("replica_ended")) == 5
    until(lambda: [r.state for r in rows(server, "replica") if r.name == "churn/3"], ["ready"])


def test_a_loader_that_names_another_process_is_not_believed(start_fake):
    server = start_fake("--gateways", 1)
    declare(server, "8 price 1 1 1 60000 liar")
    told = server.wait_event("told", lambda e: e["state"] == "failed" and e["replica"] == 0)
    assert told["why"].startswith("cannot be forked: the loader named another process")
    # The forks that nobody knows end with their sockets, and nobody stays a zombie.
    until(lambda: [p for p in os.listdir("/proc") if p.isdigit() and is_child(p, server.process.pid)],
          lambda pids: len(pids) == 3) # gateway, controller, monitor


def test_a_loader_that_names_the_program_being_checked_is_not_believed(start_fake, tmp_path):
    server = start_fake("--gateways", 1)
    program = shutil.copy(FAKE, tmp_path / "program-mute")
    for number in range(8, 13):  # the check ends after 5 s: a loader that starts later names nobody
        declare(server, f"upgrade {program}")
        (checked,) = until(lambda: checks(server), lambda pids: len(pids) == 1)
        declare(server, f"{number} price 1 1 1 60000 names-{checked}")
        server.wait_event(
            "told", lambda e, n=number: e["deployment"] == n and e["state"] == "failed" and e["replica"] == 0)
        if any("the loader named another process" in told["why"] for told in server.find("told")):
            return
        until(lambda: checks(server), [])
    raise AssertionError(server.find("told"))


def checks(server):
    """The processes in which the supervisor asks a new program what it is."""
    children = [p for p in os.listdir("/proc") if p.isdigit() and is_child(p, server.process.pid)]
    return [p for p in children if is_asked(p)]


def is_asked(pid):
    try:
        return "@check" in command_line(pid)
    except OSError:
        return False


def is_child(pid, of):
    try:
        return parent(pid) == of
    except OSError:
        return False


def test_replicas_come_and_go_as_declared(start_fake):
    server = start_fake("--gateways", 1)
    declare(server, "7 churn 3 1 1 60000 ok")
    (first,) = ready(server, 1)
    declare(server, "7 churn 3 3 1 60000 ok")
    assert ready(server, 3)[0].pid == first.pid
    declare(server, "7 churn 3 1 1 60000 ok")
    assert ready(server, 1)[0].pid == first.pid
    declare(server, "withdraw 7")
    until(lambda: rows(server), [])
    until(lambda: links(server), set())
    declare(server, "7 churn 3 2 1 60000 ok")
    ready(server, 2)


def test_a_replica_that_does_not_end_is_killed_at_the_end_of_the_drain(start_fake):
    server = start_fake("--gateways", 1, "--drain-timeout", "500ms")
    declare(server, "7 churn 3 2 1 60000 ok")
    victim, _ = ready(server, 2)
    os.kill(victim.pid, signal.SIGSTOP)
    began = time.monotonic()
    assert server.stop() == 0
    assert 0.4 < time.monotonic() - began < 20
    assert not pathlib.Path(f"/proc/{victim.pid}").exists()


def test_a_second_signal_ends_replicas_at_once(start_fake):
    server = start_fake("--gateways", 1, "--drain-timeout", "60s")
    declare(server, "7 churn 3 2 1 60000 ok")
    victim, _ = ready(server, 2)
    os.kill(victim.pid, signal.SIGSTOP)
    server.process.send_signal(signal.SIGTERM)
    server.wait_event("child_ended", lambda e: e["child"] == "controller")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(40) == 1
    assert not pathlib.Path(f"/proc/{victim.pid}").exists()
