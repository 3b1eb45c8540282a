# SPDX-License-Identifier: Apache-2.0
"""Answers do not depend on what was computed with them: dev/slow batching [--batches N] [--connections N] [--seed S].

Two networks in ONNX Runtime, one replica each: a multi-layer perceptron, and a transformer encoder asked with sentences
of different lengths, for one of its outputs or both, so that requests differ which must not be mixed. First each request
is asked alone. Then many connections ask at once for requests drawn by chance, until the replicas have computed 100,000
batches, and each answer is compared with the one that the request got alone. Rounding may differ with the number of rows,
because the library multiplies matrices in blocks; more than 1e-5 is a failure.
"""

import argparse
import hashlib
import json
import multiprocessing
import pathlib
import re
import shutil
import socket
import sys
import tempfile
import time

import numpy as np
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "flows"), str(ROOT / "tests" / "onnx")]

import conftest  # noqa: E402
import networks  # noqa: E402
from never_fail import more  # noqa: E402

TOLERANCE = 1e-5
LENGTH = re.compile(rb"Content-Length: +(\d+)\r\n")


def push(server, name, model):
    data = model.SerializeToString()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    requests.put(f"{server.url}/api/v1/blobs/{digest}", data=data, timeout=60).raise_for_status()
    artifact = {"name": "model.onnx", "digest": digest, "size": len(data)}
    answer = requests.post(f"{server.url}/api/v1/models/{name}/versions", json={"artifacts": [artifact], "replicas": 1}, timeout=60)
    answer.raise_for_status()
    assert answer.json()["engine"]["max_batch_rows"] > 1, f"{name} is not batched"


def tensor(name, datatype, array):
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.reshape(-1).tolist()}


def message(model, body):
    body = json.dumps(body).encode()
    return b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (model, len(body)) + body


def perceptron_request(rng):
    rows = rng.normal(size=(rng.integers(1, 9), 20)).astype(np.float32)
    return message(b"perceptron", {"inputs": [tensor("x", "FP32", rows)]})


def transformer_request(rng):
    shape = (rng.integers(1, 4), rng.integers(2, 5))
    outputs = (["pooled"], ["states"], ["pooled", "states"])[rng.integers(3)]
    inputs = [tensor("words", "INT64", rng.integers(0, 100, size=shape)), tensor("mask", "INT64", np.ones(shape, np.int64))]
    return message(b"transformer", {"inputs": inputs, "outputs": [{"name": o} for o in outputs]})


def connect(port):
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_answer(sock):
    """{output: array}"""
    got = b""
    while (end := got.find(b"\r\n\r\n") + 4) < 4:
        got += more(sock)
    while len(got) < end + int(LENGTH.search(got)[1]):
        got += more(sock)
    assert got.startswith(b"HTTP/1.1 200 "), got[:400]
    return {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in json.loads(got[end:])["outputs"]}


def ask_alone(port, messages):
    sock, answers = connect(port), []
    for m in messages:
        sock.sendall(m)
        answers.append(read_answer(sock))
    return answers


def difference(answer, alone):
    """The largest one; infinite when the outputs or their shapes are not the same."""
    if answer.keys() != alone.keys() or any(answer[k].shape != alone[k].shape for k in alone):
        return np.inf
    return max(np.abs(answer[k] - alone[k]).max() for k in alone)


def ask_together(port, messages, alone, n, seed, stop, results):
    """Draws a request for each of n connections, sends them all, reads them all, until told to stop."""
    rng, asked, equal, worst = np.random.default_rng(seed), 0, 0, 0.0
    socks = [connect(port) for _ in range(n)]
    while not stop.is_set():
        drawn = rng.integers(len(messages), size=n)
        for sock, k in zip(socks, drawn):
            sock.sendall(messages[k])
        for sock, k in zip(socks, drawn):
            d = difference(read_answer(sock), alone[k])
            asked, equal, worst = asked + 1, equal + (d == 0), max(worst, d)
    results.put((asked, equal, worst))


def batches(server):
    """Computed so far, and the requests in them."""
    page = requests.get(f"{server.url}/metrics", timeout=30).text
    total = lambda name: sum(float(v) for v in re.findall(rf"^{name}(?:{{.*?}})? (\S+)$", page, re.M))  # noqa: E731
    return total("nv_inference_exec_count"), total("nv_inference_request_success")


def measure(server, args, messages, alone):
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    n_each = args.connections // 2
    askers = [multiprocessing.Process(target=ask_together, args=(server.port, messages, alone, n_each, args.seed + 1 + k, stop, results))
              for k in range(2)]
    first = batches(server)
    for p in askers:
        p.start()
    while (now := batches(server))[0] - first[0] < args.batches:
        assert all(p.is_alive() for p in askers), "a client failed"
        print(f"{now[0] - first[0]:.0f} of {args.batches} batches", flush=True)
        time.sleep(5)
    stop.set()
    told = [results.get(timeout=60) for _ in askers]
    for p in askers:
        p.join()
    now = batches(server)
    return now[0] - first[0], now[1] - first[1], sum(t[0] for t in told), sum(t[1] for t in told), max(t[2] for t in told)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--requests", type=int, default=500, help="different ones, of each model")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="batching"))
    server = conftest.Server(folder / "data", "--onnxruntime-library", ROOT / "build" / "onnxruntime" / "libonnxruntime.so",
                             "--metrics-aliases", "triton")
    try:
        push(server, "perceptron", networks.mlp())
        push(server, "transformer", networks.transformer())
        messages = [make(rng) for make in (perceptron_request, transformer_request) for _ in range(args.requests)]
        n_batches, n_served, n_asked, n_equal, worst = measure(server, args, messages, ask_alone(server.port, messages))
    finally:
        server.end()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{n_batches:.0f} batches of {n_served / n_batches:.1f} requests; {n_asked} answers compared with those asked alone: "
          f"{n_equal} equal to the bit, largest difference {worst:.3g}")
    return 0 if worst <= TOLERANCE and n_served > n_batches else 1


if __name__ == "__main__":
    sys.exit(main())
