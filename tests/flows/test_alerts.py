# SPDX-License-Identifier: Apache-2.0
"""Alerts at a real receiver, which fails at first, and after a restart."""

import hashlib
import hmac
import http.server
import json
import os
import signal
import threading
import time

import numpy as np
import pytest
import requests

import test_drift
import test_feedback
import test_replica_operations as replicas
from test_cli import run  # noqa: F401 (a fixture)
from test_replica_operations import doubling  # noqa: F401 (a fixture)

SECRET = b"a secret of 24 characters"
DEADLINE_S = 120


class Receiver:
    """Answers with `statuses`, one after the other, then with 200."""

    def __init__(self, statuses=()):
        self.events, self.attempts = [], []
        left, changed, outer = list(statuses), threading.Condition(), self
        self._changed, self._left = changed, left

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with changed:
                    status = left.pop(0) if left else 200
                    outer.attempts.append((status, dict(self.headers), body))
                    if status == 200:
                        outer.events.append(json.loads(body))
                    changed.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alerts"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, n):
        end = time.monotonic() + DEADLINE_S
        with self._changed:
            while len(self.events) < n:
                assert time.monotonic() < end, self.attempts
                self._changed.wait(0.1)
        return self.events[n - 1]

    def recover(self):
        """Answers 200 from now on."""
        with self._changed:
            self._left.clear()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def flags(tmp_path):
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    rules = [{"name": "process_restarts", "above": 0, "window": "30s", "severity": "critical"}]
    (tmp_path / "rules.json").write_text(json.dumps({"rules": rules}))
    return ["--gateways", 2, "--alert-rules", tmp_path / "rules.json", "--alert-secret-file", tmp_path / "secret"]


def verify(headers, body):
    parts = dict(part.split("=", 1) for part in headers["X-Slipway-Signature"].split(","))
    assert abs(time.time() - int(parts["t"])) < 300
    assert parts["v1"] == hmac.new(SECRET, parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["Idempotency-Key"] == json.loads(body)["id"]


def firing(server):
    shown = requests.get(f"{server.url}/api/v1/alerts", params={"state": "firing"}, timeout=60).json()
    return shown["alerts"], shown["webhook"]


def firing_and_told(server):
    """What fires once the sender counts nothing as waiting: the receiver has an event before the sender knows it."""
    end = time.monotonic() + DEADLINE_S
    while True:
        alerts, hook = firing(server)
        if hook["waiting"] == 0:
            return alerts, hook
        assert time.monotonic() < end, hook
        time.sleep(0.05)


def breach(server):
    """Ends a gateway, and again where the monitor had not yet seen how often it had ended before."""
    end = time.monotonic() + DEADLINE_S
    while "slipway_alerts{" not in requests.get(f"{server.url}/metrics", timeout=60).text:
        assert time.monotonic() < end
        time.sleep(0.05)
    for n in range(2, 6):
        server.kill_child("gateway", 1)
        server.wait_child("child_ready", "gateway", 1, n=n)
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if firing(server)[0]:
                return
            time.sleep(0.1)
    raise AssertionError("nothing fires")


def test_a_receiver_that_fails_first_is_told_once_and_again_when_it_is_over(start_server, flags, run):  # noqa: F811
    receiver = Receiver([503, 429])
    server = start_server("--alert-webhook", receiver.url, *flags)
    breach(server)
    event = receiver.wait(1)
    assert [status for status, _, _ in receiver.attempts] == [503, 429, 200]
    assert len({body for _, _, body in receiver.attempts}) == 1
    for _, headers, body in receiver.attempts:
        verify(headers, body)
    assert (event["state"], event["rule"], event["severity"], event["subject"], event["value"]) == (
        "firing", "process_restarts", "critical", "gateway 1", 1)
    alerts, hook = firing_and_told(server)
    assert [a["id"] for a in alerts] == [event["id"]]
    assert (hook["sent"], hook["failures"], hook["waiting"]) == (1, 2, 0)
    said = run("alerts", "--state", "firing", server=server).stdout
    assert "critical" in said and "gateway 1: restarts of a process is 1, above 0" in said
    over = receiver.wait(2)
    assert (over["state"], over["fingerprint"], over["fired"]) == ("resolved", event["fingerprint"], event["fired"])
    assert firing(server)[0] == []
    assert len(receiver.events) == 2
    receiver.close()


def test_what_nobody_took_is_told_after_a_restart(start_server, flags):
    receiver = Receiver([500] * 1000)
    server = start_server("--alert-webhook", receiver.url, *flags)
    breach(server)
    server.wait_event("alerts_not_sent")
    fired = firing(server)[0][0]
    server.kill()
    receiver.recover()
    start_server("--alert-webhook", receiver.url, *flags, data_dir=server.data_dir)
    event = receiver.wait(1)
    assert (event["fingerprint"], event["fired"]) == (fired["fingerprint"], fired["fired"])
    verify(*next(rest for status, *rest in receiver.attempts if status == 200))
    receiver.close()


def test_nothing_goes_out_unsigned_and_unsound_rules_change_nothing(start_server, flags, run, tmp_path):  # noqa: F811
    receiver = Receiver()
    server = start_server("--alert-webhook", receiver.url, *flags)
    server.wait_event("alert_rules")
    (tmp_path / "secret").unlink()
    (tmp_path / "rules.json").write_text('{"rules":[{"name":"errors","abov":1}]}')
    server.wait_event("alert_rules_refused")
    said = run("alerts", "--rules", server=server).stdout
    assert "$.rules[0]: a rule has no field 'abov'" in said
    assert [line.split()[:3] for line in said.splitlines() if "process_restarts" in line] == [
        ["process_restarts", "critical", "0"]]
    breach(server)
    server.wait_event("alerts_not_sent", lambda e: "secret" in e["reason"])
    assert receiver.attempts == []
    (tmp_path / "secret").write_bytes(SECRET)
    receiver.wait(1)
    verify(*receiver.attempts[0][1:])
    assert requests.get(f"{server.url}/api/v1/alerts", params={"state": "loud"}, timeout=60).status_code == 400
    receiver.close()


@pytest.fixture
def watching(start_server, tmp_path):
    """A server that tells a receiver what fires by these rules."""
    receivers = []

    def start(rules, *more):
        (tmp_path / "rules.json").write_text(json.dumps({"rules": rules}))
        receivers.append(Receiver())
        server = start_server("--gateways", 1, "--alert-rules", tmp_path / "rules.json", "--alert-webhook", receivers[-1].url, *more)
        return server, receivers[-1]

    yield start
    for receiver in receivers:
        receiver.close()


def of_kind(receiver, kind, n, meanwhile=lambda: None):
    """The n-th event of that kind; `meanwhile` is done again and again until it is there."""
    end = time.monotonic() + 2 * DEADLINE_S
    while len(found := [event for event in list(receiver.events) if event["kind"] == kind]) < n:
        assert time.monotonic() < end, receiver.events
        meanwhile()
        time.sleep(0.1)
    return found[n - 1]


def test_drift_is_told_and_is_over_with_another_baseline(watching, churn, run):  # noqa: F811
    rng = np.random.default_rng(11)
    server, receiver = watching([{"name": "drift", "above": 0}], "--drift-window", "3s", "--drift-window-rows", "300")
    server.push("churn", churn.path)

    def send(shift):
        test_drift.send(server, test_drift.like_training(rng, 100) + np.float32(shift))

    test_drift.windows(server, 2, lambda n: test_drift.like_training(rng, n))
    assert receiver.events == []
    event = of_kind(receiver, "drift", 1, lambda: send(2))
    assert (event["state"], event["rule"], event["model"], event["version"]) == ("firing", "drift", "churn", 1)
    assert event["value"] >= 1 and event["above"] == 0 and "drift" in event["summary"]
    run("drift", "churn", "--set-baseline", "1", server=server)
    over = of_kind(receiver, "drift", 2, lambda: send(2))
    assert (over["state"], over["fingerprint"]) == ("resolved", event["fingerprint"])


def test_replicas_that_end_and_those_that_are_given_up_are_told(watching, doubling):  # noqa: F811
    server, receiver = watching([{"name": "replica_restarts", "above": 0, "window": "15s"}])
    server.push("double", doubling)
    server.push("other", doubling)
    killed = [0.0]

    def kill():  # seldom enough that it is started again
        if time.monotonic() - killed[0] > 8:
            victim = replicas.until(lambda: replicas.replicas(server, "other")[0], lambda r: r["state"] == "ready")
            os.kill(victim["pid"], signal.SIGKILL)
            killed[0] = time.monotonic()

    event = of_kind(receiver, "replica_restarts", 1, kill)
    assert (event["state"], event["model"], event["version"], event["above"]) == ("firing", "other", 1, 0)
    assert event["value"] >= 1
    for n in range(5):
        victim = replicas.until(lambda: replicas.replicas(server)[0], lambda r, n=n: r["state"] == "ready" and r["restarts"] == n)
        os.kill(victim["pid"], signal.SIGSEGV)
    failed = of_kind(receiver, "replica_failed", 1)
    assert (failed["state"], failed["model"], failed["version"]) == ("firing", "double", 1)
    assert failed["value"] in (1, 2)  # the loader may be given up with it
    assert f"replicas that are not started again is {failed['value']}, above 0" in failed["summary"]


def test_quality_below_its_bound_is_told_with_enough_labels_and_is_over_when_they_are_corrected(watching, churn, run):  # noqa: F811
    server, receiver = watching([{"name": "good", "kind": "quality", "model": "churn", "metric": "accuracy", "below": 0.9, "at_least": 40}])
    server.push("churn", churn.path)
    answers = [server.predict("churn", {"instances": [row]}) for row in churn.instances(60)]
    items = [(a.headers["Slipway-Prediction-Id"], a.json()["predictions"][0] >= 0.5) for a in answers]

    def label(part, right):
        found = test_feedback.send(server, [{"prediction_id": one, "label": int(said == right)} for one, said in part])
        assert found.status_code == 200 and found.json()["refused"] == 0

    label(items[:30], False)
    time_is_up = time.monotonic() + 15  # so long fewer labels than it takes say nothing
    while time.monotonic() < time_is_up:
        assert receiver.events == []
        time.sleep(0.5)
    label(items[30:], False)
    event = of_kind(receiver, "quality", 1)
    assert (event["state"], event["rule"], event["metric"], event["subject"], event["value"], event["below"]) == (
        "firing", "good", "accuracy", "stable", 0, 0.9)
    assert event["summary"] == "churn version 1 stable: accuracy of labelled predictions is 0, below 0.9"
    assert "below 0.9" in run("alerts", "--rules", server=server).stdout
    rules = run("alerts", "--rules", server=server).stdout
    assert "accuracy of labelled predictions" in rules and "evidence that more predictions are wrong than before" in rules
    # What is usual is not known yet: hardly an hour is mature, and of a few labels.
    changes = test_feedback.until(lambda: test_feedback.quality_of(server)["versions"][0]["changes"])
    assert [(c["rule"], c["state"], c["limit"]) for c in changes] == [("quality_change", "learning", 1e6)]
    assert "Rule quality_change learns from " in run("quality", "churn", server=server).stdout
    label(items, True)
    over = of_kind(receiver, "quality", 2)
    assert (over["state"], over["fingerprint"]) == ("resolved", event["fingerprint"])
