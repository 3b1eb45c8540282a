# SPDX-License-Identifier: Apache-2.0
"""Rollouts over real traffic with the very harms that docs/rollouts.md states requests for, a tenth of the traffic each:

    slower    times are log-normal (sigma 0.5), the candidate takes 50 % longer; the guardrail is latency at 0.95, tolerance 10 %
    shifted   scores are shifted by one standard deviation; four guardrails, one of them `distribution`

Each is rolled back, 95 of 100 within the stated requests of the model: with N rollouts as many late ones are allowed as fewer
than 1 in 100 such series have more of. Requests count from the rollout's start, so those of the old version that its limit, or
the ranges of its scores, are made of (REFERENCE of all) come on top. Under them no request fails.
"""

import argparse
import math
import pathlib
import random
import statistics
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

import conftest  # noqa: E402
import numpy as np  # noqa: E402
from test_replicas import SLOWER  # noqa: E402
from test_rollout_guards import learned  # noqa: E402
from test_rollouts import BAD, STATED, Batches, Rollouts  # noqa: E402

WITHIN = {"slower": 1952, "shifted": 2000}
REFERENCE = 230       # 200 of the old version at nine tenths of the traffic, and what a batch has more
MOST = 8000           # by then it has gone back
MEDIAN_MS, SIGMA = 25, 0.5
GUARDRAILS = {"slower": [{"metric": "latency", "q": 0.95, "tolerance": 0.1}],
              "shifted": [{"metric": "errors"}, {"metric": "latency", "q": 0.95}, {"metric": "invalid_output"},
                          {"metric": "distribution"}]}


def late_allowed(n, share=0.05):
    """The least k such that more than k of n are late in fewer than 1 of 100 series."""
    k, at_most = -1, 0
    while 1 - at_most >= 0.01:
        k += 1
        at_most += math.comb(n, k) * share**k * (1 - share) ** (n - k)
    return k


class Run:
    """One server and its rollouts, one after the other."""

    def __init__(self, harm, seed, base):
        self.harm, self.dice = harm, random.Random(seed)
        library = ROOT / "build" / "onnxruntime" / "libonnxruntime.so"
        # One gateway, and a replica for each connection: nobody waits for another's sleep.
        self.server = conftest.Server(base / "data", "--onnxruntime-library", library, "--gateways", 1,
                                      command=[conftest.FAKE_SERVER, "serve"])
        self.rollouts = Rollouts(self.server, base)
        if harm == "slower":
            for percent in (100, 150):
                self.rollouts.push(f"twist {BAD} {SLOWER} {percent}", promote=percent == 100, replicas=4)
        else:
            rows = np.random.default_rng(seed).normal(size=(4096, 3)).round(3)
            self.rows = rows.tolist()
            one = learned(base / "one.json")
            self.server.push("m", one)
            self.server.push("m", learned(base / "other.json", shift=deviation(one, rows)), promote=False)

    def row(self, i):
        if self.harm == "slower":
            return [BAD, round(MEDIAN_MS * self.dice.lognormvariate(0, SIGMA), 3), 0]
        return self.rows[self.dice.randrange(len(self.rows))]

    def requests_until_rollback(self):
        metric = GUARDRAILS[self.harm][-1]["metric"]
        with Batches(self.rollouts, rows=self.row, size=48, connections=4) as batches:
            number = self.rollouts.start(**{**STATED, "guardrails": GUARDRAILS[self.harm]})
            self.rollouts.wait("running", number=number)
            while self.state(number) == "running":
                assert len(batches.answers) < MOST, self.rollouts.get(number)
                batches.send(batches.size)
                conftest.until(lambda: self.is_counted(number, len(batches.of("canary"))))
            self.rollouts.wait("rolled_back", number=number)
            assert not batches.failed(), batches.failed()[:3]
        crossing = next(e for e in self.rollouts.events(number) if e["event"] == "guard_failed")
        assert metric in crossing["note"], crossing["note"]
        return sum(row[1] + row[2] for row in crossing["arms"][0]["assigned"])

    def state(self, number):
        return self.rollouts.get(number)["state"]

    def is_counted(self, number, n):
        """All that the candidate got: hardly any come while the verdict does."""
        now = self.rollouts.get(number)
        return now["state"] != "running" or now["exposure"]["requests"] >= n


def deviation(model, rows):
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(model)
    return float(booster.inplace_predict(rows.astype(np.float32)).std())


def series(harm, args):
    """How many requests each rollout took."""
    took, wrong, lock = [], [], threading.Lock()

    def go(k):
        with tempfile.TemporaryDirectory(prefix="rollout_stated") as base:
            run = Run(harm, args.seed + k, pathlib.Path(base))
            try:
                for _ in range(k, args.rollouts, args.servers):
                    n = run.requests_until_rollback()
                    with lock:
                        took.append(n)
            except BaseException as e:
                wrong.append(e)
                raise
            finally:
                run.server.end()

    threads = [threading.Thread(target=go, args=(k,)) for k in range(args.servers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sorted(took) if not wrong else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("harms", nargs="*", choices=[[], *WITHIN], help="all when none is named")
    parser.add_argument("--rollouts", type=int, default=40, help="of each harm")
    parser.add_argument("--servers", type=int, default=4, help="that run at once")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    kept = True
    for harm in args.harms or WITHIN:
        took = series(harm, args)
        if took is None:
            return 1
        most, late = WITHIN[harm] + REFERENCE, late_allowed(len(took))
        n_late = sum(n > most for n in took)
        kept &= n_late <= late
        print(f"{harm}: {len(took)} rolled back after {took[0]} to {took[-1]} requests, median {statistics.median(took):.0f}, "
              f"95 of 100 {took[math.ceil(0.95 * len(took)) - 1]}; {n_late} after more than {most}, at most {late}: "
              f"{'kept' if n_late <= late else 'BROKEN'}", flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
