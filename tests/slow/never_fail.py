# SPDX-License-Identifier: Apache-2.0
"""The promise "never a failed request" at full length: dev/slow never_fail [--quick] [SCENARIO…].

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
        requests.put(f"{self.url}/api/v1/models/m/aliases/champion", json={"version": version}, timeout=60).raise_for_status()

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
REFUSED = re.compile(rb"HTTP/1.1 (\d+) .*?\r\n\r\n", re.S)


def ask(port, rate, stop, champion, results):
    """One client: a connection, requests at an even rate, every answer checked. Sends its tallies when told to stop."""
    rng = np.random.default_rng(os.getpid())
    rows = rng.integers(-50, 50, size=(N_ROWS, N_FEATURES)).astype(np.float32)
    sums = rows.sum(axis=1)
    bodies = [json.dumps({"instances": [row.tolist()]}).encode() for row in rows]
    sent = [b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(b) + b for b in bodies]
    tally = {"asked": 0, "right": 0, "wrong": 0, "mixed": 0, "stale": 0, "refused": 0, "broken": 0, "no_connection": 0,
             "examples": []}
    sock, due, i = None, time.monotonic(), 0

    def note(what, detail):
        tally[what] += 1
        if len(tally["examples"]) < 3:
            tally["examples"].append(f"{what}: {detail!r:.200}")

    while not stop.is_set():
        if rate:
            due += 1 / rate
            time.sleep(max(0, due - time.monotonic()))
        k, i = i % N_ROWS, i + 1
        acknowledged = champion.value
        try:
            if sock is None:
                sock = socket.create_connection(("127.0.0.1", port), timeout=20)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as e:
            note("no_connection", e)
            continue
        tally["asked"] += 1
        try:
            sock.sendall(sent[k])
            got, head, need = b"", None, None
            while need is None or len(got) < need:
                more = sock.recv(65536)
                if not more:
                    raise OSError("closed")
                got += more
                head = head or ANSWER.match(got)
                if head:
                    need = head.end() + int(head[3])
                elif (other := REFUSED.match(got)) and int(other[1]) != 200:
                    break
        except OSError as e:
            if not (stop.is_set() or champion.value < 0):
                note("broken", e)
            sock.close()
            sock = None
            continue
        if not head or int(head[1]) != 200:
            note("refused", got)
            sock.close()
            sock = None
            continue
        value, version = json.loads(got[head.end():])["predictions"][0][0], int(head[2])
        if version < acknowledged:
            note("stale", (version, acknowledged))
        factor = 1 if version % 2 else 3
        if value != float(sums[k] * factor):
            note("mixed" if value in (float(sums[k]), float(3 * sums[k])) else "wrong", (value, float(sums[k]), version))
        else:
            tally["right"] += 1
        if b"Connection: close" in got[:head.end()]:
            sock.close()
            sock = None
    results.put(tally)


class Clients:
    def __init__(self, server, n, rate_each):
        self.stop, self.results = multiprocessing.Event(), multiprocessing.Queue()
        self.champion = multiprocessing.Value("q", 0)
        self.processes = [multiprocessing.Process(target=ask, args=(server.port, rate_each, self.stop, self.champion, self.results))
                          for _ in range(n)]
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
    def __init__(self, folder, quick):
        self.folder, self.quick = folder, quick
        make_model(folder / "one.onnx", 1)
        make_model(folder / "three.onnx", 3)

    def serve(self, replicas=2, gateways=2):
        server = Server(self.folder, gateways)
        server.push(self.folder / "one.onnx", replicas=replicas)
        return server

    def clients(self, server, n=4):
        """Clients that together ask at 70 % of the highest rate they reach."""
        probe = Clients(server, n, 0)
        time.sleep(2)
        most = probe.end()["right"] / 3
        return Clients(server, n, 0.7 * most / n), most

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
        clients, most = self.clients(server)
        count, end = 10 if self.quick else 200, 0
        for i in range(count):
            server.promote(2)
            clients.champion.value = 2  # from here on every answer of a new request is of version 2
            time.sleep(0.2 if self.quick else 0.3)
            clients.champion.value = 0
            server.promote(1)
            time.sleep(0.2 if self.quick else 0.3)
        total = clients.end()
        server.stop()
        return total, f"{2 * count} promotions, {total['asked']} requests", total["asked"] == total["right"] and total["stale"] == 0

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
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], help="default: all")
    args = parser.parse_args()
    failed = False
    for name in args.scenario or SCENARIOS:
        with tempfile.TemporaryDirectory() as folder:
            begin = time.monotonic()
            total, what, good = getattr(Scenario(pathlib.Path(folder), args.quick), name)()
            counts = " ".join(f"{k} {v}" for k, v in total.items() if k != "examples")
            print(f"{'ok  ' if good else 'FAIL'} {name}: {what}; {counts} ({time.monotonic() - begin:.0f} s)", flush=True)
            for example in total["examples"][:5]:
                print(f"     {example}")
            failed |= not good
    sys.exit(failed)


if __name__ == "__main__":
    main()
