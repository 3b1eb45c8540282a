# SPDX-License-Identifier: Apache-2.0
"""The champion's latency with and without a shadow that sleeps 10 s, in turns. Arguments: the server with the fake
runtime (tests/fakes), the load generator, seconds of each run, rounds.

The split comes from the relay of the flow tests, so that nothing but the mirroring changes between two runs."""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/flows")]

import conftest
import requests
import splits

INTERFACE = {"platform": "fake", "max_batch_rows": 64,
             "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
             "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]}
SLEEPS = b"\0twist 77 -1003 10000"


def latency_us(loadgen, url, seconds, data):
    run = subprocess.run([loadgen, "--json", "--data", data, "--rate", "500", "--connections", "4", "--duration",
                          seconds, url], capture_output=True, text=True, check=True)
    said = json.loads(run.stdout)
    assert said["wrong"] + said["refused"] + said["broken"] == 0, said
    return said["latency_us"]


def main():
    fake_server, loadgen, seconds, rounds = sys.argv[1:5]
    with tempfile.TemporaryDirectory(prefix="slipway-shadow-") as folder:
        folder = pathlib.Path(folder)
        for name, twist in (("a", b""), ("b", SLEEPS)):
            (folder / f"{name}.fake").write_bytes(b" " + json.dumps(INTERFACE, separators=(",", ":")).encode() + twist)
        (folder / "body").write_text('{"instances":[[77,2,3]]}\n')
        library = ROOT / "build" / "onnxruntime" / "libonnxruntime.so"
        server = conftest.Server(folder / "data", "--onnxruntime-library", library, "--gateways", 1,
                                 command=[fake_server, "serve"])
        relay = splits.Relay(server)
        server.kill_child("gateway", 0)
        relay.wait(lambda: relay.gateways, "the gateway came back")
        server.wait_child("child_ready", "gateway", 0, n=2)
        for name in "ab":
            server.push("m", folder / f"{name}.fake")
        requests.put(f"{server.url}/api/v1/models/m/aliases/champion", json={"version": 1, "allow_breaking": True}, timeout=30).raise_for_status()
        found = {False: [], True: []}
        for i in range(2 * int(rounds)):
            shadow = i % 2 == 1
            relay.divide("m", None, shadow=2 if shadow else None)
            found[shadow].append(latency_us(loadgen, f"{server.url}/v1/models/m:predict", seconds, folder / "body"))
        for q in ("p50", "p99"):
            without, with_it = ([r[q] for r in found[s]] for s in (False, True))
            print(f"{q} without {statistics.median(without):.0f} us, with {statistics.median(with_it):.0f} us: "
                  f"{100 * (statistics.median(with_it) / statistics.median(without) - 1):+.1f} %   "
                  f"without {without}, with {with_it}")
        print(f"compared {relay.pairs('n')}, dropped {relay.pairs('dropped')}")
        relay.close()
        server.end()


main()
