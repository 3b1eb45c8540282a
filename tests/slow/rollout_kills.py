# SPDX-License-Identifier: Apache-2.0
"""Processes are killed at random moments of rollouts under traffic: the weight is always a declared one, what was recorded
comes out of its replay to the byte, no request fails but the candidate's own, and in the end everything is at the old version
or at the new one, as the record says.

The controller is killed 200 times; now and then the monitor, a gateway or the supervisor besides. A request that a gateway took
with it is asked again, as clients do: it must be answered then, and there are at most as many as that gateway had connections.

The supervisor gives up what dies five times in 30 s, so it takes half an hour on one server; several share the kills. Without a
supervisor, and at once: the unit test role/controller/rollouts with ROLLOUT_TEST_KILLS=200, which this runs first.

A rollout that has ended is followed by the next; every third has a candidate that errs, so that some kills fall into
rollbacks.
"""

import argparse
import collections
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

import conftest  # noqa: E402
from test_replicas import ERROR  # noqa: E402
from test_rollouts import BAD, Rollouts  # noqa: E402

DECLARED = {0, 2000, 5000, 9500, 10000}
PACE_S = 6.5  # five deaths in 30 s and the supervisor gives up
OTHERS_EVERY = 3  # kills of the controller to one of another process
ROLLOUT_S = 600  # by then it has ended, whatever is killed: it takes 13 s
ENDS = ("promoted", "rolled_back", "settled", "superseded")
GATEWAYS, CONNECTIONS = 2, 4


class Traffic:
    """Asks all the time, and once more where an answer was lost with its connection."""

    def __init__(self, server, pace):
        self.url, self.pace, self.over = f"{server.url}/v1/models/m:predict", pace, threading.Event()
        self.lock, self.n, self.repeated, self.failed, self.failed_of_canary = threading.Lock(), 0, 0, [], 0
        self.threads = [threading.Thread(target=self._run, args=(k,)) for k in range(CONNECTIONS)]

    def _ask(self, session, k, i):
        row = [BAD if i % 2 == 0 else 1, 1, 1]
        return session.post(self.url, json={"instances": [row]}, timeout=60, headers={"X-User": f"u{k}-{i}"})

    def _run(self, k):
        session, i = requests.Session(), k
        while not self.over.wait(self.pace):
            i += 1
            repeated, got = 0, None
            try:
                try:
                    got = self._ask(session, k, i)
                except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                    repeated, session = 1, requests.Session()
                    got = self._ask(session, k, i)
                status, arm, what = got.status_code, got.headers.get("Slipway-Arm"), got.text
            except requests.RequestException as e:
                status, arm, what = 0, None, str(e)
            with self.lock:
                self.n += 1
                self.repeated += repeated
                if status != 200 and arm == "canary":
                    self.failed_of_canary += 1
                elif status != 200:
                    self.failed.append((time.strftime("%H:%M:%S"), status, arm, what[:300]))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()


class Run:
    """One server, its rollouts, and what is killed under them. wanted(): whether another kill of the controller is to be."""

    def __init__(self, seed, wanted, say, pace):
        self.dice, self.wanted, self.say = random.Random(seed), wanted, say
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="rollout_kills"))
        library = ROOT / "build" / "onnxruntime" / "libonnxruntime.so"
        self.server = conftest.Server(self.base / "data", "--onnxruntime-library", library, "--gateways", GATEWAYS,
                                      command=[conftest.FAKE_SERVER, "serve"])
        self.rollouts, self.pace = Rollouts(self.server, self.base), pace
        self.kills, self.ends, self.states, self.n = collections.Counter(), collections.Counter(), collections.Counter(), 0
        self.due, self.others_due = self.soon(), None

    # ---- asking ----

    def ask(self, method, path, **how):
        """The controller may be away, and a gateway may die with the question."""
        end = time.monotonic() + conftest.DEADLINE_S
        while True:
            try:
                answer = requests.request(method, f"{self.server.url}/api/v1/{path}", timeout=30, **how)
                if answer.status_code < 500:
                    return answer
            except requests.RequestException:
                pass
            assert time.monotonic() < end, "the controller does not come back"
            time.sleep(0.02)

    def get(self, number):
        return self.ask("GET", f"rollouts/{number}").json()

    def champion(self):
        aliases = self.ask("GET", "models/m/aliases").json()["aliases"]
        return next(a["version"] for a in aliases if a["alias"] == "champion")

    # ---- rollouts ----

    def begin(self):
        """The next rollout: from the champion to the other version that is as good, or to one that errs."""
        now = self.champion()
        candidate = 3 if self.n % 3 == 2 else 2 if now == 1 else 1
        self.n += 1
        step = {"min_seconds": 4, "min_requests": 20, "on_undecided": "wait"}
        body = {"model": "m", "candidate": str(candidate), "steps": [{"weight": 20, **step}, {"weight": 50, **step}],
                "guardrails": [{"metric": "errors", "slo": 0.05}], "bake": {"holdback": 5, "seconds": 3}, "undo_seconds": 0}
        answer = self.ask("POST", "rollouts", json=body)
        if answer.status_code == 409:  # a try before this one was heard
            return self.ask("GET", "rollouts?limit=1").json()["rollouts"][0]["id"], now, candidate
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], now, candidate

    def check_end(self, number, old, new):
        state = self.get(number)["state"]
        events = self.ask("GET", f"rollouts/{number}/events?verify=true").json()
        assert events["replay"]["sound"], events["replay"]
        assert {e["to_weight_bp"] for e in events["events"]} <= DECLARED, events["events"]
        assert self.champion() == (new if state in ("promoted", "settled") else old), (state, number)
        self.ends[state] += 1

    # ---- kills ----

    def soon(self):
        """Some time within the next rollout, whatever it does then."""
        return time.monotonic() + PACE_S + 6 * self.dice.random()

    def kill(self, child, index=0):
        before = len(self.server.find("child_ready", child=child, child_index=index))
        self.server.kill_child(child, index)
        self.kills[child] += 1
        self.server.wait_child("child_ready", child, index, n=before + 1)

    def kill_supervisor(self):
        before = len(self.server.find("supervisor_replaced"))
        os.kill(self.server.supervisor_pid(), signal.SIGKILL)
        self.kills["supervisor"] += 1
        self.server.wait_event("supervisor_replaced", n=before + 1)
        self.server.wait_event("adopted", n=before + 1)

    def kill_another(self):
        what = self.dice.choice(["monitor", "gateway", "gateway", "supervisor"])
        if what == "supervisor":
            self.kill_supervisor()
        else:
            self.kill(what, self.dice.randrange(GATEWAYS) if what == "gateway" else 0)

    def kill_what_is_due(self, state):
        now = time.monotonic()
        if self.others_due and now >= self.others_due:
            self.others_due = None
            self.kill_another()
        elif now >= self.due:
            self.states[state] += 1
            self.kill("controller")
            self.due = self.soon()
            # Far from both: the supervisor's successor comes from the controller.
            self.others_due = time.monotonic() + PACE_S / 2 if self.dice.randrange(OTHERS_EVERY) == 0 else None
            self.say()

    def through_one_rollout(self):
        number, old, new = self.begin()
        end = time.monotonic() + ROLLOUT_S
        while (now := self.get(number))["state"] not in ENDS:
            assert time.monotonic() < end, f"rollout {number} does not end: {now}"
            assert round(now["weight"] * 100) in DECLARED, now["weight"]
            if self.wanted():
                self.kill_what_is_due(now["state"])
            time.sleep(0.05 * self.dice.random())
        self.check_end(number, old, new)

    def go(self):
        try:
            self.rollouts.push()
            self.rollouts.push("plain", promote=False)
            self.rollouts.push(f"twist {BAD} {ERROR} 0", promote=False)
            with Traffic(self.server, self.pace) as self.traffic:
                while self.wanted():
                    self.through_one_rollout()
            t = self.traffic
            assert not t.failed, t.failed[:3]
            assert t.repeated <= self.kills["gateway"] * CONNECTIONS, (t.repeated, self.kills)
            verified = self.ask("GET", "audit/verify").json()
            assert verified["sound"], verified
            self.say()
        finally:
            self.server.end()
        subprocess.run([conftest.BINARY, "fsck", str(self.base / "data")], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(self.base, ignore_errors=True)


def sum_of(counters):
    return dict(sum(counters, collections.Counter()))


def run_servers(args):
    """Whether all held."""
    begin, lock, wrong = time.monotonic(), threading.Lock(), []
    given = [0]

    def wanted():
        """Servers that ask at once may each do the last one: there are at least as many as asked for."""
        return not wrong and given[0] < args.kills

    def say():
        with lock:
            given[0] = sum(r.kills["controller"] for r in runs)
            print(f"{time.monotonic() - begin:5.0f} s: {sum_of(r.kills for r in runs)}, rollouts: {sum_of(r.ends for r in runs)}",
                  flush=True)

    def go(run):
        try:
            run.go()
        except BaseException as e:  # the others stop, too
            wrong.append(e)
            raise

    runs = [Run(args.seed + i, wanted, say, args.pace) for i in range(args.servers)]
    threads = [threading.Thread(target=go, args=(r,)) for r in runs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if wrong:
        return False
    say()
    traffic = [r.traffic for r in runs]
    print(f"killed in the states {sum_of(r.states for r in runs)}")
    print(f"{sum(t.n for t in traffic)} requests, of which {sum(t.failed_of_canary for t in traffic)} failed, all of them at a candidate; "
          f"{sum(t.repeated for t in traffic)} were asked again because their gateway was killed")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="of the controller, over all servers")
    parser.add_argument("--servers", type=int, default=1, help="that run at once and share the kills")
    parser.add_argument("--pace", type=float, default=0.01, help="seconds between two requests of a connection")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip-unit", action="store_true", help="leaves the unit test out")
    args = parser.parse_args()
    if not args.skip_unit:
        test = ROOT / "build" / "gcc" / "tests" / "unit" / "test_role_controller_rollouts"
        subprocess.run([test], env={**os.environ, "ROLLOUT_TEST_KILLS": str(args.kills), "CK_TIMEOUT_MULTIPLIER": "10"}, check=True)
    return 0 if run_servers(args) else 1


if __name__ == "__main__":
    sys.exit(main())
