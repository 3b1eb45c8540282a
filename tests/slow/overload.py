# SPDX-License-Identifier: Apache-2.0
"""Three and ten times the highest rate: dev/slow overload [--seconds S].

A model in one replica whose requests take 5 ms (the fake runtime sleeps), so that the load generator and the server have
the machine to themselves. The highest rate is measured first; then more is sent than can be answered, with a queue that
is bounded by its length, and with one that is bounded by what its requests may wait. Prints a table; the exit code is 1
when a promise does not hold: goodput at least 90 % of the highest rate, all others refused at once by 429 or 503 with
Retry-After, memory bounded.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))
from conftest import FAKE_SERVER, Server # noqa: E402

LOADGEN = ROOT / "build" / "gcc" / "bench" / "loadgen"
INTERFACE = {"platform": "fake", "max_batch_rows": 0, "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
             "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]}
ROW = json.dumps({"instances": [[-1003, 5, 0]]}) # -1003: sleep, for 5 ms
MIB = 1 << 20


def load(server, folder, seconds, **flags):
    body = folder / "body"
    body.write_text(ROW + "\n")
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    ran = subprocess.run([LOADGEN, "--json", "--sleep", "--data", body, "--duration", str(seconds), "--timeout", "20", *words,
                          f"{server.url}/v1/models/m:predict"], stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(ran.stdout)


def memory(server):
    """Bytes that the gateways hold of their own."""
    status = requests.get(f"{server.url}/api/v1/status", timeout=30).json()
    return sum(p["memory"]["own"] for p in status["processes"] if p["kind"] == "gateway")


def answered(server):
    """Requests that were answered with 200 so far."""
    lines = requests.get(f"{server.url}/metrics", timeout=30).text.splitlines()
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("slipway_requests_total{") and "2xx" in line)


class Refusals:
    """Asks beside the load, and keeps what it is told and how long that took."""

    def __init__(self, server):
        self.url, self.stopping, self.late, self.seen, self.wrong = (
            f"{server.url}/v1/models/m:predict", False, 0, [], [])
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.stopping:
            got = requests.post(self.url, data=ROW, timeout=30)
            if got.status_code == 200:
                continue
            if got.status_code == 504: # it was let in, and then the machine was busy with others
                self.late += 1
                continue
            self.seen.append(got.elapsed.total_seconds())
            if got.status_code not in (429, 503) or "Retry-After" not in got.headers:
                self.wrong.append((got.status_code, got.text))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()


def measure(folder, seconds, name, flags, results):
    model = folder / "model.fake"
    model.write_text(" " + json.dumps(INTERFACE, separators=(",", ":")))
    server = Server(folder / name, "--onnxruntime-library", ROOT / "build" / "onnxruntime" / "libonnxruntime.so",
                    "--gateways", 2, *flags, command=[FAKE_SERVER, "serve"])
    try:
        server.push("m", model, replicas=1)
        highest = load(server, folder, seconds, connections=8)["rate"]
        print(f"{name}: highest rate {highest:.0f}/s")
        for times in (3, 10):
            before, good, begin = memory(server), answered(server), time.monotonic()
            with Refusals(server) as refusals:
                got = load(server, folder, seconds, connections=1200, rate=times * highest)
            grown = memory(server) - before
            rate = (answered(server) - good) / (time.monotonic() - begin)
            refused = sorted(refusals.seen)
            slowest = refused[len(refused) * 9 // 10] if refused else 0
            held = rate >= 0.9 * highest and not refusals.wrong and grown < 64 * MIB and slowest < 0.1
            held = held and refusals.late <= len(refused) // 10
            results.append(held)
            print(f"  {times:2} times: {rate:.0f}/s answered, {got['refused']} of {got['answered']} refused, "
                  f"{len(refused)} refusals looked at, nine in ten within {slowest * 1000:.1f} ms, {refusals.late} late, "
                  f"{grown / MIB:+.1f} MiB{'' if held else '   NOT HELD'}")
            for wrong in refusals.wrong[:3]:
                print("     ", wrong)
    finally:
        server.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20)
    seconds = parser.parse_args().seconds
    results = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        measure(folder, seconds, "queue", ("--max-queue", 50), results)
        measure(folder, seconds, "wait", ("--request-timeout", "1s"), results)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
