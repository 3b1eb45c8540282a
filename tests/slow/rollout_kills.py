# SPDX-License-Identifier: Apache-2.0
"""The controller is killed 200 times while rollouts run under traffic: the weight is always a declared one, what was
recorded comes out of its replay to the byte, no request fails, and in the end everything is at the old version or at
the new one, as the record says.

Half of an hour, because the supervisor gives up what dies too often. Without a supervisor, and at once: the unit
test role/controller/rollouts with ROLLOUT_TEST_KILLS=200, which this runs first.

A rollout that has ended is followed by the next; every third has a candidate that errs, so that some kills fall into
rollbacks.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

import conftest  # noqa: E402
from test_replicas import ERROR  # noqa: E402
from test_rollouts import BAD, Rollouts, Traffic  # noqa: E402

DECLARED = {0, 2000, 5000, 9500, 10000}
PACE_S = 6.5  # five deaths in 30 s and the supervisor gives up
ENDS = ("promoted", "rolled_back", "settled", "superseded")


def champion(server):
    return requests.get(f"{server.url}/api/v1/models/m/aliases", timeout=10).json()["aliases"][0]["version"]


def ask(call):
    """The controller may be away."""
    end = time.monotonic() + 30
    while True:
        try:
            answer = call()
            if answer.status_code < 500:
                return answer
        except requests.RequestException:
            pass
        assert time.monotonic() < end, "the controller does not come back"
        time.sleep(0.02)


def get(server, number):
    return ask(lambda: requests.get(f"{server.url}/api/v1/rollouts/{number}", timeout=10)).json()


def begin(rollouts, traffic, n):
    """The next rollout: from the champion to the other version that is as good, or to one that errs."""
    now = champion(rollouts.server)
    candidate = 3 if n % 3 == 2 else 2 if now == 1 else 1
    step = {"min_seconds": 4, "min_requests": 20, "on_undecided": "wait"}
    body = {"model": "m", "candidate": str(candidate), "steps": [{"weight": 20, **step}, {"weight": 50, **step}],
            "guardrails": [{"metric": "errors", "slo": 0.05}], "bake": {"holdback": 5, "seconds": 3}, "undo_seconds": 0}
    answer = ask(lambda: requests.post(f"{rollouts.server.url}/api/v1/rollouts", json=body, timeout=30))
    if answer.status_code == 409:  # a try before this one was heard
        return requests.get(f"{rollouts.server.url}/api/v1/rollouts?limit=1", timeout=10).json()["rollouts"][0]["id"], now, candidate
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], now, candidate


def check_end(rollouts, number, old, new):
    state = get(rollouts.server, number)["state"]
    events = ask(lambda: requests.get(f"{rollouts.server.url}/api/v1/rollouts/{number}/events?verify=true", timeout=30)).json()
    assert events["replay"]["sound"], events["replay"]
    assert {e["to_weight_bp"] for e in events["events"]} <= DECLARED
    assert champion(rollouts.server) == (new if state in ("promoted", "settled") else old), (state, number)
    return state


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    random.seed(args.seed)
    test = ROOT / "build" / "gcc" / "tests" / "unit" / "test_role_controller_rollouts"
    subprocess.run([test], env={**os.environ, "ROLLOUT_TEST_KILLS": str(args.kills), "CK_TIMEOUT_MULTIPLIER": "10"}, check=True)
    base = pathlib.Path(tempfile.mkdtemp(prefix="rollout_kills"))
    library = ROOT / "build" / "onnxruntime" / "libonnxruntime.so"
    server = conftest.Server(base / "data", "--onnxruntime-library", library, "--gateways", 2,
                             command=[conftest.FAKE_SERVER, "serve"])
    rollouts = Rollouts(server, base)
    ends, kills, n = {}, 0, 0
    try:
        rollouts.push()
        rollouts.push("plain", promote=False)
        rollouts.push(f"twist {BAD} {ERROR} 0", promote=False)
        with Traffic(server) as traffic:
            while kills < args.kills:
                number, old, new = begin(rollouts, traffic, n)
                n += 1
                while (now := get(server, number))["state"] not in ENDS:
                    assert round(now["weight"] * 100) in DECLARED, now["weight"]
                    time.sleep(PACE_S + 2 * random.random())
                    restarts = len(server.find("child_ready", child="controller"))
                    os.kill(server.child_pid("controller"), signal.SIGKILL)
                    server.wait_child("child_ready", "controller", n=restarts + 1)
                    kills += 1
                state = check_end(rollouts, number, old, new)
                ends[state] = ends.get(state, 0) + 1
                print(f"{kills} kills, {n} rollouts: {ends}", flush=True)
        failed = traffic.failed(but_of="canary")
        assert not failed, failed[:3]
        print(f"{kills} kills in {n} rollouts, {ends}; {len(traffic.answers)} requests, none failed but the candidate's own")
    finally:
        server.end()
        shutil.rmtree(base, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
