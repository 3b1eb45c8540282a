# SPDX-License-Identifier: Apache-2.0
"""Models in processes of their own: crashing, hanging and poisoning them is noticed by nobody else.

The runtime is fake: it answers 1, 2 and 3 times the sum of a row, and misbehaves for certain first values."""

import json
import os
import random
import resource
import signal
import socket
import threading
import time

import pytest
import requests

import proc

ABORT, LOOP, SLEEP, ALL_MEMORY, NAN, OF_BATCH, ERROR, MORE_ROWS, WRONG_TYPE, LOST, MUTE, LONG_TEXT, SLOWER = range(-1001, -1014, -1)
INTERFACE = {"platform": "fake", "max_batch_rows": 64,
             "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
             "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.fake"
    path.write_text(" " + json.dumps(INTERFACE, separators=(",", ":")))
    return path


@pytest.fixture
def server(start_fake_server):
    return start_fake_server("--gateways", 2)


def row(i):
    return [i, i + 1, 2]


def answer(i):
    total = 2 * i + 3
    return [total, 2 * total, 3 * total]


def replicas(server):
    """The process ids of replicas that serve now."""
    pids = [event["child_pid"] for event in server.find("replica_ready")]
    return [pid for pid in pids if b"replica" in b" ".join(proc.words(pid))]


class Prober:
    """Asks all the time over some connections and checks every answer."""

    def __init__(self, server, model, n=4):
        self.url, self.wrong, self.asked, self.stopping = f"{server.url}/v1/models/{model}:predict", [], 0, False
        self.threads = [threading.Thread(target=self._run, args=(k,)) for k in range(n)]

    def _run(self, k):
        session, i = requests.Session(), k
        while not self.stopping:
            try:
                got = session.post(self.url, json={"instances": [row(i % 1000)]}, timeout=60)
                if got.status_code != 200 or got.json()["predictions"] != [answer(i % 1000)]:
                    self.wrong.append((got.status_code, got.text))
            except requests.RequestException as e:
                self.wrong.append((0, str(e)))
            self.asked += 1
            i += 7

    def __enter__(self):
        for t in self.threads:
            t.start()
        self.wait_for(20)
        return self

    def wait_for(self, n):
        end, until = time.monotonic() + 60, self.asked + n
        while self.asked < until:
            assert time.monotonic() < end, f"{self.asked} of {until} answered; {self.wrong[:3]}"
            time.sleep(0.01)

    def __exit__(self, *_):
        self.stopping = True
        for t in self.threads:
            t.join()


def test_answers_are_those_of_the_model(server, model):
    made = server.push("m", model, replicas=2)
    assert made["replicas"]["wanted"] == 2
    got = server.predict("m", {"instances": [row(1), row(2)]})
    assert got.status_code == 200 and got.json()["predictions"] == [answer(1), answer(2)]
    assert got.headers["Slipway-Model-Version"] == "1" and got.headers["Slipway-Prediction-Id"]
    body = {"id": "a", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": row(5)}]}
    got = requests.post(f"{server.url}/v2/models/m/infer", json=body, timeout=60).json()
    assert got["id"] == "a" and got["outputs"][0]["data"] == answer(5)
    meta = requests.get(f"{server.url}/v2/models/m", timeout=60).json()
    assert meta["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    wait_until(lambda: [proc.words(pid)[0] for pid in replicas(server)] == [b"slipway: replica m/1"] * 2, "both are there")


def test_bad_requests_are_named(server, model):
    server.push("m", model)
    got = server.predict("m", {"instances": [[1, "a", 3]]})
    assert got.status_code == 400 and got.json()["path"] == "$.instances[0][1]"
    got = server.predict("m", {"instances": [row(ERROR)]})
    assert got.status_code == 400 and "not for this model" in got.json()["error"]
    assert server.predict("m", {"instances": [row(4)]}).json()["predictions"] == [answer(4)]


def test_killed_replicas_fail_no_request(server, model):
    server.push("m", model, replicas=2)
    with Prober(server, "m") as prober:
        for _ in range(4):
            wait_until(lambda: len(replicas(server)) == 2, "both are there")
            os.kill(replicas(server)[0], signal.SIGKILL)
            prober.wait_for(40)
    assert prober.wrong == []


def test_the_only_replica_comes_back_at_once(server, model):
    server.push("m", model, replicas=1)
    os.kill(server.wait_event("replica_ready")["child_pid"], signal.SIGKILL)
    got = server.predict("m", {"instances": [row(3)]})
    assert got.status_code == 200 or (got.status_code == 503 and got.headers["Retry-After"])
    server.wait_event("replica_ready", n=2)
    assert server.predict("m", {"instances": [row(3)]}).json()["predictions"] == [answer(3)]


def test_a_request_that_kills_is_refused_after_two_deaths_and_nobody_else_notices(server, model):
    server.push("m", model, replicas=2)
    with Prober(server, "m") as prober:
        got = server.predict("m", {"instances": [row(ABORT)]})
        assert got.status_code == 500 and got.json()["code"] == "model_crashed", got.text
        server.wait_event("replica_ended", n=2)
        for _ in range(6): # by whichever gateway
            again = requests.post(f"{server.url}/v1/models/m:predict", json={"instances": [row(ABORT)]}, timeout=60)
            assert again.status_code == 500 and again.json()["code"] == "model_crashed"
        prober.wait_for(40)
    assert prober.wrong == []
    assert len(server.find("replica_ended")) == 2


@pytest.mark.parametrize("how", ["stopped", "looping"])
def test_a_replica_that_hangs_is_replaced(server, model, how):
    server.push("m", model, replicas=2)
    with Prober(server, "m") as prober:
        if how == "stopped":
            os.kill(server.wait_event("replica_ready")["child_pid"], signal.SIGSTOP)
        else:
            threading.Thread(target=server.predict, args=("m", {"instances": [row(LOOP)]})).start()
        server.wait_event("replica_ended") # within 2 s, which dev/bench recovery measures
        prober.wait_for(40)
    assert prober.wrong == []


HANG_MS = 2000  # more than a healthy one is silent on a busy machine
NOTICED_S = HANG_MS / 1000 * 3 + 15  # for each gateway that has requests, and one more; then soon


def test_a_replica_that_falls_mute_is_replaced_and_its_requests_go_to_others(server, model):
    server.push("m", model, replicas=2, hang_ms=HANG_MS)
    with Prober(server, "m") as prober:
        begin = time.monotonic()
        got = server.predict("m", {"instances": [row(MUTE)]})
        assert got.status_code == 200 and got.json()["predictions"] == [answer(MUTE)], got.text
        assert time.monotonic() - begin < NOTICED_S
        assert "mute: no answer to a request" in server.wait_event("replica_ended")["reason"]
        prober.wait_for(40)
    assert prober.wrong == []
    assert len(server.find("replica_ended")) == 1


def test_a_request_whose_answer_is_always_lost_ends_two_replicas_and_no_more(server, model):
    server.push("m", model, replicas=2, hang_ms=HANG_MS)
    with Prober(server, "m") as prober:
        got = server.predict("m", {"instances": [row(LOST)]})
        assert got.status_code == 500 and got.json()["code"] == "model_crashed", got.text
        server.wait_event("replica_ended", n=2)
        prober.wait_for(40)
    assert prober.wrong == []
    assert len(server.find("replica_ended")) == 2


def test_a_model_that_is_slow_is_left_alone(server, model):
    server.push("m", model, replicas=1, hang_ms=HANG_MS)
    statuses = []

    def ask():
        statuses.append(server.predict("m", {"instances": [[SLEEP, HANG_MS / 2, 0]]}).status_code)

    threads = [threading.Thread(target=ask) for _ in range(6)]  # the last waits for longer than a hang is borne
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert statuses == [200] * 6 and not server.find("replica_ended")


def test_the_server_is_ready_when_each_version_has_a_replica(server, model):
    def ready(path="v2/health"):
        return requests.get(f"{server.url}/{path}/ready", timeout=60)

    server.push("other", model)
    server.push("m", model, hang_ms=60000)  # for so long the loader may stand still
    wait_until(lambda: ready().status_code == 200, "it is ready")
    loaders = [p["pid"] for p in requests.get(f"{server.url}/api/v1/status", timeout=60).json()["processes"]
               if p["kind"] == "loader" and p["model"] == "m"]
    os.kill(loaders[0], signal.SIGSTOP)  # so that the replica has no successor
    try:
        os.kill(server.wait_event("replica_ready", lambda e: e["model"] == "m")["child_pid"], signal.SIGKILL)
        wait_until(lambda: ready().status_code == 503, "it is not ready")
        for _ in range(20):  # the other gateway, too
            wait_until(lambda: ready().status_code == 503, "it is not ready")
        assert "version 1 of model 'm' has no process" in ready().json()["error"] and ready().headers["Retry-After"]
        assert ready("v2/models/m").status_code == 503 and ready("v2/models/other").status_code == 200
        # Each process hears of it for itself.
        for path in ("v1/models/m", "api/v1/status"):
            wait_until(lambda path=path: requests.get(f"{server.url}/{path}", timeout=60).json()["ready"] is False, path)
    finally:
        os.kill(loaders[0], signal.SIGCONT)
    wait_until(lambda: ready().status_code == 200, "it is ready again")
    wait_until(lambda: all(requests.get(f"{server.url}/ready", timeout=60).json() == {"ready": True} for _ in range(20)),
               "so say both gateways")
    assert requests.get(f"{server.url}/v1/models/m", timeout=60).json()["ready"] is True


def test_memory_without_bound_ends_one_request_only(server, model):
    server.push("m", model, replicas=2, memory_mb=256)
    with Prober(server, "m") as prober:
        got = server.predict("m", {"instances": [row(ALL_MEMORY)]})
        assert got.status_code in (500, 503), got.text
        prober.wait_for(40)
    assert prober.wrong == []


@pytest.mark.parametrize("what", [WRONG_TYPE, MORE_ROWS])
def test_an_answer_that_is_not_of_the_interface_is_an_error(server, model, what):
    server.push("m", model, replicas=1)
    got = server.predict("m", {"instances": [row(what)]})
    assert got.status_code == 500, got.text
    assert server.predict("m", {"instances": [row(4)]}).json()["predictions"] == [answer(4)]


def test_a_client_that_leaves_takes_its_waiting_request_with_it(server, model):
    server.push("m", model, replicas=1, hang_ms=60000)
    body = json.dumps({"instances": [[SLEEP, 3000, 0]]}).encode()
    head = f"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for _ in range(20): # 60 s of sleep, were they all computed
        s = socket.create_connection(("127.0.0.1", server.port))
        s.sendall(head + body)
        time.sleep(0.01)
        s.close()
    begin = time.monotonic()
    assert server.predict("m", {"instances": [row(1)]}).status_code == 200
    assert time.monotonic() - begin < 20


def test_what_waits_too_long_is_refused(start_fake_server, model):
    server = start_fake_server("--gateways", 1, "--request-timeout", "2s")
    server.push("m", model, replicas=1, hang_ms=60000)
    slow = threading.Thread(target=server.predict, args=("m", {"instances": [[SLEEP, 10000, 0]]}))
    slow.start()
    wait_until(lambda: gauge(server, "slipway_inflight") == 1, "the slow one is under way")
    got = server.predict("m", {"instances": [row(1)]})
    assert got.status_code in (503, 504) and got.json()["code"] in ("deadline_exceeded", "unavailable"), got.text
    slow.join()
    wait_until(lambda: server.predict("m", {"instances": [row(1)]}).status_code == 200, "it is answered again")


def post(path, instances):
    body = json.dumps({"instances": instances}).encode()
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def read_answers(s, n):
    """The bodies of n answers on one connection, in their order."""
    got, bodies = s.makefile("rb"), []
    for _ in range(n):
        assert got.readline().startswith(b"HTTP/1.1 200"), got.read1()
        length = 0
        while (line := got.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        bodies.append(json.loads(got.read(length)))
    return bodies


def test_pipelined_requests_to_several_models_are_answered_in_order_and_at_once(start_fake_server, model, churn):
    server = start_fake_server("--gateways", 1)
    server.push("a", model)
    server.push("b", model)
    server.push("t", churn.path)
    tree = server.predict("t", {"instances": churn.instances(1)}).json()["predictions"]
    asked = [("a", i) if i % 3 == 0 else ("b", i) if i % 3 == 1 else ("t", i) for i in range(120)]
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
        begin = time.monotonic()
        s.sendall(b"".join(post(f"/v1/models/{m}:predict", churn.instances(1) if m == "t" else [row(i)])
                           for m, i in asked))
        got = [b["predictions"] for b in read_answers(s, len(asked))]
    assert got == [tree if m == "t" else [answer(i)] for m, i in asked]
    assert time.monotonic() - begin < 15 # no answer waits for something else to happen


def cpu_ticks(pid):
    return sum(map(int, open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:13]))


def gauge(server, name):
    for line in requests.get(f"{server.url}/metrics", timeout=60).text.splitlines():
        if line.startswith(name) and not line.startswith("#"):
            return float(line.split()[-1])
    return 0


def wait_until(true, what, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_large_texts_of_many_answers_are_taken_in_one_turn(start_fake_server, tmp_path):
    texts = {"platform": "fake", "max_batch_rows": 0,
             "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
             "outputs": [{"name": f"y{k}", "datatype": "BYTES", "shape": [-1]} for k in range(40)]}
    path = tmp_path / "texts.fake"
    path.write_text(" " + json.dumps(texts, separators=(",", ":")))
    server = start_fake_server("--gateways", 1, "--request-timeout", "30m")
    server.push("m", path, replicas=2, hang_ms=3000000)
    n, text = 10_000, "1000000015047466219876688855040"
    body = b'{"instances":[' + b",".join([b"[1e30,0]"] * n) + b"]}"
    statuses = []

    def ask():
        got = requests.post(f"{server.url}/v1/models/m:predict", data=body, timeout=900)
        statuses.append((got.status_code, got.text.count(text), got.text[:200] if got.status_code != 200 else ""))

    wait_until(lambda: len(replicas(server)) == 2, "both are there")
    gateway, pids = server.child_pid("gateway"), replicas(server)
    stopped = set(pids)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP) # the requests gather
    try:
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for t in threads:
            t.start()
        wait_until(lambda: gauge(server, "slipway_inflight") == 6, "6 requests are with replicas", 300)
        os.kill(gateway, signal.SIGSTOP) # and now the answers
        stopped.add(gateway)
        seen = [sum(map(cpu_ticks, pids))]
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
            stopped.remove(pid)
        end = time.monotonic() + 300
        while len(seen) < 60 or seen[-1] - seen[-40] > 4 or seen[-1] - seen[0] < 2: # idle for two seconds, after work
            assert time.monotonic() < end, seen
            time.sleep(0.05)
            seen.append(sum(map(cpu_ticks, pids)))
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    for t in threads:
        t.join()
    assert statuses == [(200, 40 * n, "")] * 6, statuses


def test_a_large_body_is_decoded_in_slices_between_which_others_are_answered(start_fake_server, model, tmp_path):
    wide = tmp_path / "wide.fake"
    changed = {**INTERFACE, "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 100]}]}
    wide.write_text(" " + json.dumps(changed, separators=(",", ":")))
    server = start_fake_server("--gateways", 1, "--log-level", "debug")
    server.push("m", model)
    server.push("wide", wide, hang_ms=200000)
    one = "[" + ",".join(["0.50000000000000000000"] * 100) + "]"
    body = ('{"instances":[' + ",".join([one] * 4500) + "]}").encode() # 10 MB
    v2 = ('{"inputs":[{"name":"x","datatype":"FP32","shape":[4500,100],"data":[' + ",".join([one[1:-1]] * 4500)
          + "]}]}").encode()
    got = requests.post(f"{server.url}/v1/models/wide:predict", data=body, timeout=180)
    assert got.status_code == 200 and got.json()["predictions"] == [[50, 100, 150]] * 4500, got.text[:300]
    got = requests.post(f"{server.url}/v2/models/wide/infer", data=v2, timeout=180)
    assert got.status_code == 200 and got.json()["outputs"][0]["data"] == [50, 100, 150] * 4500, got.text[:300]
    server.wait_event("body_decoded", n=2)
    for event in server.find("body_decoded"):
        assert event["bytes"] > 10_000_000 and event["slices"] > event["bytes"] / (1 << 18), event
    assert len(server.find("body_decoded")) == 2
    # An error at the very end, a body that is refused before, and clients that leave meanwhile.
    got = requests.post(f"{server.url}/v1/models/wide:predict", data=body[:-2] + b",[1]]}", timeout=60)
    assert got.status_code == 400 and got.json()["path"] == "$.instances[4500]", got.text
    head = f"POST /v1/models/wide:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            s.sendall(head + body)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s: # pipelined, in order
        s.sendall(post("/v1/models/m:predict", [row(1)]) + head + body + post("/v1/models/m:predict", [row(2)]))
        first, second, third = read_answers(s, 3)
    assert (first["predictions"], third["predictions"]) == ([answer(1)], [answer(2)])
    assert second["predictions"] == [[50, 100, 150]] * 4500
    wait_until(lambda: gauge(server, "slipway_inflight") == 0, "no request is under way")
    assert not server.find("child_ended") and not server.find("replica_ended")


def test_strings_of_an_answer_that_do_not_fit_are_an_error_that_names_the_limit(start_fake_server, tmp_path):
    texts = {**INTERFACE, "outputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}]}
    path = tmp_path / "texts.fake"
    path.write_text(" " + json.dumps(texts, separators=(",", ":")))
    server = start_fake_server("--gateways", 1)
    server.push("m", path, hang_ms=30000)

    def ask(n):
        got = server.predict("m", {"instances": [[LONG_TEXT, n, 0]]})
        return got.status_code, got.json().get("error", "")

    most = (64 << 20) - 64 # of a message in a ring
    status, why = ask(most) # with its head it is more
    assert status == 413 and f"more than the {most} that fit" in why, why
    assert ask(1 << 10) == (200, "")
    assert not server.find("replica_ended") and not server.find("child_ended")


def connections(pid, port):
    """Sockets of its clients."""
    rows = [line.split() for line in open(f"/proc/{pid}/net/tcp").read().splitlines()[1:]]
    inodes = {row[9] for row in rows if int(row[1].split(":")[1], 16) == port and row[3] != "0A"}  # not those that listen
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass
    return [text for text in found if text[8:-1] in inodes]


def test_a_gateway_without_descriptors_links_to_a_replica_when_it_has_some(start_fake_server, model):
    server = start_fake_server("--gateways", 1)
    server.push("m", model, hang_ms=60000)
    gateway = server.child_pid("gateway")

    def descriptors():
        return sorted(int(fd) for fd in os.listdir(f"/proc/{gateway}/fd"))

    seen = [descriptors()]
    wait_until(lambda: not connections(gateway, server.port) and (seen.append(descriptors()) or seen[-1] == seen[-2]),
               "the client's connection is closed")
    limits, taken = resource.prlimit(gateway, resource.RLIMIT_NOFILE), set(descriptors())
    one_more = next(n for n in range(4096) if n not in taken) + 1 # room to hear of the new one, not for its rings
    resource.prlimit(gateway, resource.RLIMIT_NOFILE, (one_more, limits[1]))
    try:
        os.kill(server.wait_event("replica_ready")["child_pid"], signal.SIGKILL)
        server.wait_event("link_failed")
        server.wait_event("link_failed", n=2)
    finally:
        resource.prlimit(gateway, resource.RLIMIT_NOFILE, limits)
    assert server.wait_event("link_made")["attempts"] >= 3
    assert server.predict("m", {"instances": [row(3)]}).json()["predictions"] == [answer(3)]
    assert not server.find("child_ended")


def test_too_many_are_refused_at_once(start_fake_server, model):
    server = start_fake_server("--gateways", 1, "--max-queue", 4)
    server.push("m", model, replicas=1, hang_ms=60000)
    statuses = []

    def ask():
        statuses.append(server.predict("m", {"instances": [[SLEEP, 3000, 0]]}).status_code)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert statuses.count(429) >= 6 and statuses.count(200) >= 4 and len(statuses) == 12, statuses


def test_a_killed_controller_or_gateway_fails_no_prediction_of_others(server, model):
    server.push("m", model, replicas=2)
    with Prober(server, "m") as prober:
        server.kill_child("controller")
        server.wait_event("child_ready", lambda e: e["child"] == "controller", n=2)
        prober.wait_for(40)
        assert prober.wrong == []
        server.kill_child("gateway", 1)
        server.wait_child("child_ready", "gateway", 1, n=2)
        prober.wait_for(40)
        assert all(status == 0 for status, _ in prober.wrong) # its own open connections
        del prober.wrong[:]
        prober.wait_for(40)
    assert prober.wrong == []


def test_a_restart_serves_the_same_replicas(start_fake_server, model, tmp_path):
    server = start_fake_server("--gateways", 1, data_dir=tmp_path / "d")
    server.push("m", model, replicas=2)
    server.stop()
    server = start_fake_server("--gateways", 1, data_dir=tmp_path / "d")
    assert server.predict("m", {"instances": [row(9)]}).json()["predictions"] == [answer(9)]


def test_clients_that_leave_at_any_moment_while_replicas_die_leave_nothing_behind(server, model):
    server.push("m", model, replicas=2)
    stopping = threading.Event()

    def leave(seed):
        own = random.Random(seed)
        while not stopping.is_set():
            with socket.create_connection(("127.0.0.1", server.port)) as s:
                whole = b"".join(post("/v1/models/m:predict", [[SLEEP, own.randrange(5), 0]] * own.randrange(1, 4))
                                 for _ in range(own.randrange(1, 5)))
                s.sendall(whole[:own.randrange(1, len(whole) + 1)])
                stopping.wait(own.random() / 50)

    threads = [threading.Thread(target=leave, args=(k,)) for k in range(30)]
    for t in threads:
        t.start()
    try:
        for _ in range(5):
            stopping.wait(0.7)
            for pid in replicas(server)[:1]:
                os.kill(pid, signal.SIGKILL)
    finally:
        stopping.set()
        for t in threads:
            t.join()
    wait_until(lambda: gauge(server, "slipway_inflight") == 0, "no request is under way")
    wait_until(lambda: len(replicas(server)) == 2, "both are there")
    for i in range(20):
        assert server.predict("m", {"instances": [row(i)]}).json()["predictions"] == [answer(i)]
    assert not server.find("child_ended", child="gateway")
