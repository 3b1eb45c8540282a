# SPDX-License-Identifier: Apache-2.0
"""The prediction log from answer to disk: what is in it, that nothing is lost that was promised, that everything is counted.

Here at a few points; `dev/slow log` takes a hundred.
"""

import errno
import hashlib
import hmac
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
import requests

import faults
from conftest import BINARY, until
from predlog import Load, lines, settled, status
from test_cli import run  # noqa: F401 (a fixture)


@pytest.fixture
def log_server(start_server, churn):
    def start(*flags, **how):
        server = start_server("--gateways", 1, *flags, **how)
        server.push("churn", churn.path)
        return server

    return start


def ids(found):
    return [line["id"] for line in found]


def test_a_prediction_and_a_failure_are_logged_with_all_that_belongs_to_them(log_server, churn):
    server = log_server()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    good = server.predict("churn", {"instances": churn.instances(3)}, headers={"traceparent": trace})
    bad = server.predict("churn", {"instances": [[1, 2]]}, headers={"traceparent": trace})
    assert (good.status_code, bad.status_code) == (200, 400)
    assert settled(server, 2) == {**status(server), "accepted": 2, "committed": 2, "dropped": 0}
    *rows, failure = lines(server, model="churn")
    assert [r["row"] for r in rows] == [0, 1, 2]
    for row, instance, answer in zip(rows, churn.instances(3), good.json()["predictions"]):
        assert (row["kind"], row["status"], row["version"], row["rows"]) == ("prediction", 200, 1, 3)
        assert row["id"] == good.headers["Slipway-Prediction-Id"]
        assert row["trace_id"] == trace.split("-")[1] and row["parent_id"] == trace.split("-")[2]
        # In the text that is shortest for a float32.
        assert [None if v is None else np.float32(v) for v in row["inputs"].values()] == \
            [None if v is None else np.float32(v) for v in instance]
        assert list(row["inputs"]) == churn.names
        assert row["outputs"] == {"prediction": answer}
        assert 0 < row["latency_us"] < 30_000_000 and row["sample_weight"] == 1 and not row["truncated"]
    assert (failure["kind"], failure["status"], failure["error"]) == ("failure", 400, "wrong_count")
    assert (failure["trace_id"], failure["parent_id"]) == (trace.split("-")[1], trace.split("-")[2])


def test_what_may_not_be_kept_of_a_table_is_not_in_the_log(log_server, churn, run):  # noqa: F811
    server = log_server()
    rules = {"age": "hash", "income": "drop", "tenure": "bucket:0.5", "plan": "truncate:1"}
    server.push("churn", churn.path, signature={"inputs": [{"name": name, "log": rule} for name, rule in rules.items()]})
    asked = [[0.5, 0.123456, -0.3, 1.29, 2, None], [None, 0.654321, 0.7, -1.29, 3, 4]]
    server.predict("churn", {"instances": asked}).raise_for_status()
    settled(server, 1)
    key = (server.data_dir / "state" / "log.key").read_bytes()
    hashed = hmac.new(key, b"0.5", hashlib.sha256).hexdigest()[:16]
    assert [row["inputs"] for row in lines(server, model="churn")] == [
        {"age": hashed, "tenure": -0.5, "plan": 1.2, "calls": 2, "spend": None},
        {"age": None, "tenure": 0.5, "plan": -1.2, "calls": 3, "spend": 4}]
    path = server.data_dir / "state" / "log.key"
    path.unlink()  # what was hashed by it is never known again; the next controller makes another
    server.kill_child("controller")
    server.wait_child("child_ready", "controller", n=2)
    until(path.exists)
    hashed_anew = hmac.new(path.read_bytes(), b"0.5", hashlib.sha256).hexdigest()[:16]
    assert hashed_anew != hashed

    n = itertools.count(2)

    def ages():
        server.predict("churn", {"instances": asked[:1]}).raise_for_status()
        settled(server, next(n))
        return [row["inputs"]["age"] for row in lines(server, model="churn")]

    found = until(ages, lambda got: got[-1] == hashed_anew)
    assert found[:2] == [hashed, None] and set(found[2:]) <= {hashed, hashed_anew}
    shown = until(lambda: requests.get(f"{server.url}/api/v1/models/churn/drift", timeout=60).json(), lambda got: got.get("version") == 2)
    assert shown["unwatched"] == [{"name": "age", "role": "input", "log": "hash"}, {"name": "income", "role": "input", "log": "drop"}]
    assert "Not in the log, and so not watched: age (hash), income (drop)" in run("drift", "churn", server=server).stdout
    with pytest.raises(AssertionError, match="hashed.*does not say how a column is logged"):
        server.push("churn", churn.path, signature={"inputs": [{"name": "age", "log": "hashed"}]})
    changes = server.push("churn", churn.path)["signature"]["changes"]
    assert "input 'age': the log's rule was 'hash', it is 'keep'" in changes["compatible"]


def test_rows_that_do_not_fit_are_left_out_and_that_is_said(log_server, churn):
    server = log_server("--log-record", "1KiB")
    server.predict("churn", {"instances": churn.instances(100)}).raise_for_status()
    settled(server, 1)
    found = lines(server, model="churn")
    assert 5 < len(found) < 40 and all(line["truncated"] and line["rows"] == 100 for line in found)


def test_nothing_is_logged_where_the_settings_say_so(log_server, churn):
    server = log_server("--log-predictions=false")
    server.predict("churn", {"instances": churn.instances(1)}).raise_for_status()
    assert status(server)["accepted"] == 0


def test_an_answer_that_waits_for_the_disk_is_there_after_everything_was_killed(log_server, churn, start_server):
    server = log_server("--log-durability", "commit", "--log-commit-wait", "30s")
    with Load(server, "churn", churn.instances(2)) as load:
        load.more(200)
        server.kill()
    promised = {i for i, committed in load.answers.items() if committed == "1"}
    assert len(promised) >= 200 and set(load.answers.values()) == {"1"}
    again = start_server("--gateways", 1, data_dir=server.data_dir)
    assert promised <= set(ids(lines(again)))
    assert again.find("log_recovered")


@pytest.mark.parametrize("child", ["monitor", "gateway"])
def test_what_was_promised_is_there_whoever_is_killed(log_server, churn, child):
    server = log_server("--log-durability", "commit", "--log-commit-wait", "30s")
    rng = random.Random(7)
    with Load(server, "churn", churn.instances(1)) as load:
        for n in range(3):
            load.more(rng.randrange(50, 200))
            server.kill_child(child)
            server.wait_child("child_ready", child, n=n + 2)
        load.more(100)
    counts = settled(server)
    promised = {i for i, committed in load.answers.items() if committed == "1"}
    found = ids(lines(server))
    assert promised <= set(found) and len(promised) > 200
    # Twice only what was read before a monitor died and had not been settled.
    assert counts["dropped"] == 0 and counts["committed"] == counts["accepted"]
    assert len(set(found)) <= counts["committed"] <= len(found)
    if child == "gateway":
        assert len(found) == counts["committed"] == len(set(found))


def test_no_record_is_lost_when_monitor_and_supervisor_die(log_server, churn):
    server = log_server()
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(100)
        server.kill_child("monitor")
        load.more(200)
        os.kill(server.supervisor_pid(), signal.SIGKILL)
        server.wait_event("adopted")
        load.more(200)
    counts = settled(server, load.count())
    assert counts["accepted"] == counts["committed"] == load.count()
    assert set(load.answers) == set(ids(lines(server)))


def test_a_monitor_that_stands_still_holds_nobody_up_and_what_is_lost_is_counted_and_told(log_server, churn):
    server = log_server("--log-ring", "64KiB")
    settled(server)
    os.kill(server.child_pid("monitor"), signal.SIGSTOP)
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(2000)
    os.kill(server.child_pid("monitor"), signal.SIGCONT)
    server.predict("churn", {"instances": churn.instances(1)}).raise_for_status()
    counts = settled(server, load.count() + 1)
    assert counts["accepted"] == load.count() + 1
    assert counts["dropped"] == counts["dropped_by"]["overflow"] > 500
    found = lines(server, gaps="true")
    assert counts["dropped"] == sum(line["records"] for line in found if line["kind"] == "gap")
    assert counts["committed"] == sum(line["kind"] == "prediction" for line in found)
    assert load.slowest_s < 15


def test_with_block_answers_wait_a_little_for_room(log_server, churn):
    server = log_server("--log-ring", "64KiB", "--log-overflow", "block", "--log-block", "50ms")
    with Load(server, "churn", churn.instances(1), clients=1) as load:
        load.more(10)
        begin = time.monotonic()
        os.kill(server.child_pid("monitor"), signal.SIGSTOP)
        until(lambda: dropped_in_memory(server) >= 3)
        os.kill(server.child_pid("monitor"), signal.SIGCONT)
        load.more(500)
        most = (time.monotonic() - begin) / 0.05 + 1
    counts = settled(server, load.count())
    # While it stood still at most twenty records a second were given up, not thousands.
    assert 3 <= counts["dropped"] <= most and load.slowest_s > 0.04


def dropped_in_memory(server):
    """What the gateway gave up so far, out of its ring's head (os/spool.c): the monitor cannot be asked."""
    with open(f"/proc/{server.child_pid('gateway')}/fd/8", "rb") as f:
        words = [int.from_bytes(f.read(8), "little") for _ in range(32)]
    written = 8 + 7 * (words[0] % 2)
    return words[written + 3]


def test_with_sample_some_stand_for_all(log_server, churn):
    server = log_server("--log-ring", "64KiB")
    server.push("churn", churn.path, log_overflow="sample")  # of a version; the server's own is tried above
    os.kill(server.child_pid("monitor"), signal.SIGSTOP)
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(600)
    os.kill(server.child_pid("monitor"), signal.SIGCONT)
    counts = settled(server, load.count())
    found = [line for line in lines(server) if line["kind"] == "prediction"]
    assert counts["dropped_by"]["sampled"] > 100
    weights = {line["sample_weight"] for line in found}
    assert weights == {1, 8}
    assert len(found) == counts["committed"]


def test_one_in_ten_is_chosen_by_the_id_and_failures_are_all_kept(log_server, churn):
    server = log_server("--log-one-in", 10)
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(2000)
    for _ in range(20):
        server.predict("churn", {"instances": [[1]]})
    counts = settled(server)
    found = lines(server)
    kept = [line for line in found if line["kind"] == "prediction"]
    assert sum(line["kind"] == "failure" for line in found) == 20
    assert {line["sample_weight"] for line in kept} == {10}
    assert set(ids(kept)) < set(load.answers)
    assert load.count() / 10 * 0.7 < len(kept) < load.count() / 10 * 1.3
    assert counts["accepted"] == len(kept) + 20


def test_each_version_is_logged_as_it_was_said_when_it_was_pushed(start_server, churn):
    server = start_server("--gateways", 1)
    said = {"silent": ["--log", "off"], "sampled": ["--log-one-in", 10], "sure": ["--log-durability", "commit"], "plain": []}
    for model, flags in said.items():
        done = subprocess.run([BINARY, "push", model, str(churn.path), *map(str, flags), "--url", server.url],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    shown = subprocess.run([BINARY, "show", "sampled/1", "--url", server.url], capture_output=True, text=True, timeout=60)
    assert re.search(r"^  settings +log_one_in: 10$", shown.stdout, re.M), shown.stdout

    def ask(server, n):
        answers = {model: [server.predict(model, {"instances": churn.instances(1)}) for _ in range(n)] for model in said}
        assert all(a.status_code == 200 for list_ in answers.values() for a in list_)
        return {model: {a.headers["Slipway-Prediction-Id"]: a.headers.get("Slipway-Log-Committed") for a in list_}
                for model, list_ in answers.items()}

    asked = ask(server, 150)
    server.stop()
    again = start_server("--gateways", 1, data_dir=server.data_dir)  # it is in the registry
    for model, answers in ask(again, 150).items():
        asked[model].update(answers)
    settled(again)
    found = {model: [line for line in lines(again, model=model) if line["kind"] == "prediction"] for model in said}
    assert found["silent"] == []
    assert set(ids(found["plain"])) == set(asked["plain"]) and {line["sample_weight"] for line in found["plain"]} == {1}
    assert set(ids(found["sure"])) == set(asked["sure"])
    assert {model: set(answers.values()) for model, answers in asked.items()} == \
        {"silent": {None}, "sampled": {None}, "plain": {None}, "sure": {"1"}}
    # 300 draws of one in ten: outside of this once in 10^9.
    assert 4 <= len(found["sampled"]) <= 66 and {line["sample_weight"] for line in found["sampled"]} == {10}
    assert set(ids(found["sampled"])) < set(asked["sampled"])


def test_only_an_answer_whose_record_is_on_disk_says_so(log_server, churn):
    """Of those behind a large request on one connection, too, which keep their ids."""
    server = log_server("--log-durability", "commit", "--log-one-in", 2, "--log-commit-wait", "30s")

    def request(name, n):
        body = json.dumps({"instances": [[0.5] * len(churn.names)] * n})
        return f"POST /v1/models/churn:predict HTTP/1.1\r\nHost: x\r\nX-Request-Id: {name}\r\nContent-Length: {len(body)}\r\n\r\n{body}"

    n, text = 80, b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
        s.sendall("".join(request(f"r{i}", 520 if i % 8 == 0 else 1) for i in range(n)).encode())
        while text.count(b"]}") < n:
            assert (more := s.recv(1 << 20)), text
            text += more
    heads = [dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
             for head in re.findall(r"HTTP/1\.1 200 OK.*?(?=\r\n\r\n)", text.decode(), re.S)]
    assert [head["X-Request-Id"] for head in heads] == [f"r{i}" for i in range(n)]
    said = {head["Slipway-Prediction-Id"]: head.get("Slipway-Log-Committed") for head in heads}
    assert set(said.values()) == {"1", None}
    settled(server)
    assert {i for i, committed in said.items() if committed} == set(ids(lines(server)))


def test_a_version_may_be_logged_on_a_server_that_logs_nothing_else(start_server, churn):
    server = start_server("--gateways", 1, "--log-predictions=false")
    server.push("churn", churn.path, log="on", log_overflow="block")
    server.push("other", churn.path)
    for model in ("churn", "other"):
        server.predict(model, {"instances": churn.instances(1)}).raise_for_status()
    settled(server, 1)
    assert [line["model"] for line in lines(server)] == ["churn"]


def test_what_was_written_before_a_start_is_sealed_after_it(log_server, churn, start_server):
    server = log_server()
    for _ in range(5):
        server.predict("churn", {"instances": churn.instances(2)}).raise_for_status()
    settled(server, 5)
    before = lines(server)
    server.stop()
    (server.data_dir / "state" / "wal" / f"{0:020}.wal").mkdir()  # cannot be opened as a file, and holds nothing up
    again = start_server("--gateways", 1, data_dir=server.data_dir)
    again.wait_event("log_sealed")
    assert again.wait_event("log_file_set_aside")["files"] == 1
    until(lambda: status(again)["unreadable_files"], 1)
    until(lambda: "\nslipway_log_unreadable_files 1\n" in requests.get(f"{again.url}/metrics", timeout=60).text)
    manifest = [line for line in requests.get(f"{again.url}/api/v1/log/manifest", timeout=30).text.splitlines() if line]
    assert len(manifest) == 2 and '"rows":10' in manifest[1]
    assert lines(again) == before
    checked = requests.get(f"{again.url}/api/v1/log/verify", timeout=30).json()
    assert checked["faults"] == [] and checked["rows"] == 11 and checked["gaps"] == 1


def test_the_counters_are_in_the_metrics(log_server, churn):
    server = log_server()
    server.predict("churn", {"instances": churn.instances(1)}).raise_for_status()
    settled(server, 1)
    text = until(lambda: requests.get(f"{server.url}/metrics", timeout=60).text,
                 lambda text: "\nslipway_log_committed_total 1\n" in text)
    assert "\nslipway_log_accepted_total 1\n" in text
    assert '\nslipway_log_dropped_total{reason="overflow"} 0\n' in text
    assert "\nslipway_log_commit_seconds_count 1\n" in text


@pytest.fixture
def faulty(tmp_path, churn):
    """A server whose monitor has a disk that obeys a plan."""
    base = faults.fast_dir(tmp_path)
    servers = []

    def start(*flags):
        plan = faults.plan_for(base / "data", "-log")
        server = faults.start(base / "data", *flags)
        servers.append(server)
        server.push("churn", churn.path)
        return server, plan

    yield start
    for server in servers:
        server.end()
    shutil.rmtree(base, ignore_errors=True)


def test_a_disk_that_stalls_holds_nobody_up(faulty, churn):
    server, plan = faulty("--log-ring", "64KiB")
    server.predict("churn", {"instances": churn.instances(1)}).raise_for_status()
    settled(server, 1)
    plan.arm(faults.STALL, kinds=faults.SYNC, files=faults.OTHER, sticky=True)
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(2000)
        plan.disarm()
        load.more(200)
    counts = settled(server, load.count() + 1)
    assert counts["accepted"] == load.count() + 1 and counts["dropped"] > 500
    found = lines(server, gaps="true")
    assert counts["committed"] == sum(line["kind"] == "prediction" for line in found)
    assert counts["dropped"] == sum(line["records"] for line in found if line["kind"] == "gap")
    assert load.slowest_s < 15


def test_answers_do_not_wait_for_a_stalled_disk_for_ever_and_say_that_nothing_was_promised(faulty, churn):
    server, plan = faulty("--log-durability", "commit", "--log-commit-wait", "200ms")
    first = until(lambda: server.predict("churn", {"instances": churn.instances(1)}),
                  lambda answer: answer.headers["Slipway-Log-Committed"] == "1")  # as soon as the disk is quick enough
    plan.arm(faults.STALL, kinds=faults.SYNC, files=faults.OTHER, sticky=True)
    began = time.monotonic()
    second = server.predict("churn", {"instances": churn.instances(1)})
    took = time.monotonic() - began
    plan.disarm()
    assert second.status_code == 200 and second.headers["Slipway-Log-Committed"] == "0"
    assert 0.19 < took < 15
    assert second.json()["predictions"] == first.json()["predictions"]


def test_a_full_disk_costs_records_that_are_counted_and_told_and_nothing_else(faulty, churn):
    server, plan = faulty("--log-ring", "64KiB")
    server.predict("churn", {"instances": churn.instances(1)}).raise_for_status()
    settled(server, 1)
    plan.arm(faults.FAIL, kinds=faults.WRITE, files=faults.OTHER, error=errno.ENOSPC, sticky=True)
    with Load(server, "churn", churn.instances(1)) as load:
        load.more(1000)
        server.wait_event("log_not_written")
        load.more(1000)
        assert not status(server)["writable"]
        plan.disarm()
        server.wait_event("log_written_again")
        load.more(300)
    counts = settled(server, load.count() + 1)
    assert counts["accepted"] == load.count() + 1
    assert counts["dropped_by"]["monitor"] > 0
    found = lines(server, gaps="true")
    assert counts["committed"] == sum(line["kind"] == "prediction" for line in found) > 100
    assert counts["dropped"] == sum(line["records"] for line in found if line["kind"] == "gap")
