# SPDX-License-Identifier: Apache-2.0
"""How long a candidate that begins to err goes on getting requests, as its clients see it.

From the answer with which the evidence reached the threshold, by the rule that the judge uses, to the last answer that came
from the candidate. The candidate takes a number from its input as an index, which the old version limits first."""

import http.client
import json
import math
import threading
import time

import servers

CONNECTIONS, PACE_S, CALM_S, WEIGHT = 8, 0.01, 1.0, 0.1
ALPHA, GUARDS, FAIL_RATIO, MIN_EVENTS = 0.05, 4, 1.1, 5
GOOD, BAD = b'{"instances":[[1,0,0]]}', b'{"instances":[[7,0,0]]}'


def make(path, limited):
    """An ONNX model that looks a value up by its first input."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = {"first": np.array([0], "i8"), "least": np.array(0, "i8"), "most": np.array(1, "i8"),
                 "values": np.array([0.25, 0.75], "f4")}
    nodes = [helper.make_node("Gather", ["x", "first"], ["column"], axis=1),
             helper.make_node("Cast", ["column"], ["asked"], to=TensorProto.INT64),
             helper.make_node("Clip", ["asked", "least", "most"], ["limited"]),
             helper.make_node("Gather", ["values", "limited" if limited else "asked"], ["y"])]
    graph = helper.make_graph(nodes if limited else [n for n in nodes if n.op_type != "Clip"], "lookup",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def events_to_cross():
    """Failures of the candidate, while the old version has none, after which it fails: docs/rollouts.md."""
    grid = [2 ** (-6 + 12 * i / 128) for i in range(129)]

    def log_share(r):
        return math.log(WEIGHT * r / (WEIGHT * r + 1 - WEIGHT))

    worse, n = [log_share(r) for r in grid if r > FAIL_RATIO], 0
    while True:
        n += 1
        log_e = math.log(sum(math.exp(n * (share - log_share(FAIL_RATIO))) for share in worse) / len(worse))
        if n >= MIN_EVENTS and log_e >= math.log(GUARDS / ALPHA):
            return n


class Traffic:
    """Asks all the time; in .answers when each answer was there, its arm and its status."""

    def __init__(self, port):
        self.port, self.body, self.over, self.answers = port, GOOD, threading.Event(), []
        self.threads = [threading.Thread(target=self._run) for _ in range(CONNECTIONS)]

    def _run(self):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.over.wait(PACE_S):
            client.request("POST", "/v1/models/lookup:predict", self.body)
            answer = client.getresponse()
            answer.read()
            self.answers.append((time.time(), answer.headers.get("Slipway-Arm"), answer.status))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *ignored):
        self.over.set()
        for t in self.threads:
            t.join()


def ask(url, path, body=None):
    return json.loads(servers.call(f"{url}/api/v1/rollouts{path}", json.dumps(body).encode() if body else None)[0])


def wait(url, number, state):
    end = time.monotonic() + 60
    while (now := ask(url, f"/{number}"))["state"] != state:
        if time.monotonic() > end:
            raise SystemExit(f"bench: the rollout is not {state}: {now}")
        time.sleep(0.02)


def one(url, port):
    """Milliseconds: to the last answer of the candidate, and to the verdict's record."""
    number = ask(url, "", {"model": "lookup", "candidate": "2", "steps": [{"weight": 100 * WEIGHT, "min_seconds": 6000,
                                                                         "max_seconds": 6000}]})["id"]
    wait(url, number, "running")
    with Traffic(port) as traffic:
        time.sleep(CALM_S)
        traffic.body = BAD
        wait(url, number, "rolled_back")
        time.sleep(CALM_S)
    if any(status != 200 for _, arm, status in traffic.answers if arm != "canary"):
        raise SystemExit("bench: requests failed that were none of the candidate's")
    crossed = sorted(when for when, arm, status in traffic.answers if arm == "canary" and status != 200)[events_to_cross() - 1]
    last = max(when for when, arm, _ in traffic.answers if arm == "canary")
    failed = next(e for e in ask(url, f"/{number}/events")["events"] if e["event"] == "guard_failed")
    return (last - crossed) * 1000, (failed["wall_ns"] / 1e9 - crossed) * 1000


def measure(server, folder, n):
    """What `one` says, n times."""
    url = f"http://127.0.0.1:{server.port}"
    for limited in (True, False):
        servers.push(url, "lookup", make(f"{folder}/lookup.onnx", limited), promote=limited)
    return zip(*[one(url, server.port) for _ in range(n)])
