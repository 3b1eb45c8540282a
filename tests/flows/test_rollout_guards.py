# SPDX-License-Identifier: Apache-2.0
"""What guardrails see beside errors and time: scores that are spread otherwise, predictions that turn out to be
wrong. And what a rollout is to people: several arms, replicas, a live view, one that cannot be read."""

import collections
import json
import os
import pty
import select
import sqlite3
import subprocess
import time

import numpy as np
import pytest
import requests

from conftest import BINARY, restore_sums
from prometheus import page, value
from test_replicas import ERROR
from test_rollouts import BAD, ERRORS, MOST, STATED, STEP, Batches, Rollouts, Traffic, rolled_back

SCORES = {"metric": "distribution"}
WRONG = {"metric": "wrong_prediction"}


@pytest.fixture
def rollouts(start_fake_server, tmp_path):
    return Rollouts(start_fake_server("--gateways", 2, "--request-timeout", "5s"), tmp_path)


def until(true, what, seconds=60):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


def learned(path, shift=0.0, note="", level=None):
    """A model that has learned the sum of three numbers, moved by `shift`; with a level it always says that."""
    import xgboost

    x = np.random.default_rng(5).normal(size=(2000, 3)).astype(np.float32)
    label = x.sum(axis=1) + shift if level is None else np.full(len(x), level)
    booster = xgboost.train({"objective": "reg:squarederror", "max_depth": 4, "eta": 0.5, "nthread": 1,
                             "base_score": 0.5 if level is None else level}, xgboost.DMatrix(x, label=label), 10)
    booster.set_attr(note=note or "none")
    booster.save_model(path)
    return path


def random_rows():
    rows = np.random.default_rng(7).normal(size=(4096, 3)).round(3).tolist()
    return lambda k, i: rows[(k * 577 + i) % len(rows)]


def push_two(rollouts, one, other):
    rollouts.server.push("m", one)
    rollouts.server.push("m", other, promote=False)


def guard_of(shown, metric, arm=0):
    return next(g for g in shown["arms"][arm]["guardrails"] if g["metric"] == metric)


# ---- scores ----


def test_one_whose_scores_are_shifted_is_rolled_back(rollouts, tmp_path):
    # By more than one standard deviation of 1.7, of which is said how long it takes.
    push_two(rollouts, learned(tmp_path / "a.json"), learned(tmp_path / "b.json", shift=4))
    rows = random_rows()
    with Batches(rollouts, rows=lambda i: rows(0, i), size=100) as batches:
        rollouts.start(**{**STATED, "guardrails": [ERRORS, SCORES]})
        rollouts.wait("running")
        batches.until_it_goes_back(2000)
        crossing = rolled_back(rollouts, batches)
    assert crossing["event"] == "guard_failed" and "distribution" in crossing["note"]
    told = crossing["arms"][0]["guardrails"][1]
    assert told["verdict"] == "fail" and told["log_fail"] >= told["fail_at"]
    shown = guard_of(rollouts.get(), "distribution")
    assert len(shown["ranges"]) == 6 and shown["ranges"][0]["above"] is None and shown["ranges"][-1]["to"] is None
    counted = [sum(r["canary"] for r in shown["ranges"]), sum(r["stable"] for r in shown["ranges"])]
    assert counted == [shown["requests"]["canary"], shown["requests"]["stable"]] and min(counted) > 0
    assert shown["range"] in shown["ranges"] and shown["events"]["canary"] == shown["range"]["canary"]
    done = subprocess.run([BINARY, "rollout", "status", "m", "--url", rollouts.server.url], capture_output=True, text=True, timeout=60)
    assert "distribution " in done.stdout, done.stdout


def test_one_whose_scores_are_the_same_is_promoted(rollouts, tmp_path):
    push_two(rollouts, learned(tmp_path / "a.json"), learned(tmp_path / "b.json", note="again"))
    with Traffic(rollouts.server, rows=random_rows()) as traffic:
        # Nothing is promoted before the last step has shown that the scores are those of the old version.
        rollouts.start(guardrails=[ERRORS, {**SCORES, "pass_ratio": 3}], steps=[{"weight": 50, **STEP}])
        rollouts.wait("promoted", seconds=150)
    assert not traffic.failed()
    (passed,) = [e for e in rollouts.events() if e["event"] == "step_passed"]
    told = passed["arms"][0]["guardrails"][1]
    assert told["verdict"] == "pass" and told["log_pass"] >= told["pass_at"] and told["log_fail"] < told["fail_at"]


def test_cuts_and_counts_of_scores_survive_the_controller(rollouts, tmp_path):
    push_two(rollouts, learned(tmp_path / "a.json"), learned(tmp_path / "b.json", note="again"))

    def shown():
        try:
            return guard_of(rollouts.get(), "distribution").get("ranges")
        except (requests.RequestException, AssertionError):  # the controller is away
            return None

    with Traffic(rollouts.server, n=2, rows=random_rows()):
        rollouts.start(guardrails=[SCORES], steps=[{"weight": 20, "min_seconds": 600}])
        before = until(lambda: (found := shown()) and found[0]["stable"] > 0 and found, "scores are counted")
        rollouts.server.kill_child("controller")
        rollouts.server.wait_child("child_ready", "controller", n=2)
        after = until(lambda: (found := shown()) and found[0]["stable"] > before[0]["stable"] and found, "and go on")
    assert [r["to"] for r in after] == [r["to"] for r in before]
    rollouts.move("rollback")
    rollouts.wait("rolled_back")
    rollouts.events()


def test_a_shadow_whose_scores_are_shifted_fails(rollouts, tmp_path):
    push_two(rollouts, learned(tmp_path / "a.json"), learned(tmp_path / "b.json", shift=2))
    with Traffic(rollouts.server, n=2, rows=random_rows()) as traffic:
        rollouts.start(strategy="shadow", shadow={"min_seconds": 600}, guardrails=[SCORES], steps=None, bake=None, on_fail="freeze")
        rollouts.wait("frozen")
    assert not traffic.failed() and not traffic.of("canary")
    assert guard_of(rollouts.get(), "distribution")["verdict"] == "fail"
    rollouts.move("rollback")
    rollouts.wait("rolled_back")
    rollouts.events()


def test_values_out_of_the_range_that_was_said_are_invalid(rollouts, tmp_path):
    push_two(rollouts, learned(tmp_path / "a.json", level=0.25), learned(tmp_path / "b.json", level=0.75))
    with Batches(rollouts, rows=lambda i: [1, 1, 1], metric="invalid_output") as batches:
        rollouts.start(**{**STATED, "guardrails": [{"metric": "invalid_output", "range": [0, 0.5]}]})
        rollouts.wait("running")
        batches.until_it_goes_back(MOST)
        crossing = rolled_back(rollouts, batches)
    assert "invalid_output" in crossing["note"]


# ---- labels ----


class Labels:
    """What becomes known of predictions: of those that `keep` says, the label `truth`."""

    def __init__(self, server):
        self.server, self.ids, self.n_sent = server, collections.deque(), 0

    def take(self, answer):
        self.ids.append((answer.headers.get("Slipway-Prediction-Id"), answer.headers.get("Slipway-Arm")))

    def send(self, truth, keep=lambda arm: True):
        items = []
        while self.ids:
            one, arm = self.ids.popleft()
            if one and keep(arm):
                items.append({"prediction_id": one, "label": truth})
        if items:
            answer = requests.post(f"{self.server.url}/api/v1/feedback", json=items, timeout=30)
            assert answer.status_code == 200 and answer.json()["refused"] == 0, answer.text
        self.n_sent += len(items)


def test_one_that_turns_out_to_be_wrong_is_rolled_back(rollouts, tmp_path):
    push_two(rollouts, learned(tmp_path / "a.json", level=0.25), learned(tmp_path / "b.json", level=0.75))
    labels = Labels(rollouts.server)
    rows = random_rows()
    # Version 1 says 0.25, which is right; version 2 says 0.75.
    with Batches(rollouts, rows=lambda i: rows(0, i), size=60, metric="wrong_prediction", take=labels.take,
                 told=lambda: labels.send(0)) as batches:
        rollouts.start(**{**STATED, "guardrails": [ERRORS, WRONG]})
        rollouts.wait("running")
        batches.until_it_goes_back(MOST)
        crossing = rolled_back(rollouts, batches)
    assert "wrong_prediction" in crossing["note"]
    told = crossing["arms"][0]["guardrails"][1]
    labelled = sum(row[1] + row[2] for row in told["requests"])
    assert 0 < labelled <= labels.n_sent and sum(row[2] for row in told["events"]) == 0


def test_without_labels_or_with_those_of_one_arm_nothing_is_decided(rollouts, tmp_path):
    push_two(rollouts, learned(tmp_path / "a.json", level=0.25), learned(tmp_path / "b.json", level=0.75))
    labels = Labels(rollouts.server)

    def found():
        return guard_of(rollouts.get(), "wrong_prediction")

    with Traffic(rollouts.server, n=3, rows=random_rows(), take=labels.take, pace=0.005):
        # With this objective two labels of the candidate would be enough, if requests were counted for them.
        rollouts.start(guardrails=[{**WRONG, "slo": 0.5}], steps=[{"weight": 20, **STEP}])
        until(lambda: rollouts.get()["exposure"]["requests"] > 100, "there was traffic")
        assert (found()["verdict"], found()["reason"]) == ("undecided", "no_data")

        def is_uneven():
            labels.send(1, keep=lambda arm: arm == "canary")
            return found()["reason"] == "labels_uneven"

        until(is_uneven, "it is noticed")
        assert found()["verdict"] == "undecided" and rollouts.get()["state"] == "running"
        assert found()["requests"]["canary"] > 0 and found()["requests"]["stable"] == 0
    rollouts.move("rollback")
    rollouts.wait("rolled_back")
    rollouts.events()


# ---- several arms ----


def test_several_arms_are_compared_by_intervals(rollouts):
    rollouts.push()
    rollouts.push("plain", promote=False)
    rollouts.push(f"twist {BAD} {ERROR} 0", promote=False)
    with Traffic(rollouts.server) as traffic:
        rollouts.start(strategy="ab", candidate=None, steps=None, bake=None, on_fail="freeze", min_seconds=600,
                       arms=[{"version": "2", "weight": 30}, {"version": "3", "weight": 30}])
        rollouts.wait("frozen")
        until(lambda: guard_of(rollouts.get(), "errors", arm=1)["decision"] == "worse", "the interval decides")
        text = page(rollouts.server)
        for version, arm in (("1", "stable"), ("2", "2"), ("3", "3")):
            assert value(text, "slipway_requests_total", version=version, arm=arm, code="2xx") > 0
    assert not traffic.failed(but_of="3") and traffic.failed()
    shown = rollouts.get()
    better, worse = guard_of(shown, "errors", arm=0), guard_of(shown, "errors", arm=1)
    assert worse["decision"] == "worse" and worse["uplift"]["lo"] > 0 and better["decision"] == "open"
    assert shown["verdict"] == "fail" and [a["verdict"] for a in shown["arms"]][1] == "fail"
    exposed = [a["exposure"] for a in shown["arms"]]
    answered = [len(traffic.of(name)) for name in ("2", "3")]
    # What is not counted yet are requests of the last moments.
    assert all(0 < e["requests"] <= n for e, n in zip(exposed, answered, strict=True))
    assert all(0.05 < e["share"] < 0.6 for e in exposed)
    done = subprocess.run([BINARY, "rollout", "status", "m", "--url", rollouts.server.url], capture_output=True, text=True, timeout=60)
    assert "Version 3: " in done.stdout and "against the old version, worse" in done.stdout, done.stdout

    def logged():
        done = subprocess.run([BINARY, "log", "query", "m", "--json", "--url", rollouts.server.url], capture_output=True, text=True, timeout=60)
        return {(row["arm"], row["weight_bp"]) for row in map(json.loads, done.stdout.splitlines())}

    until(lambda: logged() >= {(0, 4000), (1, 3000), (2, 3000)}, "the log has all arms, each with its share")
    rollouts.move("promote", status=409)
    rollouts.move("rollback")
    rollouts.wait("rolled_back")
    rollouts.events()


# ---- replicas ----


def test_replicas_are_ready_before_the_weight_that_needs_them(rollouts):
    rollouts.push(replicas="3:3")
    rollouts.push("plain", promote=False, replicas="1:3")

    def replicas_of(version):
        status = requests.get(f"{rollouts.server.url}/api/v1/status", timeout=10).json()
        return next(d["replicas"]["ready"] for d in status["deployments"] if d["model"] == "m" and d["version"] == version)

    with Traffic(rollouts.server, n=2, bad_every=0) as traffic:
        rollouts.start(guardrails=[ERRORS], steps=[{"weight": 20, "min_seconds": 600}, {"weight": 60, "min_seconds": 600}])
        rollouts.wait("running")
        assert replicas_of(2) >= 1
        rollouts.move("advance")
        until(lambda: rollouts.get()["step"] == 1, "the second step runs")
        assert replicas_of(2) >= 2 and replicas_of(1) == 3  # three fifths of three, and all may return
        rollouts.move("advance")
        rollouts.wait("promoted")
        assert replicas_of(2) >= 3
    assert not traffic.failed()


# ---- for people ----


def test_a_live_view_is_drawn_over_itself_until_the_end(rollouts, tmp_path):
    rollouts.pair()
    with Traffic(rollouts.server, n=2, bad_every=0):
        rollouts.start(steps=[{"weight": 20, "min_seconds": 600}])
        rollouts.wait("running")
        ours, theirs = pty.openpty()
        child = subprocess.Popen([BINARY, "rollout", "status", "m", "--watch"], stdin=subprocess.DEVNULL, stdout=theirs,
                                 stderr=theirs, env={**os.environ, "SLIPWAY_URL": rollouts.server.url, "TERM": "xterm"})
        os.close(theirs)
        out, end = b"", time.monotonic() + 60
        while out.count(b"\033[H\033[2J") < 3:
            assert time.monotonic() < end, out
            if select.select([ours], [], [], 1)[0]:
                out += os.read(ours, 65536)
        rollouts.move("rollback")
        while True:
            assert time.monotonic() < end, out
            try:
                if select.select([ours], [], [], 1)[0]:
                    out += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
        os.close(ours)
        assert child.wait(30) == 0
    views = out.decode().split("\033[H\033[2J")
    assert "running" in views[1] and "20 %" in views[1] and "WORSE: EVIDENCE" in views[1]
    assert "By hand: slipway rollout" in views[1] and "rolled_back" in views[-1]


def test_a_flag_that_others_have_says_what_is_meant(rollouts):
    for flag, meant in (("--to", "slipway rollout start MODEL VERSION"), ("--weight", "--steps"), ("--step", "--steps")):
        done = subprocess.run([BINARY, "rollout", "start", "m", flag, "9", "--url", rollouts.server.url],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and f"no flag {flag}" in done.stderr and meant in done.stderr, done.stderr


def test_a_stored_rollout_that_cannot_be_read_is_set_aside(start_fake_server, tmp_path):
    server = start_fake_server("--gateways", 1)
    rollouts = Rollouts(server, tmp_path)
    rollouts.pair()
    rollouts.start(steps=[{"weight": 20, "min_seconds": 600}])
    rollouts.wait("running")
    assert server.stop() == 0
    with sqlite3.connect(server.data_dir / "registry.db") as db:
        db.execute("UPDATE rollouts SET plan = '{\"state\":\"dancing\"}'")
        restore_sums(db, "rollouts", "id, model, alias, baseline, candidates, attempt, request, salt, created_ns, state, is_over,"
                                     " n_moves, plan, counts, moved_ns")
    server = start_fake_server("--gateways", 1, data_dir=server.data_dir)
    rollouts = Rollouts(server, tmp_path)
    server.wait_event("rollout_set_aside")
    answer = server.predict("m", {"instances": [[1, 1, 1]]})
    assert answer.headers["Slipway-Model-Version"] == "1" and "Slipway-Arm" not in answer.headers
    shown = rollouts.get(1)
    assert (shown["state"], shown["over"]) == ("unreadable", True)
    assert "unreadable" in requests.get(f"{server.url}/api/v1/audit", timeout=10).text
    assert rollouts.start(steps=[{"weight": 20, "min_seconds": 600}]) == 2
    rollouts.wait("running", number=2)
