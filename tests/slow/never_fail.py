# SPDX-License-Identifier: Apache-2.0
"""The promise "never a failed request" at full length: dev/slow never_fail [--quick] [--promotions N] [--requests N] [SCENARIO…].

A real server with a small ONNX model, clients in processes of their own that check the value and the version of every
answer at 70 % of the highest rate that they reach, and one thing after another killed, stopped, promoted or drained.
Prints a table; the exit code is 1 when a promise does not hold.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import requests
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SLIPWAY_BIN", str(ROOT / "build" / "slipway"))
N_FEATURES, N_ROWS = 20, 64


def make_model(path, scale):
    """y = scale * sum(x), so that the two versions' answers are told apart by their values."""
    weights = np.full((N_FEATURES, 1), scale, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", N_FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


class Server:
    def __init__(self, folder, gateways):
        self.log = open(folder / "log", "a+")
        self.process = subprocess.Popen([BINARY, "serve", "--listen", "127.0.0.1:0", "--gateways", str(gateways),
                                         "--data-dir", str(folder / "data")],
                                        stdin=subprocess.DEVNULL, stderr=self.log, stdout=subprocess.DEVNULL)
        self.url = self.wait("listening")["url"]
        self.wait("ready")
        self.port = int(self.url.rsplit(":", 1)[1])

    def events(self, name, **fields):
        found = []
        for line in open(self.log.name):
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event.get("event") == name and all(event.get(k) == v for k, v in fields.items()):
                found.append(event)
        return found

    def wait(self, name, n=1, seconds=30, **fields):
        end = time.monotonic() + seconds
        while len(found := self.events(name, **fields)) < n:
            if time.monotonic() > end:
                raise AssertionError(f"no {name}")
            time.sleep(0.005)
        return found[n - 1]

    def push(self, path, **settings):
        data = pathlib.Path(path).read_bytes()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        requests.put(f"{self.url}/api/v1/blobs/{digest}", data=data, timeout=60).raise_for_status()
        artifact = {"name": "model.onnx", "digest": digest, "size": len(data)}
        answer = requests.post(f"{self.url}/api/v1/models/m/versions", json={"artifacts": [artifact], "allow_breaking": True, **settings}, timeout=60)
        answer.raise_for_status()
        return answer.json()["version"]

    def promote(self, version):
        requests.put(f"{self.url}/api/v1/models/m/aliases/champion", json={"version": version, "allow_breaking": True}, timeout=60).raise_for_status()

    def replicas(self):
        """Process ids of the replicas that live."""
        pids = []
        for event in self.events("replica_ready", child="replica"):
            try:
                if b"replica" in pathlib.Path(f"/proc/{event['child_pid']}/cmdline").read_bytes():
                    pids.append(event["child_pid"])
            except OSError:
                pass
        return pids

    def child(self, name, index=0):
        return self.events("child_ready", child=name, child_index=index)[-1]["child_pid"]

    def stop(self, seconds=30):
        self.process.terminate()
        return self.process.wait(seconds)


ANSWER = re.compile(rb"HTTP/1.1 (\d+) .*?Slipway-Model-Version: (\d+)\r.*?Content-Length: +(\d+)\r\n(?:.*?\r\n)?\r\n", re.S)


def read_answer(sock, got):
    """The next answer: its head, its bytes, and what was read beyond it. An answer of another status ends the connection."""
    while (end := got.find(b"\r\n\r\n") + 4) < 4:
        got = got + more(sock)
    head = ANSWER.match(got[:end])
    if not head or int(head[1]) != 200:
        return None, got, b""
    while len(got) < (need := end + int(head[3])):
        got = got + more(sock)
    return head, got[:need], got[need:]


def more(sock):
    got = sock.recv(65536)
    if not got:
        raise OSError("closed")
    return got


class Client:
    """One connection, requests at an even rate, `depth` of them at once, every answer checked."""

    def __init__(self, port, rate, depth, stop, champion):
        self.port, self.rate, self.depth, self.stop, self.champion = port, rate, depth, stop, champion
        rows = np.random.default_rng(os.getpid()).integers(-50, 50, size=(N_ROWS, N_FEATURES)).astype(np.float32)
        self.sums = rows.sum(axis=1)
        bodies = [json.dumps({"instances": [row.tolist()]}).encode() for row in rows]
        self.sent = [b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(b) + b for b in bodies]
        self.tally = {"asked": 0, "right": 0, "wrong": 0, "mixed": 0, "stale": 0, "refused": 0, "broken": 0, "no_connection": 0,
                      "examples": []}
        self.sock, self.i = None, 0

    def note(self, what, detail):
        self.tally[what] += 1
        if len(self.tally["examples"]) < 3:
            self.tally["examples"].append(f"{what}: {detail!r:.200}")

    def close(self):
        self.sock.close()
        self.sock = None

    def check(self, k, head, body, acknowledged):
        value, version, total = json.loads(body)["predictions"][0][0], int(head[2]), float(self.sums[k])
        # Asked after a promotion was acknowledged, and answered before the next one began.
        if 0 < acknowledged == self.champion.value and version != acknowledged:
            self.note("stale", (version, acknowledged))
        if value == total * (1 if version % 2 else 3):
            self.tally["right"] += 1
        else:
            self.note("mixed" if value in (total, 3 * total) else "wrong", (value, total, version))

    def ask(self):
        """`depth` requests and their answers."""
        acknowledged, got = self.champion.value, b""
        numbers = [(self.i + n) % N_ROWS for n in range(self.depth)]
        self.i += self.depth
        self.tally["asked"] += self.depth
        self.sock.sendall(b"".join(self.sent[k] for k in numbers))
        for k in numbers:
            head, answer, got = read_answer(self.sock, got)
            if not head or int(head[1]) != 200:
                self.note("refused", answer)
                return self.close()
            self.check(k, head, answer[head.end():], acknowledged)
        if b"Connection: close" in answer[:head.end()]:
            self.close()

    def run(self, n_right, k):
        due = time.monotonic()
        while not self.stop.is_set():
            if self.rate:
                due += self.depth / self.rate
                time.sleep(max(0, due - time.monotonic()))
            try:
                if self.sock is None:
                    self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=20)
                    self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as e:
                self.note("no_connection", e)
                continue
            try:
                self.ask()
            except OSError as e:
                if not (self.stop.is_set() or self.champion.value < 0):
                    self.note("broken", e)
                self.close()
            n_right[k] = self.tally["right"]


def ask(port, rate, depth, stop, champion, n_right, k, results):
    client = Client(port, rate, depth, stop, champion)
    client.run(n_right, k)
    results.put(client.tally)


class Clients:
    def __init__(self, server, n, rate_each, depth=1):
        self.stop, self.results = multiprocessing.Event(), multiprocessing.Queue()
        self.champion = multiprocessing.Value("q", 0)  # 0: being changed, or not to be looked at
        self.n_right = multiprocessing.Array("q", n, lock=False)
        self.processes = [multiprocessing.Process(target=ask, args=(server.port, rate_each, depth, self.stop, self.champion, self.n_right,
                                                                    k, self.results)) for k in range(n)]
        for p in self.processes:
            p.start()
        time.sleep(1)

    def end(self):
        self.stop.set()
        total = {}
        for _ in self.processes:
            for key, value in self.results.get(timeout=60).items():
                total[key] = total.get(key, [] if key == "examples" else 0) + value
        for p in self.processes:
            p.join()
        return total


class Scenario:
    def __init__(self, folder, args):
        self.folder, self.quick = folder, args.quick
        self.n_promotions, self.n_requests = args.promotions, args.requests
        make_model(folder / "one.onnx", 1)
        make_model(folder / "three.onnx", 3)

    def serve(self, replicas=2, gateways=2):
        server = Server(self.folder, gateways)
        server.push(self.folder / "one.onnx", replicas=replicas)
        return server

    def clients(self, server, n=4, depth=1):
        """Clients that together ask at 70 % of the highest rate they reach."""
        probe = Clients(server, n, 0, depth)
        time.sleep(2)
        most = probe.end()["right"] / 3
        return Clients(server, n, 0.7 * most / n, depth), most

    def replicas(self):
        """kill -9 of a replica, with two: no failed request."""
        server, count = self.serve(), 4 if self.quick else 200
        clients, most = self.clients(server)
        for i in range(count):
            os.kill(server.replicas()[0], signal.SIGKILL)
            server.wait("replica_ended", n=i + 1)
            time.sleep(0.3)
        total = clients.end()
        server.stop()
        return total, f"{count} kills, {most:.0f}/s at most", total["asked"] == total["right"]

    def controller(self):
        """kill -9 of the controller: no failed prediction."""
        server, count = self.serve(), 2 if self.quick else 20
        clients, most = self.clients(server)
        for i in range(count):
            os.kill(server.child("controller"), signal.SIGKILL)
            server.wait("child_ready", n=i + 2, child="controller")
            time.sleep(1 if self.quick else 8)
        total = clients.end()
        server.stop()
        return total, f"{count} kills, {most:.0f}/s at most", total["asked"] == total["right"]

    def gateway(self):
        """kill -9 of a gateway: no refused connection; only its own open requests are lost."""
        server, count, n = self.serve(), 2 if self.quick else 20, 4
        clients, most = self.clients(server, n)
        for i in range(count):
            os.kill(server.child("gateway", 1), signal.SIGKILL)
            server.wait("child_ready", n=i + 2, child="gateway", child_index=1)
            time.sleep(1 if self.quick else 8)
        total = clients.end()
        server.stop()
        lost = total["broken"]
        good = total["no_connection"] == 0 and lost <= count * n and total["right"] == total["asked"] - lost
        return total, f"{count} kills, {lost} of its requests lost", good

    def promotion(self):
        """Promotions under load: no error, no mixture, nothing of the old version after the acknowledgement."""
        server = self.serve()
        server.push(self.folder / "three.onnx", replicas=2, promote=False)
        clients, most = self.clients(server, depth=8)  # else the clients take longer than what they look at
        count = 0
        while count < self.n_promotions or sum(clients.n_right) < self.n_requests:
            version = 2 - count % 2
            clients.champion.value = 0
            server.promote(version)
            clients.champion.value = version  # from here on every answer of a new request is of that version
            count += 1
            time.sleep(0.2 if self.quick else 0.3)
        total = clients.end()
        server.stop()
        good = total["asked"] == total["right"] and total["stale"] == 0
        return total, f"{count} promotions, {total['asked']} requests", good

    def drain(self):
        """SIGTERM under load: no failed request on an open connection."""
        count, worst, total = 3 if self.quick else 50, None, {}
        for _ in range(count):
            server = self.serve(gateways=1)
            clients = Clients(server, 4, 300)
            clients.champion.value = 0
            code = server.stop()
            clients.champion.value = -1
            one = clients.end()
            one["no_connection"] = 0  # nobody listens any more
            for key, value in one.items():
                total[key] = total.get(key, [] if key == "examples" else 0) + value
            worst = code or worst
            for f in (self.folder / "log",):
                f.unlink()
            subprocess.run(["rm", "-rf", str(self.folder / "data")], check=True)
        return total, f"{count} drains, exit code {worst or 0}", total["asked"] == total["right"] and not worst


SCENARIOS = ("replicas", "controller", "gateway", "promotion", "drain")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    parser.add_argument("--promotions", type=int, help="of the scenario promotion, at least; default 200, 20 with --quick")
    parser.add_argument("--requests", type=int, help="of the same, at least; default 1000000, 10000 with --quick")
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], help="default: all")
    args = parser.parse_args()
    args.promotions = args.promotions or (20 if args.quick else 200)
    args.requests = args.requests or (10_000 if args.quick else 1_000_000)
    failed = False
    for name in args.scenario or SCENARIOS:
        with tempfile.TemporaryDirectory() as folder:
            begin = time.monotonic()
            total, what, good = getattr(Scenario(pathlib.Path(folder), args), name)()
            counts = " ".join(f"{k} {v}" for k, v in total.items() if k != "examples")
            print(f"{'ok  ' if good else 'FAIL'} {name}: {what}; {counts} ({time.monotonic() - begin:.0f} s)", flush=True)
            for example in total["examples"][:5]:
                print(f"     {example}")
            failed |= not good
    sys.exit(failed)


if __name__ == "__main__":
    main()
