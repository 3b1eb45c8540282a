# SPDX-License-Identifier: Apache-2.0
"""Gateways that divide a model's requests between versions: sticky, counted by the arm that was drawn, shielded
and mirrored. The split is hand-made (splits.py); the controller's part is in test_rollouts.py."""

import json
import os
import signal
import threading
import time

import numpy as np
import pytest
import requests

import splits
from test_replicas import ABORT, ERROR, INTERFACE, LOOP, NAN, SLEEP

ERRORS, LATENCY, INVALID = range(3)
BAD = 77  # the first value of rows with which a twisted version fails


class Divided:
    """A server of which all gateways listen to a relay."""

    def __init__(self, server, n_gateways=2):
        self.server, self.relay = server, splits.Relay(server)
        for i in range(n_gateways):
            server.kill_child("gateway", i)
        self.relay.wait(lambda: len(self.relay.gateways) == n_gateways, "gateways came back")
        for i in range(n_gateways):
            server.wait_child("child_ready", "gateway", i, n=2)

    def push(self, model, *paths, **settings):
        for path in paths:
            self.server.push(model, path, **settings)
        answer = requests.put(f"{self.server.url}/api/v1/models/{model}/aliases/champion",
                              json={"version": 1, "allow_breaking": True}, timeout=60)
        assert answer.status_code in (200, 201), answer.text

    def ask(self, model, instances, user=None, arm=None, version=None, timeout=60):
        headers = {k: v for k, v in (("X-User", user), ("Slipway-Arm", arm)) if v}
        path = f"/v1/models/{model}" + (f"/versions/{version}" if version else "")
        return requests.post(f"{self.server.url}{path}:predict", json={"instances": instances}, headers=headers, timeout=timeout)

    def all_counted(self, n, arm=0):
        self.relay.wait(lambda: sum(self.relay.counted(arm=arm)) >= n, f"{n} requests are counted")
        assert sum(self.relay.counted(arm=arm)) == n


@pytest.fixture
def divided(start_fake_server):
    made = []

    def make(*flags):
        made.append(Divided(start_fake_server("--gateways", 2, *flags)))
        return made[-1]

    yield make
    for d in made:
        d.relay.close()


def fake_model(path, twist=None):
    """The fake runtime's model; a twisted one does something else for rows that begin with BAD."""
    text = " " + json.dumps(INTERFACE, separators=(",", ":"))
    path.write_bytes(text.encode() + (b"\0twist %d %d %d" % (BAD, *twist) if twist else b""))
    return path


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Two versions of one model that tell themselves apart, and one that does not take its rows."""
    import xgboost

    folder, paths = tmp_path_factory.mktemp("scores"), []
    rng = np.random.default_rng(5)
    for level, width in ((0.25, 3), (0.75, 3), (0.75, 4)):
        x = rng.normal(size=(200, width)).astype(np.float32)
        booster = xgboost.train({"objective": "reg:squarederror", "base_score": level, "nthread": 1},
                                xgboost.DMatrix(x, label=np.full(200, level)), 1)
        paths.append(folder / f"{len(paths)}.json")
        booster.save_model(paths[-1])
    return paths


def test_keys_stick_to_an_arm_over_gateways_restarts_and_growth(divided, scores):
    d = divided()
    d.push("m", *scores[:2])
    d.relay.divide("m", 2500, key="header", key_name="x-user")

    def arms():
        found = {}
        for user in range(200):
            answer = d.ask("m", [[0, 0, 0]], user=f"u{user}")
            assert answer.status_code == 200, answer.text
            found[user] = answer.headers["Slipway-Arm"]
            assert answer.headers["Slipway-Model-Version"] == {"canary": "2", "stable": "1"}[found[user]]
        return found

    first = arms()
    assert 25 <= list(first.values()).count("canary") <= 75
    assert arms() == first
    d.all_counted(400)
    assert d.relay.counted()[0] == 2 * list(first.values()).count("canary")
    drawn = [row for report in d.relay.reports for row in report["drawn"]]
    assert 0 < sum(row[2] + row[3] for row in drawn) <= 200, drawn  # each user once, by one gateway
    for i in range(2):
        d.server.kill_child("gateway", i)
        d.server.wait_child("child_ready", "gateway", i, n=3)
    assert arms() == first
    d.relay.divide("m", 5000, key="header", key_name="x-user")
    grown = arms()
    assert all(grown[user] == "canary" for user in first if first[user] == "canary")
    assert list(grown.values()).count("canary") > list(first.values()).count("canary")


def test_only_requests_that_name_no_version_are_divided_and_testers_do_not_count(divided, scores):
    d = divided()
    d.push("m", *scores[:2])
    assert "Slipway-Arm" not in d.ask("m", [[0, 0, 0]]).headers
    d.relay.divide("m", 10000, alias="champion")
    assert d.ask("m", [[0, 0, 0]]).headers["Slipway-Model-Version"] == "2"
    by_number = d.ask("m", [[0, 0, 0]], version=1)
    assert by_number.headers["Slipway-Model-Version"] == "1" and "Slipway-Arm" not in by_number.headers
    d.relay.divide("m", 0, alias="champion")
    assert d.ask("m", [[0, 0, 0]]).headers["Slipway-Arm"] == "stable"
    asked = d.ask("m", [[0, 0, 0]], arm="canary")
    assert asked.headers["Slipway-Model-Version"] == "2" and asked.headers["Slipway-Arm"] == "canary"
    refused = d.ask("m", [[0, 0, 0]], arm="canry")
    assert refused.status_code == 400 and "canary, stable" in refused.json()["hint"]
    d.all_counted(2)
    d.relay.wait(lambda: d.relay.sum("overridden") == 1, "the tester is counted apart")
    d.relay.undivide("m")
    assert "Slipway-Arm" not in d.ask("m", [[0, 0, 0]]).headers
    d.relay.wait(lambda: sum(r["ended"] for r in d.relay.reports) == 2, "both gateways have said their last")
    assert sum(d.relay.counted()) == 2


def test_what_a_canary_refuses_is_its_error_and_behind_a_shield_nobodys(divided, scores):
    d = divided()
    d.push("m", scores[0], scores[2])  # the second wants a column more
    d.relay.divide("m", 5000)
    codes = [d.ask("m", [[0, 0, 0]]) for _ in range(40)]
    failed = [a for a in codes if a.status_code == 400]
    assert 0 < len(failed) < 40 and all(a.headers["Slipway-Arm"] == "canary" for a in failed)
    d.all_counted(40)
    assert d.relay.counted(guard=ERRORS) == [len(failed), 0]
    d.relay.divide("m", 5000, shield=True)
    shielded = [d.ask("m", [[0, 0, 0]]) for _ in range(40)]
    assert [a.status_code for a in shielded] == [200] * 40
    assert {a.headers["Slipway-Model-Version"] for a in shielded} == {"1"}
    canary = [a for a in shielded if a.headers["Slipway-Arm"] == "canary"]
    large = d.ask("m", [[0, 0, 0]] * 60000)  # read over several turns
    assert large.status_code == 200 and len(large.json()["predictions"]) == 60000
    n = len(canary) + (large.headers["Slipway-Arm"] == "canary")
    d.all_counted(81)
    assert n > 0 and d.relay.counted(guard=ERRORS) == [len(failed) + n, 0]
    assert d.relay.sum("fallbacks") == n


def test_outputs_out_of_their_range_are_invalid_and_a_shield_answers_the_others(divided, scores):
    d = divided()
    d.push("m", *scores[:2])
    d.relay.divide("m", 10000, range=[0, 0.5])
    assert d.ask("m", [[0, 0, 0]]).json()["predictions"][0] > 0.5
    d.all_counted(1)
    assert d.relay.counted(guard=INVALID) == [1, 0] and d.relay.counted(guard=ERRORS) == [0, 0]
    d.relay.divide("m", 10000, range=[0, 0.5], shield=True)
    for rows in (1, 20000):  # the second is computed in slices
        answer = d.ask("m", [[0, 0, 0]] * rows)
        assert max(answer.json()["predictions"]) < 0.5 and answer.headers["Slipway-Model-Version"] == "1"
    d.all_counted(3)
    assert d.relay.counted(guard=INVALID) == [3, 0] and d.relay.sum("fallbacks") == 2


@pytest.mark.parametrize("what, guard, status", [(ERROR, ERRORS, 400), (NAN, INVALID, 200), (ABORT, ERRORS, 500)])
def test_a_canary_in_replicas_that_fails_is_counted_and_shielded(divided, tmp_path, what, guard, status):
    d = divided()
    d.push("m", fake_model(tmp_path / "a.fake"), fake_model(tmp_path / "b.fake", (what, 0)))
    d.relay.divide("m", 10000)
    assert d.ask("m", [[1, 2, 3]]).json()["predictions"] == [[6, 12, 18]]
    assert d.ask("m", [[BAD, 2, 3]]).status_code == status
    d.all_counted(2)
    assert d.relay.counted(guard=guard) == [1, 0]
    d.relay.divide("m", 10000, shield=True)
    answer = d.ask("m", [[BAD, 3, 3]])
    assert answer.json()["predictions"] == [[BAD + 6, 2 * (BAD + 6), 3 * (BAD + 6)]]
    assert answer.headers["Slipway-Model-Version"] == "1" and answer.headers["Slipway-Arm"] == "canary"
    d.all_counted(3)
    assert d.relay.counted(guard=guard) == [2, 0] and d.relay.sum("fallbacks") == 1


def test_behind_a_shield_a_slow_canary_leaves_time_for_the_stable_version(divided, tmp_path):
    # Not so slow that its replica is taken to hang, and quick enough to answer if it had all of the time.
    d = divided("--request-timeout", "8s")
    d.push("m", fake_model(tmp_path / "a.fake"), fake_model(tmp_path / "b.fake", (SLEEP, 7250)), hang_ms=60000)
    d.relay.divide("m", 10000, shield=True, timeout_ns=8 * 10**9)
    answer = d.ask("m", [[BAD, 2, 3]])
    assert answer.json()["predictions"][0][0] == BAD + 5 and answer.headers["Slipway-Model-Version"] == "1"
    d.all_counted(1)
    assert d.relay.counted(guard=ERRORS) == [1, 0]


def test_slow_answers_are_events_behind_their_gate(divided, tmp_path):
    d = divided()
    d.push("m", fake_model(tmp_path / "a.fake"), fake_model(tmp_path / "b.fake", (SLEEP, 6000)), hang_ms=60000)
    gate = [{"guard": LATENCY, "stable_ns": 10**10, "canary_ns": 4 * 10**9}]
    for row in ([1, 2, 3], [BAD, 2, 3]):  # without a gate there are no events
        d.relay.divide("m", 10000)
        d.ask("m", [row])
        d.relay.divide("m", 10000, latency=gate)
        d.ask("m", [row])
    d.all_counted(4)
    assert d.relay.counted(guard=LATENCY) == [1, 0]


def test_the_first_bad_event_of_a_user_counts(divided, tmp_path):
    d = divided()
    d.push("m", fake_model(tmp_path / "a.fake"), fake_model(tmp_path / "b.fake", (ERROR, 0)))
    d.relay.divide("m", 10000, key="json", key_name="$.instances[0][1]")
    with requests.Session() as one:  # one connection: one gateway
        for user in (5, 5, 5, 6, 5, 6):
            url = f"{d.server.url}/v1/models/m:predict"
            assert one.post(url, json={"instances": [[BAD, user, 3]]}, timeout=60).status_code == 400
    d.all_counted(6)
    assert d.relay.counted(guard=ERRORS) == [2, 0]


@pytest.mark.parametrize("kind", ["trees", "replicas"])
def test_a_shadow_is_asked_the_same_and_only_compared(divided, scores, tmp_path, kind):
    d = divided()
    if kind == "trees":
        d.push("m", *scores[:2])
    else:
        d.push("m", fake_model(tmp_path / "a.fake"), fake_model(tmp_path / "b.fake", (NAN, 0)))
    d.relay.divide("m", None, shadow=2)
    for i in range(20):
        answer = d.ask("m", [[BAD if i % 2 else i, 2, 3]] * 2)  # any may be dropped
        assert answer.status_code == 200 and answer.headers["Slipway-Arm"] == "stable"
        assert answer.headers["Slipway-Model-Version"] == "1"
    d.relay.wait(lambda: d.relay.pairs("n") + d.relay.pairs("dropped") == 20, "all pairs are there")
    assert d.relay.pairs("n") > 0 and d.relay.pairs("rows") == 2 * d.relay.pairs("n")
    worst = [w for r in d.relay.reports if "pairs" in r for w in r["pairs"]["worst"]]
    if kind == "trees":
        assert d.relay.pairs("disagree") == d.relay.pairs("rows")
        assert all(abs(w["difference"] - 0.5) < 0.2 and len(w["id"]) == 36 for w in worst) and worst
        assert d.relay.counted(guard=INVALID) == [0, 0]
    else:
        assert any(w["difference"] is None for w in worst)  # NaN against a number
        assert d.relay.counted(guard=INVALID)[0] > 0 and d.relay.counted(guard=INVALID)[1] == 0
    assert {t["weight"] for t in d.relay.ticks()} == {500000}


def test_a_shadow_that_refuses_fails_alone(divided, scores):
    d = divided()
    d.push("m", scores[0], scores[2])
    d.relay.divide("m", None, shadow=2)
    for _ in range(2):
        assert d.ask("m", [[0, 0, 0]]).status_code == 200
    assert d.ask("m", [["x", 0, 0]]).status_code == 400  # so do both: no pair that says anything
    d.relay.wait(lambda: d.relay.pairs("n") == 3, "all pairs are there")
    assert d.relay.pairs("shadow_failed") == 2 and d.relay.pairs("stable_failed") == 0
    assert d.relay.counted(guard=ERRORS) == [2, 0]


def test_a_shadow_that_sleeps_is_bounded_and_holds_nobody_up(divided, tmp_path):
    d = divided("--request-timeout", "30m")  # what waits for the shadow waits on, however slow this test is
    d.push("m", fake_model(tmp_path / "a.fake"), fake_model(tmp_path / "b.fake", (SLEEP, 10000)), hang_ms=3000000)
    d.relay.divide("m", None, shadow=2)
    n, bad, begin = 1500, [], time.monotonic()

    def ask(k):
        with requests.Session() as session:
            for i in range(n // 3):
                url = f"{d.server.url}/v1/models/m:predict"
                answer = session.post(url, json={"instances": [[BAD, i, k]]}, timeout=60)
                if answer.json().get("predictions", [[0]])[0][0] != BAD + i + k:
                    bad.append(answer.text)

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad, bad[:3]
    # Each gateway keeps its queue and what replicas have; all others were dropped, but for those that have slept.
    d.relay.wait(lambda: d.relay.pairs("dropped") + d.relay.pairs("n") >= n - 2 * 256, "the others are counted as dropped")
    assert d.relay.pairs("n") <= 16 + 2 * 4 * (time.monotonic() - begin) / 10
