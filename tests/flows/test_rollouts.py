# SPDX-License-Identifier: Apache-2.0
"""Rollouts over real traffic: a version that is as good is promoted, one that is not goes back by itself, and no
request fails but those that the candidate failed.

The models run in the fake runtime (tests/fakes/fake_runtime.c). Version 2 is twisted: for rows with a certain
first value it does what a broken model does."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

import pytest
import requests

from conftest import BINARY, until
from test_replicas import ABORT, ERROR, INTERFACE, LOOP, NAN, SLEEP
from upgrades import upgrade

BAD = 77  # the first value of the rows that a twisted version fails
STEP = {"min_seconds": 1, "min_requests": 20, "on_undecided": "wait"}
# Good enough after 59 requests without an event; worse after a handful of events.
ERRORS = {"metric": "errors", "slo": 0.05}
QUICK = {"candidate": "2", "steps": [{"weight": 20, **STEP}, {"weight": 50, **STEP}], "guardrails": [ERRORS],
         "bake": {"holdback": 5, "seconds": 1}, "undo_seconds": 600}


class Traffic:
    """Asks all the time over some connections: rows of which some are those that a twisted version fails, or
    rows(k, i). pace: seconds between two requests of a connection; take: what is done with each answer."""

    def __init__(self, server, model="m", n=6, bad_every=2, version=None, rows=None, pace=0, take=None):
        path = f"/v1/models/{model}" + (f"/versions/{version}" if version else "")
        self.url, self.bad_every, self.stopping = f"{server.url}{path}:predict", bad_every, False
        self.rows, self.pace, self.take, self.over = rows, pace, take, threading.Event()
        self.answers = []  # (when it was asked, arm, status, body)
        self.threads = [threading.Thread(target=self._run, args=(k,)) for k in range(n)]

    def _run(self, k):
        session, i = requests.Session(), k
        while not self.stopping:
            first = BAD if self.bad_every and i % self.bad_every == 0 else 1
            row = self.rows(k, i) if self.rows else [first, 1, 1]
            when = time.time()
            try:
                got = session.post(self.url, json={"instances": [row]}, timeout=60,
                                   headers={"X-User": f"u{k}-{i}"})
                self.answers.append((when, got.headers.get("Slipway-Arm"), got.status_code, got.text))
                if self.take:
                    self.take(got)
            except requests.RequestException as e:
                self.answers.append((when, None, 0, str(e)))
            i += 1
            if self.pace:
                self.over.wait(self.pace)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.over.set()
        for t in self.threads:
            t.join()

    def of(self, arm):
        return [a for a in list(self.answers) if a[1] == arm]

    def failed(self, but_of=None):
        return [a for a in list(self.answers) if a[2] != 200 and (but_of is None or a[1] != but_of)]


class Batches:
    """Asks a few requests at a time, and the next ones when all of them have been counted: what it takes to notice
    something is then the same number of requests on a busy machine. rows(i): the i-th row; metric: the guardrail that
    counts them; take: what is done with each answer; told: what is done after each batch."""

    def __init__(self, rollouts, rows=lambda i: [BAD, 1, 1], size=25, connections=5, metric="errors", take=None,
                 told=None):
        self.rollouts, self.rows, self.size, self.metric, self.take, self.told = rollouts, rows, size, metric, take, told
        self.answers, self.local = [], threading.local()  # as those of Traffic
        self.pool = concurrent.futures.ThreadPoolExecutor(connections)

    def _ask(self, i):
        if not hasattr(self.local, "session"):
            self.local.session = requests.Session()
        when = time.time()
        got = self.local.session.post(f"{self.rollouts.server.url}/v1/models/m:predict",
                                      json={"instances": [self.rows(i)]}, headers={"X-User": f"u{i}"}, timeout=60)
        if self.take:
            self.take(got)
        return when, got.headers.get("Slipway-Arm"), got.status_code, got.text

    def send(self, n):
        """All are answered when this returns."""
        done = list(self.pool.map(self._ask, range(len(self.answers), len(self.answers) + n)))
        self.answers += done
        return done

    def _counted(self):
        now = self.rollouts.get()
        guard = next(g for g in now["arms"][0]["guardrails"] if g["metric"] == self.metric)
        n = sum(1 for a in self.answers if a[1])
        return now["state"] != "running" or sum(guard["requests"].values()) >= n

    def until_it_goes_back(self, most):
        """Within so many requests of the model."""
        while self.rollouts.get()["state"] == "running":
            assert len(self.answers) + self.size <= most, f"more than {most}: {self.rollouts.get()}"
            self.send(self.size)
            if self.told:
                self.told()
            until(self._counted)
        self.rollouts.wait("rolled_back")
        assert {a[1] for a in self.send(20)} == {None}, "assigned after all gateways knew better"

    def of(self, arm):
        return [a for a in self.answers if a[1] == arm]

    def failed(self, but_of=None):
        return [a for a in self.answers if a[2] != 200 and (but_of is None or a[1] != but_of)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.shutdown()


class Rollouts:
    """Rollouts of one server."""

    def __init__(self, server, tmp_path):
        self.server, self.tmp_path = server, tmp_path

    def push(self, twist="", **settings):
        """A version of m; the first answers, later ones do not yet."""
        path = self.tmp_path / "model.fake"
        path.write_bytes(b" " + json.dumps(INTERFACE, separators=(",", ":")).encode() + b"\0" + twist.encode())
        return self.server.push("m", path, **settings)

    def pair(self, mode=None, second=0, **settings):
        self.push(**settings)
        self.push(f"twist {BAD} {mode} {second}" if mode else "plain", promote=False, **settings)

    def start(self, **request):
        body = {k: v for k, v in {"model": "m", **QUICK, **request}.items() if v is not None}
        answer = requests.post(f"{self.server.url}/api/v1/rollouts", json=body, timeout=60)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def get(self, number=1):
        answer = requests.get(f"{self.server.url}/api/v1/rollouts/{number}", timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def move(self, what, number=1, status=200):
        answer = requests.post(f"{self.server.url}/api/v1/rollouts/{number}:{what}", timeout=60)
        assert answer.status_code == status, answer.text
        return answer.json()

    def wait(self, *states, seconds=180, number=1):
        end = time.monotonic() + seconds
        while (now := self.get(number))["state"] not in states:
            assert time.monotonic() < end, now
            time.sleep(0.05)
        return now

    def events(self, number=1):
        got = requests.get(f"{self.server.url}/api/v1/rollouts/{number}/events?verify=true", timeout=60).json()
        assert got["replay"]["sound"], got["replay"]
        return got["events"]


@pytest.fixture
def rollouts(start_fake_server, tmp_path):
    return Rollouts(start_fake_server("--gateways", 2, "--request-timeout", "6s"), tmp_path)


# What is noticed within so many requests is said of a tenth of the traffic and four guardrails.
STATED = {"guardrails": None, "steps": [{"weight": 10, "min_seconds": 600, "max_seconds": 6000}]}
# Of a version that always fails. It takes 113 in 99 of 100 rollouts, and more than this in one of a million.
MOST = 250


def rolled_back(rollouts, traffic):
    """What holds of every rollback: in time, and nobody else noticed."""
    rollouts.wait("rolled_back")
    (crossing,) = [e for e in rollouts.events() if e["event"] in ("guard_failed", "lost")]
    canary = traffic.of("canary")
    last = max(a[0] for a in canary)
    # Within a second on a machine that has nothing else to do.
    assert last - crossing["wall_ns"] / 1e9 < 15, "assigned long after the threshold was crossed"
    routed = [e["wall_ns"] for e in rollouts.events() if e["event"] == "routed"][-1]
    assert last <= routed / 1e9, "assigned after all gateways knew better"
    assert crossing["actor"] == "rollout" and crossing["note"]
    assert not traffic.failed(but_of="canary"), traffic.failed(but_of="canary")[:3]
    assert rollouts.server.predict("m", {"instances": [[BAD, 1, 1]]}).status_code == 200
    return crossing


def test_an_equal_version_is_promoted(rollouts):
    rollouts.pair()
    with Traffic(rollouts.server) as traffic:
        rollouts.start()
        rollouts.wait("promoted")
        assert len(traffic.of("canary")) >= 59
    assert not traffic.failed()
    events = rollouts.events()
    assert [e["event"] for e in events] == ["start", "ready", "step_passed", "ready", "step_passed", "ready", "baked", "routed"]
    assert {e["to_weight_bp"] for e in events} == {0, 2000, 5000, 9500, 10000}
    got = rollouts.server.predict("m", {"instances": [[1, 1, 1]]})
    assert got.headers["Slipway-Model-Version"] == "2" and "Slipway-Arm" not in got.headers
    history = requests.get(f"{rollouts.server.url}/api/v1/models/m/history", timeout=60).json()["changes"]
    assert history[0]["version"] == 2 and history[0]["actor"] == "rollout"
    # Undone within the hour.
    rollouts.move("rollback")
    rollouts.wait("rolled_back")
    assert rollouts.server.predict("m", {"instances": [[1, 1, 1]]}).headers["Slipway-Model-Version"] == "1"


def test_one_that_errs_is_rolled_back_under_load(rollouts):
    rollouts.pair(ERROR)
    with Traffic(rollouts.server) as traffic:
        rollouts.start()
        crossing = rolled_back(rollouts, traffic)
    assert crossing["event"] == "guard_failed" and "errors" in crossing["note"]


def test_the_verdict_comes_with_the_requests(rollouts):
    # What comes while they are counted is added: at 30 a second few enough for the same number.
    rollouts.pair(ERROR)
    with Traffic(rollouts.server, n=3, bad_every=1, pace=0.1) as traffic:
        rollouts.start(**STATED)
        crossing = rolled_back(rollouts, traffic)
    seen = sum(row[1] + row[2] for row in crossing["arms"][0]["assigned"])
    assert seen <= MOST, crossing["note"]


@pytest.mark.parametrize("mode, settings, why", [
    (ERROR, {}, ["errors"]), (NAN, {}, ["invalid_output"]),
    # Its only replica dies each time, which ends it, too.
    (ABORT, {"replicas": 1}, ["errors", "cannot be kept running"]),
    (LOOP, {"replicas": 1, "hang_ms": 500}, ["errors", "cannot be kept running"]),
], ids=["errs", "answers_nan", "crashes", "hangs"])
def test_one_that_fails_goes_back_within_the_stated_requests(rollouts, mode, settings, why):
    rollouts.pair(mode, **settings)
    with Batches(rollouts) as batches:
        rollouts.start(**STATED)
        rollouts.wait("running")
        batches.until_it_goes_back(MOST)
        crossing = rolled_back(rollouts, batches)
    assert any(w in crossing["note"] for w in why), crossing["note"]


def test_one_that_is_half_as_fast_goes_back_within_the_stated_requests(start_fake_server, tmp_path):
    # One gateway, and a replica for each connection: nobody waits for another's sleep.
    rollouts = Rollouts(start_fake_server("--gateways", 1), tmp_path)
    rollouts.push(f"twist {BAD} {SLEEP} 60", replicas=4)
    rollouts.push(f"twist {BAD} {SLEEP} 90", promote=False, replicas=4)
    latency = {"metric": "latency", "q": 0.75, "tolerance": 0.1}
    with Batches(rollouts, size=48, connections=4) as batches:
        rollouts.start(**{**STATED, "guardrails": [ERRORS, latency]})
        rollouts.wait("running")
        batches.until_it_goes_back(1885)  # docs/rollouts.md
        crossing = rolled_back(rollouts, batches)
    assert "latency 0.75" in crossing["note"]


def test_with_a_shield_nobody_sees_what_the_candidate_fails(rollouts):
    rollouts.pair(ERROR)
    with Batches(rollouts) as batches:
        rollouts.start(**STATED, shield=True)
        rollouts.wait("running")
        batches.until_it_goes_back(MOST)
        rolled_back(rollouts, batches)
    assert not batches.failed(), batches.failed()[:3]
    assert rollouts.get()["exposure"]["fallbacks"] > 0


def test_a_user_whose_requests_fail_counts_once_whichever_gateway_answers(rollouts):
    rollouts.pair(ERROR)
    rollouts.start(key="header:x-user", guardrails=[{"metric": "errors"}], min_events=1000,
                   steps=[{"weight": 50, "min_seconds": 600}])
    rollouts.wait("running")
    failed, n = set(), 0
    for i in range(16):
        user = f"user {i % 8}"
        for _ in range(5):  # each over a connection of its own, which any gateway may take
            got = rollouts.server.predict("m", {"instances": [[BAD, 1, 1]]}, headers={"X-User": user})
            n += "Slipway-Arm" in got.headers
            if got.status_code != 200:
                assert got.headers["Slipway-Arm"] == "canary"
                failed.add(user)

    def guard():
        return rollouts.get()["arms"][0]["guardrails"][0]

    until(lambda: sum(guard()["requests"].values()), n)
    assert guard()["events"] == {"canary": len(failed), "stable": 0}
    rollouts.move("rollback")
    rollouts.wait("rolled_back")
    rollouts.events()


def test_a_mirrored_version_is_compared_row_by_row_and_by_segment(rollouts):
    rollouts.pair(NAN)

    def run(*words):
        done = subprocess.run([BINARY, "rollout", *words, "--url", rollouts.server.url], capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with Traffic(rollouts.server, n=2) as traffic:
        run("start", "m", "2", "--strategy", "shadow", "--segment", "$.instances[0][0]", "--on-fail", "freeze",
            "--min-seconds", "1", "--min-requests", "50")
        now = rollouts.wait("frozen", "held")
    assert not traffic.failed() and not traffic.of("canary")
    mirrored = now["mirrored"]
    assert mirrored["counts"]["n"] > 0 and mirrored["counts"]["rows"] > 0, mirrored
    segments = {s["value"]: s for s in mirrored["segments"]}
    assert set(segments) == {str(BAD), "1"}, mirrored["segments"]
    assert sum(s["counts"]["n"] for s in segments.values()) == mirrored["counts"]["n"]
    worse, same = segments[str(BAD)], segments["1"]
    assert worse["counts"]["worst"] and worse["quantiles"]["0.5"] is None  # NaN against a number
    assert not same["counts"]["worst"] and same["quantiles"]["1"] == 0 and same["disagreement"] == 0
    shown = run("status", "m")
    assert f"\n  {BAD}: " in shown and "\n  1: " in shown, shown
    assert now["steps"] == [] and now["shadow"]["min_requests"] == 50
    assert "mirrored only" in shown and " mirrored (at least 50)" in shown and "\n  requests  0 " not in shown, shown
    rollouts.move("rollback")
    rollouts.wait("rolled_back")
    rollouts.events()


def test_people_go_back_from_any_state_at_once(rollouts):
    rollouts.pair()
    with Traffic(rollouts.server) as traffic:
        number = 0
        for by_hand in ([], ["pause"], ["freeze"], ["advance"]):
            number = rollouts.start(steps=[{"weight": 20, "min_seconds": 600}, {"weight": 50}])
            rollouts.wait("running", number=number)
            for what in by_hand:
                rollouts.move(what, number)
            rollouts.move("rollback", number)
            asked = time.time()  # when it was answered all gateways had it
            rollouts.wait("rolled_back", number=number)
            end = len(traffic.answers) + 50
            while len(traffic.answers) < end:
                time.sleep(0.01)
            assert not [a for a in traffic.of("canary") if a[0] > asked]
    assert not traffic.failed()


def test_a_dead_controller_holds_nobody_up(rollouts):
    rollouts.pair(ERROR)
    with Traffic(rollouts.server, bad_every=0) as traffic:
        rollouts.start(steps=[{"weight": 20, "min_seconds": 600}])
        rollouts.wait("running")
        for n in range(3):
            rollouts.server.kill_child("controller")
            rollouts.server.wait_child("child_ready", "controller", n=2 + n)
            with contextlib.suppress(requests.RequestException):
                rollouts.get()
        weights = {rollouts.wait("running")["weight"]}
        assert weights == {20.0}
        traffic.bad_every = 2
        rollouts.wait("rolled_back")
    assert not traffic.failed(but_of="canary")
    rollouts.events()


def test_the_verb_shows_and_moves(rollouts):
    rollouts.pair()

    def run(*words, code=0):
        done = subprocess.run([BINARY, "rollout", *words, "--url", rollouts.server.url], capture_output=True, text=True, timeout=180)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    out = run("start", "m", "2", "--steps", "20,50", "--min-seconds", "600", "--slo", "0.05")
    assert "Rollout 1  m: version 2 against 1 (champion)  warming" in out
    rollouts.wait("running")
    assert "errors" in run("status", "m") and "20 %" in run("status", "1")
    assert json.loads(run("status", "m", "--json"))["state"] == "running"
    assert "running" in run("list")
    assert "paused" in run("pause", "m", "--reason", "lunch")
    assert "Possible now: resume, freeze, promote, rollback." in run("advance", "m", code=1)
    run("rollback", "1")
    rollouts.wait("rolled_back")
    out = run("events", "m", "--verify")
    assert "pause by anonymous: running (20 %) to paused (20 %); lunch" in out and "to the byte" in out
    assert "has had no rollout" in run("status", "nix", code=1)
    out = run("plan", "m", "2", "--rate", "100", "--error-rate", "0.05", "--runs", "10", "--steps", "0.01,50")
    assert "the step of 0.01 % can never" in out and "95 of 100" in out
    assert "--steps" in run("start", "m", "2", "--steps", "x", code=1)


def test_a_webhook_hears_of_every_move(start_fake_server, tmp_path):
    from http.server import BaseHTTPRequestHandler, HTTPServer

    heard, refuse, shown = [], [2], []
    token = f"s3cret-{os.getpid()}"

    def arguments(pid):
        try:
            return (pathlib.Path("/proc") / pid / "cmdline").read_bytes()
        except OSError:  # it has ended
            return b""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            # Who posts this is still there, and all others are.
            shown.extend(a for pid in os.listdir("/proc") if pid.isdigit() and token.encode() in (a := arguments(pid)))
            assert self.path == "/hook/" + token
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            refuse[0] -= 1
            if refuse[0] < 0:
                heard.append(body)
            self.send_response(503 if refuse[0] >= 0 else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    hook = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    config = tmp_path / "slipway.yaml"
    config.write_text(f"gateways: 1\nrollout_webhook: http://127.0.0.1:{hook.server_port}/hook/{token}\n")
    server = start_fake_server("--config", config)
    rollouts = Rollouts(server, tmp_path)
    rollouts.pair()
    rollouts.start()
    rollouts.wait("running")
    until(lambda: [h["to"] for h in heard], ["warming", "running"])  # what waits is lost with the controller
    # The URL is known to the processes of another program, and to those of a supervisor that followed a killed one.
    done = upgrade(server)
    assert done.returncode == 0, done.stderr
    server.wait_child("child_ready", "controller", n=2)
    os.kill(server.process.pid, signal.SIGKILL)
    server.wait_event("adopted")
    server.kill_child("controller")
    server.wait_child("child_ready", "controller", n=3)
    rollouts.wait("running")
    rollouts.move("rollback")
    rollouts.wait("rolled_back")
    until(lambda: [h["to"] for h in heard], ["warming", "running", "rolling_back", "rolled_back"])
    assert heard[1]["text"] == "rollout 1 of m: version 2 is running at 20 % (was warming)"
    assert not shown
    hook.shutdown()
